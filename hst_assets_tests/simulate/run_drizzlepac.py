"""Run as a script in a scratch folder of its own: TweakReg, AstroDrizzle and HAP's inspection.

``run_drizzlepac.py <detector key> <exposure>...``; exit status 0 proves nothing.
"""

import json
import sys
from pathlib import Path

from hst_assets.detectors import DETECTORS


def main(detector_key: str, names: list[str]) -> None:
    from drizzlepac.astrodrizzle import AstroDrizzle
    from drizzlepac.tweakreg import TweakReg

    detector = DETECTORS[detector_key]
    Path("accepted.json").write_text(json.dumps(_accepted_by_hap(names)))
    TweakReg(
        names,
        updatehdr=True,
        wcsname="TWEAK",
        interactive=False,
        see2dplot=False,
        residplot="NoPlot",
        writecat=False,
        clean=True,
        imagefindcfg={"threshold": 20.0, "conv_width": 2.5 if detector.is_infrared else 3.5},
        searchrad=1.0,
        tolerance=2.5,
        minobj=10,
        fitgeometry="rscale",
    )
    AstroDrizzle(
        names,
        output="out",
        build=True,
        clean=True,
        preserve=False,
        context=False,
        driz_sep_bits=detector.drizzle_good_bits,
        final_bits=detector.drizzle_good_bits,
        final_wcs=True,
        final_rot=0.0,
        final_scale=detector.pixel_scale_arcsec,
        final_units="cps",
        # With two exposures its cosmic-ray rejection eats into undersampled stars.
        driz_cr_snr="8.0 6.0",
        driz_cr_scale="3.0 2.0",
    )


def _accepted_by_hap(names: list[str]) -> dict[str, bool]:
    """Whether HAP would process each exposure (for WFPC2 it wants another file format)."""
    from drizzlepac.haputils.analyze import analyze_data

    names = [name for name in names if not name.endswith("_c0m.fits")]
    if not names:
        return {}
    table, _ = analyze_data(names)
    return {str(row["imageName"]): bool(row["doProcess"]) for row in table}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

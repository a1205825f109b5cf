"""Run in a child process and a scratch folder of its own: TweakReg, AstroDrizzle, HAP.

That they come to an end proves nothing: see what they leave.
"""

from drizzlepac.astrodrizzle import AstroDrizzle
from drizzlepac.haputils.analyze import analyze_data
from drizzlepac.tweakreg import TweakReg

from hst_assets.detectors import DETECTORS


def process(detector_key: str, names: list[str]) -> dict[str, bool]:
    """Align and combine; whether HAP's inspection accepted each exposure before that."""
    detector = DETECTORS[detector_key]
    accepted = _accepted_by_hap(names)
    TweakReg(
        names,
        updatehdr=True,
        wcsname="TWEAK",
        interactive=False,
        see2dplot=False,
        residplot="NoPlot",
        writecat=False,
        clean=True,
        imagefindcfg={"threshold": 10.0, "conv_width": 2.5 if detector.is_infrared else 3.5},
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
    return accepted


def _accepted_by_hap(names: list[str]) -> dict[str, bool]:
    """Whether HAP would process each exposure (for WFPC2 it wants another file format)."""
    names = [name for name in names if not name.endswith("_c0m.fits")]
    if not names:
        return {}
    table, _ = analyze_data(names)
    return {str(row["imageName"]): bool(row["doProcess"]) for row in table}

"""Real exposures of four detectors, through `drizzle`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.imaging.astrodrizzle import DrizzleReport, drizzle
from hst_assets.imaging.frames import covering_frame, exposure_outlines, shared_tangent_point
from hst_assets.settings import DrizzleSettings, MachineSettings
from hst_assets.workdir import WorkDir

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "real"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"no real exposures in {REAL}"),
]


def drizzled(pattern: str, key: str, tmp_path: Path) -> tuple[DrizzleReport, fits.HDUList]:
    exposures = sorted(REAL.glob(pattern))
    detector = DETECTORS[key]
    outlines = [exposure_outlines(path) for path in exposures]
    ra, dec = shared_tangent_point([outline for chips in outlines for outline in chips])
    frame = covering_frame(
        outlines, ra_deg=ra, dec_deg=dec, scale_arcsec=detector.drizzle_scale_arcsec
    )
    workdir = WorkDir(tmp_path, "real").create()
    output = workdir.drizzle / f"{key}.drc.fits"
    report = drizzle(
        exposures,
        output,
        detector=detector,
        frame=frame,
        settings=DrizzleSettings(),
        workdir=workdir,
        label=key,
        machine=MachineSettings(),
    )
    with fits.open(output, checksum=True, memmap=False) as hdus:
        hdus.verify("exception")
        return report, fits.HDUList([hdu.copy() for hdu in hdus])


def test_eight_uvis_exposures_with_their_archive_wcs(tmp_path: Path) -> None:
    report, hdus = drizzled("wfc3_uvis_2013fy27/*_flc.fits", "wfc3_uvis", tmp_path)
    assert len(report.inputs) == 8
    assert hdus[0].header["EXPTIME"] == pytest.approx(1600.0)
    assert report.cosmic_ray_fraction > 0.002
    assert report.bad_fraction < 0.1
    assert report.complaints == ()


def test_a_wfpc2_exposure_with_its_quality_file(tmp_path: Path) -> None:
    report, hdus = drizzled("wfpc2_omegacen/*_c0m.fits", "wfpc2", tmp_path)
    assert report.inputs == ("u40x010hm",)
    assert hdus[0].header["EXPTIME"] == 100.0
    # The file has no BUNIT; taking its counts for a rate would make this 100.
    assert report.flux_ratio == pytest.approx(1.0, abs=0.02)
    assert hdus["SCI"].header["BUNIT"] == "COUNTS/S"
    assert report.problems == ()


@pytest.mark.parametrize("name", ["ibxy01z8q", "ibxy07p9q"])
def test_an_infrared_exposure(tmp_path: Path, name: str) -> None:
    report, hdus = drizzled(f"wfc3_ir_gj1214/{name}_flt.fits", "wfc3_ir", tmp_path)
    assert report.inputs == (name,)
    assert hdus["SCI"].header["BUNIT"] == "ELECTRONS/S"
    assert np.isfinite(hdus["SCI"].data).mean() > 0.2


def test_two_hrc_exposures(tmp_path: Path) -> None:
    report, hdus = drizzled("acs_hrc_47tuc/j8bt06*_flt.fits", "acs_hrc", tmp_path)
    assert hdus[0].header["NINPUT"] == 2
    assert hdus[0].header["EXPTIME"] == 120.0
    assert report.bad_fraction < 0.05
    assert report.complaints == ()

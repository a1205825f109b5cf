"""Products of exposures through quad filters of WFC3/UVIS, and the bands of ramps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from hst_assets.detectors import DETECTORS
from hst_assets.imaging.astrodrizzle.run import DrizzleReport, DrizzleRequest, drizzle_many
from hst_assets.imaging.frames import covering_frame, exposure_outlines
from hst_assets.imaging.plan import AlignedExposure
from hst_assets.settings import DrizzleSettings
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging.conftest import MACHINE

UVIS = DETECTORS["wfc3_uvis"]
#: Column of the simulated subarray at which the right half of its chip is made to begin.
MIDDLE = 100


def through(name: str, source: Path, folder: Path, *, second_chip: bool = False) -> Path:
    """The exposure, taken through a quad filter, in the middle of its chip.

    With `second_chip` there is a chip of noise before it, and it becomes UVIS1.
    """
    folder.mkdir(exist_ok=True)
    path = folder / source.name
    with fits.open(source, memmap=False) as hdus:
        hdus[0].header["FILTER"] = name
        if second_chip:
            others = fits.HDUList([hdu.copy() for hdu in hdus if hdu.name in {"SCI", "ERR", "DQ"}])
            for hdu in [hdu for hdu in hdus if hdu.name in {"SCI", "ERR", "DQ"}]:
                hdu.ver = 2
            for number, hdu in enumerate(others, start=1):
                hdus.insert(number, hdu)
            hdus["SCI", 1].data[:] = 1e4
            hdus["SCI", 2].header["CCDCHIP"] = 1
        for hdu in [hdu for hdu in hdus if hdu.name == "SCI"]:
            hdu.header["PHOTMODE"] = f"WFC3 UVIS2 {name}"
            hdu.header["LTV1"] = float(MIDDLE - 2048)
        hdus.writeto(path)
    return path


@pytest.fixture(scope="module")
def products(
    campaign: CampaignTruth, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, DrizzleReport]]:
    base = tmp_path_factory.mktemp("quads")
    workdir = WorkDir(base, "field").create()
    source = campaign.science_files()[0]
    frame = covering_frame([source], ra_deg=150.1, dec_deg=2.2, scale_arcsec=0.04)
    inputs = {
        "left": through("FQ575N", source, base / "left"),
        "right": through("FQ672N", source, base / "right"),
        "other chip": through("FQ508N", source, base / "other", second_chip=True),
    }
    requests = [
        DrizzleRequest(
            [path], workdir.drizzle / f"{name}.drc.fits", UVIS, frame, DrizzleSettings(), name
        )
        for name, path in inputs.items()
    ]
    made = drizzle_many(requests, workdir=workdir, machine=MACHINE)
    assert all(isinstance(report, DrizzleReport) for report in made), made
    return dict(zip(inputs, zip(inputs.values(), made, strict=True), strict=True))


@pytest.mark.xdist_group("imaging")
@pytest.mark.parametrize(
    ("name", "behind"), [("left", True), ("right", False), ("other chip", True)]
)
def test_a_product_holds_what_lies_behind_its_filter(products, name: str, behind: bool) -> None:
    """Behind: the columns of the left half; weight ends within two pixels of the middle."""
    path, report = products[name]
    assert report.problems == ()
    assert report.bad_fraction < 0.1
    with fits.open(path) as hdus:
        wcs = WCS(hdus["SCI", 2 if name == "other chip" else 1].header, fobj=hdus, naxis=2)
        ny, nx = hdus["SCI"].data.shape
    with fits.open(report.product) as hdus:
        onto = WCS(hdus["SCI"].header)
        weight = hdus["WHT"].data
        for column, inside in (
            (MIDDLE // 2, behind),
            (MIDDLE - 4, behind),
            (MIDDLE + 4, not behind),
            ((MIDDLE + nx) // 2, not behind),
        ):
            rows = np.arange(20.0, ny - 20.0)
            x, y = onto.all_world2pix(*wcs.all_pix2world(np.full(rows.size, column), rows, 0), 0)
            reached = weight[np.rint(y).astype(int), np.rint(x).astype(int)] > 0
            assert np.mean(reached) == pytest.approx(1.0 if inside else 0.0, abs=0.05), column


@pytest.mark.xdist_group("imaging")
def test_the_chip_behind_the_filter_keeps_its_number(products) -> None:
    _, report = products["other chip"]
    header = fits.getheader(report.product)
    assert header["D001DATA"] == f"{report.inputs[0]}[sci,2]"
    assert "D002DATA" not in header


def test_the_outline_of_an_exposure_is_that_of_the_quadrant(
    campaign: CampaignTruth, tmp_path: Path
) -> None:
    source = campaign.science_files()[0]
    (whole,) = exposure_outlines(source)
    (left,) = exposure_outlines(through("FQ575N", source, tmp_path / "left"))
    (right,) = exposure_outlines(through("FQ672N", source, tmp_path / "right"))
    with fits.open(source) as hdus:
        wcs = WCS(hdus["SCI"].header, fobj=hdus, naxis=2)
        nx = hdus["SCI"].header["NAXIS1"]
    columns = {
        name: wcs.all_world2pix(outline, 0)[:, 0]
        for name, outline in (("whole", whole), ("left", left), ("right", right))
    }
    found = {name: (x.min(), x.max()) for name, x in columns.items()}
    assert found["left"] == pytest.approx((-0.5, MIDDLE - 0.5), abs=1e-3)
    assert found["right"] == pytest.approx((MIDDLE - 0.5, nx - 0.5), abs=1e-3)
    assert found["whole"] == pytest.approx((-0.5, nx - 0.5), abs=1e-3)


def test_two_wavelengths_of_a_ramp_are_two_bands() -> None:
    """Which name products, epochs and stacks."""
    wfc = DETECTORS["acs_wfc"]
    bands = [
        AlignedExposure(
            "jaaa01a1q",
            "jaaa01a1q_flc.fits",
            "acs_wfc",
            wfc.filter_of(["CLEAR1L", "FR459M"], wavelength),
            100.0,
            59000.0,
            1,
            "digest",
        ).band
        for wavelength in (3900.0, 4700.0)
    ]
    assert bands == ["acs_wfc.fr459m-3900", "acs_wfc.fr459m-4700"]

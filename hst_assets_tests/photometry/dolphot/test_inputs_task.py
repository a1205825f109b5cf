"""Exposures of each detector, real ones where there are, as DOLPHOT reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.photometry.dolphot.detector_rules import RULES
from hst_assets.photometry.dolphot.inputs_task import prepare_exposure, prepare_reference
from hst_assets.settings import DolphotInputsSettings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.dolphot.prepared_targets import write_reference
from hst_assets_tests.simulated_once import SimulatedOnce

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "real"

needs_real_data = [
    pytest.mark.real_data,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"no real exposures in {REAL}"),
]

#: File, tags of its chips, read noise of the first, and what its pixels are multiplied by.
EXPOSURES = {
    "wfc3_uvis": ("wfc3_uvis_2013fy27/idsj02axq_flc.fits", [2], 3.08, 1.0),
    # Four samples of a ramp; the exposure is 0.83 s long.
    "wfc3_ir": ("wfc3_ir_gj1214/ibxy01z8q_flt.fits", [0], 14.6 * (36 / 20) ** 0.5, 0.833445),
    "acs_hrc": ("acs_hrc_47tuc/j8bt06nyq_flt.fits", [0], 4.71, 1 / 1.124583),
    "wfpc2": ("wfpc2_omegacen/u40x010hm_c0m.fits", [0, 1, 2, 3], 5.0, 1.0),
}
#: Quick.
SKY = dict.fromkeys(RULES, (15, 35, -32, 2.25, 2.0))


def prepared(path: Path, key: str, folder: Path) -> list[dict[str, Any]]:
    settings = DolphotInputsSettings(sky=SKY).as_recipe()
    return prepare_exposure(str(path), str(folder), detector=key, position=None, settings=settings)


@pytest.mark.parametrize("key", [pytest.param(key, marks=needs_real_data) for key in EXPOSURES])
def test_a_real_exposure_becomes_chips_with_their_cards(key: str, tmp_path: Path) -> None:
    name, tags, noise, factor = EXPOSURES[key]
    path, rules = REAL / name, RULES[key]
    rows = prepared(path, key, tmp_path)
    assert [row["chip"] for row in rows] == list(range(1, len(tags) + 1))
    for row, tag in zip(rows, tags, strict=True):
        data, header = fits.getdata(tmp_path / f"{path.stem}.chip{row['chip']}.fits", header=True)
        assert header[rules.tag] == tag
        assert header["EXPTIME"] == fits.getheader(path)["EXPTIME"]
        good = (data > header["BADPIX"]) & (data < header["SATURATE"])
        science = fits.getdata(path, ("SCI", row["chip"]))
        ratio = data[good & (science > 1)] / science[good & (science > 1)] / factor
        # What is left are the areas of the pixels (WFPC2: relative to the middle).
        assert np.ptp(ratio) < 0.12
        assert abs(np.median(ratio) - (1.124 if key == "acs_hrc" else 1.0)) < 0.03
        assert good.mean() > 0.8
        n_left_out = row["n_bad"] + row["n_saturated"] + row["n_cosmic_ray"]
        assert n_left_out == (~good).sum()
    assert rows[0]["read_noise_e"] == pytest.approx(noise, rel=1e-6)


@pytest.fixture
def hrc() -> Path:
    path = REAL / EXPOSURES["acs_hrc"][0]
    if not path.is_file():
        pytest.skip(f"no real exposures in {REAL}")
    return path


def test_a_subarray_of_acs_wfc_keeps_its_good_pixels(
    simulated: SimulatedOnce, tmp_path: Path
) -> None:
    folder = simulated(small_plan("acs_wfc", n_exposures=1)).exposure_folder
    (path,) = folder.glob("*_flc.fits")
    (row,) = prepared(path, "acs_wfc", tmp_path)
    data, header = fits.getdata(tmp_path / f"{path.stem}.chip1.fits", header=True)
    good = (data > header["BADPIX"]) & (data < header["SATURATE"])
    with fits.open(path) as hdus:
        science, flags = hdus["SCI", 1].data, hdus["DQ", 1].data
        assert header["DOL_ACS"] == hdus["SCI", 1].header["CCDCHIP"]
    assert good[flags == 0].all()
    ratio = data[good] / science[good] * RULES["acs_wfc"].flux_scale
    # ACS/WFC's pixels are within 10 % of the undistorted one's area.
    assert 0.9 < ratio.min() < ratio.max() < 1.1
    assert row["read_noise_e"] == pytest.approx(4.4)


@pytest.mark.real_data
def test_the_exposure_is_only_read(hrc: Path, tmp_path: Path) -> None:
    path = hrc
    before = path.stat()
    prepared(path, "acs_hrc", tmp_path)
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)


@pytest.mark.parametrize(
    ("removed", "middle"),
    # Its 60 s from DATE-OBS and TIME-OBS are whole seconds; shutter times are not.
    [((), 52377.861728), (("EXPEND",), 52377.861720), (("EXPSTART", "EXPEND"), 52377.861720)],
)
@pytest.mark.real_data
def test_the_time_of_an_exposure_is_its_own_whatever_keyword_is_missing(
    hrc: Path, tmp_path: Path, removed: tuple[str, ...], middle: float
) -> None:
    """To 2 s; DOLPHOT's loss of charge grows by years."""
    copy = tmp_path / hrc.name
    with fits.open(hrc) as hdus:
        for keyword in removed:
            del hdus[0].header[keyword]
        hdus.writeto(copy, output_verify="silentfix")
    (row,) = prepared(copy, "acs_hrc", tmp_path)
    assert row["mjd"] == pytest.approx(middle, abs=2 / 86400)
    chip = fits.getheader(tmp_path / f"{copy.stem}.chip1.fits")
    assert chip["MJD-OBS"] == pytest.approx(middle, abs=2 / 86400)


@pytest.mark.real_data
def test_an_exposure_without_distortion_is_told(hrc: Path, tmp_path: Path) -> None:
    path = hrc
    copy = tmp_path / path.name
    with fits.open(path) as hdus:
        for keyword in ("A_ORDER", "B_ORDER"):
            del hdus["SCI", 1].header[keyword]
        hdus.writeto(copy, output_verify="silentfix")
    (row,) = prepared(copy, "acs_hrc", tmp_path)
    assert row["note"] == "no distortion in the header"


@pytest.mark.parametrize("keyword", ["EXPSTART", "EXPEND"])
def test_a_reference_that_does_not_tell_its_time_has_none(tmp_path: Path, keyword: str) -> None:
    """Half of one date would be a date, too."""
    image = write_reference(WorkDir(tmp_path, "field").create())
    fits.delval(image, keyword)
    settings = DolphotInputsSettings(sky=SKY).as_recipe()
    (row,) = prepare_reference(str(image), str(tmp_path), settings=settings)
    assert row["mjd"] is None
    assert "its time is not known" in row["note"]

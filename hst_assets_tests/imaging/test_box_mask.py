from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from hst_assets.detectors import DETECTORS
from hst_assets.imaging.box_mask import FLAG, BoxMask, box_of, mask_boxes, reaches
from hst_assets.settings import DrizzleSettings
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.truth import CampaignTruth
from hst_assets_tests.simulated_once import SimulatedOnce

pytestmark = pytest.mark.xdist_group("imaging")  # shares the simulated campaign


def sky_of(path: Path, x: float, y: float) -> tuple[float, float]:
    with fits.open(path) as hdus:
        ra, dec = WCS(hdus["SCI", 1].header, hdus).all_pix2world(x, y, 0)
    return float(ra), float(dec)


def masked(path: Path, folder: Path, box: BoxMask) -> np.ndarray:
    copy = Path(shutil.copy(path, folder))
    mask_boxes([copy], box)
    with fits.open(copy) as hdus, fits.open(path) as original:
        assert np.array_equal(hdus["SCI"].data, original["SCI"].data)
        assert np.array_equal(hdus["DQ"].data & ~FLAG, original["DQ"].data)
        return hdus["DQ"].data & FLAG > 0


def test_the_box_lies_about_its_position(campaign: CampaignTruth, tmp_path: Path) -> None:
    path = campaign.science_files()[0]
    found = masked(path, tmp_path, BoxMask(*sky_of(path, 200.0, 310.0), 20))
    expected = np.zeros_like(found)
    expected[290:331, 180:221] = True
    assert np.array_equal(found, expected)


def test_an_exposure_that_fills_the_box_is_masked_outside(
    campaign: CampaignTruth, tmp_path: Path
) -> None:
    path = campaign.science_files()[0]
    where = sky_of(path, 5.0, 310.0)  # over the edge
    inside = masked(path, tmp_path, BoxMask(*where, 20))
    outside = masked(path, tmp_path, BoxMask(*where, 20, (path.name,)))
    assert inside.sum() == 41 * 26
    assert np.array_equal(outside, ~inside)


@pytest.mark.parametrize(("x", "y", "there"), [(256, 256, True), (-15, 256, True), (-30, 9, False)])
def test_whether_an_exposure_reaches_into_the_box(
    campaign: CampaignTruth, x: float, y: float, there: bool
) -> None:
    path = campaign.science_files()[0]
    assert reaches(path, BoxMask(*sky_of(path, x, y), 20)) is there


def test_a_box_on_another_part_of_the_sky_masks_nothing(
    campaign: CampaignTruth, tmp_path: Path
) -> None:
    path = campaign.science_files()[0]
    for box in (BoxMask(150.1, 3.2, 200), BoxMask(330.1, -2.2, 200)):
        assert not masked(path, tmp_path, box).any()
        assert not reaches(path, box)


def test_wfpc2_is_masked_on_the_chip_that_sees_the_box(
    simulated: SimulatedOnce, tmp_path: Path
) -> None:
    (path,) = simulated(small_plan("wfpc2", n_exposures=1)).science_files()
    where = sky_of(path, 400.0, 420.0)
    for name in (path.name, path.name.replace("c0m", "c1m")):
        shutil.copy(path.with_name(name), tmp_path)
    mask_boxes([tmp_path / path.name], BoxMask(*where, 30))
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    with fits.open(tmp_path / path.name.replace("c0m", "c1m")) as hdus:
        counts = [np.count_nonzero(hdu.data & FLAG) for hdu in hdus if hdu.data is not None]
    assert counts[0] == 61 * 61
    assert counts[1:] == [0, 0, 0]


def test_who_could_not_help_to_fill_the_box_is_told(
    campaign: CampaignTruth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hst_assets.imaging.astrodrizzle import drizzle_task

    copies = [Path(shutil.copy(path, tmp_path)) for path in campaign.science_files()[:2]]
    box = BoxMask(150.1, 2.2, 5, (copies[0].name,))
    monkeypatch.setattr(drizzle_task, "flag_cosmic_rays", lambda *_: ["it could not help"])
    _, unread = drizzle_task._boxed(copies, box, DETECTORS["wfc3_uvis"], {})
    assert unread == ["it could not help"]


def test_the_flag_is_bad_for_every_detector() -> None:
    assert not any(row.drizzle_good_bits & FLAG for row in DETECTORS.values())


def test_the_settings_tell_the_box() -> None:
    assert box_of(DrizzleSettings(), ["a"]) is None
    box = box_of(DrizzleSettings(mask="10:00:24,+02:12:00", mask_half_size_pix=50), ["a"])
    assert box is not None
    assert (box.ra_deg, box.dec_deg) == pytest.approx((150.1, 2.2))
    assert (box.half_size_pix, box.filled_by) == (50, ("a",))
    assert BoxMask.from_json(box.as_json()) == box

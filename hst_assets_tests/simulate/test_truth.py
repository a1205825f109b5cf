import shutil

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import UnusableInput
from hst_assets.simulate.truth import offset_between, true_offset


@pytest.fixture
def field():
    rng = np.random.default_rng(5)
    return 359.99 + 0.02 * rng.random(50), -60.0 + 0.01 * rng.random(50)


def test_a_shift_of_the_sky_is_found(field):
    ra, dec = field
    offset = offset_between(ra, dec, (ra + 0.2 / 3600 / np.cos(np.radians(dec))) % 360, dec)
    assert offset.east_arcsec == pytest.approx(0.2, abs=1e-6)
    assert offset.north_arcsec == pytest.approx(0.0, abs=1e-9)
    assert offset.scatter_arcsec < 1e-6
    assert offset.n_stars == 50


def test_a_rotation_of_the_sky_is_found_with_its_sign(field):
    ra, dec = field
    east = (ra - ra.mean()) * np.cos(np.radians(-60.0))
    north = dec - dec.mean()
    angle = np.radians(0.01)
    # North through east: a star in the north moves east.
    turned_ra = ra + north * angle / np.cos(np.radians(-60.0))
    offset = offset_between(ra, dec, turned_ra, dec - east * angle)
    assert offset.rotation_deg == pytest.approx(0.01, rel=1e-3)
    assert offset.scatter_arcsec > 1e-4


def test_a_header_that_was_shifted_is_found_out(campaign, tmp_path):
    truth = campaign("wfc3_ir")
    row = truth.exposures[0]
    copy = tmp_path / row["file"]
    shutil.copy(truth.exposure_folder / row["file"], copy)
    positions = truth.positions(row["rootname"])
    before = true_offset(copy, positions)
    with fits.open(copy, mode="update") as hdus:
        hdus["SCI"].header["CRVAL2"] += 0.1 / 3600
    after = true_offset(copy, positions)
    assert after.north_arcsec - before.north_arcsec == pytest.approx(0.1, abs=1e-5)
    assert after.east_arcsec - before.east_arcsec == pytest.approx(0.0, abs=1e-5)


def test_an_exposure_of_another_field_is_refused(campaign):
    truth = campaign("wfc3_ir")
    nothing = truth.positions("isim01a0q")[:0]
    with pytest.raises(UnusableInput, match="no star of the truth"):
        true_offset(truth.science_files()[0], nothing)


def test_truth_carries_units_and_magnitudes_in_every_band(campaign):
    truth = campaign("wfc3_uvis")
    assert str(truth.stars["ra"].unit) == "deg"
    assert str(truth.exposures["error_east"].unit) == "arcsec"
    assert "ab_wfc3_uvis_f606w" in truth.stars.colnames
    assert "ab_wfc3_uvis_f606w" in truth.galaxies.colnames
    assert len(truth.transient) == 0
    merged = truth.positions("isim01a0q")
    of_sky = {int(row["id"]): row["ab_wfc3_uvis_f606w"] for row in truth.stars}
    assert all(of_sky[int(row["id"])] == pytest.approx(row["magnitude"]) for row in merged)

import dataclasses

import numpy as np
import pytest
from astropy.table import vstack

from hst_assets.detectors import DETECTORS
from hst_assets.simulate.geometry import astropy_wcs
from hst_assets.simulate.scene import Scene, Transient

KEYS = ["wfc3_uvis", "wfc3_ir", "acs_wfc", "acs_hrc", "wfpc2"]
CLEAN = {"noise": False, "cosmic_rays": False, "defects": False}


def _star(rendered, half=57):
    """(chip, science in electrons minus the sky, x, y of the corner) around the only star."""
    row = rendered.stars[0]
    chip = rendered.chips[int(row["chip"]) - 1]
    x, y = round(float(row["x"])), round(float(row["y"]))
    image = chip.readout.science
    sky = image[5, -5]
    cut = image[y - half : y + half + 1, x - half : x + half + 1] - sky
    return chip, cut, x - half, y - half


@pytest.mark.parametrize("key", KEYS)
def test_a_star_gives_the_electrons_of_its_magnitude_over_its_pixel_area(key, render, one_star):
    rendered = render(key, one_star(18.8), exptime_s=100.0, **CLEAN)
    chip, cut, _, _ = _star(rendered)
    plan, row = rendered.plan, rendered.stars[0]
    # Independently: f_nu from the definition of AB, counts through PHOTFLAM at the pivot
    # wavelength, and the area of the pixel from its corners through the WCS.
    f_lambda = 10 ** (-0.4 * (18.8 + 48.60)) * 2.99792458e18 / plan.band.photplam**2
    counts = f_lambda / plan.band.photflam * 100.0
    electrons = counts * (7.0 if key == "wfpc2" else 1.0)
    wcs = astropy_wcs(chip.view, chip.header_wcs)
    x, y = float(row["x"]), float(row["y"])
    corners = np.array(
        [wcs.all_pix2world(x + dx, y + dy, 0) for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    )
    corners = corners * 3600 * [np.cos(np.radians(2.2)), 1.0]
    diagonals = corners[2] - corners[0], corners[3] - corners[1]
    area = abs(diagonals[0][0] * diagonals[1][1] - diagonals[0][1] * diagonals[1][0]) / 2 / 4
    expected = electrons * chip.view.scale_arcsec**2 / area
    # The stamp ends after 58 pixels, beyond which 0.2 to 0.7 % of the light lie.
    assert cut.sum() == pytest.approx(0.9965 * expected, rel=0.005)
    assert float(row["counts"]) == pytest.approx(counts, rel=2e-3)


@pytest.mark.parametrize("key", KEYS)
def test_a_star_lies_where_the_truth_says(key, render, one_star):
    rendered = render(key, one_star(19.5), **CLEAN)
    _, cut, x0, y0 = _star(rendered, half=8)
    rows, columns = np.indices(cut.shape)
    columns, rows = columns + x0, rows + y0
    x, y = float(rendered.stars["x"][0]), float(rendered.stars["y"][0])
    weight = cut * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 4.5)
    # A window centred on the truth gives the truth only if the star is there; pixels of the
    # undersampled detectors leave some hundredths.
    assert (weight * columns).sum() / weight.sum() == pytest.approx(x, abs=0.03)
    assert (weight * rows).sum() / weight.sum() == pytest.approx(y, abs=0.03)


@pytest.mark.parametrize("key", KEYS)
def test_header_wcs_and_injected_error_lead_to_the_true_position(key, render, one_star):
    rendered = render(key, one_star(20.0), error_arcsec=(0.31, -0.17), roll_error_deg=0.0, **CLEAN)
    row = rendered.stars[0]
    chip = rendered.chips[int(row["chip"]) - 1]
    wcs = astropy_wcs(chip.view, chip.header_wcs)
    # True pointing is east of the header's by 0.31", so the header's WCS gives positions
    # that much too far west.
    ra = row["ra"] - 0.31 / 3600 / np.cos(np.radians(2.2))
    x, y = wcs.all_world2pix(ra, row["dec"] + 0.17 / 3600, 0, tolerance=1e-8)
    assert np.hypot(x - row["x"], y - row["y"]) < 1e-3


def test_roll_turns_the_field_about_the_aim_point(render, one_star):
    scene = one_star(20.0, 8.0, 0.0)
    straight, rolled = (
        render("acs_wfc", scene, roll_error_deg=roll, error_arcsec=(0.0, 0.0), **CLEAN)
        for roll in (0.0, 0.01)
    )
    shift = np.hypot(
        straight.stars["x"][0] - rolled.stars["x"][0], straight.stars["y"][0] - rolled.stars["y"][0]
    )
    # Pixels are up to 4 % smaller or larger than their nominal 0.05 arcsec.
    assert shift * 0.05 == pytest.approx(8.0 * np.radians(0.01), rel=0.05)


def test_a_galaxy_has_the_light_of_its_magnitude(render, one_star):
    scene = one_star(25.9)
    galaxies = scene.stars.copy()
    galaxies["m_ref"], galaxies["id"] = 20.0, 100000
    galaxies["half_light_radius"], galaxies["axis_ratio"], galaxies["pa"] = 0.2, 0.6, 30.0
    stars = scene.stars[:0]
    rendered = render("acs_wfc", Scene(stars, galaxies), **CLEAN)
    image = rendered.chips[0].readout.science
    total = (image - image[2, 2]).sum()
    expected = 10 ** (-0.4 * (20.0 - rendered.plan.band.zero_point_ab)) * 300.0
    # Pixels near the centre of chip 2 are some per cent away from the nominal area.
    assert total == pytest.approx(expected, rel=0.05)


def test_isolated_is_a_star_without_neighbours_and_not_saturated(render, one_star):
    scene = one_star(20.0, -3.0, 0.0)
    near, far = one_star(23.0, -3.5, 0.3).stars, one_star(20.0, 4.0, 2.0).stars
    bright = one_star(13.0, 0.0, -5.0).stars
    stars = vstack([scene.stars, near, far, bright])
    stars["id"] = np.arange(4)
    rendered = render("wfc3_uvis", Scene(stars, scene.galaxies), **CLEAN)
    flags = {
        int(row["id"]): (bool(row["isolated"]), bool(row["saturated"])) for row in rendered.stars
    }
    assert flags == {0: (False, False), 1: (False, False), 2: (True, False), 3: (False, True)}


def test_stars_know_which_flagged_or_hit_pixels_are_around_them(campaign):
    truth = campaign("wfc3_uvis")
    stars = truth.positions("isim01a0q")
    # Flags on 1.6 % and cosmic rays on 0.5 % of the pixels: about half of a pixel in 25.
    assert 0.1 < np.mean(stars["spoiled"]) < 1.5
    assert (stars["spoiled"] == 0).mean() > 0.4


def test_the_transient_is_there_only_in_its_time(render):
    transient = Transient(1.0, 1.0, ((57210.0, 20.0), (57300.0, 21.0)))
    seen = render("wfc3_uvis", transient=transient, mjd=57255.0, target=(150.1, 2.2), **CLEAN)
    early = render("wfc3_uvis", transient=transient, mjd=57200.0, target=(150.1, 2.2), **CLEAN)
    assert len(early.transient) == 0
    assert len(seen.transient) == 1
    assert seen.transient["magnitude"][0] == pytest.approx(20.5, abs=0.01)
    x, y = (round(float(seen.transient[name][0])) for name in ("x", "y"))
    assert seen.chips[0].readout.science[y, x] > 1000
    assert abs(seen.chips[0].readout.science[y, x] - early.chips[0].readout.science[y, x]) > 1000


def test_exposures_of_one_campaign_have_chances_of_their_own(render):
    first = render("wfc3_uvis")
    again = render("wfc3_uvis")
    other = render("wfc3_uvis", rootname="isim01z9q")
    image, same, different = (one.chips[0].readout.science for one in (first, again, other))
    np.testing.assert_array_equal(image, same)
    assert np.mean(image == different) < 0.01


def test_velocity_aberration_scales_the_header_wcs(render):
    spring, autumn = (render("acs_hrc", mjd=57210.0 + days) for days in (0.0, 182.6))
    factors = [one.plan.velocity_aberration for one in (spring, autumn)]
    assert abs(factors[0] - factors[1]) > 1e-5
    ratio = spring.chips[0].header_wcs["CD1_1"] / autumn.chips[0].header_wcs["CD1_1"]
    assert ratio == pytest.approx(factors[0] / factors[1], rel=1e-9)


def test_two_chips_do_not_share_their_noise(render):
    rendered = render("acs_wfc", subarray=None, defects=False, cosmic_rays=False)
    first, second = (chip.readout.science[:50, :50] for chip in rendered.chips)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1
    assert dataclasses.is_dataclass(rendered)
    assert DETECTORS["acs_wfc"].n_chips == len(rendered.chips)

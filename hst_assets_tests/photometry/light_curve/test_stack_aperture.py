"""Stars of two Gaussians on a stack: how much of their light is summed, told by themselves."""

import numpy as np
import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.photometry.encircled_energy import encircled_energy
from hst_assets.photometry.light_curve.stack_aperture import background, stack_aperture

UVIS = DETECTORS["wfc3_uvis"]
SCALE, SKY, NOISE = 0.04, 0.3, 0.02
SIDE = 420


def light(x, y, flux, sigma=1.0):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    r2 = (columns - x) ** 2 + (rows - y) ** 2
    return flux / (2 * np.pi * sigma**2) * np.exp(-r2 / (2 * sigma**2))


@pytest.fixture(scope="module")
def field():
    rng = np.random.default_rng(6)
    grid = np.arange(45, 400, 82.0)
    places = [(x, y) for x in grid for y in grid] + rng.uniform(-0.5, 0.5, (25, 2))
    image = np.full((SIDE, SIDE), SKY) + rng.normal(0, NOISE, (SIDE, SIDE))
    for x, y in places:
        image += light(x, y, 200.0)
    return image, np.full(image.shape, NOISE)


def aperture(image, error, **more):
    chosen = {"detector": UVIS, "filter_name": "F606W", "radius_arcsec": 0.4, **more}
    return stack_aperture(image, error, np.isfinite(image), scale_arcsec=SCALE, **chosen)


def test_the_share_is_that_of_the_stars(field):
    """A Gaussian of 1.0 pixel under weights of width s: s^2 / (1 + s^2), less what is cut at 3 s;
    times the published share within 0.4 arcsec, where all of these stars' light is."""
    found = aperture(*field)
    s2 = (found.sigma_arcsec / SCALE) ** 2
    cut = np.exp(-0.5 * 9 * (1 + s2))
    first, last = (encircled_energy("wfc3_uvis", "F606W", r) for r in (0.6, 1.0))
    published = encircled_energy("wfc3_uvis", "F606W", 0.4) - (last - first) * 0.16 / 0.64
    assert found.n_stars == 25
    assert found.share == pytest.approx(s2 / (1 + s2) * (1 - cut) * published, rel=0.003)
    assert found.share_error < 0.003
    assert found.share_scatter < 0.01


def test_a_faint_star_has_its_flux_by_the_bright_ones(field):
    image, error = field
    found = aperture(image, error)
    x, y = 86.3, 85.8
    seen = image + light(x, y, 5.0)
    window = found.window(x, y, image.shape)
    level, _ = background(seen, np.isfinite(seen), window)
    flux = np.sum(window.weights * (seen[window.rows, window.columns] - level)) / found.share
    noise = NOISE * np.sqrt(np.sum(window.weights**2)) / found.share
    published = found.share / (found.share / encircled_energy("wfc3_uvis", "F606W", 0.4))
    assert flux == pytest.approx(5.0 / published, abs=3 * noise)


def test_without_stars_a_plain_aperture_of_a_published_share_is_taken():
    rng = np.random.default_rng(7)
    empty = rng.normal(0, NOISE, (200, 200))
    found = aperture(empty, np.full(empty.shape, NOISE))
    assert (found.n_stars, found.sigma_arcsec) == (0, 0)
    assert found.radius_arcsec == pytest.approx(3 * UVIS.fwhm_pix * UVIS.pixel_scale_arcsec)
    known = encircled_energy("wfc3_uvis", "F606W", found.radius_arcsec)
    assert found.share == pytest.approx(known, abs=0.01)
    assert "0 bright stars" in found.note
    window = found.window(100.2, 99.7, empty.shape)
    area = np.pi * (found.radius_arcsec / SCALE) ** 2
    assert window.weights.sum() == pytest.approx(area, rel=1e-6)


def test_a_filter_without_tables_is_not_measured(field):
    found = aperture(*field, filter_name="F999X")
    assert np.isnan(found.share)
    assert found.note.startswith("not measured: no table of encircled energy")


def test_a_place_whose_core_is_off_the_image_has_no_window(field):
    found = aperture(*field)
    shape = field[0].shape
    assert found.window(1.0, 100.0, shape) is None
    assert found.window(np.nan, 100.0, shape) is None
    assert found.window(60.0, 100.0, shape) is not None

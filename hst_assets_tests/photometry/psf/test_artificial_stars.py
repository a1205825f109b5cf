"""Artificial stars against a simulation whose real stars are known."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from hst_assets.photometry.psf.artificial_stars import measure_artificial_stars
from hst_assets.photometry.psf.measurement import MeasureParameters, measure_target
from hst_assets_tests.photometry.psf.known_fields import KEY, gaussian_psf, known_field

SHAPE = (300, 320)
#: Electrons of the stars, real and artificial: from all found to few.
FLUXES = (3000.0, 400.0, 50.0)
N_REAL, N_ARTIFICIAL = 480, 300


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A field whose faint stars are measured for real, with its truth."""
    rng = np.random.default_rng(11)
    x, y = rng.uniform(2, 318, N_REAL), rng.uniform(2, 298, N_REAL)
    flux = np.resize(FLUXES, N_REAL)
    field = known_field(x, y, np.tile(flux, (4, 1)), shape=SHAPE, seed=12)
    parameters = MeasureParameters(tile_pix=400, max_psf_stars=0, cosmic_rays=False)
    folder = tmp_path_factory.mktemp("measured")
    stars = measure_target(
        field.sources, {KEY: gaussian_psf()}, folder=folder, parameters=parameters
    )
    return field.sources, stars, (x, y, flux)


@pytest.fixture(scope="module")
def found(measured):
    sources, stars, _ = measured
    return measure_artificial_stars(sources, stars.kept, *put_in(), seed=(1, 1))


def put_in():
    rng = np.random.default_rng(13)
    x, y = rng.uniform(12, 308, N_ARTIFICIAL), rng.uniform(12, 288, N_ARTIFICIAL)
    return x, y, np.tile(np.resize(FLUXES, N_ARTIFICIAL), (4, 1))


def statistics(x, y, flux, stars, matched):
    """Completeness, bias and scatter by flux, of stars that were found near and not too bright."""
    known = np.isfinite(stars.counts_error_e) & (stars.flag < 8)
    weight = np.where(known, 1 / np.where(known, stars.counts_error_e, 1) ** 2, 0)
    total = np.maximum(weight.sum(axis=0), 1e-30)
    mean, error = (stars.counts_e * weight).sum(axis=0) / total, 1 / np.sqrt(total)
    measured, error = mean[matched], error[matched]
    distance = np.hypot(stars.x[matched] - x, stars.y[matched] - y)
    good = (distance < 1) & (measured > 3.5 * error) & (measured < 2 * flux)
    rows = []
    for each in FLUXES:
        of_flux = flux == each
        ratio = measured[of_flux & good] / each
        spread = 1.4826 * np.median(abs(ratio - np.median(ratio)))
        rows.append((good[of_flux].mean(), np.median(ratio) - 1, spread, good[of_flux].sum()))
    return np.array(rows).T


def test_they_tell_what_became_of_the_real_stars(measured, found):
    """Completeness, bias and scatter agree within three standard errors of the two samples."""
    _, stars, (x, y, flux) = measured
    inside = (x > 12) & (x < 308) & (y > 12) & (y < 288)
    _, nearest = KDTree(np.column_stack([stars.x, stars.y])).query(np.column_stack([x, y]))
    real = statistics(x[inside], y[inside], flux[inside], stars, nearest[inside])
    a, b, counts = put_in()
    artificial = statistics(a, b, counts[0], found.stars, np.arange(N_ARTIFICIAL))
    n_real = np.array([(flux[inside] == each).sum() for each in FLUXES])
    share = 0.5 * (real[0] + artificial[0])
    binomial = np.sqrt(np.maximum(share * (1 - share), 0.02) * (1 / n_real + 3 / N_ARTIFICIAL))
    assert (abs(real[0] - artificial[0]) < 3 * binomial).all()
    of_median = 1.25 * np.hypot(real[2] / np.sqrt(real[3]), artificial[2] / np.sqrt(artificial[3]))
    assert (abs(real[1] - artificial[1]) < 3 * of_median).all()
    # The variance of a median absolute deviation is 1.36 / n of its square.
    of_spread = np.sqrt(1.36 * (1 / real[3] + 1 / artificial[3]))
    assert (abs(artificial[2] / real[2] - 1) < 3 * of_spread).all()
    assert artificial[0, 0] > 0.9
    assert artificial[0, 2] < 0.95


def test_a_star_follows_from_the_seed_and_its_number_alone(measured, found):
    sources, stars, _ = measured
    x, y, counts = put_in()
    again = measure_artificial_stars(
        sources, stars.kept, x[:7], y[:7], counts[:, :7], seed=(1, 1)
    ).stars
    other = measure_artificial_stars(
        sources, stars.kept, x[:7], y[:7], counts[:, :7], seed=(1, 2)
    ).stars
    assert np.array_equal(again.counts_e, found.stars.counts_e[:, :7])
    assert np.array_equal(again.x, found.stars.x[:7])
    assert (other.counts_e != again.counts_e).mean() > 0.5


def test_measured_with_quality_and_sky(found):
    """Chi of stars of which the error of the PSF (NoiseMult) is a small part."""
    bright = (put_in()[2][0] == FLUXES[1]) & found.recovered
    assert np.median(found.stars.chi[:, bright]) == pytest.approx(1, abs=0.2)
    assert found.stars.sky_e[:, bright] == pytest.approx(60, abs=3)
    assert (found.stars.flag[:, bright] == 0).mean() > 0.95
    assert (found.stars.object_type[bright] == 1).mean() > 0.8


def test_stars_off_all_images_and_lost_ones(measured):
    sources, stars, (x, y, _) = measured
    places = np.array([-20.0, 60.0, 160.0]), np.array([50.0, 70.0, 150.0])
    counts = np.tile([3000.0, 5000.0, 1.0], (4, 1))
    alone = [np.hypot(x - a, y - b).min() > 4 for a, b in zip(*places, strict=True)]
    found = measure_artificial_stars(sources, stars.kept, *places, counts, seed=(3,))
    assert alone == [True, True, True]
    assert found.on_image.any(axis=0).tolist() == [False, True, True]
    assert found.recovered.tolist() == [False, True, False]
    lost = found.stars.of(np.array([2]))
    assert (lost.x[0], lost.y[0]) == (-0.5, -0.5)
    assert set(lost.flag.ravel()) == {16}
    assert np.isinf(lost.counts_error_e).all()


def test_a_star_that_saturates_is_flagged(measured):
    sources, stars, _ = measured
    place = np.array([60.0]), np.array([70.0])
    counts = np.full((4, 1), 2e5)
    limits = np.array([30000.0, 30000.0, np.inf, np.inf])
    found = measure_artificial_stars(
        sources, stars.kept, *place, counts, seed=(3,), saturation_e=limits
    )
    assert (found.stars.flag[:, 0] & 4 > 0).tolist() == [True, True, False, False]

"""The choice of stars for a PSF."""

from __future__ import annotations

import numpy as np

from hst_assets.photometry.psf.psf_stars import select_psf_stars

SHAPE = (1000, 2000)


def _stars(n=400):
    rng = np.random.default_rng(1)
    flux = 10 ** rng.uniform(3, 5, n)
    return {
        "x": rng.uniform(0, 1999, n),
        "y": rng.uniform(0, 999, n),
        "flux_e": flux,
        "snr": np.sqrt(flux),
        "neighbour_fraction": np.zeros(n),
        "saturated": np.zeros(n, bool),
    }


def test_bright_stars_are_taken_all_over_the_chip() -> None:
    stars = _stars()
    stars["flux_e"][stars["x"] < 1000] *= 100  # the brightest are all on one side
    chosen = select_psf_stars(**stars, shape=SHAPE, max_stars=50)
    assert len(chosen) == len(set(chosen)) == 50
    counts = np.histogram2d(
        stars["y"][chosen], stars["x"][chosen], bins=5, range=[[0, 1000], [0, 2000]]
    )
    np.testing.assert_array_equal(counts[0], 2)


def test_saturated_faint_and_outside_stars_are_not_taken() -> None:
    stars = _stars()
    stars["saturated"][:50] = True
    stars["x"][50:60] = -5
    chosen = select_psf_stars(**stars, shape=SHAPE, max_stars=1000, min_snr=50)
    assert chosen.min() >= 60
    assert stars["snr"][chosen].min() >= 50
    assert len(chosen) == np.count_nonzero(stars["snr"][60:] >= 50)


def test_isolated_stars_come_before_others() -> None:
    stars = {key: value[:2] for key, value in _stars().items()}
    stars |= {"x": np.full(2, 10.0), "y": np.full(2, 10.0), "snr": np.full(2, 99.0)}
    stars["flux_e"] = np.array([1.2e4, 1e4])
    stars["neighbour_fraction"] = np.array([0.3, 0.0])
    np.testing.assert_array_equal(select_psf_stars(**stars, shape=SHAPE), [1, 0])


def test_stars_among_brighter_neighbours_are_not_taken() -> None:
    stars = _stars()
    stars["neighbour_fraction"][:200] = 0.8
    assert select_psf_stars(**stars, shape=SHAPE).min() >= 200


def test_outliers_in_chi_and_sharpness_are_not_taken() -> None:
    stars = _stars()
    rng = np.random.default_rng(2)
    chi, sharpness = rng.normal(1, 0.1, 400), rng.normal(0, 0.02, 400)
    chi[:20], sharpness[20:40], chi[40:60] = 3.0, -0.5, np.nan
    chosen = select_psf_stars(**stars, shape=SHAPE, chi=chi, sharpness=sharpness, max_stars=1000)
    assert not np.isin(np.arange(40), chosen).any()
    assert np.isin(np.arange(40, 60), chosen).any()  # not known is no fault


def test_without_stars_none_is_chosen() -> None:
    stars = {key: value[:0] for key, value in _stars().items()}
    assert len(select_psf_stars(**stars, shape=SHAPE)) == 0

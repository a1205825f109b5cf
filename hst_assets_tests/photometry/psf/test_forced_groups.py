"""Means of forced fluxes in groups of images."""

import numpy as np
import pytest

from hst_assets.photometry.psf.forced import ForcedFluxes
from hst_assets.photometry.psf.forced_groups import grouped_fluxes


def fluxes_of(rate, error, flag=0, in_common=0.0):
    """Fluxes of places of which only rates and flags matter."""
    rate, error = np.asarray(rate, dtype=float), np.asarray(error, dtype=float)
    k, n = rate.shape
    planes = dict.fromkeys(
        ("local_sky_e", "sky_e", "expected_e", "chip_x", "chip_y", "chi"), np.zeros((k, n))
    )
    return ForcedFluxes(
        x=np.zeros(n),
        y=np.zeros(n),
        counts_e=rate,
        counts_error_e=error,
        width_error_e=np.broadcast_to(in_common, (k, n)).astype(float),
        rate_e_s=rate,
        rate_error_e_s=error,
        flag=np.broadcast_to(flag, (k, n)).astype(np.int32),
        replaced=np.full(n, -1),
        image_names=tuple(str(at) for at in range(k)),
        **planes,
    )


def test_means_of_groups_have_right_errors():
    """Of 4000 places: 0.03 is three standard errors of the width, 0.04 of the mean chi-squared."""
    rng = np.random.default_rng(1)
    error = np.broadcast_to([[1.0], [2.0], [0.5], [1.5]], (4, 4000))
    groups = grouped_fluxes(
        fluxes_of(7 + rng.normal(0, error), error), {"first": [0, 1], "all": range(4)}
    )
    pull = (groups.rate_e_s - 7) / groups.rate_error_e_s
    assert pull.std(axis=1) == pytest.approx([1, 1], abs=0.035)
    assert abs(pull.mean(axis=1)).max() < 3 / np.sqrt(4000)
    assert groups.chi2[1].mean() / 3 == pytest.approx(1, abs=0.04)
    assert groups.rate_error_e_s[0] == pytest.approx(np.sqrt(1 / (1 + 1 / 4)))
    assert (groups.n_images == [[2], [4]]).all()


def test_a_group_leaves_out_flagged_images():
    fluxes = fluxes_of([[1.0], [2.0], [3.0]], [[1.0], [1.0], [1.0]], [[1], [9], [0]])
    groups = grouped_fluxes(fluxes, {"none": [0, 1], "one": [0, 1, 2]})
    assert np.isnan(groups.rate_e_s[0, 0])
    assert np.isinf(groups.rate_error_e_s[0, 0])
    assert groups.n_images[:, 0].tolist() == [0, 1]
    assert groups.rate_e_s[1, 0] == 3.0
    taken = grouped_fluxes(fluxes, {"edge": [0, 1]}, flag_mask=6)
    assert taken.rate_e_s[0, 0] == 1.0


def test_an_image_that_measured_nothing_does_not_count():
    groups = grouped_fluxes(fluxes_of([[np.nan], [2.0]], [[np.inf], [1.0]]), {"both": [0, 1]})
    assert groups.rate_e_s[0, 0] == 2.0
    assert groups.n_images[0, 0] == 1


def test_without_groups_there_are_no_means():
    none = grouped_fluxes(fluxes_of(np.ones((2, 5)), np.ones((2, 5))), {})
    assert none.names == ()
    assert none.rate_e_s.shape == none.n_images.shape == (0, 5)


def test_an_error_in_common_is_in_a_mean_once_and_not_in_its_chi_squared():
    """Noise of 1 and 2, and 3 that both images have in common."""
    rng = np.random.default_rng(2)
    noise = np.broadcast_to([[1.0], [2.0]], (2, 4000))
    rate = 7 + rng.normal(0, noise) + rng.normal(0, 3.0, 4000)
    groups = grouped_fluxes(fluxes_of(rate, np.hypot(noise, 3.0), in_common=3.0), {"all": [0, 1]})
    assert groups.rate_error_e_s[0] == pytest.approx(np.sqrt(1 / (1 + 1 / 4) + 9))
    # 4000 places: 0.035 is three standard errors of the width, 0.07 of the mean chi-squared.
    assert ((groups.rate_e_s - 7) / groups.rate_error_e_s).std() == pytest.approx(1, abs=0.035)
    assert groups.chi2.mean() == pytest.approx(1, abs=0.07)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.astrometry import matching
from hst_assets.failures import UnusableInput
from hst_assets_tests.astrometry.conftest import rotation_matrix


def test_nearest_pairs_are_mutual_and_within_the_radius():
    first = np.array([[0.0, 0.0], [0.4, 0.0], [10.0, 10.0]])
    second = np.array([[0.1, 0.0], [50.0, 50.0]])
    a, b = matching.nearest(first, second, 1.0)
    assert (a.tolist(), b.tolist()) == ([0], [0])


def test_nearest_of_nothing_is_nothing():
    assert len(matching.nearest(np.zeros((0, 2)), np.ones((3, 2)), 1.0)[0]) == 0


@given(st.floats(-20, 20), st.floats(-20, 20))
def test_the_offset_peak_is_the_offset(dx, dy):
    stars = np.random.default_rng(3).uniform(0, 500, (40, 2))
    n_pairs, offset = matching.offset_peak(stars, stars + np.array([dx, dy]), search=25, radius=1.0)
    assert n_pairs >= 40
    assert offset == pytest.approx([dx, dy], abs=0.1)


def test_the_peak_can_be_told_to_avoid_zero():
    stars = np.random.default_rng(3).uniform(0, 500, (40, 2))
    n_pairs, _ = matching.offset_peak(stars, stars, search=25, radius=1.0, avoid=3.0)
    assert n_pairs < 10


@given(st.floats(-0.2, 0.2), st.floats(0.999, 1.001), st.floats(-30, 30))
def test_rigid_motion_gives_back_what_was_done(turn, scale, shift):
    before = np.random.default_rng(4).uniform(-300, 300, (30, 2))
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    after = scale * before @ np.array([[cos, sin], [-sin, cos]]) + [shift, -shift]
    _, got_turn, got_scale = matching.rigid_motion(before, after)
    assert got_turn == pytest.approx(turn, abs=1e-9)
    assert got_scale == pytest.approx(scale, abs=1e-12)


def test_contrast_of_true_pairs_is_high_and_of_unrelated_lists_is_not():
    rng = np.random.default_rng(5)
    stars, others = rng.uniform(0, 1000, (80, 2)), rng.uniform(0, 1000, (80, 2))
    true, *_ = matching.contrast(stars, stars + 0.1, search=25, radius=1.0)
    false, *_ = matching.contrast(stars, others, search=25, radius=1.0)
    assert true > 10
    assert false < 1


def test_contrast_sees_a_second_population_at_another_offset():
    rng = np.random.default_rng(6)
    stars, hot = rng.uniform(0, 1000, (60, 2)), rng.uniform(0, 1000, (50, 2))
    reference = np.vstack([stars, hot + np.array([9.0, -4.0])])
    ratio, n_pairs, n_rival = matching.contrast(
        np.vstack([stars, hot]), reference, search=25, radius=1.0
    )
    assert n_pairs >= 60
    assert n_rival >= 50
    assert ratio < 1.5


@pytest.mark.parametrize(("apart", "limit"), [(0.8, 5.0), (1.4, 1.5), (2.5, 1.5)])
def test_a_second_population_leaves_a_fit_without_uniqueness(apart, limit):
    rng = np.random.default_rng(8)
    stars = rng.uniform(0, 1000, (200, 2))
    reference = stars + rng.normal(0, 0.1, stars.shape)
    reference[:100, 0] += apart
    # Up to a pixel apart they count as one place, in whose middle the fit lies.
    middle = stars + np.array([apart / 2 if apart < 2 else 0, 0])
    ratio = matching.uniqueness(middle, reference, radius=0.5, reach=75)
    assert (ratio > limit) == (apart < 1)


def test_stars_on_a_lattice_have_another_place_within_reach_only():
    columns, rows = np.meshgrid(np.arange(0, 1000, 50.0), np.arange(0, 1000, 50.0))
    stars = np.column_stack([columns.ravel(), rows.ravel()])
    assert matching.uniqueness(stars, stars, radius=0.5, reach=75) < 1.2
    assert matching.uniqueness(stars, stars, radius=0.5, reach=40) == 400


@pytest.mark.parametrize("geometry", ["shift", "rshift", "rscale", "general"])
def test_a_fit_changes_what_its_geometry_may(geometry):
    rng = np.random.default_rng(9)
    image = rng.uniform(0, 1000, (50, 2))
    matrix = {
        "shift": np.eye(2),
        "rshift": rotation_matrix(0.05),
        "rscale": 1.0005 * rotation_matrix(0.05),
        "general": rotation_matrix(0.05) @ np.diag([1.0005, 0.9996]),
    }
    for other, what in matrix.items():
        reference = image @ what + [3.0, -2.0]
        motion = matching.fit_motion(image, reference, geometry)
        left = np.abs(motion(image) - reference).max()
        allowed = list(matrix).index(other) <= list(matrix).index(geometry)
        assert (left < 1e-9) == allowed


def test_a_motion_is_found_though_its_rotation_hides_most_pairs():
    rng = np.random.default_rng(10)
    stars = rng.uniform(0, 4000, (300, 2))
    image = (stars - 2000) @ rotation_matrix(-0.09) + 2000 + rng.normal(0, 0.05, stars.shape)
    motion = matching.find_motion(image, stars, "rshift", search=25, radius=1.0)
    assert np.abs(motion(image) - stars).max() < 0.4


def test_chance_pairs_are_those_of_the_density():
    rng = np.random.default_rng(7)
    image, reference = rng.uniform(0, 1000, (300, 2)), rng.uniform(0, 1000, (2000, 2))
    expected = 300 * 2000 * np.pi * 2.0**2 / 1000**2
    # Poisson scatter of a mean of eight, edges lost to the displacement, mutual pairs only.
    assert matching.chance_pairs(image, reference, radius=2.0, search=20) == pytest.approx(
        expected, rel=0.25
    )


# ----------------------------------------------------------------------- the fit by tweakwcs

GEOMETRIES = ["shift", "rshift", "rscale", "general"]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_map_is_found_and_outliers_are_left_out(geometry):
    rng = np.random.default_rng(5)
    image = rng.uniform(0, 1000, (50, 2))
    angle, scale = {"shift": (0, 1), "rshift": (1e-3, 1)}.get(geometry, (1e-3, 1.0002))
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    true = np.array([[cos, -sin], [sin, cos]])
    reference = image @ true.T + [3.0, -2.0] + rng.normal(0, 0.01, image.shape)
    reference[7] += 5.0
    matrix, shift, used = matching.fit_linear(image, reference, geometry, name="a")
    assert not used[7]
    assert used.sum() >= 45
    # The error of a star over the root of their number, with a margin.
    assert image @ matrix.T + shift == pytest.approx(image @ true.T + [3.0, -2.0], abs=0.01)


@pytest.mark.parametrize(("geometry", "n_terms"), [("rshift", 3), ("general", 6)])
@pytest.mark.parametrize("n_stars", [20, 100])
def test_one_wrong_pair_in_ten_does_not_pull_the_fit(geometry, n_terms, n_stars):
    """Wrong by up to 1.5 pixel: the error is that of the good ones, 0.05 sqrt(n_terms / n)."""
    off = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        image = rng.uniform(0, 1000, (n_stars, 2))
        reference = image + rng.normal(0, 0.05, image.shape)
        reference[: n_stars // 10] += rng.uniform(-1.5, 1.5, (n_stars // 10, 2))
        matrix, shift, _ = matching.fit_linear(image, reference, geometry, name="a")
        off.append(np.sqrt(np.mean((image @ matrix.T + shift - image) ** 2)))
    # On one axis; 1.4 for what is not clipped or clipped in vain. It was 3 times as much.
    assert np.median(off) < 1.4 * 0.05 * np.sqrt(n_terms / 2 / (0.9 * n_stars))


@pytest.mark.parametrize("geometry", ["rscale", "general"])
def test_stars_at_one_place_are_refused_by_name(geometry):
    one_place = np.full((12, 2), 100.0)
    with pytest.raises(UnusableInput, match="there is no fit") as error:
        matching.fit_linear(one_place, one_place + 1, geometry, name="isim01a0q")
    assert error.value.where == "isim01a0q"


def test_stars_on_a_line_have_no_general_fit():
    line = np.column_stack([np.arange(12.0), 2 * np.arange(12.0)])
    with pytest.raises(UnusableInput, match="there is no fit"):
        matching.fit_linear(line, line, "general", name="isim01a0q")

"""Lists of artificial stars: where they lie, how bright they are, and what is rejected."""

import numpy as np
import pytest
from pydantic import ValidationError

from hst_assets.failures import UnusableInput
from hst_assets.photometry.artificial_stars.lists import KnownStars, star_list
from hst_assets.settings.artificial_stars import ArtificialStarSettings

SCALE_ARCSEC = 0.05
FIELD = np.zeros((300, 400), dtype=bool)
FIELD[50:250, 100:300] = True


def known(n=2000, seed=2):
    """Stars in the left half of the field; bright ones are red (1.5 mag), faint ones blue (0)."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(20, 26, n)
    colour = np.where(first < 23, 1.5, 0.0)
    return KnownStars(
        rng.uniform(110, 190, n),
        rng.uniform(60, 240, n),
        np.column_stack([first, first - colour]),
    )


def listed(*, stars=None, target=None, field=FIELD, **settings):
    settings = ArtificialStarSettings(**{"n_stars": 4000, **settings})
    return star_list(
        known() if stars is None else stars,
        field,
        settings,
        scale_arcsec=SCALE_ARCSEC,
        target=target,
    )


def test_uniform_positions_fill_the_exposed_pixels_and_no_others():
    """X of a pixel runs from its index to index + 1; counts of quarters within 4 sigma."""
    stars = listed()
    assert FIELD[np.floor(stars.y).astype(int) - (stars.y == 250), stars.x.astype(int)].all()
    left, low = stars.x < 200, stars.y < 150
    for quarter in (left & low, left & ~low, ~left & low, ~left & ~low):
        assert quarter.sum() == pytest.approx(1000, abs=4 * np.sqrt(750))
    assert stars.x.min() == pytest.approx(100, abs=0.5)
    assert stars.x.max() == pytest.approx(300, abs=0.5)


def test_positions_follow_the_density_of_the_catalogue():
    stars = listed(positions="density", scatter_arcsec=0.25)
    assert np.mean(stars.x < 200) > 0.95
    spread = listed(positions="density", scatter_arcsec=5.0)
    assert np.mean(spread.x < 200) < 0.8


def test_positions_around_the_target_fill_its_circle():
    """Half of the stars lie within the radius over the root of two: uniform in area."""
    stars = listed(positions="target", radius_arcsec=2.0, target=(200.0, 150.0))
    distance = np.hypot(stars.x - 200, stars.y - 150)
    assert distance.max() < 40 + 0.01
    assert np.mean(distance < 40 / np.sqrt(2)) == pytest.approx(0.5, abs=0.032)


def test_a_target_at_the_border_has_its_stars_on_exposed_pixels():
    stars = listed(positions="target", radius_arcsec=2.0, target=(100.0, 50.0))
    assert (stars.x >= 100).all()
    assert (stars.y >= 50).all()


def test_magnitudes_of_the_first_filter_are_uniform_beyond_the_catalogue():
    first = listed().magnitudes[:, 0]
    assert first.min() == pytest.approx(20.06, abs=0.03)  # the first percentile of 20 to 26
    assert first.max() == pytest.approx(25.94 + 1.5, abs=0.03)
    counts, _ = np.histogram(first, bins=5)
    assert counts == pytest.approx(np.full(5, 800), abs=4 * np.sqrt(800))


def test_colours_are_those_of_stars_of_that_magnitude():
    magnitudes = listed(colour_scatter_mag=0.0).magnitudes
    colour = magnitudes[:, 0] - magnitudes[:, 1]
    assert colour[magnitudes[:, 0] < 22.5] == pytest.approx(1.5, abs=0.002)  # printed to 0.001
    assert colour[magnitudes[:, 0] > 23.5] == pytest.approx(0.0, abs=0.002)


def test_uniform_colours_and_given_ends():
    stars = listed(colours="uniform", colour_range_mag=(0.0, 2.0), bright_mag=18.0, faint_mag=19.0)
    colour = stars.magnitudes[:, 0] - stars.magnitudes[:, 1]
    assert 0 <= colour.min() < 0.02
    assert 1.98 < colour.max() <= 2.0
    assert stars.magnitudes[:, 0].min() >= 18
    assert stars.magnitudes[:, 0].max() <= 19


def test_the_same_seed_gives_the_same_list():
    assert np.array_equal(listed().x, listed().x)
    assert not np.array_equal(listed().x, listed(seed=2).x)


EMPTY = KnownStars(np.empty(0), np.empty(0), np.empty((0, 2)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"field": np.zeros((5, 5), bool)}, "no pixel of the reference image is exposed"),
        ({"positions": "target"}, "the target has no position"),
        ({"positions": "target", "target": (-500.0, 0.0)}, "0 lie on exposed pixels"),
        ({"stars": EMPTY, "positions": "density"}, "no star that passes the cuts"),
        ({"stars": EMPTY}, "no star from which to take the range"),
        ({"stars": EMPTY, "bright_mag": 20, "faint_mag": 21}, "measured in both filters"),
        ({"bright_mag": 29}, "not from bright to faint"),
    ],
)
def test_what_cannot_be_drawn_says_what_to_set(options, words):
    with pytest.raises(UnusableInput, match=words):
        listed(**options)


@pytest.mark.parametrize(
    "settings",
    [
        {"bright_mag": 25.0, "faint_mag": 20.0},
        {"colour_range_mag": (1.0, 0.0)},
        {"n_stars": 0},
    ],
)
def test_impossible_settings_are_rejected(settings):
    with pytest.raises(ValidationError):
        ArtificialStarSettings(**settings)

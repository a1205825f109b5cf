from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.imaging.quality import (
    Chip,
    bad_fraction,
    cosmic_ray_problems,
    flux_ratio,
    footprint_mask,
    judge,
    lost_star_problems,
    weight_problems,
)
from hst_assets.settings import DrizzleSettings
from hst_assets_tests.imaging.star_grid import FRAME, INSIDE, stars

UVIS = DETECTORS["wfc3_uvis"]


def weights(value: float = 100.0) -> np.ndarray:
    return np.full(FRAME.shape, value, np.float32)


def problems_of(wht: np.ndarray, inside: np.ndarray = INSIDE, **changes) -> list[str]:
    figures = {"exptime_s": 100.0, "area_ratio": 1.0, "pixfrac": 0.8, "weight_type": "EXP"}
    return weight_problems(wht, inside, **(figures | changes))


def chip(rate: np.ndarray, area_ratio: float = 1.0, good: np.ndarray | None = None) -> Chip:
    return Chip(rate, INSIDE if good is None else good, FRAME.wcs, 0.04**2 / area_ratio)


def test_the_footprint_is_the_polygon() -> None:
    corners = FRAME.wcs.wcs_pix2world([[19.6, 29.6], [99.4, 29.6], [99.4, 79.4], [19.6, 79.4]], 0)
    mask = footprint_mask(FRAME, [corners])
    assert mask[30:80, 20:100].all()
    # One pixel of tolerance on each side: the polygon is filled to whole pixels.
    assert mask.sum() <= (80 + 2) * (50 + 2)


def test_the_bad_fraction_counts_holes_and_values_that_are_not_finite() -> None:
    sci, wht = np.zeros(FRAME.shape), weights()
    wht[:20] = 0.0
    sci[20:40] = np.nan
    assert bad_fraction(sci, wht, INSIDE) == pytest.approx(0.2)
    assert bad_fraction(sci, wht, np.zeros(FRAME.shape, bool)) == 1.0


def test_good_weights_have_no_problem() -> None:
    assert problems_of(weights()) == []


def test_negative_weights_are_a_problem() -> None:
    wht = weights()
    wht[5, 5] = -1.0
    assert any("negative" in problem for problem in problems_of(wht))


def test_weights_that_are_not_finite_are_a_problem() -> None:
    wht = weights()
    wht[5, 5] = np.inf
    assert any("not finite" in problem for problem in problems_of(wht))


def test_doubled_exposure_time_is_a_problem() -> None:
    assert any("exposed were 100 s" in problem for problem in problems_of(weights(200.0)))


def test_the_upper_limit_holds_for_exposure_time_only() -> None:
    assert problems_of(weights(1e6), weight_type="ERR") == []


def test_weight_outside_the_footprint_is_a_problem() -> None:
    inside = np.zeros(FRAME.shape, bool)
    inside[50:100, 50:100] = True
    assert any("outside" in problem for problem in problems_of(weights(), inside))


@pytest.mark.parametrize("kept", [1.0, 0.9])
def test_the_flux_ratio_finds_lost_light(kept: float) -> None:
    flux = flux_ratio(stars(kept), weights(), FRAME, [chip(stars())], detector=UVIS)
    assert flux.n_stars == 9
    # 0.3 %: the noise of nine stars of S/N 300.
    assert flux.ratio == pytest.approx(kept, abs=0.003)


def test_the_pixel_area_enters_the_flux_ratio() -> None:
    """A pixel of 1.1 times the nominal area shows 1.1 times too little of a star."""
    flux = flux_ratio(stars(1.1), weights(), FRAME, [chip(stars(), area_ratio=1.1)], detector=UVIS)
    assert flux.ratio == pytest.approx(1.0, abs=0.003)


def test_a_cosmic_ray_on_one_exposure_does_not_matter() -> None:
    struck = stars()
    struck[44:56, 44:156] += 50.0
    exposures = [chip(stars()), chip(struck), chip(stars())]
    flux = flux_ratio(stars(), weights(), FRAME, exposures, detector=UVIS)
    assert flux.ratio == pytest.approx(1.0, abs=0.003)


def exposures_named(*rates: np.ndarray) -> list[Chip]:
    return [replace(chip(rate), rootname=f"ia{n}") for n, rate in enumerate(rates)]


def problems_at_stars(*rates: np.ndarray) -> list[str]:
    exposures = exposures_named(*rates)
    flux = flux_ratio(stars(), weights(), FRAME, exposures, detector=UVIS)
    return lost_star_problems(flux, weights(), FRAME, exposures, detector=UVIS)


def test_an_exposure_that_is_not_where_its_wcs_says_is_named() -> None:
    moved = np.roll(stars(), 14, axis=1)
    assert problems_at_stars(stars(), moved, stars()) == [
        "ia1 shows other fluxes than the product at most of its stars"
    ]
    assert problems_at_stars(stars(), stars(), stars(0.8)) == []


def test_of_two_exposures_none_is_called_wrong() -> None:
    """One confirms too little: what it does not show may be a cosmic ray."""
    assert problems_at_stars(stars(), np.roll(stars(), 14, axis=1)) == []


@pytest.mark.parametrize(("fraction", "n_problems"), [(0.0, 0), (0.05, 0), (0.31, 1)])
def test_so_many_cosmic_rays_there_are_not(fraction: float, n_problems: int) -> None:
    assert len(cosmic_ray_problems(fraction)) == n_problems


def test_too_few_stars_give_no_ratio() -> None:
    sky = np.random.default_rng(1).normal(0.3, 0.01, FRAME.shape)
    flux = flux_ratio(sky, weights(), FRAME, [chip(sky)], detector=UVIS)
    assert flux.ratio is None


def many_stars(seed: int = 1, *, shown: bool = True) -> np.ndarray:
    """Sixteen stars, or the sky alone; with cosmic rays of its own."""
    rows, columns = np.mgrid[: FRAME.ny, : FRAME.nx]
    rng = np.random.default_rng(seed)
    image = rng.normal(0.3, 0.01, FRAME.shape)
    for x in (40, 80, 120, 160):
        for y in (40, 80, 120, 160):
            image += shown * 5.0 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 1.45)
    image[tuple(rng.integers(20, 180, (2, 40)))] += 20.0
    return image.astype(np.float32)


def lost(wht: np.ndarray, exposures: list[Chip]) -> list[str]:
    """The problems of a product that shows no star."""
    sky = np.random.default_rng(7).normal(0.3, 0.01, FRAME.shape).astype(np.float32)
    flux = flux_ratio(sky, wht, FRAME, exposures, detector=UVIS)
    assert flux.ratio is None
    return lost_star_problems(flux, wht, FRAME, exposures, detector=UVIS)


def test_a_product_that_lost_all_its_stars_is_a_problem() -> None:
    (problem,) = lost(weights(), [chip(many_stars(1)), chip(many_stars(2))])
    assert problem.startswith("0 stars can be compared")


def test_a_field_without_stars_is_none() -> None:
    """Only cosmic rays, at other places on each exposure."""
    assert lost(weights(), [chip(many_stars(seed, shown=False)) for seed in (1, 2, 3)]) == []


def test_one_exposure_cannot_tell_stars_from_cosmic_rays() -> None:
    assert lost(weights(), [chip(many_stars())]) == []


def test_stars_where_the_product_has_no_weight_are_not_missed() -> None:
    wht = weights()
    wht[:, 60:] = 0.0
    assert lost(wht, [chip(many_stars(1)), chip(many_stars(2))]) == []


def test_a_product_with_a_ratio_has_lost_nothing() -> None:
    exposures = [chip(many_stars(1)), chip(many_stars(2))]
    flux = flux_ratio(many_stars(3), weights(), FRAME, exposures, detector=UVIS)
    assert flux.ratio is not None
    assert lost_star_problems(flux, weights(), FRAME, exposures, detector=UVIS) == []


def test_stars_on_bad_pixels_are_left_out() -> None:
    good = INSIDE.copy()
    good[48:52, :] = False
    flux = flux_ratio(stars(), weights(), FRAME, [chip(stars(), good=good)], detector=UVIS)
    assert flux.n_stars == 6


@pytest.mark.parametrize(
    ("bad", "ratio", "n_problems"),
    [(0.01, 1.0, 0), (0.3, 1.0, 1), (0.01, 0.9, 1), (0.3, 1.1, 2), (0.01, None, 0)],
)
def test_figures_are_judged_by_the_settings(
    bad: float, ratio: float | None, n_problems: int
) -> None:
    assert len(judge(bad, ratio, DrizzleSettings())) == n_problems


@pytest.mark.parametrize("where", [(0, 0), (FRAME.nx - 1, FRAME.ny - 1), (FRAME.nx - 2, 100)])
def test_a_star_at_the_edge_does_no_harm(where: tuple[int, int]) -> None:
    image = stars()
    image[where[1], where[0]] += 100.0
    flux = flux_ratio(image, weights(), FRAME, [chip(image)], detector=UVIS)
    assert flux.n_stars == 9
    assert flux.ratio == pytest.approx(1.0, abs=1e-3)


def test_lanczos3_reaches_further_than_a_square_drop() -> None:
    inside = np.zeros(FRAME.shape, bool)
    inside[50:150, 50:150] = True
    wht = weights(0.0)
    wht[45:155, 45:155] = 100.0
    assert problems_of(wht, inside)
    assert not problems_of(wht, inside, kernel="lanczos3")

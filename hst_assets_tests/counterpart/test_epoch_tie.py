"""How well two groups of exposures are tied to each other, against shifts that are known."""

import math

import numpy as np
import pytest

from hst_assets.counterpart.epoch_tie import ExposureResiduals, frame_tie, tie_terms
from hst_assets.counterpart.error_circle import ErrorBudget

PLACE = (150.1, 2.2)
N_STARS = 40
ARCSEC = 1 / 3600


def stars(rng, n=N_STARS):
    """RA and Dec within half an arcminute about the place."""
    east, north = rng.uniform(-30, 30, (2, n)) * ARCSEC
    return PLACE[0] + east / math.cos(math.radians(PLACE[1])), PLACE[1] + north


def exposure(rng, sky, reference_mas, *, error_mas=2.0, name="a", **more):
    """Residuals of a shift's fit, and by how much its frame is off (east, north)."""
    own = rng.normal(0, error_mas, (len(sky[0]), 2))
    left = reference_mas - own
    frame = left.mean(axis=0)
    east, north = (left - frame).T
    return ExposureResiduals(name, *sky, east, north, **more), frame


def pair(rng, *, shared=True, n_exposures=2, error_mas=2.0, reference_error_mas=2.0):
    """Error of two frames against each other, as told and as it is."""
    sky = stars(rng)
    reference = rng.normal(0, reference_error_mas, (N_STARS, 2))
    ties, frames = [], []
    for name in ("later", "earlier"):
        if not shared and name == "earlier":
            sky, reference = stars(rng), rng.normal(0, reference_error_mas, (N_STARS, 2))
        made = [exposure(rng, sky, reference, error_mas=error_mas) for _ in range(n_exposures)]
        ties.append(frame_tie(name, [each for each, _ in made], PLACE, geometry="shift"))
        frames.append(np.mean([frame for _, frame in made], axis=0))
    return ErrorBudget(tie_terms(*ties)).error_mas, frames[0] - frames[1]


@pytest.mark.parametrize("shared", [True, False])
def test_the_error_of_two_frames_is_what_they_scatter_by(shared):
    """The RMS of 400 values is known to 3.5 %: three times that."""
    rng = np.random.default_rng(3)
    told, offsets = zip(*(pair(rng, shared=shared) for _ in range(200)), strict=True)
    pulls = np.array(offsets) / np.array(told)[:, None]
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1.0, abs=0.11)


def test_errors_of_the_reference_do_not_part_frames_that_share_its_stars():
    rng = np.random.default_rng(4)
    poor = np.median([pair(rng, reference_error_mas=10.0)[0] for _ in range(20)])
    apart = np.median([pair(rng, reference_error_mas=10.0, shared=False)[0] for _ in range(20)])
    assert poor < 0.5 * apart


def test_an_exposure_that_defines_the_frame_has_no_error_in_it():
    tie = frame_tie("the earlier images", [], PLACE, geometry="rshift", is_anchor=True)
    assert tie.error_mas == 0.0
    assert "defines the frame" in tie.told


def test_too_few_stars_tell_nothing():
    rng = np.random.default_rng(5)
    residuals, _ = exposure(rng, stars(rng, 3), np.zeros((3, 2)))
    tie = frame_tie("a", [residuals], PLACE, geometry="shift")
    assert math.isnan(tie.error_mas)
    term, _ = tie_terms(tie, tie)
    assert not term.is_known


def test_a_place_outside_of_the_stars_is_known_less_well():
    rng = np.random.default_rng(6)
    residuals, _ = exposure(rng, stars(rng), np.zeros((N_STARS, 2)))
    far = (PLACE[0], PLACE[1] + 300 * ARCSEC)
    at, beside = (
        frame_tie("a", [residuals], place, geometry="rscale").error_mas for place in (PLACE, far)
    )
    assert beside > 5 * at


def test_held_out_stars_that_are_off_are_an_error():
    rng = np.random.default_rng(7)
    sky = stars(rng)
    good, bad = (
        frame_tie(
            "a",
            [exposure(rng, sky, np.zeros((N_STARS, 2)), held_out_mas=off, n_held_out=40)[0]],
            PLACE,
            geometry="shift",
        )
        for off in (0.3, 15.0)
    )
    assert good.held_out_mas == 0.0
    assert bad.error_mas > 15.0
    assert "held-out stars off by 15.0 mas" in bad.told


def test_the_floor_is_that_of_bright_stars_in_the_mean():
    """Bright ones repeat to 1 mas an exposure, faint ones to 20; four exposures: 0.5."""
    rng = np.random.default_rng(8)
    n = 200
    sky, errors = stars(rng, n), np.where(np.arange(n) < 60, 1.0, 20.0)
    made = []
    for number in range(4):
        east, north = rng.normal(0, 1, (2, n)) * errors
        made.append(ExposureResiduals(str(number), *sky, east, north, rank=np.arange(n)))
    tie = frame_tie("a", made, PLACE, geometry="shift")
    assert tie.floor_mas == pytest.approx(0.5, rel=0.2)

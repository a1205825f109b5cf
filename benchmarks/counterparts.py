"""Is what is said of counterparts true: error circles, chance probabilities, disappearances.

    .venv/bin/python benchmarks/counterparts.py [circles] [chance] [rare] [gone] [images]

``circles``: 200 pairs of epochs as star lists. Every exposure is fitted to the reference's stars by
the project's own fit; the object's place in the later epoch and the star's in the earlier one are
what these frames make of them. How often does the stated circle hold the star?

``chance``: random places in fields of uniform and of clustered stars. How often does an unrelated
star lie where the stated probability says?

``rare``: the same where that is improbable, of many more fields.

``gone``: candidates of which half are gone, by forced photometry and differences with their noise.

``images``: the circles through real (simulated) images, ingest to drizzled stacks: the centroid is
that of the fit, the alignment that of the pipeline.

The exit status is 1 if a figure is beyond its limit.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hst_assets.astrometry.alignment import make_aligned_visit, make_target_alignment
from hst_assets.astrometry.matching import find_motion, fit_linear, nearest
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.counterpart.candidates import INNER_SHARE, OUTER_SHARE
from hst_assets.counterpart.chance import chance_probability, surroundings_of
from hst_assets.counterpart.disappearance import BandDecline, judge_disappearance
from hst_assets.counterpart.epoch_tie import ExposureResiduals, FrameTie, frame_tie, tie_terms
from hst_assets.counterpart.error_circle import ErrorBudget, ErrorTerm
from hst_assets.counterpart.image_groups import group_images
from hst_assets.counterpart.image_rows import stacks_of_epochs
from hst_assets.counterpart.residuals import read_alignment_of
from hst_assets.counterpart.transient_position import centroid_floor, measured_position
from hst_assets.detectors import DETECTORS
from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.table import make_raw_manifest, make_target_table, make_visit_table
from hst_assets.failures import UnusableInput
from hst_assets.imaging.drizzling import make_stacks
from hst_assets.products.columns import read_table
from hst_assets.settings import load_settings
from hst_assets.simulate.campaign import CampaignPlan, simulate_campaign
from hst_assets.simulate.plans import epochs_plan
from hst_assets.sky_geometry import TangentPlane, separation_deg
from hst_assets.workdir import WorkDir

Floats = NDArray[np.float64]

#: The field's middle, on whose plane pixels are milliarcseconds.
PLACE = (150.1, 2.2)
PLANE = TangentPlane(*PLACE, 1e-3)
PIXEL_MAS, FWHM_MAS = 39.62, 79.2
#: Error of a centroid on one exposure: floor, and the width over the signal-to-noise ratio; stars
#: with neighbours have larger ones (as `hst_assets.simulate.star_lists` measured them).
FLOOR_MAS, BLENDED_SHARE, BLENDED_FACTOR = 0.02 * PIXEL_MAS, 0.08, 5.0
INNER_LIMITS, OUTER_LIMIT = (0.61, 0.75), 0.97


# ---------------------------------------------------------------------------------- circles


@dataclass(frozen=True, eq=False)
class Exposure:
    """One exposure's frame as its fit made it: where true places come to lie, and residuals."""

    matrix: Floats
    shift: Floats
    residuals: ExposureResiduals

    def place(self, measured: Floats) -> Floats:
        return self.matrix @ measured + self.shift


def centroid_errors(rng: np.random.Generator, snr: Floats) -> Floats:
    error = np.hypot(FLOOR_MAS, FWHM_MAS / 2.3548 / snr)
    blended = rng.random(len(snr)) < BLENDED_SHARE
    return np.where(blended, BLENDED_FACTOR * error, error)


def fitted(
    rng: np.random.Generator,
    stars: Floats,
    snr: Floats,
    reference: Floats,
    sky: Floats,
    ranks: NDArray[np.int64],
    name: str,
) -> Exposure | None:
    """An exposure whose header is wrong by a shift and a turn, fitted to the reference's stars."""
    seen = rng.random(len(stars)) < 0.9
    errors = rng.normal(0, 1, (len(stars), 2)) * centroid_errors(rng, snr)[:, None]
    turn = math.radians(rng.normal(0, 0.005))
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    offset = rng.normal(0, 200.0, 2)
    image = (stars + errors)[seen] @ rotation.T + offset
    radius = 1.0 * PIXEL_MAS
    motion = find_motion(image, reference, "rshift", search=1500.0, radius=radius)
    if motion is None:
        return None
    a, b = nearest(motion(image), reference, radius)
    matrix, shift, used = fit_linear(image[a], reference[b], "rshift", name=name)
    residual = (reference[b] - (image[a] @ matrix.T + shift))[used]
    held = rng.permutation(np.count_nonzero(used))[: max(np.count_nonzero(used) // 4, 1)]
    rest = np.setdiff1d(np.arange(np.count_nonzero(used)), held)
    m2, s2, _ = fit_linear(image[a][used][rest], reference[b][used][rest], "rshift", name=name)
    out = reference[b][used][held] - (image[a][used][held] @ m2.T + s2)
    residuals = ExposureResiduals(
        rootname=name,
        ra_deg=sky[b][used][:, 0],
        dec_deg=sky[b][used][:, 1],
        east_mas=-residual[:, 0],
        north_mas=residual[:, 1],
        held_out_mas=float(np.abs(np.median(out, axis=0)).max()),
        n_held_out=len(held),
        rank=ranks[b][used],
    )
    # What the frame makes of a true place: through the header's error, and back by the fit.
    return Exposure(matrix @ rotation, matrix @ offset + shift, residuals)


def circle_pair(rng: np.random.Generator) -> tuple[float, float, dict[str, float]] | None:
    """Separation and total error (mas) of one pair of epochs, with the terms."""
    n_stars = int(10 ** rng.uniform(1.1, 2.3))
    half = rng.uniform(20e3, 80e3)
    stars = rng.uniform(-half, half, (n_stars, 2))
    snr = rng.uniform(5, 20) * rng.power(0.55, n_stars) ** -1.0
    n_early, n_late = rng.integers(1, 5, 2)
    drawn = [rng.normal(0, 1, (n_stars, 2)) * centroid_errors(rng, snr)[:, None] for _ in range(3)]
    reference = stars + np.mean(drawn, axis=0)
    sky = np.column_stack(PLANE.wcs().all_pix2world(*reference.T, 0))
    ranks = np.argsort(np.argsort(-snr))
    groups = []
    for name, count in (("the later images", n_late), ("the earlier images", n_early)):
        members = [
            fitted(rng, stars, snr, reference, sky, ranks, f"{name} {n}") for n in range(int(count))
        ]
        if None in members:
            return None
        groups.append(members)
    place = rng.uniform(-0.8 * half, 0.8 * half, 2)
    sky_place = tuple(float(v) for v in np.ravel(PLANE.wcs().all_pix2world(*place[:, None], 0)))
    late, early = (
        frame_tie(name, [one.residuals for one in group], sky_place, geometry="rshift")
        for name, group in zip(("later", "earlier"), groups, strict=True)
    )
    if not (math.isfinite(late.error_mas) and math.isfinite(early.error_mas)):
        return None
    return _compared(rng, place, groups, late, early)


def _compared(
    rng: np.random.Generator,
    place: Floats,
    groups: list[list[Exposure]],
    late: FrameTie,
    early: FrameTie,
) -> tuple[float, float, dict[str, float]]:
    """The object in the later, the star in the earlier epoch, each in its frame."""
    found, own = [], []
    for group, tie in zip(groups, (late, early), strict=True):
        snr = 10 ** rng.uniform(0.7, 2.5)
        photons = FWHM_MAS / 2.3548 / snr
        true_error = math.hypot(photons, FLOOR_MAS / math.sqrt(len(group)))
        floor = tie.floor_mas if math.isfinite(tie.floor_mas) else tie.scatter_mas
        own.append(math.hypot(photons, floor))
        measured = place + rng.normal(0, true_error, 2)
        found.append(np.mean([one.place(measured) for one in group], axis=0))
    budget = ErrorBudget(
        (
            ErrorTerm("centroid of the object", own[0], ""),
            *tie_terms(late, early),
            ErrorTerm("centroid of the source", own[1], ""),
        )
    )
    terms = {term.name: term.error_mas for term in budget.terms}
    return float(np.hypot(*(found[0] - found[1]))), budget.error_mas, terms


def circles(n_pairs: int, seed: int = 1) -> bool:
    rng = np.random.default_rng(seed)
    rows: list[tuple[float, float, dict[str, float]]] = []
    while len(rows) < n_pairs:
        row = circle_pair(rng)
        if row is not None:
            rows.append(row)
    apart, error = np.array([row[:2] for row in rows]).T
    for name in rows[0][2]:
        print(f"  {name}: median {np.median([row[2][name] for row in rows]):.2f} mas")
    return tell_circles(f"{n_pairs} pairs of star lists", apart, error)


def tell_circles(what: str, apart: Floats, error: Floats) -> bool:
    inner, outer = (
        float(np.mean(apart <= error * math.sqrt(-2 * math.log1p(-share))))
        for share in (INNER_SHARE, OUTER_SHARE)
    )
    rms = float(np.sqrt(np.mean((apart / error) ** 2) / 2))
    print(
        f"{what}: circle of 68 % holds {inner:.1%}, of 99 % {outer:.1%}; "
        f"RMS of the pulls on an axis {rms:.2f}; median total error {np.median(error):.1f} mas"
    )
    return INNER_LIMITS[0] <= inner <= INNER_LIMITS[1] and outer >= OUTER_LIMIT


# ----------------------------------------------------------------------------------- chance


def strewn(rng: np.random.Generator, density: float, clustered: bool) -> tuple[Floats, Floats]:
    """Stars of a field of 60 arcsec (arcsec, relative fluxes): uniform, or denser to the middle."""
    half = 30.0
    n = rng.poisson(density * (2 * half) ** 2)
    place = rng.uniform(-half, half, (n, 2))
    if clustered:
        scale = 12.0
        place = np.concatenate([place, rng.normal(0, scale, (n, 2))])
    return place, 10 ** rng.exponential(0.5, len(place))


def chance(n_fields: int, seed: int = 2) -> bool:
    """Stated and observed shares of places at which an unrelated star lies so near, by decade.

    At random places; the circle and the brightness asked for vary. An unrelated star is found where
    one at least so bright lies within the circle.
    """
    rng = np.random.default_rng(seed)
    fine = True
    for clustered in (False, True):
        stated, found = [], []
        for _ in range(n_fields):
            place, flux = strewn(rng, 10 ** rng.uniform(-1.0, 0.7), clustered)
            for _ in range(40):
                at = rng.uniform(-18, 18, 2)
                circle = 10 ** rng.uniform(-1.3, -0.2)
                asked = float(np.quantile(flux, rng.uniform(0.0, 0.9)))
                east, north = (place - at).T
                around = surroundings_of(east, north, flux, inner_arcsec=1.0, outer_arcsec=10.0)
                stated.append(chance_probability(0.0, circle, around.density(asked)))
                near = np.hypot(east, north) <= circle
                found.append(bool(np.any(near & (flux >= asked))))
        fine &= _chance_table("clustered" if clustered else "uniform", stated, found)
    return fine


def rare(n_fields: int, seed: int = 777) -> bool:
    """Small probabilities alone, of which `chance` has few hits, among uniform stars.

    Places of true probabilities up to 0.006, of which those up to 0.003 by what is stated count.
    """
    rng = np.random.default_rng(seed)
    stated, found = [], []
    for _ in range(n_fields):
        place, flux = strewn(rng, 10 ** rng.uniform(-1.0, 0.7), False)
        for _ in range(40):
            at = rng.uniform(-18, 18, 2)
            circle, share = 10 ** rng.uniform(-1.3, -0.2), rng.uniform(0.0, 0.9)
            if math.pi * circle**2 * len(flux) / 3600 * (1 - share) > 0.006:
                continue
            asked = float(np.quantile(flux, share))
            east, north = (place - at).T
            around = surroundings_of(east, north, flux, inner_arcsec=1.0, outer_arcsec=10.0)
            probability = chance_probability(0.0, circle, around.density(asked))
            if probability <= 0.003:
                stated.append(probability)
                near = np.hypot(east, north) <= circle
                found.append(bool(np.any(near & (flux >= asked))))
    return _chance_table("rare: uniform", stated, found)


def _chance_table(what: str, stated: list[float], found: list[bool]) -> bool:
    probability, hits = np.array(stated), np.array(found)
    edges = np.array([0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0])
    fine = True
    print(f"{what} stars: places, stated and observed probability")
    for low, high in pairwise(edges):
        inside = (probability > low) & (probability <= high)
        n = int(inside.sum())
        if n < 50:
            continue
        expected, observed = float(probability[inside].mean()), float(hits[inside].mean())
        error = math.sqrt(expected * (1 - expected) / n)
        print(f"  {n:6d} {expected:8.4f} {observed:8.4f} +- {error:.4f}")
        fine &= abs(observed - expected) < 3 * error + 0.1 * expected
    return fine


# ------------------------------------------------------------------------------------- gone


def gone(n_candidates: int, seed: int = 3) -> bool:
    """Candidates of which half are gone: the verdict, by signal-to-noise ratio of the change.

    The errors of forced photometry and of the difference are drawn independently for the sky of
    each measurement, and the difference has twice the noise of a good one. The ratio is that of
    the true early flux over the error of the decline that is less certain.
    """
    rng = np.random.default_rng(seed)
    right, above, false_gone, rows = [], [], 0, []
    for number in range(n_candidates):
        is_gone = number % 2 == 0
        late_error = 10 ** rng.uniform(-0.3, 0.3)
        decline_error = math.hypot(1.0, late_error)
        difference_error = 1.2 * decline_error
        snr = 10 ** rng.uniform(0.3, 1.7)
        early = snr * difference_error
        late = 0.0 if is_gone else early
        band = BandDecline(
            "wfc3_uvis.f814w",
            early + rng.normal(0, 1.0),
            1.0,
            late + rng.normal(0, late_error),
            late_error,
            early - late + rng.normal(0, difference_error),
            difference_error,
        )
        found = judge_disappearance([band], gone_sigma=3.0, detection_snr=3.0, gone_share=0.5)
        good = found.state == ("gone" if is_gone else "still there")
        false_gone += found.state == "gone" and not is_gone
        below = found.state == "gone" and min(found.forced_sigma, found.difference_sigma) < 3.0
        rows.append((snr, is_gone, found.state))
        if snr > 5.0:
            right.append(good)
            above.append(below)
    share = float(np.mean(right))
    n_below = sum(state == "gone" and snr <= 5.0 and not is_gone for snr, is_gone, state in rows)
    print(
        f"{n_candidates} candidates, half gone: verdict right for {share:.1%} of {len(right)} "
        f"above S/N 5; {false_gone} called gone that are there; "
        f"{sum(above)} called gone below 3 sigma; {n_below} wrongly gone at S/N up to 5"
    )
    return share >= 0.95 and not any(above) and false_gone == 0


# ----------------------------------------------------------------------------------- images


def images(detector_key: str = "wfc3_uvis", seeds: Sequence[int] = (22, 23)) -> bool:
    """The circles through simulated exposures that are aligned and drizzled by the pipeline.

    Every isolated star is an object of the later epoch, whose counterpart is the same star in the
    earlier one: both are fitted on the epochs' stacks. How the floor is measured was chosen on
    seeds 11, 12 and 21.
    """
    apart, error = [], []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            workdir = drizzled(Path(folder), epochs_plan(detector_key, seed=seed))
            for separation, total in pairs_on_stacks(workdir, seed):
                apart.append(separation)
                error.append(total)
    what = f"{len(apart)} pairs of simulated images of {detector_key}"
    return tell_circles(what, np.array(apart), np.array(error))


def drizzled(folder: Path, plan: CampaignPlan) -> WorkDir:
    truth = simulate_campaign(plan, folder / "campaign", max_cores=1)
    workdir = WorkDir(folder / "data", plan.name)
    report = ingest([truth.exposure_folder], workdir, ra_deg=plan.ra_deg, dec_deg=plan.dec_deg)
    settings = load_settings(workdir)
    for visit in report.visits:
        make_raw_manifest(workdir, visit)
        make_visit_table(workdir, visit, settings)
    make_target_table(workdir, report.visits, settings)
    make_reference(workdir, settings)
    for visit in report.visits:
        make_aligned_visit(workdir, visit, settings)
    make_target_alignment(workdir, report.visits, settings)
    make_stacks(workdir, settings)
    return workdir


def pairs_on_stacks(workdir: WorkDir, seed: int) -> Iterator[tuple[float, float]]:
    """Separation and total error (mas) of stars that both epochs of the first band show."""
    settings = load_settings(workdir)
    groups = group_images(read_table(workdir.target_exposures), settings.counterpart)
    stacks = stacks_of_epochs(workdir)
    band = stacks[0].band
    first, second = (each for each in stacks if each.band == band)
    alignment = read_alignment_of(workdir, settings.alignment.fit_geometry)
    members = [
        [one for one in groups.every if one.epoch == stack.epoch] for stack in (second, first)
    ]
    detector = DETECTORS[band.partition(".")[0]]
    middle = settings.target.ra_deg or 0.0, settings.target.dec_deg or 0.0
    ties = [alignment.tie("", group, middle) for group in members]
    floors = [
        centroid_floor(stack.path, tie.bright_places(), detector, places_error_mas=tie.floor_mas)
        for stack, tie in zip((second, first), ties, strict=True)
    ]
    print(f"  floors of the centroids on the stacks: {floors[0]:.2f} and {floors[1]:.2f} mas")
    catalogue = read_table(workdir.reference_catalog)
    rng = np.random.default_rng(seed)
    places = np.column_stack([np.asarray(catalogue[name]) for name in ("ra", "dec")]).astype(float)
    for place in places[rng.permutation(len(places))[:120]]:
        where = float(place[0]), float(place[1])
        late, early = (
            alignment.tie(name, group, where)
            for name, group in zip(("later", "earlier"), members, strict=True)
        )
        try:
            found, star = (
                measured_position(stack.path, *where, detector, floor_mas=floor)
                for stack, floor in zip((second, first), floors, strict=True)
            )
        except UnusableInput:
            continue  # not on both stacks, or a neighbour confuses the fit
        total = ErrorBudget((found.centroid, *tie_terms(late, early), star.centroid))
        offset = separation_deg((found.ra_deg, found.dec_deg), (star.ra_deg, star.dec_deg))
        yield float(offset) * 3.6e6, total.error_mas


# ------------------------------------------------------------------------------------- main

PARTS: dict[str, Callable[[], bool]] = {
    "circles": lambda: circles(200),
    "chance": lambda: chance(400),
    "rare": lambda: rare(2000),
    "gone": lambda: gone(100) & gone(4000, seed=4),
    "images": images,
}


def main() -> int:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parts = parser.parse_args().parts or list(PARTS)
    within = [PARTS[name]() for name in parts]
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())

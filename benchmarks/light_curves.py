"""Light curves of simulated transients against their truth, and limits against injected stars.

    PYTHONPATH=. python benchmarks/light_curves.py                        # 5 fields, 120 transients
    PYTHONPATH=. python benchmarks/light_curves.py --fields 2 --keep FOLDER
    PYTHONPATH=. python benchmarks/light_curves.py --fields 0 --limits 2

Each field: three epochs of WFC3/UVIS F606W, two exposures of 350 s and 400 x 400 pixels each, 24
transients of 21.5 to 27.5 AB mag (isolated, crowded, on galaxies), 0.7 mag fainter in the second
epoch and gone in the third, which is the template. Through the whole chain: exposures, stacks,
differences, the embedded photometer's catalogue, then `forced_points` and `difference_points` at
the true places. The simulator's PSF is not the photometer's.

Fluxes are of all light by published tables of encircled energy from 0.4 arcsec on; the simulator's
stars have another share there, by which the truth is multiplied (it is printed).

Printed for both methods: points of epochs within two errors of the truth, widths of the pulls, bias
above S/N 10. Exit status 1 if one of all places together is beyond its limit (93-98 %; 0.9-1.1;
0.01 mag).

`--limits N`: on N fields without transients limits are quoted at 24 places; artificial stars at the
quoted 50 % limit of four of them are recovered how often; and each field is simulated again with
sources as bright as the 3 sigma limits of two epochs: how many are above them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # hst_assets_tests, when run from elsewhere

from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.photometry.light_curve.averages import with_expected_errors
from hst_assets.photometry.light_curve.difference_points import difference_points
from hst_assets.photometry.light_curve.forced_points import forced_points
from hst_assets.photometry.light_curve.limits import (
    LocalNoise,
    completeness_limits,
    local_noise,
)
from hst_assets.photometry.light_curve.points import Place, Point, mean_point
from hst_assets.photometry.light_curve.stars_about import measured_about
from hst_assets.settings import Settings, load_settings
from hst_assets.simulate.catalog_scoring import simulated_wings_mag
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.light_curve.simulated_transients import (
    KINDS,
    SHINING,
    FieldPlan,
    campaign,
    plan_field,
    simulated,
)

WITHIN_2_SIGMA = (0.93, 0.98)
PULLS = (0.9, 1.1)
BIAS_MAG = 0.01
RADIUS_ARCSEC = 0.4
RECOVERED = (0.45, 0.55)
N_LIMIT_PLACES = 4
N_INJECTED = 300


@dataclass(frozen=True)
class Row:
    """One flux of an epoch with its truth."""

    field: int
    kind: str
    source: int
    epoch: int
    flux: float
    error: float
    truth: float

    @property
    def pull(self) -> float:
        """Flux minus truth over the error."""
        return (self.flux - self.truth) / self.error


def share_of_simulator() -> float:
    """By what the simulator's stars are brighter in the photometer's aperture than tables say."""
    return float(10 ** (0.4 * simulated_wings_mag("wfc3_uvis", "F606W", RADIUS_ARCSEC)))


def field_of(number: int, folder: Path) -> tuple[FieldPlan, WorkDir]:
    """A field through the whole chain; taken as it is where it was made before."""
    plan, root = plan_field(number), folder / f"field{number}"
    done = root / "done"
    if not done.exists():
        simulated(plan, campaign(number), root)
        done.touch()
    return plan, WorkDir(root / "root", "field")


def rows_of(number: int, plan: FieldPlan, points: Sequence[Point], scale: float) -> Iterator[Row]:
    """Points of epochs that count, with their truth."""
    for point in points:
        if point.counts and point.epoch <= SHINING:
            truth = scale * plan.transients.flux_ujy[point.epoch - 1, point.source]
            yield Row(
                number, plan.transients.kinds[point.source], point.source, point.epoch,
                point.flux_ujy, point.flux_error_ujy, float(truth),
            )  # fmt: skip


def epochs_of(points: Sequence[Point]) -> list[Point]:
    """Means of the exposures of each place and epoch."""
    groups: dict[tuple[int, int], list[Point]] = {}
    for point in points:
        groups.setdefault((point.source, point.epoch), []).append(point)
    return [
        mean_point(with_expected_errors(each), level="epoch", epoch=key[1])
        for key, each in groups.items()
    ]


def told(name: str, rows: Sequence[Row]) -> list[str]:
    """Print a table of one method; what of all places together is beyond the limits."""
    print(f"\n| {name} | points | within 2 errors | pulls | bias above S/N 10, mag |")
    print("| --- | --- | --- | --- | --- |")
    beyond: list[str] = []
    for kind in (*KINDS, "all"):
        own = [row for row in rows if kind in (row.kind, "all")]
        pulls = np.array([row.pull for row in own])
        within, width = float(np.mean(np.abs(pulls) <= 2)), float(pulls.std())
        bright = [row for row in own if row.truth > 10 * row.error]
        ratio = np.array([row.flux / row.truth for row in bright])
        weight = np.array([row.truth / row.error for row in bright]) ** 2
        bias = -2.5 * np.log10(np.average(ratio, weights=weight))
        error = 1.0857 / np.sqrt(weight.sum())
        print(
            f"| {kind} | {len(own)} | {within:.1%} | {width:.2f} | {bias:+.4f} ± {error:.4f}, "
            f"median {-2.5 * np.log10(np.median(ratio)):+.4f} ({len(bright)}) |"
        )
        if kind == "all":
            beyond += [] if WITHIN_2_SIGMA[0] <= within <= WITHIN_2_SIGMA[1] else [f"{name} within"]
            beyond += [] if PULLS[0] <= width <= PULLS[1] else [f"{name} pulls"]
            beyond += [] if abs(bias) <= BIAS_MAG else [f"{name} bias"]
    return beyond


def agreement(forced: Sequence[Row], difference: Sequence[Row]) -> None:
    """Print how the two light curves of the same objects agree."""
    other = {(row.field, row.source, row.epoch): row for row in difference}
    pairs = [
        (row, other[row.field, row.source, row.epoch])
        for row in forced
        if (row.field, row.source, row.epoch) in other
    ]
    print("\n| forced minus difference | pairs | within 2 errors | pulls |")
    print("| --- | --- | --- | --- |")
    for kind in (*KINDS, "all"):
        pulls = np.array(
            [
                (a.flux - b.flux) / np.hypot(a.error, b.error)
                for a, b in pairs
                if kind in (a.kind, "all")
            ]
        )
        print(f"| {kind} | {len(pulls)} | {np.mean(np.abs(pulls) <= 2):.1%} | {pulls.std():.2f} |")
    for kind in KINDS:
        errors = np.median([a.error / b.error for a, b in pairs if a.kind == kind])
        print(f"{kind}: error of forced photometry over that of the difference {errors:.2f}")


# ------------------------------------------------------------------------------- limits


def without_transients(plan: FieldPlan) -> FieldPlan:
    """The same field and nothing at the places."""
    nothing = np.zeros_like(plan.transients.flux_ujy)
    return replace(plan, transients=replace(plan.transients, flux_ujy=nothing))


def limits(numbers: Sequence[int], folder: Path) -> list[str]:
    """Print limits of places of fields and how often sources as bright are recovered."""
    injected: list[np.ndarray] = []
    above: list[tuple[str, bool, bool]] = []
    for number in numbers:
        empty = without_transients(plan_field(number))
        root = folder / f"empty{number}"
        if not (root / "done").exists():
            simulated(empty, campaign(number), root)
            (root / "done").touch()
        workdir = WorkDir(root / "root", "field")
        settings = load_settings(workdir)
        places = empty.transients.places
        noise = local_noise(workdir, settings, places)
        ratios = np.array([one.ratio for one in noise if one.epoch != NO_EPOCH])
        print(
            f"\nfield {number}: local noise over formal error at {len(places)} places: median "
            f"{np.median(ratios):.2f}, 68 % {np.percentile(ratios, 16):.2f} to "
            f"{np.percentile(ratios, 84):.2f}",
            flush=True,
        )
        injected += _of_half(workdir, settings, places[:: len(places) // N_LIMIT_PLACES], noise)
        above += _of_three_sigma(number, empty, noise, folder)
    for kind in (*KINDS, "all"):
        own = [one for one in above if kind in (one[0], "all")]
        at = np.array([over for _, there, over in own if there])
        none = np.array([over for _, there, over in own if not there])
        print(
            f"{kind}: above the 3 sigma limit of the epoch {at.mean():.0%} of {len(at)} sources "
            f"that are as bright (half are expected), {none.mean():.1%} of {len(none)} empty places"
        )
    share = float(np.concatenate(injected).mean())
    print(f"at the 50 % limits {share:.1%} of {sum(map(len, injected))} are recovered")
    return [] if RECOVERED[0] <= share <= RECOVERED[1] else ["recovered at the 50 % limit"]


def _of_half(
    workdir: WorkDir, settings: Settings, places: Sequence[Place], noise: Sequence[LocalNoise]
) -> list[np.ndarray]:
    again = settings.model_copy(
        update={"artificial_stars": settings.artificial_stars.model_copy(update={"seed": 99})}
    )
    recovered = []
    print("\n| place | 50 % limit, AB | 5 sigma | recovered at the 50 % limit |")
    print("| --- | --- | --- | --- |")
    for limit in completeness_limits(workdir, settings, places, noise):
        place = next(one for one in places if one.source == limit.source)
        five = next(
            one for one in noise if one.source == limit.source and one.epoch == NO_EPOCH
        ).limit_ab_mag(5)
        if limit.note.startswith("not measured"):
            print(f"| {place.name} | {limit.note} | {five:.2f} | |")
            continue
        band = limit.detector, limit.filter_name
        stars = measured_about(
            workdir, again, place, {band: limit.ab_mag},
            n_stars=N_INJECTED, within_arcsec=limit.within_arcsec, range_mag=(0.0, 0.0),
        )  # fmt: skip
        found = stars.bands[band].recovered
        recovered.append(found)
        print(
            f"| {place.name} | {limit.ab_mag:.2f} ± {limit.error_mag:.2f} | {five:.2f} | "
            f"{found.mean():.1%} of {len(found)} |"
        )
    return recovered


def _of_three_sigma(
    number: int, empty: FieldPlan, noise: Sequence[LocalNoise], folder: Path
) -> list[tuple[str, bool, bool]]:
    """Sources as bright as the limits of two epochs, in new images; none in the third.

    Their kind, whether something is there, and whether it is above the limit.
    """
    scale = share_of_simulator()
    flux = np.zeros_like(empty.transients.flux_ujy)
    for one in noise:
        if 1 <= one.epoch <= SHINING:
            flux[one.epoch - 1, one.source] = np.nan_to_num(one.limit_ujy(3)) / scale
    bright = replace(empty, transients=replace(empty.transients, flux_ujy=flux))
    root = folder / f"three_sigma{number}"
    if not (root / "done").exists():
        simulated(bright, replace(campaign(number), seed=number + 500), root)
        (root / "done").touch()
    workdir = WorkDir(root / "root", "field")
    points = epochs_of(forced_points(workdir, load_settings(workdir), bright.transients.places))
    limit = {(one.source, one.epoch): one.limit_ujy(3) for one in noise}
    kinds = bright.transients.kinds
    return [
        (
            kinds[point.source],
            point.epoch <= SHINING,
            point.flux_ujy > limit[point.source, point.epoch],
        )
        for point in points
        if point.counts
    ]


def main() -> None:
    """Simulate, measure, print; exit with 1 if something is beyond its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=5, help="how many")
    parser.add_argument("--keep", type=Path, help="a folder in which fields are kept and reused")
    parser.add_argument("--limits", type=int, default=0, help="fields for limits")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch)
        scale = share_of_simulator()
        print(f"light of the simulator's stars over that of the tables: {scale:.4f}")
        forced: list[Row] = []
        difference: list[Row] = []
        for number in range(1, chosen.fields + 1):
            plan, workdir = field_of(number, folder)
            settings, places = load_settings(workdir), plan.transients.places
            points = epochs_of(forced_points(workdir, settings, places))
            forced += rows_of(number, plan, points, scale)
            difference += rows_of(number, plan, difference_points(workdir, settings, places), scale)
        beyond: list[str] = []
        if chosen.fields:
            beyond = told("forced", forced) + told("difference", difference)
            agreement(forced, difference)
        if chosen.limits:
            beyond += limits(range(11, 11 + chosen.limits), folder)
    if beyond:
        raise SystemExit(f"beyond the limits: {', '.join(beyond)}")


if __name__ == "__main__":
    main()

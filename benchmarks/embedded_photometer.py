"""The embedded photometer against simulated truth and against DOLPHOT 2.0.

    python benchmarks/embedded_photometer.py                      # every light case
    python benchmarks/embedded_photometer.py uvis_1k ir_10k varying
    python benchmarks/embedded_photometer.py --group all --strict
    python benchmarks/embedded_photometer.py crowded_1k --study FOLDER --dolphot-sources SOURCES
    python benchmarks/embedded_photometer.py single ir_1k --forced
    python benchmarks/embedded_photometer.py --growth --processes --memory

Prints a table for each case by flux (completeness, bias, scatter, pulls, position, outliers),
spurious stars and CPU time, then each figure beyond its tolerance; exits with 1 if there is one.

Tolerances: completeness of at least DOLPHOT's in every bin; bias within 0.01 mag above 500 e- and
0.03 down to 125 e-; scatter of at most 1.05 of DOLPHOT's; at most half of its spurious stars; pulls
of 0.9 to 1.1. DOLPHOT's figures are, in this order: of a run on the same images
(`--dolphot-sources` builds a DOLPHOT of its own, which is given the exact PSF and masks of the true
cosmic rays), of its catalogue in the study's folder (crowded_1k), of the study's printed table
(10,000 stars on WFC3/UVIS, another field: sampling errors allowed). Elsewhere they are "not
checked", and so it says.

A figure beyond its limit by less than two of its standard errors is called near; it fails with
`--strict` only. Stars of S/N >= 3.5 of both are judged, of all types.

`--forced` puts forced fluxes of the same stars, found or not, at their true places beside the
catalogue's: their number, bias and pulls, and the same of those that a catalogue would have, by
their own fluxes. What is beyond of a catalogue and not of these is selection: a bin is of true
fluxes, and noise decides which of its stars are found. Their biases and pulls have the tolerances
of the catalogue's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # hst_assets_tests, when run from elsewhere

from photometer_cases import CASES, THOUSANDS, Case, density_of, shrunk
from photometer_engines import ENGINES, Engine, sources_of
from photometer_forced import forced_at_truth
from photometer_objects import told
from photometer_processes import ChipOnDisk, alone

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets_tests.dolphot_on_fields import (
    DolphotRun,
    build,
    cannot_run,
    read_run,
    run_on,
    write_library,
)
from hst_assets_tests.star_fields import StarField, make_field
from hst_assets_tests.star_judge import (
    Check,
    Forced,
    Judged,
    checks,
    combined,
    judged,
    judged_forced,
)
from hst_assets_tests.star_scenes import Scene, camera_of
from hst_assets_tests.study_field import read_study

LEAST_SNR = 3.5
#: CPU seconds of DOLPHOT 2.0 in the study, four exposures: by stars.
STUDY_CPU_S = {1_000: 93.0, 10_000: 132.0}
STUDY_ZERO_POINT_MAG = 24.680
NEEDED_CPU_RATIO = 10.0
NEEDED_SPEED_UP = 1.8
#: Of parent and children together.
MOST_MEMORY_GB = 4.0
#: What the photometer is told of the PSF is so much too wide, and of one shape everywhere.
WIDER = 1.08


@dataclass(frozen=True, eq=False)
class Outcome:
    """A case that was run."""

    judged: Judged
    forced: Forced | None
    lines: tuple[str, ...]
    cpu_s: float
    wall_s: float
    peak_gb: float


def cpu_seconds() -> float:
    """Of this process and the children that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)


def measured(case: Case, sky: StarField, options: argparse.Namespace) -> Outcome:
    """Run the engine and judge what it found."""
    images = sky.masked() if options.true_masks else sky.images
    engine, wider = ENGINES[options.engine], options.wider
    bands = dict.fromkeys(image.band for image in images)
    psfs = {band: sky.psf(band, wider=wider) for band in bands}
    before, started = cpu_seconds(), time.perf_counter()
    stars = engine(images, psfs, sky.scene.shape)
    cpu, wall = cpu_seconds() - before, time.perf_counter() - started
    for remark in stars.remarks:
        print(f"  remark: {remark}")
    factor = to_infinity(stars, sky, images) if options.flux == "aperture" else np.ones(len(images))
    whole = replace(
        stars,
        counts_e=stars.counts_e * factor[:, None],
        counts_error_e=stars.counts_error_e * factor[:, None],
    )
    flux, error = combined(whole, images, case.band, nominal_s=sky.scene.nominal_s)
    kept = flux / error >= LEAST_SNR
    found = (stars.x[kept], stars.y[kept], flux[kept], error[kept])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lines = tuple(told(stars, flux, flux / error, sky, case.band))
    of_catalogue = judged_on(found, sky, case)
    forced = forced_on(stars, factor, sky, images, case, of_catalogue) if options.forced else None
    return Outcome(of_catalogue, forced, lines, cpu, wall, peak)


def forced_on(
    stars: MeasuredStars,
    factor: np.ndarray,
    sky: StarField,
    images: Sequence[ChipImage],
    case: Case,
    of_catalogue: Judged,
) -> Forced | None:
    """Judge forced fluxes at the true places of the same stars."""
    if stars.kept is None:
        print("  this engine has no forced photometry")
        return None
    before = cpu_seconds()
    flux, error = forced_at_truth(sources_of(images), stars.kept, sky, case.band, factor)
    print(f"  forced fluxes at {len(flux)} true places took {cpu_seconds() - before:.1f} CPU s")
    true_flux = sky.truth.rates[case.band] * sky.scene.nominal_s
    return judged_forced(flux, error, true_flux, of_catalogue, least_snr=LEAST_SNR)


#: To which the engine corrects its fluxes.
APERTURE_ARCSEC = 0.4


def to_infinity(stars: MeasuredStars, sky: StarField, images: Sequence[ChipImage]) -> np.ndarray:
    """From counts to those with the aperture correction and the true light beyond, by image.

    So a PSF whose sum is not known is no bias: what is judged is the aperture correction. Where
    there is none, counts are left as they are.
    """
    correction = np.asarray(stars.aperture_correction_mag, dtype=float)
    if not np.any(np.isfinite(correction) & (correction != 0)):
        print("  no aperture correction: fluxes by the PSF are judged")
        return np.ones(len(images))
    radii = [APERTURE_ARCSEC / camera_of(image.band).pixel_arcsec for image in images]
    share = [sky.enclosed(i.band, radius) for i, radius in zip(images, radii, strict=True)]
    by_band = {i.band: f"{c:+.4f}" for i, c in zip(images, correction, strict=True)}
    print(f"  aperture corrections (the last of each band): {by_band}")
    return 10 ** (-0.4 * np.nan_to_num(correction)) / np.array(share)


def judged_on(found: tuple[np.ndarray, ...], sky: StarField, case: Case) -> Judged:
    """Judge a catalogue of the case's band."""
    truth = sky.truth
    x, y, flux, error = found
    return judged(
        (x, y, flux, error),
        (truth.x, truth.y, truth.rates[case.band] * sky.scene.nominal_s),
        shape=sky.scene.shape,
        edge_pix=case.edge_pix,
        not_spurious=truth.galaxies,
    )


def of_dolphot(run: DolphotRun, sky: StarField, case: Case) -> Judged:
    """Judge DOLPHOT's."""
    kept = run.snr >= LEAST_SNR
    return judged_on((run.x[kept], run.y[kept], run.flux_e[kept], run.error_e[kept]), sky, case)


def dolphot_on(
    case: Case, sky: StarField, program: Path, folder: Path
) -> tuple[Judged, DolphotRun] | str:
    """Run DOLPHOT on the same images; or why not."""
    images = sky.masked()
    reason = cannot_run(images) or ("a PSF that varies" if sky.scene.varying else None)
    if reason is not None:
        return reason
    write_library(program, sky.scene.family, camera_of(case.band).fwhm_pix)
    run = run_on(
        images,
        folder,
        program=program,
        shape=sky.scene.shape,
        nominal_s=sky.scene.nominal_s,
    )
    return of_dolphot(run, sky, case), run


def run_case(name: str, case: Case, sky: StarField, options: argparse.Namespace) -> bool:
    """Print all of a case; whether it is within the tolerances."""
    print(f"\n## {name} {case.note}".rstrip(), "x".join(map(str, sky.scene.shape)))
    outcome = measured(case, sky, options)
    print(outcome.judged.table(outcome.forced))
    print("\n".join(outcome.lines))
    print(
        f"{outcome.cpu_s:.1f} CPU s, {outcome.wall_s:.1f} s, peak memory {outcome.peak_gb:.2f} GB"
    )
    reference, same, cpu = reference_of(name, case, sky, options)
    if cpu is not None:
        print(f"CPU time: DOLPHOT's over this one's is {cpu / outcome.cpu_s:.1f}")
    all_checks = checks(outcome.judged, reference, same_field=same, forced=outcome.forced)
    good = print_checks(all_checks, strict=options.strict)
    if name == "crowded_1k":
        slow = outcome.cpu_s > (cpu or np.inf) / NEEDED_CPU_RATIO
        print(f"CPU time of at most 1/10 of DOLPHOT's: {'beyond' if slow else 'ok'}")
        good &= not slow
    sys.stdout.flush()
    return good


def reference_of(
    name: str, case: Case, sky: StarField, options: argparse.Namespace
) -> tuple[Judged | None, bool, float | None]:
    """What a case is compared with, whether on the same field, and DOLPHOT's CPU time."""
    if options.program is not None:
        made = dolphot_on(case, sky, options.program, options.folder / name)
        if isinstance(made, str):
            print(f"DOLPHOT was not run: {made}")
        else:
            print("\nDOLPHOT 2.0 on the same images, with the exact PSF:")
            print(made[0].table())
            print(f"{made[1].cpu_s:.1f} CPU s, {made[1].wall_s:.1f} s; sky {made[1].sky_cpu_s:.1f}")
            return made[0], True, made[1].cpu_s
    if name == "crowded_1k":
        run = read_run(
            options.study / "dp.gz", nominal_s=500.0, zero_point_mag=STUDY_ZERO_POINT_MAG
        )
        reference = of_dolphot(run, sky, case)
        print("\nDOLPHOT's own catalogue of these images, and the study's CPU time (93 s):")
        print(reference.table())
        return reference, True, STUDY_CPU_S[1_000]
    if case.study is not None:
        print("\nCompared with the study's table of DOLPHOT 2.0 (another field; 132 CPU s there)")
        return case.study, False, STUDY_CPU_S[10_000]
    return None, True, None


def print_checks(all_checks: Sequence[Check], *, strict: bool) -> bool:
    """Print what is not within; whether all is well."""
    count = {
        verdict: [each for each in all_checks if each.verdict == verdict]
        for verdict in ("ok", "near", "beyond", "not checked")
    }
    print(", ".join(f"{len(each)} {verdict}" for verdict, each in count.items()))
    for verdict in ("beyond", "near"):
        for each in count[verdict]:
            print(f"  {verdict}: {each.what} {each.value:.4f}, limit {each.limit:.4f}")
    unchecked = [each.what for each in count["not checked"]]
    if unchecked:
        print("  not checked: " + ", ".join(unchecked))
    return not count["beyond"] and not (strict and count["near"])


def growth(options: argparse.Namespace) -> bool:
    """CPU time from 1,000 to 50,000 stars, of the same size."""
    print("\n## CPU time by number of stars, WFC3/UVIS, four exposures of the same size")
    print("| stars a Mpx | stars | measured | CPU s | CPU ms a star |\n|---|---|---|---|---|")
    times = []
    for n in THOUSANDS.values():
        case = Case(shrunk(density_of("wfc3_uvis", n), options.shrink))
        outcome = measured(case, make_field(case.scene, case.seed), options)
        times.append(outcome.cpu_s)
        print(
            f"| {n} | {case.scene.n_stars} | {outcome.judged.n_measured} | {outcome.cpu_s:.1f} "
            f"| {1e3 * outcome.cpu_s / case.scene.n_stars:.2f} |",
            flush=True,
        )
    stars = list(THOUSANDS.values())
    ratio = times[-1] / times[0]
    power = np.log(ratio) / np.log(stars[-1] / stars[0])
    local = np.log(times[-1] / times[1]) / np.log(stars[-1] / stars[1])
    print(
        f"50 times the stars take {ratio:.1f} times as long (power {power:.2f}; {local:.2f} above"
    )
    good = ratio <= stars[-1] / stars[0]
    print(f"10,000): no worse than linear: {'ok' if good else 'beyond'}")
    return bool(good)


def processes(options: argparse.Namespace) -> bool:
    """Time on one process and on two, four chips' worth of tiles."""
    print("\n## Time on 1 and 2 processes, 40,000 stars on 2048 x 2048 pixels")
    if (os.cpu_count() or 1) < 2:
        print("not checked: this machine has one core")
        return True
    scene = replace(CASES["uvis_10k"].scene, n_stars=40_000, shape=(2048, 2048))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        told = on_disk(scene, 20, Path(folder), options.wider)
        one, two = (alone(n, *told) for n in (1, 2))
    share = one.parent_cpu_s / one.ideal_s(1)
    print(f"CPU s: {one.parent_cpu_s:.1f} in the parent ({share:.1%} of all); tasks by round:")
    for tasks in one.task_cpu_s:
        print("  " + ", ".join(f"{each:.1f}" for each in tasks))
    for n, run in ((1, one), (2, two)):
        print(f"{n} process(es): {run.wall_s:.1f} s, {run.ideal_s(1):.1f} CPU s; the schedule:")
        print("\n".join(run.schedule()))
    implied = one.ideal_s(1) / one.ideal_s(2)
    print(f"by CPU times, 2 processes are {implied:.2f} times as fast")
    ratio = one.wall_s / two.wall_s
    good = ratio >= NEEDED_SPEED_UP
    print(f"{one.wall_s:.1f} s, {two.wall_s:.1f} s: {ratio:.2f} times as fast", end=": ")
    print(f"at least {NEEDED_SPEED_UP}: {'ok' if good else 'beyond'}")
    return bool(good)


def memory(options: argparse.Namespace) -> bool:
    """Largest memory of two chips of 8 exposures on two processes."""
    scene = replace(CASES["whole_chip"].scene, shape=(2 * 2051 + 35, 4096), gap_pix=35)
    scene = shrunk(replace(scene, n_stars=options.memory_stars), options.shrink)
    print(f"\n## Memory: two chips, together {scene.shape} pixels, 8 exposures, 2 processes")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:  # the field's own memory goes
            told = pool.submit(on_disk, scene, 20, Path(folder), options.wider).result()
        run = alone(2, *told)
    total = run.parent_gb + sum(run.processes_gb)
    print(f"{run.n_stars} stars measured in {run.wall_s:.0f} s")
    print(f"largest resident sets: parent {run.parent_gb:.2f} GB, children", end=" ")
    print(", ".join(f"{each:.2f}" for each in run.processes_gb), end=": ")
    good = total < MOST_MEMORY_GB
    print(f"{total:.2f} GB, below {MOST_MEMORY_GB}: {'ok' if good else 'beyond'}")
    return good


def on_disk(
    scene: Scene, seed: int, folder: Path, wider: float
) -> tuple[list[ChipOnDisk], dict[str, SplinePsf]]:
    """A field in files, and what is told of its PSFs."""
    sky = make_field(scene, seed)
    sources = [
        ChipOnDisk.of(image, folder / str(at), camera_of(image.band).pixel_arcsec)
        for at, image in enumerate(sky.images)
    ]
    return sources, {each.psf_key: sky.psf(each.band, wider=wider) for each in sources}


def compile_first(engine: Engine) -> None:
    """Compiled loops are cached; the first call on a machine would be timed with them.

    The field has what makes each step do its work: stars for a PSF, and cosmic rays.
    """
    scene = Scene(600, shape=(400, 400), brightest_e=2e6, cosmic_rays=0.3)
    sky = make_field(scene, 1)
    started = cpu_seconds()
    engine(sky.images, {band: sky.psf(band) for band in sky.truth.rates}, scene.shape)
    print(f"Compiled or loaded in {cpu_seconds() - started:.1f} CPU s, counted nowhere below.")


def chosen(options: argparse.Namespace) -> list[str]:
    """Names of cases, in order."""
    if options.cases:
        return list(options.cases)
    if options.growth or options.processes or options.memory:
        return []
    names = [name for name, case in CASES.items() if options.group in ("all", case.group)]
    return (["crowded_1k"] if options.study is not None else []) + names


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"crowded_1k, {', '.join(CASES)}")
    parser.add_argument(
        "--group", choices=["light", "dense", "heavy", "hard", "all"], default="light"
    )
    parser.add_argument("--engine", choices=ENGINES, default="embedded")
    parser.add_argument("--study", type=Path, help="folder of crowded_1k")
    parser.add_argument("--dolphot-sources", type=Path, help="of DOLPHOT 2.0 with its wfc3 module")
    parser.add_argument("--dolphot", type=Path, help="a build that --dolphot-sources made")
    parser.add_argument(
        "--wider", type=float, default=WIDER, help="what is told of the PSF; 1: true"
    )
    parser.add_argument(
        "--flux",
        choices=["aperture", "psf"],
        default="aperture",
        help="with the aperture correction and the true light beyond, or as the PSF gives it",
    )
    parser.add_argument("--true-masks", action="store_true", help="mask the true cosmic rays")
    parser.add_argument(
        "--forced", action="store_true", help="forced fluxes at the true places beside the others"
    )
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--processes", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument(
        "--memory-stars", type=int, default=100_000, help="in the field of --memory"
    )
    parser.add_argument(
        "--shrink", type=int, default=1, help="sides so many times shorter, the same densities"
    )
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--folder", type=Path, help="scratch; a temporary one by default")
    options = parser.parse_args()
    unknown = [each for each in options.cases if each not in CASES and each != "crowded_1k"]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}")
    if "crowded_1k" in options.cases and options.study is None:
        parser.error("crowded_1k needs --study")
    options.folder = options.folder or Path(tempfile.mkdtemp(prefix="embedded-photometer-"))
    options.program = options.dolphot
    if options.dolphot_sources is not None:
        options.program = build(options.dolphot_sources, options.folder / "dolphot")
    compile_first(ENGINES[options.engine])
    good = []
    for name in chosen(options):
        if name == "crowded_1k":
            good.append(run_case(name, Case(Scene(1_000)), read_study(options.study), options))
        else:
            case = replace(CASES[name], scene=shrunk(CASES[name].scene, options.shrink))
            good.append(run_case(name, case, make_field(case.scene, case.seed), options))
    if options.growth:
        good.append(growth(options))
    if options.processes:
        good.append(processes(options))
    if options.memory:
        good.append(memory(options))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())

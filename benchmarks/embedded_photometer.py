"""The embedded photometer against simulated truth and against DOLPHOT 2.0.

    python benchmarks/embedded_photometer.py                      # every light case
    python benchmarks/embedded_photometer.py uvis_1k ir_10k varying
    python benchmarks/embedded_photometer.py --group all --strict
    python benchmarks/embedded_photometer.py crowded_1k --study FOLDER --dolphot-sources SOURCES
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
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # hst_assets_tests, when run from elsewhere

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
from hst_assets_tests.star_fields import (
    CAMERAS,
    Scene,
    Shot,
    StarField,
    camera_of,
    make_field,
    read_study,
    shots,
)
from hst_assets_tests.star_judge import STUDY_10K, Judged, checks, combined, judged

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

Psfs = dict[str, SplinePsf]
Engine = Callable[[list[ChipImage], Psfs, tuple[int, int]], MeasuredStars]


@dataclass(frozen=True)
class Case:
    """A scene, in which band it is judged, and what its figures are compared with."""

    scene: Scene
    band: str = "wfc3_uvis F814W"
    group: str = "light"
    study: Judged | None = None
    note: str = ""
    seed: int = 20


def _density(detector: str, n: int) -> Scene:
    sky = 400.0 if detector == "wfc3_ir" else 60.0
    return Scene(n, shots=shots(4, detector), reference=detector, sky_e=sky)


_THOUSAND = {"1k": 1_000, "10k": 10_000, "50k": 50_000}


def _cases() -> dict[str, Case]:
    made: dict[str, Case] = {}
    for short, detector in (
        ("uvis", "wfc3_uvis"),
        ("wfc", "acs_wfc"),
        ("ir", "wfc3_ir"),
        ("hrc", "acs_hrc"),
        ("wfpc2", "wfpc2"),
    ):
        for size, n in _THOUSAND.items():
            if size == "50k" and short in ("hrc", "wfpc2"):
                continue
            made[f"{short}_{size}"] = Case(
                _density(detector, n),
                band=CAMERAS[detector].band,
                group="light" if size == "1k" else "dense" if size == "10k" else "heavy",
                study=STUDY_10K if (short, size) == ("uvis", "10k") else None,
            )
    base = _density("wfc3_uvis", 3_000)
    hard = {
        "varying": replace(base, varying=True),
        "airy": replace(base, family="airy"),
        "distorted": replace(base, distorted=True, shots=shots(4, turn_deg=7.0)),
        "cosmic_rays": replace(base, cosmic_rays=1.0),
        "hot_pixels": replace(base, hot_pixels=1_500),
        "galaxies": replace(base, galaxies=150, nebula=3.0),
        "saturated": replace(base, brightest_e=2e7, slope=0.2),
        "gap": replace(base, gap_pix=35),
        "single": replace(base, shots=shots(1)),
        "eight": replace(base, shots=shots(8)),
        "sparse": replace(base, n_stars=25, brightest_e=2e3),
        "times": replace(base, shots=_of_times(1.0, 30.0, 500.0, 1500.0), brightest_e=2e6),
        "moving": replace(base, moving=0.1, motion_pix_yr=0.15, shots=_of_years(0, 1, 2, 3)),
        "mixed": replace(base, shots=_MIXED),
        "everything": replace(
            base,
            varying=True,
            distorted=True,
            cosmic_rays=1.0,
            hot_pixels=1_500,
            galaxies=50,
            nebula=1.0,
            gap_pix=35,
            shots=shots(4, turn_deg=7.0),
        ),
    }
    for name, scene in hard.items():
        made[name] = Case(scene, group="hard")
    whole = replace(base, n_stars=8_400 * 6, shape=(2051, 4096), shots=shots(8))
    made["whole_chip"] = Case(whole, group="heavy", note="8.4 Mpx, 8 exposures")
    made["ir_everything"] = Case(
        replace(
            _density("wfc3_ir", 10_000),
            varying=True,
            distorted=True,
            cosmic_rays=0.3,
            shots=shots(4, "wfc3_ir", turn_deg=7.0),
        ),
        band=CAMERAS["wfc3_ir"].band,
        group="dense",
    )
    return made


def _of_times(*exptimes_s: float) -> tuple[Shot, ...]:
    dithered = shots(len(exptimes_s))
    return tuple(
        replace(shot, exptime_s=each) for shot, each in zip(dithered, exptimes_s, strict=True)
    )


def _of_years(*years: float) -> tuple[Shot, ...]:
    dithered = shots(len(years))
    return tuple(
        replace(shot, mjd=shot.mjd + 365.25 * each)
        for shot, each in zip(dithered, years, strict=True)
    )


_MIXED = (
    *shots(2, "wfc3_uvis"),
    *shots(2, "acs_wfc", turn_deg=25.0),
    *shots(2, "wfc3_uvis_blue"),
    *shots(2, "wfc3_ir"),
)
CASES = _cases()


# ------------------------------------------------------------------------------- engines


def embedded(images: list[ChipImage], psfs: Psfs, shape: tuple[int, int]) -> MeasuredStars:
    """The engine: `measure_target`, or as long as there is none, its steps with the PSFs given."""
    if importlib.util.find_spec("hst_assets.photometry.psf.measurement") is None:
        return _stepwise(images, psfs, shape)
    from hst_assets.photometry.psf.measurement import measure_target
    from hst_assets.photometry.psf.tiles import ChipInMemory

    # One PSF for each band and chip.
    sources = [
        ChipInMemory(
            each,
            f"{each.band} {each.name.rpartition('.')[2] if '.' in each.name else ''}",
            pixel_scale_arcsec=camera_of(each.band).pixel_arcsec,
        )
        for each in images
    ]
    priors = {each.psf_key: psfs[each.band] for each in sources}
    with tempfile.TemporaryDirectory() as folder:
        stars: MeasuredStars = measure_target(sources, priors, folder=Path(folder))
    return stars


def _stepwise(images: list[ChipImage], psfs: Psfs, shape: tuple[int, int]) -> MeasuredStars:
    from hst_assets.photometry.psf.cosmic_rays import cosmic_ray_masks
    from hst_assets.photometry.psf.image_fluxes import forced_fit
    from hst_assets.photometry.psf.image_stack import image_stack
    from hst_assets.photometry.psf.star_search import fit_field

    struck = cosmic_ray_masks(images, psfs=psfs)
    images = [
        replace(image, good=image.good & ~each.mask)
        for image, each in zip(images, struck, strict=True)
    ]
    box = (0.0, shape[1] - 1.0, 0.0, shape[0] - 1.0)
    fit = fit_field(image_stack(images, psfs, box=box), box)
    forced = forced_fit(fit)
    place = (fit.stars.x, fit.stars.y)
    return _bare(images, *place, forced.counts_e, forced.counts_error_e, forced.xs, forced.ys)


def aperture(images: list[ChipImage], psfs: Psfs, _: tuple[int, int]) -> MeasuredStars:
    """A trivial estimator, so that the judge can be tried: peaks, and sums of 3 pixels about."""
    from scipy.ndimage import maximum_filter

    first = images[0]
    signal = np.where(first.good, first.data_e - first.sky_e, 0.0)
    noise = np.sqrt(np.maximum(first.sky_e, 1.0) + first.read_noise_e**2)
    peak = (signal == maximum_filter(signal, 3)) & (signal > 4 * noise)
    y, x = (each.astype(float) for each in np.nonzero(peak))
    counts, errors, xs, ys = [], [], [], []
    for image in images:
        i, j = image.pixel_map(x, y)
        total, error = _summed(image, i, j)
        share = psfs[image.band].at(*np.meshgrid(np.arange(-3.0, 4), np.arange(-3.0, 4))).sum()
        counts.append(total / share)
        errors.append(error / share)
        xs.append(i)
        ys.append(j)
    return _bare(images, x, y, np.array(counts), np.array(errors), np.array(xs), np.array(ys))


def _summed(image: ChipImage, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ny, nx = image.shape
    total, variance = np.zeros(len(x)), np.full(len(x), np.inf)
    signal = np.where(image.good, image.data_e - image.sky_e, 0.0)
    for k, (i, j) in enumerate(zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True)):
        if 3 <= i < nx - 3 and 3 <= j < ny - 3:
            part = np.s_[j - 3 : j + 4, i - 3 : i + 4]
            total[k] = signal[part].sum()
            variance[k] = np.abs(image.data_e[part]).sum() + 49 * image.read_noise_e**2
    return total, np.sqrt(variance)


def _bare(images, x, y, counts, errors, xs, ys) -> MeasuredStars:
    """Stars of which only places and counts are known."""
    k, n = counts.shape
    nothing = np.full((k, n), np.nan)
    shapes = np.array([image.shape for image in images])
    off = (xs < 0) | (ys < 0) | (xs > shapes[:, 1:] - 1) | (ys > shapes[:, :1] - 1)
    return MeasuredStars(
        x=x,
        y=y,
        x_error=np.full(n, np.nan),
        y_error=np.full(n, np.nan),
        object_type=np.ones(n, dtype=np.int32),
        counts_e=counts,
        counts_error_e=errors,
        sky_e=nothing,
        chi=nothing,
        sharpness=nothing,
        roundness=nothing,
        position_angle_deg=nothing,
        crowding_mag=nothing,
        flag=np.where(off, 9, 0).astype(np.int32),
        image_names=tuple(image.name for image in images),
        aperture_correction_mag=np.zeros(k),
        aperture_correction_error_mag=np.zeros(k),
    )


ENGINES: dict[str, Engine] = {"embedded": embedded, "aperture": aperture}


# ------------------------------------------------------------------------------- running


@dataclass(frozen=True, eq=False)
class Outcome:
    """A case that was run."""

    judged: Judged
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
    whole = to_infinity(stars, sky, images) if options.flux == "aperture" else stars
    flux, error = combined(whole, images, case.band, nominal_s=sky.scene.nominal_s)
    kept = flux / error >= LEAST_SNR
    found = (stars.x[kept], stars.y[kept], flux[kept], error[kept])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Outcome(judged_on(found, sky, case.band), cpu, wall, peak)


#: To which the engine corrects its fluxes.
APERTURE_ARCSEC = 0.4


def to_infinity(stars: MeasuredStars, sky: StarField, images: Sequence[ChipImage]) -> MeasuredStars:
    """Counts with the aperture correction, and the true share of light beyond the aperture.

    So a PSF whose sum is not known is no bias: what is judged is the aperture correction. Where
    there is none, counts are left as they are.
    """
    correction = np.asarray(stars.aperture_correction_mag, dtype=float)
    if not np.any(np.isfinite(correction) & (correction != 0)):
        print("  no aperture correction: fluxes by the PSF are judged")
        return stars
    radii = [APERTURE_ARCSEC / camera_of(image.band).pixel_arcsec for image in images]
    share = [sky.enclosed(i.band, radius) for i, radius in zip(images, radii, strict=True)]
    factor = 10 ** (-0.4 * np.nan_to_num(correction)) / np.array(share)
    by_band = {i.band: f"{c:+.4f}" for i, c in zip(images, correction, strict=True)}
    print(f"  aperture corrections (the last of each band): {by_band}")
    return replace(
        stars,
        counts_e=stars.counts_e * factor[:, None],
        counts_error_e=stars.counts_error_e * factor[:, None],
    )


def judged_on(found: tuple[np.ndarray, ...], sky: StarField, band: str) -> Judged:
    """Judge a catalogue of a band."""
    truth = sky.truth
    x, y, flux, error = found
    return judged(
        (x, y, flux, error),
        (truth.x, truth.y, truth.rates[band] * sky.scene.nominal_s),
        shape=sky.scene.shape,
        not_spurious=truth.galaxies,
    )


def of_dolphot(run: DolphotRun, sky: StarField, band: str) -> Judged:
    """Judge DOLPHOT's."""
    kept = run.snr >= LEAST_SNR
    return judged_on((run.x[kept], run.y[kept], run.flux_e[kept], run.error_e[kept]), sky, band)


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
    return of_dolphot(run, sky, case.band), run


def run_case(name: str, case: Case, sky: StarField, options: argparse.Namespace) -> bool:
    """Print all of a case; whether it is within the tolerances."""
    print(f"\n## {name} {case.note}".rstrip())
    outcome = measured(case, sky, options)
    print(outcome.judged.table())
    print(
        f"{outcome.cpu_s:.1f} CPU s, {outcome.wall_s:.1f} s, peak memory {outcome.peak_gb:.2f} GB"
    )
    reference, same, cpu = reference_of(name, case, sky, options)
    if cpu is not None:
        print(f"CPU time: DOLPHOT's over this one's is {cpu / outcome.cpu_s:.1f}")
    good = print_checks(outcome.judged, reference, same_field=same, strict=options.strict)
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
        reference = of_dolphot(run, sky, case.band)
        print("\nDOLPHOT's own catalogue of these images, and the study's CPU time (93 s):")
        print(reference.table())
        return reference, True, STUDY_CPU_S[1_000]
    if case.study is not None:
        print("\nCompared with the study's table of DOLPHOT 2.0 (another field; 132 CPU s there)")
        return case.study, False, STUDY_CPU_S[10_000]
    return None, True, None


def print_checks(
    found: Judged, reference: Judged | None, *, same_field: bool, strict: bool
) -> bool:
    """Print what is not within; whether all is well."""
    all_checks = checks(found, reference, same_field=same_field)
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
    print("\n## CPU time by number of stars, WFC3/UVIS, 1 Mpx, four exposures")
    print("| stars | measured | CPU s | CPU ms a star |\n|---|---|---|---|")
    times = []
    for n in _THOUSAND.values():
        case = Case(_density("wfc3_uvis", n))
        outcome = measured(case, make_field(case.scene, case.seed), options)
        times.append(outcome.cpu_s)
        print(
            f"| {n} | {outcome.judged.n_measured} | {outcome.cpu_s:.1f} "
            f"| {1e3 * outcome.cpu_s / n:.2f} |",
            flush=True,
        )
    stars = list(_THOUSAND.values())
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
    implied = one.ideal_s(1) / one.ideal_s(2)
    print(f"by CPU times, 2 processes are {implied:.2f} times as fast")
    ratio = one.wall_s / two.wall_s
    good = ratio >= NEEDED_SPEED_UP
    print(f"{one.wall_s:.1f} s, {two.wall_s:.1f} s: {ratio:.2f} times as fast", end=": ")
    print(f"at least {NEEDED_SPEED_UP}: {'ok' if good else 'beyond'}")
    return bool(good)


def memory(options: argparse.Namespace) -> bool:
    """Largest memory of two chips of 8 exposures on two processes."""
    print("\n## Memory: two chips of 4096 x 2051 pixels, 8 exposures, 2 processes")
    scene = replace(CASES["whole_chip"].scene, shape=(2 * 2051 + 35, 4096), gap_pix=35)
    scene = replace(scene, n_stars=options.memory_stars)
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
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--processes", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument(
        "--memory-stars", type=int, default=100_000, help="in the field of --memory"
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
            case = CASES[name]
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

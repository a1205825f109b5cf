"""What an alignment method leaves of a pointing error of 0.14 arcsec, on every detector.

    python benchmarks/method_accuracy.py jhat tweakreg [--exposures 3] [--detectors wfc3_uvis ...]

Simulated exposures with cosmic rays are aligned to a catalogue of their true stars; what is left
is measured without finding a star: true pixels through the written header against true positions.
Prints a table; exits with an error if an exposure does not pass.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hst_assets.astrometry.alignment_result import ExposureToAlign
from hst_assets.astrometry.methods.registry import methods_named
from hst_assets.detectors import DETECTORS
from hst_assets.settings import Settings
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.truth import true_offset
from hst_assets.workdir import WorkDir


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--exposures", type=int, default=3)
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="method-accuracy-"))
    print("| detector | method | passed | before [px] | left [px] | scatter [px] | stars | s |")
    print("|---|---|---|---|---|---|---|---|")
    passed = [
        measured(key, options.methods, options.exposures, folder / key) for key in options.detectors
    ]
    return 0 if all(passed) else 1


def measured(key: str, methods: list[str], n_exposures: int, folder: Path) -> bool:
    """Print the rows of one detector; whether all exposures passed."""
    truth = simulate_campaign(small_plan(key, n_exposures=n_exposures), folder / "sky")
    workdir = WorkDir(folder, "field").create()
    pixel = DETECTORS[key].pixel_scale_arcsec
    good = True
    for method in methods_named(methods):
        rows = []
        started = time.perf_counter()
        for raw in truth.science_files():
            true = truth.positions(raw.name[:9])
            true.sort("counts", reverse=True)
            scratch = folder / method.name / raw.name[:9]
            scratch.mkdir(parents=True)
            true["ra", "dec"].write(scratch / "true.ecsv", format="ascii.ecsv")
            (outcome,) = method.align(
                [ExposureToAlign(raw, raw.name[:9], key)],
                scratch / "true.ecsv",
                settings=Settings(),
                workdir=workdir,
                scratch=scratch,
                stage="benchmark",
            )
            if outcome.status != "PASS" or outcome.numbers is None:
                failed = outcome.reason if outcome.failure is None else outcome.failure.what
                print(f"{raw.name}: {outcome.status}: {failed.splitlines()[0]}", file=sys.stderr)
                continue
            before, after = true_offset(raw, true), true_offset(outcome.files[0], true)
            rows.append(
                (
                    np.hypot(before.east_arcsec, before.north_arcsec) / pixel,
                    np.hypot(after.east_arcsec, after.north_arcsec) / pixel,
                    after.scatter_arcsec / pixel,
                    outcome.numbers.n_matches,
                )
            )
        seconds = (time.perf_counter() - started) / n_exposures
        good &= len(rows) == n_exposures
        before, left, scatter, stars = np.median(rows, axis=0) if rows else [np.nan] * 4
        worst = max((row[1] for row in rows), default=np.nan)
        print(
            f"| {key} | {method.name} | {len(rows)}/{n_exposures} | {before:.2f} "
            f"| {left:.4f} (worst {worst:.4f}) | {scatter:.4f} | {stars:.0f} | {seconds:.0f} |",
            flush=True,
        )
    return good


if __name__ == "__main__":
    sys.exit(main())

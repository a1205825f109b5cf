"""Kill the demo's run at random moments, start it again, compare with an undisturbed run.

    python benchmarks/kill_and_resume.py --kills 20 [--plan small|demo|hap] [--seed 1]

An undisturbed run is timed first. Then each trial starts from a copy of the ingested target,
kills the command (SIGKILL to the process alone, as the kernel would) at a moment drawn uniformly
over that time, starts the same command again and lets it end. Products are compared with those of
the undisturbed run: pixels bit by bit, and every header card that is not a date or a path; with
``--plan hap``, the advanced products of a small visit and a stand-in of the star catalogue, also
the rows of each table.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from astropy.io import fits

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.simulate.campaign import CampaignPlan, simulate_campaign
from hst_assets.simulate.plans import demo_plan, small_plan
from hst_assets.simulate.star_service import star_service

#: The assets that are made with ``--plan hap``.
HAP = ",".join(
    ["raw_exposures", "exposure_table", *(row.name for row in ASSETS if row.wanted == "hap.make")]
)
DEPLOYMENT = Path(__file__).parents[1] / "data" / "deployment" / "dagster.yaml"


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    plan = _plan(options.plan)
    truth = simulate_campaign(plan, folder / "simulated", max_cores=2)
    pristine = folder / "pristine"
    _command(pristine, "ingest", truth.exposure_folder, "--target", plan.name).wait()
    if options.plan != "hap":
        return _compared(folder, plan, options, ())
    with star_service(truth.stars, "ab_wfc3_ir_f110w") as address:
        os.environ["ASTROMETRIC_CATALOG_URL"] = address
        return _compared(folder, plan, options, ("--select", HAP))


def _plan(name: str) -> CampaignPlan:
    if name == "hap":
        return small_plan("wfc3_ir", filters=("F110W",))
    return demo_plan() if name == "demo" else small_plan("wfc3_ir", n_exposures=3)


def _compared(
    folder: Path, plan: CampaignPlan, options: argparse.Namespace, chosen: Sequence[str]
) -> int:
    """An undisturbed run of the chosen assets, and the trials."""
    pristine = folder / "pristine"
    undisturbed = folder / "undisturbed"
    _copy(pristine, undisturbed)
    started = time.monotonic()
    if _command(undisturbed, "materialize", plan.name, *chosen).wait() != 0:
        print("the undisturbed run failed")
        return 1
    duration = time.monotonic() - started
    print(f"undisturbed run: {duration:.0f} s, {len(_products(undisturbed, plan))} products")
    return _trials(folder, plan, options, duration, chosen)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--plan", choices=["small", "demo", "hap"], default="small")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _trials(
    folder: Path,
    plan: CampaignPlan,
    options: argparse.Namespace,
    duration: float,
    chosen: Sequence[str],
) -> int:
    random_moment = random.Random(options.seed)
    expected = _products(folder / "undisturbed", plan)
    failures = 0
    for number in range(options.kills):
        trial = folder / "trial"
        shutil.rmtree(trial, ignore_errors=True)
        _copy(folder / "pristine", trial)
        moment = random_moment.uniform(0, duration)
        process = _command(trial, "materialize", plan.name, *chosen)
        try:
            process.wait(timeout=moment)
            fate = "had ended"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            fate = "killed"
        left = _parts(trial, plan)
        code = _command(trial, "materialize", plan.name, *chosen).wait()
        differences = [f"exit code {code}"] if code else _compare(expected, _products(trial, plan))
        failures += bool(differences)
        print(
            f"{number + 1:3d} {fate} at {moment:6.1f} s, {left} files then under a hidden name: "
            f"{'; '.join(differences) or 'same products'}",
            flush=True,
        )
    print(f"{options.kills - failures} of {options.kills} trials ended in the same products")
    shutil.rmtree(folder)
    return int(failures > 0)


def _copy(root: Path, copied: Path) -> None:
    """Without the Dagster instance, whose targets belong to their root."""
    shutil.copytree(root, copied, ignore=shutil.ignore_patterns("dagster_home"))


def _command(root: Path, *arguments: object) -> subprocess.Popen[bytes]:
    home = root / "dagster_home"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(DEPLOYMENT, home)
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "hst-assets"), *map(str, arguments)],
        env={**os.environ, "HST_ASSETS_ROOT": str(root), "DAGSTER_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _products(root: Path, plan: CampaignPlan) -> dict[str, Path]:
    base = root / plan.name
    kinds = ("*.fits", "*.ecsv") if (base / "hap").is_dir() else ("*.fits",)
    found = (path for kind in kinds for path in base.rglob(kind))
    visible = (path for path in found if not path.name.startswith("."))
    return {str(path.relative_to(base)): path for path in visible if ".hst123" not in str(path)}


def _parts(root: Path, plan: CampaignPlan) -> int:
    return len(list((root / plan.name).rglob(".part.*")))


def _compare(expected: dict[str, Path], found: dict[str, Path]) -> list[str]:
    differences = [f"{name} is missing" for name in expected.keys() - found.keys()]
    differences += [f"{name} is extra" for name in found.keys() - expected.keys()]
    for name in sorted(expected.keys() & found.keys()):
        if name.endswith(".ecsv"):
            if _rows(expected[name]) != _rows(found[name]):
                differences.append(f"{name} has other rows")
            continue
        with fits.open(expected[name]) as one, fits.open(found[name]) as other:
            difference = fits.FITSDiff(
                one, other, ignore_keywords=["DATE", "CHECKSUM", "DATASUM"], ignore_comments=["*"]
            )
            if not difference.identical:
                differences.append(f"{name} differs: {_first(difference.report())}")
    return differences


def _rows(table: Path) -> list[str]:
    return [line for line in table.read_text().splitlines() if not line.startswith("#")]


def _first(report: str) -> str:
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    return " / ".join(lines[-6:])


if __name__ == "__main__":
    sys.exit(main())

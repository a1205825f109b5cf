"""A second run with nothing changed: seconds an asset, beyond process start.

    python benchmarks/second_run.py [--plan small|demo]

Walks a simulated campaign, then materializes each asset again alone, and subtracts the time that
the same process needs to start, load the definitions and open the Dagster instance. Exits with an
error if an asset takes 2 s or more, or if anything was made.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

DEPLOYMENT = Path(__file__).parents[1] / "data" / "deployment" / "dagster.yaml"
LIMIT_S = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plan", choices=["small", "demo"], default="small")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="second-run-"))
    os.environ["DAGSTER_HOME"] = str(folder)
    shutil.copy(DEPLOYMENT, folder)
    started = time.perf_counter()
    import dagster as dg

    from hst_assets.orchestration.build import build_defs

    with dg.DagsterInstance.get() as instance:
        definitions = build_defs(root=str(folder / "root"))
        print(f"process start: {time.perf_counter() - started:.1f} s after the interpreter's own")
        logging.getLogger("dagster").setLevel(logging.CRITICAL)
        return _measure(options.plan, folder, definitions, instance)


def _measure(plan_name, folder, definitions, instance) -> int:
    from hst_assets.exposures.ingest import ingest
    from hst_assets.orchestration.asset_table import ASSETS
    from hst_assets.orchestration.run_target import run_target
    from hst_assets.simulate.campaign import simulate_campaign
    from hst_assets.simulate.plans import demo_plan, small_plan
    from hst_assets.workdir import WorkDir

    plan = demo_plan() if plan_name == "demo" else small_plan("wfc3_uvis")
    truth = simulate_campaign(plan, folder / "simulated", max_cores=2)
    workdir = WorkDir(folder / "root", plan.name)
    ingest([truth.exposure_folder], workdir)
    started = time.perf_counter()
    first = list(run_target(definitions, instance, workdir))
    failures = [text for o in first for text in o.failures]
    wanted = {name for o in first for name in (*o.made, *o.unchanged)}
    print(f"first walk: {time.perf_counter() - started:.1f} s; failures: {failures or 'none'}")
    too_slow = []
    for level in ASSETS.levels:
        for asset in level.assets:
            if asset not in wanted:  # no setting asks for it
                continue
            started = time.perf_counter()
            outcomes = list(run_target(definitions, instance, workdir, assets=[asset]))
            elapsed_s = (time.perf_counter() - started) / len(outcomes)
            made = [name for o in outcomes for name in o.made]
            print(f"  {asset:<20} {elapsed_s:5.2f} s a partition{'  MADE' if made else ''}")
            if elapsed_s >= LIMIT_S or made:
                too_slow.append(asset)
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
    return int(bool(too_slow or failures))


if __name__ == "__main__":
    sys.exit(main())

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
from pathlib import Path

from disturbed_runs import Undisturbed

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.simulate.campaign import CampaignPlan, simulate_campaign
from hst_assets.simulate.plans import demo_plan, small_plan
from hst_assets.simulate.star_service import star_service

#: The assets that are made with ``--plan hap``.
HAP = ",".join(
    ["raw_exposures", "exposure_table", *(row.name for row in ASSETS if row.wanted == "hap.make")]
)


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    plan = _plan(options.plan)
    try:
        if options.plan != "hap":
            return _trials(Undisturbed.of(folder, plan), options)
        truth = simulate_campaign(plan, folder / "stars", max_cores=2)
        with star_service(truth.stars, "ab_wfc3_ir_f110w") as address:
            os.environ["ASTROMETRIC_CATALOG_URL"] = address
            return _trials(Undisturbed.of(folder, plan, ("--select", HAP)), options)
    finally:
        shutil.rmtree(folder)


def _plan(name: str) -> CampaignPlan:
    if name == "hap":
        return small_plan("wfc3_ir", filters=("F110W",))
    return demo_plan() if name == "demo" else small_plan("wfc3_ir", n_exposures=3)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--plan", choices=["small", "demo", "hap"], default="small")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _trials(undisturbed: Undisturbed, options: argparse.Namespace) -> int:
    print(f"undisturbed run: {undisturbed.duration_s:.0f} s, {len(undisturbed.products)} products")
    random_moment = random.Random(options.seed)
    failures = 0
    for number in range(options.kills):
        root = undisturbed.trial()
        moment = random_moment.uniform(0, undisturbed.duration_s)
        process = undisturbed.begun(root)
        try:
            process.wait(timeout=moment)
            fate = "had ended"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            fate = "killed"
        left = len(list((root / undisturbed.target).rglob(".part.*")))
        differences = undisturbed.differences_after_rerun(root)
        failures += bool(differences)
        print(
            f"{number + 1:3d} {fate} at {moment:6.1f} s, {left} files then under a hidden name: "
            f"{'; '.join(differences) or 'same products'}",
            flush=True,
        )
    print(f"{options.kills - failures} of {options.kills} trials ended in the same products")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())

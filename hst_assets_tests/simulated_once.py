"""Simulated campaigns that all workers of a test session share: each plan is rendered once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from hst_assets.simulate.campaign import CampaignPlan, simulate_campaign
from hst_assets.simulate.truth import CampaignTruth


class SimulatedOnce:
    """Campaigns by their plan, in a folder that several processes may use.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Where they are kept, in folders named by the digests of their plans.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, plan: CampaignPlan) -> CampaignTruth:
        """The campaign, for reading: a test that spoils exposures copies them, or makes its own."""
        self.folder.mkdir(exist_ok=True)
        name = hashlib.sha256(json.dumps(asdict(plan)).encode()).hexdigest()[:16]
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at it
            whole = self.folder / f"{name}.whole"
            if not whole.exists():
                shutil.rmtree(self.folder / name, ignore_errors=True)
                simulate_campaign(plan, self.folder / name, max_cores=2)
                whole.touch()
        return CampaignTruth(self.folder / name)

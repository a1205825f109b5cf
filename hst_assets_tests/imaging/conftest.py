"""A small simulated campaign, prepared up to its alignment, which is exact by construction."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable

from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.table import (
    make_raw_manifest,
    make_target_table,
    make_visit_table,
)
from hst_assets.imaging import drizzling
from hst_assets.products.columns import read_table
from hst_assets.provenance import Recipe, Result, make, sha256_of_file
from hst_assets.settings import MachineSettings, Settings, load_settings
from hst_assets.simulate.campaign import CampaignPlan
from hst_assets.simulate.plans import DEMO_MJD, small_plan
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging.stand_in_drizzler import Drizzler
from hst_assets_tests.simulated_once import SimulatedOnce

VISITS = ("isim01", "isim02")
MACHINE = MachineSettings(max_cores=2, tool_timeout_s=300)


def campaign_plan(*, cosmic_rays: bool = True) -> CampaignPlan:
    """Three exposures in F606W; forty days later one in F606W and one in F814W.

    Headers tell the true pointing.
    """
    plan = small_plan("wfc3_uvis", n_exposures=3, pointing_error_arcsec=(0.0, 0.0))
    (first,) = plan.visits
    first = replace(first, visit=VISITS[0], jitter_arcsec=0.0, cosmic_rays=cosmic_rays)
    second = replace(
        first,
        visit=VISITS[1],
        filters=("F606W", "F814W"),
        n_exposures=1,
        mjd=DEMO_MJD + 40.0,
        pa_v3_deg=55.0,
    )
    return replace(plan, visits=(first, second))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real exposures beside the checkout."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "real"
    if not folder.is_dir():
        pytest.skip(f"no real exposures at {folder}")
    return folder


@pytest.fixture(scope="session")
def campaign(simulated: SimulatedOnce) -> CampaignTruth:
    return simulated(campaign_plan())


@pytest.fixture(scope="session")
def prepared_root(campaign: CampaignTruth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose target "field" stands up to the alignment tables."""
    workdir = WorkDir(tmp_path_factory.mktemp("prepared"), "field")
    ingest([campaign.exposure_folder], workdir, ra_deg=150.1, dec_deg=2.2)
    settings = load_settings(workdir)
    for visit in VISITS:
        make_raw_manifest(workdir, visit)
        make_visit_table(workdir, visit, settings)
        align_as_is(workdir, visit)
    make_target_table(workdir, VISITS, settings)
    return workdir.root


def align_as_is(workdir: WorkDir, visit: str, *, leave_out: tuple[str, ...] = ()) -> None:
    """Stand-in for the alignment: working copies with the WCS they came with, and the table."""
    table = read_table(workdir.visit_exposures(visit))
    for name in table["file"]:
        copy = workdir.aligned(str(name))
        if not copy.exists():
            shutil.copyfile(workdir.raw / str(name), copy)
    alignment = QTable()
    alignment["rootname"] = table["rootname"]
    alignment["file"] = table["file"]
    alignment["used"] = np.array([name not in leave_out for name in table["rootname"]])
    alignment["status"] = "PASS"
    alignment["method"] = "tweakreg"
    alignment["reason"] = ""
    alignment["digest"] = [sha256_of_file(workdir.aligned(str(name))) for name in table["file"]]
    path = workdir.visit_alignment(visit)
    alignment.write(path, format="ascii.ecsv", overwrite=True)
    make(Recipe("aligned_exposures"), path, workdir, lambda: Result((path,)), redo=True)


@pytest.fixture
def workdir(prepared_root: Path, tmp_path: Path) -> WorkDir:
    """A copy of the prepared work directory that a test may change."""
    shutil.copytree(prepared_root, tmp_path / "root")
    return WorkDir(tmp_path / "root", "field")


@pytest.fixture
def settings(workdir: WorkDir) -> Settings:
    return load_settings(workdir).model_copy(update={"machine": MACHINE})


@pytest.fixture
def drizzler(monkeypatch: pytest.MonkeyPatch) -> Drizzler:
    stand_in = Drizzler()
    monkeypatch.setattr(drizzling, "drizzle_many", stand_in)
    return stand_in

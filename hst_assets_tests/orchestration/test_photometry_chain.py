"""From simulated exposures to completeness through Dagster: all real but the photometer."""

import dagster as dg
import numpy as np
import pytest

from hst_assets.exposures.ingest import ingest
from hst_assets.orchestration.build import build_defs
from hst_assets.orchestration.resources import Onlooker
from hst_assets.orchestration.run_target import run_target
from hst_assets.products.columns import read_table
from hst_assets.settings import write_settings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.measuring_dolphot import N_STARS, MeasuringDolphot

pytestmark = pytest.mark.slow

PHOTOMETRY = ("dolphot_inputs", "dolphot_catalog", "artificial_stars")
CHAIN = (
    "raw_exposures",
    "exposure_table",
    "target_exposures",
    "reference_image",
    "visit_reference",
    "aligned_exposures",
    "target_alignment",
    *PHOTOMETRY,
)


@pytest.fixture(scope="module")
def walked(simulated, tmp_path_factory):
    """A target, its photometer, what the first walk made, and what was told of its progress."""
    folder = tmp_path_factory.mktemp("chain")
    program = MeasuringDolphot(folder / "bin")
    workdir = WorkDir(folder / "root", "field").create()
    plan = small_plan("wfc3_uvis")
    write_settings(
        workdir,
        {
            "target": {"ra_deg": plan.ra_deg, "dec_deg": plan.dec_deg},
            "photometry": {"make": True, "artificial_stars": True},
            "dolphot": {"program": str(program.path)},
            "artificial_stars": {"n_stars": 120, "chunk_size": 60},
        },
    )
    ingest([simulated(plan).exposure_folder], workdir)
    told = []
    with dg.DagsterInstance.ephemeral() as instance:
        defs = build_defs(
            root=str(workdir.root), resources={"onlooker": Onlooker(lambda p: told.append(str(p)))}
        )

        def walk():
            return list(run_target(defs, instance, workdir, assets=CHAIN))

        yield workdir, program, walk, walk(), told, instance


def test_everything_is_made_in_one_walk(walked):
    workdir, program, _, outcomes, _, _ = walked
    assert [failure for outcome in outcomes for failure in outcome.failures] == []
    assert set(PHOTOMETRY) <= {asset for outcome in outcomes for asset in outcome.made}
    chips = read_table(workdir.dolphot_inputs)
    assert sorted(chips["role"]) == ["exposure", "exposure", "reference"]
    (catalog,) = read_table(workdir.star_catalog)
    assert catalog["n_objects"] == N_STARS
    assert np.sum(read_table(workdir.completeness)["n_in"]) == 2 * 120  # in each of two filters
    assert len(program.runs) == 3  # the catalogue, and two lists


def test_the_checks_are_evaluated(walked):
    *_, instance = walked
    of_type = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    evaluated = {}
    for run in instance.get_runs():
        for event in instance.all_logs(run.run_id, of_type=of_type):
            found = event.dagster_event.asset_check_evaluation_data
            evaluated.setdefault(found.asset_key.path[-1], {})[found.check_name] = found
    assert evaluated["dolphot_inputs"]["all_exposures_prepared"].passed
    assert evaluated["dolphot_catalog"]["stars_left"].passed
    # A script does not tell where its libraries lie.
    assert set(evaluated["dolphot_catalog"]) == {"photometer_warnings", "stars_left"}
    assert evaluated["artificial_stars"]["all_lists_measured"].passed
    assert "limits_reached" in evaluated["artificial_stars"]


def test_progress_is_told_to_who_looks_on(walked):
    *_, told, _ = walked
    assert "DOLPHOT: done (100%)" in told
    assert told[-1] == "DOLPHOT: measuring artificial stars (100%)"


def test_a_second_walk_finds_all_up_to_date(walked):
    _, program, walk, *_ = walked
    n_runs = len(program.runs)
    outcomes = walk()
    assert set(PHOTOMETRY) <= {asset for outcome in outcomes for asset in outcome.unchanged}
    assert not any(outcome.made or outcome.failures for outcome in outcomes)
    assert len(program.runs) == n_runs

"""Rows that nobody foresaw: a branch on raw exposures alone, two branches behind the stacks.

They are put into a scratch table, and everything else follows: definitions, levels, runs, sensors,
sweeps, redo. Nothing of the package is touched.
"""

from dataclasses import replace

import dagster as dg
import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.asset_row import AssetRow, RedoKind, Resources
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.checks import Check, Finding
from hst_assets.orchestration.resources import HstRoot
from hst_assets.orchestration.run_target import run_target
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.orchestration.test_schedules import judged

BEFORE = "hst_assets_tests.orchestration.test_new_rows:never_called"
FOUND_STARS = Check(
    "stars_found", "There are stars.", lambda _made, _workdir: Finding(passed=True, text="stars")
)


def never_called(*_arguments, **_options):
    raise AssertionError("the stand-in takes its place")


def new(name, per, job, path, **more):
    return AssetRow(
        name=name,
        per=per,
        job=job,
        group="scratch",
        description="New.",
        path=path,
        make=BEFORE,
        **more,
    )


ROWS = (
    new("mosaic_plan", "visit", "visit_mosaics", "visit_plan", after=("raw_exposures",)),
    new("visit_mosaic", "visit", "visit_mosaics", "visit_mosaic", after=("mosaic_plan",)),
    new("all_mosaics", "target", "target_mosaics", "all_mosaics", gathers="visit_mosaic"),
    new(
        "star_catalog",
        "target",
        "target_catalogs",
        "found_stars",
        after=("drizzled_stacks",),
        checks=(FOUND_STARS,),
        kinds=frozenset({"table"}),
        resources=Resources(memory_gb=4.0, cores=2),
        owner="team:photometry",
        redo=("photometry",),
    ),
    new("star_curves", "target", "target_curves", "star_curves", after=("star_catalog",)),
    new("finding_charts", "target", "target_charts", "charts", after=("drizzled_stacks",)),
    new(
        "star_tests",
        "target",
        "target_tests",
        "star_tests",
        after=("star_catalog",),
        wanted="drizzle.keep_artifacts",
    ),
    new(
        "test_plots",
        "target",
        "target_plots",
        "test_plots",
        after=("star_tests",),
        wanted="alignment.keep_objfile",
    ),
)


@pytest.fixture
def campaign(campaign, monkeypatch):
    """A campaign with the scratch table, on work directories that have the paths."""
    for name in ("visit_plan", "visit_mosaic"):
        monkeypatch.setattr(
            WorkDir,
            name,
            lambda workdir, visit, name=name: workdir.hap / f"{visit}_{name}.ecsv",
            raising=False,
        )
    for name in (
        "all_mosaics",
        "found_stars",
        "star_curves",
        "charts",
        "star_tests",
        "test_plots",
    ):
        monkeypatch.setattr(
            WorkDir,
            name,
            property(lambda workdir, name=name: workdir.dolphot / f"{name}.ecsv"),
            raising=False,
        )
    # A table that was resolved before knows no kind of redo but its own.
    rows = [replace(row, redo=()) for row in ROWS]
    campaign.table = ASSETS.plus(rows)
    for visit in ("iaaa01", "iaaa02"):
        campaign.add_exposure("sn1", visit)
    return campaign


@pytest.fixture
def run(campaign, defs, instance):
    def run(**options):
        table, workdir = campaign.table, campaign.workdir("sn1")
        results = run_target(defs, instance, workdir, table=table, **options)
        return {(result.level, result.partition): result for result in results}

    return run


def test_the_levels_are_a_graph(campaign):
    depths = {level.job: level.depth for level in campaign.table.levels}
    assert depths["visit_mosaics"] == depths["target_frame"] == 1
    assert depths["target_catalogs"] == depths["target_charts"] == depths["target_stacks"] + 1
    assert depths["target_curves"] == depths["target_catalogs"] + 1


def test_all_of_it_is_made_and_the_second_time_nothing(campaign, run):
    results = run()
    assert not any(result.failures or result.skipped for result in results.values())
    made = {(asset, key) for (_, key), result in results.items() for asset in result.made}
    assert {("visit_mosaic", "sn1/iaaa01"), ("star_curves", "sn1")} <= made
    campaign.ran.clear()
    run()
    assert campaign.ran == []


def _set(campaign, **settings):
    write_settings(campaign.workdir("sn1"), settings)


def test_what_is_not_wanted_is_not_made_unless_it_is_named(campaign, run):
    assert {"target_tests", "target_plots"}.isdisjoint(job for job, _ in run())
    results = run(assets=["star_tests"])
    assert results["target_tests", "sn1"].made == ("star_tests",)


def test_what_a_setting_wants_is_made(campaign, run):
    _set(campaign, drizzle={"keep_artifacts": True})
    results = run()
    assert results["target_tests", "sn1"].made == ("star_tests",)
    assert ("target_plots", "sn1") not in results


def test_what_is_wanted_wants_what_it_is_made_from(campaign, run):
    _set(campaign, alignment={"keep_objfile": True})
    results = run()
    assert results["target_tests", "sn1"].made == ("star_tests",)
    assert results["target_plots", "sn1"].made == ("test_plots",)


def test_sensors_and_sweeps_leave_alone_what_is_not_wanted(campaign, daemon, run):
    run()
    assert daemon.tick("target_tests") == []
    assert daemon.night("nightly_target_tests") == []
    _set(campaign, drizzle={"keep_artifacts": True})
    assert daemon.night("nightly_target_tests") == ["sn1"]
    assert daemon.tick("target_tests") == ["sn1"]


def test_the_hint_for_what_is_not_wanted_names_its_setting(campaign, run):
    (told,) = run(assets=["star_tests"])["target_tests", "sn1"].failures
    assert told.endswith("or all by setting drizzle.keep_artifacts and leaving --select out")


def test_a_failure_of_what_is_not_wanted_any_more_is_not_named(campaign, defs, daemon, run):
    _set(campaign, drizzle={"keep_artifacts": True})
    campaign.broken.add(("star_tests", "sn1"))
    assert run()["target_tests", "sn1"].failures
    _set(campaign, drizzle={"keep_artifacts": False})
    assert judged(daemon, defs, "star_tests").passed


@pytest.mark.parametrize("wanted", ["drizzle.no_such", "nothing.make"])
def test_a_wish_is_a_setting(wanted):
    with pytest.raises(BadConfiguration, match="no setting says whether it is wanted"):
        ASSETS.plus([replace(ROWS[-1], wanted=wanted, after=("drizzled_stacks",))])


def test_a_level_is_wanted_as_a_whole():
    wished = replace(ROWS[-1], job="target_pictures", after=("drizzled_stacks",))
    with pytest.raises(BadConfiguration, match="wanted by another setting"):
        ASSETS.plus([wished])


def test_a_failed_stack_costs_no_mosaic(campaign, run):
    campaign.broken.add(("drizzled_stacks", "sn1"))
    results = run()
    assert results["visit_mosaics", "sn1/iaaa01"].made == ("mosaic_plan", "visit_mosaic")
    assert results["target_mosaics", "sn1"].made == ("all_mosaics",)
    for job, asset, cause in (
        ("target_catalogs", "star_catalog", "drizzled_stacks"),
        ("target_charts", "finding_charts", "drizzled_stacks"),
        ("target_curves", "star_curves", "star_catalog"),
    ):
        assert results[job, "sn1"].skipped == {asset: cause}
        assert results[job, "sn1"].run_id == ""


def test_a_failed_difference_does_not_stop_catalogues(campaign, run):
    campaign.broken.add(("epoch_differences", "sn1"))
    results = run()
    assert results["target_stacks", "sn1"].failures
    assert results["target_curves", "sn1"].made == ("star_curves",)


def test_a_failed_branch_leaves_its_neighbour_alone(campaign, run):
    campaign.broken.add(("star_catalog", "sn1"))
    results = run()
    assert results["target_charts", "sn1"].made == ("finding_charts",)
    assert results["target_curves", "sn1"].skipped == {"star_curves": "star_catalog"}


def test_a_failed_reference_stops_what_is_aligned_and_nothing_else(campaign, run):
    campaign.broken.add(("reference_image", "sn1"))
    results = run()
    assert results["visit_images", "sn1/iaaa01"].skipped == {
        "visit_reference": "reference_image",
        "aligned_exposures": "visit_reference",
        "epoch_drizzles": "aligned_exposures",
    }
    assert results["target_mosaics", "sn1"].made == ("all_mosaics",)


def test_a_failed_visit_costs_what_is_downstream_of_it_alone(campaign, run):
    campaign.broken.add(("mosaic_plan", "sn1/iaaa02"))
    results = run()
    assert results["target_mosaics", "sn1"].made == ("all_mosaics",)
    assert results["visit_images", "sn1/iaaa02"].made[-1:] == ("epoch_drizzles",), results


@pytest.fixture
def instance(instance_on_disk):
    return instance_on_disk


def test_sensors_carry_every_branch_to_its_end_and_then_rest(campaign, defs, daemon, instance):
    for _ in range(2):  # what joins branches is asked for when it has stood for a tick
        for level in campaign.table.levels_from_raw:
            for key in daemon.tick(level.job):
                assert daemon.run(level.job, key).success
    workdir = campaign.workdir("sn1")
    for asset in ("all_mosaics", "star_curves", "finding_charts", "epoch_differences"):
        assert campaign.table[asset].product(workdir).is_file(), asset
    assert not any(daemon.tick(level.job) for level in campaign.table.levels_from_raw)


def test_a_sensor_waits_for_what_is_upstream_and_for_nothing_else(campaign, defs, daemon, instance):
    for level in campaign.table.levels_from_raw:
        if level.job in {"visit_exposures", "target_frame"}:
            for key in daemon.tick(level.job):
                daemon.run(level.job, key)
    instance.create_run_for_job(
        defs.resolve_job_def("visit_images"),
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": "sn1/iaaa01"},
    )
    assert daemon.tick("visit_mosaics") == ["sn1/iaaa01", "sn1/iaaa02"]
    assert daemon.tick("target_stacks") == []


def test_the_night_tries_again_what_a_branch_lacks(campaign, daemon, run):
    campaign.broken.add(("finding_charts", "sn1"))
    run()
    assert daemon.night("nightly_target_charts") == ["sn1"]
    assert daemon.night("nightly_target_catalogs") == []
    assert daemon.night("nightly_visit_mosaics") == []


def test_the_definition_has_all_that_the_row_says(defs):
    graph = defs.resolve_asset_graph()
    node = graph.get(dg.AssetKey("star_catalog"))
    assert node.owners == ["team:photometry"]
    assert node.group_name == "scratch"
    assert node.kinds == {"table"}
    assert node.partitions_def.name == "hst_target"
    assert "`dolphot/found_stars.ecsv`" in node.description
    assert node.assets_def.op.tags["hst_assets/memory_gb"] == "4"
    assert node.assets_def.op.tags["hst_assets/cores"] == "2"
    checks = {key.name for key in graph.asset_check_keys if key.asset_key == node.key}
    assert checks == {"stars_found", "no_partition_left_failed"}


def test_a_new_kind_of_work_is_a_row_too(campaign):
    table = ASSETS.plus([ROWS[3]], [RedoKind(name="photometry", help="Measure again.")])
    assert [kind.option for kind in table.redo_kinds][-1] == "--redo-photometry"


def test_the_notebook_reads_a_new_asset(campaign, defs, run, instance):
    run()
    root = HstRoot(root=str(campaign.root))
    path = campaign.table.product_path(root.path, "star_catalog", "sn1")
    assert path.read_text() == "star_catalog sn1"

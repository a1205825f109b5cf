"""The night: the archive is asked, levels are swept, and what is left failed is named."""

import dagster as dg
import pytest

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.forecast import forecast
from hst_assets.orchestration.run_target import run_target
from hst_assets.orchestration.targets import retire_target
from hst_assets.settings import write_settings


@pytest.fixture
def instance(instance_on_disk):
    return instance_on_disk


def judged(daemon, defs, asset, check="no_partition_left_failed"):
    """What the nightly checks say of an asset."""
    result = defs.resolve_job_def("left_failed").execute_in_process(instance=daemon.instance)
    (found,) = (
        evaluation
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.asset_key == dg.AssetKey(asset) and evaluation.check_name == check
    )
    return found


def test_the_archive_is_asked_for_archive_targets_alone(archive, daemon, campaign, instance):
    archive.add_target("sn1")
    write_settings(archive.add_target("sn2"), {"target": {"retired": True}})
    campaign.add_exposure("sn3", "iaaa01")
    assert daemon.night("nightly_target_archive") == ["sn1"]
    assert instance.get_dynamic_partitions("hst_target") == ["sn1"]


def test_a_visit_that_was_not_delivered_is_tried_again(archive, daemon, defs):
    workdir = archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    archive.add_visit("sn1", "jaaa02")
    archive.mast.files.always["jaaa02aaq_flc.fits"] = "503"
    list(run_target(defs, daemon.instance, workdir))
    archive.mast.heal()
    assert daemon.night("nightly_visit_exposures") == ["sn1/jaaa02"]
    assert daemon.run("visit_exposures", "sn1/jaaa02").success
    assert daemon.night("nightly_visit_exposures") == []


def test_a_visit_that_is_under_way_is_not_queued_twice(archive, daemon, defs, instance):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    archive.add_visit("sn1", "jaaa02")
    daemon.tick_archive()
    run = instance.create_run_for_job(
        defs.resolve_job_def("visit_exposures"),
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": "sn1/jaaa01"},
    )
    assert daemon.night("nightly_visit_exposures") == ["sn1/jaaa02"]
    instance.report_run_failed(run)
    assert daemon.night("nightly_visit_exposures") == ["sn1/jaaa01", "sn1/jaaa02"]


def test_a_visit_with_a_part_missing_is_tried_again(archive, daemon, defs):
    workdir = archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01", n_exposures=2)
    archive.mast.files.always["jaaa01abq_flc.fits"] = "503"
    list(run_target(defs, daemon.instance, workdir))
    assert daemon.night("nightly_visit_exposures") == ["sn1/jaaa01"]


def test_files_that_may_not_be_had_are_not_tried_every_night(archive, daemon, monkeypatch):
    archive.add_target("sn1", data_rights="all")
    archive.add_visit("sn1", "jaaa01", data_rights="EXCLUSIVE_ACCESS")
    assert daemon.night("nightly_target_archive") == ["sn1"]
    assert daemon.run("target_archive", "sn1").success
    assert daemon.night("nightly_visit_exposures") == []
    monkeypatch.setenv("MAST_API_TOKEN", "abcdefgh12345678")
    assert daemon.night("nightly_visit_exposures") == ["sn1/jaaa01"]


def test_files_that_cannot_be_used_are_not_fetched_every_night(archive, daemon):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01", side_pix=16)  # too small for an exposure
    for key in daemon.tick_archive():
        assert not daemon.run("visit_exposures", key).success
    assert daemon.night("nightly_visit_exposures") == []


def test_a_target_that_cannot_be_read_costs_itself(archive, campaign, daemon, defs, instance):
    for target, visit in (("sn1", "jaaa01"), ("sn2", "jaaa02")):
        archive.add_target(target)
        archive.add_visit(target, visit)
    campaign.add_exposure("sn3", "iaaa03")
    daemon.tick_archive()
    campaign.workdir("sn1").checksums.write_text("this is no ledger\n")
    assert daemon.night("nightly_visit_exposures") == ["sn2/jaaa02", "sn3/iaaa03"]
    assert daemon.tick("visit_exposures") == ["sn3/iaaa03"]
    found = judged(daemon, defs, "archive_exposures", "everything_delivered")
    assert found.description.startswith("sn2/jaaa02 (1 files); not checked: ")
    assert found.description.endswith(": sn1")


def test_a_target_without_a_listing_is_not_said_to_be_delivered(archive, daemon, defs):
    archive.add_target("sn1")
    found = judged(daemon, defs, "archive_exposures", "everything_delivered")
    assert (found.passed, found.metadata["outcome"].value) == (False, "not checked")


def test_a_retired_target_is_not_swept(campaign, daemon):
    campaign.add_exposure("sn1", "iaaa01")
    assert daemon.night("nightly_visit_exposures") == ["sn1/iaaa01"]
    write_settings(campaign.workdir("sn1"), {"target": {"retired": True}})
    assert daemon.night("nightly_visit_exposures") == []


@pytest.mark.parametrize("asset", ["raw_exposures", "exposure_table"])
@pytest.mark.parametrize("when", ["broken", "failing"])
def test_a_run_that_failed_on_new_inputs_is_tried_again_beside_older_products(
    campaign, daemon, defs, asset, when
):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.add_exposure("sn1", "iaaa02")
    workdir = campaign.workdir("sn1")
    list(run_target(defs, daemon.instance, workdir))
    assert daemon.tick("visit_exposures") == []
    campaign.add_exposure("sn1", "iaaa01", 1)
    assert daemon.tick("visit_exposures") == ["sn1/iaaa01"]
    getattr(campaign, when).add((asset, "sn1/iaaa01"))
    assert not daemon.run("visit_exposures", "sn1/iaaa01").success
    assert workdir.visit_exposures("iaaa01").is_file()
    assert daemon.night("nightly_visit_exposures") == ["sn1/iaaa01"]
    # What changes once more is asked for by the sensor, as ever.
    campaign.add_exposure("sn1", "iaaa01", 2)
    assert daemon.tick("visit_exposures") == ["sn1/iaaa01"]
    campaign.broken.clear()
    campaign.failing.clear()
    assert daemon.run("visit_exposures", "sn1/iaaa01").success
    assert daemon.night("nightly_visit_exposures") == []


def test_a_run_that_failed_beside_older_products_is_shown_as_such(campaign, daemon, defs):
    campaign.add_exposure("sn1", "iaaa01")
    workdir = campaign.workdir("sn1")
    list(run_target(defs, daemon.instance, workdir))
    write_settings(workdir, {"selection": {"min_exptime_s": 20.0}})
    campaign.failing.add(("exposure_table", "sn1/iaaa01"))
    assert not daemon.run("visit_exposures", "sn1/iaaa01").success
    found = {each.asset: (each.state, *each.reasons) for each in forecast(workdir, ASSETS)}
    assert found["exposure_table"] == ("missing", "it has no record: it was not finished")
    assert found["target_exposures"] == ("may be stale", "because exposure_table would be made")
    assert judged(daemon, defs, "exposure_table").description == "sn1/iaaa01"


def test_partitions_left_failed_are_named_until_they_are_mended(campaign, daemon, defs):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.add_exposure("sn1", "iaaa02")
    campaign.broken.add(("exposure_table", "sn1/iaaa02"))
    daemon.tick("visit_exposures")
    for visit in ("iaaa01", "iaaa02"):
        daemon.run("visit_exposures", f"sn1/{visit}")
    found = judged(daemon, defs, "exposure_table")
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert found.description == "sn1/iaaa02"
    assert found.metadata["count"].value == 1
    assert judged(daemon, defs, "raw_exposures").passed
    campaign.broken.clear()
    daemon.run("visit_exposures", "sn1/iaaa02")
    assert judged(daemon, defs, "exposure_table").passed


def test_failures_of_a_retired_target_are_not_named(campaign, daemon, defs, instance):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.broken.add(("exposure_table", "sn1/iaaa01"))
    daemon.tick("visit_exposures")
    daemon.run("visit_exposures", "sn1/iaaa01")
    retire_target(instance, campaign.workdir("sn1"))
    assert judged(daemon, defs, "exposure_table").passed


def test_visits_that_raw_lacks_are_named(archive, daemon, defs):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    daemon.tick_archive()
    found = judged(daemon, defs, "archive_exposures", "everything_delivered")
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert found.description == "sn1/jaaa01 (1 files)"
    daemon.run("visit_exposures", "sn1/jaaa01")
    assert judged(daemon, defs, "archive_exposures", "everything_delivered").passed

"""What is listed and fetched in runs and walks of archive targets, on a stand-in archive."""

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from hst_assets.archive.holdings import Listing
from hst_assets.failures import BadConfiguration, TransientFailure
from hst_assets.orchestration.archive_report import reported_listing
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.fetch_visit import now_and_then
from hst_assets.orchestration.partition_keys import register, visits_of
from hst_assets.orchestration.resources import Fetching, as_dagster_failure
from hst_assets.orchestration.run_target import run_target
from hst_assets.settings import write_settings
from hst_assets_tests.stand_ins.holdings import now_mjd

TOKEN = "abcdefgh12345678"
RETRIES = "hst_assets.orchestration.assets.raw.TRY_AGAIN"


@pytest.fixture
def target(archive):
    """Two visits of one exposure each."""
    workdir = archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    archive.add_visit("sn1", "jaaa02")
    return workdir


def by_partition(outcomes):
    return {(outcome.level, outcome.partition): outcome for outcome in outcomes}


def metadata_of(instance, asset):
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    return event.asset_materialization.metadata


def test_a_walk_begins_with_the_archive_and_fetches(archive, defs, instance, target):
    outcomes = list(run_target(defs, instance, target))
    assert [(o.level, o.partition) for o in outcomes[:3]] == [
        ("target_archive", "sn1"),
        ("visit_exposures", "sn1/jaaa01"),
        ("visit_exposures", "sn1/jaaa02"),
    ]
    assert not any(o.failures or o.undelivered for o in outcomes)
    assert outcomes[-1].level == [level.job for level in ASSETS.levels if not level.wanted][-1]
    assert sorted(path.name for path in target.raw.glob("*.fits")) == [
        "jaaa01aaq_flc.fits",
        "jaaa02aaq_flc.fits",
    ]


def test_a_second_walk_fetches_and_makes_nothing(archive, defs, instance, campaign, target):
    list(run_target(defs, instance, target))
    fetched = archive.mast.count("download.*")
    campaign.ran.clear()
    list(run_target(defs, instance, target))
    assert campaign.ran == []
    assert archive.mast.count("download.*") == fetched


def test_a_local_target_asks_nobody(archive, defs, instance, campaign):
    campaign.add_exposure("sn1", "iaaa01")
    outcomes = list(run_target(defs, instance, campaign.workdir("sn1")))
    assert outcomes[0].level == "visit_exposures"
    assert archive.mast.count() == 0


def test_the_archive_of_a_local_target_is_refused_when_named(archive, defs, instance, campaign):
    campaign.add_exposure("sn1", "iaaa01")
    (outcome,) = run_target(defs, instance, campaign.workdir("sn1"), assets=["archive_exposures"])
    assert outcome.kinds == {BadConfiguration.__name__}
    assert "target add sn1" in outcome.failures[0]


def test_the_listing_is_told_by_numbers(archive, defs, instance, target):
    archive.add_visit("sn1", "jaaa03", data_rights="EXCLUSIVE_ACCESS")
    list(run_target(defs, instance, target, assets=["archive_exposures"]))
    metadata = metadata_of(instance, "archive_exposures")
    assert metadata["n_visits"].value == 2
    assert metadata["n_outstanding"].value == 2
    assert "jaaa02" in metadata["newest_visits"].value
    assert "acs_wfc" in metadata["bands"].value
    assert metadata["n_excluded"].value >= 1
    assert metadata["cross_checked"].value is True


def test_the_listing_registers_its_visits(archive, defs, instance, target):
    list(run_target(defs, instance, target, assets=["archive_exposures"]))
    assert [key.visit for key in visits_of(instance, "sn1")] == ["jaaa01", "jaaa02"]


def test_the_version_of_the_listing_is_that_of_its_products(archive, defs, instance, target):
    def version():
        list(run_target(defs, instance, target, assets=["archive_exposures"]))
        record = instance.get_latest_data_version_record(
            dg.AssetKey("archive_exposures"), partition_key="sn1"
        )
        return record.asset_materialization.tags["dagster/data_version"]

    first = version()
    assert version() == first
    archive.add_visit("sn1", "jaaa03")
    assert version() != first


def test_a_difference_between_the_catalogues_is_a_remark(archive, defs, instance, target):
    archive.mast.inject("missions.search", "empty", times=None)
    (outcome,) = run_target(defs, instance, target, assets=["archive_exposures"])
    assert not outcome.failures
    assert any("jaaa01" in text or "second" in text for text in outcome.warnings)


def test_many_differences_between_the_catalogues_are_told_briefly(target):
    (check,) = (each for each in ASSETS["archive_exposures"].checks if each.name == "cross_check")
    differences = tuple(f"jaaa{n:02d}aaq is missing" for n in range(500))
    listing = Listing("?", 60000.0, (), discrepancies=differences, cross_checked=True)
    finding = check.judge(reported_listing(listing, 0), target)
    assert not finding.passed
    assert finding.text.endswith("jaaa11aaq is missing; and 488 more")


def test_a_delivery_is_told_by_numbers(archive, defs, instance, target):
    list(run_target(defs, instance, target))
    metadata = metadata_of(instance, "raw_exposures")
    assert metadata["n_fetched"].value == 1
    assert metadata["n_failed"].value == 0
    assert metadata["fetched_mb"].value > 0
    assert "mast" in metadata["routes"].value


def test_an_archive_without_anything_is_told(archive, defs, instance):
    workdir = archive.add_target("sn1")
    (outcome,) = run_target(defs, instance, workdir)
    assert not outcome.failures
    assert outcome.kinds == {"NothingFound"}
    assert any("no exposure" in text for text in outcome.warnings)


def test_without_the_archive_the_walk_goes_on_with_what_is_there(archive, defs, instance, target):
    list(run_target(defs, instance, target))
    archive.add_visit("sn1", "jaaa03")
    with archive.mast.down():
        outcomes = by_partition(run_target(defs, instance, target))
    lost = outcomes.pop(("target_archive", "sn1"))
    assert lost.kinds == {TransientFailure.__name__}
    assert not any(outcome.failures for outcome in outcomes.values())
    assert ("target_stacks", "sn1") in outcomes
    assert ("visit_exposures", "sn1/jaaa03") not in outcomes


def test_without_archive_and_exposures_the_walk_ends(archive, defs, instance, target):
    with archive.mast.down():
        (outcome,) = run_target(defs, instance, target)
    assert outcome.kinds == {TransientFailure.__name__}


def test_offline_nothing_is_asked(archive, defs, instance, target):
    list(run_target(defs, instance, target))
    asked = archive.mast.count()
    archive.add_visit("sn1", "jaaa03")
    outcomes = by_partition(run_target(defs, instance, target, offline=True))
    assert archive.mast.count() == asked
    assert ("visit_exposures", "sn1/jaaa02") in outcomes
    assert not any(outcome.failures for outcome in outcomes.values())


def test_a_file_that_does_not_come_is_an_error_and_the_rest_stands(archive, defs, instance, target):
    archive.add_visit("sn1", "jaaa02", n_exposures=2)
    archive.mast.files.always["jaaa02abq_flc.fits"] = "503"
    outcome = by_partition(run_target(defs, instance, target))["visit_exposures", "sn1/jaaa02"]
    assert not outcome.failures
    assert "exposure_table" in outcome.made
    assert len(outcome.undelivered) == 1
    assert "jaaa02abq_flc.fits" in outcome.undelivered[0]
    archive.mast.heal()
    again = by_partition(run_target(defs, instance, target))["visit_exposures", "sn1/jaaa02"]
    assert again.undelivered == ()
    assert "raw_exposures" in again.made


def test_a_visit_of_which_nothing_comes_fails_and_costs_itself(archive, defs, instance, target):
    archive.mast.files.always["jaaa02aaq_flc.fits"] = "503"
    outcomes = by_partition(run_target(defs, instance, target))
    assert outcomes["visit_exposures", "sn1/jaaa02"].kinds == {TransientFailure.__name__}
    assert "epoch_drizzles" in outcomes["visit_images", "sn1/jaaa01"].made
    assert ("visit_images", "sn1/jaaa02") not in outcomes


def test_visits_of_another_question_are_left_alone(archive, defs, instance, target):
    list(run_target(defs, instance, target, assets=["archive_exposures"]))
    archive.holdings.hide("jaaa02")
    outcomes = by_partition(run_target(defs, instance, target))
    assert ("visit_exposures", "sn1/jaaa02") not in outcomes


def test_an_unknown_visit_of_the_archive_is_refused(archive, defs, instance, target):
    with pytest.raises(BadConfiguration, match="no visit jaaa09"):
        list(run_target(defs, instance, target, visits=["jaaa09"]))


def test_exclusive_data_needs_a_token_which_no_record_holds(archive, defs, instance, monkeypatch):
    workdir = archive.add_target("sn1", data_rights="all")
    archive.add_visit(
        "sn1", "jaaa01", data_rights="EXCLUSIVE_ACCESS", release_mjd=now_mjd() + 100.0
    )
    archive.mast.files.tokens.add(TOKEN)
    refused = by_partition(run_target(defs, instance, workdir))["visit_exposures", "sn1/jaaa01"]
    assert refused.kinds == {"AccessRefused"}
    monkeypatch.setenv("MAST_API_TOKEN", TOKEN)
    outcomes = by_partition(run_target(defs, instance, workdir))
    assert "raw_exposures" in outcomes["visit_exposures", "sn1/jaaa01"].made
    recorded = [
        repr(instance.all_logs(run.run_id)) + repr(run.run_config) + repr(run.tags)
        for run in instance.get_runs()
    ]
    assert recorded
    assert not any(TOKEN in text for text in recorded)


def test_a_run_goes_by_the_last_listing_where_the_archive_is_out(archive, daemon, defs, target):
    list(run_target(defs, daemon.instance, target))
    write_settings(target, {"selection": {"keep_short": True}})
    with archive.mast.down():
        assert daemon.run("visit_exposures", "sn1/jaaa01").success


def test_offline_is_a_field_of_the_runs_configuration(archive, defs, instance, target):
    list(run_target(defs, instance, target))
    asked = archive.mast.count()
    result = defs.resolve_job_def("visit_exposures").execute_in_process(
        partition_key="sn1/jaaa01",
        instance=instance,
        run_config={"ops": {"raw_exposures": {"config": {"offline": True}}}},
    )
    assert result.success
    assert archive.mast.count() == asked
    assert Fetching().offline is False


def test_passing_failures_are_tried_again_so_often_then_told():
    policy = dg.RetryPolicy(max_retries=2, delay=10, backoff=dg.Backoff.EXPONENTIAL)
    for n_before, seconds in enumerate((10, 30)):
        with pytest.raises(dg.RetryRequested) as asked, as_dagster_failure(policy, n_before):
            raise TransientFailure("no answer")
        assert (asked.value.max_retries, asked.value.seconds_to_wait) == (2, seconds)
    with (
        pytest.raises(dg.Failure, match="TransientFailure: no answer"),
        as_dagster_failure(policy, 2),
    ):
        raise TransientFailure("no answer")


def test_lasting_failures_are_not_tried_again():
    policy = dg.RetryPolicy(max_retries=2)
    with pytest.raises(dg.Failure) as raised, as_dagster_failure(policy):
        raise BadConfiguration("no such thing")
    assert raised.value.allow_retries is False


def retries(instance):
    (run,) = instance.get_runs()
    logs = instance.all_logs(run.run_id)
    return sum(entry.dagster_event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY for entry in logs)


def test_a_run_tries_again_after_a_passing_failure(archive, daemon, instance, target, monkeypatch):
    monkeypatch.setattr(RETRIES, dg.RetryPolicy(max_retries=3, delay=0))
    archive.mast.files.faults["jaaa01aaq_flc.fits"] = ["503", "503"]
    register(instance, "sn1", ["jaaa01"])
    assert daemon.run("visit_exposures", "sn1/jaaa01").success
    assert retries(instance) == 2


@pytest.mark.parametrize("signal", [KeyboardInterrupt, DagsterExecutionInterruptedError])
def test_a_run_that_is_cancelled_is_not_tried_again(daemon, instance, target, monkeypatch, signal):
    def cancelled(*_args, **_options):
        (run,) = instance.get_runs()
        instance.report_run_canceling(run)  # as the web UI does, before it sends a signal
        raise signal

    monkeypatch.setattr("hst_assets.archive.sync.sync_visit", cancelled)
    register(instance, "sn1", ["jaaa01"])
    assert not daemon.run("visit_exposures", "sn1/jaaa01").success
    assert retries(instance) == 0
    assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.CANCELED]


def test_progress_is_said_now_and_then(monkeypatch):
    from hst_assets.archive.download import Progress

    clock = iter([0.0, 1.0, 5.5, 6.0, 11.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    said = []
    listen = now_and_then(said.append)
    for done in range(4):
        listen(Progress(4, done, 0, done * 1_000_000, 4_000_000, "a.fits"))
    assert said == [
        "fetched 1.0 of 4.0 MB; 1 of 4 files done",
        "fetched 3.0 of 4.0 MB; 3 of 4 files done",
    ]

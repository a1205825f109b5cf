"""What failed in a night is asked for again, all of it with one command."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from dagster import AssetKey

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.retrying import (
    ask_again,
    failed_since,
    retry_marks,
    without_inputs,
)
from hst_assets.settings import write_settings

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def instance(instance_on_disk):
    return instance_on_disk


@pytest.fixture
def night(campaign, daemon):
    """Of three visits of two targets, the tables of two have failed."""
    for key in ("sn1/iaaa01", "sn1/iaaa02", "sn2/iaaa01"):
        campaign.add_exposure(*key.split("/"))
    campaign.failing |= {("exposure_table", "sn1/iaaa02"), ("exposure_table", "sn2/iaaa01")}
    for key in daemon.tick("visit_exposures"):
        daemon.run("visit_exposures", key)
    campaign.failing.clear()
    return daemon


def test_what_failed_is_asked_for_again_and_nothing_else(night, instance):
    assert night.tick("visit_exposures") == []
    failed = failed_since(instance, ASSETS, YESTERDAY, {"sn1", "sn2"})
    assert failed == {"visit_exposures": ["sn1/iaaa02", "sn2/iaaa01"]}
    ask_again(instance, "visit_exposures", failed["visit_exposures"])
    asked = night.tick("visit_exposures")
    assert asked == failed["visit_exposures"]
    assert night.tick("visit_exposures") == []
    for key in asked:
        assert night.run("visit_exposures", key).success
    assert failed_since(instance, ASSETS, YESTERDAY, {"sn1", "sn2"}) == {}


def test_what_fails_once_more_may_be_asked_for_once_more(campaign, night, instance):
    campaign.failing.add(("exposure_table", "sn1/iaaa02"))
    for _ in range(2):
        ask_again(instance, "visit_exposures", ["sn1/iaaa02"])
        assert night.tick("visit_exposures") == ["sn1/iaaa02"]
        assert not night.run("visit_exposures", "sn1/iaaa02").success


def test_failures_of_other_targets_and_earlier_ones_are_left_alone(night, instance):
    failed = failed_since(instance, ASSETS, YESTERDAY, {"sn2"})
    assert failed == {"visit_exposures": ["sn2/iaaa01"]}
    later = datetime.now(UTC) + timedelta(hours=1)
    assert failed_since(instance, ASSETS, later, {"sn1", "sn2"}) == {}


def test_what_was_made_and_failed_later_on_the_same_inputs_is_asked_for(campaign, daemon, instance):
    campaign.add_exposure("sn1", "iaaa01")
    assert daemon.tick("visit_exposures") == ["sn1/iaaa01"]
    assert daemon.run("visit_exposures", "sn1/iaaa01").success
    campaign.broken.add(("raw_exposures", "sn1/iaaa01"))
    assert not daemon.run("visit_exposures", "sn1/iaaa01").success
    campaign.broken.clear()
    (keys,) = failed_since(instance, ASSETS, YESTERDAY, {"sn1"}).values()
    ask_again(instance, "visit_exposures", keys)
    assert daemon.tick("visit_exposures") == ["sn1/iaaa01"]
    assert daemon.run("visit_exposures", "sn1/iaaa01").success
    assert failed_since(instance, ASSETS, YESTERDAY, {"sn1"}) == {}


def test_a_mark_of_long_ago_asks_for_nothing_that_a_run_has_fetched(campaign, daemon, instance):
    campaign.add_exposure("sn1", "iaaa01")
    ask_again(instance, "visit_exposures", ["sn1/iaaa01"])
    assert daemon.tick("visit_exposures") == ["sn1/iaaa01"]
    campaign.add_exposure("sn1", "iaaa01", 1)  # as a run that fetches does
    assert daemon.run("visit_exposures", "sn1/iaaa01").success
    assert daemon.tick("visit_exposures") == []


def test_two_commands_at_once_keep_the_marks_of_both(instance):
    start = threading.Barrier(2)

    def ask(visits):
        for visit in visits:
            start.wait()
            ask_again(instance, "visit_images", [f"sn1/{visit}", "sn1/iaaa00"])

    names = [[f"iaa{letter}{number:02d}" for number in range(5)] for letter in "ab"]
    threads = [threading.Thread(target=ask, args=(each,)) for each in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = {f"sn1/{visit}" for visits in names for visit in visits}
    assert retry_marks(instance, "visit_images").keys() == asked | {"sn1/iaaa00"}


def test_a_damaged_mark_is_warned_of_and_costs_the_others_nothing(night, instance, caplog):
    ask_again(instance, "visit_exposures", ["sn1/iaaa02"])
    instance.add_dynamic_partitions("hst_assets/asked_again/visit_exposures", ["sn2/iaaa01#ag"])
    assert night.tick("visit_exposures") == ["sn1/iaaa02"]
    assert "'sn2/iaaa01#ag' is no mark" in caplog.text
    ask_again(instance, "visit_exposures", ["sn2/iaaa01"])
    assert night.tick("visit_exposures") == ["sn2/iaaa01"]


@pytest.fixture
def chosen(defs, instance):
    """Runs assets of several levels, chosen by hand, of one visit."""

    def run(*assets):
        job = defs.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            partition_key="sn1/iaaa01",
            instance=instance,
            asset_selection=[AssetKey(asset) for asset in assets],
            raise_on_error=False,
        )

    return run


@pytest.mark.parametrize(
    ("broken", "job"),
    [("exposure_table", "visit_exposures"), ("aligned_exposures", "visit_images")],
)
def test_of_chosen_assets_of_two_levels_that_counts_which_failed(
    campaign, daemon, chosen, instance, broken, job
):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.broken.add((broken, "sn1/iaaa01"))
    for key in daemon.tick("visit_exposures"):
        daemon.run("visit_exposures", key)
    assert not chosen("raw_exposures", "exposure_table", "aligned_exposures").success
    assert failed_since(instance, ASSETS, YESTERDAY, {"sn1"}) == {job: ["sn1/iaaa01"]}


def test_what_has_no_inputs_now_is_told_with_why(campaign):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.add_exposure("sn2", "iaaa01")
    keys = ["sn1/iaaa01", "sn1/iaaa02", "sn2/iaaa01"]
    campaign.workdir("sn2").settings_file.write_text("not a table")

    def lacking(job, partitions):
        return without_inputs(campaign.root, ASSETS.level_named(job), partitions, ASSETS)

    told = lacking("visit_exposures", keys)
    assert told == {"sn1/iaaa02": "raw/ has no verified exposure of it"}
    assert "never made: " in lacking("visit_images", ["sn1/iaaa01"])["sn1/iaaa01"]
    unwanted = lacking("target_light_curve", ["sn1", "sn2"])
    assert unwanted.pop("sn2").startswith("cannot be read: ")
    assert unwanted == {"sn1": "not wanted by the setting light_curve.make"}
    write_settings(campaign.workdir("sn1"), {"light_curve": {"make": True}})
    assert "never made: " in lacking("target_light_curve", ["sn1"])["sn1"]

"""What is found unchanged: seen in the run, and no new materialization of an old product."""

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from hst_assets.orchestration.partitions import hst_visit
from hst_assets.orchestration.run_target import run_target

KEY = "sn1/iaaa01"
OF_VISIT = ("raw_exposures", "exposure_table", "aligned_exposures", "epoch_drizzles")


@pytest.fixture
def target(campaign):
    campaign.add_exposure("sn1", "iaaa01")
    return campaign.workdir("sn1")


def _events(instance, asset, key=KEY):
    wanted = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[key])
    return instance.fetch_materializations(wanted, limit=100).records


def _observations(instance, asset, key=KEY):
    wanted = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[key])
    return instance.fetch_observations(wanted, limit=100).records


def _status(instance, asset, key=KEY):
    return instance.get_status_by_partition(dg.AssetKey(asset), [key], hst_visit)[key]


def test_the_latest_materialization_stays_that_of_the_run_that_made_it(defs, instance, target):
    list(run_target(defs, instance, target))
    made = {asset: _events(instance, asset)[0] for asset in OF_VISIT}
    outcomes = list(run_target(defs, instance, target))
    for asset in OF_VISIT:
        assert [e.storage_id for e in _events(instance, asset)] == [made[asset].storage_id]
        (observation,) = _observations(instance, asset)
        assert observation.run_id in {outcome.run_id for outcome in outcomes}
        said = observation.asset_observation.metadata["executed"].value
        assert said == "up to date, not remade"
    assert {asset for outcome in outcomes for asset in outcome.unchanged} >= set(OF_VISIT)


def test_what_is_downstream_of_it_in_the_run_goes_on(campaign, defs, instance, target):
    list(run_target(defs, instance, target))
    campaign.ran.clear()
    target.visit_products("iaaa01").unlink()
    outcomes = list(run_target(defs, instance, target))
    assert campaign.ran == [("epoch_drizzles", KEY)]
    assert not any(outcome.failures for outcome in outcomes)


def test_an_adopted_work_directory_shows_as_materialized(campaign, defs, instance, target):
    list(run_target(defs, instance, target))
    campaign.ran.clear()
    with dg.DagsterInstance.ephemeral() as another:
        list(run_target(defs, another, target))
        assert campaign.ran == []
        for asset in OF_VISIT:
            (event,) = _events(another, asset)
            assert (
                event.asset_materialization.metadata["executed"].value == "up to date, not remade"
            )


def test_another_version_of_an_input_is_recorded_though_nothing_is_made(
    campaign, defs, instance, target
):
    """Otherwise Dagster would call it stale for ever."""
    list(run_target(defs, instance, target))
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            "visit_reference", partition=KEY, tags={"dagster/data_version": "another"}
        )
    )
    defs.resolve_job_def("visit_images").execute_in_process(
        partition_key=KEY, instance=instance, asset_selection=[dg.AssetKey("aligned_exposures")]
    )
    assert len(_events(instance, "aligned_exposures")) == 2


def test_what_was_unchanged_in_a_failed_run_is_no_failed_partition(
    campaign, defs, instance, target
):
    list(run_target(defs, instance, target))
    (made,) = _events(instance, "aligned_exposures")
    target.visit_products("iaaa01").unlink()
    campaign.broken.add(("epoch_drizzles", KEY))
    *_, failed = run_target(defs, instance, target, assets=["aligned_exposures", "epoch_drizzles"])
    assert failed.failures
    assert _status(instance, "epoch_drizzles") == AssetPartitionStatus.FAILED
    assert _status(instance, "aligned_exposures") == AssetPartitionStatus.MATERIALIZED
    latest = _events(instance, "aligned_exposures")[0]
    assert (latest.run_id, latest.timestamp) == (made.run_id, made.timestamp)


def test_the_same_of_a_run_that_nobody_attends(campaign, defs, instance, target):
    list(run_target(defs, instance, target))
    (made,) = _events(instance, "aligned_exposures")
    target.visit_products("iaaa01").unlink()
    campaign.broken.add(("epoch_drizzles", KEY))
    run = defs.resolve_job_def("visit_images").execute_in_process(
        partition_key=KEY, instance=instance, raise_on_error=False
    )
    assert not run.success
    assert _status(instance, "aligned_exposures") == AssetPartitionStatus.MATERIALIZED
    latest = _events(instance, "aligned_exposures")[0]
    assert (latest.run_id, latest.timestamp) == (made.run_id, made.timestamp)


def test_a_partition_left_failed_is_none_once_it_is_found_unchanged(
    campaign, defs, instance, target
):
    list(run_target(defs, instance, target))
    table = target.visit_exposures("iaaa01")
    hidden = table.rename(table.with_suffix(".hidden"))
    *_, failed = run_target(defs, instance, target, assets=["aligned_exposures"])
    assert failed.failures
    assert _status(instance, "aligned_exposures") == AssetPartitionStatus.FAILED
    hidden.rename(table)
    campaign.ran.clear()
    *_, again = run_target(defs, instance, target, assets=["aligned_exposures"])
    assert again.unchanged == ("aligned_exposures",)
    assert campaign.ran == []
    assert _status(instance, "aligned_exposures") == AssetPartitionStatus.MATERIALIZED

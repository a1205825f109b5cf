"""Which failed runs Dagster tries again, where it retries runs."""

import dagster as dg
import pytest

from hst_assets.orchestration.partitions import hst_visit
from hst_assets.workdir.shared_root import MARK_VARIABLE, mark_root

PARTITION = "sn1/iaaa01"
WILL_RETRY = "dagster/will_retry"


@pytest.fixture
def instance(tmp_path):
    """As several machines have it (`dagster.celery.yaml`)."""
    home = tmp_path / "home"
    home.mkdir()
    retries = {"run_retries": {"enabled": True, "max_retries": 3}}
    with dg.DagsterInstance.local_temp(str(home), overrides=retries) as instance:
        instance.add_dynamic_partitions(hst_visit.name, [PARTITION])
        yield instance


def _tags_of_failed(defs, instance):
    ended = defs.resolve_job_def("visit_exposures").execute_in_process(
        partition_key=PARTITION, instance=instance, raise_on_error=False
    )
    assert not ended.success
    return instance.get_run_by_id(ended.run_id).tags


def test_a_run_that_failed_for_its_data_is_not_tried_again(campaign, defs, instance):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.broken.add(("exposure_table", PARTITION))
    assert _tags_of_failed(defs, instance)[WILL_RETRY] == "false"


def test_a_run_that_failed_for_what_nobody_knows_is(campaign, defs, instance, monkeypatch):
    campaign.add_exposure("sn1", "iaaa01")

    def gone(*_, **__):
        raise RuntimeError("server closed the connection")

    monkeypatch.setattr(campaign, "step", gone)
    assert _tags_of_failed(defs, instance)[WILL_RETRY] == "true"


def test_a_run_whose_machine_lost_the_shared_folder_is(campaign, defs, instance, monkeypatch):
    campaign.add_exposure("sn1", "iaaa01")
    monkeypatch.setenv(MARK_VARIABLE, mark_root(campaign.root))
    campaign.root.rename(campaign.root.with_name("elsewhere"))
    campaign.root.mkdir()
    assert _tags_of_failed(defs, instance)[WILL_RETRY] == "true"
    assert list(campaign.root.iterdir()) == []

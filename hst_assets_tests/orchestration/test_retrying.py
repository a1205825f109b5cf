"""What failed in a night is asked for again, all of it with one command."""

from datetime import UTC, datetime, timedelta

import pytest

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.retrying import ask_again, failed_since

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

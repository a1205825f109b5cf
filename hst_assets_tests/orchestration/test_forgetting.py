"""Keys that were added by mistake are taken out of an instance again."""

import pytest

from hst_assets.failures import BadConfiguration, NothingFound
from hst_assets.orchestration.forgetting import forget_target, forget_visits
from hst_assets.orchestration.partition_keys import (
    TARGET,
    VISIT,
    invalid_keys_of,
    register,
    visits_of,
)
from hst_assets.orchestration.target_roots import forgotten_mark, root_of
from hst_assets.orchestration.targets import active_targets, add_target
from hst_assets.settings import load_settings

ASKED = {"target": {"ra_deg": 10.0, "dec_deg": 20.0}, "archive": {"query": True}}


@pytest.fixture
def with_exposures(campaign):
    campaign.add_exposure("sn1", "iaaa01")
    return campaign.workdir("sn1")


def test_a_target_added_by_mistake_goes_with_its_empty_folder(campaign, instance):
    workdir = campaign.workdir("m1o1")
    add_target(instance, workdir, ASKED)
    register(instance, "m1o1", ["iaaa01"])
    assert forget_target(instance, campaign.root, "m1o1") is None
    assert instance.get_dynamic_partitions(TARGET) == []
    assert instance.get_dynamic_partitions(VISIT) == []
    assert root_of(instance, "m1o1") is None
    assert not workdir.base.exists()


def test_a_target_with_exposures_keeps_them_and_is_retired(campaign, with_exposures, instance):
    add_target(instance, with_exposures, ASKED)
    assert forget_target(instance, campaign.root, "sn1") == with_exposures.base
    assert instance.get_dynamic_partitions(TARGET) == []
    assert list(with_exposures.raw.iterdir())
    assert load_settings(with_exposures).target.retired
    assert active_targets(campaign.root) == []


def test_a_forgotten_target_can_be_added_again(campaign, with_exposures, instance):
    add_target(instance, with_exposures, ASKED)
    forget_target(instance, campaign.root, "sn1")
    add_target(instance, with_exposures, {})
    assert active_targets(campaign.root) == ["sn1"]
    assert [key.visit for key in visits_of(instance, "sn1")] == ["iaaa01"]


def test_a_key_that_is_no_name_can_be_forgotten(campaign, instance):
    instance.add_dynamic_partitions(TARGET, ["bad key", "sn1"])
    assert forget_target(instance, campaign.root, "bad key") is None
    assert instance.get_dynamic_partitions(TARGET) == ["sn1"]


def test_another_targets_visits_stay(campaign, instance):
    register(instance, "sn1", ["iaaa01"])
    register(instance, "sn10", ["iaaa02"])
    forget_target(instance, campaign.root, "sn1")
    assert instance.get_dynamic_partitions(VISIT) == ["sn10/iaaa02"]


def test_an_unknown_target_is_told(campaign, instance):
    with pytest.raises(NothingFound, match="no such target"):
        forget_target(instance, campaign.root, "sn1")


@pytest.mark.parametrize("has_files_there", [True, False])
def test_a_target_of_another_root_is_not_touched(campaign, instance, tmp_path, has_files_there):
    workdir = campaign.workdir("sn1")
    add_target(instance, workdir, ASKED)
    other = type(workdir)(tmp_path / "other", "sn1")
    if has_files_there:
        other.settings_file.parent.mkdir(parents=True)
        other.settings_file.write_text("[target]\nra_deg = 1.0\ndec_deg = 2.0\n")
    register(instance, "sn1", ["iaaa01"])
    with pytest.raises(BadConfiguration, match="belongs to the root"):
        forget_target(instance, other.root, "sn1")
    with pytest.raises(BadConfiguration, match="belongs to the root"):
        forget_visits(instance, other.root, ["sn1/iaaa01"])
    assert instance.get_dynamic_partitions(TARGET) == ["sn1"]
    assert instance.get_dynamic_partitions(VISIT) == ["sn1/iaaa01"]


def test_what_a_link_leads_to_stays(campaign, instance, tmp_path):
    workdir = campaign.workdir("sn1")
    add_target(instance, workdir, ASKED)
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir()
    workdir.raw.rmdir()
    workdir.raw.symlink_to(elsewhere)
    assert forget_target(instance, campaign.root, "sn1") == workdir.base
    assert workdir.raw.is_symlink()


def test_a_target_that_was_forgotten_is_asked_for_anew(campaign, instance):
    assert forgotten_mark(instance, "sn1") == ""
    for times in ("1", "2"):
        add_target(instance, campaign.workdir("sn1"), ASKED)
        forget_target(instance, campaign.root, "sn1")
        assert forgotten_mark(instance, "sn1") == f"#{times}"


@pytest.mark.parametrize("key", ["sn1/iaaa99", "sn1/no such visit", "nonsense"])
def test_a_visit_without_exposures_is_forgotten_valid_or_not(
    campaign, with_exposures, instance, key
):
    register(instance, "sn1", ["iaaa01"])
    instance.add_dynamic_partitions(VISIT, [key])
    forget_visits(instance, campaign.root, [key])
    assert instance.get_dynamic_partitions(VISIT) == ["sn1/iaaa01"]


def test_a_visit_with_exposures_is_not_forgotten(campaign, with_exposures, instance):
    register(instance, "sn1", ["iaaa01", "iaaa02"])
    with pytest.raises(BadConfiguration, match="there are exposures"):
        forget_visits(instance, campaign.root, ["sn1/iaaa02", "sn1/iaaa01"])
    assert len(instance.get_dynamic_partitions(VISIT)) == 2


def test_a_visit_that_is_not_registered_is_told(campaign, instance):
    register(instance, "sn1", ["iaaa01"])
    with pytest.raises(NothingFound, match="iaaa02"):
        forget_visits(instance, campaign.root, ["sn1/iaaa01", "sn1/iaaa02"])
    assert len(instance.get_dynamic_partitions(VISIT)) == 1


def test_an_invalid_key_costs_itself(instance):
    register(instance, "sn1", ["iaaa01"])
    instance.add_dynamic_partitions(VISIT, ["sn1/no such visit"])
    assert [key.visit for key in visits_of(instance, "sn1")] == ["iaaa01"]
    assert invalid_keys_of(instance, "sn1") == ["sn1/no such visit"]

import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.partition_keys import TARGET, VISIT, register, visits_of


def test_registering_makes_target_and_visits_known(instance):
    register(instance, "ngc104", ["j8bt06", "j8bt05"])
    assert instance.get_dynamic_partitions(TARGET) == ["ngc104"]
    assert sorted(instance.get_dynamic_partitions(VISIT)) == ["ngc104/j8bt05", "ngc104/j8bt06"]


def test_registering_twice_changes_nothing(instance):
    register(instance, "ngc104", ["j8bt06"])
    register(instance, "ngc104", ["j8bt06"])
    assert instance.get_dynamic_partitions(VISIT) == ["ngc104/j8bt06"]


@pytest.mark.parametrize("target", ["a|b", "a,b", "a b", "a...b", "../a", "", "a" * 65, "a/b"])
def test_no_invalid_target_gets_in(instance, target):
    with pytest.raises(BadConfiguration):
        register(instance, target, ["j8bt06"])
    assert instance.get_dynamic_partitions(TARGET) == []


@pytest.mark.parametrize("visit", ["J8BT06", "j8bt0", "j8bt06,j8bt07", "j8bt0|", "../../x", ""])
def test_no_invalid_visit_gets_in(instance, visit):
    with pytest.raises(BadConfiguration):
        register(instance, "ngc104", ["j8bt05", visit])
    assert instance.get_dynamic_partitions(VISIT) == []


def test_visits_are_those_of_the_target_alone(instance):
    register(instance, "ngc104", ["j8bt06"])
    register(instance, "ngc1045", ["j8bt07"])
    assert [key.visit for key in visits_of(instance, "ngc104")] == ["j8bt06"]


def test_a_run_with_a_key_added_by_hand_says_what_is_wrong(instance, defs):
    instance.add_dynamic_partitions(VISIT, ["ngc104"])
    result = defs.resolve_job_def("visit_exposures").execute_in_process(
        partition_key="ngc104", instance=instance, raise_on_error=False
    )
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "not a visit key" in failure.step_failure_data.user_failure_data.description

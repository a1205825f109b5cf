import pytest

from hst_assets.orchestration.asset_row import HEAVY, LIGHT
from hst_assets.orchestration.shortage import shortage

GB = 10**9


@pytest.mark.parametrize(("memory", "cores"), [(64 * GB, 8), (8 * GB, 2), (0, 2)])
def test_a_step_that_has_enough_or_of_which_nobody_knows_says_nothing(memory, cores):
    assert shortage(HEAVY, memory_bytes=memory, cores=cores) == ""


def test_too_little_memory_is_told_with_both_figures_and_what_to_do():
    told = shortage(HEAVY, memory_bytes=4 * GB, cores=8)
    assert "8.0 GB" in told
    assert "4.0 GB" in told
    assert "lower machine.max_cores" in told


def test_too_few_cores_only_take_longer():
    assert shortage(HEAVY, memory_bytes=64 * GB, cores=1) == (
        "it may need 2 cores, and 1 may be used here: it takes longer"
    )
    assert shortage(LIGHT, memory_bytes=64 * GB, cores=1) == ""

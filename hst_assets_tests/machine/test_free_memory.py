"""Free memory from what the kernel would say, in files of the test's own."""

import pytest

from hst_assets.machine.free_memory import affordable, free_memory_bytes
from hst_assets_tests.own_control_group import written_group

GB = 10**9


@pytest.fixture
def proc(tmp_path):
    folder = tmp_path / "proc"
    (folder / "self").mkdir(parents=True)
    (folder / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {64 * GB // 1024} kB\n")
    return folder


@pytest.fixture
def groups(tmp_path):
    folder = tmp_path / "cgroup"
    folder.mkdir()
    return folder


def test_without_a_control_group_it_is_what_the_node_has(proc, groups):
    assert free_memory_bytes(proc, groups) == pytest.approx(64 * GB, rel=1e-6)


def test_the_limit_of_a_control_group_counts_less_what_is_in_use(proc, groups):
    (proc / "self" / "cgroup").write_text("0::/jobs/7\n")
    stat = f"anon 1\ninactive_file {GB}"
    written_group(
        groups / "jobs" / "7", memory__max=8 * GB, memory__current=6 * GB, memory__stat=stat
    )
    assert free_memory_bytes(proc, groups) == 3 * GB  # cached pages are given back


def test_a_group_without_a_limit_is_under_that_of_its_parents(proc, groups):
    (proc / "self" / "cgroup").write_text("0::/jobs/7\n")
    written_group(groups / "jobs" / "7", memory__max="max", memory__current=6 * GB)
    written_group(groups / "jobs", memory__max=20 * GB, memory__current=15 * GB)
    assert free_memory_bytes(proc, groups) == 5 * GB


def test_control_groups_of_the_first_version(proc, groups):
    (proc / "self" / "cgroup").write_text("5:cpu:/a\n4:memory:/a\n0::/\n")
    written_group(
        groups / "memory" / "a",
        memory__limit_in_bytes=4 * GB,
        memory__usage_in_bytes=3 * GB,
        memory__stat="total_inactive_file 0",
    )
    assert free_memory_bytes(proc, groups) == GB


def test_a_container_sees_its_own_group_at_the_top(proc, groups):
    (proc / "self" / "cgroup").write_text("0::/docker/somewhere\n")
    written_group(groups, memory__max=2 * GB, memory__current=GB)
    assert free_memory_bytes(proc, groups) == GB


def test_a_group_above_its_limit_has_nothing_left(proc, groups):
    (proc / "self" / "cgroup").write_text("0::/\n")
    written_group(groups, memory__max=GB, memory__current=2 * GB)
    assert free_memory_bytes(proc, groups) == 0


@pytest.mark.parametrize(
    ("needs", "free", "cores"),
    [([1, 1, 1], 9, 2), ([5, 5], 9, 1), ([50], 9, 1), ([5, 3, 3], 9, 2), ([], 9, 2)],
)
def test_no_more_calls_at_a_time_than_the_memory_holds(needs, free, cores):
    assert affordable(2, needs, free) == cores

"""Limits of this process: from files of the test's own, and from the kernel itself."""

import json
import os
import subprocess
import sys

import pytest

from hst_assets.machine.limits import memory_limit_bytes, n_memory_kills, usable_cores
from hst_assets_tests.own_control_group import control_group, written_group

MANY = 10**6


@pytest.fixture
def proc(tmp_path):
    folder = tmp_path / "proc"
    (folder / "self").mkdir(parents=True)
    (folder / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 1 kB\n")
    return folder


@pytest.fixture
def groups(tmp_path, monkeypatch):
    # A machine that has more than any group.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(MANY))
    folder = tmp_path / "cgroup"
    folder.mkdir()
    return folder


def test_without_control_groups_the_cores_are_those_the_kernel_schedules(proc, groups):
    assert usable_cores(proc, groups) == MANY


@pytest.mark.parametrize(
    ("quota", "cores"), [("300000 100000", 3), ("150000 100000", 1), ("20000 100000", 1)]
)
def test_a_share_of_time_is_so_many_whole_cores_and_one_at_least(quota, cores, proc, groups):
    (proc / "self" / "cgroup").write_text("0::/a/b\n")
    written_group(groups / "a", cpu__max=quota)
    written_group(groups / "a" / "b", cpu__max="max 100000")
    assert usable_cores(proc, groups) == cores


def test_a_share_of_time_in_control_groups_of_the_first_version(proc, groups):
    (proc / "self" / "cgroup").write_text("5:cpu:/a\n4:memory:/a\n0::/\n")
    written_group(groups / "cpu" / "a", cpu__cfs_quota_us=200000, cpu__cfs_period_us=100000)
    written_group(groups / "cpu", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    assert usable_cores(proc, groups) == 2


@pytest.mark.parametrize(("limit", "bytes_"), [("4096", 4096), ("max", 1024000)])
def test_the_limit_of_memory_is_the_least_of_group_and_node(limit, bytes_, proc, groups):
    (proc / "self" / "cgroup").write_text("0::/a\n")
    written_group(groups / "a", memory__max=limit)
    assert memory_limit_bytes(proc, groups) == bytes_


def test_kills_for_want_of_memory_are_counted_where_the_kernel_tells(proc, groups):
    assert n_memory_kills(proc, groups) is None
    (proc / "self" / "cgroup").write_text("0::/a\n")
    written_group(groups / "a", memory__events="low 0\noom 3\noom_kill 2\noom_group_kill 0")
    assert n_memory_kills(proc, groups) == 2


def test_a_process_with_one_core_by_affinity_has_one():
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
                "from hst_assets.settings import Settings\n"
                "print(Settings.model_validate({'machine': {'max_cores': 8}}).machine.cores)"
            ),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "1"


def test_the_kernels_own_limit_of_memory_is_found():
    with control_group("memory", limit_bytes=512 << 20) as join:
        told = subprocess.run(
            [
                sys.executable,
                "-c",
                (
                    "import json\nfrom hst_assets.machine.limits import *\n"
                    "print(json.dumps([memory_limit_bytes(), n_memory_kills()]))"
                ),
            ],
            preexec_fn=join,
            capture_output=True,
            text=True,
            check=True,
        )
    assert json.loads(told.stdout) == [512 << 20, 0]


def test_the_kernels_own_share_of_time_is_found():
    with control_group("cpu", cores=1) as join:
        told = subprocess.run(
            [
                sys.executable,
                "-c",
                "from hst_assets.machine.limits import *; print(usable_cores())",
            ],
            preexec_fn=join,
            capture_output=True,
            text=True,
            check=True,
        )
    assert told.stdout.strip() == "1"

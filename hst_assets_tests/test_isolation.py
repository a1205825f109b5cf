import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hst_assets.failures import OutOfMemory, ToolFailed, UnusableInput
from hst_assets.isolation import Call, run_isolated, run_many_isolated

TASKS = "isolated_tasks"
HERE = {"PYTHONPATH": str(Path(__file__).parent)}


@pytest.fixture
def call(tmp_path):
    def run(function, timeout_s=60, **arguments):
        return run_isolated(
            f"{TASKS}:{function}",
            arguments,
            scratch=tmp_path,
            log_path=tmp_path / "logs" / "tool.log",
            timeout_s=timeout_s,
            environment=HERE,
        )

    return run


def test_a_task_runs_in_its_scratch_folder_and_its_output_is_logged(call, tmp_path):
    reply = call("echo", value=[1, "a"])
    assert reply["value"] == [1, "a"]
    assert reply["pid"] != os.getpid()
    assert (tmp_path / "left_here.txt").is_file()
    assert "heard [1, 'a']" in (tmp_path / "logs" / "tool.log").read_text()


def test_standard_input_is_empty(call):
    assert call("asks") == ""


def test_a_failure_of_the_vocabulary_arrives_as_itself(call):
    with pytest.raises(UnusableInput, match=r"x\.fits: no stars\. Look at it"):
        call("refuses")


def test_any_other_exception_is_a_failed_tool_with_its_last_lines(call):
    with pytest.raises(ToolFailed, match=r"raised RuntimeError: boom(.|\n)*about to crash"):
        call("crashes")


def test_leaving_with_exit_code_zero_is_a_failure(call):
    with pytest.raises(ToolFailed, match="SystemExit"):
        call("leaves_by_exit")


def test_a_crash_of_the_interpreter_is_a_failed_tool(call):
    with pytest.raises(ToolFailed, match="died with status -11"):
        call("segfaults")


def test_a_killed_child_counts_as_out_of_memory(call):
    with pytest.raises(OutOfMemory, match="want of memory"):
        call("is_killed")


def test_a_reply_that_json_cannot_hold_is_a_failure(call):
    with pytest.raises(ToolFailed, match="not JSON serializable"):
        call("returns_no_json")


def test_a_task_that_does_not_exist_is_a_failure(call):
    with pytest.raises(ToolFailed, match="AttributeError"):
        call("no_such_function")


def test_the_watchdog_stops_a_hanging_task_and_its_children(call, tmp_path):
    with pytest.raises(ToolFailed, match="stopped after 1 s"):
        call("hangs", timeout_s=1, pid_file="pids")
    for pid in (tmp_path / "pids").read_text().split():
        assert _gone(int(pid))


def test_one_failed_call_costs_only_itself(tmp_path):
    calls = []
    for number in range(3):
        scratch = tmp_path / f"s{number}"
        scratch.mkdir()
        arguments = {"value": number} if number != 1 else {"wrong_name": 0}
        calls.append(Call(arguments, scratch, tmp_path / f"{number}.log"))
    first, second, third = run_many_isolated(
        f"{TASKS}:echo", calls, timeout_s=60, max_cores=2, environment=HERE
    )
    assert (first["value"], third["value"]) == (0, 2)
    assert (first["folder"], third["folder"]) == ("s0", "s2")
    assert first["pid"] != third["pid"]
    assert isinstance(second, ToolFailed)


def test_children_die_with_a_killed_caller(tmp_path):
    scratch = tmp_path / "s"
    scratch.mkdir()
    program = (
        "from pathlib import Path; from hst_assets.isolation import run_isolated; "
        f"run_isolated('{TASKS}:hangs', {{'pid_file': 'pids'}}, scratch=Path({str(scratch)!r}), "
        f"log_path=Path({str(tmp_path / 'log')!r}), timeout_s=600)"
    )
    caller = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, **HERE})
    deadline = time.monotonic() + 60
    while not (scratch / "pids").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    caller.kill()
    caller.wait()
    task_pid = int((scratch / "pids").read_text().split()[0])
    assert _gone(task_pid)


def _gone(pid, within_s=10.0):
    """Whether the process ends soon (a zombie that nobody reaps here has ended)."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False

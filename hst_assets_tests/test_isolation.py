import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

import hst_assets
from hst_assets.failures import (
    Crashed,
    DiskFull,
    HstAssetsError,
    MachineFailure,
    NoReply,
    OutOfMemory,
    TimedOut,
    ToolFailed,
    UnusableInput,
)
from hst_assets.isolation import Call, import_ahead, run_isolated, run_many_isolated
from hst_assets.nursery import is_read_by_calls

TASKS = "isolated_tasks"
HERE = {"PYTHONPATH": str(Path(__file__).parent)}


@pytest.fixture
def call(tmp_path):
    def run(function, timeout_s=60, environment=HERE, own_nursery=False, **arguments):
        return run_isolated(
            f"{TASKS}:{function}",
            arguments,
            scratch=tmp_path,
            log_path=tmp_path / "logs" / "tool.log",
            timeout_s=timeout_s,
            environment=environment,
            own_nursery=own_nursery,
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


def test_the_line_of_a_failure_repeats_no_exception(call):
    with pytest.raises(ToolFailed) as caught:
        call("crashes")
    assert caught.value.one_line.endswith("raised RuntimeError: boom")


def test_the_line_of_a_failure_has_the_last_that_the_tool_said(call):
    with pytest.raises(HstAssetsError) as caught:
        call("says_why_and_dies")
    assert "; its log ends: no reference file found. " in caught.value.one_line


def test_leaving_with_exit_code_zero_is_a_failure(call):
    with pytest.raises(ToolFailed, match="SystemExit"):
        call("leaves_by_exit")


def test_a_second_crash_of_the_interpreter_is_a_verdict(call):
    with pytest.raises(ToolFailed, match=r"ended by SIGSEGV \(a fault of the tool .*\), twice"):
        call("segfaults")


def test_one_crash_is_an_accident(call, tmp_path_factory):
    memory = tmp_path_factory.mktemp("memory") / "tried"
    assert call("segfaults_once", memory=str(memory)) == "done"


def test_a_crash_among_files_of_the_caller_is_not_repeated_on_them(call, tmp_path):
    """The tool may have changed them."""
    (tmp_path / "exposure.fits").touch()
    with pytest.raises(Crashed, match="ended by SIGSEGV"):
        call("segfaults")
    assert (tmp_path / "exposure.fits").exists()


@pytest.mark.parametrize("how", ["as the system says it", "in a tool's own words", "by numpy"])
def test_a_full_disk_is_no_failure_of_the_tool(call, how):
    with pytest.raises(DiskFull, match="the disk is full") as raised:
        call("fills_the_disk", how=how)
    assert "Free disk space" in str(raised.value)


def test_a_limit_of_a_files_size_is_the_machines_and_no_full_disk(call):
    with pytest.raises(MachineFailure, match="file too large for this file system or limit") as it:
        call("meets_a_limit_of_size")
    assert not isinstance(it.value, DiskFull)


def test_a_reply_for_which_there_is_no_room_is_no_failure_of_the_tool(call):
    with pytest.raises(DiskFull, match="no room for the reply"):
        call("leaves_no_room")


def test_no_memory_is_named(call):
    with pytest.raises(OutOfMemory, match=r"out of memory(.|\n)*Lower machine\.max_cores"):
        call("wants_too_much")


def test_a_killed_child_counts_as_out_of_memory(call):
    with pytest.raises(OutOfMemory, match=r"killed by SIGKILL \(out of memory\?\)"):
        call("is_killed")


def test_a_reply_that_json_cannot_hold_is_a_failure(call):
    with pytest.raises(ToolFailed, match="not JSON serializable"):
        call("returns_no_json")


def test_a_task_that_does_not_exist_is_a_failure(call):
    with pytest.raises(ToolFailed, match="AttributeError"):
        call("no_such_function")


def test_the_watchdog_stops_a_hanging_task_and_its_children(call, tmp_path):
    with pytest.raises(TimedOut, match="stopped after 1 s"):
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


def test_the_second_batch_imports_nothing_again(call):
    first, second = call("tells_origin"), call("tells_origin")
    assert first["imported_by"] == first["nursery"]
    assert second == first


ANNOUNCES = """
import os
from pathlib import Path

with Path(__file__).with_name("imported by").open("a") as announced:
    announced.write(f"{os.getpid()} ")

def answers():
    return os.getppid()
"""


@pytest.fixture
def announcing(tmp_path):
    """A task whose module writes the process that imports it into a file; and the file."""
    (tmp_path / "announcing.py").write_text(ANNOUNCES)
    return "announcing:answers", tmp_path / "imported by"


def _answer(task, folder):
    return run_isolated(
        task,
        {},
        scratch=folder,
        log_path=folder / "log",
        timeout_s=60,
        environment={"PYTHONPATH": str(folder)},
    )


def test_a_module_is_imported_before_its_first_call(announcing, tmp_path):
    task, imported_by = announcing
    import_ahead(task, environment={"PYTHONPATH": str(tmp_path)})
    until = time.monotonic() + 60
    while not imported_by.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert imported_by.read_text().split() == [str(_answer(task, tmp_path))]


def test_a_call_waits_for_its_module(announcing, tmp_path):
    task, imported_by = announcing
    for _ in range(3):
        import_ahead(task, environment={"PYTHONPATH": str(tmp_path)})
    assert [str(_answer(task, tmp_path))] == imported_by.read_text().split()


def test_a_module_that_cannot_be_imported_ahead_fails_its_call(tmp_path):
    import_ahead("no_such_module:answers", environment={"PYTHONPATH": str(tmp_path)})
    with pytest.raises(ToolFailed, match="No module named 'no_such_module'"):
        _answer("no_such_module:answers", tmp_path)


def test_a_nursery_that_died_over_an_import_is_replaced(announcing, tmp_path):
    task, imported_by = announcing
    deadly = tmp_path / "deadly.py"
    deadly.write_text("import os\n\nos.kill(os.getpid(), 9)\n")
    import_ahead("deadly:answers", environment={"PYTHONPATH": str(tmp_path)})
    assert [str(_answer(task, tmp_path))] == imported_by.read_text().split()


def test_no_garbage_is_looked_for_while_a_task_is_imported(call):
    told = call("tells_when_garbage_is_collected")
    assert told == {"while imported": False, "while called": True}


def test_after_a_failed_call_the_nursery_serves_on(call):
    before = call("tells_origin")
    for function in ("crashes", "segfaults", "leaves_by_exit", "no_such_function"):
        with pytest.raises((NoReply, ToolFailed)):
            call(function)
    assert call("tells_origin") == before


def test_each_batch_logs_into_its_own_file(tmp_path):
    for name in ("first", "second"):
        run_isolated(
            f"{TASKS}:echo",
            {"value": name},
            scratch=tmp_path,
            log_path=tmp_path / name,
            timeout_s=60,
            environment=HERE,
        )
    assert "second" not in (tmp_path / "first").read_text()
    assert "heard second" in (tmp_path / "second").read_text()


def test_a_killed_nursery_is_replaced(call):
    before = call("tells_origin")["nursery"]
    os.kill(before, signal.SIGKILL)
    assert call("tells_origin")["nursery"] != before


def test_a_nursery_killed_at_work_fails_its_calls_and_is_replaced(call):
    started = time.monotonic()
    with pytest.raises(NoReply, match="left no reply"):
        call("ends_its_nursery", timeout_s=300)
    assert time.monotonic() - started < 60
    assert call("tells_origin")["nursery"]


@pytest.mark.parametrize(
    "text",
    [
        '\xff{"value": ',
        "{}",
        "[1]",
        "null",
        '{"error": "x"}',
        '{"error": {"kind": "NoReply", "ours": true, "what": "x", "next_step": null}}',
        None,
    ],
)
def test_a_reply_that_was_written_over_is_no_reply(call, text):
    with pytest.raises(NoReply, match="a reply that cannot be read"):
        call("overwrites_its_reply", text=text)


def test_another_environment_has_another_nursery(call):
    plain = call("tells_origin", variable="SPICE")
    spiced = call("tells_origin", variable="SPICE", environment={**HERE, "SPICE": "cumin"})
    assert (plain["variable"], spiced["variable"]) == (None, "cumin")
    assert spiced["imported_by"] != plain["imported_by"]
    assert _gone(plain["nursery"])


def test_variables_that_the_caller_changes_reach_its_calls(call, monkeypatch):
    call("tells_origin")
    monkeypatch.setenv("SPICE", "cumin")
    assert call("tells_origin", variable="SPICE")["variable"] == "cumin"


@pytest.mark.parametrize("name", ["HST_ASSETS_ROOT", "DAGSTER_HOME", "PYTEST_CURRENT_TEST"])
def test_variables_that_calls_read_reach_them_in_the_nursery_that_stands(call, monkeypatch, name):
    monkeypatch.setenv(name, "one")
    one = call("tells_origin", variable=name)
    monkeypatch.setenv(name, "another")
    another = call("tells_origin", variable=name)
    monkeypatch.delenv(name)
    none = call("tells_origin", variable=name)
    assert [each["variable"] for each in (one, another, none)] == ["one", "another", None]
    assert one["nursery"] == another["nursery"] == none["nursery"]


@pytest.mark.slow
def test_no_task_reads_a_variable_when_it_is_imported_that_only_calls_read(tmp_path):
    """Else a nursery that stands would hold the values of another batch."""
    package = Path(hst_assets.__file__).parent
    modules = [
        ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for path in sorted(package.rglob("*_task.py"))
        if "jhat" not in path.name or find_spec("jhat")
    ]
    program = textwrap.dedent("""
        import importlib, json, os, sys
        # It makes a console when a package asks it for its version; only developers have it.
        sys.modules["setuptools_scm"] = None
        plain = type(os.environ).__getitem__
        read = set()
        def note(environment, name):
            # Who looks through all of them (urllib for proxies) takes those of another name.
            if sys._getframe(1).f_code.co_name == "__iter__":
                return plain(environment, name)
            # numba folds its messages to the width of the terminal of whoever imports it first.
            if sys._getframe(2).f_globals["__name__"] != "numba.core.types.functions":
                read.add(name)
            return plain(environment, name)
        type(os.environ).__getitem__ = note
        for module in sys.argv[1:]:
            importlib.import_module(module)
        print(json.dumps(sorted(map(os.fsdecode, read))))  # os.environb has bytes
    """)
    ended = subprocess.run(
        [sys.executable, "-c", program, *modules, "hst_assets.simulate.campaign"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    read = json.loads(ended.stdout.splitlines()[-1])
    assert "ASTROMETRIC_CATALOG_URL" in read, "the reading of variables is not noticed"
    assert [name for name in read if is_read_by_calls(name)] == []


def test_a_task_with_a_nursery_of_its_own_leaves_the_common_one_alone(call):
    common = call("tells_origin")
    own = call("tells_origin", own_nursery=True)
    assert own["nursery"] != common["nursery"]
    assert call("tells_origin", own_nursery=True) == own
    assert call("tells_origin") == common


def test_a_fork_of_the_caller_leaves_its_nursery_alone(call, tmp_path):
    before = call("tells_origin")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if call("tells_origin")["nursery"] != before["nursery"] else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert call("tells_origin") == before


def test_a_thread_has_a_nursery_of_its_own_that_ends_with_it(call):
    mine = call("tells_origin")["nursery"]
    heard = []
    thread = threading.Thread(target=lambda: heard.append(call("tells_origin")["nursery"]))
    thread.start()
    thread.join()
    assert heard[0] != mine
    assert _gone(heard[0])
    assert call("tells_origin")["nursery"] == mine


def test_no_nursery_survives_a_caller_that_ends(tmp_path):
    program = _program("tells_origin", {}, tmp_path)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{program}; print(found['nursery'])"],
        env={**os.environ, **HERE},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""
    assert not Path(f"/proc/{int(ended.stdout)}").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_die_with_a_killed_caller(tmp_path, number):
    program = _program("hangs", {"pid_file": "pids"}, tmp_path)
    caller = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, **HERE}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "pids").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    caller.send_signal(number)
    caller.wait()
    task_pid = int((tmp_path / "pids").read_text().split()[0])
    assert _gone(task_pid)


def _program(function, arguments, folder):
    """A program whose `found` is the value of a call."""
    return (
        "from pathlib import Path; from hst_assets.isolation import run_isolated; "
        f"found = run_isolated('{TASKS}:{function}', {arguments!r}, scratch=Path({str(folder)!r}), "
        f"log_path=Path({str(folder / 'log')!r}), timeout_s=600)"
    )


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

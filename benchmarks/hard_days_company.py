"""Children that are stopped, killed or leave garbage, and other commands: for `hard_days.py`."""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from disturbed_runs import (
    PATIENCE_S,
    Undisturbed,
    Verdict,
    command,
    ended,
    environment,
    judged,
)

GARBAGE = Path(__file__).parent / "garbage"
DAMAGES = ("noise", "half", "empty", "reply")
_TASK = re.compile(r"^--- (\S+:\S+) in ", re.MULTILINE)
_UNFINISHED = re.compile(r"^hst_assets_runs_unfinished (\d+)", re.MULTILINE)
#: The daemon evaluates a sensor every 30 s.
_QUIET_S = 70.0


# ---------------------------------------------------------------------------------- children


def children(undisturbed: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """Programs that a run started, stopped or killed."""
    moments = random.Random(options.seed)
    for sent in (signal.SIGSTOP, signal.SIGKILL) * 3:
        root = undisturbed.trial()
        process = undisturbed.begun(root)
        at = moments.uniform(0.2, 0.8) * undisturbed.duration_s
        time.sleep(at)
        hit = _hit(process.pid, sent)
        code = ended(process)
        if hit is not None and sent == signal.SIGSTOP:
            with suppress(ProcessLookupError):  # it was ended, as it should be
                os.kill(hit, signal.SIGCONT)
        what = f"child {sent.name} at {at:.1f} s" if hit else f"no child at {at:.1f} s"
        yield judged(undisturbed, root, what, code, disturbed=hit is not None)


def _hit(pid: int, sent: signal.Signals) -> int | None:
    """Send a signal to the youngest descendant of a process; which, if there is one."""
    while (youngest := _last_descendant(pid)) is not None:
        with suppress(ProcessLookupError):  # it has ended meanwhile: the next youngest
            os.kill(youngest, sent)
            return youngest
    return None


def _last_descendant(pid: int) -> int | None:
    """The youngest process that a process, or one of its children, has started."""
    found: int | None = None
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        own = subprocess.run(
            ["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False
        ).stdout.split()
        waiting += map(int, own)
        found = max([found or 0, *map(int, own)]) or None
    return found


def garbage(undisturbed: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """Tool calls that end well and leave garbage: each kind of call, damaged in turn."""
    del options
    logs = (undisturbed.folder / "undisturbed" / undisturbed.target / "logs").glob("*.log")
    tasks = sorted({task for log in logs for task in _TASK.findall(log.read_text())})
    if not tasks:
        raise RuntimeError("the logs of the undisturbed run name no tool call: nothing to damage")
    for number, task in enumerate(tasks):
        root = undisturbed.trial()
        damage, marks = DAMAGES[number % len(DAMAGES)], root.with_name("damaged")
        marks.unlink(missing_ok=True)
        env = {
            "PYTHONPATH": os.pathsep.join([str(GARBAGE), os.environ.get("PYTHONPATH", "")]),
            "HARD_DAYS_GARBAGE": f"{damage} {task}",
            "HARD_DAYS_DAMAGED": str(marks),
        }
        code = ended(undisturbed.begun(root, env=env))
        n_files = len(marks.read_text().splitlines()) if marks.exists() else 0
        what = f"{damage} in {n_files} files of {task.rpartition(':')[2]}"
        yield judged(undisturbed, root, what, code, disturbed=n_files > 0)


# ----------------------------------------------------------------------------------- company


def company(undisturbed: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """Another command on the same target at the same time."""
    del options
    yield _beside_the_daemon(undisturbed)
    for share in (0.2, 0.5):
        yield _exposures_removed(undisturbed, share)
    root = undisturbed.trial()
    pair = [undisturbed.begun(root) for _ in range(2)]
    codes = [ended(process) for process in pair]
    yield judged(undisturbed, root, f"two runs at once, ended with {codes}", max(codes))
    name = undisturbed.target
    visit = next((undisturbed.folder / "pristine" / name / "raw").glob("*_fl?.fits")).name[:6]
    for words in (
        ("clean", name, "--working-copies"),
        ("status", name),
        ("settings", name),
        ("visit", "forget", f"{name}/{visit}"),
        ("target", "retire", name),
    ):
        root = undisturbed.trial()
        process = undisturbed.begun(root)
        time.sleep(undisturbed.duration_s / 2)
        beside = ended(command(root, *words))
        code = ended(process)
        if "retire" in words and beside == 0:  # the report page tells it of a target
            ended(command(root, "target", "add", name))
        what = f"{' '.join(words[:2])} during a run, ended with {beside}"
        yield judged(undisturbed, root, what, code, may_lack=words[0] == "clean")


def _exposures_removed(undisturbed: Undisturbed, share: float) -> Verdict:
    """The visit's exposures are taken away in mid-run, and brought back before the next one."""
    root = undisturbed.trial()
    raw = root / undisturbed.target / "raw"
    process = undisturbed.begun(root)
    time.sleep(share * undisturbed.duration_s)
    away = root.with_name("raw_taken_away")
    shutil.rmtree(away, ignore_errors=True)
    raw.rename(away)
    code = ended(process)
    shutil.rmtree(raw, ignore_errors=True)
    away.rename(raw)
    return judged(undisturbed, root, f"raw/ removed after {share:.0%} of a run", code)


def _beside_the_daemon(undisturbed: Undisturbed) -> Verdict:
    """The command, while the daemon's sensors request the same."""
    root = undisturbed.trial()
    ended(command(root, "status", undisturbed.target))  # registers the partitions
    with daemon(root):
        code = ended(undisturbed.begun(root))
        wait_until_quiet(root)
    return judged(undisturbed, root, "beside the daemon and all its sensors", code)


@contextmanager
def daemon(root: Path, env: Mapping[str, str] | None = None) -> Iterator[None]:
    """``hst-assets up`` with all sensors started, until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    up = command(root, "up", "--port", port, env=env, start_new_session=True)
    try:
        subprocess.run(
            [
                *(Path(sys.executable).parent / "dagster", "sensor", "start", "--start-all"),
                *("-m", "hst_assets.definitions"),
            ],
            env=environment(root),
            check=True,
            capture_output=True,
        )
        yield
    finally:
        up.send_signal(signal.SIGINT)
        ended(up)


def wait_until_quiet(root: Path) -> None:
    """Until no run has been unfinished for two rounds of the sensors.

    Raises
    ------
    TimeoutError
        If that takes longer than a command is waited for.
    """
    begun = since = time.monotonic()
    while time.monotonic() - since < _QUIET_S:
        if time.monotonic() - begun > PATIENCE_S:
            raise TimeoutError(f"runs are unfinished after {PATIENCE_S:.0f} s")
        told = subprocess.run(
            [Path(sys.executable).parent / "hst-assets", "status", "--metrics"],
            env=environment(root),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        if (found := _UNFINISHED.search(told)) is None or int(found[1]):
            since = time.monotonic()
        time.sleep(5)

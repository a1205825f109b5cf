"""Two machines of one root whose clocks are an hour ahead and an hour behind: for `hard_days.py`.

The machines are processes that are told another time of day (`other_clock.c`, built with cc). The
times of files are the file system's, as they are those of a file server.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from disturbed_runs import Undisturbed, Verdict, command, ended, judged, said
from hard_days_company import daemon, wait_until_quiet

_SOURCE = Path(__file__).parent / "other_clock.c"
_SHIFTS_S = (3600, -3600)
#: Runs that are ended, one after the other, before the last.
_TURNS = 4
#: Exit status of a command that SIGTERM ended.
_TERMINATED = 143


def clocks(undisturbed: Undisturbed, _: argparse.Namespace) -> Iterator[Verdict]:
    """One after the other, at once, behind each other's back, and beside each other's sensors."""
    library = _built(undisturbed.folder / "other_clock.so")
    if library is None:
        return
    ahead, behind = (_clock(library, shift) for shift in _SHIFTS_S)
    yield _in_turn(undisturbed, ahead, behind)
    yield _at_once(undisturbed, ahead, behind)
    for first, second in ((ahead, behind), (behind, ahead)):
        yield _changed_after(undisturbed, first, second)
        yield _killed_and_gone_on(undisturbed, first, second)
        yield _beside_sensors(undisturbed, first, second)


def _in_turn(undisturbed: Undisturbed, *machines: Mapping[str, str]) -> Verdict:
    """Each machine is terminated in mid-run, and the other goes on."""
    root = undisturbed.trial()
    codes = []
    for turn in range(_TURNS):
        process = undisturbed.begun(root, env=machines[turn % 2])
        try:
            codes.append(process.wait(undisturbed.duration_s / 2))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            codes.append(ended(process))
    code = ended(undisturbed.begun(root, env=machines[_TURNS % 2]))
    what = f"machines an hour off, in turn, ended with {codes}"
    strange = [each for each in codes if each not in (0, _TERMINATED)]
    return _judged(undisturbed, root, what, [*strange, code], disturbed=_TERMINATED in codes)


def _at_once(undisturbed: Undisturbed, *machines: Mapping[str, str]) -> Verdict:
    """Both begin the same run."""
    root = undisturbed.trial()
    both = [undisturbed.begun(root, env=machine) for machine in machines]
    codes = [ended(each) for each in both]
    return _judged(undisturbed, root, "machines an hour off, at once", codes)


def _changed_after(
    undisturbed: Undisturbed, first: Mapping[str, str], second: Mapping[str, str]
) -> Verdict:
    """What one machine has made is damaged, and the other one sees it, whatever its clock says."""
    root = undisturbed.trial()
    codes = [ended(undisturbed.begun(root, env=first))]
    what = f"an image damaged after a machine {first['OTHER_CLOCK_S']} s off"
    images = [path for path in _products(undisturbed, root) if path.suffix == ".fits"]
    if not images:
        return _judged(undisturbed, root, what, codes, disturbed=False)
    image = images[0]
    damaged = bytearray(image.read_bytes())
    damaged[-2880:] = b"\1" * 2880
    image.chmod(0o644)
    image.write_bytes(damaged)
    codes.append(ended(undisturbed.begun(root, env=second)))
    verdict = _judged(undisturbed, root, what, codes)
    if image.exists() and image.read_bytes() == damaged:
        verdict.lost.insert(0, f"{image.name} stayed damaged")
    return verdict


def _killed_and_gone_on(
    undisturbed: Undisturbed, first: Mapping[str, str], second: Mapping[str, str]
) -> Verdict:
    """What a killed machine had locked is not locked for ever by a time that is yet to come."""
    root = undisturbed.trial()
    process = undisturbed.begun(root, env=first)
    time.sleep(undisturbed.duration_s / 2)
    process.kill()
    killed = process.wait() == -signal.SIGKILL
    code = ended(undisturbed.begun(root, env=second))
    what = f"killed on a machine {first['OTHER_CLOCK_S']} s off"
    return _judged(undisturbed, root, what, [code], disturbed=killed)


def _beside_sensors(
    undisturbed: Undisturbed, first: Mapping[str, str], second: Mapping[str, str]
) -> Verdict:
    """The sensors of one machine request what the command on the other one makes."""
    root = undisturbed.trial()
    ended(command(root, "status", undisturbed.target))  # registers the partitions
    with daemon(root, env=first):
        code = ended(undisturbed.begun(root, env=second))
        wait_until_quiet(root)
    ticked = "Checking for new runs for sensor" in said(root).read_text(errors="replace")
    what = f"beside the sensors of a machine {first['OTHER_CLOCK_S']} s off"
    return _judged(undisturbed, root, what, [code], disturbed=ticked)


def _judged(
    undisturbed: Undisturbed,
    root: Path,
    what: str,
    codes: Sequence[int],
    *,
    disturbed: bool = True,
) -> Verdict:
    """As other trials, but a wrong clock is no reason to fail."""
    verdict = judged(undisturbed, root, what, codes[-1], disturbed=disturbed)
    if any(codes):
        verdict.lost.insert(0, f"ended with {list(codes)}")
    return verdict


def _products(undisturbed: Undisturbed, root: Path) -> Iterator[Path]:
    """Products of a trial that a run makes, not what was ingested."""
    for name in sorted(undisturbed.products):
        path = root / undisturbed.target / name
        if not name.startswith("raw/") and path.exists():
            yield path


def _clock(library: Path, shift_s: int) -> dict[str, str]:
    """Variables of processes whose time of day is so far off."""
    return {"LD_PRELOAD": str(library), "OTHER_CLOCK_S": str(shift_s)}


def _built(library: Path) -> Path | None:
    """Build the library, and look that it does something."""
    if shutil.which("cc") is None:
        print("clocks: not run: no C compiler")
        return None
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True)
    for shift in _SHIFTS_S:
        told = subprocess.run(
            [sys.executable, "-c", "import time; print(int(time.time()))"],
            env=_clock(library, shift),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        if abs(int(told) - time.time() - shift) > 60:
            print("clocks: not run: programs here do not ask the C library for the time")
            return None
    return library

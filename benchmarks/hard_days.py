"""Bad nights: what kills, full disks, stopped programs and other commands do to a run.

    PYTHONPATH=. python -u benchmarks/hard_days.py [KIND ...] [--kills 30] [--demo-kills 6]

A small target is processed once without disturbance. Each trial then starts from the ingested
target, disturbs the run, looks at what the command said, runs it once more to its end, and compares
the products (pixels bit by bit, headers but for dates and paths) with the undisturbed ones:

kills     SIGKILL, SIGTERM and SIGINT at random moments, sent to the command and, for every other
          three, to a run of Dagster's with a process for each step
          (``HST_ASSETS_EXECUTOR=multiprocess``, job ``visit_images``); a wrong exit status and a
          command that works on count as lost
demo      the same of ``hst-assets demo``, with the simulation, photometry and advanced products
disks     a disk that is full at eight sizes, one whose file entries are used up, one that becomes
          read-only; Dagster's instance on a full disk
users     a root, a work directory and an instance of another user (needs root)
limits    address space (RLIMIT_AS), number of open files, a cgroup's memory where one can be made
children  the programs that a run starts: stopped (SIGSTOP) and killed
garbage   each kind of tool call ends well, but leaves garbage in the place of its files or reply
company   two runs of one target at once; other commands, exposures removed, ``target retire`` and
          the daemon with all sensors, during a run
clocks    machines whose clocks are an hour ahead and an hour behind: in turn, at once, one beside
          the other's sensors, and after the other's end or death (needs a C compiler)
inputs    damaged texts through all parsers (`parser_fuzz.py`), exposures (`ingest_fuzz.py`)

Printed are counts: trials, products lost or other than they should be, disturbances of which
nothing was said (exit status 0 and something missing), and tracebacks. The exit status is 1 unless
all three are 0, and 2 if nothing was disturbed in one of the kinds. Disks are file systems in
memory, in a name space of one's own (``unshare``); where none can be mounted, they are "not run".
Faults of the archive are in `archive_faults.py`.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path

from disturbed_runs import (
    Undisturbed,
    Verdict,
    command,
    counted,
    ended,
    environment,
    judged,
    last_line,
    said,
)
from hard_days_clocks import clocks
from hard_days_company import children, company, garbage
from hard_days_disks import NAME_SPACE, disks, users

from hst_assets.exposures.raw import visits_in
from hst_assets.simulate.plans import demo_plan, small_plan
from hst_assets.workdir import WorkDir, targets_in

SETTINGS = ("machine.tool_timeout_s=60", "machine.max_cores=2")
_IN_NAME_SPACE = "HARD_DAYS_IN_NAME_SPACE"
_FORMS = ("command", "multiprocess")
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: Exit statuses that say that a signal ended the command.
_ENDED_BY = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}
#: Within this time (s) after a signal a command may still end well: it was at its end.
_ENDS_WITHIN_S = 10.0
_PARSED, _EXPOSURES = 60_000, 3_000
_BEFORE_IMAGES = ("raw_exposures", "exposure_table", "target_exposures", "reference_image")


# ------------------------------------------------------------------------------------- kills


def kills(undisturbed: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """At random moments, by three signals, of two kinds of run."""
    moments = random.Random(options.seed)
    for number in range(options.kills):
        form = _FORMS[number // 3 % 2]
        root = undisturbed.trial()
        begun = _multiprocess if form == "multiprocess" else undisturbed.begun
        at = moments.uniform(1.0, undisturbed.duration_s)
        yield _killed(undisturbed, root, form, begun(root), _SIGNALS[number % 3], at)


def demo(_: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """The demo itself, from its simulation to its comparison with the truth."""
    with tempfile.TemporaryDirectory(prefix="hard-days-demo-") as folder:
        undisturbed = Undisturbed.after(Path(folder), demo_plan().name, ("demo",))
        moments = random.Random(options.seed)
        for number in range(options.demo_kills):
            root = undisturbed.trial()
            at = moments.uniform(1.0, undisturbed.duration_s)
            sent = _SIGNALS[number % 3]
            yield _killed(undisturbed, root, "demo", undisturbed.begun(root), sent, at)


def _killed(
    undisturbed: Undisturbed,
    root: Path,
    form: str,
    process: subprocess.Popen[bytes],
    sent: signal.Signals,
    at: float,
) -> Verdict:
    # Of several steps in processes of their own, those that make the images of the visit.
    made = f"workspace/{_visit_of(root)}" if form == "multiprocess" else ""
    try:
        process.wait(timeout=at)
    except subprocess.TimeoutExpired:
        process.send_signal(sent)
        begun = time.monotonic()
        code = ended(process)
        took = time.monotonic() - begun
        told = f"{form}: {sent.name} at {at:.1f} s"
        verdict = judged(undisturbed, root, told, code, made=made)
        if code == 0 and took <= _ENDS_WITHIN_S:
            verdict.disturbed = False
        elif code == 0:
            verdict.lost.append(f"worked on for {took:.0f} s")
        elif form != "multiprocess" and code != _ENDED_BY[sent]:
            verdict.lost.append(f"ended with {code}, not {_ENDED_BY[sent]}")
        return verdict
    what = f"{form}: had ended before {sent.name} at {at:.0f} s"
    return judged(undisturbed, root, what, process.returncode, disturbed=False, made=made)


def _multiprocess(root: Path) -> subprocess.Popen[bytes]:
    """Images of the visit as a job of Dagster's, each of its steps in a process of its own.

    What they are made from is there before.
    """
    (target,) = targets_in(root)
    if ended(command(root, "materialize", target, "--select", ",".join(_BEFORE_IMAGES))):
        raise RuntimeError(f"{last_line(root)}: nothing to begin with")
    arguments = ["job", "execute", "-m", "hst_assets.definitions", "-j", "visit_images"]
    tags = f'{{"dagster/partition": "{target}/{_visit_of(root)}"}}'
    with said(root).open("ab") as out:
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "dagster"), *arguments, "--tags", tags],
            env={**environment(root), "HST_ASSETS_EXECUTOR": "multiprocess"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def _visit_of(root: Path) -> str:
    (target,) = targets_in(root)
    return visits_in(WorkDir(root, target))[0]


# ------------------------------------------------------------------------------------ limits


def limits(undisturbed: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """Less memory, or fewer open files, than a run needs."""
    del options
    for megabytes in (500, 800, 1200):
        yield _limited(
            undisturbed, resource.RLIMIT_AS, megabytes * 2**20, f"{megabytes} MB of address space"
        )
    for n_files in (12, 24):
        yield _limited(undisturbed, resource.RLIMIT_NOFILE, n_files, f"{n_files} open files")
    yield _in_cgroup(undisturbed, 200)


def _limited(undisturbed: Undisturbed, kind: int, value: int, what: str) -> Verdict:
    root = undisturbed.trial()
    code = ended(
        undisturbed.begun(root, preexec_fn=partial(resource.setrlimit, kind, (value, value)))
    )
    told = what if code else f"{what}: not disturbed by it"
    return judged(undisturbed, root, told, code, disturbed=code != 0)


def _in_cgroup(undisturbed: Undisturbed, megabytes: int) -> Verdict:
    what = f"a cgroup of {megabytes} MB"
    root_of_all = Path("/sys/fs/cgroup")
    is_new = (root_of_all / "cgroup.controllers").is_file()
    group = (root_of_all if is_new else root_of_all / "memory") / "hard_days"
    limit, peak = (
        ("memory.max", "memory.peak")
        if is_new
        else ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
    )
    try:
        group.mkdir(exist_ok=True)
        if not (group / limit).is_file():
            return Verdict(
                what, f"not run: {group} has no {limit}", disturbed=False, compared=False
            )
        (group / limit).write_text(str(megabytes * 2**20))
    except OSError as error:
        return Verdict(what, f"not run: {error}", disturbed=False, compared=False)
    root = undisturbed.trial()
    code = ended(
        undisturbed.begun(
            root, preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
        )
    )
    used_mb = int((group / peak).read_text()) / 2**20
    told = f"{what}, {used_mb:.0f} used{'' if code else ': not disturbed by it'}"
    verdict = judged(undisturbed, root, told, code, disturbed=code != 0)
    group.rmdir()
    return verdict


# ------------------------------------------------------------------------------------ inputs


def inputs(_: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """Damaged texts and exposures: each a benchmark of its own."""
    for script, number in (
        ("parser_fuzz.py", ("--inputs", str(_PARSED))),
        ("ingest_fuzz.py", ("--files", str(_EXPOSURES))),
    ):
        words = [sys.executable, str(Path(__file__).with_name(script)), *number]
        done = subprocess.run(
            [*words, "--seed", str(options.seed)], capture_output=True, text=True, check=False
        )
        print(done.stdout, end="")
        told = [line for line in done.stdout.splitlines() if " wrong" in line][-1:]
        lost = [f"exit {done.returncode} {done.stderr[-200:]}"] if done.returncode else []
        yield Verdict(
            script,
            *told or ["nothing counted"],
            lost=lost if told else [*lost, "nothing counted"],
            compared=False,
        )


Trials = Callable[[Undisturbed, argparse.Namespace], Iterator[Verdict]]
KINDS: Mapping[str, Trials] = {
    "kills": kills,
    "demo": demo,
    "disks": disks,
    "users": users,
    "limits": limits,
    "children": children,
    "garbage": garbage,
    "company": company,
    "clocks": clocks,
    "inputs": inputs,
}


def main() -> int:
    """Disturb, and count."""
    options = _options()
    chosen = options.kinds or list(KINDS)
    if "disks" in chosen and not os.environ.get(_IN_NAME_SPACE):
        if subprocess.run([*NAME_SPACE, "true"], check=False).returncode == 0:
            os.environ[_IN_NAME_SPACE] = "1"
            os.execvp(NAME_SPACE[0], [*NAME_SPACE, sys.executable, "-u", *sys.argv])
        print("disks: not run: no file system can be mounted here")
        chosen = [kind for kind in chosen if kind != "disks"]
    folder = Path(tempfile.mkdtemp(prefix="hard-days-"))
    folder.chmod(0o755)  # another user is to find the root in it
    verdicts: list[Verdict] = []
    idle: list[str] = []
    try:
        undisturbed = Undisturbed.of(
            folder, small_plan("wfc3_ir", n_exposures=3), settings=SETTINGS
        )
        print(f"undisturbed: {undisturbed.duration_s:.0f} s, {len(undisturbed.products)} products")
        for kind in chosen:
            before = len(verdicts)
            for verdict in islice(KINDS[kind](undisturbed, options), options.most):
                verdicts.append(verdict)
                print(verdict.line(), flush=True)
            if not any(verdict.disturbed for verdict in verdicts[before:]):
                idle.append(kind)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for kind in idle:
        print(f"{kind}: not checked, nothing was disturbed")
    return counted(verdicts) or (2 if idle else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--demo-kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, help="trials of each kind, by default all")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())

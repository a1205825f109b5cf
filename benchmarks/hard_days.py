"""Bad nights: what kills, full disks, stopped programs and other commands do to a run.

    python benchmarks/hard_days.py [kills] [disks] [limits] [children] [company] [--kills 30]

A small target is processed once without disturbance. Each trial then starts from the ingested
target, disturbs the run, looks at what the command said, runs it once more to its end, and compares
the products (pixels bit by bit, headers but for dates and paths) with the undisturbed ones:

kills     SIGKILL, SIGTERM and SIGINT at random moments, sent to the command and, for every other
          one, to a multiprocess run of Dagster's (``HST_ASSETS_EXECUTOR=multiprocess``)
disks     a disk that is full at eight sizes, one whose file entries are used up, one that becomes
          read-only; Dagster's instance on a full disk
limits    address space (RLIMIT_AS), number of open files, a cgroup's memory where one can be made
children  the programs that a run starts: stopped (SIGSTOP) and killed
company   two runs of one target at once; ``clean``, ``settings``, ``target retire`` during a run

Printed are counts: trials, products lost or other than they should be, disturbances of which
nothing was said (exit status 0 and something missing), and tracebacks. The exit status is 1 unless
all three are 0. Disks are file systems in memory, in a name space of one's own (``unshare``);
where none can be mounted, they are "not run". Texts are damaged by `parser_fuzz.py`, exposures by
`ingest_fuzz.py`, the archive by `archive_faults.py`, the demo is killed by `kill_and_resume.py`.
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
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from disturbed_runs import Undisturbed, command, environment, last_line, said

from hst_assets.simulate.plans import small_plan

SETTINGS = ("machine.tool_timeout_s=60", "machine.max_cores=2")
_NAME_SPACE = ("unshare", "--map-root-user", "--mount")
_IN_NAME_SPACE = "HARD_DAYS_IN_NAME_SPACE"
_FORMS = ("command", "multiprocess")
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: Exit statuses that say that a signal ended the command.
_ENDED_BY = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}


@dataclass
class Verdict:
    """What came of one trial."""

    what: str
    ended: str
    lost: list[str] = field(default_factory=list)
    silent: bool = False
    traceback: bool = False

    def line(self) -> str:
        faults = [*self.lost, *["silent"] * self.silent, *["traceback"] * self.traceback]
        return f"{self.what:46} {self.ended[:70]:70} {'; '.join(faults) or 'same products'}"


Trial = Callable[[Undisturbed], Verdict]


def judged(
    undisturbed: Undisturbed, root: Path, what: str, code: int | None, *, disturbed: bool = True
) -> Verdict:
    """Look at what was said, run once more, compare.

    A run that ended with 0 must have made everything, disturbed or not.
    """
    text = said(root).read_text(errors="replace")
    missing = not _all_there(undisturbed, root)
    ended = f"exit {code}: {last_line(root)}"
    lost = undisturbed.differences_after_rerun(root)
    return Verdict(what, ended, lost, disturbed and code == 0 and missing, "Traceback" in text)


def _all_there(undisturbed: Undisturbed, root: Path) -> bool:
    base = root / undisturbed.target
    return all((base / name).exists() for name in undisturbed.products)


# ------------------------------------------------------------------------------------- kills


def kills(undisturbed: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """At random moments, by three signals, of two kinds of run."""
    moments = random.Random(options.seed)
    for number in range(options.kills):
        sent = _SIGNALS[number % 3]
        form = _FORMS[number // 3 % 2]
        at = moments.uniform(1.0, undisturbed.duration_s)
        root = undisturbed.trial()
        env = {"HST_ASSETS_EXECUTOR": "multiprocess"} if form == "multiprocess" else {}
        process = _multiprocess(undisturbed, root, env) if env else undisturbed.materialize(root)
        try:
            process.wait(timeout=at)
            what = f"{form}: had ended before {sent.name} at {at:.0f} s"
        except subprocess.TimeoutExpired:
            process.send_signal(sent)
            code = process.wait()
            what = f"{form}: {sent.name} at {at:.1f} s"
            if form == "command" and code not in {_ENDED_BY[sent], 0}:
                what += f", ended with {code}"
        yield judged(undisturbed, root, what, process.returncode)


def _multiprocess(
    undisturbed: Undisturbed, root: Path, env: dict[str, str]
) -> subprocess.Popen[bytes]:
    """The first level of the visit as a job of Dagster's, each step in a process of its own."""
    partition = next((root / undisturbed.target / "raw").glob("*_fl?.fits")).name[:6]
    key = f"{undisturbed.target}/{partition}"
    prepared = command(root, "status", undisturbed.target)  # registers the partition
    prepared.wait()
    arguments = ["job", "execute", "-m", "hst_assets.definitions", "-j", "process_new_visit"]
    tags = f'{{"dagster/partition": "{key}"}}'
    with said(root).open("ab") as out:
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "dagster"), *arguments, "--tags", tags],
            env={**environment(root), **env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


# ------------------------------------------------------------------------------------- disks


def disks(undisturbed: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """Full, out of entries, read-only."""
    del options
    small = _megabytes(undisturbed.folder / "pristine")
    whole = _megabytes(undisturbed.folder / "undisturbed")
    for share in (0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95):
        size_mb = small + share * (whole - small) + 2
        yield _on_disk(undisturbed, f"size={size_mb:.0f}m", f"full at {size_mb:.0f} MB")
    for n_inodes in (120, 200):
        options_of_disk = f"size={4 * whole:.0f}m,nr_inodes={n_inodes}"
        yield _on_disk(undisturbed, options_of_disk, f"{n_inodes} file entries")
    yield _read_only(undisturbed)
    yield _small_instance(undisturbed)


def _megabytes(root: Path) -> float:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 2**20


def _mounted(undisturbed: Undisturbed, options: str) -> Path:
    """A trial on a disk of its own; Dagster's instance is elsewhere."""
    disk = undisturbed.folder / "disk"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    said(disk).unlink(missing_ok=True)
    shutil.copytree(
        undisturbed.folder / "pristine",
        disk,
        ignore=shutil.ignore_patterns("dagster_home"),
        dirs_exist_ok=True,
    )
    return disk


def _home(undisturbed: Undisturbed) -> dict[str, str]:
    home = undisturbed.folder / "home_of_disk"
    shutil.rmtree(home, ignore_errors=True)
    return {"DAGSTER_HOME": environment(undisturbed.folder / "disk", home)["DAGSTER_HOME"]}


def _on_disk(undisturbed: Undisturbed, options: str, what: str) -> Verdict:
    disk = _mounted(undisturbed, options)
    try:
        env = _home(undisturbed)
        code = undisturbed.materialize(disk, env=env).wait()
        subprocess.run(["mount", "-o", "remount,size=4g,nr_inodes=100k", disk], check=True)
        return judged(undisturbed, disk, what, code)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _read_only(undisturbed: Undisturbed) -> Verdict:
    disk = _mounted(undisturbed, "size=4g")
    try:
        process = undisturbed.materialize(disk, env=_home(undisturbed))
        time.sleep(undisturbed.duration_s / 2)
        while subprocess.run(["mount", "-o", "remount,ro", disk], check=False).returncode:
            if process.poll() is not None:  # a file was open for writing at each try
                break
            time.sleep(0.05)
        code = process.wait()
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        return judged(undisturbed, disk, "read-only from the middle on", code)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _small_instance(undisturbed: Undisturbed) -> Verdict:
    root = undisturbed.trial()
    home = root / "dagster_home"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", home], check=True)
    try:
        code = undisturbed.materialize(root).wait()
        subprocess.run(["mount", "-o", "remount,size=1g", home], check=True)
        return judged(undisturbed, root, "Dagster's instance on a full disk", code)
    finally:
        subprocess.run(["umount", "-l", home], check=True)


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
    process = undisturbed.materialize(
        root, preexec_fn=partial(resource.setrlimit, kind, (value, value))
    )
    code = process.wait()
    return judged(undisturbed, root, what if code else f"{what}: not disturbed by it", code)


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
            return Verdict(what, f"not run: {group} has no {limit}")
        (group / limit).write_text(str(megabytes * 2**20))
    except OSError as error:
        return Verdict(what, f"not run: {error}")
    root = undisturbed.trial()
    code = undisturbed.materialize(
        root, preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
    ).wait()
    used_mb = int((group / peak).read_text()) / 2**20
    return judged(
        undisturbed,
        root,
        f"{what}, {used_mb:.0f} used{'' if code else ': not disturbed by it'}",
        code,
    )


# ---------------------------------------------------------------------------------- children


def children(undisturbed: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """Programs that a run started, stopped or killed."""
    moments = random.Random(options.seed)
    for sent in (signal.SIGSTOP, signal.SIGKILL) * 3:
        root = undisturbed.trial()
        process = undisturbed.materialize(root)
        at = moments.uniform(0.2, 0.8) * undisturbed.duration_s
        time.sleep(at)
        hit = _hit(process.pid, sent)
        code = process.wait()
        if hit is not None and sent == signal.SIGSTOP:
            _wake(hit)
        what = f"child {sent.name} at {at:.1f} s" if hit else f"no child at {at:.1f} s"
        yield judged(undisturbed, root, what, code)


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


def _wake(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return  # it was ended, as it should be


# ----------------------------------------------------------------------------------- company


def company(undisturbed: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """Another command on the same target at the same time."""
    del options
    root = undisturbed.trial()
    pair = [undisturbed.materialize(root) for _ in range(2)]
    codes = [process.wait() for process in pair]
    yield judged(undisturbed, root, f"two runs at once, ended with {codes}", max(codes))
    name = undisturbed.target
    for words in (("clean", name, "--working-copies"), ("status", name), ("settings", name)):
        root = undisturbed.trial()
        process = undisturbed.materialize(root)
        time.sleep(undisturbed.duration_s / 2)
        beside = command(root, *words).wait()
        code = process.wait()
        what = f"{words[0]} during a run, ended with {beside}"
        yield judged(undisturbed, root, what, code, disturbed=words[0] != "clean")
    root = undisturbed.trial()
    process = undisturbed.materialize(root)
    time.sleep(undisturbed.duration_s / 2)
    beside = command(root, "target", "retire", name).wait()
    code = process.wait()
    yield judged(undisturbed, root, f"target retire, ended with {beside}", code)


KINDS = {
    "kills": kills,
    "disks": disks,
    "limits": limits,
    "children": children,
    "company": company,
}


def main() -> int:
    """Disturb, and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chosen = options.kinds or list(KINDS)
    if "disks" in chosen and not os.environ.get(_IN_NAME_SPACE):
        if subprocess.run([*_NAME_SPACE, "true"], check=False).returncode == 0:
            os.environ[_IN_NAME_SPACE] = "1"
            os.execvp(_NAME_SPACE[0], [*_NAME_SPACE, sys.executable, *sys.argv])
        print("disks: not run: no file system can be mounted here")
        chosen = [kind for kind in chosen if kind != "disks"]
    folder = Path(tempfile.mkdtemp(prefix="hard-days-"))
    try:
        undisturbed = Undisturbed.of(
            folder, small_plan("wfc3_ir", n_exposures=3), settings=SETTINGS
        )
        print(f"undisturbed: {undisturbed.duration_s:.0f} s, {len(undisturbed.products)} images")
        verdicts: list[Verdict] = []
        for kind in chosen:
            for verdict in KINDS[kind](undisturbed, options):
                verdicts.append(verdict)
                print(verdict.line(), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    lost = sum(bool(each.lost) for each in verdicts)
    silent = sum(each.silent for each in verdicts)
    tracebacks = sum(each.traceback for each in verdicts)
    print(f"{len(verdicts)} trials: {lost} lost, {silent} silent, {tracebacks} with a traceback")
    return int(bool(lost or silent or tracebacks))


if __name__ == "__main__":
    sys.exit(main())

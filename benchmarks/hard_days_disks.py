"""Disks that are full or read-only, and folders of another user: trials of `hard_days.py`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from disturbed_runs import (
    HOME,
    Undisturbed,
    Verdict,
    copy_of,
    ended,
    environment,
    judged,
    said,
)

#: A root that is nobody else's: its own users stay as they are, for trials with another one.
NAME_SPACE = ("unshare", *(() if os.geteuid() == 0 else ("--map-root-user",)), "--mount")
#: Of what a run adds to the ingested target: bytes, and file entries, for which there is room.
_SHARES, _SHARES_OF_ENTRIES = (0.02, 0.06, 0.1, 0.15, 0.2, 0.35, 0.5, 0.65), (0.2, 0.6)
_UNMOUNT_TRIES, _UNMOUNT_S = 50, 0.2
_NOBODY = 65534
#: Root as any other user: others' files may be read, if they are open to all, and not written.
_WITHOUT_RIGHTS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner,-chown")


def disks(undisturbed: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """Full, out of entries, read-only."""
    del options
    before = _content(undisturbed.folder / "pristine")
    after = _content(undisturbed.folder / "undisturbed")
    small, whole = map(_megabytes, (before, after))
    for share in _SHARES:
        size_mb = small + share * (whole - small) + 2
        yield _on_disk(undisturbed, f"size={size_mb:.0f}m", f"full at {size_mb:.0f} MB")
    for share in _SHARES_OF_ENTRIES:
        n_inodes = round(len(before) + share * (len(after) - len(before)))
        options_of_disk = f"size={4 * whole:.0f}m,nr_inodes={n_inodes}"
        yield _on_disk(undisturbed, options_of_disk, f"{n_inodes} file entries")
    yield _read_only(undisturbed)
    yield _small_instance(undisturbed)


def _content(root: Path) -> list[Path]:
    """Files and folders of a root, without the instance, which is elsewhere."""
    home = root / HOME
    return [path for path in (root, *root.rglob("*")) if not path.is_relative_to(home)]


def _megabytes(content: Sequence[Path]) -> float:
    return sum(path.stat().st_size for path in content if path.is_file()) / 2**20


def _with_disk(disk: Path, options: str, trial: Callable[[], Verdict]) -> Verdict:
    """A trial with a disk mounted at a folder; what kept the disk from going is a fault of it."""
    disk.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    try:
        verdict = trial()
    finally:
        keeps = _unmounted(disk)
    verdict.lost += keeps
    return verdict


def _unmounted(disk: Path) -> list[str]:
    """Unmount a disk; which processes kept it, if it had to be taken away from them."""
    for _ in range(_UNMOUNT_TRIES):
        if subprocess.run(["umount", disk], capture_output=True, check=False).returncode == 0:
            return []
        time.sleep(_UNMOUNT_S)
    keeps = [f"the disk is kept by {each}" for each in _users_of(disk)]
    subprocess.run(["umount", "-l", disk], check=True)
    return keeps or ["the disk is kept by nobody that can be seen"]


def _users_of(disk: Path) -> Iterator[str]:
    """Processes with a file of the disk open, or at work in a folder of it."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            links = [process / "cwd", *(process / "fd").iterdir()]
            if any(link.readlink().is_relative_to(disk) for link in links):
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                yield f"{process.name} {words[:120].decode(errors='replace')}"


def _filled(undisturbed: Undisturbed, disk: Path) -> dict[str, str]:
    """Copy the ingested target to a disk; the variables of an instance that is elsewhere."""
    said(disk).unlink(missing_ok=True)
    copy_of(undisturbed.folder / "pristine", disk)
    home = undisturbed.folder / "home_of_disk"
    shutil.rmtree(home, ignore_errors=True)
    return {"DAGSTER_HOME": environment(disk, home)["DAGSTER_HOME"]}


def _on_disk(undisturbed: Undisturbed, options: str, what: str) -> Verdict:
    disk = undisturbed.folder / "disk"

    def trial() -> Verdict:
        env = _filled(undisturbed, disk)
        code = ended(undisturbed.begun(disk, env=env))
        _remount(disk, "size=4g,nr_inodes=100k")
        told = what if code else f"{what}: not disturbed by it"
        return judged(undisturbed, disk, told, code, disturbed=code != 0)

    return _with_disk(disk, options, trial)


def _remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def _read_only(undisturbed: Undisturbed) -> Verdict:
    disk = undisturbed.folder / "disk"

    def trial() -> Verdict:
        process = undisturbed.begun(disk, env=_filled(undisturbed, disk))
        time.sleep(undisturbed.duration_s / 2)
        tried = ["mount", "-o", "remount,ro", str(disk)]
        # Refused while a file is open for writing; the run may end before it is taken.
        while refused := subprocess.run(tried, capture_output=True, check=False).returncode:
            if process.poll() is not None:
                break
            time.sleep(0.05)
        code = ended(process)
        _remount(disk, "rw")
        what = "read-only from the middle on"
        told = f"{what}: never taken" if refused else what
        told = told if code else f"{what}: not disturbed by it"
        return judged(undisturbed, disk, told, code, disturbed=code != 0)

    return _with_disk(disk, "size=4g", trial)


def _small_instance(undisturbed: Undisturbed) -> Verdict:
    root = undisturbed.trial()
    home = root / "dagster_home"

    def trial() -> Verdict:
        code = ended(undisturbed.begun(root))
        _remount(home, "size=1g")
        what = "Dagster's instance on a full disk"
        told = what if code else f"{what}: not disturbed by it"
        return judged(undisturbed, root, told, code, disturbed=code != 0)

    return _with_disk(home, "size=600k", trial)


# ------------------------------------------------------------------------------------- users


def users(undisturbed: Undisturbed, options: argparse.Namespace) -> Iterator[Verdict]:
    """A run to whose user something of the root does not belong; its owner runs it again."""
    del options
    if os.geteuid() or subprocess.run([*_WITHOUT_RIGHTS, "true"], check=False).returncode:
        yield Verdict(
            "another user's", "not run: needs root, and setpriv", disturbed=False, compared=False
        )
        return
    target = undisturbed.target
    home, workspace = "dagster_home", f"{target}/workspace"
    for what, own in (
        ("all is another user's", ()),
        ("the instance is another user's", (target, workspace)),
        ("the work directory is another user's", (home,)),
        ("its folders but one are another user's", (home, target, workspace)),
    ):
        root = undisturbed.trial()
        environment(root)  # makes the instance's folder
        for part in ("logs", "drizzle", "workspace", ".hst123_runfiles"):
            (root / target / part).mkdir(exist_ok=True)
        _give_away(root, own)
        code = ended(undisturbed.begun(root, through=_WITHOUT_RIGHTS))
        yield judged(undisturbed, root, what, code, disturbed=code != 0)


def _give_away(root: Path, own: Sequence[str]) -> None:
    """Give a root to nobody but for folders, of which the instance is given whole."""
    kept = {root / part for part in own} | set((root / "dagster_home").glob("*") if own else ())
    for path in (root, *root.rglob("*")):
        if path not in kept:
            os.chown(path, _NOBODY, _NOBODY)

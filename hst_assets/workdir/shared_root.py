"""A folder of work directories that several machines share: its mark, and whether it is there.

A machine that loses the folder (an unmounted share) sees an empty one in its place, and would take
every exposure for deleted, or write products where nobody finds them. So a shared root has a mark,
a file with an identifier that no other root has, and whoever was told the identifier looks before
and after its work.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hst_assets.failures import MachineFailure

__all__ = ["MARK_VARIABLE", "is_lost", "kept_root", "mark_of", "mark_root"]

#: Holds the mark that the root should have; unset where nothing is shared.
MARK_VARIABLE = "HST_ASSETS_ROOT_MARK"
_MARK_FILE = ".hst_assets_root"


def mark_of(root: Path) -> str:
    """The mark of a root; empty for one that has none, or is not there."""
    try:
        return (root / _MARK_FILE).read_text().strip()
    except OSError:
        return ""


def mark_root(root: Path) -> str:
    """The mark of a root, made if it has none.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with (root / _MARK_FILE).open("x") as file:
            file.write(f"{uuid.uuid4().hex}\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    return mark_of(root)


def is_lost(root: Path) -> bool:
    """Whether a root is another than the one that this process was given."""
    wanted = os.environ.get(MARK_VARIABLE)
    return bool(wanted) and mark_of(root) != wanted


@contextmanager
def kept_root(root: Path) -> Iterator[None]:
    """Do nothing in a root that is lost, and believe nothing that happened while it was.

    Raises
    ------
    MachineFailure
        If the root is lost, before or after.
    """
    _refuse_lost(root)
    try:
        yield
    finally:
        _refuse_lost(root)


def _refuse_lost(root: Path) -> None:
    if is_lost(root):
        raise MachineFailure(
            "the shared folder of work directories is not there",
            where=root,
            next_step="Mount it again on this machine; the run is tried again",
        )

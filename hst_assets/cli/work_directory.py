"""The work directory of a command: a folder, a name, or a name made from the query."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hst_assets.cli.terminal import root_or_default
from hst_assets.failures import BadConfiguration
from hst_assets.workdir import WorkDir

__all__ = ["WorkDirOption", "name_of_object", "name_of_position", "named_workdir"]

WorkDirOption = Annotated[
    Path | None,
    typer.Option(
        "--work-dir",
        help="The target's work directory, made if missing; its name is the target's name.",
        show_default=False,
    ),
]

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_+.-]+")


def named_workdir(
    *, work_dir: Path | None, target: str | None, root: Path | None, otherwise: str | None
) -> WorkDir:
    """The work directory that options name.

    Parameters
    ----------
    work_dir : path or None
        The directory itself; its parent is the root.
    target : str or None
        Name of the target, below `root` or the default root.
    root : path or None
        Folder of work directories.
    otherwise : str or None
        Name where neither is given.

    Raises
    ------
    BadConfiguration
        If the options contradict each other, name nothing, or the folder cannot be a target's.
    """
    if work_dir is not None:
        if target is not None or root is not None:
            raise BadConfiguration(
                "--work-dir already sets root and target",
                next_step="Give --work-dir, or --target with --root",
            )
        return _from_folder(work_dir)
    name = target or otherwise
    if name is None:
        raise BadConfiguration(
            "no target", next_step="Give RA and DEC, --name, --proposal, --work-dir or --target"
        )
    return _checked(WorkDir(root_or_default(root), name))


def _from_folder(folder: Path) -> WorkDir:
    # As the shell shows it: '.' and '..' have names, links keep theirs.
    path = Path(folder).expanduser()
    path = path.absolute() if ".." not in path.parts else path.resolve()
    try:
        return _checked(WorkDir(path.parent, path.name))
    except BadConfiguration as error:
        if error.where == str(path):
            raise
        raise BadConfiguration(
            f"the folder's name is the target's, and {path.name!r} is not valid: {error.what}",
            where=path,
            next_step=error.next_step or "Choose another folder",
        ) from error


def _checked(workdir: WorkDir) -> WorkDir:
    """`workdir`, unless a file is in its way."""
    for path in (workdir.base, *workdir.base.parents):
        if path.exists():
            if not path.is_dir():
                raise BadConfiguration("is a file, not a folder", where=path)
            break
    return workdir


def name_of_position(position: tuple[float, float]) -> str:
    """A target's name from its position (ICRS, degrees), such as ``J122256.15+154934.2``."""
    from astropy import units as u
    from astropy.coordinates import Angle

    ra, dec = (Angle(degrees, u.deg) for degrees in position)
    hours = ra.to_string(unit=u.hourangle, sep="", precision=2, pad=True)
    return f"J{hours}{dec.to_string(sep='', precision=1, pad=True, alwayssign=True)}"


def name_of_object(words: Sequence[str]) -> str:
    """A target's name from that of an object, or from numbers of proposals.

    Examples
    --------
    >>> name_of_object(["NGC 104"])
    'NGC_104'
    """
    joined = "_".join(_NOT_IN_NAMES.sub("_", word.strip()) for word in words)
    return re.sub(r"\.{2,}", ".", joined).strip("_.+-")

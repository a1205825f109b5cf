"""How pieces of a visit run: each in a child process and a scratch folder of its own.

A piece gets links to what it reads and copies of what it changes, and what it leaves goes to the
visit's folder when it has ended: one that fails spoils nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hst_assets.failures import HstAssetsError
from hst_assets.hap.objects import PARAMETERS, STATE_SUFFIX
from hst_assets.isolation import Call, import_ahead, run_many_isolated
from hst_assets.settings import MachineSettings

__all__ = [
    "HapEnded",
    "Left",
    "Piece",
    "VisitFolder",
    "import_steps",
    "joined_logs",
    "outcomes_of",
    "run_pieces",
]

_TASK = "hst_assets.hap.children.piece_task:run_piece"


class HapEnded(Exception):
    """A piece was ended by drizzlepac itself, with a number.

    Attributes
    ----------
    code : int
        The number.
    log_path : Path
        What the piece said.
    """

    def __init__(self, code: int, log_path: Path) -> None:
        super().__init__(f"ended with {code}")
        self.code = code
        self.log_path = log_path


@dataclass(frozen=True)
class VisitFolder:
    """The folder that holds the products of a visit while its pieces are made.

    Parameters
    ----------
    root : Path
        An existing folder.
    log_of : callable, optional
        Gives the log of a piece by its label; by default they are in the folder.
    """

    root: Path
    log_of: Callable[[str], Path] | None = None

    @property
    def files(self) -> Path:
        """Products, the exposures (links), and what pieces leave for each other."""
        return self.root / "files"

    @property
    def logs(self) -> Path:
        """The log of each piece."""
        return self.root / "logs"

    def scratch(self, label: str) -> Path:
        """The folder in which a piece runs.

        Parameters
        ----------
        label : str
            The piece.
        """
        return self.root / "scratch" / label

    def log(self, label: str) -> Path:
        """The log of a piece.

        Parameters
        ----------
        label : str
            The piece.
        """
        return self.log_of(label) if self.log_of else self.logs / f"{label}.txt"

    def products(self) -> list[Path]:
        """The files that are the visit's, by name."""
        return sorted(
            path
            for path in self.files.iterdir()
            if not path.is_symlink() and path.suffix != STATE_SUFFIX
        )


def joined_logs(paths: Iterable[Path]) -> str:
    """What logs say, one after the other, each below its name.

    Parameters
    ----------
    paths : iterable of Path
        The logs.
    """
    return "".join(f"==== {path.stem}\n{path.read_text(errors='replace')}" for path in paths)


@dataclass(frozen=True)
class Piece:
    """One call of a step.

    Parameters
    ----------
    label : str
        Its name, unique in the visit.
    step : str
        Name in `hst_assets.hap.children.piece_task.STEPS`.
    reads, changes, spoils : tuple of str
        Names of files in the visit's folder: what the step reads, what it changes, and what it also
        changes, but whose changed copies are thrown away.
    arguments : mapping
        Keyword arguments of the step.
    shares_out : bool
        Whether the step takes ``cores``, and shares its work out among as many processes.
    """

    label: str
    step: str
    reads: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    spoils: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    shares_out: bool = False


@dataclass(frozen=True)
class Left:
    """What a piece came to.

    Attributes
    ----------
    value : dict
        What its step told.
    files : tuple of str
        What it left in the visit's folder.
    """

    value: dict[str, Any]
    files: tuple[str, ...]


def import_steps() -> None:
    """Let drizzlepac be imported for the pieces while the caller reads headers."""
    import_ahead(_TASK)


def run_pieces(
    pieces: Sequence[Piece], folder: VisitFolder, machine: MachineSettings
) -> list[dict[str, Any]]:
    """Run pieces that do not need each other, all of which must succeed.

    Parameters
    ----------
    pieces : sequence of Piece
        The pieces.
    folder : VisitFolder
        Where they read and leave files.
    machine : MachineSettings
        How many run at a time, and how long.

    Returns
    -------
    list of dict
        What each told.

    Raises
    ------
    HapEnded
        If drizzlepac ended a piece.
    HstAssetsError
        The first failure of a piece; the others' products are in the folder.
    """
    values = []
    for outcome in outcomes_of(pieces, folder, machine):
        if isinstance(outcome, Left):
            values.append(outcome.value)
        else:
            raise outcome
    return values


def outcomes_of(
    pieces: Sequence[Piece], folder: VisitFolder, machine: MachineSettings
) -> list[Left | HstAssetsError | HapEnded]:
    """Run pieces that do not need each other, and take what they leave.

    Parameters
    ----------
    pieces : sequence of Piece
        The pieces.
    folder : VisitFolder
        Where they read and leave files.
    machine : MachineSettings
        How many run at a time, and how long.

    Returns
    -------
    list
        In the order of the pieces: what each left, or what ended it.
    """
    # One that is alone in its stage may share its work out among all cores.
    share = max(1, machine.cores // max(1, len(pieces)))
    calls = [_call(piece, folder, share) for piece in pieces]
    answers = run_many_isolated(
        _TASK, calls, timeout_s=machine.timeout_s("hap"), max_cores=machine.cores
    )
    return [_settled(call, answer, folder) for call, answer in zip(calls, answers, strict=True)]


def _settled(call: Call, answer: Any, folder: VisitFolder) -> Left | HstAssetsError | HapEnded:
    if isinstance(answer, HstAssetsError):
        return answer
    if answer["exit"] is not None:
        return HapEnded(answer["exit"], call.log_path)
    for name in answer["files"]:
        (call.scratch / name).replace(folder.files / name)
    shutil.rmtree(call.scratch)
    return Left(answer["value"], tuple(answer["files"]))


def _call(piece: Piece, folder: VisitFolder, share: int) -> Call:
    cores = share if piece.shares_out else 1
    scratch = folder.scratch(piece.label)
    scratch.mkdir(parents=True)
    reads = list(piece.reads)
    if PARAMETERS not in reads and (folder.files / PARAMETERS).exists():
        reads.append(PARAMETERS)
    arguments = {
        "step": piece.step,
        "folder": str(folder.files.absolute()),
        "reads": reads,
        "changes": list(piece.changes),
        "spoils": list(piece.spoils),
        "arguments": dict(piece.arguments),
        "cores": cores if piece.shares_out else None,
    }
    return Call(arguments, scratch=scratch, log_path=folder.log(piece.label), cores=cores)

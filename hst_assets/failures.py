"""The vocabulary of failures: errors that say what went wrong, where, and what to do next.

The class decides what an orchestrator may do about it: only `TransientFailure` is worth
another try by itself; the others need other data, another setting or another machine. A
`MachineFailure` says nothing of the data: it is never kept as a verdict on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = [
    "AccessRefused",
    "BadConfiguration",
    "Crashed",
    "DiskFull",
    "HstAssetsError",
    "MachineFailure",
    "MissingProduct",
    "MissingTool",
    "NoOverlap",
    "NoReply",
    "NothingFound",
    "OutOfMemory",
    "TimedOut",
    "ToolFailed",
    "TransientFailure",
    "UnusableInput",
    "UnusableReference",
    "failure_named",
    "machines_kind",
    "may_work_again",
    "shared_kind",
]


class HstAssetsError(Exception):
    """Base of all failures of this project.

    Parameters
    ----------
    what : str
        What went wrong, in one sentence.
    where : object, optional
        The file, exposure, partition or service concerned.
    next_step : str, optional
        What the user can do about it.
    log_tail : sequence of str, optional
        The last lines of the log of the tool that failed.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        next_step: str | None = None,
        log_tail: Sequence[str] = (),
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.next_step = next_step
        self.log_tail = tuple(log_tail)
        super().__init__(what)

    def __str__(self) -> str:
        tail = "\n  ".join(("; its last lines:", *self.log_tail)) if self.log_tail else ""
        return self._worded(tail)

    @property
    def brief(self) -> str:
        """The message without the lines of the log, as a table or a list has it."""
        return self._worded("")

    @property
    def one_line(self) -> str:
        """The message on one line, as a terminal shows it, with the last line of the log alone."""
        last = next((line.strip() for line in reversed(self.log_tail) if line.strip()), "")
        is_said = last in self.what  # a traceback's last line is the exception
        return " ".join(self._worded("" if is_said else f"; its log ends: {last}").split())

    def _worded(self, tail: str) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        text += tail
        if self.next_step is None:
            return text
        ends = text.endswith((".", "!", "?"))  # as the words of a library may
        return f"{text}{'' if ends else '.'} {self.next_step}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.next_step, self.log_tail)


def _rebuild(
    kind: type[HstAssetsError],
    what: str,
    where: str | None,
    next_step: str | None,
    log_tail: tuple[str, ...] = (),
) -> HstAssetsError:
    return kind(what, where=where, next_step=next_step, log_tail=log_tail)


class TransientFailure(HstAssetsError):
    """A service or resource did not answer; the same call may succeed later."""

    #: How long the service asks to be left alone, seconds; does not survive pickling.
    retry_after_s: float | None = None


class AccessRefused(HstAssetsError):
    """A service denied access: no rights to the data, an invalid token, or a rejected request."""


class NothingFound(HstAssetsError):
    """A service answered that it has nothing that matches the query."""


class UnusableInput(HstAssetsError):
    """The data cannot be used (corrupt, unsupported, too few stars, nothing left)."""


class NoOverlap(UnusableInput):
    """Two images that are to be compared or combined cover no common piece of the sky."""


class UnusableReference(UnusableInput):
    """None of the exposures that were to make the reference can: others may."""


class MissingProduct(HstAssetsError):
    """A product that was made before is missing or has changed."""


class MissingTool(HstAssetsError):
    """An external program or an optional package is not installed."""


class BadConfiguration(HstAssetsError):
    """A setting, a key or an option is unknown, out of range or contradicts another."""


class MachineFailure(HstAssetsError):
    """The machine failed and not the data; no verdict is kept, and the next run tries again."""


class DiskFull(MachineFailure):
    """The disk, or the user's share of it, is full."""


class OutOfMemory(MachineFailure):
    """Memory ran out, or a tool was killed, probably because it did."""


class TimedOut(MachineFailure):
    """An external tool did not end within its time limit; the next run tries it again."""


class NoReply(MachineFailure):
    """A tool's process ended without a reply: it was stopped from outside, or crashed."""


class Crashed(NoReply):
    """A tool's process was ended by a fault of its own, once; twice on one input is a verdict."""


class ToolFailed(HstAssetsError):
    """An external tool crashed or left no valid product."""


_BY_NAME: dict[str, type[HstAssetsError]] = {
    kind.__name__: kind
    for kind in (
        HstAssetsError,
        TransientFailure,
        AccessRefused,
        NothingFound,
        UnusableInput,
        NoOverlap,
        UnusableReference,
        MissingProduct,
        MissingTool,
        BadConfiguration,
        MachineFailure,
        DiskFull,
        OutOfMemory,
        TimedOut,
        NoReply,
        Crashed,
        ToolFailed,
    )
}
#: Failures that come of inputs, settings and code: without a change they come again.
_FINAL = (BadConfiguration, ToolFailed, UnusableInput)


def may_work_again(kind: type[HstAssetsError]) -> bool:
    """Whether what failed in this way is to be tried again although nothing has changed.

    The one rule for the runs that a user starts and for the nightly sweeps. A failure of the
    machine always is.
    """
    return issubclass(kind, MachineFailure) or not issubclass(kind, _FINAL)


def machines_kind(kinds: Iterable[type[HstAssetsError]]) -> type[MachineFailure] | None:
    """The failure of the machine that all of some failures are; None if one is not the machine's.

    Of several kinds it is `MachineFailure`; of no failure at all, None.
    """
    different = set(kinds)
    machines = {kind for kind in different if issubclass(kind, MachineFailure)}
    if not machines or machines != different:
        return None
    return machines.pop() if len(machines) == 1 else MachineFailure


def shared_kind(kinds: Iterable[type[HstAssetsError]]) -> type[HstAssetsError]:
    """The class in which some failures are told as one.

    The one they are of; `MachineFailure` if all are the machine's; else `ToolFailed`.
    """
    different = set(kinds)
    if len(different) == 1:
        return different.pop()
    return machines_kind(different) or ToolFailed


def failure_named(name: str) -> type[HstAssetsError]:
    """The failure class called `name`; `ToolFailed` where the vocabulary has none such."""
    return _BY_NAME.get(name, ToolFailed)

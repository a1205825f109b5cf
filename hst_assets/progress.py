"""The progress of the measurement of stars by any photometer, and how often it is logged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "now_and_then"]

_SECONDS_A_LINE = 60.0


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    step : str
        What is done.
    fraction : float
        Part of its time that is over, 0 to 1, as far as can be told.
    tool : str
        Who does it.
    """

    step: str
    fraction: float
    tool: str

    def __str__(self) -> str:
        return f"{self.tool}: {self.step} ({self.fraction:.0%})"


def now_and_then(
    say: Callable[[str], None], *, seconds: float = _SECONDS_A_LINE
) -> Callable[[Progress], None]:
    """A listener that says a line when the step changes, otherwise every so many seconds at most.

    Parameters
    ----------
    say : callable
        Takes the line.
    seconds : float, optional
        Shortest time between two lines of one step.
    """
    last: list[tuple[str, float]] = [("", 0.0)]

    def listen(progress: Progress) -> None:
        step, said_at = last[0]
        now = time.monotonic()
        if progress.step != step or now - said_at >= seconds:
            last[0] = progress.step, now
            say(str(progress))

    return listen

"""What was tried to align an exposure, in the log of the exposure beside what the tool printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["log_tries", "tries_in_words"]

#: What a try was asked for: key of its record, and how it is printed.
_ASKED = {
    "method": "{}",
    "fit_geometry": "fit {}",
    "threshold_sigma": "threshold {} sigma",
    "tolerance_pix": "tolerance {} pix",
    "search_radius_pix": "search {} pix",
    "n_sources": "{} sources",
    "n_reference": "{} of the reference",
    "n_matches": "{} matches",
}


def log_tries(
    log: Path, tries: Sequence[Mapping[str, Any]], *, status: str, reason: str = ""
) -> None:
    """Add the tries of an exposure and its verdict to a log, which fails no alignment.

    Parameters
    ----------
    log : `~pathlib.Path`
        The exposure's log in logs/.
    tries : sequence of mapping
        As `hst_assets.astrometry.methods.attempts.align_copy` answers.
    status : str
        The verdict.
    reason : str, optional
        Why.
    """
    lines = ["--- tried", *tries_in_words(tries), f"verdict: {_verdict(status, reason)}", ""]
    with suppress(OSError), log.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines))


def tries_in_words(tries: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each try: its parameters, and its result."""
    if not tries:
        return ["nothing: no fit was tried"]
    return [f"{number}: {_in_words(each)}" for number, each in enumerate(tries, start=1)]


def _in_words(attempt: Mapping[str, Any]) -> str:
    asked = [words.format(attempt[key]) for key, words in _ASKED.items() if key in attempt]
    return f"{', '.join(asked)}: {_verdict(attempt['status'], attempt['reason'])}"


def _verdict(status: str, reason: str) -> str:
    return f"{status} ({reason})" if reason else status

"""Options of hst123 without a counterpart here: an error with the reason, never ignored."""

from __future__ import annotations

from collections.abc import Iterable

from hst_assets.failures import BadConfiguration

__all__ = ["ABSENT_OPTIONS", "refuse_absent_options"]

ABSENT_OPTIONS: dict[str, str] = {
    "--hierarchical-test": "there is no test mode; use --hierarchical",
    "--version": "the version is printed by 'hst-assets --version'",
    "--no-nan": "the weight maps of the products show where there are no data",
}


def refuse_absent_options(words: Iterable[str]) -> None:
    """Look through the words of a command line.

    Raises
    ------
    BadConfiguration
        If an option among them exists in hst123 but not here.
    """
    given = [word.partition("=")[0] for word in words]
    absent = [option for option in given if option in ABSENT_OPTIONS]
    if absent:
        reasons = dict.fromkeys(ABSENT_OPTIONS[option] for option in absent)
        raise BadConfiguration(
            "; ".join(reasons),
            where=" ".join(dict.fromkeys(absent)),
            next_step="Remove the option; nothing was done",
        )

"""Tables of a page, as texts."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PageTable"]


@dataclass(frozen=True)
class PageTable:
    """A table of texts.

    Attributes
    ----------
    columns : tuple of str
        Headings.
    rows : tuple of tuple of str
        One text a column.
    verdict : str
        The column whose texts begin with PASS, OK, FAIL, good or the like; empty if none does.
    long : frozenset of str
        Columns of whole sentences.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    verdict: str = ""
    long: frozenset[str] = frozenset()

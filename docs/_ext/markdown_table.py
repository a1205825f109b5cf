"""Tables and texts in Markdown, for the directives that print registries."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["prose", "table"]


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table."""
    names = list(header)
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in rows:
        cells = [str(cell).replace("|", "\\|").replace("\n", " ") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def prose(text: str) -> str:
    """Docstring text as Markdown: quotes are straightened, cross references become code."""
    one_line = " ".join(text.split())
    return re.sub(r"`+~?([^`]+)`+", r"`\1`", one_line)

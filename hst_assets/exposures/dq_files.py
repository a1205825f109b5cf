"""Which file holds the data quality of an exposure: WFPC2 has it in one of its own, the c1m."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["companion_of", "quality_file"]

_SCIENCE = re.compile(r"_c0m(\.fits)$", re.IGNORECASE)


def companion_of(path: Path) -> Path | None:
    """The c1m that belongs to a c0m, beside it; None for other exposures."""
    name, found = _SCIENCE.subn(r"_c1m\1", path.name)
    return path.with_name(name) if found else None


def quality_file(path: Path) -> Path:
    """The file with the DQ planes of an exposure: its c1m, or the exposure itself."""
    return companion_of(path) or path

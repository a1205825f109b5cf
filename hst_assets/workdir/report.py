"""Where the report of a target lies."""

from __future__ import annotations

from pathlib import Path

from hst_assets.workdir.folders import Folders

__all__ = ["ReportPaths"]


class ReportPaths(Folders):
    """Path of the report."""

    @property
    def report(self) -> Path:
        """Everything about the target on one page (HTML)."""
        return self.base / "report.html"

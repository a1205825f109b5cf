"""Where it is noted what of a target is published."""

from __future__ import annotations

from pathlib import Path

from hst_assets.workdir.folders import Folders

__all__ = ["PublicationPaths"]


class PublicationPaths(Folders):
    """Path of the receipt of what is published."""

    @property
    def published(self) -> Path:
        """The manifest as it was published last, and where (JSON)."""
        return self.base / "published.json"

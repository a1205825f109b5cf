"""Where exposures are, and their tables."""

from __future__ import annotations

from pathlib import Path

from hst_assets.identifiers import validate_visit
from hst_assets.workdir.folders import Folders

__all__ = ["ExposurePaths"]


class ExposurePaths(Folders):
    """Paths of raw/ with its ledger, of the archive's listing and of the exposure tables."""

    @property
    def overrides(self) -> Path:
        """Human decisions on exposures, never written by the machine."""
        return self.base / "overrides.ecsv"

    @property
    def user_files(self) -> tuple[Path, Path, Path]:
        """What people write: settings of the root and of the target, decisions on exposures."""
        return self.root_settings_file, self.settings_file, self.overrides

    @property
    def checksums(self) -> Path:
        """The ledger of raw/: name, size and sha256 of each verified file."""
        return self.raw / ".checksums"

    @property
    def origins(self) -> Path:
        """Where fetched files of raw/ came from, and what the archive refused to give (JSON)."""
        return self.raw / ".origins.json"

    @property
    def archive_listing(self) -> Path:
        """What the archive holds for this target (ECSV)."""
        return self.workspace / "archive_exposures.ecsv"

    @property
    def archive_left_out(self) -> Path:
        """What the archive holds and the target does not want, with reasons (ECSV)."""
        return self.workspace / "archive_left_out.ecsv"

    def raw_manifest(self, visit: str) -> Path:
        """The verified files of a visit."""
        return self.workspace / f"{validate_visit(visit)}_raw.ecsv"

    def visit_exposures(self, visit: str) -> Path:
        """The exposure table of a visit."""
        return self.workspace / f"{validate_visit(visit)}_exposures.ecsv"

    @property
    def target_exposures(self) -> Path:
        """The exposure table of the target, with its epochs."""
        return self.workspace / "exposures.ecsv"

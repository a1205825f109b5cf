"""The folders of a work directory, and the files beside each product."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from hst_assets.failures import BadConfiguration
from hst_assets.identifiers import validate_target

__all__ = [
    "ROOT_VARIABLE",
    "Folders",
    "default_root",
    "prefix_of",
    "set_position_step",
    "targets_in",
]

#: How the names of logs begin that hold what a command said.
CONSOLE_LOG_PREFIX = "console_"
ROOT_VARIABLE = "HST_ASSETS_ROOT"


def default_root() -> Path:
    """The folder of work directories: ``$HST_ASSETS_ROOT``, or ``data/`` here."""
    return Path(os.environ.get(ROOT_VARIABLE) or "data").absolute()


def targets_in(root: Path) -> list[str]:
    """The targets that have a work directory under `root`, sorted."""
    if not root.is_dir():
        return []
    return sorted(path.parent.name for path in root.glob("*/target.toml"))


def prefix_of(object_name: str | None) -> str:
    """What a product's name begins with where the user names the object."""
    return f"{object_name}." if object_name else ""


@dataclass(frozen=True)
class Folders:
    """The folders of one target's work directory.

    Parameters
    ----------
    root : `~pathlib.Path`
        The folder of work directories.
    target : str
        The target's name, which is its folder's name.
    looked_at : bool
        Nothing is made in it: what would be is told instead (`hst_assets.provenance.WouldBeMade`).
    """

    root: Path
    target: str
    looked_at: bool = False

    def __post_init__(self) -> None:
        validate_target(self.target)
        object.__setattr__(self, "root", Path(self.root).absolute())

    # The two that most paths begin with are kept: a look at a thousand targets asks 50,000 times.

    @cached_property
    def base(self) -> Path:
        """The work directory itself."""
        return self.root / self.target

    @property
    def raw(self) -> Path:
        """Verified exposures; nothing in it is ever written again."""
        return self.base / "raw"

    @cached_property
    def workspace(self) -> Path:
        """Tables, aligned exposures and visit-level drizzles."""
        return self.base / "workspace"

    @property
    def drizzle(self) -> Path:
        """Consolidated stacks."""
        return self.base / "drizzle"

    @property
    def logs(self) -> Path:
        """Session logs, and what the tools printed."""
        return self.base / "logs"

    @property
    def staging(self) -> Path:
        """Downloads and ingests under way."""
        return self.base / ".mast_download_staging"

    @property
    def runfiles(self) -> Path:
        """Scratch folders of tool calls, and locks."""
        return self.base / ".hst123_runfiles"

    @property
    def last_comparison(self) -> Path:
        """What the last comparison of all products with today's recipes said (JSON)."""
        return self.runfiles / "last_comparison.json"

    @property
    def dolphot(self) -> Path:
        """DOLPHOT runs."""
        return self.base / "dolphot"

    @property
    def hap(self) -> Path:
        """Hubble Advanced Products."""
        return self.base / "hap"

    @property
    def reference_files(self) -> Path:
        """Distortion files that were fetched, shared by all targets of the root."""
        return self.root / ".reference_files"

    @property
    def catalogs(self) -> Path:
        """Answers of catalogue services, shared by the targets of a root."""
        return self.root / ".catalogs"

    def create(self) -> Self:
        """Make the folders of the layout that this project writes to; return self."""
        for folder in (
            self.raw,
            self.workspace,
            self.drizzle,
            self.logs,
            self.staging,
            self.runfiles,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        return self

    def existing(self) -> Self:
        """Return self.

        Raises
        ------
        BadConfiguration
            If this target has no work directory yet.
        """
        if not self.settings_file.is_file():
            if any(self.raw.glob("*.fits")):
                raise BadConfiguration(
                    f"{self.target!r} has exposures in raw/ and no position: it is no target yet",
                    where=self.base,
                    next_step=set_position_step(self),
                )
            raise BadConfiguration(
                f"no work directory for target {self.target!r}",
                where=self.base,
                next_step=f"For exposures of your own run 'hst-assets ingest FOLDER --target "
                f"{self.target}', for those of the archive 'hst-assets target add {self.target} "
                f"RA DEC'; if it is elsewhere, set {ROOT_VARIABLE} to the folder that holds it",
            )
        return self

    @property
    def root_settings_file(self) -> Path:
        """Settings that every target under this root shares."""
        return self.root / "settings.toml"

    @property
    def settings_file(self) -> Path:
        """Coordinates and settings of this target."""
        return self.base / "target.toml"

    @property
    def former_digests(self) -> Path:
        """The digests that products from before format 2 of the records keep (JSON)."""
        return self.workspace / ".former_digests.json"

    @staticmethod
    def record(product: Path) -> Path:
        """Where the provenance record of `product` lies: beside it."""
        return product.with_name(f"{product.name}.provenance.json")

    @staticmethod
    def preview(product: Path) -> Path:
        """Where the preview picture of `product` lies: beside it."""
        return product.with_name(f"{product.name}.png")

    def log(self, stage: str, label: str) -> Path:
        """The file for what the tools of `stage` print while working on `label`."""
        return self.logs / f"{stage}_{label.replace('/', '_')}.log"

    def relative(self, path: Path) -> str:
        """`path` as seen from the base, for records and tables; absolute where outside."""
        path = Path(path)
        return str(path.relative_to(self.base)) if path.is_relative_to(self.base) else str(path)

    def absolute(self, recorded: str) -> Path:
        """The inverse of `relative`."""
        return self.base / recorded


def set_position_step(workdir: Folders) -> str:
    """What makes a target of exposures that were ingested and are of several fields."""
    return (
        f"Set it with 'hst-assets ingest {workdir.raw} --target {workdir.target} --ra RA --dec DEC'"
    )

"""What the stages of a visit share: where files lie, how pieces run, how products are published.

Each stage works in a scratch folder that dies with its process, with links to what it reads, and
gives its files their final names at the end; its record is written last.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hst_assets.digests import digest_of
from hst_assets.exposures.raw import check_raw
from hst_assets.failures import HstAssetsError, MissingProduct, ToolFailed
from hst_assets.hap.objects import STATE_SUFFIX
from hst_assets.hap.piece_runs import HapEnded, Left, Piece, VisitFolder, joined_logs, outcomes_of
from hst_assets.hap.pieces import state_file
from hst_assets.hap.wfpc2_exposures import flt_name, quality_name, science_name
from hst_assets.progress import Progress
from hst_assets.provenance import Recipe, Record, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, move_into_place, write_atomically

__all__ = ["TOOLS", "Listener", "PlannedFile", "VisitWork", "linked"]

#: Distributions whose versions decide the products.
TOOLS = (
    "astropy",
    "drizzle",
    "drizzlepac",
    "numpy",
    "photutils",
    "scipy",
    "spherical_geometry",
    "stwcs",
    "tweakwcs",
)

Listener = Callable[[Progress], None]


def linked(source: Path, destination: Path) -> Path:
    """Hard-link a file; copy it where links are not possible.

    Parameters
    ----------
    source, destination : Path
        The file, and its other name.
    """
    with write_atomically(destination) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
    return destination


@dataclass(frozen=True)
class PlannedFile:
    """A file of a visit that is planned, with or without a record beside it.

    Attributes
    ----------
    path : Path
        The file.
    recipe : Recipe
        What it is made from.
    """

    path: Path
    recipe: Recipe

    def record(self) -> Record | None:
        """Its record; None where it was not made, or could not be."""
        return read_record(self.path)


@dataclass(frozen=True)
class VisitWork:
    """A visit whose advanced products are made.

    Parameters
    ----------
    workdir : WorkDir
        Of the target.
    visit : str
        The visit.
    settings : Settings
        Sections hap and machine.
    listener : callable, optional
        Told which pieces begin.
    """

    workdir: WorkDir
    visit: str
    settings: Settings
    listener: Listener | None = None

    @property
    def log_level(self) -> int:
        """What HAP logs, as `logging` numbers it."""
        return logging.getLevelNamesMapping()[self.settings.hap.log_level.upper()]

    @property
    def options(self) -> dict[str, Any]:
        """What the pieces of the catalogues take."""
        return {
            "log_level": self.log_level,
            "photometry": self.settings.hap.photometry,
            "diagnostic_mode": self.settings.hap.diagnostic_mode,
        }

    @property
    def is_wfpc2(self) -> bool:
        """Whether its exposures have to be converted before HAP takes them."""
        return self.visit.startswith("u")

    @property
    def exposure_folder(self) -> Path:
        """Where the exposures lie that HAP takes."""
        return self.workdir.hap_flt_folder(self.visit) if self.is_wfpc2 else self.workdir.raw

    def given(self, name: str) -> Path:
        """The file of raw/ that an exposure of a poller is, or is made of.

        Parameters
        ----------
        name : str
            The exposure's, as HAP takes it.
        """
        return self.workdir.raw / (science_name(name) if self.is_wfpc2 else name)

    def exposure_digests(self) -> dict[str, str]:
        """What tells one state of an exposure from another, by the name of what HAP takes.

        Raises
        ------
        MissingProduct
            If a verified file of raw/ is gone or has changed.
        """
        sums = {file.name: file.sha256 for file in check_raw(self.workdir, self.visit)}
        if not self.is_wfpc2:
            return sums
        return {
            flt_name(name): digest_of([sums[name], sums.get(quality_name(name), "")])
            for name in sums
            if name.endswith("_c0m.fits")
        }

    def place(self, name: str) -> Path:
        """Where a file lies when it is finished.

        Parameters
        ----------
        name : str
            drizzlepac's, or that of what pieces leave for each other.
        """
        if name.endswith(STATE_SUFFIX):
            return self.workdir.hap_pieces(self.visit) / name
        return self.workdir.hap_visit(self.visit) / name

    def state(self, name: str, *numbers: int) -> Path:
        """Where a piece's state lies.

        Parameters
        ----------
        name : str
            As of `hst_assets.hap.pieces.state_file`.
        *numbers : int
            Of the total product, and of the filter in it.
        """
        return self.place(state_file(name, *numbers))

    def aligned(self, name: str) -> Path:
        """Where an exposure lies as the alignment left it.

        Parameters
        ----------
        name : str
            The exposure's.
        """
        return self.workdir.hap_aligned_folder(self.visit) / name

    def log_path(self, label: str) -> Path:
        """The log of a piece.

        Parameters
        ----------
        label : str
            The piece.
        """
        return self.workdir.log("hap", f"{self.visit}_{label}")

    @contextmanager
    def working(self, label: str, reads: Iterable[Path]) -> Iterator[VisitFolder]:
        """A scratch folder in which pieces find what they read.

        Parameters
        ----------
        label : str
            Of the stage.
        reads : iterable of Path
            Files that are linked there.

        Yields
        ------
        VisitFolder
            The folder.

        Raises
        ------
        MissingProduct
            If a file is not there.
        """
        with self.workdir.scratch(f"hap_{label}_{self.visit}") as root:
            folder = VisitFolder(root, self.log_path)
            folder.files.mkdir()
            for path in reads:
                if not path.is_file():
                    raise MissingProduct(
                        "a file of the visit is missing",
                        where=path,
                        next_step="Make the advanced products of the visit again",
                    )
                (folder.files / path.name).symlink_to(path)
            yield folder

    def run(
        self, pieces: Sequence[Piece], folder: VisitFolder, *, done: float
    ) -> list[Left | HstAssetsError]:
        """Run pieces that do not need each other.

        Parameters
        ----------
        pieces : sequence of Piece
            The pieces.
        folder : VisitFolder
            Where they read and leave files.
        done : float
            Fraction of the stage that is done so far, 0 to 1.

        Returns
        -------
        list
            What each left, or why it failed.
        """
        if not pieces:
            return []
        if self.listener:
            self.listener(Progress(", ".join(piece.label for piece in pieces), done, "HAP"))
        for piece in pieces:
            self.log_path(piece.label).unlink(missing_ok=True)
        outcomes = outcomes_of(pieces, folder, self.settings.machine)
        return [_named(outcome) for outcome in outcomes]

    def published(
        self,
        folder: VisitFolder,
        names: Iterable[str],
        place: Callable[[str], Path] | None = None,
    ) -> tuple[Path, ...]:
        """Give finished files their final names.

        Parameters
        ----------
        folder : VisitFolder
            Where they are.
        names : iterable of str
            Their names there.
        place : callable, optional
            Gives the final path by the name; by default `VisitWork.place`.
        """
        to = place or self.place
        return tuple(move_into_place(folder.files / name, to(name)) for name in names)

    def joined_logs(self, labels: Iterable[str]) -> str:
        """What pieces said, those of earlier runs as far as their logs are there.

        Parameters
        ----------
        labels : iterable of str
            The pieces.
        """
        paths = [self.log_path(label) for label in labels]
        return joined_logs(path for path in paths if path.is_file())


def _named(outcome: Left | HstAssetsError | HapEnded) -> Left | HstAssetsError:
    if isinstance(outcome, HapEnded):
        return ToolFailed(
            f"drizzlepac ended with {outcome.code}",
            where=outcome.log_path,
            next_step="See its log",
        )
    return outcome

"""The work directory of one target: every path of the layout, in one class.

The folders and names are those of the hst123 user guide, so that an existing hst123 work
directory can be adopted. Nobody else in the project joins path strings.

::

    <root>/settings.toml            settings for every target (optional)
    <root>/.reference_files/        distortion files fetched from CRDS
    <root>/.catalogs/               answers of catalogue services
    <root>/<target>/                one work directory
        target.toml                 coordinates and settings of this target
        overrides.ecsv              human decisions on exposures (optional)
        raw/                        verified exposures, read-only
        workspace/                  exposure tables, aligned exposures, visit-level drizzles
        drizzle/                    consolidated stacks
        logs/                       session logs and the tools' own output
        .mast_download_staging/     downloads under way
        .hst123_runfiles/           scratch folders of tool calls, locks
        <obj.><inst>.<filt>.ref_<epoch>.drc.fits    the reference image
        dolphot/  hap/              later stages
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from hst_assets.failures import BadConfiguration, MissingProduct, TransientFailure
from hst_assets.identifiers import validate_target, validate_visit

__all__ = [
    "ROOT_VARIABLE",
    "WorkDir",
    "default_root",
    "publish",
    "set_position_step",
    "targets_in",
    "write_atomically",
]

logger = logging.getLogger(__name__)

ROOT_VARIABLE = "HST_ASSETS_ROOT"
#: How long one process waits for another, seconds: what is done under most locks takes moments.
LOCK_WAIT_S = 600.0
_FIRST_PAUSE_S = 0.01
_LAST_PAUSE_S = 1.0


def default_root() -> Path:
    """The folder of work directories: ``$HST_ASSETS_ROOT``, or ``data/`` here."""
    return Path(os.environ.get(ROOT_VARIABLE) or "data").absolute()


def targets_in(root: Path) -> list[str]:
    """The targets that have a work directory under `root`, sorted."""
    if not root.is_dir():
        return []
    return sorted(path.parent.name for path in root.glob("*/target.toml"))


def set_position_step(workdir: WorkDir) -> str:
    """What makes a target of exposures that were ingested and are of several fields."""
    return (
        f"Set it with 'hst-assets ingest {workdir.raw} --target {workdir.target} --ra RA --dec DEC'"
    )


@dataclass(frozen=True)
class WorkDir:
    """Paths of one target's work directory.

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

    # ---------------------------------------------------------------- folders

    @property
    def base(self) -> Path:
        """The work directory itself."""
        return self.root / self.target

    @property
    def raw(self) -> Path:
        """Verified exposures; nothing in it is ever written again."""
        return self.base / "raw"

    @property
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

    def create(self) -> WorkDir:
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

    def existing(self) -> WorkDir:
        """Return self.

        Raises
        ------
        BadConfiguration
            If this target has no work directory yet.
        """
        if not self.settings_file.is_file():
            if self.checksums.is_file():
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

    # ------------------------------------------------------------------ files

    @property
    def root_settings_file(self) -> Path:
        """Settings that every target under this root shares."""
        return self.root / "settings.toml"

    @property
    def settings_file(self) -> Path:
        """Coordinates and settings of this target."""
        return self.base / "target.toml"

    @property
    def overrides(self) -> Path:
        """Human decisions on exposures, never written by the machine."""
        return self.base / "overrides.ecsv"

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

    @property
    def former_digests(self) -> Path:
        """The digests that products from before format 2 of the records keep (JSON)."""
        return self.workspace / ".former_digests.json"

    def raw_manifest(self, visit: str) -> Path:
        """The verified files of a visit."""
        return self.workspace / f"{validate_visit(visit)}_raw.ecsv"

    def visit_exposures(self, visit: str) -> Path:
        """The exposure table of a visit."""
        return self.workspace / f"{validate_visit(visit)}_exposures.ecsv"

    @property
    def target_exposures(self) -> Path:
        """The exposure table of the whole target, with its epochs."""
        return self.workspace / "exposures.ecsv"

    def aligned(self, name: str) -> Path:
        """The working copy of exposure file `name` with its WCS on the reference frame."""
        return self.workspace / Path(name).name

    def visit_alignment(self, visit: str) -> Path:
        """The alignment table of a visit: status, numbers and reason of each exposure."""
        return self.workspace / f"{validate_visit(visit)}_alignment.ecsv"

    @property
    def target_alignment(self) -> Path:
        """The alignment of all exposures with the star matches behind it (HDF5)."""
        return self.workspace / "alignment.h5"

    def exposure_matches(self, rootname: str) -> Path:
        """The matched stars of one exposure with their residuals."""
        return self.workspace / f"{rootname}_matches.ecsv"

    @property
    def reference_catalog(self) -> Path:
        """The stars of the reference image, brightest first (ECSV)."""
        return self.workspace / "reference_catalog.ecsv"

    @property
    def absolute_catalog(self) -> Path:
        """Stars about the target with positions and motions of their own (ECSV)."""
        return self.workspace / "absolute_catalog.ecsv"

    def star_list(self, name: str) -> Path:
        """The list of matched stars called `name`, beside the aligned exposure."""
        return self.workspace / Path(name).name

    def star_lists(self, rootname: str) -> list[Path]:
        """The lists of matched stars of an exposure that are there."""
        return sorted(self.workspace.glob(f"{rootname}_sci*.coo"))

    @property
    def catalogs(self) -> Path:
        """Answers of catalogue services, shared by the targets of a root."""
        return self.root / ".catalogs"

    def visit_products(self, visit: str) -> Path:
        """Index of a visit's drizzled epochs (ECSV)."""
        return self.workspace / f"{validate_visit(visit)}_drizzles.ecsv"

    @property
    def stack_products(self) -> Path:
        """Index of the target's consolidated stacks (ECSV)."""
        return self.drizzle / "stacks.ecsv"

    @property
    def difference_products(self) -> Path:
        """Index of the differences between epochs (ECSV)."""
        return self.drizzle / "differences.ecsv"

    @property
    def colour_images(self) -> Path:
        """Index of the target's colour pictures (ECSV)."""
        return self.drizzle / "colours.ecsv"

    def visit_footprints(self, visit: str) -> Path:
        """Outlines of a visit's exposures, for DS9."""
        return self.workspace / f"{validate_visit(visit)}_footprints.reg"

    @property
    def target_footprints(self) -> Path:
        """Outlines of all exposures in the target's stacks, for DS9."""
        return self.drizzle / "footprints.reg"

    @property
    def reference_choice(self) -> Path:
        """Which image is the frame of everything, and what it was made of (JSON)."""
        return self.workspace / "reference.json"

    @property
    def reference_product(self) -> Path:
        """The image that the recorded choice names.

        The choice itself stands for an image of the user's own, beside which nothing is written,
        and while nothing has been chosen.

        Raises
        ------
        MissingProduct
            If the choice cannot be read.
        """
        try:
            choice = json.loads(self.reference_choice.read_text())
            user = choice.get("user")
            return self.reference_choice if user else self.absolute(choice["image"])
        except FileNotFoundError:
            return self.reference_choice
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MissingProduct(
                "the choice of the reference cannot be read",
                where=self.reference_choice,
                next_step="Remove this file, then materialize reference_image: it is written again",
            ) from error

    def visit_drizzle(self, visit: str, band: str) -> Path:
        """The drizzled epoch of one visit in `band` (``<inst>_<det>.<filter>``)."""
        return self.workspace / f"{validate_visit(visit)}.{band}.drc.fits"

    def reference_image(self, band: str, epoch: int, object_name: str | None = None) -> Path:
        """The reference image, at the base as in the guide: ``*.ref_<epoch>.drc.fits``."""
        return self.base / f"{_prefix(object_name)}{band}.ref_{epoch:04d}.drc.fits"

    def epoch_stack(
        self, band: str, yymmdd: str, epoch: int, object_name: str | None = None
    ) -> Path:
        """The consolidated drizzle of one epoch, by the guide's name."""
        return self.drizzle / f"{_prefix(object_name)}{band}.ut{yymmdd}_{epoch:04d}.drc.fits"

    def filter_stack(self, band: str, object_name: str | None = None) -> Path:
        """The drizzle of all epochs in `band`."""
        return self.drizzle / f"{_prefix(object_name)}{band}.all.drc.fits"

    def difference(
        self, band: str, epoch: int, template: int, object_name: str | None = None
    ) -> Path:
        """One epoch minus another in `band`."""
        name = f"{_prefix(object_name)}{band}.diff_{epoch:04d}-{template:04d}.fits"
        return self.drizzle / name

    def colour_image(self, detector_key: str, object_name: str | None = None) -> Path:
        """The colour picture of a detector's filters."""
        return self.drizzle / f"{_prefix(object_name)}{detector_key}.colour.png"

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

    # ------------------------------------------------- scratch space and locks

    @contextmanager
    def scratch(self, label: str) -> Iterator[Path]:
        """A fresh folder on the products' own file system, removed at the end.

        Folders that a killed process left behind are swept first: each holds a lock that dies
        with its process.
        """
        with ExitStack() as held:
            # Under a lock: a folder whose own lock is not yet held looks like a dead one.
            with self.lock("scratch"):
                _sweep(self.runfiles)
                prefix = f"{label.replace('/', '_')}."
                folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.runfiles))
                alive = held.enter_context((self.runfiles / f"{folder.name}.alive").open("w"))
                fcntl.flock(alive, fcntl.LOCK_EX)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                Path(alive.name).unlink(missing_ok=True)

    @contextmanager
    def lock(
        self,
        name: str,
        *,
        wait_s: float = LOCK_WAIT_S,
        waiting: Callable[[str], None] = logger.info,
    ) -> Iterator[None]:
        """Hold the named lock of this work directory; it is freed when the process dies.

        Parameters
        ----------
        name : str
            Of the lock.
        wait_s : float, optional
            Seconds to wait for a holder.
        waiting : callable, optional
            Told once, where there is something to wait for, who holds the lock.

        Raises
        ------
        TransientFailure
            If it is not free in time; it says who holds it.
        """
        self.runfiles.mkdir(parents=True, exist_ok=True)
        path = self.runfiles / f"{name.replace('/', '_')}.lock"
        with path.open("a+") as handle:
            if not _lock_now(handle):
                waiting(f"waiting for {name}, which {_holder(path)} works on")
                _lock_within(handle, path, wait_s)
            _name_holder(handle)
            yield

    def is_locked(self, name: str) -> bool:
        """Whether somebody, in this process or another, holds the named lock just now."""
        path = self.runfiles / f"{name.replace('/', '_')}.lock"
        if not path.exists():
            return False
        with path.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold every lock of this work directory, so that nothing is made in it meanwhile.

        Raises
        ------
        TransientFailure
            If a process works in it.
        """
        self.runfiles.mkdir(parents=True, exist_ok=True)
        (self.runfiles / "scratch.lock").touch()
        with ExitStack() as held:
            for path in sorted([*self.runfiles.glob("*.lock"), *self.runfiles.glob("*.alive")]):
                handle = held.enter_context(path.open("a"))
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise TransientFailure(
                        f"a run is in flight ({path.stem})",
                        where=self.base,
                        next_step="Wait until it is done, or stop it",
                    ) from None
            yield


def _lock_now(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_within(handle: IO[str], path: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    pause = _FIRST_PAUSE_S
    while not _lock_now(handle):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TransientFailure(
                f"{_holder(path)} has worked on {path.stem} for longer than the {wait_s:.0f} s "
                "that others wait",
                where=path,
                next_step="Wait until it is done, or stop it; machine.lock_wait_s is the limit",
            )
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LAST_PAUSE_S)


def _name_holder(handle: IO[str]) -> None:
    """Write into a lock that is held whose it is, for those that wait."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    handle.truncate(0)
    handle.write(f"process {os.getpid()} on {socket.gethostname()} (since {moment})")
    handle.flush()


def _holder(path: Path) -> str:
    try:
        return path.read_text() or "another process"
    except FileNotFoundError:
        return "another process"


def _prefix(object_name: str | None) -> str:
    return f"{object_name}." if object_name else ""


def _sweep(runfiles: Path) -> None:
    """Remove scratch folders whose process is gone."""
    for alive in runfiles.glob("*.alive"):
        try:
            with alive.open() as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(alive.with_suffix(""), ignore_errors=True)
                alive.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue  # in use, or another process swept it first


def publish(source: Path, destination: Path) -> Path:
    """Move a finished file to its final name in one step, durably; return `destination`.

    Both must be on one file system. A reader sees the old file or the new one, never a part.

    Raises
    ------
    MissingProduct
        If `source` is not there.
    """
    if not source.is_file():
        raise MissingProduct("the tool did not write this file", where=source)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as handle:
        os.fsync(handle.fileno())
    source.replace(destination)
    return destination


@contextmanager
def write_atomically(destination: Path) -> Iterator[Path]:
    """Yield a hidden path to write to; on success it takes `destination`'s name.

    The hidden name keeps the suffix, from which astropy guesses formats.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f".part.{os.getpid()}.{destination.name}")
    try:
        yield part
        publish(part, destination)
    finally:
        part.unlink(missing_ok=True)

"""Digests of inputs, settings and code; the record beside each product; skip or run.

A product is skipped only if the recorded digest of *all* its inputs, settings and code version
equals today's and its files are still the ones that were recorded. The record is written last,
after the products have their final names, so that a killed run leaves no record and is done
again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from hst_assets.failures import MissingProduct
from hst_assets.workdir import WorkDir, write_atomically

__all__ = [
    "FileStamp",
    "Made",
    "Recipe",
    "Record",
    "Result",
    "digest_of",
    "make",
    "read_record",
    "sha256_of_file",
    "standing_record",
]


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """The SHA-256 of a JSON value in canonical form, hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def tool_version(distribution: str) -> str:
    """The installed version of `distribution`, or ``"absent"``."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


@dataclass(frozen=True)
class Recipe:
    """All that decides what a product will be.

    Parameters
    ----------
    stage : str
        The step, such as ``"aligned_exposures"``.
    code_version : str
        Raised by hand when the step's own code changes its results.
    inputs : mapping
        Digest of each input by name. An input made by this project is named by its own recipe's
        digest, a foreign file by its SHA-256.
    settings : mapping
        The settings that matter to this step, as JSON; no others.
    tools : iterable of str
        Distributions whose version matters.
    """

    stage: str
    code_version: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The recipe as a JSON object, tool versions resolved."""
        return {
            "stage": self.stage,
            "code_version": self.code_version,
            "inputs": dict(self.inputs),
            "settings": dict(self.settings),
            "tools": {name: tool_version(name) for name in sorted(self.tools)},
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe."""
        return digest_of(self.as_json())


class FileStamp(BaseModel):
    """What a file was when it was recorded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """Stamp a file as it is now."""
        status = path.stat()
        return cls(sha256=sha256_of_file(path), size=status.st_size, mtime_ns=status.st_mtime_ns)

    def matches(self, path: Path) -> bool:
        """Whether `path` still holds the recorded bytes.

        Size and modification time are believed when both agree; otherwise (a copied or restored
        work directory) the bytes are read.
        """
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        if status.st_size != self.size:
            return False
        return status.st_mtime_ns == self.mtime_ns or sha256_of_file(path) == self.sha256


class Record(BaseModel):
    """The provenance record that lies beside a product."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str
    recipe: dict[str, Any]
    outputs: dict[str, FileStamp]
    facts: dict[str, Any]
    created: str
    hst_assets: str

    def whole(self, workdir: WorkDir) -> bool:
        """Whether every recorded file is still there, unchanged."""
        return all(stamp.matches(workdir.absolute(name)) for name, stamp in self.outputs.items())

    def paths(self, workdir: WorkDir) -> list[Path]:
        """The recorded files."""
        return [workdir.absolute(name) for name in self.outputs]


@dataclass(frozen=True)
class Result:
    """What a step made: files under their final names, and facts worth showing.

    `facts` must be JSON without NaN; a skipped step shows the facts of the run that made it.
    """

    outputs: tuple[Path, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """A product that stands: its record, and whether it was made just now."""

    record: Record
    ran: bool

    @property
    def digest(self) -> str:
        """The recipe's digest: the data version."""
        return self.record.digest

    @property
    def facts(self) -> dict[str, Any]:
        """What the step reported when it ran."""
        return self.record.facts


def read_record(product: Path) -> Record | None:
    """The record beside `product`; None where there is none or it cannot be read."""
    path = WorkDir.record(product)
    try:
        return Record.model_validate_json(path.read_text())
    except (FileNotFoundError, ValueError):
        return None  # ValueError: what pydantic and UnicodeDecodeError derive from


def standing_record(recipe: Recipe, product: Path, workdir: WorkDir) -> Record | None:
    """The record of `product` if it says that this recipe made it and its files are whole."""
    record = read_record(product)
    stands = record and record.digest == recipe.digest and record.whole(workdir)
    return record if stands else None


def make(
    recipe: Recipe,
    product: Path,
    workdir: WorkDir,
    run: Callable[[], Result],
    *,
    redo: bool = False,
) -> Made:
    """Return `product` as it stands if its record says it is what `recipe` makes, else run.

    Parameters
    ----------
    recipe : Recipe
        What the product is to be made from.
    product : `~pathlib.Path`
        The file beside which the record lies.
    workdir : WorkDir
        Where both lie.
    run : callable
        Makes the product; called only when needed.
    redo : bool, optional
        Run whatever the record says.

    Raises
    ------
    MissingProduct
        If `run` names an output that is not there.
    """
    standing = None if redo else standing_record(recipe, product, workdir)
    if standing:
        return Made(standing, ran=False)
    WorkDir.record(product).unlink(missing_ok=True)
    result = run()
    return Made(_commit(recipe, product, workdir, result), ran=True)


def _commit(recipe: Recipe, product: Path, workdir: WorkDir, result: Result) -> Record:
    record = Record(
        digest=recipe.digest,
        recipe=recipe.as_json(),
        outputs=_stamps(result.outputs, workdir),
        facts=dict(result.facts),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        hst_assets=tool_version("hst_assets"),
    )
    with write_atomically(WorkDir.record(product)) as part:
        part.write_text(json.dumps(record.model_dump(), indent=1, allow_nan=False))
    return record


def _stamps(outputs: Iterable[Path], workdir: WorkDir) -> dict[str, FileStamp]:
    stamps = {}
    for path in outputs:
        if not path.is_file():
            raise MissingProduct("the step reported this file but did not leave it", where=path)
        stamps[workdir.relative(path)] = FileStamp.of(path)
    return stamps

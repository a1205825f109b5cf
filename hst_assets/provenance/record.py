"""The record beside a product: its recipe, its files as they were, what the step reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from hst_assets.digests import sha256_of_file
from hst_assets.provenance.former_records import is_former, translated
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["FORMAT", "FileStamp", "Record", "content_of", "read_record", "write_record"]

#: Format of the records that are written; those of format 1 had no number.
FORMAT = 2


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

    format: int = FORMAT
    digest: str
    recipe: dict[str, Any]
    #: All settings in force, those that the recipe leaves out because they are the defaults too.
    settings: dict[str, Any] = {}
    outputs: dict[str, FileStamp]
    facts: dict[str, Any]
    #: Why the product was made.
    reasons: tuple[str, ...] = ()
    created: str
    hst_assets: str

    @property
    def inputs(self) -> frozenset[str]:
        """The digests of the inputs."""
        return frozenset(self.recipe.get("inputs", {}).values())

    def whole(self, workdir: WorkDir) -> bool:
        """Whether every recorded file is still there, unchanged."""
        return not self.lost(workdir)

    def lost(self, workdir: WorkDir) -> tuple[str, ...]:
        """The recorded files that are gone or changed, in words."""
        return tuple(
            f"file {'changed' if workdir.absolute(name).is_file() else 'gone'}: {name}"
            for name, stamp in self.outputs.items()
            if not stamp.matches(workdir.absolute(name))
        )

    def paths(self, workdir: WorkDir) -> list[Path]:
        """The recorded files."""
        return [workdir.absolute(name) for name in self.outputs]


def read_record(product: Path) -> Record | None:
    """The record beside `product`; None where there is none or it cannot be read.

    A record of the former format is translated; it keeps its digest, unless it cannot be known
    to be of today's code.
    """
    try:
        content = content_of(product)
        if is_former(content):
            content = translated(content, product)
        return Record.model_validate(content)
    except (FileNotFoundError, ValueError):
        return None  # ValueError: what pydantic, json and UnicodeDecodeError derive from


def content_of(product: Path) -> Any:
    """The JSON of the record beside `product`, in whatever format.

    Raises
    ------
    FileNotFoundError
        Where there is none.
    ValueError
        If it is not JSON.
    """
    return json.loads(WorkDir.record(product).read_bytes())


def write_record(record: Record, product: Path) -> None:
    """Write the record beside `product`, completely or not at all."""
    with write_atomically(WorkDir.record(product)) as part:
        part.write_text(json.dumps(record.model_dump(), indent=1, allow_nan=False))

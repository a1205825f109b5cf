"""Batches of small text files, for tests of how batches are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hst_assets.failures import (
    HstAssetsError,
)
from hst_assets.products.batch import (
    Batch,
    Step,
)
from hst_assets.provenance import Recipe, Result
from hst_assets.workdir import WorkDir

STAGE = "text"


@dataclass(frozen=True)
class Text:
    """A file that is to hold `content`; `visit` is what it is made together with."""

    path: Path
    content: str
    visit: str = ""

    @property
    def recipe(self) -> Recipe:
        return Recipe(STAGE, "1", {"content": self.content})


@dataclass
class Writer:
    """Writes texts; notes which ones it was asked for, and fails where it is told to."""

    failing: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, due: Sequence[Text]) -> Iterator[tuple[Text, Step | HstAssetsError]]:
        assert due
        for text in due:
            self.asked.append(text.path.name)
            error = self.failing.get(text.path.name)
            if isinstance(error, HstAssetsError):
                yield text, error
            else:
                yield text, partial(self._write, text, error)

    def _write(self, text: Text, error: Exception | None) -> Result:
        text.path.write_text(text.content)
        WorkDir.preview(text.path).write_text("picture")
        if error is not None:
            raise error
        return Result((text.path, WorkDir.preview(text.path)), {"length": len(text.content)})


def files_of(path: Path) -> tuple[Path, Path]:
    return path, WorkDir.preview(path)


def texts(workdir: WorkDir, **contents: str) -> list[Text]:
    return [Text(workdir.drizzle / name, content) for name, content in contents.items()]


def batch_of(planned: Sequence[Text], writer: Writer, **options: Any) -> Batch[Text]:
    return Batch(STAGE, planned, writer, **options)


def names(workdir: WorkDir) -> set[str]:
    """The products; records and pictures, which have a dot in their names, left out."""
    return {path.name for path in workdir.drizzle.iterdir() if "." not in path.name}

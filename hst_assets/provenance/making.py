"""Skip a step or run it: a product is made only where its record does not fit its recipe.

A product is skipped only if the recorded digest of *all* its inputs, settings, detector figures,
tools and code versions equals today's and its files are still the ones that were recorded. The
record is written last, after the products have their final names, so that a killed run leaves no
record and is done again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hst_assets.failures import MissingProduct
from hst_assets.provenance.recipe import Recipe, tool_version
from hst_assets.provenance.record import FileStamp, Record, read_record, write_record
from hst_assets.reasons import (
    FIRST,
    REDO,
    is_of_input,
    reasons_to_remake,
    shared_reasons,
    shortened,
)
from hst_assets.workdir import WorkDir

__all__ = [
    "Made",
    "Result",
    "WouldBeMade",
    "make",
    "reasons_of_parts",
    "standing_record",
    "why_make",
    "why_without_record",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a step made: files under their final names, and facts worth showing.

    `facts` must be JSON without NaN; a skipped step shows the facts of the run that made it.
    `parts` tells, of a step that makes many products and an index of them, why those were made
    that were made now.
    """

    outputs: tuple[Path, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """An existing product: its record, whether it was made just now, and why."""

    record: Record
    ran: bool
    reasons: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The recipe's digest: the data version."""
        return self.record.digest

    @property
    def facts(self) -> dict[str, Any]:
        """What the step reported when it ran."""
        return self.record.facts

    @property
    def why(self) -> str:
        """Why it was made, as one text; empty if it was not."""
        return shortened(self.reasons) if self.ran else ""


class WouldBeMade(Exception):
    """The answer of a work directory that is only looked at: a product would be made, and why.

    Attributes
    ----------
    stage : str
        Of the product.
    reasons : tuple of str
        Why it would be made.
    is_new : bool
        Whether it would be another version than the one that is there.
    digest : str
        Of its recipe.
    replaced : frozenset of str
        Digests in the record that is there, its own and those of its inputs, that the new one
        would not have: what names one of them would be made again as well.
    """

    def __init__(
        self,
        recipe: Recipe,
        reasons: Sequence[str],
        record: Record | None,
        *,
        retried: bool = False,
    ) -> None:
        self.stage = recipe.stage
        self.reasons = tuple(reasons)
        self.digest = recipe.digest
        self.is_new = retried or record is None or record.digest != recipe.digest
        named = {record.digest, *record.inputs} if record else set()
        self.replaced = frozenset(named - {recipe.digest, *recipe.inputs.values()})
        super().__init__(f"{self.stage} would be made: {shortened(self.reasons)}")


def why_make(
    recipe: Recipe, product: Path, workdir: WorkDir, *, redo: bool = False
) -> tuple[str, ...]:
    """Why `product` is not what `recipe` makes; empty if it is, and its files are as recorded.

    Parameters
    ----------
    recipe : Recipe
        What the product is to be made from.
    product : `~pathlib.Path`
        The file beside which the record lies.
    workdir : WorkDir
        Where both lie.
    redo : bool, optional
        The user wants it made again.
    """
    recipe = recipe.known_in(workdir)
    record = read_record(product)
    if record is None:
        return (why_without_record(product, workdir),)
    changed: tuple[str, ...] = ()
    if record.digest != recipe.digest:
        changed = reasons_to_remake(
            record.recipe,
            recipe.as_json(),
            in_force_before=record.settings,
            in_force_now=recipe.settings,
        ) or ("its recipe has another form",)
    return (*changed, *record.lost(workdir), *((REDO,) if redo else ()))


def why_without_record(product: Path, workdir: WorkDir) -> str:
    """Why a product that `read_record` finds no record of is made."""
    record = WorkDir.record(product)
    if record.is_file():
        return f"record unreadable: {workdir.relative(record)}; it is made again"
    return "it has no record: it was not finished" if product.is_file() else FIRST


def standing_record(recipe: Recipe, product: Path, workdir: WorkDir) -> Record | None:
    """The record of `product` if it says that this recipe made it and its files are as recorded."""
    return None if why_make(recipe, product, workdir) else read_record(product)


def make(
    recipe: Recipe,
    product: Path,
    workdir: WorkDir,
    run: Callable[[], Result],
    *,
    redo: bool = False,
    reasons: Sequence[str] | None = None,
) -> Made:
    """Return `product` as it is if its record says that `recipe` made it, else run.

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
    reasons : sequence of str, optional
        Why it is made, where that was found out before (`why_make`): it is made whatever the
        record says, unless there is no reason. By default the record is asked.

    Raises
    ------
    MissingProduct
        If `run` names an output that is not there.
    WouldBeMade
        Instead of running, if the work directory is only looked at.
    """
    recipe = recipe.known_in(workdir)
    why = why_make(recipe, product, workdir, redo=redo) if reasons is None else tuple(reasons)
    if not why and not redo:
        standing = read_record(product)
        if standing is not None:
            return Made(standing, ran=False)
    if workdir.looked_at:
        raise WouldBeMade(recipe, why, read_record(product))
    WorkDir.record(product).unlink(missing_ok=True)
    result = run()
    why = reasons_of_parts(result.parts, why)
    logger.info("%s: made (%s)", product.name, shortened(why))
    return Made(_commit(recipe, product, workdir, result, why), ran=True, reasons=why)


def reasons_of_parts(parts: Mapping[str, Sequence[str]], own: Sequence[str]) -> tuple[str, ...]:
    """Why an index was made: what made its parts, in place of "input changed".

    Parameters
    ----------
    parts : mapping
        Why each part was made, of those that were made now.
    own : sequence of str
        Why the index itself was made.
    """
    if not parts:
        return tuple(own)
    of_parts = shared_reasons(parts)
    mine = [
        reason
        for reason in own
        if reason not in (*of_parts, REDO) and not is_of_input(reason) and not _is_of_file(reason)
    ]
    return (*of_parts, *mine)


def _is_of_file(reason: str) -> bool:
    return reason.startswith(("file gone: ", "file changed: "))


def _commit(
    recipe: Recipe, product: Path, workdir: WorkDir, result: Result, reasons: tuple[str, ...]
) -> Record:
    record = Record(
        digest=recipe.digest,
        recipe=recipe.as_json(),
        settings=dict(recipe.settings),
        outputs=_stamps(result.outputs, workdir),
        facts=dict(result.facts),
        reasons=reasons,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        hst_assets=tool_version("hst_assets"),
    )
    write_record(record, product)
    return record


def _stamps(outputs: Iterable[Path], workdir: WorkDir) -> dict[str, FileStamp]:
    stamps = {}
    for path in outputs:
        if not path.is_file():
            raise MissingProduct("the step reported this file but did not leave it", where=path)
        stamps[workdir.relative(path)] = FileStamp.of(path)
    return stamps

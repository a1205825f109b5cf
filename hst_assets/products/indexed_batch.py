"""A batch of products with an index that lists them, and what became of each.

The index is a product with a record of its own, made of the batch's recipes: while it stands and
every product does, nothing is run. The next run tries again what may work by then
(`hst_assets.failures.may_work_again`), and not what failed because of its inputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hst_assets.failures import (
    Crashed,
    HstAssetsError,
    ToolFailed,
    failure_named,
    may_work_again,
)
from hst_assets.machine.failures import crashed_twice
from hst_assets.products.batch import Batch, P, Planned, make_missing, remove_stale
from hst_assets.provenance import (
    Made,
    Recipe,
    Record,
    Result,
    WouldBeMade,
    make,
    read_record,
    reasons_of_parts,
    standing_record,
    why_make,
)
from hst_assets.reasons import RETRIED
from hst_assets.workdir import WorkDir

__all__ = ["make_indexed"]

#: What was recorded as the tool's failure before the machine's failures had a class.
_FORMERLY_FINAL = re.compile("left no reply|and no (reply|answer)|No space left on device")


def make_indexed(
    batch: Batch[P],
    recipe: Recipe,
    index: Path,
    workdir: WorkDir,
    write: Callable[[Sequence[Made | HstAssetsError]], Result],
    *,
    redo: bool = False,
) -> Made:
    """Make what is missing of a batch, write its index, delete what is stale.

    Parameters
    ----------
    batch : Batch
        What is planned.
    recipe : Recipe
        Of the index: it has the digests of the products' recipes among its inputs.
    index : `~pathlib.Path`
        The table that lists the products.
    workdir : WorkDir
        Where all of them lie.
    write : callable
        Writes the index. It gets what became of each planned product, in their order, and returns
        the index among its outputs. What it raises leaves no index; the products that were made
        stand all the same.
    redo : bool, optional
        Make all of it again.

    Returns
    -------
    Made
        Of the index. Nothing is run if it is of this recipe and whole, and every product stands or
        could not be made of these inputs.

    Raises
    ------
    WouldBeMade
        Instead, if the work directory is only looked at.
    """
    before = read_record(index)

    def run() -> Result:
        outcomes = [
            _judged(planned, outcome, before, workdir)
            for planned, outcome in zip(
                batch.planned, make_missing(batch, workdir, redo=redo), strict=True
            )
        ]
        result = write(outcomes)
        parts = {
            planned.path.name: outcome.reasons
            for planned, outcome in zip(batch.planned, outcomes, strict=True)
            if isinstance(outcome, Made) and outcome.ran
        }
        remove_stale(
            workdir, batch.candidates, [each.path for each in batch.planned], stage=batch.stage
        )
        failures = {
            workdir.relative(planned.path): type(outcome).__name__
            for planned, outcome in zip(batch.planned, outcomes, strict=True)
            if isinstance(outcome, HstAssetsError)
        }
        return replace(result, facts={**result.facts, "failures": failures}, parts=parts)

    why = why_make(recipe, index, workdir, redo=redo)
    if not why and _is_incomplete(batch, index, workdir):
        why = (RETRIED,)
    if why and workdir.looked_at:
        raise _would_be_made(batch, recipe, index, workdir, why, redo=redo)
    return make(recipe, index, workdir, run, reasons=why)


def _judged(
    planned: Planned, outcome: Made | HstAssetsError, before: Record | None, workdir: WorkDir
) -> Made | HstAssetsError:
    """An outcome; a crash is final if the tool failed on the same recipe in the run before."""
    if not isinstance(outcome, Crashed) or before is None:
        return outcome
    formerly = before.facts.get("failures", {}).get(workdir.relative(planned.path))
    of_tool = formerly in (Crashed.__name__, ToolFailed.__name__)  # which is a verdict already
    again = of_tool and planned.recipe.digest in before.inputs
    return crashed_twice(outcome) if again else outcome


def _would_be_made(
    batch: Batch[P],
    recipe: Recipe,
    index: Path,
    workdir: WorkDir,
    why: Sequence[str],
    *,
    redo: bool,
) -> WouldBeMade:
    """Why an index would be made, by the products that would be."""
    parts = {
        each.path.name: why_make(each.recipe, each.path, workdir, redo=redo)
        for each in batch.planned
    }
    reasons = reasons_of_parts({name: each for name, each in parts.items() if each}, why)
    return WouldBeMade(
        recipe.known_in(workdir), reasons, read_record(index), retried=RETRIED in why
    )


def _is_incomplete(batch: Batch[P], index: Path, workdir: WorkDir) -> bool:
    """Whether a product that an index lists is to be made, or to be tried again."""
    record = read_record(index)
    if record is None:
        return False  # it is written anew for its own sake
    failures = record.facts.get("failures", {})
    kinds = [failure_named(kind) for kind in failures.values()]
    if any(map(may_work_again, kinds)):
        return True
    if any(_FORMERLY_FINAL.search(str(text)) for text in record.facts.get("failed", ())):
        return True
    # Files of the index are looked at with it.
    known = {*failures, *record.outputs}
    return any(
        workdir.relative(planned.path) not in known
        and standing_record(planned.recipe, planned.path, workdir) is None
        for planned in batch.planned
    )

"""Products of one kind made by recipe: what is missing, once.

A stage that makes several products of a kind (the drizzled images of a target, the differences of
its epochs, the aligned exposures of a visit) plans them first: a path and a recipe each. The rest
is the same for all of them and lives here:

- what is up to date by its recipe is left alone; the rest is made, equal recipes once where they
  may be links of each other, and recorded one by one, so that a killed run goes on from there;
- one that fails costs itself. What no longer is what its name says is taken away;
- what earlier runs made and nobody plans any more is deleted (`remove_stale`).

The table that lists them is made in `hst_assets.products.indexed_batch`.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from hst_assets.failures import (
    HstAssetsError,
    MissingProduct,
    NoReply,
    TransientFailure,
)
from hst_assets.machine.failures import machine_failure
from hst_assets.provenance import (
    Made,
    Recipe,
    Record,
    Result,
    make,
    read_record,
    standing_record,
    why_make,
)
from hst_assets.reasons import BESIDE
from hst_assets.workdir import WorkDir, write_atomically

__all__ = [
    "Batch",
    "Links",
    "Planned",
    "Step",
    "make_missing",
    "one_by_one",
    "remove_stale",
]

logger = logging.getLogger(__name__)


class Planned(Protocol):
    """A planned product: the file beside which its record lies, and its recipe."""

    @property
    def path(self) -> Path:
        """Its path."""

    @property
    def recipe(self) -> Recipe:
        """What it is to be made from."""


P = TypeVar("P", bound=Planned)

#: Brings the files of a product under their final names and tells what it turned out to be.
Step = Callable[[], Result]
#: Makes products: for each, in any order, its step or what ended it.
Run = Callable[[Sequence[P]], Iterable[tuple[P, Step | HstAssetsError]]]


@dataclass(frozen=True)
class Links:
    """Products of equal recipes are made once; the others are links to that one.

    Attributes
    ----------
    files_of : callable
        All files of a product by its path, that one first; in the same order for all products.
    elsewhere : tuple of `~pathlib.Path`
        Products of other batches, which may be what is to be made.
    """

    files_of: Callable[[Path], Sequence[Path]]
    elsewhere: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Batch(Generic[P]):
    """Products of one kind, and how they are made.

    Attributes
    ----------
    stage : str
        Stage name in the records of the products.
    planned : sequence of Planned
        The planned products.
    run : callable
        Called once with the products that are due (never with none) and gives, as each comes to
        its end, the product with its `Step`, or with the failure that ended it; one that it says
        nothing of has failed. It may be a generator: scratch folders that it holds stay until the
        last step is taken. What it raises ends the batch.
    together : callable or None
        A key for each product; those of one key are made together, if one of them is due.
        None: each for itself.
    links : Links or None
        None: equal recipes are made as often as they are planned.
    candidates : tuple of `~pathlib.Path`
        Files that an earlier run may have made; see `remove_stale`.
    keeps : tuple of type
        Failures that say nothing of the product: what was there before stays, with its record.
    """

    stage: str
    planned: Sequence[P]
    run: Run[P]
    together: Callable[[P], Hashable] | None = None
    links: Links | None = None
    candidates: tuple[Path, ...] = ()
    keeps: tuple[type[HstAssetsError], ...] = ()


def one_by_one(step: Callable[[P], Result]) -> Run[P]:
    """Make products in this process, one after the other, by a function that makes one."""

    def run(due: Sequence[P]) -> Iterable[tuple[P, Step | HstAssetsError]]:
        for product in due:
            yield product, partial(step, product)

    return run


def make_missing(
    batch: Batch[P], workdir: WorkDir, *, redo: bool = False
) -> list[Made | HstAssetsError]:
    """Make the products of a batch that are not up to date.

    Parameters
    ----------
    batch : Batch
        What is planned.
    workdir : WorkDir
        Its path.
    redo : bool, optional
        Make what is up to date, too.

    Returns
    -------
    list
        For each planned product, in their order, the product or why it could not be made.
    """
    # Before anything is run: a run may take away the records of what it makes.
    why = {
        each.path: why_make(each.recipe, each.path, workdir, redo=redo) for each in batch.planned
    }
    standing = _standing(batch.planned, why)
    due = _due(batch, standing)
    why = {path: reasons or (BESIDE,) for path, reasons in why.items()}
    sources = _sources(batch, due, standing, workdir)
    outcomes: dict[Path, Made | HstAssetsError] = {
        path: Made(record, ran=False) for path, record in standing.items()
    }
    first = _first_of_each(batch, due, sources)
    unheard = {planned.path: planned for planned in first}
    for planned, step in batch.run(first) if first else ():
        outcomes[planned.path] = _settled(planned, step, batch, workdir, why)
        unheard.pop(planned.path, None)
    for path, planned in unheard.items():
        outcomes[path] = _settled(planned, _not_left(path), batch, workdir, why)
    own = {planned.path for planned in first}
    for planned in due:
        if planned.path not in own:
            outcomes[planned.path] = _linked(planned, sources, outcomes, batch, workdir, why)
        # Others of this recipe are links to it, or fail as it did.
        sources.setdefault(planned.recipe.digest, planned.path)
    return [outcomes[planned.path] for planned in batch.planned]


def _standing(planned: Iterable[Planned], why: Mapping[Path, Sequence[str]]) -> dict[Path, Record]:
    records = {each.path: read_record(each.path) for each in planned if not why[each.path]}
    return {path: record for path, record in records.items() if record is not None}


def _due(batch: Batch[P], standing: dict[Path, Record]) -> list[P]:
    """What is not up to date, with what is made together with it."""
    due = [planned for planned in batch.planned if planned.path not in standing]
    if batch.together is None:
        return due
    keys = {batch.together(planned) for planned in due}
    return [planned for planned in batch.planned if batch.together(planned) in keys]


def _sources(
    batch: Batch[P], due: Sequence[P], standing: dict[Path, Record], workdir: WorkDir
) -> dict[str, Path]:
    """Products that are up to date, by the digests of what is due."""
    if batch.links is None:
        return {}
    again = {planned.path for planned in due}  # what is made with others is no source meanwhile
    sources = {record.digest: path for path, record in standing.items() if path not in again}
    recipes = {planned.recipe.digest: planned.recipe for planned in due}
    own = {planned.path for planned in batch.planned}
    for path in sorted(set(batch.links.elsewhere) - own):
        record = read_record(path)
        recipe = recipes.get(record.digest) if record else None
        if recipe and standing_record(recipe, path, workdir):
            sources.setdefault(recipe.digest, path)
    return sources


def _first_of_each(batch: Batch[P], due: Sequence[P], sources: dict[str, Path]) -> list[P]:
    """What is to be run: the first of each recipe that nothing stands for."""
    if batch.links is None:
        return list(due)
    first: dict[str, P] = {}
    for planned in due:
        if planned.recipe.digest not in sources:
            first.setdefault(planned.recipe.digest, planned)
    return list(first.values())


def _settled(
    planned: P,
    step: Step | HstAssetsError,
    batch: Batch[P],
    workdir: WorkDir,
    why: Mapping[Path, Sequence[str]],
) -> Made | HstAssetsError:
    """The product that a step leaves, recorded; or its failure, with nothing left that is wrong."""
    error = step
    if not isinstance(step, HstAssetsError):
        former = read_record(planned.path)
        try:
            reasons = why[planned.path]
            made = make(planned.recipe, planned.path, workdir, step, reasons=reasons)
            _remove_former(former, made.record, batch, workdir)
            return made
        except HstAssetsError as failure:
            error = failure
        except (OSError, MemoryError) as failure:
            # The tables have a line of it.
            logger.warning("%s failed", planned.path.name, exc_info=True)
            error = _named(failure, planned.path)
    assert isinstance(error, HstAssetsError)
    if not isinstance(error, batch.keeps):
        _remove(planned.path, workdir, sparing=_of_others(planned, batch, workdir))
    return error


def _remove_former(former: Record | None, now: Record, batch: Batch[P], workdir: WorkDir) -> None:
    """Delete the files that a product had and has no longer; what was written since stays."""
    gone = set(former.outputs if former else ()) - set(now.outputs)
    if former is None or not gone:
        return
    records = [read_record(each.path) for each in batch.planned]
    gone -= {name for record in records if record for name in record.outputs}
    for name in sorted(gone):
        path = workdir.absolute(name)
        if former.outputs[name].matches(path):
            path.unlink()


def _of_others(planned: P, batch: Batch[P], workdir: WorkDir) -> set[Path]:
    """Files of the other products: where a path is a place in a list, what was there moves."""
    others = [each.path for each in batch.planned if each.path != planned.path]
    return {
        path
        for other in others
        if (record := read_record(other)) is not None
        for path in (other, *record.paths(workdir))
    }


def _not_left(path: Path) -> HstAssetsError:
    return NoReply("it was to be made with others, and was not among them", where=path.name)


def _named(error: OSError | MemoryError, path: Path) -> HstAssetsError:
    """An error of the disk, or of a reader of files that found no whole one, in our vocabulary."""
    machine = machine_failure(error, where=path.name, folder=path.parent)
    if machine is not None:
        return machine
    if getattr(error, "errno", None) is None or isinstance(error, FileNotFoundError):
        return MissingProduct(str(error), where=path.name)
    return TransientFailure(str(error), where=path.name)


def _linked(
    planned: P,
    sources: Mapping[str, Path],
    outcomes: Mapping[Path, Made | HstAssetsError],
    batch: Batch[P],
    workdir: WorkDir,
    why: Mapping[Path, Sequence[str]],
) -> Made | HstAssetsError:
    """A product as a link to the one of its recipe, or with the failure of that one."""
    assert batch.links is not None
    source = sources[planned.recipe.digest]
    first = outcomes.get(source)
    if isinstance(first, HstAssetsError):
        return _settled(planned, first, batch, workdir, why)
    step = partial(_link, source, planned.path, batch.links.files_of, workdir)
    return _settled(planned, step, batch, workdir, why)


def _link(
    source: Path, path: Path, files_of: Callable[[Path], Sequence[Path]], workdir: WorkDir
) -> Result:
    """Give an existing product one more name; on file systems without hard links, copy it."""
    record = read_record(source)
    if record is None:
        raise MissingProduct("the record of the product to be linked is missing", where=source)
    outputs = tuple(files_of(path))
    pairs = list(zip(files_of(source), outputs, strict=True))
    for old, new in pairs[::-1]:  # the product itself last
        with write_atomically(new) as part:
            try:
                os.link(old, part)
            except OSError:
                shutil.copyfile(old, part)
    return Result(outputs, {**record.facts, "same_as": workdir.relative(source)})


# ----------------------------------------------------------------------------- removing


def remove_stale(
    workdir: WorkDir, candidates: Iterable[Path], current: Iterable[Path], *, stage: str
) -> None:
    """Delete products of earlier runs that are planned no more.

    Parameters
    ----------
    workdir : WorkDir
        Where they lie.
    candidates : iterable of `~pathlib.Path`
        Where they may be. Only what a record says to be of `stage` is deleted, with all files of
        that record.
    current : iterable of `~pathlib.Path`
        The planned products. Files that their records name stay.
    stage : str
        Stage name in the records.
    """
    planned = set(current)
    records = [read_record(path) for path in planned]
    shared = {path for record in records if record for path in record.paths(workdir)}
    for path in sorted(set(candidates) - planned):
        record = read_record(path)
        if record is None or record.recipe.get("stage") != stage:
            continue
        logger.info("%s is no longer planned: removed", path.name)
        _remove(path, workdir, sparing=shared)


def _remove(path: Path, workdir: WorkDir, *, sparing: Iterable[Path] = ()) -> None:
    """Delete a product with all that its record names; the record first.

    A product without a record is never taken for whole.
    """
    record = read_record(path)
    recorded = record.paths(workdir) if record else []
    WorkDir.record(path).unlink(missing_ok=True)
    for old in {*recorded, WorkDir.preview(path), path} - set(sparing):
        old.unlink(missing_ok=True)

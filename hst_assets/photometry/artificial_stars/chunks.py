"""Lists of artificial stars are measured: in chunks, side by side, each by recipe.

A chunk is a list of stars and what was measured of them. Each has random numbers of its own and a
record of its own: an interrupted run goes on where it was, and more stars are more chunks. Stars
are put in one at a time, so that chunks measure what one long list would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hst_assets.failures import HstAssetsError
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.photometry.artificial_stars.photometers import Photometer
from hst_assets.photometry.catalog.artificial_stars import StarsPutIn, write_stars_put_in
from hst_assets.products.batch import Step
from hst_assets.provenance import Recipe, Result
from hst_assets.workdir import move_into_place

__all__ = ["Chunk", "list_beside", "measure_chunks"]

_LIST = "stars.fakelist"


@dataclass(frozen=True)
class Chunk:
    """One planned list.

    Attributes
    ----------
    path : `~pathlib.Path`
        What was measured; the list lies beside it (`list_beside`).
    number, n_stars : int
        Its number, and how many stars it has.
    recipe : Recipe
        What it is made from; the list follows from it.
    """

    path: Path
    number: int
    n_stars: int
    recipe: Recipe


def list_beside(measured: Path) -> Path:
    """The list of what was measured in a file."""
    return measured.with_suffix(".fakelist")


def measure_chunks(
    photometer: Photometer, draw: Callable[[Chunk], StarsPutIn], due: Sequence[Chunk]
) -> Iterator[tuple[Chunk, Step | HstAssetsError]]:
    """Measure lists, as many side by side as there are cores, and give each as it ends.

    Parameters
    ----------
    photometer : Photometer
        What measures.
    draw : callable
        Gives the stars of a list.
    due : sequence of Chunk
        The lists.

    Yields
    ------
    chunk, outcome
        The step that publishes it, or why it failed.
    """
    with photometer.workdir.scratch(photometer.stage) as scratch:
        for start in range(0, len(due), photometer.at_a_time):
            chunks = due[start : start + photometer.at_a_time]
            calls = [
                _call(photometer, chunk, draw(chunk), scratch / chunk.path.stem) for chunk in chunks
            ]
            outcomes = run_many_isolated(
                photometer.task,
                calls,
                timeout_s=photometer.timeout_s,
                max_cores=photometer.at_a_time,
            )
            for chunk, call, outcome in zip(chunks, calls, outcomes, strict=True):
                if isinstance(outcome, HstAssetsError):
                    yield chunk, outcome
                else:
                    yield chunk, partial(_published, chunk, call)


def _call(photometer: Photometer, chunk: Chunk, stars: StarsPutIn, folder: Path) -> Call:
    """One run, in a folder of its own."""
    folder.mkdir()
    write_stars_put_in(stars, folder / _LIST)
    arguments = {
        **photometer.arguments(stars, folder, number=chunk.number),
        "stars": _LIST,
        "measured": chunk.path.name,
        "folder": str(folder.absolute()),
    }
    log = photometer.workdir.log(photometer.stage, chunk.path.stem)
    return Call(arguments, folder, log)


def _published(chunk: Chunk, call: Call) -> Result:
    beside = move_into_place(call.scratch / _LIST, list_beside(chunk.path))
    measured = move_into_place(call.scratch / chunk.path.name, chunk.path)
    facts = {"n_stars": chunk.n_stars, "bands": list(call.arguments["labels"])}
    return Result((measured, beside), facts)

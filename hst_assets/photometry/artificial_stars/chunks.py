"""Runs of DOLPHOT on lists of artificial stars: in chunks, side by side, each by recipe.

A chunk is a list of stars and what was measured of them. Each has random numbers of its own and a
record of its own: an interrupted run goes on where it was, and more stars are more chunks. DOLPHOT
puts in one star at a time, so that chunks measure what one long list would.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hst_assets.failures import HstAssetsError
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.photometry.catalog.artificial_stars import StarsPutIn, write_stars_put_in
from hst_assets.photometry.dolphot.catalog_run import files_beside, lay_out, threads_of
from hst_assets.photometry.dolphot.input_images import InputImage
from hst_assets.photometry.dolphot.parameters import OF_ARTIFICIAL_STARS
from hst_assets.photometry.dolphot.program import Program
from hst_assets.products.batch import Step
from hst_assets.provenance import Recipe, Result
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, publish

__all__ = ["STAGE", "Chunk", "Photometer", "fake_parameters", "list_beside", "measure_chunks"]

STAGE = "artificial_chunk"

_TASK = "hst_assets.photometry.artificial_stars.chunk_task:measure_list"
_LIST = "stars.fakelist"
#: DOLPHOT seeds the photon noise of artificial stars with the clock's second: lists that began in
#: one second would have the same noise.
_SEED_S = 1.1


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


@dataclass(frozen=True)
class Photometer:
    """What measures the lists: the program, and the run whose catalogue it made.

    Attributes
    ----------
    program : Program
        DOLPHOT.
    catalog : `~pathlib.Path`
        The catalogue; the files of its run lie beside it.
    images : sequence of InputImage
        Of its run, the reference first.
    workdir : WorkDir
        Where all of it lies.
    settings : Settings
        Sections dolphot and machine.
    """

    program: Program
    catalog: Path
    images: Sequence[InputImage]
    workdir: WorkDir
    settings: Settings


def list_beside(measured: Path) -> Path:
    """The list of what was measured in a file."""
    return measured.with_suffix(".fakelist")


def fake_parameters(settings: Settings) -> dict[str, str]:
    """DOLPHOT's parameters of artificial stars, as they are given to it; unset ones are not."""
    values = {name: getattr(settings.dolphot, name) for name in OF_ARTIFICIAL_STARS}
    return {name: f"{value:g}" for name, value in values.items() if value is not None}


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
    machine = photometer.settings.machine
    at_a_time = max(1, machine.max_cores // threads_of(photometer.program, machine))
    with photometer.workdir.scratch(STAGE) as scratch:
        for start in range(0, len(due), at_a_time):
            chunks = due[start : start + at_a_time]
            calls = [
                _call(photometer, chunk, draw(chunk), scratch / chunk.path.stem, late_s=late_s)
                for chunk, late_s in zip(chunks, itertools.count(0.0, _SEED_S), strict=False)
            ]
            outcomes = run_many_isolated(
                _TASK, calls, timeout_s=machine.dolphot_timeout_s, max_cores=at_a_time
            )
            for chunk, call, outcome in zip(chunks, calls, outcomes, strict=True):
                if isinstance(outcome, HstAssetsError):
                    yield chunk, outcome
                else:
                    yield chunk, partial(_published, chunk, call)


def _call(
    photometer: Photometer, chunk: Chunk, stars: StarsPutIn, folder: Path, *, late_s: float
) -> Call:
    """One run, in a folder of its own with all that it reads."""
    settings, catalog = photometer.settings, photometer.catalog
    folder.mkdir()
    lay_out(photometer.images, photometer.workdir, settings, folder)
    for path in (catalog, *files_beside(catalog)):
        (folder / path.name).symlink_to(path.absolute())
    write_stars_put_in(stars, folder / _LIST)
    machine = settings.machine
    arguments = {
        "program": str(photometer.program.path),
        "catalog": catalog.name,
        "stars": _LIST,
        "labels": stars.labels,
        "parameters": fake_parameters(settings),
        "measured": chunk.path.name,
        "threads": threads_of(photometer.program, machine),
        "time_s": machine.dolphot_timeout_s,
        "silence_s": machine.dolphot_silence_s,
        "folder": str(folder.absolute()),
        "late_s": late_s,
    }
    return Call(arguments, folder, photometer.workdir.log(STAGE, chunk.path.stem))


def _published(chunk: Chunk, call: Call) -> Result:
    beside = publish(call.scratch / _LIST, list_beside(chunk.path))
    measured = publish(call.scratch / chunk.path.name, chunk.path)
    facts = {"n_stars": chunk.n_stars, "bands": list(call.arguments["labels"])}
    return Result((measured, beside), facts)

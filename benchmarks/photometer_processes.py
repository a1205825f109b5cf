"""The embedded photometer on several processes: what is not divided, and how much memory it takes.

`benchmarks/embedded_photometer.py` (``--processes``, ``--memory``) gives it the fields. Chips are
read from the disk by parts, as the photometer of a target reads its exposures.
"""

from __future__ import annotations

import heapq
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.measurement import measure_target
from hst_assets.photometry.psf.pixel_map import PixelMap
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.photometry.psf.tiles import Box, ChipInMemory

_PLANES = ("data_e", "good", "saturated", "sky_e", "area")


@dataclass(frozen=True, eq=False)
class ChipOnDisk:
    """A chip whose planes are files; an `hst_assets.photometry.psf.tiles.ImageSource`."""

    folder: Path
    name: str
    band: str
    psf_key: str
    shape: tuple[int, int]
    box: Box
    pixel_map: PixelMap
    exptime_s: float
    mjd: float
    pixel_scale_arcsec: float
    read_noise_e: float

    @classmethod
    def of(cls, image: ChipImage, folder: Path, pixel_scale_arcsec: float) -> ChipOnDisk:
        """Write the planes of a chip."""
        folder.mkdir()
        for plane in _PLANES:
            np.save(folder / f"{plane}.npy", getattr(image, plane))
        chip = image.name.rpartition(".")[2] if "." in image.name else ""
        whole = ChipInMemory(image, "", pixel_scale_arcsec)
        return cls(
            folder, image.name, image.band, f"{image.band} {chip}", image.shape, whole.box,
            image.pixel_map, image.exptime_s, image.mjd, pixel_scale_arcsec, image.read_noise_e,
        )  # fmt: skip

    def encircled(self, radius_arcsec: float) -> float:
        """Not known."""
        del radius_arcsec
        return float("nan")

    def cut(self, rows: slice, columns: slice) -> ChipImage:
        """Read some rows and columns."""
        planes = {
            plane: np.array(np.load(self.folder / f"{plane}.npy", mmap_mode="r")[rows, columns])
            for plane in _PLANES
        }
        return ChipImage(
            name=self.name,
            band=self.band,
            **planes,
            read_noise_e=self.read_noise_e,
            exptime_s=self.exptime_s,
            mjd=self.mjd,
            pixel_map=self.pixel_map.moved(-columns.start, -rows.start),
            origin=(columns.start, rows.start),
        )


@dataclass
class Side:
    """So many processes side by side for all rounds, one thread each.

    Attributes
    ----------
    n : int
        Processes.
    task_cpu_s : list of list of float
        CPU seconds of each task, by round.
    spans : list of list of tuple
        When each task began and ended, seconds since the beginning of all, and its process.
    peak_gb : dict of float
        Largest resident set of each process, by its id.
    """

    n: int
    task_cpu_s: list[list[float]] = field(default_factory=list)
    spans: list[list[tuple[float, float, int]]] = field(default_factory=list)
    peak_gb: dict[int, float] = field(default_factory=dict)

    def __enter__(self) -> Side:
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(self.n, mp_context=spawn)
        self._began = time.time()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def __call__(
        self, task: str, arguments: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, Any]]:
        self.task_cpu_s.append([])
        self.spans.append([])
        futures = {self._pool.submit(_one, task, each): k for k, each in enumerate(arguments)}
        for future in as_completed(futures):
            outcome, cpu_s, span, process, peak_gb = future.result()
            self.task_cpu_s[-1].append(cpu_s)
            self.spans[-1].append((span[0] - self._began, span[1] - self._began, process))
            self.peak_gb[process] = max(self.peak_gb.get(process, 0.0), peak_gb)
            yield futures[future], outcome


def _one(
    task: str, arguments: Mapping[str, Any]
) -> tuple[object, float, tuple[float, float], int, float]:
    """A task's outcome, CPU time, beginning and end, its process and the peak of that."""
    before, began = time.process_time(), time.time()
    module, name = task.split(":")
    outcome = getattr(import_module(module), name)(**arguments)
    span = began, time.time()
    process = multiprocessing.current_process().pid or 0
    return outcome, time.process_time() - before, span, process, peak()


def peak() -> float:
    """Largest resident set of this process so far, GB (1e9 bytes).

    By /proc: what `getrusage` says begins with that of the process which started this one.
    """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e9


@dataclass(frozen=True)
class Run:
    """A measurement on n processes.

    Attributes
    ----------
    wall_s, parent_cpu_s : float
        Wall time, and CPU time of the parent.
    task_cpu_s : list of list of float
        CPU seconds of each task, by round: bright stars and PSFs twice, then all stars.
    spans : list of list of tuple
        As of `Side`.
    parent_gb : float
        Largest resident set of the parent.
    processes_gb : list of float
        Of each child.
    n_stars : int
        What was measured.
    """

    wall_s: float
    parent_cpu_s: float
    task_cpu_s: list[list[float]]
    spans: list[list[tuple[float, float, int]]]
    parent_gb: float
    processes_gb: list[float]
    n_stars: int

    def ideal_s(self, n: int) -> float:
        """CPU time of the longest chain on n processes: tasks go to whoever is free, in order."""
        total = self.parent_cpu_s
        for tasks in self.task_cpu_s:
            busy = [0.0] * n
            for task in tasks:
                heapq.heappush(busy, heapq.heappop(busy) + task)
            total += max(busy)
        return total

    def schedule(self) -> Iterator[str]:
        """What every process did when, by round; and what it waited."""
        end = 0.0
        for number, (spans, cpu_s) in enumerate(zip(self.spans, self.task_cpu_s, strict=True)):
            last = max(stop for _, stop, _ in spans)
            yield f"  round {number}: {end:.1f} to {last:.1f} s"
            for process in sorted({each[2] for each in spans}):
                own = sorted(
                    (*span, cpu) for span, cpu in zip(spans, cpu_s, strict=True)
                    if span[2] == process
                )  # fmt: skip
                busy = sum(stop - start for start, stop, _, _ in own)
                tasks = ", ".join(f"{a:.1f}-{b:.1f} ({cpu:.1f} CPU s)" for a, b, _, cpu in own)
                yield f"    {process}: {tasks}; idle {last - end - busy:.1f} s"
            end = last


def run_on(n: int, sources: Sequence[ChipOnDisk], priors: Mapping[str, SplinePsf]) -> Run:
    """Measure on n processes."""
    wall, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(dir=sources[0].folder.parent) as folder, Side(n) as side:
        stars = measure_target(sources, priors, folder=Path(folder), run=side)
    return Run(
        time.perf_counter() - wall,
        time.process_time() - cpu,
        side.task_cpu_s,
        side.spans,
        peak(),
        list(side.peak_gb.values()),
        len(stars),
    )


def alone(n: int, sources: Sequence[ChipOnDisk], priors: Mapping[str, SplinePsf]) -> Run:
    """The same in a fresh process, whose memory is that of the measurement only."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(run_on, n, sources, priors).result()

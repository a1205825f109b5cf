"""What measures lists of artificial stars: the photometer that made the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hst_assets.photometry.catalog.artificial_stars import StarsPutIn
from hst_assets.photometry.dolphot.catalog_run import files_beside, lay_out, threads_of
from hst_assets.photometry.dolphot.input_images import InputImage
from hst_assets.photometry.dolphot.parameters import OF_ARTIFICIAL_STARS
from hst_assets.photometry.dolphot.program import Program
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["Dolphot", "Embedded", "Photometer", "embedded_parameters", "fake_parameters"]


class Photometer(Protocol):
    """What measures the lists.

    Attributes
    ----------
    stage : str
        Of the records of what it measures.
    task : str
        What runs in a child process for each list.
    workdir : WorkDir
        Where all of it lies.
    at_a_time : int
        Lists that are measured side by side.
    timeout_s : float
        Limit of the time of one list, seconds.
    """

    @property
    def stage(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def workdir(self) -> WorkDir: ...  # noqa: D102
    @property
    def at_a_time(self) -> int: ...  # noqa: D102
    @property
    def timeout_s(self) -> float: ...  # noqa: D102

    def arguments(self, stars: StarsPutIn, folder: Path, *, number: int) -> Mapping[str, Any]:
        """What the task is told besides names of files; what it reads is laid into the folder.

        Parameters
        ----------
        stars : StarsPutIn
            The list.
        folder : `~pathlib.Path`
            Of this list alone.
        number : int
            Of the list.
        """
        ...


@dataclass(frozen=True)
class Dolphot:
    """DOLPHOT, and the run whose catalogue it made.

    Attributes
    ----------
    program : Program
        The executable.
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

    stage = "artificial_chunk"
    task = "hst_assets.photometry.artificial_stars.chunk_task:measure_list"

    @property
    def at_a_time(self) -> int:
        """As many as there are cores for its threads."""
        machine = self.settings.machine
        return max(1, machine.cores // threads_of(self.program, machine))

    @property
    def timeout_s(self) -> float:
        """That of any run of DOLPHOT."""
        return self.settings.machine.dolphot_timeout_s

    def arguments(self, stars: StarsPutIn, folder: Path, *, number: int) -> Mapping[str, Any]:
        """See `Photometer`; DOLPHOT finds all that it reads in the folder."""
        del number  # its noise follows from the time
        lay_out(self.images, self.workdir, self.settings, folder)
        for path in (self.catalog, *files_beside(self.catalog)):
            (folder / path.name).symlink_to(path.absolute())
        machine = self.settings.machine
        return {
            "program": str(self.program.path),
            "catalog": self.catalog.name,
            "labels": stars.labels,
            "parameters": fake_parameters(self.settings),
            "threads": threads_of(self.program, machine),
            "time_s": machine.dolphot_timeout_s,
            "silence_s": machine.dolphot_silence_s,
            "last_start": str((self.workdir.runfiles / "dolphot_last_start").absolute()),
        }


@dataclass(frozen=True)
class Embedded:
    """The embedded photometer, and the catalogue that it made.

    Attributes
    ----------
    catalog : `~pathlib.Path`
        The catalogue; what its measurement keeps lies beside it.
    workdir : WorkDir
        Where all of it lies.
    settings : Settings
        Sections embedded, dolphot_inputs, artificial_stars and machine.
    """

    catalog: Path
    workdir: WorkDir
    settings: Settings

    stage = "embedded_artificial_chunk"
    task = "hst_assets.photometry.psf.artificial_stars_task:measure_list"

    @property
    def at_a_time(self) -> int:
        """One a core."""
        return self.settings.machine.cores

    @property
    def timeout_s(self) -> float:
        """That of its tiles."""
        return self.settings.machine.timeout_s("embedded")

    def arguments(self, stars: StarsPutIn, folder: Path, *, number: int) -> Mapping[str, Any]:
        """See `Photometer`; its photon noise follows from the seed and the list's number."""
        del folder
        return {
            "root": str(self.workdir.root.absolute()),
            "target": self.workdir.target,
            "catalog": str(self.catalog.absolute()),
            "labels": stars.labels,
            "dolphot_inputs": self.settings.dolphot_inputs.as_recipe(),
            "flag_mask": self.settings.embedded.flag_mask,
            "wfpc2_cte": self.settings.embedded.wfpc2_cte,
            "seed": [self.settings.artificial_stars.seed, number],
        }


def fake_parameters(settings: Settings) -> dict[str, str]:
    """DOLPHOT's parameters of artificial stars, as they are given to it; unset ones are not."""
    values = {name: getattr(settings.dolphot, name) for name in OF_ARTIFICIAL_STARS}
    return {name: f"{value:g}" for name, value in values.items() if value is not None}


def embedded_parameters(settings: Settings) -> dict[str, str]:
    """What the embedded photometer is told of them; all else is as in the measurement."""
    embedded = settings.embedded
    return {"flag_mask": str(embedded.flag_mask), "wfpc2_cte": str(embedded.wfpc2_cte)}

"""The catalogue of a target: DOLPHOT is run on what was prepared for it, and its files are kept.

Nothing that DOLPHOT wrote is changed later. Its files appear in ``dolphot/`` when the run has ended
well, the catalogue last of them and then its record; what a run that failed has left is not kept,
but for its words in ``logs/``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hst_assets.digests import sha256_of_file
from hst_assets.failures import BadConfiguration, MissingProduct, MissingTool
from hst_assets.photometry.catalog.run_records import read_warnings
from hst_assets.photometry.dolphot.input_images import (
    InputImage,
    check_images,
    read_input_images,
)
from hst_assets.photometry.dolphot.parameters import (
    HEAD,
    USERS_FILES,
    parameter_lines,
    parameters_text,
    settings_of_catalog,
    transfer_remarks,
)
from hst_assets.photometry.dolphot.program import Program, find_program
from hst_assets.photometry.dolphot.program_run import Limits, run_program
from hst_assets.photometry.dolphot.progress import ProgressReader
from hst_assets.photometry.dolphot.verdict import Verdict, judge
from hst_assets.progress import Progress, now_and_then
from hst_assets.provenance import Made, Recipe, Record, Result, make, read_record, why_make
from hst_assets.settings import MachineSettings, Settings
from hst_assets.workdir import WorkDir, move_into_place

__all__ = [
    "LIMITS",
    "STAGE",
    "files_beside",
    "lay_out",
    "make_dolphot_catalog",
    "publish_files",
    "standing_without_program",
    "threads_of",
    "write_log",
]

logger = logging.getLogger(__name__)

STAGE = "dolphot_catalog"

_PROGRAM = "dolphot"
_DATA = "dolphot data: "
#: The settings that a run which was stopped is told to raise.
LIMITS = {"time": "machine.dolphot_timeout_s", "silence": "machine.dolphot_silence_s"}
#: What a run writes beside its catalogue; other files there are not this run's.
_ENDINGS = re.compile(
    r"\.(?:columns|param|data|info|warnings|output|stderr|apcor|psfs|psf\.h5|\d+\.(?:res|psf)\.fits"
    r"|diag\.\w+)"
)
#: Folder for a catalogue of another program's under our name, such as hst123's.
_NOT_OURS = "not_made_here"


@dataclass(frozen=True)
class _Run:
    """What one run needs."""

    workdir: WorkDir
    settings: Settings
    program: Program
    images: Sequence[InputImage]
    progress: Callable[[Progress], None]

    @property
    def catalog(self) -> Path:
        return self.workdir.dolphot_catalog(self.settings.dolphot.base)


def make_dolphot_catalog(
    workdir: WorkDir,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Made:
    """Measure the stars of a target with DOLPHOT.

    Parameters
    ----------
    workdir : WorkDir
        The target's; ``dolphot/inputs.ecsv`` and what it lists must exist.
    settings : Settings
        Sections photometry, dolphot and machine.
    redo : bool, optional
        Make again what is up to date, too.
    progress : callable, optional
        Is told how far the run is; by default the log is, now and then.

    Returns
    -------
    Made
        Product: the catalogue ``dolphot/dp0000`` with all files of its run beside it. Facts: how
        many stars, which program, what it warned of and remarked.

    Raises
    ------
    MissingTool
        If DOLPHOT is not installed, or a PSF library is missing.
    MissingProduct
        If the inputs are not there.
    UnusableInput, BadConfiguration, ToolFailed, MachineFailure
        See `hst_assets.photometry.dolphot.input_images.check_images` and
        `hst_assets.photometry.dolphot.verdict.judge`.
    """
    catalog = workdir.dolphot_catalog(settings.dolphot.base)
    try:
        program = find_program(settings.dolphot, workdir)
    except MissingTool:
        standing = standing_without_program(workdir, settings)
        if standing is None or redo:
            raise
        return Made(standing, ran=False)
    images = read_input_images(workdir)
    data = program.data_files((i.detector.instrument, i.filter) for i in images)
    recipe = _recipe(workdir, settings, images, _of_program(program, data))
    run = _Run(workdir, settings, program, images, progress or now_and_then(logger.info))
    return make(recipe, catalog, workdir, lambda: _measured(run, data), redo=redo)


def _recipe(
    workdir: WorkDir,
    settings: Settings,
    images: Sequence[InputImage],
    of_program: Mapping[str, str],
) -> Recipe:
    inputs = read_record(workdir.dolphot_inputs)
    if inputs is None:
        raise MissingProduct(
            "the inputs of DOLPHOT have no record: they were not finished",
            where=workdir.dolphot_inputs,
            next_step="Materialize dolphot_inputs first",
        )
    users = {name: _digest(path) for name, path in _users_files(workdir, settings).items()}
    return Recipe(
        stage=STAGE,
        inputs={"dolphot_inputs": inputs.digest, **of_program, **users},
        settings={
            "dolphot": settings_of_catalog(settings.dolphot),
            # The digest of the inputs is that of what was planned: an exposure that failed for want
            # of time or memory, and was made since, does not change it.
            "images": [image.label for image in images],
        },
        defaults={"dolphot": settings_of_catalog(Settings().dolphot)},
    )


def _of_program(program: Program, data: Mapping[str, Path | None]) -> dict[str, str]:
    """What the program and its data are, for the recipe."""
    digests = {f"{_DATA}{name}": _digest(path) for name, path in data.items() if path}
    return {_PROGRAM: program.identity, **digests}


def standing_without_program(workdir: WorkDir, settings: Settings) -> Record | None:
    """The record of a catalogue that is up to date but for the program, which is not here."""
    catalog = workdir.dolphot_catalog(settings.dolphot.base)
    record = read_record(catalog)
    if record is None:
        return None
    inputs: Mapping[str, str] = record.recipe.get("inputs", {})
    recorded = {
        name: digest
        for name, digest in inputs.items()
        if name == _PROGRAM or name.startswith(_DATA)
    }
    recipe = _recipe(workdir, settings, read_input_images(workdir), recorded)
    return None if why_make(recipe, catalog, workdir) else record


def _users_files(workdir: WorkDir, settings: Settings) -> dict[str, Path]:
    """Files of the user's that parameters name."""
    given = {name: getattr(settings.dolphot, name) for name in USERS_FILES}
    paths = {name: workdir.base / path for name, path in given.items() if path is not None}
    for name, path in paths.items():
        if not path.is_file():
            raise BadConfiguration(f"dolphot.{name} does not exist", where=path)
    return paths


def _digest(path: Path) -> str:
    status = path.stat()
    return _digest_of_state(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=512)
def _digest_of_state(path: Path, mtime_ns: int, size: int) -> str:
    """A library of PSFs has many megabytes: it is read once."""
    del mtime_ns, size  # they tell one state of the file from another
    return sha256_of_file(path)


# ------------------------------------------------------------------------------- the run


def _measured(run: _Run, data: Mapping[str, Path | None]) -> Result:
    dolphot, machine = run.settings.dolphot, run.settings.machine
    n_images = len(run.images) - 1
    text = parameters_text(parameter_lines(run.images, dolphot))
    mode = check_images(run.images, with_wcs=dolphot.UseWCS > 0)
    name = run.catalog.name
    log = run.workdir.log(STAGE, name)
    reader = ProgressReader(n_images, dolphot.SecondPass + 2, run.progress)
    with run.workdir.scratch(STAGE) as folder:
        lay_out(run.images, run.workdir, run.settings, folder)
        (folder / f"{name}.param").write_text(text)
        ended = run_program(
            run.program.path,
            [name, f"-p{name}.param"],
            folder=folder,
            output=folder / f"{name}.output",
            limits=Limits(machine.dolphot_timeout_s, machine.dolphot_silence_s),
            threads=threads_of(run.program, machine),
            listen=reader.feed,
        )
        write_log(log, ended.output)
        verdict = judge(
            ended,
            folder / name,
            n_images=n_images,
            align_only=bool(dolphot.AlignOnly),
            limits=LIMITS,
            where=log,
        )
        outputs = _published(folder, run.catalog)
    facts = _facts(run, verdict, data)
    return Result(outputs, {**facts, "mode": mode, "seconds": round(ended.seconds, 1)})


def threads_of(program: Program, machine: MachineSettings) -> int:
    """Threads of one run: DOLPHOT 2 has one."""
    return 1 if program.version == "2" else machine.dolphot_threads or machine.cores


def lay_out(
    images: Sequence[InputImage], workdir: WorkDir, settings: Settings, folder: Path
) -> None:
    """Give a run its images, and the user's files, under names that DOLPHOT can hold."""
    for image in images:
        (folder / f"{image.alias}.fits").symlink_to(image.path.absolute())
        (folder / f"{image.alias}.sky.fits").symlink_to(image.sky_path.absolute())
    for name, path in _users_files(workdir, settings).items():
        (folder / USERS_FILES[name]).symlink_to(path.absolute())


def write_log(log: Path, text: str) -> None:
    """Keep what the program said, behind what it said before."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as lines:
        lines.write(text)


def _published(folder: Path, catalog: Path) -> tuple[Path, ...]:
    complaints = folder / f"{catalog.name}.output.stderr"
    if complaints.stat().st_size:
        complaints.replace(folder / f"{catalog.name}.stderr")
    return publish_files(folder / catalog.name, catalog)


def publish_files(made: Path, catalog: Path) -> tuple[Path, ...]:
    """Move a catalogue and the files beside it to their place, the catalogue last.

    Those of an earlier run go, whoever measured it; those that were not made here are put aside.
    """
    _put_aside_foreign(catalog)
    for path in (catalog, *files_beside(catalog)):
        path.unlink(missing_ok=True)
    beside = [move_into_place(path, catalog.with_name(path.name)) for path in files_beside(made)]
    return (move_into_place(made, catalog), *beside)


def files_beside(catalog: Path) -> list[Path]:
    """The other files of the run whose catalogue this is."""
    start = len(catalog.name)
    found = catalog.parent.glob(f"{catalog.name}.*")
    return sorted(path for path in found if _ENDINGS.fullmatch(path.name[start:]))


def _put_aside_foreign(catalog: Path) -> None:
    """Keep what another program made under this name, such as hst123: it may have taken days."""
    if not catalog.is_file() or not catalog.stat().st_size:
        return
    parameters = catalog.with_name(f"{catalog.name}.param")
    if parameters.is_file():
        with parameters.open(errors="replace") as lines:
            if lines.readline().rstrip("\n") == HEAD:
                return
    aside = catalog.with_name(_NOT_OURS)
    number = 1
    while (aside / str(number)).exists():
        number += 1
    folder = aside / str(number)
    folder.mkdir(parents=True)
    for path in (catalog, *files_beside(catalog)):
        path.replace(folder / path.name)
    logger.warning("%s was not made here: it is kept in %s", catalog.name, folder)


def _facts(run: _Run, verdict: Verdict, data: Mapping[str, Path | None]) -> dict[str, Any]:
    of_transfer: tuple[str, ...] = ()
    if run.program.version != "3":
        of_transfer = transfer_remarks(run.images, run.settings.dolphot)
    warnings = read_warnings(run.catalog.with_name(f"{run.catalog.name}.warnings"))
    facts: dict[str, Any] = {
        "n_stars": verdict.n_stars,
        "n_deleted": verdict.n_deleted,
        "n_columns": verdict.n_columns,
        "n_images": len(run.images) - 1,
        "program": f"DOLPHOT {run.program.version}, {run.program.path}",
        "libraries_not_found": [name for name, path in data.items() if path is None],
        "unknown_parameters": list(verdict.unknown_parameters),
        "remarks": [*verdict.remarks, *of_transfer],
        "warnings": [{**asdict(each), "is_problem": each.is_problem} for each in warnings],
        "n_problems": sum(warning.is_problem for warning in warnings),
    }
    if run.program.root is None:
        facts["libraries_not_found"] = None  # not checked: where they lie is not known
    if run.settings.dolphot.AlignOnly:
        facts["note"] = "the run ended after the alignment: the catalogue is empty"
    return facts

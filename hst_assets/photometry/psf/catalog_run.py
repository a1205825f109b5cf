"""The catalogue of a target by the embedded photometer: measured in tiles, written as DOLPHOT's.

The files are those that DOLPHOT leaves, under the same names and in the same format, so that all
that reads a catalogue reads this one. They appear when everything is measured, the catalogue last.
What is measured is kept until then: an interrupted run goes on from the tiles that are done.
"""

from __future__ import annotations

import logging
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hst_assets.digests import sha256_of_file
from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.photometry.catalog.run_records import read_warnings
from hst_assets.photometry.dolphot.catalog_run import publish_files
from hst_assets.photometry.dolphot.input_images import (
    InputImage,
    check_images,
    read_input_images,
)
from hst_assets.photometry.dolphot.parameters import parameters_text
from hst_assets.photometry.psf.catalog_files import (
    CatalogedImage,
    catalog_of_stars,
    run_info,
    write_files,
)
from hst_assets.photometry.psf.cataloged_images import aperture_radius_arcsec, cataloged_images
from hst_assets.photometry.psf.chips_in import ChipFile, open_images, reference_shape
from hst_assets.photometry.psf.first_psfs import first_psfs, grids_of_settings
from hst_assets.photometry.psf.fitted_stars import FitParameters
from hst_assets.photometry.psf.image_agreement import disagreements
from hst_assets.photometry.psf.lost_charge import (
    ChargeTransfer,
    charge_transfers,
    told_by_detector,
    transfer_mag,
    transfer_warnings,
)
from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets.photometry.psf.measurement import MeasureParameters, Runner, measure_target
from hst_assets.photometry.psf.residual_images import read_parts, write_residual_image
from hst_assets.progress import Progress, now_and_then
from hst_assets.provenance import Made, Recipe, Result, make, read_record, tool_version
from hst_assets.settings import EmbeddedSettings, Settings
from hst_assets.stages import code_version_of
from hst_assets.workdir import WorkDir

__all__ = [
    "KEPT",
    "STAGE",
    "TOOL",
    "make_embedded_catalog",
    "measure_chips",
]

logger = logging.getLogger(__name__)

STAGE = "embedded_catalog"
#: What the name of a catalogue is followed by in that of what its measurement keeps.
KEPT = ".psf.h5"
#: Its name where progress is told.
TOOL = "psf photometry"

#: Name of the time limit of a tile.
_LIMIT = "embedded"
_TOOLS = ("astropy", "numba", "numpy", "photutils", "scipy")
#: Folder beside the catalogue for what is measured, while it is; named by the recipe within.
_BEGUN = "embedded"
_DIGITS = 16
#: Tiles a core between two lines of progress.
_IN_ONE_GO = 2
#: Remarks that say how a PSF was made, and complain of nothing.
_IS_NOTE = re.compile(r": PSF of \d+ stamps")
#: So many of the stars that move are named in the record; all are in what is kept.
_MOST_MOVING_TOLD = 20
#: Share of the time after which all is measured.
_MEASURED = 0.95


@dataclass(frozen=True)
class _Run:
    """What one run needs."""

    workdir: WorkDir
    settings: Settings
    images: Sequence[InputImage]
    grids: Mapping[str, Path]
    progress: Callable[[Progress], None]
    digest: str
    redo: bool

    @property
    def catalog(self) -> Path:
        return self.workdir.dolphot_catalog(self.settings.dolphot.base)

    def tell(self, step: str, fraction: float) -> None:
        self.progress(Progress(step, fraction, TOOL))


def make_embedded_catalog(
    workdir: WorkDir,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Made:
    """Measure the stars of a target without DOLPHOT.

    Parameters
    ----------
    workdir : WorkDir
        The target's; ``dolphot/inputs.ecsv``, what it lists and the aligned exposures must exist.
    settings : Settings
        Sections embedded, dolphot_inputs, dolphot (the name of the files) and machine.
    redo : bool, optional
        Make again what is up to date, too.
    progress : callable, optional
        Is told how far the run is; by default the log is, now and then.

    Returns
    -------
    Made
        Product: the catalogue ``dolphot/dp0000`` with the files beside it. Facts: how many stars,
        which engine, what is to be said.

    Raises
    ------
    MissingProduct
        If the inputs or an aligned exposure are not there.
    BadConfiguration
        If a grid of PSFs that the settings name is not there.
    UnusableInput
        If an input or a grid is damaged, or no star was found.
    HstAssetsError
        The first failure of a tile.
    """
    catalog = workdir.dolphot_catalog(settings.dolphot.base)
    images = read_input_images(workdir)
    grids = grids_of_settings(workdir, settings)
    recipe = _recipe(workdir, settings, images, grids)
    listen = progress or now_and_then(logger.info)
    run = _Run(workdir, settings, images, grids, listen, recipe.digest, redo)
    return make(recipe, catalog, workdir, lambda: _measured(run), redo=redo)


def _recipe(
    workdir: WorkDir, settings: Settings, images: Sequence[InputImage], grids: Mapping[str, Path]
) -> Recipe:
    inputs = read_record(workdir.dolphot_inputs)
    if inputs is None:
        raise MissingProduct(
            "the inputs of the photometry have no record: they were not finished",
            where=workdir.dolphot_inputs,
            next_step="Materialize dolphot_inputs first",
        )
    of_grids = {f"psf grid {name}": sha256_of_file(path) for name, path in grids.items()}
    return Recipe(
        stage=STAGE,
        inputs={"dolphot_inputs": inputs.digest, **_alignments(workdir, images), **of_grids},
        settings={
            "embedded": settings.embedded.as_recipe(),
            # An exposure that failed for want of time, and was made since, is another input.
            "images": [image.label for image in images],
        },
        defaults={"embedded": Settings().embedded.as_recipe()},
        detectors=tuple({image.detector.key: image.detector for image in images}.values()),
        tools=_TOOLS,
    )


def _alignments(workdir: WorkDir, images: Sequence[InputImage]) -> dict[str, str]:
    """By what each exposure was aligned: its full WCS is read, of which its chips have a part.

    The digest in the record of the aligned exposure; where that was cleaned away, the one its chips
    were made from; where there is no record at all, the SHA-256 of the file.
    """
    found = {}
    for image in images[1:]:
        aligned = workdir.aligned(_exposure_file(image))
        record = read_record(aligned)
        digest = _prepared_from(workdir, image) if record is None else record.digest
        if not digest and aligned.is_file():
            digest = sha256_of_file(aligned)
        found[f"aligned {image.exposure}"] = digest
    return found


def _exposure_file(image: InputImage) -> str:
    """Name of the exposure that a chip was cut of."""
    return f"{image.path.name.removesuffix(f'.chip{image.chip}.fits')}.fits"


def _prepared_from(workdir: WorkDir, image: InputImage) -> str:
    """Digest of the alignment that a chip was made from; empty without a record."""
    record = read_record(workdir.dolphot_chips(_exposure_file(image)))
    return "" if record is None else str(record.recipe.get("inputs", {}).get(image.exposure, ""))


def _check_alignments(run: _Run) -> None:
    """The aligned exposures must be those that the chips were made of."""
    for image in run.images[1:]:
        aligned = run.workdir.aligned(_exposure_file(image))
        record, known = read_record(aligned), _prepared_from(run.workdir, image)
        if record is not None and known and record.digest != known:
            raise UnusableInput(
                "the exposure was aligned again since its chips were made",
                where=aligned,
                next_step="Materialize dolphot_inputs again",
            )


# ------------------------------------------------------------------------------- the run


def _measured(run: _Run) -> Result:
    began = time.monotonic()
    choices = run.settings.embedded
    run.tell("reading images", 0.0)
    check_images(run.images, with_wcs=False)
    _check_alignments(run)
    chips = open_images(run.workdir, run.images, run.settings.dolphot_inputs)
    radius = aperture_radius_arcsec(chips, run.settings)
    folder = _begun_folder(run)
    stars = measure_chips(
        chips,
        run.workdir,
        run.settings,
        folder=folder,
        residuals=choices.residuals,
        progress=lambda step, share: run.tell(step, _MEASURED * share),
    )
    run.tell("writing the catalogue", _MEASURED)
    cataloged, remarks = cataloged_images(chips, radius)
    lost = transfer_mag(stars, chips) if choices.wfpc2_cte else None
    catalog = catalog_of_stars(stars, cataloged, flag_mask=choices.flag_mask, transfer_mag=lost)
    transfers = charge_transfers(chips, wfpc2_cte=choices.wfpc2_cte)
    info = run_info(stars, cataloged, shape=reference_shape(run.images))
    notes = [text for text in stars.remarks if _IS_NOTE.search(text)]
    warnings = (
        *(text for text in stars.remarks if text not in notes),
        *remarks,
        *disagreements(stars, cataloged, transfer_mag=lost),
        *transfer_warnings(transfers),
    )
    with run.workdir.scratch(STAGE) as scratch:
        made = scratch / run.catalog.name
        write_files(catalog, info, made, parameters=_parameters(run, transfers), warnings=warnings)
        if stars.kept is not None:
            stars.kept.save(made.with_name(f"{made.name}{KEPT}"))
        if choices.residuals:
            _write_residuals(chips, sorted(folder.glob("*.residuals.npz")), made)
        outputs = publish_files(made, run.catalog)
    shutil.rmtree(folder.parent)
    facts = _facts(run, stars, cataloged, transfers) | {
        "n_columns": len(catalog.columns),
        "psfs": notes,
    }
    run.tell("done", 1.0)
    return Result(outputs, {**facts, "seconds": round(time.monotonic() - began, 1)})


def measure_chips(
    chips: Sequence[ChipFile],
    workdir: WorkDir,
    settings: Settings,
    *,
    folder: Path,
    residuals: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> MeasuredStars:
    """Measure the stars of some chips, tile by tile in child processes.

    Parameters
    ----------
    chips : sequence of ChipFile
        The images; where their boxes are smaller than they are, so much of them is measured.
    workdir : WorkDir
        For scratch folders and logs.
    settings : Settings
        Sections embedded and machine.
    folder : `~pathlib.Path`
        An existing folder, where tiles that are done are not measured again.
    residuals : bool, optional
        Whether what is left of the images is kept there.
    progress : callable, optional
        Is told the step and which share of all is done.

    Returns
    -------
    MeasuredStars
        With what is to be kept of the measurement.

    Raises
    ------
    BadConfiguration
        If a grid of PSFs that the settings name is not there.
    UnusableInput
        If an input or a grid is damaged, or no star was found.
    HstAssetsError
        The first failure of a tile.
    """
    radius = aperture_radius_arcsec(chips, settings)
    priors = first_psfs(
        chips,
        grids_of_settings(workdir, settings),
        psf_radius_pix=settings.embedded.psf_radius_pix,
        aperture_radius_arcsec=radius,
    )
    parameters = _engine_parameters(settings.embedded, radius)
    stars = measure_target(
        chips,
        priors,
        folder=folder,
        parameters=replace(parameters, residuals=residuals),
        run=_runner(workdir, settings),
        progress=progress,
    )
    if stars.kept is None:
        return stars
    return replace(stars, kept=replace(stars.kept, engine=_program()))


def _begun_folder(run: _Run) -> Path:
    """The folder of what is measured: a run that was interrupted goes on in it."""
    kept = run.catalog.parent / _BEGUN
    folder = kept / run.digest[:_DIGITS]
    if kept.is_dir():
        for other in kept.iterdir():  # begun of other images, or with other settings
            if not other.is_dir():  # nobody's
                other.unlink()
            elif other != folder or run.redo:
                shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute()


def _engine_parameters(choices: EmbeddedSettings, radius_arcsec: float) -> MeasureParameters:
    return MeasureParameters(
        fit=FitParameters(
            first_snr=choices.find_snr,
            final_snr=choices.final_snr,
            n_passes=choices.n_searches,
        ),
        tile_pix=choices.tile_pix,
        tile_memory_gb=choices.tile_memory_gb,
        max_psf_stars=choices.max_psf_stars,
        cosmic_rays=choices.cosmic_rays,
        noise_mult=choices.noise_mult,
        aperture_radius_arcsec=radius_arcsec,
    )


def _runner(workdir: WorkDir, settings: Settings) -> Runner:
    """Runs tiles in child processes, as many at a time as there are cores."""
    cores = settings.machine.cores
    at_once = _IN_ONE_GO * cores

    def in_children(task: str, arguments: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Any]]:
        for start in range(0, len(arguments), at_once):
            with workdir.scratch(STAGE) as scratch:
                calls = [
                    _call(workdir, told, scratch / str(at), task)
                    for at, told in enumerate(arguments[start : start + at_once], start)
                ]
                outcomes = run_many_isolated(
                    task,
                    calls,
                    timeout_s=settings.machine.timeout_s(_LIMIT),
                    max_cores=cores,
                )
            yield from enumerate(outcomes, start)

    return in_children


def _call(workdir: WorkDir, told: Mapping[str, Any], folder: Path, task: str) -> Call:
    folder.mkdir()
    return Call(told, folder, workdir.log(STAGE, task.rpartition(":")[2]))


def _write_residuals(chips: Sequence[ChipFile], files: Sequence[Path], made: Path) -> None:
    if not files:
        return
    for at, chip in enumerate(chips, 1):
        parts = [part for file in files for part in read_parts(file, chip.name)]
        write_residual_image(chip, parts, made.with_name(f"{made.name}.{at}.res.fits"))


def _parameters(run: _Run, transfers: Sequence[ChargeTransfer]) -> str:
    """The ``.param`` file: which engine, with which settings, on which images."""
    chosen = run.settings.embedded.as_recipe()
    lines = [
        ("Photometer", _program()),
        ("Nimg", str(len(run.images) - 1)),
        *((f"img{number:04d}_file", image.alias) for number, image in enumerate(run.images)),
        *(
            (f"img{number:04d}_charge_transfer", each.state)
            for number, each in enumerate(transfers, 1)
        ),
        ("FlagMask", str(chosen.pop("flag_mask"))),
        *(
            (name, f"{int(value) if isinstance(value, bool) else value}")
            for name, value in chosen.items()
        ),
        *((f"psf_grid_{name}", path.name) for name, path in run.grids.items()),
    ]
    return parameters_text(lines)


def _program() -> str:
    version = code_version_of(STAGE).rpartition(" ")[2]
    return f"embedded {version}, hst_assets {tool_version('hst_assets')}"


def _facts(
    run: _Run,
    stars: MeasuredStars,
    images: Sequence[CatalogedImage],
    transfers: Sequence[ChargeTransfer],
) -> dict[str, Any]:
    warnings = read_warnings(run.catalog.with_name(f"{run.catalog.name}.warnings"))
    return {
        "n_stars": len(stars),
        "n_moving_stars": stars.n_moving,
        "moving_stars": (stars.moving[:_MOST_MOVING_TOLD] + 1).tolist(),
        "n_images": len(images),
        "program": _program(),
        "libraries_not_found": [],
        "remarks": [],
        "warnings": [{**asdict(each), "is_problem": each.is_problem} for each in warnings],
        "n_problems": sum(warning.is_problem for warning in warnings),
        "charge_transfer": told_by_detector(transfers),
        "zero_points": [
            {
                "image": image.alias,
                "vega_mag": _finite(image.zero_point_mag),
                "ab_mag": _finite(image.ab_zero_point_mag),
                "aperture_correction_mag": _finite(correction),
                "charge_transfer": transfer.state,
            }
            for image, correction, transfer in zip(
                images, stars.aperture_correction_mag.tolist(), transfers, strict=True
            )
        ],
    }


def _finite(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None

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

import numpy as np
from numpy.typing import NDArray

from hst_assets.digests import sha256_of_file
from hst_assets.exposures.keywords import number
from hst_assets.failures import BadConfiguration, MissingProduct, UnusableInput
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.photometry.catalog.magnitudes import ab_zero_point
from hst_assets.photometry.catalog.run_records import read_warnings
from hst_assets.photometry.catalog.vega import vega_band
from hst_assets.photometry.dolphot.catalog_run import publish_files
from hst_assets.photometry.dolphot.input_images import (
    InputImage,
    check_images,
    read_input_images,
)
from hst_assets.photometry.dolphot.parameters import parameters_text
from hst_assets.photometry.encircled_energy import WFPC2_RADIUS_ARCSEC
from hst_assets.photometry.progress import Progress, now_and_then
from hst_assets.photometry.psf.catalog_files import (
    CatalogedImage,
    catalog_of_stars,
    run_info,
    write_files,
)
from hst_assets.photometry.psf.chips_in import ChipFile, open_images, reference_shape
from hst_assets.photometry.psf.field_fit import FitParameters
from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets.photometry.psf.measurement import MeasureParameters, Runner, measure_target
from hst_assets.photometry.psf.prior_psf import prior_psf
from hst_assets.photometry.psf.residual_images import read_parts, write_residual_image
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.photometry.psf.stdpsf import read_stdpsf
from hst_assets.photometry.wfpc2_cte import wfpc2_cte_mag
from hst_assets.provenance import Made, Recipe, Result, make, read_record, tool_version
from hst_assets.settings import EmbeddedSettings, Settings
from hst_assets.stages import code_version_of
from hst_assets.workdir import WorkDir

__all__ = [
    "KEPT",
    "STAGE",
    "TOOL",
    "aperture_radius_arcsec",
    "cataloged_images",
    "make_embedded_catalog",
    "transfer_mag",
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
_ANGSTROM_PER_UM = 1e4
#: Charge is lost of a star with so many electrons at least, however faint it is.
_FEWEST_COUNTS_E = 1.0
#: WFPC2 ran warm before, and its loss of charge is not known (MJD, April 1994).
_COLD_SINCE_MJD = 49461.85
#: Share of the time after which all is measured.
_MEASURED = 0.95

Floats = NDArray[np.float64]


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
    grids = _grids(workdir, settings)
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
        inputs={"dolphot_inputs": inputs.digest, **of_grids},
        settings={
            "embedded": settings.embedded.as_recipe(),
            # An exposure that failed for want of time, and was made since, is another input.
            "images": [image.label for image in images],
        },
        defaults={"embedded": Settings().embedded.as_recipe()},
        detectors=tuple({image.detector.key: image.detector for image in images}.values()),
        tools=_TOOLS,
    )


def _grids(workdir: WorkDir, settings: Settings) -> dict[str, Path]:
    """The user's grids of PSFs by band."""
    paths = {name: workdir.base / path for name, path in settings.embedded.psf_grids.items()}
    for name, path in paths.items():
        if not path.is_file():
            raise BadConfiguration(
                "embedded.psf_grids names a file that does not exist",
                where=path,
                next_step=f"Correct it, or leave {name} out: the PSF then begins with a model",
            )
    return paths


# ------------------------------------------------------------------------------- the run


def _measured(run: _Run) -> Result:
    began = time.monotonic()
    choices = run.settings.embedded
    run.tell("reading images", 0.0)
    check_images(run.images, with_wcs=False)
    chips = open_images(run.workdir, run.images, run.settings.dolphot_inputs)
    radius = aperture_radius_arcsec(chips, run.settings)
    reach = _psf_radius_pix(chips, choices, radius)
    priors = {chip.psf_key: _prior(chip, run, reach) for chip in _one_of_each(chips)}
    folder = _begun_folder(run)
    stars = measure_target(
        chips,
        priors,
        folder=folder,
        parameters=_engine_parameters(choices, radius),
        run=_runner(run),
        progress=lambda step, share: run.tell(step, _MEASURED * share),
    )
    run.tell("writing the catalogue", _MEASURED)
    cataloged, remarks = cataloged_images(chips, radius)
    catalog = catalog_of_stars(
        stars,
        cataloged,
        flag_mask=choices.flag_mask,
        transfer_mag=transfer_mag(stars, chips) if choices.wfpc2_cte else None,
    )
    info = run_info(stars, cataloged, shape=reference_shape(run.images))
    notes = [text for text in stars.remarks if _IS_NOTE.search(text)]
    warnings = (
        *(text for text in stars.remarks if text not in notes),
        *remarks,
        *(_early(chips) if choices.wfpc2_cte else ()),
    )
    with run.workdir.scratch(STAGE) as scratch:
        made = scratch / run.catalog.name
        write_files(catalog, info, made, parameters=_parameters(run), warnings=warnings)
        if stars.kept is not None:
            kept = replace(stars.kept, engine=_program())
            kept.save(made.with_name(f"{made.name}{KEPT}"))
        if choices.residuals:
            _write_residuals(chips, sorted(folder.glob("*.residuals.npz")), made)
        outputs = publish_files(made, run.catalog)
    shutil.rmtree(folder.parent)
    facts = _facts(run, stars, cataloged) | {"n_columns": len(catalog.columns), "psfs": notes}
    run.tell("done", 1.0)
    return Result(outputs, {**facts, "seconds": round(time.monotonic() - began, 1)})


def _begun_folder(run: _Run) -> Path:
    """The folder of what is measured: a run that was interrupted goes on in it."""
    kept = run.catalog.parent / _BEGUN
    folder = kept / run.digest[:_DIGITS]
    if kept.is_dir():
        for other in kept.iterdir():  # begun of other images, or with other settings
            if other != folder or run.redo:
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
        residuals=choices.residuals,
    )


def _runner(run: _Run) -> Runner:
    """Runs tiles in child processes, as many at a time as there are cores."""
    cores = run.settings.machine.max_cores
    at_once = _IN_ONE_GO * cores

    def in_children(task: str, arguments: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Any]]:
        for start in range(0, len(arguments), at_once):
            with run.workdir.scratch(STAGE) as scratch:
                calls = [
                    _call(run, told, scratch / str(at), task)
                    for at, told in enumerate(arguments[start : start + at_once], start)
                ]
                outcomes = run_many_isolated(
                    task,
                    calls,
                    timeout_s=run.settings.machine.timeout_s(_LIMIT),
                    max_cores=cores,
                )
            yield from enumerate(outcomes, start)

    return in_children


def _call(run: _Run, told: Mapping[str, Any], folder: Path, task: str) -> Call:
    folder.mkdir()
    return Call(told, folder, run.workdir.log(STAGE, task.rpartition(":")[2]))


def _one_of_each(chips: Sequence[ChipFile]) -> list[ChipFile]:
    """The first chip of each PSF."""
    return list({chip.psf_key: chip for chip in reversed(chips)}.values())


def _psf_radius_pix(
    chips: Sequence[ChipFile], choices: EmbeddedSettings, aperture_arcsec: float
) -> int:
    """Radius of all PSFs: as it is set, or what the aperture of the finest chip needs."""
    finest = min(chip.pixel_scale_arcsec for chip in chips)
    return max(choices.psf_radius_pix, math.ceil(aperture_arcsec / finest) + 2)


def _prior(chip: ChipFile, run: _Run, radius_pix: int) -> SplinePsf:
    """The PSF of a chip before any star is seen: a model, or that of the user's grid."""
    detector, filter_name = chip.image.detector, chip.image.filter
    pivot = chip.photometry.plam
    if not math.isfinite(pivot):
        pivot = vega_band(detector.key, filter_name).pivot_angstrom
    number_of_chip = max(chip.chip_code + (detector.key == "wfpc2"), 1)
    model = prior_psf(
        detector.key,
        pivot_um=pivot / _ANGSTROM_PER_UM,
        bandwidth_um=number(chip.header, "PHOTBW", 0.0) / _ANGSTROM_PER_UM,
        radius_pix=radius_pix,
        chip=number_of_chip,
        pixel_arcsec=chip.pixel_arcsec,
    )
    grid = run.grids.get(f"{detector.key}.{filter_name.lower()}")
    if grid is None:
        return model
    shape = detector.full_shape
    whole = read_stdpsf(grid, detector=detector.key, chip=number_of_chip, shape=shape, prior=model)
    return whole if chip.shape == shape else _at_middle(whole, chip)


def _at_middle(psf: SplinePsf, chip: ChipFile) -> SplinePsf:
    """The PSF of a full chip where a subarray's middle is."""
    x, y = chip.subarray_offset
    cell = psf.cell_of(x + chip.shape[1] / 2, y + chip.shape[0] / 2)
    return replace(psf, coefficients=psf.coefficients[cell][None, None], cell_pix=(1e6, 1e6))


def _write_residuals(chips: Sequence[ChipFile], files: Sequence[Path], made: Path) -> None:
    if not files:
        return
    for at, chip in enumerate(chips, 1):
        parts = [part for file in files for part in read_parts(file, chip.name)]
        write_residual_image(chip, parts, made.with_name(f"{made.name}.{at}.res.fits"))


def _parameters(run: _Run) -> str:
    """The ``.param`` file: which engine, with which settings, on which images."""
    chosen = run.settings.embedded.as_recipe()
    lines = [
        ("Photometer", _program()),
        ("Nimg", str(len(run.images) - 1)),
        *((f"img{number:04d}_file", image.alias) for number, image in enumerate(run.images)),
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


def _facts(run: _Run, stars: MeasuredStars, images: Sequence[CatalogedImage]) -> dict[str, Any]:
    warnings = read_warnings(run.catalog.with_name(f"{run.catalog.name}.warnings"))
    return {
        "n_stars": len(stars),
        "n_images": len(images),
        "program": _program(),
        "libraries_not_found": [],
        "remarks": [],
        "warnings": [{**asdict(each), "is_problem": each.is_problem} for each in warnings],
        "n_problems": sum(warning.is_problem for warning in warnings),
        "charge_transfer": _charge_transfer(images, run.settings.embedded),
        "zero_points": [
            {
                "image": image.alias,
                "vega_mag": _finite(image.zero_point_mag),
                "aperture_correction_mag": _finite(correction),
            }
            for image, correction in zip(
                images, stars.aperture_correction_mag.tolist(), strict=True
            )
        ],
    }


def _finite(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


# ------------------------------------------------------------------------- what images are


def aperture_radius_arcsec(chips: Sequence[ChipFile], settings: Settings) -> float:
    """Radius of the aperture corrections, arcsec; where WFPC2 is, that of its one known share."""
    if any(chip.image.detector.key == "wfpc2" for chip in chips):
        return WFPC2_RADIUS_ARCSEC
    return settings.embedded.aperture_radius_arcsec


def cataloged_images(
    chips: Sequence[ChipFile], radius_arcsec: float
) -> tuple[list[CatalogedImage], tuple[str, ...]]:
    """What the catalogue says of the images, and what is to be said of that."""
    remarks: dict[str, None] = {}
    images = []
    for chip in chips:
        zero_point, fault = _vega_zero_point(chip)
        if fault:
            remarks[f"{chip.band} has no Vega magnitudes: {fault}"] = None
        if not math.isfinite(chip.encircled(radius_arcsec)):
            remarks[
                f"no table of encircled energy of {chip.band}: magnitudes are of the light within "
                f"{radius_arcsec:g} arcsec"
            ] = None
        images.append(
            CatalogedImage(
                alias=chip.image.alias,
                detector=chip.image.detector,
                filter=chip.image.filter,
                exptime_s=chip.exptime_s,
                mjd=chip.mjd,
                gain=chip.gain,
                chip_code=chip.chip_code,
                zero_point_mag=zero_point,
                alignment=_alignment(chip),
            )
        )
    return images, tuple(remarks)


def _vega_zero_point(chip: ChipFile) -> tuple[float, str]:
    """Vega magnitude of one count per second by the header, or why there is none."""
    known = chip.photometry
    if known.fault:
        return math.nan, known.fault
    try:
        vega = vega_band(chip.image.detector.key, chip.image.filter)
    except UnusableInput as error:
        return math.nan, error.what
    return ab_zero_point(known.flam, known.plam) - vega.ab_mag(), ""


def _alignment(chip: ChipFile) -> tuple[float, float, float, float, float]:
    """Shift, scale and rotation from the reference in the middle of the chip, as in ``.info``.

    The shift is that of the map there, continued as if it had no distortion, which is not among
    these five numbers.
    """
    x_first, x_last, y_first, y_last = chip.box
    place = np.array([(x_first + x_last) / 2, (y_first + y_last) / 2])
    x, y = place[0] + np.array([0.0, 1.0, 0.0]), place[1] + np.array([0.0, 0.0, 1.0])
    there = np.column_stack(chip.pixel_map(x, y))
    along, up = there[1] - there[0], there[2] - there[0]
    scale = math.sqrt(abs(along[0] * up[1] - along[1] * up[0]))
    shift = there[0] - place
    rotation = math.degrees(math.atan2(along[1], along[0]))
    return float(shift[0]), float(shift[1]), scale, 0.0, rotation


def transfer_mag(stars: MeasuredStars, chips: Sequence[ChipFile]) -> Floats | None:
    """What lost charge cost each star on WFPC2's chips; None if there are none."""
    wanted = [k for k, chip in enumerate(chips) if chip.image.detector.key == "wfpc2"]
    if not wanted or stars.chip_x is None or stars.chip_y is None:
        return None
    lost = np.zeros(stars.counts_e.shape)
    rates = _rates_of_bands(stars, chips)
    for k in wanted:
        lost[k] = wfpc2_cte_mag(
            # Of the mean of its band: of a faint star's own noisy counts the mean loss is wrong.
            np.maximum(rates[chips[k].band] * chips[k].exptime_s, _FEWEST_COUNTS_E),
            stars.sky_e[k],
            x=stars.chip_x[k],
            y=stars.chip_y[k],
            mjd=chips[k].mjd,
        )
    return np.nan_to_num(lost)


def _rates_of_bands(stars: MeasuredStars, chips: Sequence[ChipFile]) -> dict[str, Floats]:
    """Mean rate of each star in each band, electrons a second; 0 where nothing was measured."""
    rates = {}
    for band in {chip.band for chip in chips}:
        members = [k for k, chip in enumerate(chips) if chip.band == band]
        exptime_s = np.array([chips[k].exptime_s for k in members])[:, None]
        weight = (exptime_s / stars.counts_error_e[members]) ** 2
        weight = np.where(np.isfinite(weight), weight, 0.0)
        total = np.maximum(weight.sum(axis=0), 1e-300)
        rates[band] = (stars.counts_e[members] / exptime_s * weight).sum(axis=0) / total
    return rates


def _early(chips: Sequence[ChipFile]) -> Iterator[str]:
    """WFPC2's exposures from before its loss of charge is known."""
    for chip in chips:
        if chip.image.detector.key == "wfpc2" and chip.mjd < _COLD_SINCE_MJD:
            yield f"{chip.name}: before April 1994, its lost charge is not known: not corrected"


def _charge_transfer(images: Sequence[CatalogedImage], choices: EmbeddedSettings) -> list[str]:
    """What is done about lost charge, by detector."""
    known = {image.detector.key: image.detector for image in images}
    return [f"{key}: {text}" for key, text in _transfer_of(known, choices)]


def _transfer_of(
    detectors: Mapping[str, Any], choices: EmbeddedSettings
) -> Iterator[tuple[str, str]]:
    for key, detector in detectors.items():
        if key == "wfpc2" and choices.wfpc2_cte:
            yield key, "magnitudes corrected star by star (Dolphin 2009, PASP 121, 655)"
        elif detector.is_infrared:
            yield key, "loses none"
        elif detector.suffix == "flc":
            yield key, "corrected in the exposures (flc), unless the exposure table notes another"
        else:
            yield key, "not corrected"

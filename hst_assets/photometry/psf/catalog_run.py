"""The catalogue of a target by the embedded photometer: measured tile by tile, written as DOLPHOT's.

The files are those that DOLPHOT leaves, under the same names and in the same format, so that all
that reads a catalogue reads this one. They appear when everything is measured, the catalogue last.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.digests import sha256_of_file
from hst_assets.failures import BadConfiguration, HstAssetsError, MissingProduct, UnusableInput
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
from hst_assets.photometry.encircled_energy import WFPC2_RADIUS_ARCSEC, to_infinity_mag
from hst_assets.photometry.progress import Progress, now_and_then
from hst_assets.photometry.psf.catalog_files import (
    CatalogedImage,
    catalog_of_stars,
    run_info,
    write_files,
)
from hst_assets.photometry.psf.chip_image import MeasuredStars
from hst_assets.photometry.psf.chips_in import ChipFile, open_images, reference_shape
from hst_assets.photometry.psf.residual_images import read_parts, write_residual_image
from hst_assets.photometry.psf.tile_plan import (
    Tile,
    overlap_pix,
    plan_tiles,
    put_together,
    read_stars,
)
from hst_assets.photometry.wfpc2_cte import wfpc2_cte_mag
from hst_assets.provenance import Made, Recipe, Result, make, read_record, tool_version
from hst_assets.settings import Settings
from hst_assets.stages import code_version_of
from hst_assets.workdir import WorkDir

__all__ = ["STAGE", "TOOL", "aperture_radius_arcsec", "make_embedded_catalog"]

logger = logging.getLogger(__name__)

STAGE = "embedded_catalog"
#: Its name where progress is told.
TOOL = "psf photometry"

#: Name of the time limit of a tile.
_LIMIT = "embedded"
_TASK = "hst_assets.photometry.psf.tile_task:measure_tile"
_TOOLS = ("astropy", "numba", "numpy", "photutils", "scipy")
_STEP = "measuring tiles"
#: Share of the time after which all tiles are measured.
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
        If an input is damaged, or no star was found.
    HstAssetsError
        The first failure of a tile.
    """
    catalog = workdir.dolphot_catalog(settings.dolphot.base)
    images = read_input_images(workdir)
    grids = _grids(workdir, settings)
    recipe = _recipe(workdir, settings, images, grids)
    run = _Run(workdir, settings, images, grids, progress or now_and_then(logger.info))
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
    workdir, choices = run.workdir, run.settings.embedded
    run.tell("reading images", 0.0)
    check_images(run.images, with_wcs=False)
    chips = open_images(workdir, run.images, run.settings.dolphot_inputs)
    shape = reference_shape(run.images)
    tiles = plan_tiles(
        chips,
        shape,
        side_pix=choices.tile_pix,
        overlap=overlap_pix(chips, choices.psf_radius_pix),
    )
    names = [chip.name for chip in chips]
    with workdir.scratch(STAGE) as scratch:
        folders = _measured_tiles(run, tiles, scratch)
        parts = [(tile, read_stars(folder / "stars.npz")) for tile, folder in folders]
        stars = put_together(parts, names)
        if not len(stars):
            raise UnusableInput(
                "no star was found",
                where=workdir.dolphot_inputs,
                next_step="Lower embedded.final_snr, or look at the inputs",
            )
        run.tell("writing the catalogue", _MEASURED)
        cataloged, remarks = _cataloged(chips, run.settings)
        catalog = catalog_of_stars(
            stars,
            cataloged,
            flag_mask=choices.flag_mask,
            transfer_mag=_transfer_mag(stars, chips),
        )
        warnings = (*stars.remarks, *remarks)
        made = scratch / run.catalog.name
        write_files(
            catalog,
            run_info(stars, cataloged, shape=shape),
            made,
            parameters=_parameters(run),
            warnings=warnings,
        )
        if choices.residuals:
            _write_residuals(chips, [folder for _, folder in folders], made)
        outputs = publish_files(made, run.catalog)
    run.tell("done", 1.0)
    facts = _facts(run, stars, cataloged)
    facts |= {"n_columns": len(catalog.columns), "n_tiles": len(tiles)}
    return Result(outputs, {**facts, "seconds": round(time.monotonic() - began, 1)})


def _measured_tiles(run: _Run, tiles: Sequence[Tile], scratch: Path) -> list[tuple[Tile, Path]]:
    """Measure tiles side by side; those that have images, with the folders of their files."""
    cores = run.settings.machine.max_cores
    found: list[tuple[Tile, Path]] = []
    run.tell(_STEP, 0.0)
    for start in range(0, len(tiles), cores):
        some = tiles[start : start + cores]
        calls = [_call(run, tile, scratch) for tile in some]
        outcomes = run_many_isolated(
            _TASK, calls, timeout_s=run.settings.machine.timeout_s(_LIMIT), max_cores=cores
        )
        for tile, call, outcome in zip(some, calls, outcomes, strict=True):
            if isinstance(outcome, HstAssetsError):
                raise outcome
            if outcome["n_images"]:
                found.append((tile, call.scratch))
        run.tell(_STEP, _MEASURED * min(start + cores, len(tiles)) / len(tiles))
    return found


def _call(run: _Run, tile: Tile, scratch: Path) -> Call:
    folder = scratch / f"tile_{tile.number:05d}"
    folder.mkdir()
    arguments = {
        "root": str(run.workdir.root.absolute()),
        "target": run.workdir.target,
        "core": list(tile.core),
        "box": list(tile.box),
        "embedded": run.settings.embedded.as_recipe(),
        "dolphot_inputs": run.settings.dolphot_inputs.as_recipe(),
        "psf_grids": {name: str(path.absolute()) for name, path in run.grids.items()},
        "folder": str(folder.absolute()),
    }
    return Call(arguments, folder, run.workdir.log(STAGE, folder.name))


def _write_residuals(chips: Sequence[ChipFile], folders: Sequence[Path], made: Path) -> None:
    for number, chip in enumerate(chips, 1):
        parts = [
            part for folder in folders for part in read_parts(folder / "residuals.npz", chip.name)
        ]
        write_residual_image(chip, parts, made.with_name(f"{made.name}.{number}.res.fits"))


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
        "charge_transfer": _charge_transfer(images),
        "zero_points": [
            {
                "image": image.alias,
                "vega_mag": _finite(image.zero_point_mag),
                "aperture_correction_mag": _finite(correction),
                "to_all_light_mag": _finite(image.to_infinity_mag),
            }
            for image, correction in zip(
                images, stars.aperture_correction_mag.tolist(), strict=True
            )
        ],
    }


def _finite(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


# ------------------------------------------------------------------------- what images are


def aperture_radius_arcsec(chip: ChipFile, settings: Settings) -> float:
    """Radius of the aperture corrections of a chip, arcsec."""
    if chip.image.detector.key == "wfpc2":
        return WFPC2_RADIUS_ARCSEC
    return settings.embedded.aperture_radius_arcsec


def _cataloged(
    chips: Sequence[ChipFile], settings: Settings
) -> tuple[list[CatalogedImage], tuple[str, ...]]:
    """What the catalogue says of the images, and what is to be said of that."""
    remarks: dict[str, None] = {}
    images = []
    for chip in chips:
        zero_point, fault = _vega_zero_point(chip)
        radius = aperture_radius_arcsec(chip, settings)
        beyond = to_infinity_mag(chip.image.detector.key, chip.image.filter, radius)
        if fault:
            remarks[f"{chip.band} has no Vega magnitudes: {fault}"] = None
        if not math.isfinite(beyond):
            remarks[
                f"no table of encircled energy of {chip.band}: magnitudes are of the light within "
                f"{radius:g} arcsec"
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
                to_infinity_mag=beyond if math.isfinite(beyond) else 0.0,
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
    """Shift, scale and rotation from the reference at the middle of the chip, as ``.info`` has them.

    Shifts are those of the chip's middle from the reference's first pixel; the full distortion is
    not among these five numbers.
    """
    ny, nx = chip.shape
    middle = np.array([(nx - 1) / 2, (ny - 1) / 2])
    points = middle + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    sky = chip.wcs.all_pix2world(points, 0)
    there = np.asarray(chip.reference_wcs.all_world2pix(sky, 0))
    along, up = there[1] - there[0], there[2] - there[0]
    scale = math.sqrt(abs(along[0] * up[1] - along[1] * up[0]))
    rotation = math.degrees(math.atan2(along[1], along[0]))
    shift = middle - there[0]
    return float(shift[0]), float(shift[1]), 1 / scale, 0.0, -rotation


def _transfer_mag(stars: MeasuredStars, chips: Sequence[ChipFile]) -> Floats | None:
    """What lost charge cost each star on WFPC2's chips; None if there are none."""
    wanted = [k for k, chip in enumerate(chips) if chip.image.detector.key == "wfpc2"]
    if not wanted:
        return None
    lost = np.zeros(stars.counts_e.shape)
    for k in wanted:
        x, y = _places(stars, chips[k])
        lost[k] = np.nan_to_num(
            wfpc2_cte_mag(stars.counts_e[k], stars.sky_e[k], x=x, y=y, mjd=chips[k].mjd)
        )
    return lost


def _places(stars: MeasuredStars, chip: ChipFile) -> tuple[Floats, Floats]:
    sky = chip.reference_wcs.all_pix2world(stars.x, stars.y, 0)
    x, y = chip.wcs.all_world2pix(*sky, 0, quiet=True)
    return np.asarray(x), np.asarray(y)


def _charge_transfer(images: Sequence[CatalogedImage]) -> list[str]:
    """What is done about lost charge, by detector."""
    known = {image.detector.key: image.detector for image in images}
    return [f"{key}: {text}" for key, text in _transfer_of(known)]


def _transfer_of(detectors: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, detector in detectors.items():
        if key == "wfpc2":
            yield key, "magnitudes corrected star by star (Dolphin 2009, PASP 121, 655)"
        elif detector.is_infrared:
            yield key, "loses none"
        elif detector.suffix == "flc":
            yield key, "corrected in the exposures (flc)"
        else:
            yield key, "not corrected"

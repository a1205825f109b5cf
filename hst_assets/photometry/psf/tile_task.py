"""What runs in child processes: one tile is cut out of all chips and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import MissingTool
from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.psf.chip_image import ChipImage, MeasuredStars
from hst_assets.photometry.psf.chips_in import Box, cut, open_images
from hst_assets.photometry.psf.residual_images import part_of_tile, write_parts
from hst_assets.photometry.psf.tile_plan import write_stars
from hst_assets.settings import DolphotInputsSettings, EmbeddedSettings
from hst_assets.workdir import WorkDir

__all__ = ["Measure", "measure_tile", "measured_by"]

#: What measures: images, the piece of the reference, the settings and the user's grids of PSFs by
#: band; gives the stars, and what is left of each image.
Measure = Callable[
    [Sequence[ChipImage], Box, EmbeddedSettings, Mapping[str, Path]],
    tuple[MeasuredStars, Sequence[NDArray[np.float32]]],
]


def measure_tile(**told: Any) -> dict[str, Any]:
    """Measure a tile with the engine; see `measured_by`."""
    return measured_by(_engine, **told)


def _engine(
    images: Sequence[ChipImage], box: Box, choices: EmbeddedSettings, grids: Mapping[str, Path]
) -> tuple[MeasuredStars, Sequence[NDArray[np.float32]]]:
    raise MissingTool("the embedded photometer has no engine in this version")


def measured_by(
    measure: Measure,
    *,
    root: str,
    target: str,
    core: Sequence[float],
    box: Sequence[float],
    embedded: Mapping[str, Any],
    dolphot_inputs: Mapping[str, Any],
    psf_grids: Mapping[str, str],
    folder: str,
) -> dict[str, Any]:
    """Measure a tile.

    Parameters
    ----------
    measure : callable
        The engine.
    root, target : str
        The work directory.
    core, box : sequence of float
        Of the tile (`hst_assets.photometry.psf.tile_plan.Tile`).
    embedded, dolphot_inputs : mapping
        These sections of the settings.
    psf_grids : mapping
        Files by band, absolute.
    folder : str
        Where ``stars.npz`` and, if they are wanted, ``residuals.npz`` are left.

    Returns
    -------
    dict
        ``n_stars`` that were found, overlap included, and ``n_images``.

    Raises
    ------
    MissingProduct, UnusableInput
        As `hst_assets.photometry.psf.chips_in.open_images` and `cut`.
    """
    workdir = WorkDir(Path(root), target)
    choices = EmbeddedSettings.model_validate(embedded)
    chips = open_images(
        workdir, read_input_images(workdir), DolphotInputsSettings.model_validate(dolphot_inputs)
    )
    piece, own = _box(box), _box(core)
    cuts = (cut(chip, piece, margin_pix=choices.psf_radius_pix) for chip in chips)
    images = [image for image in cuts if image is not None and image.good.any()]
    here = Path(folder)
    if not images:
        return {"n_stars": 0, "n_images": 0}
    grids = {name: Path(path) for name, path in psf_grids.items()}
    stars, residuals = measure(images, piece, choices, grids)
    write_stars(stars, here / "stars.npz")
    if choices.residuals:
        parts = [
            part_of_tile(image, residual, own)
            for image, residual in zip(images, residuals, strict=True)
        ]
        write_parts(parts, here / "residuals.npz")
    return {"n_stars": len(stars), "n_images": len(images)}


def _box(values: Sequence[float]) -> Box:
    x_first, x_last, y_first, y_last = values
    return x_first, x_last, y_first, y_last

"""Colour pictures of a target: for each detector, its filters over all epochs as one image.

Pictures are for looking, not for measuring: the sky of each filter is taken off, each is scaled to
its own bright pixels, and an arcsinh stretch keeps the cores of stars from turning white (Lupton et
al. 2004, PASP 116, 133; `astropy.visualization.make_lupton_rgb`). The stacks of a detector lie on
one pixel grid, so that they are laid on each other by whole pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.nddata import block_reduce
from astropy.stats import sigma_clipped_stats
from astropy.visualization import make_lupton_rgb
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.failures import HstAssetsError, MissingProduct, UnusableInput
from hst_assets.products.batch import Batch, one_by_one
from hst_assets.products.columns import ColumnSpec, build_table, read_table, write_table
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.provenance import Made, Recipe, Result
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = [
    "COLOUR_COLUMNS",
    "STAGE",
    "chosen_filters",
    "make_colour_images",
    "write_colour_picture",
]

STAGE = "colour_image"

Plane = NDArray[np.float32]

COLOUR_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "Picture, relative to the work directory; empty if it failed"),
    ColumnSpec("detector", "str", "Instrument and detector"),
    ColumnSpec("blue", "str", "Filter shown as blue"),
    ColumnSpec("green", "str", "Filter shown as green; 'mean' of the others where there are two"),
    ColumnSpec("red", "str", "Filter shown as red"),
    ColumnSpec("status", "str", "OK or FAIL"),
    ColumnSpec("reason", "str", "Why it failed"),
)

_MEAN = "mean"
#: Columns that the web UI shows.
_SHOWN = ("detector", "blue", "green", "red")
#: The longest side of a picture; larger images are averaged down by a whole factor.
_MAX_SIDE_PIX = 1600
#: This percentile of a filter's pixels above its sky is as bright in every colour, but at least so
#: many standard deviations of the sky are: a filter without sources is not blown up into noise.
_BRIGHT_PERCENTILE = 99.5
_BRIGHT_SIGMA = 12.0
#: Softening of the arcsinh stretch; 8 is the usual choice of Lupton et al.
_SOFTENING = 8.0
#: Where the stretch bends, over that bright level, which then is at 0.7 of white.
_LINEAR_RANGE = 0.1
#: Part of a pixel by which two stacks of one grid may be off by rounding.
_GRID_TOLERANCE_PIX = 1e-3


@dataclass(frozen=True)
class _Picture:
    """One detector's picture: the stacks for blue and red, and for green where there is a third."""

    path: Path
    detector_key: str
    stacks: dict[str, Path]
    recipe: Recipe

    @property
    def colours(self) -> dict[str, str]:
        """Filter of each colour."""
        names = list(self.stacks)
        green = names[1] if len(names) > 2 else _MEAN
        return {"blue": names[0], "green": green, "red": names[-1]}


def make_colour_images(workdir: WorkDir, settings: Settings, *, redo: bool = False) -> Made:
    """Make the colour pictures of a target, one for each detector with two filters or more.

    Of more than three filters the bluest, the reddest and the one nearest the middle between them
    are taken; of two, green is their mean.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its stacks must exist.
    settings : Settings
        Of section drizzle the name of the object.
    redo : bool, optional
        Make again what is up to date, too.

    Returns
    -------
    Made
        Product: the index ``drizzle/colours.ecsv``. A picture that fails has a row with its reason.

    Raises
    ------
    MissingProduct
        If the index of the stacks is not there.
    """
    pictures = _pictures(workdir, settings)
    recipe = Recipe(
        stage="colour_images",
        inputs={picture.path.name: picture.recipe.digest for picture in pictures},
    )
    batch = Batch(
        stage=STAGE,
        planned=pictures,
        run=one_by_one(_combined),
        candidates=tuple(workdir.drizzle.glob("*.colour.png")),
    )

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        pairs = list(zip(pictures, outcomes, strict=True))
        rows = [_row(picture, outcome, workdir) for picture, outcome in pairs]
        index = workdir.colour_images
        write_table(build_table(COLOUR_COLUMNS, rows, {"target": workdir.target}), index)
        made = [picture.path for picture, outcome in pairs if isinstance(outcome, Made)]
        return Result((index, *made), _facts(rows, made, workdir))

    return make_indexed(batch, recipe, workdir.colour_images, workdir, write, redo=redo)


def _pictures(workdir: WorkDir, settings: Settings) -> list[_Picture]:
    if not workdir.stack_products.is_file():
        raise MissingProduct(
            "there are no stacks yet",
            where=workdir.target,
            next_step="Materialize drizzled_stacks first",
        )
    bands: dict[str, dict[str, tuple[Path, str]]] = {}
    for row in read_table(workdir.stack_products):
        if int(row["epoch"]) == 0 and str(row["status"]) != "FAIL":
            detector_key, _, filter_name = str(row["band"]).rpartition(".")
            stack = workdir.absolute(str(row["file"])), str(row["digest"])
            bands.setdefault(detector_key, {})[filter_name] = stack
    pictures = []
    for detector_key, stacks in sorted(bands.items()):
        names = chosen_filters({name: stack for name, (stack, _) in stacks.items()})
        if not names:
            continue
        recipe = Recipe(
            stage=STAGE,
            inputs={name: stacks[name][1] for name in names},
            settings={"colours": names},
            tools=("astropy",),
        ).known_in(workdir)
        path = workdir.colour_image(detector_key, settings.drizzle.object_name)
        paths = {name: stacks[name][0] for name in names}
        pictures.append(_Picture(path, detector_key, paths, recipe))
    return pictures


def chosen_filters(images: Mapping[str, Path]) -> list[str]:
    """Choose the filters of a colour picture.

    Parameters
    ----------
    images : mapping
        Image of each filter, by the filter's name.

    Returns
    -------
    list of str
        Two or three filters from blue to red; none of fewer than two.
    """
    wavelengths = _wavelengths(images)
    ordered = sorted(wavelengths, key=lambda name: (wavelengths[name], name))
    if len(ordered) < 2:
        return []
    blue, *between, red = ordered
    middle = (wavelengths[blue] + wavelengths[red]) / 2
    nearest = sorted(between, key=lambda name: abs(wavelengths[name] - middle))[:1]
    return [blue, *nearest, red]


def _wavelengths(stacks: Mapping[str, Path]) -> dict[str, float]:
    """The pivot wavelength of each filter; where one is not known, the numbers in their names.

    The number of a long-pass filter is where it begins: F350LP is redder than F438W.
    """
    pivots = {name: _pivot(path) for name, path in stacks.items()}
    if all(isinstance(pivot, float) and pivot > 0 for pivot in pivots.values()):
        return pivots
    numbers = {name: re.search(r"\d+", name) for name in stacks}
    return {name: float(number[0]) if number else 0.0 for name, number in numbers.items()}


def _pivot(path: Path) -> Any:
    """PHOTPLAM of the primary header, or else of the image; 0 where neither has it."""
    with fits.open(path) as hdus:
        headers = [hdu.header for hdu in hdus if hdu.name in ("PRIMARY", "SCI")]
        return next((header["PHOTPLAM"] for header in headers if "PHOTPLAM" in header), 0.0)


# ------------------------------------------------------------------------------ the picture


def _combined(picture: _Picture) -> Result:
    width, height = write_colour_picture(picture.stacks, picture.path)
    return Result((picture.path,), {"width": width, "height": height})


def write_colour_picture(images: Mapping[str, Path], path: Path) -> tuple[int, int]:
    """Write one picture of two or three images on one pixel grid.

    Parameters
    ----------
    images : mapping
        FITS files with extensions SCI and WHT, by the filter's name, from blue to red.
    path : `~pathlib.Path`
        The PNG; written in one step.

    Returns
    -------
    width, height : int
        Of the picture, in pixels; the side is 1600 pixels at most.

    Raises
    ------
    MissingProduct
        If an image cannot be read.
    UnusableInput
        If an image has no exposed pixel, or the images have none in common.
    """
    from PIL import Image

    planes, covered = _on_one_grid([_read(image) for image in images.values()])
    factor = -(-max(covered.shape) // _MAX_SIDE_PIX)
    binned = [_binned(plane, factor) for plane in planes]
    green = binned[1] if len(binned) > 2 else (binned[0] + binned[-1]) / 2
    with np.errstate(invalid="ignore", divide="ignore"):  # astropy divides before it looks for 0
        colours = make_lupton_rgb(
            binned[-1], green, binned[0], stretch=_LINEAR_RANGE, Q=_SOFTENING, minimum=0.0
        )
    colours[~_binned_mask(covered, factor)] = 0
    with write_atomically(path) as part:
        # The first row of a picture is its upper one, that of an array the lower one.
        Image.fromarray(colours[::-1]).save(part, format="PNG")
    return colours.shape[1], colours.shape[0]


def _read(path: Path) -> tuple[Plane, WCS]:
    """Sky-subtracted rates over the filter's own bright level, NaN where nothing was exposed."""
    try:
        with fits.open(path) as hdus:
            data = np.array(hdus["SCI"].data, dtype=np.float32)
            weight = np.array(hdus["WHT"].data)
            wcs = WCS(hdus["SCI"].header)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise MissingProduct(f"the stack cannot be read: {error}", where=path) from error
    data[~(np.isfinite(data) & (weight > 0))] = np.nan
    if not np.isfinite(data).any():
        raise UnusableInput("the stack has no exposed pixel", where=path)
    _, sky, noise = sigma_clipped_stats(data[np.isfinite(data)])
    bright = max(
        float(np.nanpercentile(data, _BRIGHT_PERCENTILE) - sky), _BRIGHT_SIGMA * float(noise)
    )
    if not bright > 0:
        raise UnusableInput("the stack has one value everywhere", where=path)
    return (data - np.float32(sky)) / np.float32(bright), wcs


def _on_one_grid(
    stacks: Sequence[tuple[Plane, WCS]],
) -> tuple[list[Plane], NDArray[np.bool_]]:
    """The pixels that all stacks have; and where in them all of them were exposed."""
    corners = [_offset(wcs, stacks[0][1]) for _, wcs in stacks]
    shapes = [plane.shape for plane, _ in stacks]
    left, bottom = (max(corner[axis] for corner in corners) for axis in (0, 1))
    right = min(x + nx for (x, _), (_, nx) in zip(corners, shapes, strict=True))
    top = min(y + ny for (_, y), (ny, _) in zip(corners, shapes, strict=True))
    if right <= left or top <= bottom:
        raise UnusableInput("the filters have no pixel in common")
    planes = [
        plane[bottom - y : top - y, left - x : right - x]
        for (plane, _), (x, y) in zip(stacks, corners, strict=True)
    ]
    covered = np.all([np.isfinite(plane) for plane in planes], axis=0)
    if not covered.any():
        raise UnusableInput("the filters have no exposed pixel in common")
    return [np.where(covered, plane, np.float32(0)) for plane in planes], covered


def _offset(wcs: WCS, first: WCS) -> tuple[int, int]:
    """Where the lower left pixel of a stack lies among those of the first one."""
    matrix = first.pixel_scale_matrix
    same = np.allclose(wcs.wcs.crval, first.wcs.crval, rtol=0, atol=1e-9) and np.allclose(
        wcs.pixel_scale_matrix,
        matrix,
        # By the largest term: where north is up, others are zeros but for rounding.
        rtol=0,
        atol=1e-9 * np.abs(matrix).max(),
    )
    exact = np.asarray(first.wcs.crpix) - np.asarray(wcs.wcs.crpix)
    whole = np.rint(exact)
    if not same or np.abs(exact - whole).max() > _GRID_TOLERANCE_PIX:
        raise UnusableInput("the stacks of the filters lie on different pixel grids")
    return int(whole[0]), int(whole[1])


def _binned(plane: Plane, factor: int) -> Plane:
    reduced: Plane = block_reduce(plane, factor, func=np.mean) if factor > 1 else plane
    return reduced


def _binned_mask(mask: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    reduced: NDArray[np.bool_] = block_reduce(mask, factor, func=np.all) if factor > 1 else mask
    return reduced


# -------------------------------------------------------------------------------- the index


def _row(picture: _Picture, outcome: Made | HstAssetsError, workdir: WorkDir) -> dict[str, Any]:
    failed = isinstance(outcome, HstAssetsError)
    return {
        "file": "" if failed else workdir.relative(picture.path),
        "detector": picture.detector_key,
        **picture.colours,
        "status": "FAIL" if failed else "OK",
        "reason": outcome.brief if isinstance(outcome, HstAssetsError) else "",
    }


def _facts(
    rows: Sequence[dict[str, Any]], made: Sequence[Path], workdir: WorkDir
) -> dict[str, Any]:
    failed = [f"{row['detector']}: {row['reason']}" for row in rows if row["status"] == "FAIL"]
    facts: dict[str, Any] = {
        "n_products": len(made),
        "pictures": [{name: row[name] for name in _SHOWN} for row in rows],
        "failed": failed,
        "previews": [workdir.relative(path) for path in made],
    }
    if not rows:
        facts["note"] = "no detector has stacks in two filters"
    return facts

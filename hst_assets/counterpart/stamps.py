"""The figure: stamps of every filter and epoch about the place, with the error circle, north up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.stats import sigma_clipped_stats
from numpy.typing import NDArray

from hst_assets.detection.image_planes import read_wcs
from hst_assets.failures import UnusableInput
from hst_assets.imaging.frames import opened
from hst_assets.sky_geometry import TangentPlane, pixel_scale_arcsec
from hst_assets.workdir import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Mark", "Stamp", "cut_stamp", "write_stamps"]

Image = NDArray[np.float64]

_SIDE_INCHES, _DOTS_PER_INCH = 2.1, 110
_MOST_IN_A_ROW = 4
#: All stamps have pixels of this side, that of the finest detector's drizzles or below.
_PIXEL_ARCSEC = 0.025
_MOST_PIXELS = 400
#: Grey levels run from so many standard deviations below the sky to so many above, or to the
#: brightest pixels.
_BLACK_SIGMA, _WHITE_SIGMA, _WHITE_PERCENT = -1.5, 8.0, 99.7
_CIRCLE, _SOURCE = "#d1495b", "#2f8f9d"


@dataclass(frozen=True)
class Mark:
    """A source that is marked: where, east and north of the place (arcsec), and its label."""

    east_arcsec: float
    north_arcsec: float
    label: str


@dataclass(frozen=True, eq=False)
class Stamp:
    """The surroundings of the place in one image: north up, east to the left.

    Attributes
    ----------
    title : str
        Band, epoch and date.
    pixels : ndarray, shape (n, n)
        NaN where the image has none.
    is_difference : bool
        Whether it is drawn about zero.
    """

    title: str
    pixels: Image
    is_difference: bool = False


def cut_stamp(
    image: Path,
    place: tuple[float, float],
    side_arcsec: float,
    *,
    title: str,
    is_difference: bool = False,
) -> Stamp | None:
    """Cut the surroundings of a place out of a drizzled image or a difference, north up.

    Parameters
    ----------
    image : `~pathlib.Path`
        With a plane SCI.
    place : (float, float)
        RA and Dec of the middle, degrees.
    side_arcsec : float
        Side of the stamp.
    title : str
        What is written above it.
    is_difference : bool, optional
        Whether it is drawn about zero.

    Returns
    -------
    Stamp or None
        None if the image has no pixel there. Pixels are interpolated linearly: for looking, not
        for measuring.

    Raises
    ------
    UnusableInput
        If the image cannot be read.
    """
    from scipy.ndimage import map_coordinates

    with opened(image) as hdus:
        try:
            header = hdus["SCI"].header
            data = np.array(hdus["SCI"].data, dtype=float)
            weight = np.array(hdus["WHT"].data) if "WHT" in hdus else None
        except (KeyError, TypeError, ValueError) as error:
            raise UnusableInput(f"a plane cannot be read: {error}", where=image) from error
        wcs = read_wcs(header, hdus)
    if weight is not None:
        data = np.where(weight > 0, data, np.nan)
    n = min(math.ceil(side_arcsec / _PIXEL_ARCSEC), _MOST_PIXELS)
    scale = side_arcsec / n
    middle = (n - 1) / 2
    own = TangentPlane(*place, scale).wcs((-middle, -middle))
    columns, rows = np.meshgrid(np.arange(n), np.arange(n))
    sky = own.all_pix2world(columns.ravel(), rows.ravel(), 0)
    x, y = wcs.all_world2pix(*sky, 0, quiet=True)
    if not (np.isfinite(x).any() and np.isfinite(y).any()):
        return None
    reach = math.ceil(side_arcsec / pixel_scale_arcsec(wcs)) + 2
    corner_x, corner_y = (max(int(np.nanmin(value)) - 2, 0) for value in (x, y))
    part = data[corner_y : corner_y + 2 * reach, corner_x : corner_x + 2 * reach]
    if part.size == 0:
        return None
    pixels = map_coordinates(
        part, [y - corner_y, x - corner_x], order=1, mode="constant", cval=np.nan
    ).reshape(n, n)
    return Stamp(title, pixels, is_difference) if np.isfinite(pixels).any() else None


def write_stamps(
    stamps: Sequence[Stamp],
    path: Path,
    *,
    side_arcsec: float,
    radii_arcsec: Sequence[float],
    marks: Sequence[Mark] = (),
    title: str = "",
) -> Path:
    """Draw stamps at one scale, each with the error circles and the sources that are marked.

    Parameters
    ----------
    stamps : sequence of Stamp
        In the order in which they are shown.
    path : `~pathlib.Path`
        The PNG file; written in one step.
    side_arcsec : float
        Their side.
    radii_arcsec : sequence of float
        Of the circles about the middle.
    marks : sequence of Mark, optional
        Sources.
    title : str, optional
        Written above all.

    Raises
    ------
    UnusableInput
        If there is no stamp.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not stamps:
        raise UnusableInput("no image shows the place: there is nothing to draw")
    in_a_row = min(len(stamps), _MOST_IN_A_ROW)
    n_rows = math.ceil(len(stamps) / in_a_row)
    size = (_SIDE_INCHES * in_a_row + 0.3, (_SIDE_INCHES + 0.35) * n_rows + 0.5)
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(n_rows, in_a_row, squeeze=False).ravel()
    for each, stamp in zip(axes, stamps, strict=False):
        _draw(each, stamp, side_arcsec, radii_arcsec, marks)
    for each in axes[len(stamps) :]:
        each.set_axis_off()
    _scale_and_compass(axes[0], side_arcsec)
    if title:
        figure.suptitle(title, fontsize="small")
    with write_atomically(path) as part:
        figure.savefig(part, format="png")
    return path


def _draw(
    axes: Axes, stamp: Stamp, side: float, radii: Sequence[float], marks: Sequence[Mark]
) -> None:
    from matplotlib.patches import Circle

    half = side / 2
    black, white = _levels(stamp)
    # East is to the left: the axis of x runs from east to west.
    axes.imshow(
        stamp.pixels,
        origin="lower",
        cmap="gray_r",
        vmin=black,
        vmax=white,
        extent=(half, -half, -half, half),
        interpolation="nearest",
    )
    axes.set_facecolor("#d7dde5")
    for radius in radii:
        axes.add_patch(Circle((0, 0), radius, fill=False, color=_CIRCLE, lw=0.9))
    for mark in marks:
        if max(abs(mark.east_arcsec), abs(mark.north_arcsec)) < half:
            axes.plot(mark.east_arcsec, mark.north_arcsec, "+", color=_SOURCE, ms=6, mew=0.9)
            axes.annotate(
                mark.label,
                (mark.east_arcsec, mark.north_arcsec),
                (3, 3),
                textcoords="offset points",
                color=_SOURCE,
                fontsize="x-small",
            )
    axes.set_title(stamp.title, fontsize="x-small")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlim(half, -half)
    axes.set_ylim(-half, half)


def _levels(stamp: Stamp) -> tuple[float, float]:
    values = stamp.pixels[np.isfinite(stamp.pixels)]
    _, sky, noise = sigma_clipped_stats(values, sigma=3.0, maxiters=5)
    noise = float(noise) if noise > 0 else float(np.std(values)) or 1.0
    if stamp.is_difference:
        reach = max(float(np.percentile(abs(values), _WHITE_PERCENT)), _WHITE_SIGMA * noise)
        return -reach, reach
    white = max(float(np.percentile(values, _WHITE_PERCENT)), float(sky) + _WHITE_SIGMA * noise)
    return float(sky) + _BLACK_SIGMA * noise, white


def _scale_and_compass(axes: Axes, side: float) -> None:
    length = next(
        (each for each in (10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1) if each <= side / 3), side / 3
    )
    left, low = side * 0.44, -side * 0.44
    axes.plot([left, left - length], [low, low], color="black", lw=1.5)
    axes.text(left, low + side * 0.02, f'{length:g}"', fontsize="x-small")
    axes.text(-side * 0.38, side * 0.40, "N up, E left", fontsize="xx-small", ha="center")

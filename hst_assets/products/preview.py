"""Pictures of images for the web UI."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.nddata import block_reduce
from astropy.stats import sigma_clipped_stats
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput
from hst_assets.workdir import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["thumbnail", "write_preview"]

_Stretch = Callable[[NDArray[np.float32]], NDArray[np.uint8]]

logger = logging.getLogger(__name__)

#: The stretch runs from so many standard deviations from the sky ...
_BLACK_SIGMA = -1.0
#: ... to this percentile of the pixels, but at least so many standard deviations above the sky.
_WHITE_PERCENTILE = 99.7
_WHITE_SIGMA = 12.0
#: Linear below this share of the range, logarithmic above.
_SOFTENING = 0.1
#: Pixels that are averaged at a time.
_STRIP_PIXELS = 20_000_000
_NO_DATA_GREY = (58, 62, 70)
_INK = (255, 214, 102)
#: Longest sides tried for a thumbnail, until its file is small enough.
_THUMBNAIL_SIDES = (480, 400, 320, 256, 192, 128, 96, 64, 32)
#: WebP's quality: stars and axes stay sharp, and a field of stars takes a third of JPEG's bytes.
_THUMBNAIL_QUALITY = 40
_BAR_LENGTHS_ARCSEC = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)


def write_preview(
    fits_path: Path, png_path: Path, *, max_side: int = 640, symmetric: bool = False
) -> Path:
    """Write a picture of an image: asinh stretch, the array's own orientation, origin below left.

    Parameters
    ----------
    fits_path : `~pathlib.Path`
        A FITS file; its SCI extension is shown, or else the first two-dimensional image.
    png_path : `~pathlib.Path`
        Where the picture goes; written in one step.
    max_side : int, optional
        Longest side in pixels; larger images are averaged down, small ones are enlarged by a
        whole factor.
    symmetric : bool, optional
        For differences: zero is mid-grey, what became brighter is white, what faded black.

    Raises
    ------
    UnusableInput
        If the file holds no image or no finite pixel.
    """
    picture = _picture(fits_path, max_side, _balanced if symmetric else _stretched)
    with write_atomically(png_path) as part:
        picture.save(part, format="PNG", optimize=True)
    return png_path


def thumbnail(png_path: Path, *, max_bytes: int = 50_000) -> bytes:
    """A preview small enough to be embedded in a web page's text.

    Parameters
    ----------
    png_path : `~pathlib.Path`
        A picture that `write_preview` wrote.
    max_bytes : int, optional
        The result is at most so large.

    Returns
    -------
    bytes
        A WebP picture, its longest side 480 pixels unless the file would be too large.
    """
    from PIL import Image

    with Image.open(png_path) as opened:
        picture = opened.convert("RGB")
    for side in _THUMBNAIL_SIDES:
        smaller = picture.copy()
        smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        smaller.save(buffer, format="WEBP", quality=_THUMBNAIL_QUALITY)
        if buffer.tell() <= max_bytes:
            break
    return buffer.getvalue()


def _picture(fits_path: Path, max_side: int, stretch: _Stretch) -> Picture:
    from PIL import Image

    data, scale_arcsec, angle_deg = _read(fits_path)
    shown, factor = _binned(data, max_side)
    grey = stretch(shown)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    rgb[~np.isfinite(shown)] = _NO_DATA_GREY
    picture = Image.fromarray(rgb[::-1])  # FITS rows run upwards
    enlarge = max(1, min(8, max_side // max(picture.size)))
    if enlarge > 1:
        picture = picture.resize(
            (picture.width * enlarge, picture.height * enlarge), Image.Resampling.NEAREST
        )
    if scale_arcsec and min(picture.size) >= 120:
        _annotate(picture, scale_arcsec * factor / enlarge, angle_deg=angle_deg)
    return picture


def _read(fits_path: Path) -> tuple[NDArray[np.float32], float | None, float | None]:
    """The image, its pixel scale, and the position angle of its y axis."""
    with fits.open(fits_path) as hdus:
        images = [
            hdu for hdu in hdus if getattr(hdu, "is_image", False) and hdu.header["NAXIS"] == 2
        ]
        named = [hdu for hdu in images if hdu.name == "SCI"]
        if not images:
            raise UnusableInput("there is no image in it", where=fits_path)
        hdu = (named or images)[0]
        data = np.array(hdu.data, dtype=np.float32)
        header = hdu.header
    if not np.any(np.isfinite(data)):
        raise UnusableInput("no pixel of the image is finite", where=fits_path)
    return data, *_orientation(header)


def _orientation(header: fits.Header) -> tuple[float | None, float | None]:
    """Pixel scale, and position angle of the y axis (deg) where the axes are at right angles."""
    try:
        cd11, cd12, cd21, cd22 = (
            float(header[key]) for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2")
        )
    except (KeyError, ValueError):
        return None, None
    scale = 3600.0 * math.sqrt(abs(cd11 * cd22 - cd12 * cd21))
    skew = max(abs(cd11 + cd22), abs(cd12 - cd21)) * 3600.0  # none if seen from inside the sphere
    if not scale:
        return None, None
    return scale, math.degrees(math.atan2(cd12, cd22)) if skew < 0.01 * scale else None


def _binned(data: NDArray[np.float32], max_side: int) -> tuple[NDArray[np.float32], int]:
    """Average over whole blocks so that the longest side fits; and the block's side."""
    factor = max(1, math.ceil(max(data.shape) / max_side))
    if factor == 1:
        return data, 1
    # Some rows of blocks at a time: a whole sky cell has 480 million pixels.
    step = factor * max(1, _STRIP_PIXELS // (factor * data.shape[1]))
    strips = [_means(data[low : low + step], factor) for low in range(0, len(data), step)]
    return np.concatenate(strips), factor


def _means(data: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Averages of blocks, also of those that are not whole."""
    # block_reduce leaves out what fills no whole block.
    padded = np.pad(data, [(0, -side % factor) for side in data.shape], constant_values=np.nan)
    finite = np.isfinite(padded)
    total = block_reduce(np.where(finite, padded, 0.0), factor, np.sum)
    count = block_reduce(finite, factor, np.sum)
    mean: NDArray[np.float32] = np.full(total.shape, np.nan, np.float32)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _stretched(data: NDArray[np.float32]) -> NDArray[np.uint8]:
    """From black a little below the sky to white at the brightest pixels."""
    finite = data[np.isfinite(data)]
    sky, noise = _sky_and_noise(finite)
    black = sky + _BLACK_SIGMA * noise
    white = max(float(np.percentile(finite, _WHITE_PERCENTILE)), sky + _WHITE_SIGMA * noise)
    level = _asinh(np.nan_to_num(data, nan=black), black, white)
    return np.asarray(np.round(255.0 * level), dtype=np.uint8)


def _balanced(data: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Zero in the middle, equal steps up and down."""
    finite = data[np.isfinite(data)]
    _, noise = _sky_and_noise(finite)
    reach = max(float(np.percentile(np.abs(finite), _WHITE_PERCENTILE)), _WHITE_SIGMA * noise)
    values = np.nan_to_num(data, nan=0.0)
    level = np.copysign(_asinh(np.abs(values), 0.0, reach), values)
    return np.asarray(np.round(127.5 * (1.0 + level)), dtype=np.uint8)


def _asinh(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.floating]:
    """From 0 at `low` to 1 at `high`."""
    # Brings matplotlib with it (0.6 s), which whoever only shows previews does without.
    from astropy.visualization import AsinhStretch, ManualInterval

    level: NDArray[np.floating] = AsinhStretch(_SOFTENING)(ManualInterval(low, high)(values))
    return level


def _sky_and_noise(finite: NDArray[np.float32]) -> tuple[float, float]:
    """Median and standard deviation without the stars; never a noise of zero."""
    _, sky, noise = sigma_clipped_stats(finite, sigma=3.0, maxiters=5)
    return sky, noise if noise > 0 else float(np.std(finite)) or 1.0


def _annotate(picture: Picture, arcsec_per_pixel: float, *, angle_deg: float | None) -> None:
    """A scale bar below left and, where it holds, a compass above right."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    length = _bar_length(arcsec_per_pixel * picture.width * 0.25)
    bar = length / arcsec_per_pixel
    base = picture.height - 14
    draw.line([(12, base), (12 + bar, base)], fill=_INK, width=2)
    for end in (12, 12 + bar):
        draw.line([(end, base - 4), (end, base + 4)], fill=_INK, width=2)
    draw.text((14, base - 18), f'{length:g}"', fill=_INK)
    if angle_deg is not None:
        _compass(draw, picture.width - 48, 52, angle_deg)


def _bar_length(longest_arcsec: float) -> float:
    fitting = [length for length in _BAR_LENGTHS_ARCSEC if length <= longest_arcsec]
    return fitting[-1] if fitting else longest_arcsec


def _compass(draw: Any, x: int, y: int, angle_deg: float) -> None:
    """Arms to north and east, on a picture whose y axis has this position angle."""
    arm, tip = 26, 4
    sine, cosine = math.sin(math.radians(angle_deg)), math.cos(math.radians(angle_deg))
    for letter, (right, up) in (("N", (sine, cosine)), ("E", (-cosine, sine))):
        end = (x + arm * right, y - arm * up)
        side = (tip * up, tip * right)
        draw.line([(x, y), end], fill=_INK, width=2)
        draw.polygon(
            [
                (end[0] - side[0], end[1] - side[1]),
                (end[0] + side[0], end[1] + side[1]),
                (end[0] + tip * right, end[1] - tip * up),
            ],
            fill=_INK,
        )
        draw.text((x + (arm + 12) * right - 3, y - (arm + 12) * up - 6), letter, fill=_INK)

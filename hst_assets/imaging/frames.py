"""The pixel grids that products are drizzled on.

All products of one target and one scale share a grid: gnomonic about the target, the tangent
point at the centre of a pixel, north up or turned as the reference's first exposure was. A frame
is a rectangle cut from that grid along whole pixels, so that any two of them are brought onto each
other by an integer shift and can be subtracted without resampling.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray

from hst_assets.exposures.planes import chips_with_data
from hst_assets.exposures.quadrants import columns_behind
from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.settings import Settings
from hst_assets.sky_geometry import TangentPlane, direction_of, unit_vectors

__all__ = [
    "Frame",
    "Outline",
    "covering_frame",
    "exposure_outlines",
    "frame_of_target",
    "opened",
    "orientation_of",
    "shared_tangent_point",
]

#: Vertices (n, 2) of RA and Dec in degrees, around one chip.
Outline = NDArray[np.float64]

#: Drizzling spreads a pixel over its neighbours, so that a frame reaches this much further.
MARGIN_PIX = 2
#: A larger frame means that exposures lie far from each other or from the target, not a mosaic.
MAX_SIDE_PIX = 30_000
#: Chip edges are curved by distortion: one vertex at least every so many pixels.
EDGE_STEP_PIX = 128
#: Two tangent points or scales closer than this (degrees, relative) are the same grid.
_SAME_DEG = 1e-9
#: Orientations are kept to so many decimals of a degree: 1e-6 degree is 5e-4 pixel at the edge of
#: the largest frame.
_ORIENTATION_DECIMALS = 6
_SAME_SCALE = 1e-9


@dataclass(frozen=True)
class Frame:
    """A rectangle of pixels on the gnomonic grid about one point.

    Parameters
    ----------
    ra_deg, dec_deg : float
        Tangent point (ICRS).
    scale_arcsec : float
        Side of a pixel at the tangent point.
    nx, ny : int
        Size in pixels.
    crpix1, crpix2 : int
        Pixel whose centre is the tangent point: FITS convention, first pixel = 1; it may lie
        outside the frame.
    orientation_deg : float, optional
        Position angle of the y axis, east of north (ORIENTAT).
    """

    ra_deg: float
    dec_deg: float
    scale_arcsec: float
    nx: int
    ny: int
    crpix1: int
    crpix2: int
    orientation_deg: float = 0.0

    def __post_init__(self) -> None:
        if not (self.scale_arcsec > 0 and self.nx > 0 and self.ny > 0):
            raise BadConfiguration(f"a frame needs positive scale and size, not {self}")
        if max(self.nx, self.ny) > MAX_SIDE_PIX:
            raise UnusableInput(
                f"the frame would have {self.nx} x {self.ny} pixels",
                next_step="An exposure's WCS or the target's coordinates are far off; or set "
                "drizzle.frame = 'minimal' (a frame that need not have the target in its middle), "
                "drizzle.size_pix or a larger drizzle.scale_arcsec",
            )

    @property
    def wcs(self) -> WCS:
        """The frame as an astropy WCS."""
        wcs = self.plane.wcs((1 - self.crpix1, 1 - self.crpix2))
        wcs.pixel_shape = (self.nx, self.ny)
        return wcs

    @property
    def plane(self) -> TangentPlane:
        """The grid that it is cut from."""
        return TangentPlane(self.ra_deg, self.dec_deg, self.scale_arcsec, self.orientation_deg)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx), as numpy has it."""
        return (self.ny, self.nx)

    def as_json(self) -> dict[str, Any]:
        """All figures, for a recipe or a child process."""
        return asdict(self)

    @classmethod
    def from_json(cls, figures: Mapping[str, Any]) -> Frame:
        """The inverse of `as_json`."""
        return cls(**figures)

    def on_grid_of(self, other: Frame) -> bool:
        """Whether both frames are cut from the same grid."""
        return (
            math.isclose(self.ra_deg, other.ra_deg, rel_tol=0, abs_tol=_SAME_DEG)
            and math.isclose(self.dec_deg, other.dec_deg, rel_tol=0, abs_tol=_SAME_DEG)
            and math.isclose(self.scale_arcsec, other.scale_arcsec, rel_tol=_SAME_SCALE)
            and math.isclose(self.orientation_deg, other.orientation_deg, rel_tol=0, abs_tol=1e-9)
        )

    def shift_to(self, other: Frame) -> tuple[int, int]:
        """(dx, dy): pixel (x, y) here is pixel (x + dx, y + dy) of `other`.

        Raises
        ------
        BadConfiguration
            If the frames are not cut from the same grid.
        """
        if not self.on_grid_of(other):
            raise BadConfiguration(f"not on one grid: {self} and {other}")
        return other.crpix1 - self.crpix1, other.crpix2 - self.crpix2

    def no_coarser_than(self, scale_arcsec: float) -> Frame:
        """The same piece of sky in pixels of at most a scale: another grid, if it has to be.

        Parameters
        ----------
        scale_arcsec : float
            Side of a pixel. It is exceeded where more than `MAX_SIDE_PIX` pixels would be needed.
        """
        longest = max(self.nx, self.ny) + 2 * MARGIN_PIX
        finer = max(scale_arcsec, self.scale_arcsec * longest / MAX_SIDE_PIX)
        if finer >= self.scale_arcsec:
            return self
        (crpix1, nx), (crpix2, ny) = (
            _divided(crpix, n, self.scale_arcsec / finer)
            for crpix, n in ((self.crpix1, self.nx), (self.crpix2, self.ny))
        )
        return replace(self, scale_arcsec=finer, nx=nx, ny=ny, crpix1=crpix1, crpix2=crpix2)

    def touches(self, outlines: Sequence[Outline]) -> bool:
        """Whether the box around any of the outlines overlaps the frame."""
        for outline in outlines:
            x, y = self.plane.project(outline).T
            x, y = x + self.crpix1 - 1, y + self.crpix2 - 1  # 0-based pixels of this frame
            overlaps_x = x.max() > -0.5 and x.min() < self.nx - 0.5  # False where NaN
            overlaps_y = y.max() > -0.5 and y.min() < self.ny - 0.5
            if overlaps_x and overlaps_y:
                return True
        return False


def _divided(crpix: int, n: int, share: float) -> tuple[int, int]:
    """Reference pixel and number of the pixels that cover n others, `share` of them in each."""
    low, high = (0.5 - crpix) * share, (n + 0.5 - crpix) * share
    new = math.ceil(0.5 - low)
    return new, math.ceil(high + new - 0.5)


def exposure_outlines(path: Path) -> list[Outline]:
    """The outline of each chip of an exposure through its full WCS (SIP and look-up tables).

    Of an exposure through a quad filter of WFC3/UVIS, the outline of the quadrant behind it.

    Parameters
    ----------
    path : `~pathlib.Path`
        A calibrated exposure: every extension called SCI is a chip. Of several chips, those that
        hold nothing are left out.

    Returns
    -------
    outlines : list of ndarray (n, 2)
        RA and Dec in degrees along the outer edges of the outermost pixels.

    Raises
    ------
    UnusableInput
        If there is no SCI extension, it holds no image, or its WCS is not celestial.
    """
    with opened(path) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        chips = chips_with_data(hdus)
        if not chips:
            raise UnusableInput("no SCI extension", where=path)
        outlines = [_chip_outline(hdu.header, hdus, path) for hdu in chips]
    found = [outline for outline in outlines if outline is not None]
    if not found:
        raise UnusableInput("no pixel of it lies behind its filter", where=path)
    return found


@contextmanager
def opened(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading, with all HDUs known, and refuse an incomplete one.

    Raises
    ------
    UnusableInput
        If it is not FITS, or truncated.
    """
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            hdus = fits.open(path, mode="readonly", memmap=True, lazy_load_hdus=False)
        except OSError as error:
            raise UnusableInput(f"cannot be read: {error}", where=path) from error
    with hdus:
        # Were the warning made an error, astropy would leave the file open.
        cut = [text for item in heard if "truncated" in (text := str(item.message))]
        if cut:
            raise UnusableInput(f"cannot be read: {cut[0]}", where=path)
        yield hdus


def _chip_outline(header: fits.Header, hdus: fits.HDUList, path: Path) -> Outline | None:
    if header.get("NAXIS") != 2:
        raise UnusableInput("its SCI extension holds no image", where=path)
    try:
        wcs = WCS(header, fobj=hdus, naxis=2)
    except (ValueError, KeyError, TypeError, MemoryError) as error:
        raise UnusableInput(f"its WCS cannot be read: {error}", where=path) from error
    if not wcs.has_celestial:
        raise UnusableInput("it has no celestial WCS", where=path)
    first, end = columns_behind(hdus[0].header, header, header["NAXIS1"])
    if first == end:
        return None
    x, y = _edge(end - first, header["NAXIS2"])
    x = x + first
    sky = np.column_stack(wcs.all_pix2world(x, y, 0)).astype(float)
    if not np.all(np.isfinite(sky)):
        raise UnusableInput("its WCS gives no finite coordinates", where=path)
    return sky


def _edge(nx: int, ny: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points around an image of nx by ny pixels (0-based), anticlockwise from the origin."""
    along_x = np.linspace(-0.5, nx - 0.5, 2 + nx // EDGE_STEP_PIX)
    along_y = np.linspace(-0.5, ny - 0.5, 2 + ny // EDGE_STEP_PIX)
    left, right = np.full_like(along_y, -0.5), np.full_like(along_y, nx - 0.5)
    low, high = np.full_like(along_x, -0.5), np.full_like(along_x, ny - 0.5)
    return (
        np.concatenate([along_x, right, along_x[::-1], left]),
        np.concatenate([low, along_y, high, along_y[::-1]]),
    )


def covering_frame(
    exposures: Sequence[Path | Sequence[Outline]],
    *,
    ra_deg: float,
    dec_deg: float,
    scale_arcsec: float,
    size_pix: int | None = None,
    about: Literal["target", "minimal"] = "target",
    orientation_deg: float = 0.0,
) -> Frame:
    """The frame to drizzle some exposures on.

    Parameters
    ----------
    exposures : sequence of `~pathlib.Path` or of outlines
        What has to lie inside: exposures, or their outlines if they are at hand.
    ra_deg, dec_deg : float
        Tangent point: the target.
    scale_arcsec : float
        Pixel scale.
    size_pix : int, optional
        Side of a square centred on the target, whatever the exposures cover. (With an even
        side the target is half a pixel above and right of the middle: it keeps to the grid.)
        By default the frame covers the exposures.
    about : {"target", "minimal"}, optional
        "target": the smallest frame whose central pixel is the target; "minimal": the smallest
        frame, wherever the target lies in it.
    orientation_deg : float, optional
        Position angle of the y axis, east of north.

    Raises
    ------
    UnusableInput
        If there are no exposures, or they lie so far from the target that no image could
        cover both.
    """
    if size_pix is not None:
        middle = size_pix // 2 + 1
        return Frame(
            *(ra_deg, dec_deg, scale_arcsec),
            *(size_pix, size_pix, middle, middle),
            orientation_deg=orientation_deg,
        )
    plane = TangentPlane(ra_deg, dec_deg, scale_arcsec, orientation_deg)
    corners = [
        plane.project(outline)
        for exposure in exposures
        for outline in (exposure_outlines(exposure) if isinstance(exposure, Path) else exposure)
    ]
    if not corners:
        raise UnusableInput("no exposure to cover")
    x, y = np.concatenate(corners).T
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise UnusableInput(
            f"an exposure lies on another part of the sky than ({ra_deg:.5f}, {dec_deg:+.5f})",
            next_step="Check target.ra_deg and target.dec_deg, and the exposures' WCS",
        )
    (left, right), (bottom, top) = _whole_pixels(x), _whole_pixels(y)
    if about == "target":
        right, top = max(-left, right), max(-bottom, top)
        left, bottom = -right, -top
    return Frame(
        *(ra_deg, dec_deg, scale_arcsec),
        *(right - left + 1, top - bottom + 1, 1 - left, 1 - bottom),
        orientation_deg=orientation_deg,
    )


def frame_of_target(
    outlines: Sequence[Outline],
    settings: Settings,
    *,
    scale_arcsec: float,
    orientation_deg: float = 0.0,
) -> Frame:
    """The frame of a target's product: `covering_frame` as the settings want it.

    Parameters
    ----------
    outlines : sequence of ndarray (n, 2)
        Of all chips that go into the product.
    settings : Settings
        Sections target and drizzle. Without coordinates there is no target to have in the
        middle: then the frame is the smallest.
    scale_arcsec : float
        Pixel scale.
    orientation_deg : float, optional
        Position angle of the y axis, east of north.

    Raises
    ------
    UnusableInput
        As `covering_frame` does.
    """
    about = settings.drizzle.frame
    ra, dec = settings.target.ra_deg, settings.target.dec_deg
    if ra is None or dec is None:
        about = "minimal"
        ra, dec = shared_tangent_point(outlines)
    return covering_frame(
        [outlines],
        ra_deg=ra,
        dec_deg=dec,
        scale_arcsec=scale_arcsec,
        size_pix=settings.drizzle.size_pix,
        about=about,
        orientation_deg=orientation_deg,
    )


def orientation_of(path: Path) -> float:
    """Position angle of the y axis of an exposure's first chip, degrees east of north.

    That of the linear part of its WCS, which is what ORIENTAT says; between -180 and 180.

    Raises
    ------
    UnusableInput
        If there is no image with a celestial WCS.
    """
    with opened(path) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        for hdu in hdus:
            if hdu.is_image and hdu.header.get("NAXIS") == 2:
                wcs = WCS(hdu.header, fobj=hdus)
                if wcs.has_celestial:
                    matrix = wcs.celestial.pixel_scale_matrix
                    angle = math.degrees(math.atan2(matrix[0, 1], matrix[1, 1]))
                    return round(angle, _ORIENTATION_DECIMALS)
    raise UnusableInput("no image with a celestial WCS", where=path)


def _whole_pixels(values: NDArray[np.float64]) -> tuple[int, int]:
    """First and last pixel (centre at the integer) that hold all values, with the margin."""
    return (
        math.floor(values.min() + 0.5) - MARGIN_PIX,
        math.ceil(values.max() - 0.5) + MARGIN_PIX,
    )


def shared_tangent_point(outlines: Sequence[Outline]) -> tuple[float, float]:
    """A tangent point for a target whose coordinates are not known (degrees).

    The middle of the outlines rounded to 0.1 degree, so that visits to the same field share it;
    so near the tangent point the choice changes areas by less than 1e-5.

    Raises
    ------
    UnusableInput
        If there are no outlines.
    """
    if not outlines:
        raise UnusableInput("no exposure to find the middle of")
    ra, dec = direction_of(unit_vectors(np.concatenate(outlines)).mean(axis=0))
    return round(float(ra), 1) % 360.0, round(float(dec), 1)

"""World coordinate systems of simulated exposures, from the figures in `distortion`.

Pixels are 0-based unless a name says otherwise. The position angle of the V3 axis is taken at
the aim point, not at the telescope's axis: the two differ by minutes of arc, and only PA_V3
in the header would tell.

Nothing is shared with `hst_assets.sky_geometry`: what is simulated here judges what stands on that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration
from hst_assets.simulate.distortion import GEOMETRIES, ChipGeometry, Terms

__all__ = [
    "ChipView",
    "Pointing",
    "Subarray",
    "astropy_wcs",
    "chip_views",
    "pixel_area",
    "sip_keywords",
    "wcs_keywords",
]

ARCSEC = 1.0 / 3600.0


@dataclass(frozen=True)
class Subarray:
    """The part of one chip that is read out: corner (0-based) and size in pixels.

    Attributes
    ----------
    x0, y0, nx, ny : int
        First column and row of the chip that belong to it, and its size.
    extver : int
        EXTVER that the chip would have in a full-frame exposure.
    """

    x0: int
    y0: int
    nx: int
    ny: int
    extver: int = 1


@dataclass(frozen=True)
class Pointing:
    """Where the aim point of an exposure lies on the sky.

    Attributes
    ----------
    ra_deg, dec_deg : float
        Position of the aim point (ICRS).
    pa_v3_deg : float
        Position angle of the V3 axis there, north through east.
    """

    ra_deg: float
    dec_deg: float
    pa_v3_deg: float

    def displaced(self, east_arcsec: float, north_arcsec: float, roll_deg: float = 0.0) -> Pointing:
        """The pointing moved by small angles on the sky and rolled about its aim point."""
        dec_deg = self.dec_deg + north_arcsec * ARCSEC
        ra_deg = self.ra_deg + east_arcsec * ARCSEC / np.cos(np.radians(self.dec_deg))
        return Pointing(float(ra_deg) % 360.0, dec_deg, self.pa_v3_deg + roll_deg)


@dataclass(frozen=True)
class ChipView:
    """One chip of one exposure: its geometry, and the part of it that is read out.

    Attributes
    ----------
    chip : ChipGeometry
        The chip.
    extver : int
        EXTVER of its SCI extension in this exposure.
    scale_arcsec : float
        IDCSCALE of the chip.
    x0, y0, nx, ny : int
        Corner on the chip (0-based) and size.
    """

    chip: ChipGeometry
    extver: int
    scale_arcsec: float
    x0: int
    y0: int
    nx: int
    ny: int

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.ny, self.nx

    @property
    def crpix(self) -> tuple[float, float]:
        """Reference pixel in this view, 1-based."""
        x, y = self.chip.reference_pixel
        return x - self.x0, y - self.y0

    @property
    def pixel_arcsec(self) -> tuple[float, float]:
        """Width and height of a pixel at the reference point."""
        (ocx11, ocx10), (ocy11, ocy10) = self.chip.linear
        return float(np.hypot(ocx11, ocy11)), float(np.hypot(ocx10, ocy10))


def chip_views(detector_key: str, subarray: Subarray | None = None) -> tuple[ChipView, ...]:
    """The chips that an exposure of a detector holds: all, or the one with the subarray.

    Raises
    ------
    BadConfiguration
        If the subarray does not lie on the chip, or the detector has none.
    """
    geometry = GEOMETRIES[detector_key]
    ny, nx = DETECTORS[detector_key].full_shape
    if subarray is None:
        return tuple(
            ChipView(chip, chip.extver, scale, 0, 0, nx, ny)
            for chip, scale in zip(geometry.chips, geometry.scales_arcsec, strict=True)
        )
    inside = 0 <= subarray.x0 < subarray.x0 + subarray.nx <= nx
    inside &= 0 <= subarray.y0 < subarray.y0 + subarray.ny <= ny
    if detector_key == "wfpc2" or not inside or not 1 <= subarray.extver <= len(geometry.chips):
        raise BadConfiguration(
            f"{subarray} is not a part of a {detector_key} exposure",
            next_step=f"Chips have {nx} x {ny} pixels; WFPC2 has no subarrays",
        )
    index = subarray.extver - 1
    view = ChipView(
        geometry.chips[index],
        1,
        geometry.scales_arcsec[index],
        subarray.x0,
        subarray.y0,
        subarray.nx,
        subarray.ny,
    )
    return (view,)


def wcs_keywords(
    detector_key: str,
    view: ChipView,
    pointing: Pointing,
    *,
    velocity_aberration: float = 1.0,
    subarray: Subarray | None = None,
) -> dict[str, float]:
    """CRPIX, CRVAL and CD of one chip of an exposure.

    Full-frame exposures have the detector's aim point at `pointing`, subarrays their centre.

    Parameters
    ----------
    detector_key : str
        Key of `hst_assets.detectors.DETECTORS`.
    view : ChipView
        The chip, one of ``chip_views(detector_key, subarray)``.
    pointing : Pointing
        Where the exposure points.
    velocity_aberration : float
        VAFACTOR, which scales the CD matrix.
    subarray : Subarray, optional
        The part read out.
    """
    aim_v2v3 = _aim_v2v3(detector_key, subarray)
    dv2, dv3 = np.subtract(view.chip.v2v3_arcsec, aim_v2v3)
    distance_rad = np.radians(np.hypot(dv2, dv3) * ARCSEC) * velocity_aberration
    direction_rad = np.radians(pointing.pa_v3_deg) + np.arctan2(dv2, dv3)
    ra_rad, dec_rad, turn_rad = _moved(
        np.radians(pointing.ra_deg), np.radians(pointing.dec_deg), direction_rad, distance_rad
    )
    cd = _frame_on_sky(view.chip, pointing.pa_v3_deg + np.degrees(turn_rad)) @ view.chip.linear
    cd = cd * velocity_aberration * ARCSEC
    crpix1, crpix2 = view.crpix
    return {
        "CRPIX1": crpix1,
        "CRPIX2": crpix2,
        "CRVAL1": float(np.degrees(ra_rad)) % 360.0,
        "CRVAL2": float(np.degrees(dec_rad)),
        "CD1_1": float(cd[0, 0]),
        "CD1_2": float(cd[0, 1]),
        "CD2_1": float(cd[1, 0]),
        "CD2_2": float(cd[1, 1]),
    }


def _moved(
    ra_rad: float, dec_rad: float, direction_rad: float, distance_rad: float
) -> tuple[float, float, float]:
    """Go along a great circle: the place reached, and by how much the position angle grew.

    Meridians converge, so that north at one chip is turned from north at another.
    """
    sine = np.sin(dec_rad) * np.cos(distance_rad)
    sine += np.cos(dec_rad) * np.sin(distance_rad) * np.cos(direction_rad)
    eastward = np.sin(direction_rad) * np.sin(distance_rad) * np.cos(dec_rad)
    d_ra = np.arctan2(eastward, np.cos(distance_rad) - np.sin(dec_rad) * sine)
    arrival_rad = np.arctan2(
        np.sin(direction_rad) * np.cos(dec_rad),
        np.cos(direction_rad) * np.cos(dec_rad) * np.cos(distance_rad)
        - np.sin(dec_rad) * np.sin(distance_rad),
    )
    return ra_rad + float(d_ra), float(np.arcsin(sine)), float(arrival_rad - direction_rad)


def _frame_on_sky(chip: ChipGeometry, pa_v3_deg: float) -> NDArray[np.float64]:
    """Matrix from the chip's frame to (east, north), both in arcsec."""
    angle = np.radians(pa_v3_deg + chip.theta_deg + (180.0 if chip.flipped else 0.0))
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[-cosine, sine], [sine, cosine]])


def _aim_v2v3(detector_key: str, subarray: Subarray | None) -> NDArray[np.float64]:
    """V2, V3 (arcsec) of the pixel that is put on the target."""
    geometry = GEOMETRIES[detector_key]
    extver, x, y = geometry.aim
    if subarray is not None:
        extver = subarray.extver
        x = subarray.x0 + (subarray.nx - 1) / 2
        y = subarray.y0 + (subarray.ny - 1) / 2
    chip = geometry.chips[extver - 1]
    u, v = x + 1 - chip.reference_pixel[0], y + 1 - chip.reference_pixel[1]
    # With V3 towards north, V2 is east.
    return np.asarray(chip.v2v3_arcsec) + _frame_on_sky(chip, 0.0) @ _undistorted(chip, u, v)


def _undistorted(
    chip: ChipGeometry, u: NDArray[np.float64] | float, v: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Position in the chip's frame (arcsec) of pixels (u, v) from the reference pixel."""
    corrected = np.array([u + _polynomial(chip.sip_a, u, v), v + _polynomial(chip.sip_b, u, v)])
    return np.tensordot(np.array(chip.linear), corrected, 1)


def _polynomial(
    terms: Terms, u: NDArray[np.float64] | float, v: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    return np.asarray(sum(value * u**p * v**q for p, q, value in terms))


def astropy_wcs(view: ChipView, keywords: dict[str, float]) -> WCS:
    """The WCS of one chip, distortion included, from its `wcs_keywords`."""
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["RADESYS"] = "ICRS"
    header.update(keywords)
    header.update(sip_keywords(view.chip))
    wcs = WCS(header)
    wcs.array_shape = view.shape
    return wcs


def sip_keywords(chip: ChipGeometry) -> dict[str, float]:
    """A_ORDER, A_p_q, B_ORDER, B_p_q of a chip."""
    cards: dict[str, float] = {}
    for letter, terms in (("A", chip.sip_a), ("B", chip.sip_b)):
        cards[f"{letter}_ORDER"] = max(p + q for p, q, _ in terms)
        cards.update({f"{letter}_{p}_{q}": value for p, q, value in terms})
    return cards


def pixel_area(
    view: ChipView, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area of the pixels at (x, y), 0-based, over IDCSCALE squared.

    Flat-fielding makes a uniform sky uniform, so a star on a smaller pixel has too many
    counts: what a calibrated exposure holds of a star is its true counts over this area.

    Parameters
    ----------
    view : ChipView
        The chip.
    x, y : ndarray
        Pixel positions in the view.
    """
    chip = view.chip
    u = np.asarray(x, dtype=float) + 1 - view.crpix[0]
    v = np.asarray(y, dtype=float) + 1 - view.crpix[1]
    a_u = 1 + _polynomial(_derivative(chip.sip_a, 0), u, v)
    a_v = _polynomial(_derivative(chip.sip_a, 1), u, v)
    b_u = _polynomial(_derivative(chip.sip_b, 0), u, v)
    b_v = 1 + _polynomial(_derivative(chip.sip_b, 1), u, v)
    determinant = np.abs(np.linalg.det(np.array(chip.linear)) * (a_u * b_v - a_v * b_u))
    area: NDArray[np.float64] = determinant / view.scale_arcsec**2
    return area


def _derivative(terms: Terms, axis: int) -> Terms:
    """Terms of the derivative by u (axis 0) or v (axis 1)."""
    reduced = []
    for p, q, value in terms:
        powers = [p, q]
        factor = powers[axis]
        if factor:
            powers[axis] -= 1
            reduced.append((powers[0], powers[1], value * factor))
    return tuple(reduced)

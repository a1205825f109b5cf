"""How a star is summed on a drizzled image, and which share of its light that is.

Pixels are weighted by a Gaussian about the place: about as narrow as a star, so that a faint one
has nearly the errors of a fit of its PSF, and smooth, so that it hardly matters where on a pixel it
lies. The share of all light in that sum is told by the bright stars of the same image: against
their light within a radius of which tables tell the share (`hst_assets.photometry.
encircled_energy`). Where there are too few, a plain aperture of a tabulated radius takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from astropy.stats import mad_std, sigma_clip
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.imaging.star_photometry import Aperture, aperture_flux, isolated_stars
from hst_assets.photometry.encircled_energy import WFPC2_RADIUS_ARCSEC, encircled_energy

__all__ = ["StackAperture", "Window", "background", "centred", "stack_aperture"]

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: Width (sigma) of the weights in widths (FWHM) of a star, and their reach in widths of their own.
_SIGMA_FWHM = 0.6
_REACH_SIGMA = 3.0
#: Where the background is taken from, arcsec, and its least number of pixels.
_RING_ARCSEC = (0.6, 1.0)
_FEWEST_IN_RING = 30
_CLIP_SIGMA = 3.0
#: The close ring ends at so many radii of the weights.
_CLOSE = 1.6
#: Fewer stars tell no share; so many are used, the brightest; their light within the radius is
#: known to so many standard errors, and other stars are so far from that radius.
_FEWEST_STARS = 5
_MAX_STARS = 30
_LEAST_SNR = 50.0
_CLEAR_ARCSEC = 0.15
_CENTRE_STEPS = 10
#: Pixels of less weight may be missing.
_LEAST_WEIGHT = 0.05
#: Smallest radius of a plain aperture, arcsec: below, tables differ from each other.
_LEAST_RADIUS_ARCSEC = 0.2


@dataclass(frozen=True, eq=False)
class Window:
    """The pixels about a place, their weights, and the ring about it.

    Attributes
    ----------
    rows, columns : slice
        Of the image.
    weights : ndarray
        Of these pixels; 1 at the place.
    close : ndarray of bool
        A ring just beyond the weights.
    ring : ndarray of bool
        Which of these pixels tell the background.
    """

    rows: slice
    columns: slice
    weights: Floats
    close: Mask
    ring: Mask

    @property
    def core(self) -> Mask:
        """Pixels whose values must be known."""
        known: Mask = self.weights > _LEAST_WEIGHT
        return known


@dataclass(frozen=True, kw_only=True)
class StackAperture:
    """How stars are summed on one image.

    Attributes
    ----------
    scale_arcsec : float
        Side of a pixel.
    sigma_arcsec : float
        Width of the Gaussian weights; 0: a plain aperture.
    radius_arcsec : float
        Radius out to which there are weights.
    share : float
        Weighted sum of a star over all of its light; NaN if nothing tells it.
    share_error : float
        Its relative error.
    share_scatter : float
        Relative scatter from star to star beyond their photons: by how they lie on the pixels.
    n_stars : int
        Stars that tell it; 0: published tables do.
    note : str
        What is to be said of it; empty if nothing.
    """

    scale_arcsec: float
    sigma_arcsec: float
    radius_arcsec: float
    share: float = math.nan
    share_error: float = 0.0
    share_scatter: float = 0.0
    n_stars: int = 0
    note: str = ""

    def window(self, x: float, y: float, shape: tuple[int, int]) -> Window | None:
        """The pixels about a place (0-based); None if the image does not hold its core."""
        if not (math.isfinite(x) and math.isfinite(y)):
            return None
        reach = math.ceil(max(_RING_ARCSEC[1], self.radius_arcsec) / self.scale_arcsec) + 1
        ny, nx = shape
        rows = slice(max(round(y) - reach, 0), min(round(y) + reach + 1, ny))
        columns = slice(max(round(x) - reach, 0), min(round(x) + reach + 1, nx))
        inner = self.radius_arcsec / self.scale_arcsec
        if not (inner < x < nx - 1 - inner and inner < y < ny - 1 - inner):
            return None
        up, right = np.mgrid[rows, columns]
        distance = np.hypot(up - y, right - x) * self.scale_arcsec
        ring = (distance >= _RING_ARCSEC[0]) & (distance <= _RING_ARCSEC[1])
        close = (distance > self.radius_arcsec) & (distance <= _CLOSE * self.radius_arcsec)
        return Window(rows, columns, self._weights(distance, x, y, rows, columns), close, ring)

    def _weights(self, distance: Floats, x: float, y: float, rows: slice, columns: slice) -> Floats:
        if self.sigma_arcsec > 0:
            weights: Floats = np.exp(-0.5 * (distance / self.sigma_arcsec) ** 2)
            weights[distance > self.radius_arcsec] = 0
            return weights
        from photutils.aperture import CircularAperture

        circle = CircularAperture(
            (x - columns.start, y - rows.start), self.radius_arcsec / self.scale_arcsec
        )
        plain: Floats = circle.to_mask("exact").to_image(distance.shape)
        return plain


def background(image: Image, usable: Mask, window: Window) -> tuple[float, Mask] | None:
    """Clipped mean of the ring and the pixels that it is of; None of too few."""
    part = image[window.rows, window.columns]
    ring = window.ring & usable[window.rows, window.columns]
    if np.count_nonzero(ring) < _FEWEST_IN_RING:
        return None
    kept = sigma_clip(part[ring], sigma=_CLIP_SIGMA, maxiters=5, cenfunc="median", masked=True)
    inside = np.zeros_like(ring)
    inside[ring] = ~np.ma.getmaskarray(kept)
    return float(np.mean(part[inside])), inside


def stack_aperture(
    rate: Image,
    error: Image,
    usable: Mask,
    *,
    detector: Detector,
    filter_name: str,
    scale_arcsec: float,
    radius_arcsec: float,
) -> StackAperture:
    """How stars of an image are to be summed.

    Parameters
    ----------
    rate, error : ndarray, shape (ny, nx)
        The image and the errors of its pixels, which add up in quadrature.
    usable : ndarray of bool, shape (ny, nx)
        Pixels with a value that is not saturated.
    detector : Detector
        Gives the width of a star.
    filter_name : str
        For the tables of encircled energy.
    scale_arcsec : float
        Side of a pixel.
    radius_arcsec : float
        Radius within which a star's light is counted, and led to all light by the tables; of WFPC2
        that of its one known share is taken.
    """
    width = detector.fwhm_pix * detector.pixel_scale_arcsec
    narrow = StackAperture(
        scale_arcsec=scale_arcsec,
        sigma_arcsec=_SIGMA_FWHM * width,
        radius_arcsec=_REACH_SIGMA * _SIGMA_FWHM * width,
    )
    within = WFPC2_RADIUS_ARCSEC if detector.key == "wfpc2" else radius_arcsec
    known = _net_share(detector.key, filter_name, within)
    shares, errors = _shares_of_stars(rate, error, usable, narrow, detector, within)
    if len(shares) < _FEWEST_STARS or not math.isfinite(known):
        return _plain(narrow, detector, filter_name, len(shares), known)
    share = float(np.median(shares))
    whole = float(mad_std(shares)) / share
    scatter = math.sqrt(max(whole**2 - float(np.median(errors)) ** 2, 0.0))
    return StackAperture(
        scale_arcsec=scale_arcsec,
        sigma_arcsec=narrow.sigma_arcsec,
        radius_arcsec=narrow.radius_arcsec,
        share=share * known,
        share_error=1.2533 * whole / math.sqrt(len(shares)),
        share_scatter=scatter,
        n_stars=len(shares),
    )


def _shares_of_stars(
    rate: Image,
    error: Image,
    usable: Mask,
    narrow: StackAperture,
    detector: Detector,
    radius_arcsec: float,
) -> tuple[Floats, Floats]:
    """Weighted sums of bright isolated stars over their light within the radius, with errors."""
    scale = narrow.scale_arcsec
    wide = Aperture(radius_arcsec, *_RING_ARCSEC)
    apart = replace(Aperture.for_stars(detector), inner=radius_arcsec + _CLEAR_ARCSEC)
    filled = np.where(usable, rate, 0.0)
    variance = np.where(usable, error, 0.0) ** 2
    found: list[tuple[float, float]] = []
    for x, y in isolated_stars(rate, usable, apart, scale):
        place = centred(filled, narrow, x, y)
        window = None if place is None else narrow.window(*place, rate.shape)
        if place is None or window is None or len(found) == _MAX_STARS:
            continue
        whole = aperture_flux(rate, usable, place, wide, scale)
        beneath = background(rate, usable, window)
        if whole is None or not whole > 0 or beneath is None:
            continue
        noise = _relative_error(variance, place, radius_arcsec / scale, whole)
        if noise * _LEAST_SNR <= 1:
            part = filled[window.rows, window.columns]
            found.append((float(np.sum(window.weights * (part - beneath[0]))) / whole, noise))
    shares, errors = np.array(found).reshape(-1, 2).T
    return shares, errors


def _relative_error(
    variance: Image, place: tuple[float, float], radius_pix: float, whole: float
) -> float:
    from photutils.aperture import CircularAperture

    circle = CircularAperture(place, radius_pix).to_mask("exact")
    return math.sqrt(float(np.sum(circle.get_values(variance)))) / whole


def centred(image: Image, narrow: StackAperture, x: float, y: float) -> tuple[float, float] | None:
    """Where the weights are balanced (the windowed centroid of SExtractor); None if nowhere.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Without missing pixels.
    narrow : StackAperture
        The weights.
    x, y : float
        Where to begin, 0-based pixels.
    """
    for _ in range(_CENTRE_STEPS):
        window = narrow.window(x, y, image.shape)
        if window is None:
            return None
        light = window.weights * image[window.rows, window.columns]
        total = float(np.sum(light))
        if not total > 0:
            return None
        rows, columns = np.mgrid[window.rows, window.columns]
        x += 2 * float(np.sum(light * (columns - x))) / total
        y += 2 * float(np.sum(light * (rows - y))) / total
    return x, y


def _plain(
    narrow: StackAperture, detector: Detector, filter_name: str, n_stars: int, known: float
) -> StackAperture:
    """An aperture of which a table tells the share."""
    radius = max(Aperture.for_stars(detector).radius, _LEAST_RADIUS_ARCSEC)
    if detector.key == "wfpc2":
        radius = WFPC2_RADIUS_ARCSEC
    share = _net_share(detector.key, filter_name, radius)
    why = f"{n_stars} bright stars" if math.isfinite(known) else "no table of encircled energy"
    told = (
        f"{why}: an aperture of {radius:.2f} arcsec and its published share of light"
        if math.isfinite(share)
        else f"not measured: {why}, and no share of light within {radius:.2f} arcsec is known"
    )
    return StackAperture(
        scale_arcsec=narrow.scale_arcsec,
        sigma_arcsec=0.0,
        radius_arcsec=radius,
        share=share,
        n_stars=0,
        note=told,
    )


def _net_share(detector: str, filter_name: str, radius_arcsec: float) -> float:
    """Share of a star's light within a radius, less what its light in the ring takes away."""
    within: Callable[[float], float] = lambda at: encircled_energy(detector, filter_name, at)  # noqa: E731
    share = within(radius_arcsec)
    first, last = _RING_ARCSEC
    in_ring = within(last) - within(first)
    taken = in_ring * radius_arcsec**2 / (last**2 - first**2) if math.isfinite(in_ring) else 0.0
    return share - taken

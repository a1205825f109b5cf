"""Where the object is: measured on an image or a difference, or given, with the error of that.

From the given place the way leads to the brightest pixel within one width, until none is brighter;
then a Gaussian with a plane below it is fitted to the pixels about it, weighted by their errors,
and again to those about its own centre. Its error is that of the fit, by the pixels' errors: of
Gaussian noise, the width over the signal-to-noise ratio (King 1983, PASP 95, 163). How far the
centre of a star is off however bright it is, since it is no Gaussian, is measured on bright stars
of the same image and added in quadrature. Where that cannot be, the error is larger by the root of
the reduced chi square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.counterpart.candidates import INNER_SHARE
from hst_assets.counterpart.error_circle import ErrorTerm, circle_radius
from hst_assets.detection.image_planes import read_wcs
from hst_assets.detectors import Detector
from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.imaging.frames import opened
from hst_assets.sky_geometry import pixel_scale_arcsec

__all__ = [
    "Centroid",
    "TransientPosition",
    "centroid_floor",
    "fitted_centroid",
    "given_position",
    "measured_position",
]

Image = NDArray[np.floating]
Floats = NDArray[np.float64]

_SIGMA_PER_FWHM = 1.0 / 2.3548
#: Pixels within so many FWHM are fitted, and at least within so many pixels: 25 of them (stars of
#: WFC3/IR are 1.3 pixels wide; 1.5 times that are 9).
_REACH_FWHM, _LEAST_REACH_PIX = 1.5, 2.9
#: The fitted width may be so many times that of a star.
_WIDTHS = (0.6, 2.0)
#: A centre farther than this from the given place (arcseconds) is that of something else.
_MAX_MOVE_ARCSEC = 0.3
_FEWEST_PIXELS = 12
#: Fits of which each is about the centre of the last, until it moves by less than so many pixels.
_MOST_FITS, _SAME_CENTRE_PIX = 5, 0.05
#: The last may move it by half a width, or by half a pixel's diagonal.
_MAX_PULL_FWHM, _MAX_PULL_PIX = 0.5, 0.75
#: What is fainter is no detection, and its centre that of noise.
_LEAST_SNR = 3.0
#: Stars that tell the floor, at most and at least; what is farther off is another star.
_MOST_STARS, _FEWEST_STARS = 80, 8
_SAME_STAR_PIX = 0.5


@dataclass(frozen=True)
class TransientPosition:
    """Where the object is.

    Attributes
    ----------
    ra_deg, dec_deg : float
        ICRS.
    centroid : ErrorTerm
        Its error and where it is from.
    measured_on : str
        The image; empty where it was given.
    snr : float
        Flux of the fit over its error; NaN where it was given.
    moved_mas, fwhm_mas : float
        From the place about which it was sought, and the width of a star; NaN where it was given.
    """

    ra_deg: float
    dec_deg: float
    centroid: ErrorTerm
    measured_on: str = ""
    snr: float = math.nan
    moved_mas: float = math.nan
    fwhm_mas: float = math.nan


@dataclass(frozen=True)
class Centroid:
    """A fitted centre in 0-based pixels.

    Attributes
    ----------
    x, y, x_error, y_error : float
        Pixels.
    fwhm_pix, snr, chi2 : float
        Width, amplitude over its error, and reduced chi square of the fit.
    """

    x: float
    y: float
    x_error: float
    y_error: float
    fwhm_pix: float
    snr: float
    chi2: float

    @property
    def misfit(self) -> float:
        """How many times as much as their errors the pixels scatter about the fit; at least 1."""
        return math.sqrt(max(self.chi2, 1.0))

    @property
    def error_pix(self) -> float:
        """On an axis: the quadratic mean of both."""
        return math.sqrt((self.x_error**2 + self.y_error**2) / 2)


def given_position(ra_deg: float, dec_deg: float, error_mas: float) -> TransientPosition:
    """A position by its user."""
    term = ErrorTerm("position", error_mas, f"given: {error_mas:g} mas")
    return TransientPosition(ra_deg, dec_deg, term)


def measured_position(
    image: Path, ra_deg: float, dec_deg: float, detector: Detector, *, floor_mas: float = math.nan
) -> TransientPosition:
    """The position by its centroid on a stack or a difference.

    Parameters
    ----------
    image : `~pathlib.Path`
        With the planes SCI and ERR.
    ra_deg, dec_deg : float
        About where it is.
    detector : Detector
        Whose image it is.
    floor_mas : float, optional
        By how much centres of bright stars of this image are off (`centroid_floor`); NaN: not
        known.

    Raises
    ------
    UnusableInput
        If the place is not on the image, or no source is found within 0.3 arcsec.
    """
    data, error, wcs = _planes(image)
    scale_mas = pixel_scale_arcsec(wcs) * 1e3
    x, y = (float(value) for value in wcs.all_world2pix(ra_deg, dec_deg, 0, quiet=True))
    fwhm = _fwhm_pix(detector, wcs)
    most = _MAX_MOVE_ARCSEC * 1e3 / scale_mas
    try:
        found = fitted_centroid(data, error, x, y, fwhm_pix=fwhm, max_move_pix=most)
        moved_pix = math.hypot(found.x - x, found.y - y)
        if moved_pix > most:
            raise UnusableInput("the nearest source lies more than 0.3 arcsec from the place")
    except UnusableInput as failure:
        raise UnusableInput(
            failure.what,
            where=image,
            next_step="Set counterpart.ra_deg and dec_deg nearer to the object, or give the "
            "position with error_mas instead of measured_on",
        ) from failure
    ra, dec = (float(value) for value in wcs.all_pix2world(found.x, found.y, 0))
    known = math.isfinite(floor_mas)
    own = found.error_pix * scale_mas * (1.0 if known else found.misfit)
    floor = floor_mas if known else 0.0
    term = ErrorTerm(
        "centroid of the object",
        math.hypot(own, floor),
        f"fit on {image.name}: {own:.2f} mas at S/N {found.snr:.1f}"
        + (f", floor {floor:.2f} mas" if floor else "")
        + f"; {moved_pix * scale_mas:.1f} mas from the given place",
    )
    return TransientPosition(
        ra_deg=ra % 360.0,
        dec_deg=dec,
        centroid=term,
        measured_on=image.name,
        snr=found.snr,
        moved_mas=moved_pix * scale_mas,
        fwhm_mas=fwhm * scale_mas,
    )


def centroid_floor(
    stack: Path, places: Floats, detector: Detector, *, places_error_mas: float = 0.0
) -> float:
    """How far the centres of bright stars on a drizzled image are from where its exposures are.

    Drizzling gives an undersampled star another shape, and another centre, by where its exposures
    had their pixels: on stacks of two exposures by some 0.05 pixel, which no error of a fit tells.

    Parameters
    ----------
    stack : `~pathlib.Path`
        With the planes SCI and ERR.
    places : ndarray, shape (n, 2)
        RA and Dec of bright stars by the exposures that it is made of, degrees.
    detector : Detector
        Whose image it is.
    places_error_mas : float, optional
        Error of these places on an axis, which is taken off; NaN: not known.

    Returns
    -------
    float
        Milliarcseconds on an axis, so that the circle of 68 % holds as many of the stars; NaN of
        fewer than 8. What a place within a pixel does to a centre is bounded, not Gaussian: by the
        median of the absolute values it was up to 1.25 times too large on simulated stacks of two
        exposures.
    """
    data, error, wcs = _planes(stack)
    scale_mas = pixel_scale_arcsec(wcs) * 1e3
    fwhm = _fwhm_pix(detector, wcs)
    apart: list[float] = []
    if len(places) == 0:
        return math.nan
    for x, y in wcs.all_world2pix(places[:_MOST_STARS], 0, quiet=True):
        try:
            found = fitted_centroid(data, error, float(x), float(y), fwhm_pix=fwhm)
        except UnusableInput:
            continue  # beyond the image, or saturated
        if max(abs(found.x - x), abs(found.y - y)) < _SAME_STAR_PIX:
            apart.append(math.hypot(found.x - x, found.y - y))
    if len(apart) < _FEWEST_STARS:
        return math.nan
    held = float(np.quantile(apart, INNER_SHARE)) / circle_radius(1.0, INNER_SHARE)
    found_mas = held * scale_mas
    known = places_error_mas if math.isfinite(places_error_mas) else 0.0
    return math.sqrt(max(found_mas**2 - known**2, 0.0))


def _planes(image: Path) -> tuple[Floats, Floats, WCS]:
    with opened(image) as hdus:
        data = np.array(hdus["SCI"].data, dtype=float)
        error = np.array(hdus["ERR"].data, dtype=float)
        return data, error, read_wcs(hdus["SCI"].header, hdus)


def _fwhm_pix(detector: Detector, wcs: WCS) -> float:
    return detector.fwhm_pix * detector.pixel_scale_arcsec / pixel_scale_arcsec(wcs)


def fitted_centroid(
    data: Image,
    error: Image,
    x: float,
    y: float,
    *,
    fwhm_pix: float,
    max_move_pix: float = math.inf,
) -> Centroid:
    """The centre of a source by a Gaussian on a plane.

    Parameters
    ----------
    data, error : ndarray, shape (ny, nx)
        Pixels and their errors; NaN where there are none.
    x, y : float
        About where it is, 0-based pixels.
    fwhm_pix : float
        Width of a star.
    max_move_pix : float, optional
        A source whose brightest pixel is farther from there is another one.

    Raises
    ------
    UnusableInput
        If there are too few pixels, nothing is seen at 3 sigma, the brightest pixel is too far off,
        or the fits' centre does not settle.
    """
    start = _local_maximum(data, error, x, y, fwhm_pix, max_move_pix)
    most = max(_MAX_PULL_FWHM * fwhm_pix, _MAX_PULL_PIX)
    for _ in range(_MOST_FITS):
        found = _fit(data, error, start, fwhm_pix)
        pull = math.hypot(found.x - start[0], found.y - start[1])
        if pull <= _SAME_CENTRE_PIX:
            break
        start = found.x, found.y
    if pull > most:
        raise UnusableInput(
            f"no centroid: the centre of the fit lies {pull:.1f} pixels from the brightest one"
        )
    return found


def _local_maximum(
    data: Image, error: Image, x: float, y: float, reach: float, max_move: float
) -> tuple[float, float]:
    """The pixel near a place that none within a distance outshines.

    A pixel on a star's wing is not taken for its centre: each step goes to a more significant one.
    """
    at = _brightest(data, error, x, y, reach)
    while True:
        if math.hypot(at[0] - x, at[1] - y) > max_move + 0.5:
            raise UnusableInput(
                f"the nearest source lies over {max_move:.1f} pixels from the place"
            )
        best = _brightest(data, error, *at, reach)
        if best == at:
            return at
        at = best


def _fit(data: Image, error: Image, start: tuple[float, float], fwhm_pix: float) -> Centroid:
    """One fit, to the pixels about a centre."""
    from scipy.optimize import curve_fit

    reach = max(_REACH_FWHM * fwhm_pix, _LEAST_REACH_PIX)
    columns, rows, values, errors = _about(data, error, *start, reach)
    if len(values) < _FEWEST_PIXELS:
        raise UnusableInput(f"{len(values)} good pixels at the place: no centroid")
    sigma = fwhm_pix * _SIGMA_PER_FWHM
    sky = float(np.median(values))
    first = (*start, max(float(values.max()) - sky, float(errors.min())), sigma, sky, 0.0, 0.0)
    low, high = (share * sigma for share in _WIDTHS)
    free = np.inf
    bounds = (
        (start[0] - fwhm_pix, start[1] - fwhm_pix, 0.0, low, -free, -free, -free),
        (start[0] + fwhm_pix, start[1] + fwhm_pix, free, high, free, free, free),
    )

    def model(_: Floats, *terms: float) -> Floats:
        return _gaussian(columns - start[0], rows - start[1], start, terms)

    try:
        terms, covariance = curve_fit(
            model, columns, values, first, errors, absolute_sigma=True, bounds=bounds
        )
    except (RuntimeError, ValueError) as failure:
        raise UnusableInput(f"no centroid: {failure}") from failure
    chi2 = float(np.sum(((values - model(columns, *terms)) / errors) ** 2))
    chi2 /= max(len(values) - len(terms), 1)
    spread = np.sqrt(np.diag(covariance))
    snr = float(terms[2] / spread[2]) if spread[2] > 0 else 0.0
    if not (snr >= _LEAST_SNR and np.all(np.isfinite(spread[:2]))):
        raise UnusableInput(f"nothing is seen at the place (S/N {snr:.1f})")
    return Centroid(
        x=float(terms[0]),
        y=float(terms[1]),
        x_error=float(spread[0]),
        y_error=float(spread[1]),
        fwhm_pix=float(terms[3]) / _SIGMA_PER_FWHM,
        snr=snr,
        chi2=chi2,
    )


def _gaussian(
    dx: Floats, dy: Floats, start: tuple[float, float], terms: tuple[float, ...]
) -> Floats:
    x, y, peak, sigma, sky, slope_x, slope_y = terms
    r2 = (dx - (x - start[0])) ** 2 + (dy - (y - start[1])) ** 2
    light: Floats = peak * np.exp(-0.5 * r2 / sigma**2) + sky + slope_x * dx + slope_y * dy
    return light


def _brightest(data: Image, error: Image, x: float, y: float, reach: float) -> tuple[float, float]:
    """The most significant pixel near a place."""
    columns, rows, values, errors = _about(data, error, x, y, reach)
    if len(values) == 0:
        raise UnusableInput("the place is not on the image")
    at = int(np.argmax(values / errors))
    return float(columns[at]), float(rows[at])


def _about(
    data: Image, error: Image, x: float, y: float, reach: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Columns, rows, values and errors of the good pixels within a distance."""
    if not (math.isfinite(x) and math.isfinite(y)):
        raise UnusableInput("the place is not on the image")
    ny, nx = data.shape
    rows = np.arange(max(int(y - reach), 0), min(int(y + reach) + 2, ny))
    columns = np.arange(max(int(x - reach), 0), min(int(x + reach) + 2, nx))
    if rows.size == 0 or columns.size == 0:
        return (np.zeros(0),) * 4
    grid_y, grid_x = np.meshgrid(rows, columns, indexing="ij")
    values, errors = data[grid_y, grid_x], error[grid_y, grid_x]
    good = np.hypot(grid_x - x, grid_y - y) <= reach
    good &= np.isfinite(values) & np.isfinite(errors) & (errors > 0)
    return (
        grid_x[good].astype(float),
        grid_y[good].astype(float),
        values[good].astype(float),
        errors[good].astype(float),
    )


def require_position(
    ra_deg: float | None, dec_deg: float | None, where: Path
) -> tuple[float, float]:
    """The position that the settings name.

    Raises
    ------
    BadConfiguration
        If they name none.
    """
    if ra_deg is None or dec_deg is None:
        raise BadConfiguration(
            "no position whose counterpart could be looked for",
            where=where,
            next_step="Set counterpart.ra_deg and counterpart.dec_deg, with error_mas",
        )
    return ra_deg, dec_deg

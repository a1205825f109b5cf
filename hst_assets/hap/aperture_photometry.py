"""Aperture photometry with IRAF's formulae, as HAP measures its point catalogues.

Sky statistics, the error formula and the AB zero point are drizzlepac's
(``haputils.background_median`` and ``haputils.photometry_tools``, 3.11); sums are photutils'. What
is checked, and where the numbers differ from drizzlepac's, is said in `iraf_style_photometry`.

Positions are photutils': the centre of the first pixel is (0, 0), x runs along rows. So are
``X-Center`` and ``Y-Center`` of HAP's catalogues (3.11), which say nothing of it; FITS and DS9
count from 1.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from hst_assets.failures import BadConfiguration

__all__ = ["SkyMethod", "aperture_stats_tbl", "iraf_style_photometry"]

SkyMethod = Literal["mean", "median", "mode"]

Plane = NDArray[np.float64]

#: How much less than its area of an aperture may lie in the image by rounding, relative.
_ROUNDING = 1e-9
#: What `iraf_style_photometry` tells of each aperture, and of the sky.
_MEASURED = ("Flux", "FluxErr", "Mag", "MagErr")


def aperture_stats_tbl(
    data: ArrayLike,
    apertures: Any,
    method: Literal["exact", "center"] = "exact",
    sigma_clip: bool = True,  # noqa: FBT001, FBT002 - drizzlepac's signature
) -> Table:
    """Measure the sky in annuli (or in any apertures), as drizzlepac does.

    Parameters
    ----------
    data : array_like
        The image, shape (ny, nx), in any unit; pixels that are NaN do not count.
    apertures : `photutils.aperture.PixelAperture`
        One position or many, in pixels from 0.
    method : {'exact', 'center'}, optional
        With 'exact' a pixel counts, in full, as soon as the aperture touches it; with 'center' if
        its centre is inside.
    sigma_clip : bool, optional
        Leave out pixels beyond 3 standard deviations of the mean, until none is left
        (`scipy.stats.sigmaclip`).

    Returns
    -------
    `~astropy.table.Table`
        One row a position: ``X``, ``Y``; ``aperture_mean``, ``aperture_median``, ``aperture_mode``
        (3 × median - 2 × mean, as DAOPHOT has it) and ``aperture_std`` in the unit of the image;
        ``aperture_area``, the number of pixels that counted. Without a pixel that counts all are
        NaN, and the area is 0 (NaN where the aperture is off the image).

    Raises
    ------
    BadConfiguration
        If the image has not two dimensions, or `method` is none of the two.

    Notes
    -----
    The standard deviation is that of what clipping left: of Gaussian noise 1.4 % less than that
    of all pixels.
    """
    from drizzlepac.haputils import background_median

    if method not in ("exact", "center"):
        raise BadConfiguration(
            f"no way to tell which pixels count: {method!r}",
            where="method",
            next_step="'exact' or 'center'",
        )
    image = _image(data)
    with _nothing_said_of_missing_pixels():
        return background_median.aperture_stats_tbl(
            image, _listed(apertures), method=method, sigma_clip=sigma_clip
        )


def iraf_style_photometry(
    phot_apertures: Any,
    bg_apertures: Any,
    data: ArrayLike,
    photflam: float | None = None,
    photplam: float | None = None,
    error_array: ArrayLike | None = None,
    bg_method: SkyMethod = "mode",
    epadu: float = 1.0,
) -> Table:
    """Measure stars in apertures, with the sky of an annulus and DAOPHOT's error.

    Parameters
    ----------
    phot_apertures : `photutils.aperture.PixelAperture`, or sequence of two of them
        Apertures at N positions, in pixels from 0; of two, the smaller one and the larger one, as
        in HAP's catalogues.
    bg_apertures : `photutils.aperture.PixelAperture`
        Where the sky is measured (`aperture_stats_tbl`), at the same positions.
    data : array_like
        The image, shape (ny, nx); in electrons/s if magnitudes are wanted.
    photflam : float, optional
        Flux of 1 electron/s, erg/s/cm2/Angstrom (PHOTFLAM). Without it there are no magnitudes.
    photplam : float, optional
        Pivot wavelength, Angstrom (PHOTPLAM); with `photflam`.
    error_array : array_like, optional
        Standard deviation of each pixel, in the unit and shape of the image. Its sum in squares
        over the aperture then stands for the photon noise of the star. If it includes the noise of
        the sky, that noise counts twice, because the error formula still has its own sky terms.
    bg_method : {'mean', 'median', 'mode'}, optional
        Which statistic of the annulus is the sky.
    epadu : float, optional
        Photons of one unit of the image: gain in electrons per ADU for an image in ADU, the
        exposure time in seconds for one in electrons/s, 1 for one in electrons.

    Returns
    -------
    `~astropy.table.Table`
        One row a position: ``X-Center``, ``Y-Center`` (from 0), ``ID`` (from 1); for each aperture
        ``FluxAp1``, ``FluxErrAp1`` in the unit of the image, ``MagAp1`` (AB; only with `photflam`)
        and ``MagErrAp1``, and ``…Ap2`` of the second; last ``MSkyAp2`` and ``StdevAp2`` (``Ap1`` of
        a single aperture), the sky a pixel and its standard deviation. What cannot be measured is
        NaN: all of a star whose aperture reaches beyond the image or holds a pixel that is not
        finite, or whose annulus has no pixel; magnitudes of fluxes that are not positive.

    Raises
    ------
    BadConfiguration
        If shapes or positions do not agree; if `photflam`, `photplam` or `epadu` is not a positive
        number, or only one of the first two is given; if an error is negative, or `bg_method` is
        none of the three.

    Notes
    -----
    The error is DAOPHOT's (as in IRAF's ``phot``)::

        err^2 = flux / epadu + area stdev^2 + area^2 stdev^2 / nsky

    with the aperture's area, the standard deviation of the sky and the number of its pixels; that
    of the magnitude is 1.0857 err / flux. The magnitude is (e.g. WFC3 Data Handbook, section 9.1)::

        AB = -2.5 log10(flux photflam) - 21.10 - 5 log10(photplam) + 18.6921

    The numbers are the same as drizzlepac's, except where drizzlepac 3.11 (a) subtracts the sky of
    the whole aperture although only a part of it lies in the image, which gives a flux that is too
    low; (b) divides the squares of `error_array` by `epadu`; (c) takes the noise of a negative flux
    as negative; (d) writes the magnitude -9999 where PHOTFLAM is 0.
    """
    image = _image(data)
    apertures = _one_or_two(phot_apertures)
    annuli = _listed(bg_apertures)
    errors = None if error_array is None else _image(error_array)
    _check_positions(apertures, annuli)
    _check_numbers(image, errors, photflam, photplam, bg_method, epadu)
    sky = aperture_stats_tbl(image, annuli)
    x, y = np.transpose(apertures[0].positions)
    measured = Table({"X-Center": x, "Y-Center": y, "ID": np.arange(1, len(x) + 1)})
    zero_point = None if photflam is None or photplam is None else (photflam, photplam)
    for number, aperture in enumerate(apertures, start=1):
        fluxes = _fluxes(aperture, image, errors, sky, bg_method, epadu)
        for name, values in zip(_MEASURED, _with_magnitudes(*fluxes, zero_point), strict=True):
            if values is not None:
                measured[f"{name}Ap{number}"] = values
    measured[f"MSkyAp{len(apertures)}"] = np.asarray(sky[f"aperture_{bg_method}"])
    measured[f"StdevAp{len(apertures)}"] = np.asarray(sky["aperture_std"])
    return measured


# ------------------------------------------------------------------------------------- measuring


def _fluxes(
    aperture: Any,
    image: Plane,
    errors: Plane | None,
    sky: Table,
    bg_method: SkyMethod,
    epadu: float,
) -> tuple[Plane, Plane]:
    """Flux and error of each star in one aperture; NaN where it is not all in the image."""
    from drizzlepac.haputils import photometry_tools
    from photutils.aperture import aperture_photometry

    area = float(aperture.area)
    with _nothing_said_of_missing_pixels():
        sums = aperture_photometry(image, aperture, error=errors)
        flux = np.asarray(sums["aperture_sum"] - sky[f"aperture_{bg_method}"] * area)
        noise = (
            np.maximum(flux, 0.0)
            if errors is None
            # The sum is in the image's unit already; what follows divides it by the gain.
            else np.asarray(sums["aperture_sum_err"]) ** 2 * epadu
        )
        error = np.asarray(
            photometry_tools.compute_phot_error(noise, sky, bg_method, area, epadu)
        ).copy()
    inside = np.asarray(aperture.area_overlap(np.zeros(image.shape)))
    lost = ~(inside >= area * (1 - _ROUNDING)) | ~np.isfinite(flux)
    flux[lost] = np.nan
    error[lost | ~np.isfinite(error)] = np.nan
    return flux, error


def _with_magnitudes(
    flux: Plane, error: Plane, zero_point: tuple[float, float] | None
) -> tuple[Plane, Plane, Plane | None, Plane]:
    """In the order of `_MEASURED`."""
    from drizzlepac.haputils import photometry_tools

    positive = np.where(flux > 0, flux, np.nan)
    magnitude = None
    if zero_point is not None:
        magnitude = np.asarray(photometry_tools.convert_flux_to_abmag(positive, *zero_point))
    return flux, error, magnitude, 1.0857 * error / positive


@contextmanager
def _nothing_said_of_missing_pixels() -> Iterator[None]:
    """NaN is the answer there; numpy and scipy would warn besides."""
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


# -------------------------------------------------------------------------------------- checking


def _image(data: ArrayLike) -> Plane:
    image = np.asarray(data, dtype=np.float64)
    if image.ndim != 2 or not image.size:
        raise BadConfiguration(
            f"an image has two dimensions, not the shape {image.shape}",
            where="data",
            next_step="Give the data of one SCI extension",
        )
    return image


def _listed(aperture: Any) -> Any:
    """The same aperture, with a list of positions where it has one position only."""
    if not hasattr(aperture, "positions"):
        raise BadConfiguration(
            f"not an aperture in pixels: {type(aperture).__name__}",
            next_step="Give one of photutils.aperture, such as CircularAperture",
        )
    if not aperture.isscalar:
        return aperture
    listed = copy.copy(aperture)
    listed.positions = [tuple(aperture.positions)]
    return listed


def _one_or_two(apertures: Any) -> list[Any]:
    # An aperture of photutils is a sequence too: of its positions.
    single = hasattr(apertures, "positions") or not isinstance(apertures, Sequence)
    given = [apertures] if single else list(apertures)
    if len(given) not in (1, 2):
        raise BadConfiguration(
            f"{len(given)} apertures", where="phot_apertures", next_step="Give one, or two"
        )
    return [_listed(each) for each in given]


def _check_positions(apertures: Sequence[Any], annuli: Any) -> None:
    places = [np.asarray(each.positions) for each in (*apertures, annuli)]
    if any(each.shape != places[0].shape or not np.array_equal(each, places[0]) for each in places):
        raise BadConfiguration(
            "the apertures and annuli are not at the same positions",
            where="bg_apertures",
            next_step="Make all of them from one list of positions",
        )


def _check_numbers(
    image: Plane,
    errors: Plane | None,
    photflam: float | None,
    photplam: float | None,
    bg_method: str,
    epadu: float,
) -> None:
    if errors is not None and errors.shape != image.shape:
        raise BadConfiguration(
            f"the errors have the shape {errors.shape}, the image {image.shape}",
            where="error_array",
        )
    if errors is not None and np.any(errors < 0):
        raise BadConfiguration("there are negative standard deviations", where="error_array")
    if bg_method not in get_args(SkyMethod):
        raise BadConfiguration(
            f"no statistic of the sky: {bg_method!r}",
            where="bg_method",
            next_step=f"One of {', '.join(get_args(SkyMethod))}",
        )
    if (photflam is None) != (photplam is None):
        raise BadConfiguration(
            "a magnitude needs both PHOTFLAM and PHOTPLAM", where="photflam, photplam"
        )
    given = {"photflam": photflam, "photplam": photplam, "epadu": epadu}
    for name, value in given.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise BadConfiguration(f"not a positive number: {value}", where=name)

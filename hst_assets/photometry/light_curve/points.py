"""The points of a light curve, whatever measured them, and their means.

A point is a flux with its error, positive or not: what was not seen is a point like any other.
Fluxes are in microjansky, of all light of a star (outside of every aperture), so that points of
all methods, detectors and systems can be put side by side; magnitudes follow from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hst_assets.failures import BadConfiguration

__all__ = [
    "AB_ZERO_POINT_UJY",
    "NOT_IN_CATALOG",
    "Level",
    "Method",
    "Place",
    "Point",
    "ab_mag",
    "ab_mag_error",
    "mean_point",
]

#: AB magnitude of one microjansky (Oke & Gunn 1983, ApJ 266, 713: 3631 Jy at 0).
AB_ZERO_POINT_UJY = 23.9

#: How the note of a place without a star begins.
NOT_IN_CATALOG = "not in the catalogue"

#: What measured a point.
Method = Literal["catalog", "forced", "difference"]
#: What a point is of: one exposure, all exposures of a band in an epoch, or all of a band.
Level = Literal["exposure", "epoch", "filter"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place whose light curve is wanted.

    Attributes
    ----------
    source : int
        Its number, from 0; 0 is the target's.
    name : str
        What it is called.
    ra_deg, dec_deg : float
        ICRS, degrees.
    """

    source: int
    name: str
    ra_deg: float
    dec_deg: float


@dataclass(frozen=True, kw_only=True)
class Point:
    """One flux at one place.

    Attributes
    ----------
    source : int
        Number of the place, from 0 in the order of the list; 0 is the target's.
    method : str
        What measured it: the photometer's own catalogue, the embedded photometer at the given
        place with the neighbours fitted along, or an aperture on the difference image.
    level : str
        What it is of.
    detector : str
        Key of the detector (`hst_assets.detectors.DETECTORS`).
    filter_name : str
        The filter, upper case.
    epoch : int
        Number of the epoch (`hst_assets.exposures.epochs`); `NO_EPOCH` of a whole filter.
    images : tuple of str
        Exposures or stacks that were measured and count.
    mjd, mjd_first, mjd_last : float
        Middle, weighted by exposure time; start of the first and end of the last; UTC.
    exptime_s : float
        Sum of the exposure times that count, each exposure once whatever its chips.
    n_images : int
        How many images count; 0: the flux is NaN.
    flux_ujy, flux_error_ujy : float
        Microjansky; the error is that of the measurement alone. NaN and infinite if nothing counts.
    shared_error_ujy : float
        The part of the error that points of this place and band have in common, such as that of the
        structure of a host galaxy: no mean makes it smaller.
    ujy_per_electron : float
        Flux of one detected electron of an exposure; NaN where it is not known.
    expected_ujy : float
        Flux whose photon noise the error holds; NaN: that of the point itself.
    scatter_ujy : float
        Standard deviation of the images that count about their weighted mean; NaN of one.
    chi2 : float
        Of the images about their mean, with `n_images` - 1 degrees of freedom.
    st_minus_ab_mag, vega_minus_ab_mag : float
        What leads from AB magnitudes to the others; NaN where it is not known.
    offset_arcsec, offset_sigma : float
        From the place to what was measured, and over its error; 0 and NaN where the place was
        taken as it is.
    flag : int
        Worst flag of the images that count, as in DOLPHOT's catalogues.
    note : str
        What a reader must know; empty if nothing.
    """

    source: int
    method: Method
    level: Level
    detector: str
    filter_name: str
    epoch: int
    images: tuple[str, ...]
    mjd: float
    mjd_first: float
    mjd_last: float
    exptime_s: float
    n_images: int
    flux_ujy: float
    flux_error_ujy: float
    shared_error_ujy: float = 0.0
    ujy_per_electron: float = np.nan
    expected_ujy: float = np.nan
    scatter_ujy: float = np.nan
    chi2: float = 0.0
    st_minus_ab_mag: float = np.nan
    vega_minus_ab_mag: float = np.nan
    offset_arcsec: float = 0.0
    offset_sigma: float = np.nan
    flag: int = 0
    note: str = ""

    @property
    def counts(self) -> bool:
        """Whether something was measured."""
        return bool(np.isfinite(self.flux_ujy) and np.isfinite(self.flux_error_ujy))

    @property
    def snr(self) -> float:
        """Flux over its error; NaN if nothing was measured."""
        return self.flux_ujy / self.flux_error_ujy if self.counts else np.nan


def ab_mag(flux_ujy: float) -> float:
    """AB magnitude of a flux; NaN of one that is not positive."""
    return float(AB_ZERO_POINT_UJY - 2.5 * np.log10(flux_ujy)) if flux_ujy > 0 else np.nan


def ab_mag_error(flux_ujy: float, flux_error_ujy: float) -> float:
    """Error of the magnitude, to first order; NaN of a flux that is not positive."""
    return float(2.5 / np.log(10) * flux_error_ujy / flux_ujy) if flux_ujy > 0 else np.nan


def mean_point(points: Sequence[Point], *, level: Level, epoch: int) -> Point:
    """The mean of points of one place, method and band, weighted by the inverse variance.

    Errors that the points share do not weigh; the mean has their root mean square.

    Parameters
    ----------
    points : sequence of Point
        At least one. Those that measured nothing do not count.
    level : {"epoch", "filter"}
        Of the mean.
    epoch : int
        Of the mean.

    Raises
    ------
    BadConfiguration
        If there are no points or they are of different places, methods or bands.
    """
    kinds = {(one.source, one.method, one.detector, one.filter_name) for one in points}
    if len(kinds) != 1:
        raise BadConfiguration(f"points of {len(kinds)} places, methods or bands have no mean")
    (source, method, detector, filter_name) = kinds.pop()
    counting = [one for one in points if one.counts]
    of_time = counting or list(points)
    flux = np.array([one.flux_ujy for one in counting])
    shared = np.array([one.shared_error_ujy for one in counting])
    weight = 1.0 / (np.array([one.flux_error_ujy for one in counting]) ** 2 - shared**2)
    in_common = float(np.average(shared**2, weights=weight)) if counting else 0.0
    time_s = np.array([one.exptime_s for one in of_time])
    mean = float(np.average(flux, weights=weight)) if counting else np.nan
    apart = flux - mean
    n = len(counting)
    return Point(
        source=source,
        method=method,
        level=level,
        detector=detector,
        filter_name=filter_name,
        epoch=epoch,
        images=tuple(image for one in counting for image in one.images),
        mjd=float(np.average([one.mjd for one in of_time], weights=time_s)),
        mjd_first=min(one.mjd_first for one in of_time),
        mjd_last=max(one.mjd_last for one in of_time),
        exptime_s=float(sum(one.exptime_s for one in counting)),
        n_images=sum(one.n_images for one in counting),
        flux_ujy=mean,
        flux_error_ujy=float(np.sqrt(1 / weight.sum() + in_common)) if counting else np.inf,
        shared_error_ujy=in_common**0.5,
        scatter_ujy=float(np.sqrt(np.average(apart**2, weights=weight) * n / (n - 1)))
        if n > 1
        else np.nan,
        chi2=float((weight * apart**2).sum()),
        st_minus_ab_mag=of_time[0].st_minus_ab_mag,
        vega_minus_ab_mag=of_time[0].vega_minus_ab_mag,
        offset_arcsec=max(one.offset_arcsec for one in of_time),
        offset_sigma=float(np.nanmax(sigmas)) if (sigmas := _known(of_time)) else np.nan,
        flag=max((one.flag for one in counting), default=max(one.flag for one in of_time)),
        note="; ".join(dict.fromkeys(one.note for one in of_time if one.note)),
    )


def _known(points: Sequence[Point]) -> list[float]:
    return [one.offset_sigma for one in points if np.isfinite(one.offset_sigma)]

"""Which limit at the place of an object is told of images, where several methods give one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hst_assets.counterpart.band_measurements import forced_means
from hst_assets.counterpart.image_groups import ImageGroups
from hst_assets.counterpart.tables import THE_PLACE, BandMeasurement
from hst_assets.detectors import DETECTORS
from hst_assets.photometry.light_curve.limits import LocalNoise
from hst_assets.photometry.light_curve.points import Point, ab_mag
from hst_assets.settings.counterpart import CounterpartSettings

__all__ = ["limits_of_epochs", "limits_told"]

_SIGMA = 3.0


def limits_told(rows: Iterable[BandMeasurement], settings: CounterpartSettings) -> dict[str, float]:
    """The limit at 3 sigma of all earlier images of each band together.

    Parameters
    ----------
    rows : iterable of BandMeasurement
        Of all methods.
    settings : CounterpartSettings
        What counts as seen.

    Returns
    -------
    dict of float
        AB magnitudes by band; without bands of which none is known.
    """
    at_place = [row for row in rows if (row.number, row.images) == (THE_PLACE, "early")]
    noise = {row.band: row.limit_3sigma_mag for row in at_place if row.method == "local noise"}
    forced = {row.band: row for row in at_place if row.method == "forced"}
    found = {
        band: _told(
            noise.get(band, math.nan),
            forced[band].limit_3sigma_mag if band in forced else math.nan,
            is_seen=band in forced and forced[band].snr >= settings.detection_snr,
        )
        for band in sorted({*noise, *forced})
    }
    return {band: limit for band, limit in found.items() if math.isfinite(limit)}


def limits_of_epochs(
    noise: Sequence[LocalNoise],
    forced: Sequence[Point],
    groups: ImageGroups,
    settings: CounterpartSettings,
) -> dict[tuple[str, int], float]:
    """The limit at 3 sigma of each band and epoch by itself.

    Parameters
    ----------
    noise : sequence of LocalNoise
        About the place.
    forced : sequence of Point
        Forced photometry of every exposure, at the place and the candidates.
    groups : ImageGroups
        The exposures.
    settings : CounterpartSettings
        What counts as seen.

    Returns
    -------
    dict of float
        AB magnitudes by band and number of the epoch; without those of which none is known.
    """
    of_noise = {
        (DETECTORS[one.detector].band(one.filter_name), one.epoch): one.limit_ab_mag(_SIGMA)
        for one in noise
    }
    at_place = [point for point in forced if point.source == THE_PLACE]
    found = dict(of_noise)
    for epoch in groups.epochs(groups.every):
        own = [one for one in groups.every if one.epoch == epoch]
        for (_, band), mean in forced_means(at_place, own).items():
            found[band, epoch] = _told(
                of_noise.get((band, epoch), math.nan),
                ab_mag(_SIGMA * mean.flux_error_ujy) if mean.counts else math.nan,
                is_seen=mean.snr >= settings.detection_snr,
            )
    return {key: limit for key, limit in found.items() if math.isfinite(limit)}


def _told(by_noise: float, by_fit: float, *, is_seen: bool) -> float:
    """The brighter of both limits.

    Where something is seen, the error of a fit holds its light, and the noise alone tells;
    otherwise it holds that of neighbours, which empty places elsewhere do not have.
    """
    if not math.isfinite(by_noise):
        return by_fit
    if is_seen or not math.isfinite(by_fit):
        return by_noise
    return min(by_noise, by_fit)

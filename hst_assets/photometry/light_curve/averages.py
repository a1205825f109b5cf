"""Means of epochs and of filters, without the bias of weights that a flux gives itself.

The error of a flux holds the noise of the star's own light. An exposure in which the star came out
faint by chance has a smaller error, and would weigh more: of a star of N electrons in each
exposure, on no background, the mean comes out low by about one electron, which is 1/N of it. So
each error is taken as it would be were the star in each exposure as bright as in the mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.photometry.light_curve.points import Point, mean_point

__all__ = ["averaged", "with_expected_errors"]

#: The mean changes by less than a hundredth of its error after so many rounds.
_N_ROUNDS = 4


def averaged(points: Sequence[Point], ujy_per_electron: Mapping[str, float]) -> list[Point]:
    """Points of exposures with their means of epochs and filters behind them.

    Parameters
    ----------
    points : sequence of Point
        Of exposures; of epochs (differences), whose means are no use across epochs; of filters,
        which are means already.
    ujy_per_electron : mapping
        Flux of one electron by the rootname of an exposure, microjansky, where points do not tell
        it themselves. Points of which it is not known keep their own errors as weights.

    Returns
    -------
    list of Point
        By place, method and band; exposures, then epochs, then the filter.
    """
    found: list[Point] = []
    for of_band in _grouped(points, "source", "method", "detector", "filter_name"):
        exposures = [point for point in of_band if point.level == "exposure"]
        found += exposures
        found += [point for point in of_band if point.level == "epoch"]
        for of_epoch in _grouped(exposures, "epoch"):
            epoch = of_epoch[0].epoch
            expected = with_expected_errors(of_epoch, ujy_per_electron)
            found.append(mean_point(expected, level="epoch", epoch=epoch))
        if exposures:
            expected = with_expected_errors(exposures, ujy_per_electron)
            found.append(mean_point(expected, level="filter", epoch=NO_EPOCH))
        found += [point for point in of_band if point.level == "filter"]
    return found


def with_expected_errors(
    points: Sequence[Point], ujy_per_electron: Mapping[str, float] | None = None
) -> list[Point]:
    """Points with the errors that they would have were each as bright as their mean.

    The variance of a flux F is B + cF, where c is the flux of one electron. (That holds where the
    star outshines the background. On the background, the light of a star in a fit by its PSF counts
    about 4/3 times: the sum of the cube of a Gaussian PSF over the square of the sum of its square;
    but there it is a small part.)

    Parameters
    ----------
    points : sequence of Point
        Of exposures.
    ujy_per_electron : mapping, optional
        Flux of one electron by rootname, microjansky, where points do not tell it themselves.
    """
    of_electron = [_of_electron(point, ujy_per_electron or {}) for point in points]
    known = [
        point.counts and np.isfinite(one) for point, one in zip(points, of_electron, strict=True)
    ]
    if sum(known) < 2 or not all(
        is_known or not point.counts for point, is_known in zip(points, known, strict=True)
    ):
        return list(points)
    counting = [point for point, is_known in zip(points, known, strict=True) if is_known]
    flux = np.array([point.flux_ujy for point in counting])
    shared = np.array([point.shared_error_ujy for point in counting]) ** 2
    own = np.array([point.flux_error_ujy for point in counting]) ** 2 - shared
    per_electron = np.array(of_electron)[known]
    expected_ujy = np.array([point.expected_ujy for point in counting])
    held = np.where(np.isfinite(expected_ujy), expected_ujy, flux)
    mean = float(np.average(flux, weights=[point.exptime_s for point in counting]))
    background = np.maximum(own - per_electron * np.maximum(held, 0.0), 0.0)
    variance = own
    for _ in range(_N_ROUNDS):
        expected = background + per_electron * max(mean, 0.0)
        variance = np.where(expected > 0, expected, own)
        mean = float(np.average(flux, weights=1.0 / variance))
    errors = iter(np.sqrt(variance + shared))
    return [
        replace(point, flux_error_ujy=float(next(errors))) if is_known else point
        for point, is_known in zip(points, known, strict=True)
    ]


def _of_electron(point: Point, ujy_per_electron: Mapping[str, float]) -> float:
    """Flux of one electron of a single exposure; NaN if it is not known."""
    if len(point.images) != 1:
        return np.nan
    if np.isfinite(point.ujy_per_electron):
        return point.ujy_per_electron
    return ujy_per_electron.get(point.images[0], np.nan)


def _grouped(points: Iterable[Point], *names: str) -> list[list[Point]]:
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        groups.setdefault(tuple(getattr(point, name) for name in names), []).append(point)
    return list(groups.values())

"""Magnitudes and limits of candidates and of the place, band by band, whatever measured them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hst_assets.counterpart.candidates import Candidate
from hst_assets.counterpart.disappearance import BandDecline
from hst_assets.counterpart.earlier_sources import EarlierSources
from hst_assets.counterpart.image_groups import Exposure, ImageGroups
from hst_assets.counterpart.luminosity import absolute_mag, extinction_of
from hst_assets.counterpart.tables import THE_PLACE, BandMeasurement
from hst_assets.detectors import DETECTORS
from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.photometry.catalog.vega import vega_bands
from hst_assets.photometry.light_curve.averages import with_expected_errors
from hst_assets.photometry.light_curve.limits import CompletenessLimit, LocalNoise
from hst_assets.photometry.light_curve.points import Point, ab_mag, ab_mag_error, mean_point
from hst_assets.settings.counterpart import CounterpartSettings

__all__ = [
    "band_declines",
    "catalog_rows",
    "completeness_rows",
    "difference_flux",
    "difference_rows",
    "forced_means",
    "forced_rows",
    "noise_rows",
    "with_magnitudes",
]

#: A flux of so many errors has a magnitude whose error means something.
_LEAST_SNR_OF_MAGNITUDES = 1.0


def with_magnitudes(
    row: BandMeasurement,
    settings: CounterpartSettings,
    *,
    st_minus_ab_mag: float = math.nan,
    vega_minus_ab_mag: float = math.nan,
    pivot_angstrom: float | None = None,
) -> BandMeasurement:
    """A row with what follows from its flux, its error and its limits.

    Parameters
    ----------
    row : BandMeasurement
        With flux and error, or with limits alone.
    settings : CounterpartSettings
        Extinction and distance.
    st_minus_ab_mag, vega_minus_ab_mag : float, optional
        What leads to the other systems.
    pivot_angstrom : float, optional
        Of the band.
    """
    flux, error = row.flux_ujy, row.flux_error_ujy
    known = math.isfinite(flux) and math.isfinite(error) and error > 0
    mag = mag_error = math.nan
    if known and flux > _LEAST_SNR_OF_MAGNITUDES * error:
        mag, mag_error = ab_mag(flux), ab_mag_error(flux, error)
    limits = (row.limit_3sigma_mag, row.limit_5sigma_mag)
    if known and not any(map(math.isfinite, limits)):
        limits = (ab_mag(3.0 * error), ab_mag(5.0 * error))
    extinction = extinction_of(row.band, pivot_angstrom, settings)
    absolute, absolute_error = absolute_mag(mag, mag_error, extinction, settings)
    return replace(
        row,
        snr=flux / error if known else math.nan,
        ab_mag=mag,
        st_mag=mag + st_minus_ab_mag,
        vega_mag=mag + vega_minus_ab_mag,
        mag_error=mag_error,
        limit_3sigma_mag=limits[0],
        limit_5sigma_mag=limits[1],
        extinction_mag=math.nan if extinction is None else extinction.mag,
        absolute_mag=absolute,
        absolute_mag_error=absolute_error,
        absolute_limit_mag=absolute_mag(limits[0], 0.0, extinction, settings)[0],
    )


def catalog_rows(
    sources: EarlierSources, candidates: Iterable[Candidate], settings: CounterpartSettings
) -> list[BandMeasurement]:
    """What the photometer's catalogue has of each candidate in the earlier images."""
    rows = []
    for one in candidates:
        for band in sources.bands.values():
            row = BandMeasurement(
                number=one.number,
                band=band.band,
                images="early",
                method="catalog",
                n_images=int(band.n_images[one.row]),
                flux_ujy=float(band.flux_ujy[one.row]),
                flux_error_ujy=float(band.error_ujy[one.row]),
            )
            rows.append(
                with_magnitudes(
                    row,
                    settings,
                    st_minus_ab_mag=band.st_minus_ab_mag,
                    vega_minus_ab_mag=band.vega_minus_ab_mag,
                    pivot_angstrom=band.pivot_angstrom,
                )
            )
    return rows


# ------------------------------------------------------------------------ forced photometry


def forced_means(
    points: Sequence[Point], exposures: Sequence[Exposure]
) -> dict[tuple[int, str], Point]:
    """Means of forced photometry over some exposures, by number of the source and band."""
    wanted = {one.rootname for one in exposures}
    members: dict[tuple[int, str], list[Point]] = {}
    for point in points:
        if point.level == "exposure" and wanted.intersection(point.images):
            key = point.source, DETECTORS[point.detector].band(point.filter_name)
            members.setdefault(key, []).append(point)
    return {
        key: mean_point(with_expected_errors(group), level="filter", epoch=NO_EPOCH)
        for key, group in members.items()
    }


def forced_rows(
    means: Mapping[tuple[int, str], Point], images: str, settings: CounterpartSettings
) -> list[BandMeasurement]:
    """The rows of forced photometry of the early or the late images."""
    return [
        _row_of(point, number, band, images, settings)
        for (number, band), point in sorted(means.items())
    ]


def _row_of(
    point: Point, number: int, band: str, images: str, settings: CounterpartSettings
) -> BandMeasurement:
    row = BandMeasurement(
        number=number,
        band=band,
        images=images,
        method=point.method,
        n_images=point.n_images,
        flux_ujy=point.flux_ujy,
        flux_error_ujy=point.flux_error_ujy,
        note=point.note,
    )
    return with_magnitudes(
        row,
        settings,
        st_minus_ab_mag=point.st_minus_ab_mag,
        vega_minus_ab_mag=point.vega_minus_ab_mag,
        pivot_angstrom=_pivot(point.detector, point.filter_name),
    )


def _pivot(detector_key: str, filter_name: str) -> float | None:
    band = vega_bands().get((detector_key, filter_name.upper()))
    return None if band is None else band.pivot_angstrom


# -------------------------------------------------------------------------------- differences


def difference_flux(
    points: Sequence[Point], groups: ImageGroups, template: int
) -> tuple[float, float]:
    """Early minus late flux of one source in one band by the differences, microjansky.

    Parameters
    ----------
    points : sequence of Point
        Of the differences of the band's epochs from its template.
    groups : ImageGroups
        Early and late.
    template : int
        Number of the epoch that was subtracted: its own difference is 0, without an error.

    Returns
    -------
    flux, error : float
        NaN and infinite where either group has no difference. Where the template is neither early
        nor late, its noise is in both and cancels: the error is larger than need be.
    """
    early = _difference_of(points, groups.epochs(groups.early), template)
    late = _difference_of(points, groups.epochs(groups.late), template)
    if early is None or late is None:
        return math.nan, math.inf
    return early[0] - late[0], math.hypot(early[1], late[1])


def _difference_of(
    points: Sequence[Point], epochs: Sequence[int], template: int
) -> tuple[float, float] | None:
    if template in epochs:
        return 0.0, 0.0
    own = [point for point in points if point.epoch in epochs and point.counts]
    if not own:
        return None
    weight = np.array([point.flux_error_ujy for point in own]) ** -2.0
    flux = np.array([point.flux_ujy for point in own])
    # All share the noise of the template: their mean is no better than the best of them.
    best = min(point.flux_error_ujy for point in own)
    return float(np.average(flux, weights=weight)), float(best)


def difference_rows(
    points: Sequence[Point],
    groups: ImageGroups,
    templates: Mapping[str, int],
    settings: CounterpartSettings,
) -> list[BandMeasurement]:
    """Early minus late, of every source and band that has differences."""
    rows = []
    for (number, band), own in sorted(_by_band(points).items()):
        if band not in templates:
            continue
        flux, error = difference_flux(own, groups, templates[band])
        if not math.isfinite(flux) or error == 0.0:
            continue
        row = BandMeasurement(
            number=number,
            band=band,
            images="early",
            method="difference",
            n_images=sum(point.n_images for point in own),
            flux_ujy=flux,
            flux_error_ujy=error,
            note="early minus late images",
        )
        rows.append(
            with_magnitudes(
                row,
                settings,
                st_minus_ab_mag=own[0].st_minus_ab_mag,
                vega_minus_ab_mag=own[0].vega_minus_ab_mag,
                pivot_angstrom=_pivot(own[0].detector, own[0].filter_name),
            )
        )
    return rows


def _by_band(points: Sequence[Point]) -> dict[tuple[int, str], list[Point]]:
    found: dict[tuple[int, str], list[Point]] = {}
    for point in points:
        key = point.source, DETECTORS[point.detector].band(point.filter_name)
        found.setdefault(key, []).append(point)
    return found


# ------------------------------------------------------------------------------------- limits


def noise_rows(
    noise: Sequence[LocalNoise], groups: ImageGroups, settings: CounterpartSettings
) -> list[BandMeasurement]:
    """Limits at the place by the scatter of empty places about it, in the early images of a band.

    Parameters
    ----------
    noise : sequence of LocalNoise
        Of every epoch; those of several early epochs are joined by the inverse variance.
    groups : ImageGroups
        Early and late.
    settings : CounterpartSettings
        Extinction and distance.
    """
    early = set(groups.epochs(groups.early))
    by_band: dict[str, list[LocalNoise]] = {}
    for one in noise:
        if one.epoch in early:
            band = DETECTORS[one.detector].band(one.filter_name)
            by_band.setdefault(band, []).append(one)
    rows = []
    for band, own in sorted(by_band.items()):
        known = [one for one in own if math.isfinite(one.sigma_ujy) and one.sigma_ujy > 0]
        row = BandMeasurement(
            number=THE_PLACE,
            band=band,
            images="early",
            method="local noise",
            n_images=0,
            note="; ".join(dict.fromkeys(one.note for one in own if one.note)),
        )
        if known:
            sigma = _joined(known)
            row = replace(
                row, limit_3sigma_mag=ab_mag(3.0 * sigma), limit_5sigma_mag=ab_mag(5.0 * sigma)
            )
        pivot = _pivot(own[0].detector, own[0].filter_name)
        rows.append(with_magnitudes(row, settings, pivot_angstrom=pivot))
    return rows


def _joined(known: Sequence[LocalNoise]) -> float:
    """Noise of the mean of several epochs; no mean makes the structure of the place smaller."""
    of_noise = [max(one.scatter_ujy, one.formal_ujy) for one in known]
    structure = max(one.structure_ujy for one in known)
    return math.hypot(sum(one**-2 for one in of_noise) ** -0.5, structure)


def completeness_rows(
    limits: Sequence[CompletenessLimit], groups: ImageGroups, settings: CounterpartSettings
) -> list[BandMeasurement]:
    """Limits by artificial stars about the place, of each filter as they were measured.

    They were put into all exposures of a filter, as the catalogue is of all. Where these are not
    all earlier ones, the limit is of more than the earlier images, and the row says so.

    Parameters
    ----------
    limits : sequence of CompletenessLimit
        Of each filter.
    groups : ImageGroups
        Which exposures a filter has, and which of them are the earlier ones.
    settings : CounterpartSettings
        Extinction and distance.
    """
    return [_completeness_row(one, groups, settings) for one in limits]


def _completeness_row(
    one: CompletenessLimit, groups: ImageGroups, settings: CounterpartSettings
) -> BandMeasurement:
    band = DETECTORS[one.detector].band(one.filter_name)
    n_images = sum(exposure.band == band for exposure in groups.every)
    n_early = sum(exposure.band == band for exposure in groups.early)
    notes = [one.note]
    if n_early < n_images:
        notes.append(f"in {n_images} exposures, {n_images - n_early} of which are not earlier ones")
    row = BandMeasurement(
        number=THE_PLACE,
        band=band,
        images="all" if n_early < n_images else "early",
        method="artificial stars",
        n_images=n_images,
        limit_50_mag=one.ab_mag,
        note="; ".join(filter(None, notes)),
    )
    return with_magnitudes(row, settings, pivot_angstrom=_pivot(one.detector, one.filter_name))


def band_declines(
    number: int,
    early: Mapping[tuple[int, str], Point],
    late: Mapping[tuple[int, str], Point],
    rows: Sequence[BandMeasurement],
) -> list[BandDecline]:
    """What became of one candidate, in the bands of the early and of the late images.

    Parameters
    ----------
    number : int
        The candidate.
    early, late : mapping
        As `forced_means` gives them.
    rows : sequence of BandMeasurement
        As `difference_rows` gives them.
    """
    differences = {row.band: row for row in rows if row.number == number}
    nothing = math.nan, math.inf
    bands = {band for source, band in early if source == number}
    both = bands & {band for source, band in late if source == number}
    found = []
    for band in sorted(both | set(differences)):
        before, after = early.get((number, band)), late.get((number, band))
        has = before is not None and after is not None and before.counts and after.counts
        row = differences.get(band)
        found.append(
            BandDecline(
                band,
                *((before.flux_ujy, before.flux_error_ujy) if has and before else nothing),
                *((after.flux_ujy, after.flux_error_ujy) if has and after else nothing),
                *((row.flux_ujy, row.flux_error_ujy) if row else nothing),
            )
        )
    return found

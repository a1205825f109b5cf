"""Points from the photometer's own catalogue.

Fluxes are from the columns that hold the aperture correction and, where it was corrected, the loss
of charge: the normalized count rates, of which Vega has 1 (magnitudes have more digits of them; see
`hst_assets.photometry.catalog.combining`). Nothing is dropped because it is faint: a rate may be
negative.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.photometry.catalog.combining import ImageRates, rates_of_image
from hst_assets.photometry.catalog.quantities import OFF_IMAGE
from hst_assets.photometry.light_curve.matching import Match
from hst_assets.photometry.light_curve.measured_catalog import MeasuredCatalog, MeasuredImage
from hst_assets.photometry.light_curve.points import Place, Point

__all__ = ["catalog_points", "ujy_per_electron"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Stars of less tell the noise of an image without the light of stars.
_FAINT_SNR = 3.0


@dataclass(frozen=True, eq=False)
class _Chips:
    """What the chips of one exposure measured of some stars, arrays of shape (n,).

    `here` is where a star is on a chip at all; `n_counting` is 0 where flags exclude it.
    """

    image: MeasuredImage
    flux_ujy: Floats
    flux_error_ujy: Floats
    n_counting: NDArray[np.int64]
    flag: NDArray[np.int64]
    here: Mask


def catalog_points(
    measured: MeasuredCatalog, places: Sequence[Place], matches: Sequence[Match]
) -> list[Point]:
    """The points of places by the catalogue's stars.

    Parameters
    ----------
    measured : MeasuredCatalog
        The catalogue.
    places : sequence of Place
        Where.
    matches : sequence of Match
        The star of each place.

    Returns
    -------
    list of Point
        Of each exposure that a star is on, one; its chips count as one. Where flags exclude it,
        nothing was measured and the note says so. Of a place without a star, a point without a
        flux for each band.
    """
    rows = np.array([match.row for match in matches if match.found], dtype=np.int64)
    exposures = [_exposure(measured, images, rows) for images in _by_exposure(measured)]
    if not measured.errors_hold_own_light:
        exposures = _with_own_light(measured, exposures)
    points: list[Point] = []
    at = 0
    for place, match in zip(places, matches, strict=True):
        if match.found:
            points += [
                _point(measured, chips, at, place, match) for chips in exposures if chips.here[at]
            ]
            at += 1
        else:
            points += _absent(measured, place, match)
    return points


def ujy_per_electron(measured: MeasuredCatalog) -> dict[str, float]:
    """Flux of one detected electron of each exposure, microjansky, by its rootname.

    It tells what share of a flux's variance is the star's own light.
    """
    found: dict[str, float] = {}
    for each in measured.images:
        rates = rates_of_image(measured.catalog, each.image, flag_mask=measured.flag_mask)
        exptime_s = measured.exposures[each.exposure].exptime_s
        known = rates.per_count_per_s[np.isfinite(rates.per_count_per_s)]
        if known.size:
            of_count = float(np.median(known)) * each.ujy_per_rate / exptime_s
            found[each.exposure] = max(of_count / each.gain, found.get(each.exposure, 0.0))
    return found


def _by_exposure(measured: MeasuredCatalog) -> list[list[MeasuredImage]]:
    groups: dict[str, list[MeasuredImage]] = {}
    for image in measured.images:
        groups.setdefault(image.exposure, []).append(image)
    return list(groups.values())


def _exposure(
    measured: MeasuredCatalog, images: Sequence[MeasuredImage], rows: NDArray[np.int64]
) -> _Chips:
    """Chips of one exposure, of which a star is on one, or near their gap on two."""
    parts = [_chip(measured, image, rows) for image in images]
    weight = np.stack(
        [np.where(rates.counting, rates.rate_error**-2.0, 0.0) for rates, _, _ in parts]
    )
    flux = np.stack([rates.rate for rates, _, _ in parts])
    total = weight.sum(axis=0)
    safe = np.where(total > 0, total, 1.0)
    counting = weight > 0
    flags = np.stack([flag for _, flag, _ in parts])
    here: Mask = np.stack([on for _, _, on in parts])
    scale = images[0].ujy_per_rate
    return _Chips(
        images[0],
        np.where(total > 0, (np.where(counting, flux, 0.0) * weight).sum(axis=0) / safe, np.nan)
        * scale,
        np.where(total > 0, safe**-0.5, np.inf) * scale,
        counting.sum(axis=0),
        np.where(
            counting.any(axis=0),
            np.where(counting, flags, 0).max(axis=0),
            np.where(here, flags, 0).max(axis=0),
        ),
        np.logical_or.reduce(here, axis=0),
    )


def _with_own_light(measured: MeasuredCatalog, exposures: Sequence[_Chips]) -> list[_Chips]:
    """The same with errors that hold the light of the star as it was in each exposure.

    Those of the embedded photometer hold its mean light in the band: of a star that has vanished,
    the noise of what it was. What remains without that light is at least the noise of the faint
    stars of the exposure.
    """
    per_electron = ujy_per_electron(measured)
    bands: dict[tuple[str, str], list[_Chips]] = {}
    for chips in exposures:
        bands.setdefault((chips.image.detector, chips.image.filter_name), []).append(chips)
    means = {band: _mean_flux(members) for band, members in bands.items()}
    found = []
    for chips in exposures:
        of_electron = per_electron.get(chips.image.exposure)
        of_faint = _faint_variance(measured, chips.image)
        if of_electron is None or of_faint is None:  # what is not light cannot be told
            found.append(chips)
            continue
        light = of_electron * np.maximum(means[chips.image.detector, chips.image.filter_name], 0.0)
        variance = chips.flux_error_ujy**2
        # No star has less than the faint ones, but where its own error says so.
        least = np.minimum(variance, of_faint)
        background = np.maximum(variance - light, least)
        own = of_electron * np.maximum(np.nan_to_num(chips.flux_ujy), 0.0)
        found.append(replace(chips, flux_error_ujy=np.sqrt(background + own)))
    return found


def _mean_flux(members: Sequence[_Chips]) -> Floats:
    flux = np.stack([chips.flux_ujy for chips in members])
    weight = np.stack([chips.flux_error_ujy for chips in members]) ** -2.0
    total = weight.sum(axis=0)
    mean: Floats = np.nansum(flux * weight, axis=0) / np.where(total > 0, total, 1.0)
    return mean


def _faint_variance(measured: MeasuredCatalog, image: MeasuredImage) -> float | None:
    """Median variance of the stars of an image that are within three errors of nothing."""
    rates = rates_of_image(measured.catalog, image.image, flag_mask=measured.flag_mask)
    faint = rates.counting & (abs(rates.rate) < _FAINT_SNR * rates.rate_error)
    if not faint.any():
        return None
    return float(np.median(rates.rate_error[faint]) * image.ujy_per_rate) ** 2


def _chip(
    measured: MeasuredCatalog, image: MeasuredImage, rows: NDArray[np.int64]
) -> tuple[ImageRates, NDArray[np.int64], Mask]:
    """Rates, flags, and which stars are on the chip."""
    rates = rates_of_image(measured.catalog, image.image, flag_mask=measured.flag_mask)
    number = image.image.number
    flag, counts, sky = (
        measured.catalog.values(key, image=number)[rows] for key in ("flag", "counts", "sky")
    )
    some = ImageRates(
        rates.rate[rows],
        np.where(rates.counting[rows], rates.rate_error[rows], np.inf),
        rates.per_count_per_s[rows],
        rates.counting[rows],
    )
    return some, flag.astype(np.int64), (flag != OFF_IMAGE) & ((counts != 0) | (sky != 0))


def _point(measured: MeasuredCatalog, chips: _Chips, at: int, place: Place, match: Match) -> Point:
    image, times = chips.image, measured.exposures[chips.image.exposure]
    counts = bool(chips.n_counting[at])
    left_out = "" if counts else f"left out by its quality flag {int(chips.flag[at])}"
    return Point(
        source=place.source,
        method="catalog",
        level="exposure",
        detector=image.detector,
        filter_name=image.filter_name,
        epoch=times.epoch,
        images=(image.exposure,),
        mjd=times.mjd_mid,
        mjd_first=times.mjd_start,
        mjd_last=times.mjd_end,
        exptime_s=times.exptime_s,
        n_images=int(counts),
        flux_ujy=float(chips.flux_ujy[at]),
        flux_error_ujy=float(chips.flux_error_ujy[at]),
        st_minus_ab_mag=image.st_minus_ab_mag,
        vega_minus_ab_mag=image.vega_minus_ab_mag,
        offset_arcsec=match.offset_arcsec,
        offset_sigma=match.offset_sigma,
        flag=int(chips.flag[at]),
        note="; ".join(filter(None, (left_out, match.note))),
    )


def _absent(measured: MeasuredCatalog, place: Place, match: Match) -> Iterator[Point]:
    """Of each band, that the place has no star in the catalogue."""
    bands: dict[tuple[str, str], list[MeasuredImage]] = {}
    for image in measured.images:
        bands.setdefault((image.detector, image.filter_name), []).append(image)
    for (detector, filter_name), images in bands.items():
        times = [
            measured.exposures[name] for name in dict.fromkeys(image.exposure for image in images)
        ]
        weight = [each.exptime_s for each in times]
        yield Point(
            source=place.source,
            method="catalog",
            level="filter",
            detector=detector,
            filter_name=filter_name,
            epoch=NO_EPOCH,
            images=(),
            mjd=float(np.average([each.mjd_mid for each in times], weights=weight)),
            mjd_first=min(each.mjd_start for each in times),
            mjd_last=max(each.mjd_end for each in times),
            exptime_s=0.0,
            n_images=0,
            flux_ujy=np.nan,
            flux_error_ujy=np.inf,
            st_minus_ab_mag=images[0].st_minus_ab_mag,
            vega_minus_ab_mag=images[0].vega_minus_ab_mag,
            offset_arcsec=np.nan,
            note=match.note,
        )

"""Judge products of the pipeline by a campaign's truth: astrometry and photometry.

Exposures are judged without measuring anything (`hst_assets.simulate.truth.true_offset`).
On drizzled images isolated bright stars are centred and measured
(`hst_assets.simulate.drizzled_image`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.simulate.bands import band_of
from hst_assets.simulate.drizzled_image import (
    APERTURES,
    DrizzledImage,
    aperture_sum,
    centre,
    is_covered,
    read_drizzled,
)
from hst_assets.simulate.geometry import chip_views
from hst_assets.simulate.psf import psf_model
from hst_assets.simulate.truth import (
    CampaignTruth,
    SkyOffset,
    magnitude_column,
    offset_between,
    true_offset,
)

__all__ = [
    "PhotometryScore",
    "alignment_scores",
    "difference_flux",
    "image_offset",
    "isolated_stars",
    "offset_of_images",
    "pair_offsets",
    "photometry_score",
    "star_fluxes",
    "star_positions",
]

_MIN_COUNTS_E = 20_000.0


# -------------------------------------------------------------------------------- which stars


def isolated_stars(
    truth: CampaignTruth,
    detector_key: str,
    filter_name: str,
    *,
    min_counts_e: float = _MIN_COUNTS_E,
) -> Table:
    """Bright, isolated stars that no exposure of a band saturates.

    Parameters
    ----------
    truth : CampaignTruth
        The campaign.
    detector_key, filter_name : str
        The band.
    min_counts_e : float
        Electrons in one exposure from which a star is bright.

    Returns
    -------
    stars : Table
        ``id``, ``ra``, ``dec``, ``magnitude`` (AB), ``ccdchip``, ``spoiled`` (flagged or hit
        pixels near its centre, over all exposures).
    """
    exposures = truth.exposures
    in_band = (exposures["detector_key"] == detector_key) & (exposures["filter"] == filter_name)
    good: set[int] = set()
    saturated: set[int] = set()
    spoiled: Counter[int] = Counter()
    chips: dict[int, int] = {}
    detector = DETECTORS[detector_key]
    to_electrons = detector.gain_e_per_dn if detector.has_separate_dq else 1.0
    for rootname in exposures["rootname"][in_band]:
        stars = truth.positions(rootname)
        bright = np.asarray(stars["counts"]) * to_electrons > min_counts_e
        good.update(int(i) for i in stars["id"][np.asarray(stars["isolated"]) & bright])
        saturated.update(int(i) for i in stars["id"][np.asarray(stars["saturated"])])
        chips |= dict(zip(stars["id"].tolist(), stars["ccdchip"].tolist(), strict=True))
        spoiled.update(dict(zip(stars["id"].tolist(), stars["spoiled"].tolist(), strict=True)))
    chosen = np.isin(np.asarray(truth.stars["id"]), sorted(good - saturated))
    table = truth.stars[["id", "ra", "dec"]][chosen]
    table["magnitude"] = truth.stars[magnitude_column(detector_key, filter_name)][chosen]
    table["ccdchip"] = np.array([chips[int(i)] for i in table["id"]], dtype=int)
    table["spoiled"] = np.array([spoiled[int(i)] for i in table["id"]], dtype=int)
    return table


# --------------------------------------------------------------------------------- astrometry


def star_positions(image: Path, truth: CampaignTruth, detector_key: str, filter_name: str) -> Table:
    """Measured sky positions of the isolated stars on a drizzled image.

    Returns
    -------
    stars : Table
        ``id``, true ``ra``, ``dec``, ``magnitude``; measured ``x``, ``y`` (0-based pixels),
        ``measured_ra``, ``measured_dec`` (deg).

    Raises
    ------
    UnusableInput
        If none of them is on the image.
    """
    drizzled = read_drizzled(image)
    return _located(drizzled, isolated_stars(truth, detector_key, filter_name), detector_key)


def _located(drizzled: DrizzledImage, stars: Table, detector_key: str) -> Table:
    aperture = APERTURES[detector_key]
    x, y = drizzled.wcs.all_world2pix(stars["ra"], stars["dec"], 0)
    x, y, kept = np.array(x), np.array(y), np.zeros(len(stars), dtype=bool)
    for index in range(len(stars)):
        if not is_covered(drizzled, x[index], y[index]):
            continue
        x[index], y[index] = centre(drizzled, x[index], y[index], aperture.window_sigma)
        kept[index] = is_covered(drizzled, x[index], y[index])
    if not kept.any():
        raise UnusableInput("no isolated star of the truth is on this image", where=drizzled.path)
    table = stars[kept]
    table["x"], table["y"] = x[kept], y[kept]
    ra, dec = drizzled.wcs.all_pix2world(x[kept], y[kept], 0)
    table["measured_ra"], table["measured_dec"] = np.array(ra), np.array(dec)
    return table


def image_offset(
    image: Path, truth: CampaignTruth, detector_key: str, filter_name: str
) -> SkyOffset:
    """How far a drizzled image's sky is from the true one."""
    stars = star_positions(image, truth, detector_key, filter_name)
    return offset_between(stars["ra"], stars["dec"], stars["measured_ra"], stars["measured_dec"])


def offset_of_images(first: Table, second: Table) -> SkyOffset:
    """How far two drizzled images are from each other: second minus first.

    Parameters
    ----------
    first, second : Table
        `star_positions` of both, of whatever detectors and filters.

    Raises
    ------
    UnusableInput
        If they have no star in common.
    """
    _, in_first, in_second = np.intersect1d(
        np.asarray(first["id"]), np.asarray(second["id"]), return_indices=True
    )
    if not len(in_first):
        raise UnusableInput("the two images have no isolated star in common")
    return offset_between(
        first["measured_ra"][in_first],
        first["measured_dec"][in_first],
        second["measured_ra"][in_second],
        second["measured_dec"][in_second],
    )


def alignment_scores(
    exposures: Mapping[str, Path] | Sequence[Path],
    truth: CampaignTruth,
    *,
    reference: str | None = None,
) -> Table:
    """How well exposures agree on one frame, whatever the pointing error of that frame.

    Parameters
    ----------
    exposures : mapping of rootname to path, or sequence of paths
        Exposures with the WCS to judge; a path's name begins with its rootname.
    truth : CampaignTruth
        The campaign.
    reference : str, optional
        Rootname of the exposure whose frame counts; the median of all unless given.

    Returns
    -------
    scores : Table
        ``rootname``, ``detector_key``, ``filter``; ``east``, ``north`` (arcsec): position by
        the WCS minus truth; ``relative_east``, ``relative_north`` (arcsec): the same minus the
        frame's; ``relative_pix``: their length in native pixels; ``scatter`` (arcsec) and
        ``rotation`` (deg) as in `SkyOffset`.
    """
    if not isinstance(exposures, Mapping):
        exposures = {path.name.split("_")[0]: path for path in exposures}
    rows = []
    planned = {str(row["rootname"]): row for row in truth.exposures}
    for rootname, path in exposures.items():
        offset = true_offset(path, truth.positions(rootname))
        rows.append(
            {
                "rootname": rootname,
                "detector_key": str(planned[rootname]["detector_key"]),
                "filter": str(planned[rootname]["filter"]),
                "east": offset.east_arcsec,
                "north": offset.north_arcsec,
                "scatter": offset.scatter_arcsec,
                "rotation": offset.rotation_deg,
            }
        )
    table = Table(rows=rows)
    frame = table if reference is None else table[table["rootname"] == reference]
    table["relative_east"] = table["east"] - np.median(frame["east"])
    table["relative_north"] = table["north"] - np.median(frame["north"])
    scale = np.array([DETECTORS[key].pixel_scale_arcsec for key in table["detector_key"]])
    table["relative_pix"] = np.hypot(table["relative_east"], table["relative_north"]) / scale
    return table


def pair_offsets(
    exposures: Mapping[str, Path],
    truth: CampaignTruth,
    *,
    places: Mapping[str, Table] | None = None,
) -> Table:
    """How far apart any two exposures of different filters or epochs put the same stars.

    Parameters
    ----------
    exposures : mapping of rootname to path
        Exposures with the WCS to judge.
    truth : CampaignTruth
        The campaign.
    places : mapping of rootname to Table, optional
        Where the stars are on each exposure: ``id``, ``chip`` (EXTVER), ``x``, ``y`` (0-based
        pixels); the truth unless given.

    Returns
    -------
    pairs : Table
        ``first``, ``second`` (rootnames); ``offset_pix``: length of the median difference of the
        positions on the sky, in native pixels (of two detectors, the coarser ones); ``median_pix``:
        the median length, what roll and distortion leave and not only the shift; ``n_stars``.
    """
    planned = {str(row["rootname"]): row for row in truth.exposures}
    stars = {name: truth.positions(name) if places is None else places[name] for name in exposures}
    skies = {name: _on_sky(path, stars[name]) for name, path in exposures.items()}
    rows = []
    for first, second in combinations(exposures, 2):
        one, other = planned[first], planned[second]
        if (one["visit"], one["filter"]) == (other["visit"], other["filter"]):
            continue
        _, a, b = np.intersect1d(skies[first]["id"], skies[second]["id"], return_indices=True)
        ra, dec, ra_other, dec_other = (
            np.asarray(skies[name][column])[chosen]
            for name, chosen in ((first, a), (second, b))
            for column in ("ra", "dec")
        )
        offset = offset_between(ra, dec, ra_other, dec_other)
        keys = (str(one["detector_key"]), str(other["detector_key"]))
        scale = max(DETECTORS[key].pixel_scale_arcsec for key in keys)
        east = 3600 * (ra_other - ra) * np.cos(np.radians(dec))
        lengths = np.hypot(east, 3600 * (dec_other - dec))
        rows.append(
            {
                "first": first,
                "second": second,
                "offset_pix": float(np.hypot(offset.east_arcsec, offset.north_arcsec)) / scale,
                "median_pix": float(np.median(lengths)) / scale,
                "n_stars": len(a),
            }
        )
    return Table(rows=rows)


def _on_sky(exposure: Path, stars: Table) -> Table:
    """``id``, ``ra``, ``dec`` of stars at pixels of an exposure by its WCS."""
    parts = []
    with fits.open(exposure) as hdus:
        for hdu in hdus:
            if hdu.name != "SCI":
                continue
            part = stars[np.asarray(stars["chip"]) == hdu.ver]
            sky = WCS(hdu.header, hdus).all_pix2world(
                np.asarray(part["x"]), np.asarray(part["y"]), 0
            )
            parts.append((np.asarray(part["id"]), *map(np.asarray, sky)))
    columns = map(np.concatenate, zip(*parts, strict=True))
    return Table(dict(zip(("id", "ra", "dec"), columns, strict=True)))


# --------------------------------------------------------------------------------- photometry


@dataclass(frozen=True)
class PhotometryScore:
    """Measured over true flux of the isolated bright stars of one image.

    Attributes
    ----------
    median_ratio : float
        Median of the ratios.
    scatter : float
        Their robust standard deviation (from the median absolute deviation).
    n_stars : int
        How many.
    """

    median_ratio: float
    scatter: float
    n_stars: int


def star_fluxes(image: Path, truth: CampaignTruth, detector_key: str, filter_name: str) -> Table:
    """Aperture photometry of the isolated stars on a drizzled image, against the truth.

    The share of light that the aperture holds, and what the sky annulus takes away of it, are
    those of the simulated PSF.

    Returns
    -------
    stars : Table
        The columns of `star_positions`, ``rate`` (counts/s), ``true_rate`` and ``ratio``.

    Raises
    ------
    UnusableInput
        If none of them is on the image.
    """
    drizzled = read_drizzled(image)
    stars = _located(drizzled, isolated_stars(truth, detector_key, filter_name), detector_key)
    aperture, band = APERTURES[detector_key], band_of(detector_key, filter_name)
    shares = {
        view.chip.ccdchip: psf_model(detector_key, band, view.pixel_arcsec).net_encircled(
            aperture.radius, aperture.annulus
        )
        for view in chip_views(detector_key)
    }
    net = [aperture_sum(drizzled, row["x"], row["y"], aperture) for row in stars]
    stars["rate"] = np.array(net) / [shares[int(chip)] for chip in stars["ccdchip"]]
    true_rate = 10 ** (-0.4 * (np.asarray(stars["magnitude"]) - band.zero_point_ab))
    if drizzled.electrons and DETECTORS[detector_key].has_separate_dq:
        true_rate *= DETECTORS[detector_key].gain_e_per_dn
    stars["true_rate"] = true_rate
    stars["ratio"] = stars["rate"] / true_rate
    return stars


def photometry_score(stars: Table) -> PhotometryScore:
    """Summary of `star_fluxes`."""
    ratio = np.asarray(stars["ratio"], dtype=float)
    median = float(np.median(ratio))
    spread = 1.4826 * float(np.median(np.abs(ratio - median)))
    return PhotometryScore(median, spread, len(ratio))


def difference_flux(
    difference: Path, ra_deg: float, dec_deg: float, detector_key: str, filter_name: str
) -> tuple[float, float]:
    """Flux of a point source on a difference image, corrected for the light outside the aperture.

    Returns
    -------
    flux, error : float
        Counts per second; the error is that of the image's ERR plane over the aperture.

    Raises
    ------
    UnusableInput
        If the source is not on the image, or its surroundings are not covered.
    """
    drizzled = read_drizzled(difference)
    x, y = (float(value) for value in drizzled.wcs.all_world2pix(ra_deg, dec_deg, 0))
    if not is_covered(drizzled, x, y):
        raise UnusableInput("the source is not on this difference", where=difference)
    aperture = APERTURES[detector_key]
    share = psf_model(
        detector_key, band_of(detector_key, filter_name), chip_views(detector_key)[-1].pixel_arcsec
    ).net_encircled(aperture.radius, aperture.annulus)
    with fits.open(difference) as hdus:
        error = np.array(hdus["ERR"].data, dtype=float)
    rows, columns = np.indices(error.shape)
    inside = np.hypot(columns - x, rows - y) * drizzled.scale_arcsec <= aperture.radius
    return (
        aperture_sum(drizzled, x, y, aperture) / share,
        float(np.sqrt(np.nansum(error[inside] ** 2))) / share,
    )

"""Magnitudes of a band to be drawn: of Vega, or what is known without its zero point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.catalog.bands import CatalogBand
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.quality_cuts import QualityCuts, detected_in, least_snr

__all__ = ["ShownMagnitudes", "shown_magnitudes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ShownMagnitudes:
    """Magnitudes in a band.

    Attributes
    ----------
    mag : ndarray, shape (n,)
        NaN where a star is not seen.
    system : str
        ``Vega``, ``AB``, or ``instrumental``: -2.5 lg of the counts per second.
    """

    mag: Floats
    system: str


def shown_magnitudes(
    catalog: Catalog,
    cuts: QualityCuts,
    band: CatalogBand,
    zero_points: Sequence[Mapping[str, Any]] = (),
) -> ShownMagnitudes:
    """The magnitudes in a band: of Vega where the catalogue has any, or else AB or instrumental.

    Without Vega's they follow from the counts, by the mean zero point and aperture correction of
    the band's images, weighted by exposure time: good to the differences between those, some
    hundredths of a magnitude.

    Parameters
    ----------
    catalog : Catalog
        With n stars.
    cuts : QualityCuts
        Stars of a smaller signal-to-noise ratio than theirs are not seen.
    band : CatalogBand
        One of `hst_assets.photometry.catalog.bands.bands_of`.
    zero_points : sequence of mapping, optional
        Of each image, what the photometer notes of it: ``ab_mag``, the AB magnitude of one count
        per second, and ``aperture_correction_mag``; None where they are not known.
    """
    if catalog.measured(**band.address).any():
        seen = detected_in(catalog, cuts, band)
        return ShownMagnitudes(
            np.where(seen, catalog.values("vega_mag", **band.address), np.nan), "Vega"
        )
    counts = catalog.values("counts", **band.address)
    seen = (catalog.values("snr", **band.address) >= least_snr(cuts)) & (counts > 0)
    exptime_s = np.array([image.exptime_s for image in band.images])
    rate = np.where(seen, counts, np.nan) / exptime_s.sum()
    added = [
        _zero_point(zero_points[image.number - 1]) if image.number <= len(zero_points) else np.nan
        for image in band.images
    ]
    zero_point = float(np.average(added, weights=exptime_s))
    known = bool(np.isfinite(zero_point))
    mag = -2.5 * np.log10(rate) + (zero_point if known else 0.0)
    return ShownMagnitudes(mag, "AB" if known else "instrumental")


def _zero_point(told: Mapping[str, Any]) -> float:
    """AB magnitude of one count per second under the PSF; NaN where it is not known."""
    of_header, correction = told.get("ab_mag"), told.get("aperture_correction_mag")
    if of_header is None or correction is None:
        return float("nan")
    return float(of_header) + float(correction)

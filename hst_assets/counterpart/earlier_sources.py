"""The sources of the catalogue as the earlier images alone have them.

A catalogue is measured on all exposures of a target, those with the object in them too. Its columns
of single images tell what the earlier ones have: fluxes of a band are the means of its earlier
images, weighted by the inverse variance. What is not seen there is no source of the earlier images,
though the object itself may be in the catalogue at its place. Places are those of all images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.counterpart.image_groups import Exposure
from hst_assets.detection.image_planes import read_wcs
from hst_assets.detectors import Detector
from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.reading import read_catalog
from hst_assets.photometry.catalog.vega import st_minus_ab, vega_band
from hst_assets.photometry.dolphot.input_images import InputImage, read_input_images
from hst_assets.photometry.light_curve.points import AB_ZERO_POINT_UJY
from hst_assets.sky_geometry import TangentPlane
from hst_assets.workdir import WorkDir

__all__ = ["BandFluxes", "EarlierSources", "centroid_error_mas", "read_earlier_sources"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Flags of an image's measurement from which on it is worthless.
_FIRST_EXTREME_FLAG = 8
_SIGMA_PER_FWHM = 1.0 / 2.3548
#: Share of a neighbour's light that its subtraction leaves (`embedded.noise_mult`, and DOLPHOT's
#: NoiseMult, are of that size).
_LEFT_OF_NEIGHBOURS = 0.03


@dataclass(frozen=True, eq=False)
class BandFluxes:
    """Fluxes of n sources in the earlier images of one band.

    Attributes
    ----------
    band : str
        Detector and filter.
    detector : Detector
        The detector.
    filter_name : str
        The filter.
    pivot_angstrom, vega_minus_ab_mag, st_minus_ab_mag : float
        Of the band.
    flux_ujy, error_ujy : ndarray, shape (n,)
        Microjansky of all light; NaN and infinite where no image counts.
    n_images : ndarray of int, shape (n,)
        Images that count.
    """

    band: str
    detector: Detector
    filter_name: str
    pivot_angstrom: float
    vega_minus_ab_mag: float
    st_minus_ab_mag: float
    flux_ujy: Floats
    error_ujy: Floats
    n_images: NDArray[np.int64]

    @property
    def snr(self) -> Floats:
        """Flux over error; 0 where nothing was measured."""
        good = np.isfinite(self.flux_ujy) & np.isfinite(self.error_ujy)
        return np.where(good, self.flux_ujy / np.where(good, self.error_ujy, 1.0), 0.0)

    @property
    def fwhm_mas(self) -> float:
        """Width of a star."""
        return self.detector.fwhm_pix * self.detector.pixel_scale_arcsec * 1e3


@dataclass(frozen=True, eq=False)
class EarlierSources:
    """The objects of a catalogue, with what the earlier images have of them.

    Attributes
    ----------
    number : ndarray of int, shape (n,)
        Row in the catalogue, from 0.
    ra_deg, dec_deg : ndarray, shape (n,)
        ICRS, by all images.
    object_type : ndarray of int, shape (n,)
        As of `hst_assets.photometry.catalog.quantities.OBJECT_TYPES`.
    crowding_mag : ndarray, shape (n,)
        Of the object over all images.
    bands : mapping
        Fluxes by band.
    not_converted : tuple of str
        Bands without a zero point in AB, which are left out.
    """

    number: NDArray[np.int64]
    ra_deg: Floats
    dec_deg: Floats
    object_type: NDArray[np.int64]
    crowding_mag: Floats
    bands: Mapping[str, BandFluxes]
    not_converted: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.number)

    def offsets_arcsec(self, place: tuple[float, float]) -> Floats:
        """East and north of a place, shape (n, 2)."""
        west, north = (
            TangentPlane(*place, 1.0).project(np.column_stack([self.ra_deg, self.dec_deg])).T
        )
        return np.column_stack([-west, north])

    def seen(self, at_least: float) -> Mask:
        """Which have at least this signal-to-noise ratio in a band of the earlier images."""
        seen: Mask = np.zeros(len(self), dtype=bool)
        for band in self.bands.values():
            seen |= band.snr >= at_least
        return seen

    def best_band(self, row: int) -> str:
        """The band in which a source is most significant."""
        return max(self.bands, key=lambda name: float(self.bands[name].snr[row]))


def centroid_error_mas(sources: EarlierSources, floor_mas: float) -> Floats:
    """Errors of the sources' places on an axis, shape (n,).

    The width over the signal-to-noise ratio (King 1983, PASP 95, 163) of all earlier bands, what a
    wrong model of its neighbours may move a crowded source by, and a floor, in quadrature.

    Parameters
    ----------
    sources : EarlierSources
        The sources.
    floor_mas : float
        Scatter of bright stars between exposures, over the root of their number; NaN: not known.
    """
    weight = np.zeros(len(sources))
    widest = 0.0
    for band in sources.bands.values():
        weight += (np.maximum(band.snr, 0.0) / (band.fwhm_mas * _SIGMA_PER_FWHM)) ** 2
        widest = max(widest, band.fwhm_mas)
    photons = 1.0 / np.sqrt(np.maximum(weight, 1e-12))
    crowding = np.clip(np.nan_to_num(sources.crowding_mag), 0.0, 5.0)
    of_neighbours = _LEFT_OF_NEIGHBOURS * (10 ** (0.4 * crowding) - 1.0) * widest
    floor = floor_mas if math.isfinite(floor_mas) else 0.0
    return np.asarray(np.sqrt(photons**2 + of_neighbours**2 + floor**2))


def read_earlier_sources(
    workdir: WorkDir, catalog: Catalog | None, base: str, early: Sequence[Exposure]
) -> EarlierSources:
    """Read the catalogue as the earlier images have it.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its catalogue must exist.
    catalog : Catalog or None
        The catalogue; None: it is read.
    base : str
        How the files of the photometer begin (``dolphot.base``).
    early : sequence of Exposure
        The earlier images.

    Raises
    ------
    MissingProduct, UnusableInput
        If the catalogue or its images cannot be read, or none of the images is an earlier one.
    """
    images = read_input_images(workdir)
    whole = catalog or read_catalog(workdir.dolphot_catalog(base))
    with fits.open(images[0].path) as hdus:
        whole = whole.with_positions(read_wcs(hdus[0].header, hdus))
    roots = {one.rootname for one in early}
    of_images = {image.alias: image for image in images[1:] if image.exposure in roots}
    by_band: dict[str, list[tuple[int, InputImage]]] = {}
    for column in whole.columns.images:
        if column.name in of_images:
            image = of_images[column.name]
            by_band.setdefault(image.detector.band(image.filter), []).append((column.number, image))
    if not by_band:
        raise UnusableInput(
            "no earlier exposure is among the images of the catalogue",
            where=workdir.dolphot_inputs,
            next_step="Its column reason says why an image is left out",
        )
    bands, not_converted = {}, []
    for name, members in sorted(by_band.items()):
        try:
            bands[name] = _fluxes(whole, name, members)
        except UnusableInput as error:
            not_converted.append(f"{name}: {error.what}")
    if not bands:
        raise UnusableInput(
            f"no band has a zero point in AB: {'; '.join(not_converted)}",
            where=workdir.star_catalog,
        )
    return EarlierSources(
        number=np.arange(len(whole)),
        ra_deg=whole["ra"],
        dec_deg=whole["dec"],
        object_type=whole["object_type"].astype(np.int64),
        crowding_mag=whole["crowding"],
        bands=bands,
        not_converted=tuple(not_converted),
    )


def _fluxes(catalog: Catalog, name: str, members: Sequence[tuple[int, InputImage]]) -> BandFluxes:
    _, first = members[0]
    vega = vega_band(first.detector.key, first.filter)
    per_rate = 10 ** (0.4 * (AB_ZERO_POINT_UJY - vega.ab_mag()))
    total = np.zeros(len(catalog))
    weights = np.zeros(len(catalog))
    n_images = np.zeros(len(catalog), dtype=np.int64)
    for number, _ in members:
        flux, error = _rates(catalog, number)
        good = np.isfinite(flux) & (error > 0) & np.isfinite(error)
        weight = np.where(good, 1.0 / np.where(good, error, 1.0) ** 2, 0.0)
        total += np.where(good, flux, 0.0) * weight
        weights += weight
        n_images += good
    any_counts = weights > 0
    safe = np.where(any_counts, weights, 1.0)
    return BandFluxes(
        band=name,
        detector=first.detector,
        filter_name=first.filter,
        pivot_angstrom=vega.pivot_angstrom,
        vega_minus_ab_mag=-vega.ab_mag(),
        st_minus_ab_mag=st_minus_ab(vega.pivot_angstrom),
        flux_ujy=np.where(any_counts, total / safe * per_rate, np.nan),
        error_ujy=np.where(any_counts, per_rate / np.sqrt(safe), np.inf),
        n_images=n_images,
    )


def _rates(catalog: Catalog, number: int) -> tuple[Floats, Floats]:
    """Rates of one image, of which Vega has 1, with every correction of its magnitudes."""
    rate = catalog.values("rate", image=number)
    error = catalog.values("rate_error", image=number)
    flag = catalog.values("flag", image=number)
    measured = catalog.measured(image=number)
    magnitude = catalog.values("vega_mag", image=number)
    # Magnitudes hold the correction of lost charge, which rates do not; negative rates have none.
    corrected = np.where(
        measured & (rate > 0), 10 ** (-0.4 * np.where(measured, magnitude, 0.0)), rate
    )
    scale = np.where(measured & (rate > 0), corrected / np.where(rate > 0, rate, 1.0), 1.0)
    worthless = (flag >= _FIRST_EXTREME_FLAG) | ~np.isfinite(rate)
    return np.where(worthless, np.nan, corrected), np.where(worthless, np.inf, error * scale)

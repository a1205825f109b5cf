"""Judge a catalogue of stars by a campaign's truth: which stars are in it, and how bright.

True stars are those that fell on all images of a filter, saturated on none of them, to a limit that
follows from the simulated noise and PSF and not from the catalogue. The catalogue's are matched to
them on the sky, once the offset of its frame is taken off. What lies at no star, galaxy or
transient of the scene is false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.spatial import KDTree

from hst_assets.detection.image_planes import read_wcs
from hst_assets.detectors import DETECTORS
from hst_assets.photometry.catalog.bands import CatalogBand, bands_of
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.reading import beside, read_catalog
from hst_assets.photometry.catalog.run_info import RunInfo, read_run_info
from hst_assets.photometry.dolphot.input_images import InputImage, read_input_images
from hst_assets.photometry.encircled_energy import encircled_energy
from hst_assets.simulate.bands import band_of
from hst_assets.simulate.geometry import chip_views
from hst_assets.simulate.psf import OVERSAMPLING, psf_model
from hst_assets.simulate.truth import CampaignTruth, magnitude_column
from hst_assets.workdir import WorkDir

__all__ = ["CatalogScore", "catalog_scores", "simulated_wings_mag"]

Floats = NDArray[np.float64]

#: A true star is matched to what lies within so many pixels of the detector and differs in
#: brightness by less than this.
_MATCH_PIX, _MATCH_MAG = 1.0, 0.75
#: Pixels from the border of a chip within which true stars do not count.
_EDGE_PIX = 10.0
#: Least signal-to-noise ratio of true stars, and of objects of the catalogue, that count.
_LEAST_SNR = 10.0
#: A star is not false within so many pixels of a true one (two of a blend may be found as one), or
#: within so many half-light radii of a galaxy.
_NEAR_PIX, _NEAR_RADII = 2.0, 3.0
#: Object types that pass for stars.
_STARS = (1, 2)
#: Where aperture corrections and sums on differences have their sky.
_RING_ARCSEC = (0.6, 1.0)
#: AB magnitudes between which the limit is looked for.
_MAG_RANGE = (10.0, 40.0)


@dataclass(frozen=True)
class CatalogScore:
    """How well a catalogue has the stars of a filter whose signal-to-noise ratio is 10 or more.

    Attributes
    ----------
    name : str
        The filter.
    n_true, n_found : int
        True stars, and those of them in the catalogue.
    faintest_mag : float
        AB magnitude of a lone star with a signal-to-noise ratio of 10, by the simulated sky, read
        noise and PSF.
    n_objects, n_false : int
        Objects of the catalogue that pass for stars with that ratio by their own errors, and those
        of them where the scene has no star, galaxy or transient.
    bias_mag : float
        Median of measured minus true magnitude.
    scatter_mag : float
        1.4826 times the median absolute deviation from it.
    pull : float
        The same of the differences over their stated errors: 1 if the errors are right.
    """

    name: str
    n_true: int
    n_found: int
    faintest_mag: float
    n_objects: int
    n_false: int
    bias_mag: float
    scatter_mag: float
    pull: float

    @property
    def completeness(self) -> float:
        """Share of the true stars that is in the catalogue."""
        return self.n_found / self.n_true if self.n_true else float("nan")

    @property
    def false_share(self) -> float:
        """Share of the objects where there is none; 0 without objects."""
        return self.n_false / self.n_objects if self.n_objects else 0.0


def catalog_scores(
    catalog_path: Path,
    workdir: WorkDir,
    truth: CampaignTruth,
    *,
    radius_arcsec: float,
    model_pix: float = 0.0,
) -> list[CatalogScore]:
    """Judge each filter of a catalogue by the embedded photometer.

    Its magnitudes are led from an aperture to all light by published tables of the real telescope;
    here that step is taken back, and made with the simulated PSF.

    Parameters
    ----------
    catalog_path : `~pathlib.Path`
        The catalogue.
    workdir : WorkDir
        Its target's: the reference gives positions on the sky.
    truth : CampaignTruth
        The campaign.
    radius_arcsec : float
        Radius of the aperture.
    model_pix : float, optional
        Radius of the stars' models, pixels of the detector.
    """
    catalog = read_catalog(catalog_path)
    reference, *images = read_input_images(workdir)
    with fits.open(reference.path) as hdus:
        catalog = catalog.with_positions(read_wcs(hdus[0].header, hdus))
    info = read_run_info(beside(catalog_path, ".info"))
    return [
        score
        for band in bands_of(catalog.columns)
        for score in _score(catalog, band, images, info, truth, radius_arcsec, model_pix)
    ]


def _score(
    catalog: Catalog,
    band: CatalogBand,
    images: Sequence[InputImage],
    info: RunInfo,
    truth: CampaignTruth,
    radius_arcsec: float,
    model_pix: float,
) -> Iterator[CatalogScore]:
    of_band = [images[each.number - 1] for each in band.images]
    detector = of_band[0].detector.key
    stars = _true_stars(of_band, truth)
    if not len(stars):
        return
    zero_point = band_of(detector, of_band[0].filter).zero_point_ab
    true_mag = np.asarray(stars[magnitude_column(detector, of_band[0].filter)])
    seen = np.asarray(catalog.measured(**band.address))
    exptime_s = sum(each.exptime_s for each in band.images)
    numbers = [each.number - 1 for each in band.images]
    correction = float(np.mean(info.chips[0].aperture_corrections_mag[numbers]))
    counts = np.where(seen, catalog.values("counts", **band.address), 0.0)
    snr = catalog.values("snr", **band.address)
    seen &= counts > 0
    rate = np.where(seen, counts, 1.0) / exptime_s
    zero_point += simulated_wings_mag(
        detector,
        of_band[0].filter,
        radius_arcsec,
        model_arcsec=model_pix * DETECTORS[detector].pixel_scale_arcsec,
    )
    mag = np.where(seen, -2.5 * np.log10(rate) + correction + zero_point, np.nan)
    error = catalog.values("mag_error", **band.address)
    # Two chips of an exposure have one exposure time; a star is on one of them.
    pairs = zip(of_band, band.images, strict=True)
    exposures = {image.exposure: each.exptime_s for image, each in pairs}
    at_limit = _limit_mag(detector, of_band[0].filter, list(exposures.values()))
    wanted = true_mag < at_limit
    frame = _Frame.of(stars, true_mag, catalog, mag, seen, DETECTORS[detector].pixel_scale_arcsec)
    match = frame.matched(stars[wanted], true_mag[wanted], mag)
    found = match >= 0
    difference = mag[match[found]] - true_mag[wanted][found]
    bias = float(np.median(difference)) if found.any() else np.nan
    kept = seen & (snr >= _LEAST_SNR) & np.isin(catalog["object_type"], _STARS)
    yield CatalogScore(
        band.name,
        n_true=int(wanted.sum()),
        n_found=int(found.sum()),
        faintest_mag=at_limit,
        n_objects=int(kept.sum()),
        n_false=int(frame.false(kept, truth).sum()),
        bias_mag=bias,
        scatter_mag=_spread(difference),
        pull=_spread((difference - bias) / error[match[found]]),
    )


def _limit_mag(detector: str, filter_name: str, exptimes_s: Sequence[float]) -> float:
    """AB magnitude at which a lone star has `_LEAST_SNR` on all exposures together.

    Its own noise is that of each pixel, as a PSF fit weights them; the mean over places in a pixel.
    """
    band = band_of(detector, filter_name)
    psf = psf_model(detector, band, chip_views(detector)[-1].pixel_arcsec)
    background_e2 = [
        band.sky_e_per_s * seconds + DETECTORS[detector].read_noise_e ** 2 for seconds in exptimes_s
    ]

    def missing(mag: float) -> float:
        squared = 0.0
        for seconds, behind in zip(exptimes_s, background_e2, strict=True):
            star = seconds * _electrons_per_s(detector, filter_name, mag) * psf.grid
            squared += float((star**2 / (star + behind)).sum()) / OVERSAMPLING**2
        return float(np.sqrt(squared)) - _LEAST_SNR

    return float(brentq(missing, *_MAG_RANGE, xtol=1e-3))


def _electrons_per_s(detector: str, filter_name: str, mag: float) -> float:
    counts = 10 ** (-0.4 * (mag - band_of(detector, filter_name).zero_point_ab))
    row = DETECTORS[detector]
    # Zero points are of electrons, but for WFPC2's of DN.
    return float(counts * (row.gain_e_per_dn if row.has_separate_dq else 1.0))


def simulated_wings_mag(
    detector: str, filter_name: str, radius_arcsec: float, *, model_arcsec: float = 0.0
) -> float:
    """What to add to a magnitude of all light by the tables: the simulated PSF has other wings.

    Both in the aperture and in the ring about it, where the sky is measured.

    Parameters
    ----------
    detector : str
        Key of `hst_assets.detectors.DETECTORS`.
    filter_name : str
        The filter.
    radius_arcsec : float
        Radius of the aperture within which the light was measured.
    model_arcsec : float, optional
        Out to here a model of the star was taken off before the ring was measured.
    """
    # Subarrays are parts of the first chip; WFPC2 has none, and most of its field on the others.
    view = chip_views(detector)[-1 if detector == "wfpc2" else 0]
    psf = psf_model(detector, band_of(detector, filter_name), view.pixel_arcsec)

    def simulated(radius: float) -> float:
        return psf.net_encircled(radius, (np.inf, np.inf))

    def table(radius: float) -> float:
        return encircled_energy(detector, filter_name, radius)

    measured = _net_share(simulated, radius_arcsec, model_arcsec)
    known = _net_share(table, radius_arcsec, model_arcsec)
    if not np.isfinite(known):  # of WFPC2 the light in the ring is not known, and not taken back
        known = table(radius_arcsec)
    return float(2.5 * np.log10(measured) - (2.5 * np.log10(known) if np.isfinite(known) else 0.0))


def _net_share(within: Callable[[float], float], radius: float, model: float) -> float:
    """Share of a star's light within a radius, less what its light in the ring takes away."""
    inner, outer = _RING_ARCSEC
    in_ring = within(outer) - within(min(max(inner, model), outer))
    return within(radius) - in_ring * radius**2 / (outer**2 - inner**2)


def _true_stars(images: Sequence[InputImage], truth: CampaignTruth) -> Table:
    """Stars of the truth on every exposure of these, saturated on none."""
    kept: set[int] | None = None
    for exposure in {image.exposure for image in images}:
        here = truth.positions(exposure)
        good = np.zeros(len(here), dtype=bool)
        for image in images:
            if image.exposure != exposure:
                continue
            ny, nx = fits.getheader(image.path)["NAXIS2"], fits.getheader(image.path)["NAXIS1"]
            x, y = np.asarray(here["x"]), np.asarray(here["y"])
            inside = (x > _EDGE_PIX) & (x < nx - _EDGE_PIX) & (y > _EDGE_PIX) & (y < ny - _EDGE_PIX)
            good |= inside & (np.asarray(here["chip"]) == image.chip)
        good &= ~np.asarray(here["saturated"])
        ids = {int(each) for each in here["id"][good]}
        kept = ids if kept is None else kept & ids
    return truth.stars[np.isin(np.asarray(truth.stars["id"]), sorted(kept or set()))]


@dataclass(frozen=True, eq=False)
class _Frame:
    """The catalogue's objects that are seen, on a plane in arcsec, in the frame of the truth.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Their rows in the catalogue.
    places : ndarray, shape (n, 2)
        Arcsec east and north.
    cos_dec, scale_arcsec : float
        Of the field; a pixel of the detector.
    """

    rows: NDArray[np.int64]
    places: Floats
    cos_dec: float
    scale_arcsec: float

    @classmethod
    def of(
        cls,
        stars: Table,
        true_mag: Floats,
        catalog: Catalog,
        mag: Floats,
        seen: NDArray[np.bool_],
        scale_arcsec: float,
    ) -> _Frame:
        """With the offset taken off that most of the bright stars have."""
        rows = np.flatnonzero(seen)
        cos_dec = float(np.cos(np.radians(np.mean(stars["dec"]))))
        measured = _flat(catalog["ra"][rows], catalog["dec"][rows], cos_dec)
        bright = np.argsort(true_mag)[:200]
        true = _flat(stars["ra"], stars["dec"], cos_dec)[bright]
        if len(rows):
            measured -= _offset(true, true_mag[bright], measured, mag[rows], 20 * scale_arcsec)
        return cls(rows, measured, cos_dec, scale_arcsec)

    def matched(self, stars: Table, true_mag: Floats, mag: Floats) -> NDArray[np.int64]:
        """Row of the catalogue of each true star; -1: none. The brightest choose first."""
        match = np.full(len(stars), -1, dtype=np.int64)
        if not len(stars) or not len(self.rows):
            return match
        true = _flat(stars["ra"], stars["dec"], self.cos_dec)
        tree = KDTree(self.places)
        taken: set[int] = set()
        for star in np.argsort(true_mag, kind="stable"):
            near = [
                each
                for each in tree.query_ball_point(true[star], _MATCH_PIX * self.scale_arcsec)
                if each not in taken and abs(mag[self.rows[each]] - true_mag[star]) < _MATCH_MAG
            ]
            if near:
                best = min(
                    near, key=lambda each: float(np.hypot(*(self.places[each] - true[star])))
                )
                taken.add(best)
                match[star] = self.rows[best]
        return match

    def false(self, kept: NDArray[np.bool_], truth: CampaignTruth) -> NDArray[np.bool_]:
        """Which of the kept ones lie at no star, galaxy or transient."""
        places = self.places[kept[self.rows]]
        near = np.zeros(len(places), dtype=bool)
        for table in (truth.stars, truth.galaxies, truth.transient):
            if not len(table):
                continue
            there = _flat(table["ra"], table["dec"], self.cos_dec)
            reach = np.full(len(table), _NEAR_PIX * self.scale_arcsec)
            if "half_light_radius" in table.colnames:
                reach = np.maximum(reach, _NEAR_RADII * np.asarray(table["half_light_radius"]))
            for about in KDTree(places).query_ball_point(there, reach) if len(places) else ():
                near[about] = True
        return ~near


def _flat(ra: Floats, dec: Floats, cos_dec: float) -> Floats:
    """Arcsec east and north."""
    return np.column_stack([np.asarray(ra) * cos_dec, np.asarray(dec)]) * 3600.0


def _offset(
    true: Floats, true_mag: Floats, measured: Floats, mag: Floats, reach_arcsec: float
) -> Floats:
    """Measured minus true position of the frame, arcsec: the commonest among like-bright pairs."""
    tree = KDTree(measured)
    pairs = [
        measured[each] - place
        for place, brightness in zip(true, true_mag, strict=True)
        for each in tree.query_ball_point(place, reach_arcsec)
        if abs(mag[each] - brightness) < 0.3
    ]
    if not pairs:
        return np.zeros(2)
    offsets = np.array(pairs)
    around = KDTree(offsets).query_ball_point(offsets, reach_arcsec / 20)
    commonest = max(around, key=len)
    middle: Floats = np.median(offsets[commonest], axis=0)
    return middle


def _spread(values: Floats) -> float:
    if not len(values):
        return float("nan")
    return float(1.4826 * np.median(np.abs(values - np.median(values))))

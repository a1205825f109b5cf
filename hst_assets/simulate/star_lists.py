"""Star lists of an exposure and of its reference, with the truth known: what fits are judged on.

No pixel is rendered: thousands of fields, easy, hard and treacherous, cost little more than the
fits themselves. The exposure is a file of true headers whose image planes are empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.detectors import DETECTORS
from hst_assets.simulate.exposure import ExposurePlan, render_exposure
from hst_assets.simulate.geometry import (
    ChipView,
    Pointing,
    Subarray,
    astropy_wcs,
    chip_views,
    wcs_keywords,
)
from hst_assets.simulate.headers import exposure_files
from hst_assets.simulate.scene import ScenePlan, make_scene

__all__ = ["ListPlan", "StarLists", "make_star_lists", "median_error_pix", "write_headers"]

#: Where every header says that it points; the truth is what differs.
_HEADER_POINTING = Pointing(150.1, 2.2, 40.0)
_FILTERS = {"wfc3_ir": "F110W"}
_LETTERS = {"WFC3": "i", "ACS": "j", "WFPC2": "u"}
#: Error of a centroid per axis: a floor in native pixels, and a share of the FWHM that is divided
#: by the signal-to-noise ratio of the peak. Fitted to DAOFIND on simulated exposures (median
#: absolute deviations from the true places); the pipeline's own centroids are better.
_CENTROID_ERROR = {
    "wfc3_uvis": (0.02, 1.0),
    "wfc3_ir": (0.03, 2.3),
    "acs_wfc": (0.02, 1.0),
    "acs_hrc": (0.03, 1.0),
    "wfpc2": (0.02, 1.5),
}
#: Stars whose errors are larger, for their neighbours or their place in the pixel, and by how much:
#: the RMS on the same exposures is that far above what the median absolute deviation says.
_BLENDED_SHARE, _BLENDED_FACTOR = 0.08, 5.0
#: N(> snr) of stars falls as this power: the luminosity function of `scene` at its slope of 0.22.
_LUMINOSITY_POWER = 0.55
_BRIGHTEST_SNR = 3000.0
#: Scatter (natural logarithm) of the order of brightness between the two lists: colours.
_COLOUR_SCATTER = 0.5

Layout = Literal["uniform", "cluster", "corner", "lattice"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ListPlan:
    """A field: how many stars of which sort, and by how much the header is wrong.

    Attributes
    ----------
    detector_key : str
        Key of `hst_assets.detectors.DETECTORS`.
    n_common : int
        Stars on both lists.
    n_spurious : int
        Detections on the exposure that are no stars: cosmic rays, hot pixels.
    n_exposure_only, n_reference_only : int
        Stars that only one of the lists has.
    layout : {"uniform", "cluster", "corner", "lattice"}
        Where stars lie: anywhere; most of them in a cluster; all in one corner of one chip; on
        a square lattice.
    lattice_pix : float
        Spacing of the lattice.
    faintest_snr : float
        Signal-to-noise ratio of the faintest common star on the exposure.
    error_arcsec, roll_error_deg : (float, float), float
        True minus header pointing.
    related : bool
        Whether the reference shows the same sky; else the common stars are different ones.
    second_share : float
        Share of the common stars that belong to a second population.
    second_offset_pix : (float, float)
        By how much the reference has those elsewhere, in native pixels along east and north.
    second : {"moved", "doubled"}
        Whether the reference has them only there, or at both places.
    second_clustered : bool
        Whether the second population lies together in the field.
    subarray : Subarray, optional
        The part read out.
    seed : int
        Seed of all chances.
    """

    detector_key: str
    n_common: int
    n_spurious: int = 0
    n_exposure_only: int = 0
    n_reference_only: int = 0
    layout: Layout = "uniform"
    lattice_pix: float = 40.0
    faintest_snr: float = 5.0
    error_arcsec: tuple[float, float] = (0.0, 0.0)
    roll_error_deg: float = 0.0
    related: bool = True
    second_share: float = 0.0
    second_offset_pix: tuple[float, float] = (0.0, 0.0)
    second: Literal["moved", "doubled"] = "moved"
    second_clustered: bool = False
    subarray: Subarray | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class StarLists:
    """What an exposure and its reference list, and where the stars truly are.

    Attributes
    ----------
    stars : Table
        Detections on the exposure as source finding gives them: x, y (0-based pixels), flux,
        snr, extver; most significant first.
    reference_sky : ndarray, shape (n, 2)
        RA and Dec (deg) of the reference's stars, brightest first.
    truth : Table
        The stars of the first population on the exposure: x, y (true 0-based pixels), extver,
        ra, dec (deg): what the reference should say of them.
    """

    stars: Table
    reference_sky: Floats
    truth: Table

    def above(self, threshold_sigma: float, brightest: int) -> Table:
        """What source finding with a threshold would give, at most so many."""
        return self.stars[np.asarray(self.stars["snr"]) >= threshold_sigma][:brightest]


def write_headers(detector_key: str, folder: Path, *, subarray: Subarray | None = None) -> Path:
    """Write an exposure with the headers of a real one and empty SCI planes; return its path."""
    detector = DETECTORS[detector_key]
    plan = ExposurePlan(
        rootname=f"{_LETTERS[detector.instrument]}lst01aaq",
        detector_key=detector_key,
        filter_name=_FILTERS.get(detector_key, "F606W"),
        exptime_s=100.0,
        mjd=57000.0,
        pointing=_HEADER_POINTING,
        subarray=subarray,
        noise=False,
        cosmic_rays=False,
        defects=False,
    )
    nothing = make_scene(ScenePlan(n_stars=0, n_isolated=0, n_galaxies=0), 150.1, 2.2, seed=1)
    name, content = next(iter(exposure_files(render_exposure(plan, nothing)).items()))
    path = folder / name
    with fits.open(BytesIO(content)) as hdus:
        planes = [hdu for hdu in hdus if hdu.name == "SCI"]
        light = [fits.ImageHDU(np.zeros(p.data.shape, np.uint8), p.header) for p in planes]
        hdus[0].header["NEXTEND"] = len(light)
        fits.HDUList([hdus[0], *light]).writeto(path)
    return path


def make_star_lists(plan: ListPlan, header_wcs: dict[int, WCS]) -> StarLists:
    """Draw the lists of a field.

    Parameters
    ----------
    plan : ListPlan
        What is in it.
    header_wcs : dict of int to WCS
        The WCS of the exposure's header by EXTVER (of `write_headers`): its velocity aberration
        is the truth's.
    """
    rng = np.random.default_rng([plan.seed, 7])
    views = {view.extver: view for view in chip_views(plan.detector_key, plan.subarray)}
    true_wcs = _true_wcs(plan, views, header_wcs)
    places = _Places(plan, views, rng)
    common, snr = places.draw(plan.n_common), _snr(rng, plan.n_common, plan.faintest_snr)
    sky = _sky(common, true_wcs)
    alone = places.draw(plan.n_exposure_only)
    alone_snr = _snr(rng, plan.n_exposure_only, 4.0)
    spurious = _Places(plan, views, rng, uniform=True).draw(plan.n_spurious)
    spurious_snr = np.exp(rng.uniform(np.log(4.0), np.log(300.0), plan.n_spurious))
    stars = _detections(
        plan, rng, np.vstack([common, alone, spurious]), np.concatenate([snr, alone_snr]),
        spurious_snr,
    )  # fmt: skip
    second = _second_population(plan, rng, sky)
    others = places.draw(plan.n_reference_only)
    brightness = np.concatenate([snr, _snr(rng, plan.n_reference_only, 3.0)])
    shown = sky if plan.related else _sky(places.draw(plan.n_common), true_wcs)
    reference = _noisy_sky(plan, rng, np.vstack([shown, _sky(others, true_wcs)]), brightness)
    reference, brightness = _with_second(plan, reference, brightness, second)
    order = np.argsort(-brightness * rng.lognormal(0.0, _COLOUR_SCATTER, len(brightness)))
    first = ~second if plan.second == "moved" else np.ones(len(sky), dtype=bool)
    truth = Table(
        {
            "x": common[first, 0],
            "y": common[first, 1],
            "extver": common[first, 2].astype(int),
            "ra": sky[first, 0],
            "dec": sky[first, 1],
        }
    )
    return StarLists(stars, reference[order], truth)


def median_error_pix(wcs_of: dict[int, WCS], truth: Table, scale_arcsec: float) -> float:
    """How far a WCS puts the true stars from where they are: median distance in pixels."""
    distances = []
    for extver, wcs in wcs_of.items():
        rows = truth[np.asarray(truth["extver"]) == extver]
        if len(rows) == 0:
            continue
        ra, dec = wcs.all_pix2world(np.asarray(rows["x"]), np.asarray(rows["y"]), 0)
        east = (ra - rows["ra"]) * np.cos(np.radians(rows["dec"]))
        distances.append(np.hypot(east, dec - rows["dec"]) * 3600 / scale_arcsec)
    return float(np.median(np.concatenate(distances)))


def _true_wcs(
    plan: ListPlan, views: dict[int, ChipView], header_wcs: dict[int, WCS]
) -> dict[int, WCS]:
    pointing = _HEADER_POINTING.displaced(*plan.error_arcsec, plan.roll_error_deg)
    true = {}
    for extver, view in views.items():
        # The keywords by themselves leave out the velocity aberration of the header's CD.
        nominal = wcs_keywords(plan.detector_key, view, _HEADER_POINTING, subarray=plan.subarray)
        keywords = wcs_keywords(
            plan.detector_key,
            view,
            pointing,
            velocity_aberration=float(header_wcs[extver].wcs.cd[0, 0] / nominal["CD1_1"]),
            subarray=plan.subarray,
        )
        true[extver] = astropy_wcs(view, keywords)
    return true


class _Places:
    """Draws places (x, y, EXTVER) on the chips of an exposure in the layout of a plan."""

    def __init__(
        self,
        plan: ListPlan,
        views: dict[int, ChipView],
        rng: np.random.Generator,
        *,
        uniform: bool = False,
    ) -> None:
        self.layout: Layout = "uniform" if uniform else plan.layout
        self.step, self.views, self.rng = plan.lattice_pix, views, rng
        self.chip = int(rng.choice(list(views)))
        self.centre = rng.uniform(0.25, 0.75, 2)
        self.corner = rng.integers(0, 2, 2)

    def draw(self, count: int) -> Floats:
        """Places, shape (count, 3)."""
        extver = self.rng.choice(list(self.views), count)
        xy = self.rng.uniform(0, 1, (count, 2))
        if self.layout == "cluster":
            inside = self.rng.uniform(0, 1, count) < 0.7
            extver[inside] = self.chip
            xy[inside] = self.centre + self.rng.normal(0, 0.08, (int(inside.sum()), 2))
            xy = np.clip(xy, 0, 1)
        elif self.layout == "corner":
            extver[:] = self.chip
            xy = np.abs(self.corner - 0.25 * xy)
        size = np.array([[self.views[v].nx - 1, self.views[v].ny - 1] for v in extver])
        xy = xy * size.reshape(-1, 2)
        if self.layout == "lattice":
            xy = np.round(xy / self.step) * self.step
        return np.column_stack([xy, extver])


def _snr(rng: np.random.Generator, count: int, faintest: float) -> Floats:
    """Signal-to-noise ratios by the luminosity function, from the faintest to saturation."""
    high = (faintest / _BRIGHTEST_SNR) ** _LUMINOSITY_POWER
    share = high + (1 - high) * rng.uniform(0, 1, count)
    return np.asarray(faintest * share ** (-1 / _LUMINOSITY_POWER))


def _centroid_error_pix(plan: ListPlan, snr: Floats, rng: np.random.Generator) -> Floats:
    """Standard error per axis of each star, shape (n, 1)."""
    floor, share = _CENTROID_ERROR[plan.detector_key]
    error = np.hypot(floor, share * DETECTORS[plan.detector_key].fwhm_pix / snr)
    error[rng.uniform(0, 1, len(snr)) < _BLENDED_SHARE] *= _BLENDED_FACTOR
    return np.minimum(error, 0.5)[:, None]


def _detections(
    plan: ListPlan, rng: np.random.Generator, places: Floats, snr: Floats, spurious_snr: Floats
) -> Table:
    """Rows as of `hst_assets.detection.sources.exposure_sources`; the last are spurious."""
    snr = np.concatenate([snr, spurious_snr])
    xy = places[:, :2] + rng.normal(0, 1, (len(snr), 2)) * _centroid_error_pix(plan, snr, rng)
    table = Table(
        {
            "x": xy[:, 0],
            "y": xy[:, 1],
            "flux": snr,
            "snr": snr,
            "extver": places[:, 2].astype(np.int64),
        }
    )
    return table[np.argsort(-snr)]


def _sky(places: Floats, wcs_of: dict[int, WCS]) -> Floats:
    sky = np.zeros((len(places), 2))
    for extver, wcs in wcs_of.items():
        rows = places[:, 2] == extver
        if rows.any():
            sky[rows] = np.column_stack(wcs.all_pix2world(places[rows, 0], places[rows, 1], 0))
    return sky


def _displaced(sky: Floats, east_north_arcsec: Floats) -> Floats:
    east_north = np.broadcast_to(east_north_arcsec, sky.shape) / 3600
    ra = sky[:, 0] + east_north[:, 0] / np.cos(np.radians(sky[:, 1]))
    return np.column_stack([ra, sky[:, 1] + east_north[:, 1]])


def _noisy_sky(plan: ListPlan, rng: np.random.Generator, sky: Floats, snr: Floats) -> Floats:
    """Positions as measured on a reference that is twice as deep."""
    scale = DETECTORS[plan.detector_key].pixel_scale_arcsec
    error = _centroid_error_pix(plan, 1.4 * snr, rng) * scale
    return _displaced(sky, rng.normal(0, 1, sky.shape) * error)


def _second_population(plan: ListPlan, rng: np.random.Generator, sky: Floats) -> NDArray[np.bool_]:
    """Which common stars belong to it: drawn, or those nearest to one of them."""
    chosen = np.zeros(len(sky), dtype=bool)
    count = round(plan.second_share * len(sky))
    if plan.second_clustered and count:
        centre = sky[rng.integers(len(sky))]
        chosen[np.argsort(np.hypot(*(sky - centre).T))[:count]] = True
    else:
        chosen[rng.permutation(len(sky))[:count]] = True
    return chosen


def _with_second(
    plan: ListPlan, reference: Floats, brightness: Floats, second: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """The reference with the second population moved, or added once more elsewhere."""
    rows = np.flatnonzero(second)
    offset = np.array(plan.second_offset_pix) * DETECTORS[plan.detector_key].pixel_scale_arcsec
    moved = _displaced(reference[rows], offset)
    if plan.second == "doubled":
        return np.vstack([reference, moved]), np.concatenate([brightness, brightness[rows]])
    out = reference.copy()
    out[rows] = moved
    return out, brightness

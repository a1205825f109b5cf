"""Render one exposure: the sky through the optics onto the chips, and where every star fell."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from hst_assets.detectors import DETECTORS
from hst_assets.simulate.bands import Band, band_of
from hst_assets.simulate.geometry import (
    ChipView,
    Pointing,
    Subarray,
    astropy_wcs,
    chip_views,
    pixel_area,
    wcs_keywords,
)
from hst_assets.simulate.psf import PsfModel, psf_model
from hst_assets.simulate.scene import Scene, Transient, magnitude_in
from hst_assets.simulate.sensor import Readout, read_out

__all__ = ["ChipExposure", "ExposurePlan", "RenderedExposure", "render_exposure"]

#: Stamps reach further for brighter stars: half size (pixels) from so many electrons on.
_STAMP_SIZES = ((3e4, 58), (2e3, 32), (0.0, 16))
_MARGIN_PIX = 60
_ISOLATED_WITHIN_ARCSEC = 1.8
_ISOLATED_CONTAMINATION = 0.003
_ISOLATED_EDGE_PIX = 12
_DAYS = 1.0 / 86400.0


@dataclass(frozen=True)
class ExposurePlan:
    """One exposure to simulate.

    Attributes
    ----------
    rootname : str
        IPPPSSOOT.
    detector_key, filter_name : str
        What takes it.
    exptime_s, mjd : float
        Exposure time, and MJD of its start.
    pointing : Pointing
        What the header says.
    error_arcsec : tuple of float
        True minus header pointing, (east, north): true angles on the sky.
    roll_error_deg : float
        True minus header PA_V3.
    target_name : str
        TARGNAME.
    target : tuple of float
        RA_TARG, DEC_TARG (deg).
    subarray : Subarray, optional
        The part read out.
    expflag : str
        EXPFLAG.
    proposal_id : int
        PROPOSID.
    seed : int
        Seed of the campaign; each exposure has chances of its own.
    noise, cosmic_rays, defects : bool
        See `hst_assets.simulate.sensor.read_out`.
    """

    rootname: str
    detector_key: str
    filter_name: str
    exptime_s: float
    mjd: float
    pointing: Pointing
    error_arcsec: tuple[float, float] = (0.0, 0.0)
    roll_error_deg: float = 0.0
    target_name: str = "SIMFIELD"
    target: tuple[float, float] = (0.0, 0.0)
    subarray: Subarray | None = None
    expflag: str = "NORMAL"
    proposal_id: int = 15999
    seed: int = 0
    noise: bool = True
    cosmic_rays: bool = True
    defects: bool = True

    @property
    def band(self) -> Band:
        """Throughput and sky of the filter."""
        return band_of(self.detector_key, self.filter_name)

    @property
    def true_pointing(self) -> Pointing:
        """Where the telescope looked in truth."""
        return self.pointing.displaced(*self.error_arcsec, self.roll_error_deg)

    @property
    def mjd_end(self) -> float:
        """MJD of the end of the exposure."""
        return self.mjd + self.exptime_s * _DAYS

    @property
    def mjd_middle(self) -> float:
        """MJD of the middle of the exposure."""
        return self.mjd + 0.5 * self.exptime_s * _DAYS

    @property
    def velocity_aberration(self) -> float:
        """VAFACTOR: the Earth's orbital velocity, 1e-4 of light's, towards the target."""
        return 1.0 + 9e-5 * float(np.sin(2 * np.pi * self.mjd / 365.25))

    @property
    def count_unit_e(self) -> float:
        """Electrons in one count of the calibrated image (WFPC2 counts DN)."""
        detector = DETECTORS[self.detector_key]
        return detector.gain_e_per_dn if detector.has_separate_dq else 1.0


@dataclass(frozen=True, eq=False)
class ChipExposure:
    """One chip of a rendered exposure."""

    view: ChipView
    header_wcs: dict[str, float]
    readout: Readout


@dataclass(frozen=True, eq=False)
class RenderedExposure:
    """A rendered exposure and its truth.

    Attributes
    ----------
    plan : ExposurePlan
        The request.
    chips : tuple of ChipExposure
        In the order of EXTVER.
    stars : Table
        ``id``, ``ra``, ``dec`` (deg), ``chip`` (EXTVER), ``ccdchip``, ``x``, ``y``
        (0-based pixels), ``counts`` (in the unit of the image, over the exposure, before the
        pixel area), ``magnitude`` (AB), ``saturated``, ``isolated``, ``spoiled`` (flagged or
        hit pixels among the 25 around the star).
    transient : Table
        The same columns for the transient, if it is on a chip.
    """

    plan: ExposurePlan
    chips: tuple[ChipExposure, ...]
    stars: Table
    transient: Table


def render_exposure(
    plan: ExposurePlan, scene: Scene, transient: Transient | None = None
) -> RenderedExposure:
    """Simulate one exposure of a scene.

    Raises
    ------
    BadConfiguration
        If the filter cannot be simulated on the detector, or the subarray is not on the chip.
    """
    sources = _sources(plan, scene, transient)
    chips, positions = [], []
    for view in chip_views(plan.detector_key, plan.subarray):
        chip, placed = _render_chip(plan, view, sources, scene)
        chips.append(chip)
        positions.append(placed)
    placed = _stack(positions)
    of_transient = np.asarray(placed["id"]) < 0
    return RenderedExposure(plan, tuple(chips), placed[~of_transient], placed[of_transient])


def _stack(tables: list[Table]) -> Table:
    names = tables[0].colnames
    return Table({name: np.concatenate([table[name] for table in tables]) for name in names})


def _sources(plan: ExposurePlan, scene: Scene, transient: Transient | None) -> Table:
    """Point sources with their counts in this exposure; the transient has id -1."""
    wavelength = plan.band.photplam
    table = Table({name: np.asarray(scene.stars[name]) for name in ("id", "ra", "dec")})
    table["magnitude"] = magnitude_in(scene.stars, wavelength)
    table["isolated"] = _isolated(scene, wavelength)
    if transient is not None:
        magnitude = transient.magnitude(plan.mjd_middle, wavelength)
        place = Pointing(*plan.target, 0.0).displaced(transient.east_arcsec, transient.north_arcsec)
        if np.isfinite(magnitude):
            table.add_row([-1, place.ra_deg, place.dec_deg, magnitude, True])
    rate = 10 ** (-0.4 * (np.asarray(table["magnitude"]) - plan.band.zero_point_ab))
    table["counts"] = rate * plan.exptime_s
    return table


def _isolated(scene: Scene, wavelength_a: float) -> NDArray[np.bool_]:
    """Stars with next to no light of other sources around them."""
    stars, galaxies = scene.stars, scene.galaxies
    flux = 10 ** (-0.4 * magnitude_in(stars, wavelength_a))
    cos_dec = np.cos(np.radians(np.mean(stars["dec"]))) if len(stars) else 1.0
    result = np.zeros(len(stars), dtype=bool)
    sky = [np.asarray(stars["ra"]) * cos_dec, np.asarray(stars["dec"])]
    others = np.concatenate([flux, 10 ** (-0.4 * magnitude_in(galaxies, wavelength_a))])
    other_x = np.concatenate([sky[0], np.asarray(galaxies["ra"]) * cos_dec])
    other_y = np.concatenate([sky[1], np.asarray(galaxies["dec"])])
    reach = _ISOLATED_WITHIN_ARCSEC / 3600.0
    for index in range(len(stars)):
        near = np.hypot(other_x - sky[0][index], other_y - sky[1][index]) < reach
        contamination = others[near].sum() - flux[index]
        result[index] = contamination < _ISOLATED_CONTAMINATION * flux[index]
    return result


def _render_chip(
    plan: ExposurePlan, view: ChipView, sources: Table, scene: Scene
) -> tuple[ChipExposure, Table]:
    aberration = plan.velocity_aberration
    header_wcs, true_wcs = (
        wcs_keywords(
            plan.detector_key,
            view,
            pointing,
            velocity_aberration=aberration,
            subarray=plan.subarray,
        )
        for pointing in (plan.pointing, plan.true_pointing)
    )
    rng = np.random.default_rng([plan.seed, crc32(plan.rootname.encode()), view.chip.ccdchip])
    psf = psf_model(plan.detector_key, plan.band, view.pixel_arcsec)
    light = np.zeros(view.shape)
    stars = _placed(sources, view, true_wcs)
    area = pixel_area(view, stars["x"], stars["y"])
    electrons = np.asarray(stars["counts"]) * plan.count_unit_e / area
    _add_stars(light, psf, stars, electrons)
    _add_galaxies(light, plan, view, true_wcs, scene)
    sky_scale = _sky_scale(plan, view)
    light += plan.band.sky_e_per_s * plan.exptime_s * sky_scale
    readout = read_out(
        light,
        plan.detector_key,
        view,
        plan.exptime_s,
        rng,
        noise=plan.noise,
        cosmic_rays=plan.cosmic_rays,
        defects=plan.defects,
    )
    stars["saturated"] = electrons * psf.peak > DETECTORS[plan.detector_key].saturation_e
    x, y = np.asarray(stars["x"]), np.asarray(stars["y"])
    edge = np.minimum(np.minimum(x, view.nx - 1 - x), np.minimum(y, view.ny - 1 - y))
    stars["isolated"] &= (edge > _ISOLATED_EDGE_PIX) & ~stars["saturated"]
    stars["spoiled"] = _spoiled(plan, readout, x, y)
    return ChipExposure(view, header_wcs, readout), stars[edge > 0]


def _spoiled(
    plan: ExposurePlan, readout: Readout, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Pixels in the 5 x 5 around each star that are flagged as bad or hit by a cosmic ray."""
    bits = DETECTORS[plan.detector_key].dq_bad & ~DETECTORS[plan.detector_key].dq_saturated
    spoiled = readout.cosmic_rays | ((readout.quality & bits) > 0)
    padded = np.pad(spoiled, 2).astype(np.int64)
    total = np.zeros((spoiled.shape[0], spoiled.shape[1]), dtype=np.int64)
    for row in range(5):
        for column in range(5):
            total += padded[row : row + total.shape[0], column : column + total.shape[1]]
    rows = np.rint(y).astype(int).clip(0, total.shape[0] - 1)
    columns = np.rint(x).astype(int).clip(0, total.shape[1] - 1)
    result: NDArray[np.int64] = total[rows, columns]
    return result


def _sky_scale(plan: ExposurePlan, view: ChipView) -> float:
    """Sky of this exposure over the average; WFPC2's PC has smaller pixels than its name says."""
    rng = np.random.default_rng([plan.seed, crc32(plan.rootname.encode())])
    nominal = DETECTORS[plan.detector_key].pixel_scale_arcsec
    return float(rng.uniform(0.95, 1.1)) * (view.scale_arcsec / nominal) ** 2


def _placed(sources: Table, view: ChipView, keywords: dict[str, float]) -> Table:
    """Sources that fall on or near a chip, with their 0-based pixels."""
    wcs = astropy_wcs(view, keywords)
    # Outside the chip the polynomials diverge: ask the linear WCS first who is near.
    u, v = wcs.wcs_world2pix(sources["ra"], sources["dec"], 0)
    reach = _MARGIN_PIX + 0.1 * max(view.shape)
    near = _within(u, v, view, reach)
    table = sources[near]
    x, y = wcs.all_world2pix(table["ra"], table["dec"], 0, tolerance=1e-7, maxiter=50, quiet=True)
    table["chip"] = np.full(len(table), view.extver)
    table["ccdchip"] = np.full(len(table), view.chip.ccdchip)
    table["x"], table["y"] = np.asarray(x), np.asarray(y)
    return table[_within(table["x"], table["y"], view, _MARGIN_PIX)]


def _within(
    x: NDArray[np.float64], y: NDArray[np.float64], view: ChipView, margin: float
) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (
        (x > -margin) & (x < view.nx + margin) & (y > -margin) & (y < view.ny + margin)
    )
    return inside


def _add_stars(
    light: NDArray[np.float64],
    psf: PsfModel,
    stars: Table,
    electrons: NDArray[np.float64],
) -> None:
    for x, y, flux in zip(stars["x"], stars["y"], electrons, strict=True):
        half = next(size for limit, size in _STAMP_SIZES if flux >= limit)
        stamp, x0, y0 = psf.stamp(float(x), float(y), half)
        _add_stamp(light, flux * stamp, x0, y0)


def _add_stamp(light: NDArray[np.float64], stamp: NDArray[np.float64], x0: int, y0: int) -> None:
    """Add the part of a stamp that lies on the image."""
    ny, nx = light.shape
    left, right = max(x0, 0), min(x0 + stamp.shape[1], nx)
    low, high = max(y0, 0), min(y0 + stamp.shape[0], ny)
    if left < right and low < high:
        light[low:high, left:right] += stamp[low - y0 : high - y0, left - x0 : right - x0]


def _add_galaxies(
    light: NDArray[np.float64],
    plan: ExposurePlan,
    view: ChipView,
    keywords: dict[str, float],
    scene: Scene,
) -> None:
    """Add exponential discs, softened by about the width of the PSF."""
    galaxies = _placed(scene.galaxies, view, keywords)
    area = pixel_area(view, galaxies["x"], galaxies["y"])
    rate = 10 ** (-0.4 * (magnitude_in(galaxies, plan.band.photplam) - plan.band.zero_point_ab))
    electrons = rate * plan.exptime_s * plan.count_unit_e / area
    cd_arcsec = 3600.0 * np.array(
        [[keywords["CD1_1"], keywords["CD1_2"]], [keywords["CD2_1"], keywords["CD2_2"]]]
    )
    for galaxy, flux in zip(galaxies, electrons, strict=True):
        stamp, x0, y0 = _galaxy_stamp(galaxy, cd_arcsec)
        _add_stamp(light, flux * stamp, x0, y0)


def _galaxy_stamp(
    galaxy: Table.Row, cd_arcsec: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int, int]:
    """Exponential disc of unit flux, averaged over 3 x 3 points a pixel."""
    pixel = float(np.sqrt(abs(np.linalg.det(cd_arcsec))))
    scale_length = float(galaxy["half_light_radius"]) / 1.678
    softening = max(0.04, 0.5 * pixel)
    half = int(min(8 * np.hypot(scale_length, softening) / pixel, 150)) + 3
    x0, y0 = round(float(galaxy["x"])) - half, round(float(galaxy["y"])) - half
    fine = np.arange(-1 / 3, 2 * half + 0.5, 1 / 3)
    dx = x0 + fine[None, :] - galaxy["x"]
    dy = y0 + fine[:, None] - galaxy["y"]
    east = cd_arcsec[0, 0] * dx + cd_arcsec[0, 1] * dy
    north = cd_arcsec[1, 0] * dx + cd_arcsec[1, 1] * dy
    angle = np.radians(galaxy["pa"])
    along = east * np.sin(angle) + north * np.cos(angle)
    across = (east * np.cos(angle) - north * np.sin(angle)) / galaxy["axis_ratio"]
    profile = np.exp(-np.sqrt(along**2 + across**2 + softening**2) / scale_length)
    size = 2 * half + 1
    stamp = profile[: 3 * size, : 3 * size].reshape(size, 3, size, 3).sum(axis=(1, 3))
    return stamp / stamp.sum(), x0, y0

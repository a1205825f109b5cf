"""The truth of a simulated campaign: writing it, reading it back, and judging a WCS by it.

::

    <root>/exposures/<rootname>_flc.fits ...
    <root>/truth/plan.json          the plan that was simulated
    <root>/truth/stars.ecsv         id, ra, dec, AB magnitude in each band
    <root>/truth/galaxies.ecsv      the same, with sizes
    <root>/truth/exposures.ecsv     each exposure with its true-minus-header pointing
    <root>/truth/transient.ecsv     the transient in each exposure that saw it
    <root>/truth/<rootname>_stars.ecsv   where each star fell: 0-based pixels, counts

Pixels are 0-based; positions are ICRS degrees; magnitudes are AB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.detectors import DETECTORS
from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.simulate.exposure import ExposurePlan, RenderedExposure
from hst_assets.simulate.scene import Scene, Transient, magnitude_in
from hst_assets.workdir import write_atomically

__all__ = [
    "CampaignTruth",
    "SkyOffset",
    "magnitude_column",
    "offset_between",
    "true_offset",
    "write_exposure_truth",
    "write_exposures",
    "write_scene",
    "write_transient",
]

_UNITS = {
    "ra": "deg",
    "dec": "deg",
    "half_light_radius": "arcsec",
    "pa": "deg",
    "exptime": "s",
    "mjd_start": "d",
    "mjd_middle": "d",
    "pa_v3": "deg",
    "error_east": "arcsec",
    "error_north": "arcsec",
    "roll_error": "deg",
    "x": "pix",
    "y": "pix",
    "magnitude": "mag",
}


def magnitude_column(detector_key: str, filter_name: str) -> str:
    """Column of stars.ecsv with the AB magnitudes in a band: ``ab_wfc3_uvis_f606w``."""
    return f"ab_{detector_key}_{filter_name.lower()}"


@dataclass(frozen=True)
class CampaignTruth:
    """A simulated campaign on disk.

    Parameters
    ----------
    root : `~pathlib.Path`
        The folder given to `hst_assets.simulate.campaign.simulate_campaign`.
    """

    root: Path

    @property
    def exposure_folder(self) -> Path:
        """Folder of the FITS files."""
        return self.root / "exposures"

    @property
    def folder(self) -> Path:
        """Folder of the truth."""
        return self.root / "truth"

    @property
    def plan_file(self) -> Path:
        """The plan, as JSON."""
        return self.folder / "plan.json"

    @property
    def exposure_files(self) -> list[Path]:
        """The FITS files, sorted (for WFPC2 c0m and c1m)."""
        return sorted(self.exposure_folder.glob("[a-z]*.fits"))

    def science_files(self) -> list[Path]:
        """The FITS files with science in them, in the order of the plan."""
        return [self.exposure_folder / name for name in self.exposures["file"]]

    @cached_property
    def stars(self) -> Table:
        """Stars: ``id``, ``ra``, ``dec``, ``ab_<detector>_<filter>``..."""
        return self._read("stars.ecsv")

    @cached_property
    def galaxies(self) -> Table:
        """Galaxies: as the stars, with ``half_light_radius``, ``axis_ratio``, ``pa``."""
        return self._read("galaxies.ecsv")

    @cached_property
    def exposures(self) -> Table:
        """Exposures: ``error_east``, ``error_north`` (arcsec), ``roll_error`` (deg)..."""
        return self._read("exposures.ecsv")

    @cached_property
    def transient(self) -> Table:
        """The transient in each exposure that has it; no rows without one."""
        return self._read("transient.ecsv")

    def positions(self, rootname: str) -> Table:
        """Where the stars fell on an exposure: ``id``, ``chip``, ``x``, ``y``, ``counts``..."""
        return self._read(f"{rootname}_stars.ecsv")

    def _read(self, name: str) -> Table:
        path = self.folder / name
        if not path.is_file():
            raise MissingProduct(
                "no such truth", where=path, next_step="Simulate the campaign again"
            )
        return Table.read(path, format="ascii.ecsv")


# ------------------------------------------------------------------------------------- writing


def write_scene(truth: CampaignTruth, scene: Scene, exposures: Sequence[ExposurePlan]) -> None:
    """Write stars.ecsv and galaxies.ecsv with magnitudes in every band that is used."""
    bands = dict.fromkeys((one.detector_key, one.filter_name) for one in exposures)
    wavelengths = {(one.detector_key, one.filter_name): one.band.photplam for one in exposures}
    for name, sources in (("stars", scene.stars), ("galaxies", scene.galaxies)):
        table = sources.copy()
        table.remove_columns(["m_ref", "colour"])
        for band in bands:
            table[magnitude_column(*band)] = magnitude_in(sources, wavelengths[band])
        _write(truth, f"{name}.ecsv", table)


def write_exposures(truth: CampaignTruth, exposures: Sequence[ExposurePlan]) -> None:
    """Write exposures.ecsv."""
    rows = [
        {
            "rootname": one.rootname,
            "file": f"{one.rootname}_{DETECTORS[one.detector_key].suffix}.fits",
            "visit": one.rootname[:6],
            "detector_key": one.detector_key,
            "filter": one.filter_name,
            "exptime": one.exptime_s,
            "mjd_start": one.mjd,
            "ra": one.pointing.ra_deg,
            "dec": one.pointing.dec_deg,
            "pa_v3": one.pointing.pa_v3_deg,
            "error_east": one.error_arcsec[0],
            "error_north": one.error_arcsec[1],
            "roll_error": one.roll_error_deg,
        }
        for one in exposures
    ]
    _write(truth, "exposures.ecsv", Table(rows=rows))


def write_exposure_truth(truth: CampaignTruth, rendered: RenderedExposure) -> None:
    """Write <rootname>_stars.ecsv, and the transient's row if it is there."""
    rootname = rendered.plan.rootname
    stars = rendered.stars
    stars.meta["n_cosmic_ray_pixels"] = sum(
        int(chip.readout.cosmic_rays.sum()) for chip in rendered.chips
    )
    _write(truth, f"{rootname}_stars.ecsv", stars)
    _write(truth, f"{rootname}_transient.ecsv", rendered.transient)


def write_transient(
    truth: CampaignTruth, exposures: Sequence[ExposurePlan], transient: Transient | None
) -> None:
    """Gather transient.ecsv from the exposures."""
    tables = []
    for one in exposures:
        part = truth.folder / f"{one.rootname}_transient.ecsv"
        table = Table.read(part, format="ascii.ecsv")
        table["rootname"] = np.full(len(table), one.rootname)
        table["detector_key"] = np.full(len(table), one.detector_key)
        table["filter"] = np.full(len(table), one.filter_name)
        table["mjd_middle"] = np.full(len(table), one.mjd_middle)
        table.meta.clear()
        tables.append(table)
    gathered = vstack(tables)
    gathered.remove_columns(["id", "ccdchip", "isolated", "spoiled"])
    if transient is not None:
        gathered.meta["light_curve"] = [list(point) for point in transient.light_curve]
    _write(truth, "transient.ecsv", gathered)
    for one in exposures:
        (truth.folder / f"{one.rootname}_transient.ecsv").unlink()


def _write(truth: CampaignTruth, name: str, table: Table) -> None:
    for column in table.columns.values():
        if column.info.name in _UNITS:
            column.unit = _UNITS[column.info.name]
        elif column.info.name.startswith("ab_"):
            column.unit = "mag"
    with write_atomically(truth.folder / name) as part:
        table.write(part, format="ascii.ecsv")


# ------------------------------------------------------------------------------------- judging


@dataclass(frozen=True)
class SkyOffset:
    """How far a WCS is from the true sky.

    Attributes
    ----------
    east_arcsec, north_arcsec : float
        Median of (position by the WCS) - (true position); true angles on the sky.
    scatter_arcsec : float
        RMS about the median, per axis: what a shift does not explain (roll, scale, distortion).
    rotation_deg : float
        Rotation of the positions by the WCS against the true ones, north through east.
    n_stars : int
        Number of stars.
    """

    east_arcsec: float
    north_arcsec: float
    scatter_arcsec: float
    rotation_deg: float
    n_stars: int


def true_offset(exposure: Path, positions: Table) -> SkyOffset:
    """Judge the WCS of an exposure, aligned or not, by where its stars truly are.

    No measurement enters: the true pixels go through the file's WCS, distortion included.

    Parameters
    ----------
    exposure : `~pathlib.Path`
        A simulated exposure or a working copy of it.
    positions : Table
        ``CampaignTruth.positions(rootname)``.

    Raises
    ------
    UnusableInput
        If no star of the list is on the exposure.
    """
    measured, true = [], []
    with fits.open(exposure) as hdus:
        for hdu in hdus:
            if hdu.name != "SCI":
                continue
            stars = positions[np.asarray(positions["chip"]) == hdu.ver]
            if len(stars):
                wcs = WCS(hdu.header, hdus)
                measured.append(
                    wcs.all_pix2world(np.asarray(stars["x"]), np.asarray(stars["y"]), 0)
                )
                true.append([np.asarray(stars["ra"]), np.asarray(stars["dec"])])
    if not true:
        raise UnusableInput("no star of the truth is on this exposure", where=exposure)
    return offset_between(*np.concatenate(true, axis=1), *np.concatenate(measured, axis=1))


def offset_between(
    ra_true: NDArray[np.float64],
    dec_true: NDArray[np.float64],
    ra_measured: NDArray[np.float64],
    dec_measured: NDArray[np.float64],
) -> SkyOffset:
    """Shift, rotation and scatter of measured against true positions (deg) of the same stars."""
    ra_true, dec_true = np.asarray(ra_true, dtype=float), np.asarray(dec_true, dtype=float)
    d_ra = (np.asarray(ra_measured) - ra_true + 180.0) % 360.0 - 180.0
    east = 3600.0 * d_ra * np.cos(np.radians(dec_true))
    north = 3600.0 * (np.asarray(dec_measured) - dec_true)
    from_first = (ra_true - ra_true[0] + 180.0) % 360.0 - 180.0
    x = 3600.0 * from_first * np.cos(np.radians(dec_true.mean()))
    y = 3600.0 * dec_true
    x, y = x - x.mean(), y - y.mean()
    # Turned by a small angle t, north through east: d_east = t y, d_north = -t x.
    weight = float((x**2 + y**2).sum())
    turn = float(((east - east.mean()) * y - (north - north.mean()) * x).sum())
    median_east, median_north = float(np.median(east)), float(np.median(north))
    residual = np.concatenate([east - median_east, north - median_north])
    return SkyOffset(
        east_arcsec=median_east,
        north_arcsec=median_north,
        scatter_arcsec=float(np.sqrt(np.mean(residual**2))),
        rotation_deg=float(np.degrees(turn / weight)) if weight > 0 else 0.0,
        n_stars=len(east),
    )

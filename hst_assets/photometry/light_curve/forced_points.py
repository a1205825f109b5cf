"""Light curves by forced photometry: fluxes at given places in every exposure.

The embedded photometer fits the place and its neighbours together on each chip
(`hst_assets.photometry.psf.forced`). Fluxes are of all light: the aperture correction and, of
WFPC2, the correction for lost charge are in them, as in the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.failures import NoOverlap
from hst_assets.photometry.catalog.combining import MAG_PER_RELATIVE_ERROR
from hst_assets.photometry.catalog.quantities import OFF_IMAGE
from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.light_curve.kept_measurement import kept_measurement, pixels_arcsec
from hst_assets.photometry.light_curve.local_structure import places_about, structure_ujy
from hst_assets.photometry.light_curve.measured_places import (
    CANNOT_BE_TOLD_APART,
    FIRST_EXTREME_FLAG,
    MeasuredPlaces,
    measure_places,
    reference_wcs,
)
from hst_assets.photometry.light_curve.points import Place, Point
from hst_assets.photometry.psf.forced import places_of
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.products.columns import read_table
from hst_assets.settings import Settings
from hst_assets.sky_geometry import pixel_scale_arcsec
from hst_assets.workdir import WorkDir

__all__ = ["ExposureTime", "exposure_times", "forced_points", "points_of_exposures"]

#: A place so near to the edge of a chip was meant to be on the exposure: that it is off is said.
_NEAR_EDGE_PIX = 64.0
#: What flags mean (`MeasuredPlaces`).
_FLAGS = {
    1: "at the edge",
    2: "bad pixels",
    4: "saturated",
    8: "too few pixels are left",
    CANNOT_BE_TOLD_APART: "its light cannot be told from that of another star",
}
_DAY_S = 86400.0


@dataclass(frozen=True)
class ExposureTime:
    """When an exposure was taken, and its epoch.

    Attributes
    ----------
    epoch : int
        `hst_assets.exposures.epochs.NO_EPOCH` if the table does not have the exposure.
    mjd, mjd_first, mjd_last : float
        Middle, start and end, UTC.
    exptime_s : float
        Exposure time.
    """

    epoch: int
    mjd: float
    mjd_first: float
    mjd_last: float
    exptime_s: float


def forced_points(workdir: WorkDir, settings: Settings, places: Sequence[Place]) -> list[Point]:
    """Measure places in every exposure.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its catalogue must exist. If DOLPHOT made it, the surroundings of the places
        are measured by the embedded photometer first, and kept.
    settings : Settings
        Sections dolphot (the name of the catalogue), dolphot_inputs, embedded and machine.
    places : sequence of Place
        Where; in the frame of the target.

    Returns
    -------
    list of Point
        A point for each place and exposure, in the order of places and of time. An exposure on
        which the place is flagged (`embedded.flag_mask`), or lies just off its chips, has one
        without a flux, with a note; one that is farther off has none.

    Raises
    ------
    MissingProduct, UnusableInput
        If what is needed is missing or damaged.
    NoOverlap
        If no exposure covers any of the places.
    MachineFailure
        If the child process did not get to its end.
    """
    if not places:
        return []
    kept = kept_measurement(workdir, settings, places)
    wcs = reference_wcs(read_input_images(workdir))
    x, y = places_of(
        np.array([place.ra_deg for place in places]),
        np.array([place.dec_deg for place in places]),
        wcs,
    )
    measurement = MeasurementFile.load(kept)
    finest_pix = min(pixels_arcsec(measurement)) / pixel_scale_arcsec(wcs)
    about = places_about(x, y, measurement.x, measurement.y, finest_pix=finest_pix)
    sizes = [len(each[0]) for each in about]
    measured = measure_places(
        workdir,
        settings,
        kept,
        np.concatenate([x, *(each[0] for each in about)]),
        np.concatenate([y, *(each[1] for each in about)]),
        source_of=[*range(len(places)), *np.repeat(range(len(places)), sizes)],
        finest_pix=finest_pix,
    )
    times = exposure_times(workdir, measured)
    points = points_of_exposures(
        measured, places, times, flag_mask=settings.embedded.flag_mask, n_about=sizes
    )
    if not points:
        raise NoOverlap("no exposure covers the place", where=workdir.dolphot_inputs)
    return points


def exposure_times(workdir: WorkDir, measured: MeasuredPlaces) -> dict[str, ExposureTime]:
    """When the exposures were taken, by rootname, and their epochs by the target's table.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    measured : MeasuredPlaces
        Of whose exposures; its own times stand for an exposure that is not in the table.
    """
    times = {}
    for root, mjd, exptime in zip(
        measured.exposures, measured.mjd, measured.exptime_s, strict=True
    ):
        half = exptime / 2 / _DAY_S
        times[str(root)] = ExposureTime(
            NO_EPOCH, float(mjd), float(mjd - half), float(mjd + half), float(exptime)
        )
    for row in read_table(workdir.target_exposures):
        root = str(row["rootname"])
        if root in times:
            middle, first, last = (
                float(row[name].to_value(u.day)) for name in ("mjd_mid", "mjd_start", "mjd_end")
            )
            exptime_s = float(row["exptime"].to_value(u.s))
            times[root] = ExposureTime(int(row["epoch"]), middle, first, last, exptime_s)
    return times


def points_of_exposures(
    measured: MeasuredPlaces,
    places: Sequence[Place],
    times: dict[str, ExposureTime],
    *,
    flag_mask: int,
    n_about: Sequence[int] = (),
) -> list[Point]:
    """What was measured on chips, as points of exposures.

    Parameters
    ----------
    measured : MeasuredPlaces
        Of n places on k chips, and then of those about each place.
    places : sequence of Place
        The n places.
    times : dict of ExposureTime
        By rootname.
    flag_mask : int
        Fluxes with any of these flags do not count, nor do those with 8 or more.
    n_about : sequence of int, optional
        How many places about each were measured, which tell what errors its exposures share
        (`hst_assets.photometry.light_curve.local_structure`).
    """
    in_time = sorted(set(measured.exposures.tolist()), key=lambda root: (times[root].mjd, root))
    first, points = len(places), []
    for at, place in enumerate(places):
        last = first + (n_about[at] if n_about else 0)
        structure = {
            band: structure_ujy(
                measured,
                np.flatnonzero(measured.bands == band),
                slice(first, last),
                flag_mask=flag_mask,
            )
            for band in np.unique(measured.bands).tolist()
        }
        first = last
        for root in in_time:
            chips = np.flatnonzero(measured.exposures == root)
            chip = _chip_of(measured, chips, at)
            if measured.beyond_edge_pix[chip, at] <= _NEAR_EDGE_PIX:
                of_band = structure[str(measured.bands[chip])]
                points.append(_point(measured, place, at, chip, times[root], flag_mask, of_band))
    return points


def _chip_of(measured: MeasuredPlaces, chips: NDArray[np.int64], at: int) -> int:
    """The chip that a place is on: of two, that on which it is flagged less; else the nearest."""
    return int(
        min(
            chips,
            key=lambda chip: (
                not np.isfinite(measured.flux_ujy[chip, at]),
                measured.beyond_edge_pix[chip, at],
                measured.flag[chip, at],
            ),
        )
    )


def _point(
    measured: MeasuredPlaces,
    place: Place,
    at: int,
    chip: int,
    time: ExposureTime,
    flag_mask: int,
    structure: float,
) -> Point:
    flag = int(measured.flag[chip, at])
    flux = float(measured.flux_ujy[chip, at])
    error, by_width = (
        float(errors[chip, at]) for errors in (measured.flux_error_ujy, measured.width_error_ujy)
    )
    known = bool(np.isfinite(flux) and np.isfinite(error))
    counts = known and flag < FIRST_EXTREME_FLAG and flag & flag_mask == 0
    about = float(np.hypot(structure, _scale_error(measured, chip) * max(flux, 0.0)))
    shared = float(np.hypot(about, by_width))
    return Point(
        source=place.source,
        method="forced",
        level="exposure",
        detector=str(measured.detectors[chip]),
        filter_name=str(measured.filters[chip]),
        epoch=time.epoch,
        images=(str(measured.exposures[chip]),),
        mjd=time.mjd,
        mjd_first=time.mjd_first,
        mjd_last=time.mjd_last,
        exptime_s=time.exptime_s,
        n_images=int(counts),
        flux_ujy=flux if counts else np.nan,
        flux_error_ujy=float(np.hypot(error, about)) if counts else np.inf,
        shared_error_ujy=shared if counts else 0.0,
        ujy_per_electron=float(measured.ujy_per_electron[chip, at]),
        expected_ujy=float(measured.expected_ujy[chip, at]),
        st_minus_ab_mag=float(measured.st_minus_ab_mag[chip]),
        vega_minus_ab_mag=float(measured.vega_minus_ab_mag[chip]),
        flag=flag,
        note=_note(measured, at, chip, structure, known=known, counts=counts),
    )


def _scale_error(measured: MeasuredPlaces, chip: int) -> float:
    """Relative error of the aperture correction; 0, and a remark, where it was not measured."""
    error_mag = float(measured.scale_error_mag[chip])
    return error_mag / MAG_PER_RELATIVE_ERROR if np.isfinite(error_mag) else 0.0


def _note(
    measured: MeasuredPlaces, at: int, chip: int, structure: float, *, known: bool, counts: bool
) -> str:
    notes = []
    beyond = float(measured.beyond_edge_pix[chip, at])
    flag = int(measured.flag[chip, at])
    if beyond > 0:
        notes.append(f"{measured.exposures[chip]}: {beyond:.0f} pixels off its chips")
    elif not counts:
        why = ", ".join(text for bit, text in _FLAGS.items() if flag != OFF_IMAGE and flag & bit)
        told = f" ({measured.flux_ujy[chip, at]:.4g} microjansky)" if known else ""
        notes.append(f"{measured.exposures[chip]}: not counted{told}: {why or 'not measured'}")
    if structure > 0:
        notes.append(
            f"{measured.bands[chip]}: structure about the place, such as a galaxy's, makes all "
            f"fluxes uncertain by {structure:.2g} microjansky"
        )
    if remark := str(measured.remarks[chip]):
        notes.append(f"{measured.bands[chip]}: {remark}")
    return "; ".join(notes)

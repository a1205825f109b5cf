"""One exposure and the reference stars about it, on one tangent plane: what a fit starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.astrometry import matching
from hst_assets.astrometry.shape_limits import ShapeVerdict, judge_shapes, not_checked
from hst_assets.astrometry.working_copy import WorkingCopy
from hst_assets.detection import image_planes, sources
from hst_assets.detection.star_shapes import measure_shapes
from hst_assets.detectors import Detector
from hst_assets.exposures.charge import transfer_state
from hst_assets.settings import AlignmentSettings, GateSettings
from hst_assets.sky_geometry import TangentPlane

__all__ = [
    "Field",
    "exposure_stars",
    "likely_cause",
    "prepared_planes",
    "read_field",
    "shapes_of_planes",
    "star_fwhm_pix",
    "star_shapes",
]

#: A larger share of pixels that are bad, or saturated, is worth a word. Of an exposure as the
#: archive has it, a few per cent are flagged bad and less than one saturated.
_NOTABLE_BAD, _NOTABLE_SATURATED = 0.3, 0.02


@dataclass(frozen=True)
class Field:
    """One exposure and what it is to be matched with, on one tangent plane."""

    copy: WorkingCopy
    detector: Detector
    planes: list[image_planes.Plane]
    prepared: list[sources.Prepared | None]
    plane: TangentPlane
    reference_sky: NDArray[np.float64]
    rootname: str
    brightest_first: bool = True

    @property
    def wcs_of(self) -> dict[int, WCS]:
        """The WCS before the fit, by EXTVER."""
        return {plane.extver: plane.wcs for plane in self.planes}

    def as_aligned(self, science: Path) -> Field:
        """The same with the WCS that a fit wrote to `science`."""
        wcs_of = image_planes.wcs_by_extver(science)
        return replace(
            self,
            copy=WorkingCopy(science, self.copy.quality),
            planes=[replace(plane, wcs=wcs_of[plane.extver]) for plane in self.planes],
        )

    def count_pairs(self, stars: Table, sky: NDArray[np.float64], radius_pix: float) -> int:
        """How many stars have a reference star (RA/Dec, deg) within a radius, mutually nearest."""
        here = self.plane.project(image_planes.sky_positions(stars, self.wcs_of))
        found, _ = matching.nearest(here, self.plane.project(sky), radius_pix)
        return len(found)


def read_field(
    copy: WorkingCopy, detector: Detector, rootname: str, catalogue: Path, how: AlignmentSettings
) -> Field:
    """Read an exposure and the stars of a catalogue (ECSV: ra, dec in deg) that may be on it."""
    planes = image_planes.exposure_planes(copy.science, copy.quality, detector)
    corners = np.vstack([_corner_sky(plane) for plane in planes])
    plane = TangentPlane.about(corners, detector.pixel_scale_arcsec)
    table = Table.read(catalogue, format="ascii.ecsv")
    sky = np.column_stack([np.asarray(table["ra"]), np.asarray(table["dec"])]).reshape(-1, 2)
    reach = how.search_radius_arcsec * how.search_factor ** (how.max_tries - 1)
    low, high = np.sort(plane.project(corners), axis=0)[[0, -1]]
    margin = (reach + 1.0) / plane.scale_arcsec
    on_plane = plane.project(sky)
    inside = np.all((on_plane > low - margin) & (on_plane < high + margin), axis=1)
    prepared = prepared_planes(planes, detector, how)
    return Field(copy, detector, planes, prepared, plane, sky[inside], rootname, _is_ordered(table))


def _is_ordered(catalogue: Table) -> bool:
    """Whether the brightest stars come first: not where a column of magnitudes is empty."""
    if "mag" not in catalogue.colnames or len(catalogue) == 0:
        return True
    return bool(np.any(np.isfinite(np.ma.asarray(catalogue["mag"], float).filled(np.nan))))


def _corner_sky(plane: image_planes.Plane) -> NDArray[np.float64]:
    ny, nx = plane.data.shape
    x, y = np.array([0, nx - 1, nx - 1, 0]), np.array([0, 0, ny - 1, ny - 1])
    return np.column_stack(plane.wcs.all_pix2world(x, y, 0))


def prepared_planes(
    planes: list[image_planes.Plane], detector: Detector, how: AlignmentSettings
) -> list[sources.Prepared | None]:
    """The planes ready for source finding, cosmic rays cleaned where asked."""
    cleaned_for = detector if how.clean_cosmic_rays else None
    return [
        sources.prepare(plane, fwhm_pix=star_fwhm_pix(detector, how), detector=cleaned_for)
        for plane in planes
    ]


def star_fwhm_pix(detector: Detector, how: AlignmentSettings) -> float:
    """FWHM of a star in native pixels: the user's figure for this detector, or the registry's."""
    return how.conv_width_pix.get(detector.key, detector.fwhm_pix)


def exposure_stars(
    planes: list[sources.Prepared | None],
    detector: Detector,
    how: AlignmentSettings,
    threshold_sigma: float,
) -> Table:
    """Stars of an exposure; see `hst_assets.detection.sources.exposure_sources`."""
    return sources.exposure_sources(
        planes,
        fwhm_pix=star_fwhm_pix(detector, how),
        threshold_sigma=threshold_sigma,
        brightest=how.n_brightest,
    )


def star_shapes(field: Field, how: AlignmentSettings, limits: GateSettings) -> ShapeVerdict:
    """What is said of the shapes of an exposure's stars; see `shapes_of_planes`."""
    return shapes_of_planes(
        field.copy, field.planes, field.prepared, field.detector, how=how, limits=limits
    )


def shapes_of_planes(
    copy: WorkingCopy,
    planes: list[image_planes.Plane],
    prepared: list[sources.Prepared | None],
    detector: Detector,
    *,
    how: AlignmentSettings,
    limits: GateSettings,
) -> ShapeVerdict:
    """Measure and judge the shapes of an exposure's stars.

    Not where a moving target was followed: there the stars are meant to trail.
    """
    primary = fits.getheader(copy.science, 0)
    if _follows_target(primary):
        return not_checked("a moving target was followed (MTFLAG), which trails the stars")
    fwhm_pix = star_fwhm_pix(detector, how)
    return judge_shapes(
        measure_shapes(planes, prepared, detector, fwhm_pix=fwhm_pix),
        detector,
        limits,
        charge_lost=transfer_state(primary, detector) == "OMIT",
    )


def _follows_target(primary: fits.Header) -> bool:
    return str(primary.get("MTFLAG", "")).strip() in ("T", "True", "1")


def likely_cause(field: Field) -> str:
    """The likely cause of an exposure's failure, in words; empty if none is known.

    Parameters
    ----------
    field : Field
        The exposure and the reference stars about it.
    """
    found = []
    if len(field.reference_sky) == 0:
        found.append("no reference star within the search radius: no overlap, or a wrong WCS")
    bad = _share([plane.bad for plane in field.planes])
    if bad > _NOTABLE_BAD:
        found.append(f"{bad:.0%} of its pixels are bad or have no value")
    saturated = _share([plane.saturated for plane in field.planes])
    if saturated > _NOTABLE_SATURATED:
        found.append(f"{saturated:.0%} of its pixels are saturated")
    usable = [plane.data[~plane.bad] for plane in field.planes if not plane.bad.all()]
    if usable and all(np.ptp(values) == 0 for values in usable):
        found.append("all its pixels have the same value")
    if _follows_target(fits.getheader(field.copy.science, 0)):
        found.append("a moving target was followed (MTFLAG), which trails the stars")
    return "; ".join(found)


def _share(masks: list[NDArray[np.bool_]]) -> float:
    return float(np.mean(np.concatenate([mask.ravel() for mask in masks])))

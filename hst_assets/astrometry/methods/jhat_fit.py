"""Run JHAT on one exposure and merge what it found into the exposure's header.

JHAT aligns one image at a time, an HST exposure of two chips by drizzling it first, and WFPC2 not
at all. Here it is given what that drizzling would give, for every detector alike: all chips' stars
at their places on one distortion-free plane (see `hst_assets.sky_geometry.TangentPlane`).
It matches them to the reference, fits the plane's WCS, and the motion of the plane is written into
every chip. For child processes (see `hst_assets.isolation`): JHAT writes into the current
directory and opens connections when it is imported.

Positions on the plane count pixels from 0.
"""

from __future__ import annotations

import importlib
import math
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.astrometry import matching
from hst_assets.astrometry.exposure_field import Field
from hst_assets.astrometry.methods.fit import Fit, inside, numerics_refused
from hst_assets.astrometry.methods.linear_terms import move_linear_terms
from hst_assets.detection import image_planes
from hst_assets.failures import UnusableInput
from hst_assets.settings import AlignmentSettings
from hst_assets.sky_geometry import TangentPlane

__all__ = ["WCS_NAME", "run_jhat"]

WCS_NAME = "JHAT-HST_ASSETS"

#: JHAT leaves out reference stars within 40 px of the image's edge: the plane's is further out.
_BORDER_PIX = 50
#: JHAT turns the stars in so many steps at most, its own number ...
_LEAST_STEPS = 200
#: ... and no step may move the plane's edge by more than this, half the width (gaussian_sigma_px)
#: to which it smooths the offsets.
_STEP_PIX = 0.1
#: Half the width of JHAT's window about the peak of the offsets, native pixels: its own lower
#: limit; the upper one is the tolerance.
_NARROWEST_CUT_PIX = 0.3

_IMAGE, _STARS, _REFERENCE, _PAIRS, _ALIGNED = (
    "plane_drz.fits",  # JHAT tells from the name that there is nothing to drizzle
    "plane.phot.txt",
    "reference.txt",
    "plane.goodmatches.csv",
    "plane_jhat.fits",
)


@dataclass(frozen=True)
class _Plane:
    """A piece of the field's tangent plane, as an image: its WCS and its size in pixels."""

    wcs: WCS
    nx: int
    ny: int

    @classmethod
    def around(cls, plane: TangentPlane, points: NDArray[np.float64]) -> _Plane:
        """The piece about points (n, 2) of the plane, with a border."""
        low = np.floor(points.min(axis=0)) - _BORDER_PIX
        nx, ny = (np.ceil(points.max(axis=0)) + _BORDER_PIX - low).astype(int)
        return cls(plane.wcs((float(low[0]), float(low[1]))), int(nx), int(ny))

    def place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """0-based pixels of points (n, 2) of the tangent plane."""
        return np.asarray(points + self.wcs.wcs.crpix - 1)


def run_jhat(
    field: Field,
    fitted: Table,
    reference_sky: NDArray[np.float64],
    folder: Path,
    *,
    how: AlignmentSettings,
    tolerance: float,
    search_pix: int,
    max_rotation_deg: float,
) -> Fit:
    """Run JHAT in `folder`, write what it found into a copy of the exposure there.

    Parameters
    ----------
    field, fitted, reference_sky, folder, how, tolerance, search_pix
        See `hst_assets.astrometry.methods.fit.FitTool`.
    max_rotation_deg : float
        Rotations up to this are tried, either way.

    Raises
    ------
    UnusableInput
        If it found no fit, or one that no header of the exposure can hold.
    """
    stars = field.plane.project(image_planes.sky_positions(fitted, field.wcs_of))
    reference = field.plane.project(reference_sky)
    _, guess = matching.offset_peak(stars, reference, search=search_pix, radius=tolerance)
    rows = _within_reach(stars + guess, reference, search_pix)
    if len(rows) < max(how.min_objects, 3):
        raise UnusableInput(
            f"{len(rows)} stars have a reference star within the search radius: too few",
            where=field.copy.science.name,
        )
    plane = _Plane.around(field.plane, np.vstack([stars[rows] + guess, stars[rows], reference]))
    _write_inputs(folder, plane, field, fitted[rows], rows, plane.place(stars[rows]), reference_sky)
    with inside(folder), numerics_refused("JHAT failed", field.copy.science.name):
        _align(
            how.fit_geometry,
            rough_cut_px_min=min(_NARROWEST_CUT_PIX, tolerance),
            rough_cut_px_max=tolerance,
            xshift=float(guess[0]),
            yshift=float(guess[1]),
            **_slopes(max_rotation_deg, max(plane.nx, plane.ny)),
        )
    name = field.copy.science.name
    shutil.copyfile(field.copy.science, folder / name)
    move_linear_terms(
        folder / name, partial(_moved, plane.wcs, _solution(folder)), wcs_name=WCS_NAME
    )
    pairs = _read_pairs(folder)
    return Fit(folder / name, *pairs, rms_x=math.nan, rms_y=math.nan)


def _within_reach(
    stars: NDArray[np.float64], reference: NDArray[np.float64], search_pix: int
) -> NDArray[np.intp]:
    """Rows of the stars that have a reference star within the search radius.

    This is JHAT's d2d_max, which release 0.3.7 computes and does not use.
    """
    from scipy.spatial import cKDTree

    if len(reference) == 0:
        return np.zeros(0, dtype=np.intp)
    distance, _ = cKDTree(reference).query(stars, distance_upper_bound=search_pix)
    return np.flatnonzero(np.isfinite(distance))


def _slopes(max_rotation_deg: float, side_pix: int) -> dict[str, float | int]:
    """The rotations to be tried, as JHAT has them: pixels of offset a pixel of distance."""
    steepest = math.tan(math.radians(max_rotation_deg))
    steps = math.ceil(steepest * side_pix / _STEP_PIX)
    return {"slope_min": -steepest, "slope_Nsteps": max(steps, _LEAST_STEPS)}


def _write_inputs(
    folder: Path,
    plane: _Plane,
    field: Field,
    fitted: Table,
    rows: NDArray[np.intp],
    xy: NDArray[np.float64],
    reference_sky: NDArray[np.float64],
) -> None:
    """Write the plane, its stars as JHAT's photometry, and the reference catalogue.

    JHAT's own photometry of HST images downloads aperture corrections and knows no cosmic rays.
    The magnitudes are instrumental: they order the stars. The column of magnitudes that JHAT wants
    of the reference is the rank by brightness.
    """
    primary = fits.PrimaryHDU()
    detector = field.detector
    for key, value in (("TELESCOP", "HST"), ("INSTRUME", detector.instrument)):
        primary.header[key] = value
    # JHAT reads these and, with photometry at hand, does nothing with them.
    for key in ("FILTER", "APERTURE"):
        primary.header[key] = "N/A"
    header = plane.wcs.to_header()
    for i, j in ((1, 1), (1, 2), (2, 1), (2, 2)):  # JHAT updates the keywords that are there
        header.remove(f"PC{i}_{j}", ignore_missing=True)
        header[f"CD{i}_{j}"] = plane.wcs.wcs.cd[i - 1, j - 1]
    for key in ("CDELT1", "CDELT2"):
        header.remove(key, ignore_missing=True)
    blank = np.ones((plane.ny, plane.nx), dtype=np.float32)
    fits.HDUList([primary, fits.ImageHDU(blank, header, name="SCI")]).writeto(folder / _IMAGE)
    magnitude = -2.5 * np.log10(np.asarray(fitted["flux"], float))
    error = 2.5 / math.log(10) / np.asarray(fitted["snr"], float)
    np.savetxt(
        folder / _STARS,
        np.column_stack([xy, magnitude, error, rows]),
        fmt="%.6f %.6f %.5f %.5f %d",
        header="x y mag dmag star",
        comments="",
    )
    np.savetxt(
        folder / _REFERENCE,
        np.column_stack([reference_sky, np.arange(len(reference_sky))]),
        fmt="%.10f %.10f %d",
        header="ra dec rank",
        comments="",
    )


def _align(geometry: str, **parameters: float | int) -> None:
    """JHAT's whole run on the files in the current directory."""
    # The package binds the class to the module's name.
    module = importlib.import_module("jhat.st_wcs_align")
    module.tweakreg_hack.TweakRegStep = _step_with(module.tweakreg_hack.TweakRegStep, geometry)
    aligner = module.st_wcs_align()

    def set_telescope(**_: Any) -> None:
        aligner.telescope = "hst"
        aligner.phot = module.hst_photclass()
        aligner.phot.xy_to_radec = partial(_xy_to_radec, aligner.phot)

    aligner.set_telescope = set_telescope
    # Draws plots of the residuals; what JHAT says of them is not asked.
    aligner.update_phottable_final_wcs = lambda *_args, **_kwargs: None
    aligner.run_all(
        _IMAGE,
        telescope="hst",
        outrootdir=".",
        refcatname=_REFERENCE,
        refcat_racol="ra",
        refcat_deccol="dec",
        refcat_magcol="rank",
        load_photcat_if_exists=True,
        rematch_refcat=True,
        overwrite=True,
        iterate_with_xyshifts=True,
        **parameters,
    )


def _step_with(step: Any, geometry: str) -> Any:
    """JHAT's fitting step with the geometry that was asked; it sets one by the kind of image."""
    return type(
        "TweakRegStep",
        (step,),
        {"fitgeometry": property(lambda _: geometry, lambda _self, _value: None)},
    )


def _xy_to_radec(
    photometry: Any,
    *,
    indices: Any = None,
    xshift: float = 0.0,
    yshift: float = 0.0,
) -> None:
    """JHAT's method of this name: it hands columns of pandas to astropy, which takes arrays."""
    rows = photometry.getindices(indices=indices)
    sky = photometry.sci_wcs.pixel_to_world(
        photometry.t.loc[rows, "x"].to_numpy() + xshift,
        photometry.t.loc[rows, "y"].to_numpy() + yshift,
    )
    photometry.t.loc[rows, "ra"] = sky.ra.degree
    photometry.t.loc[rows, "dec"] = sky.dec.degree


def _solution(folder: Path) -> WCS:
    """The plane's WCS as JHAT left it."""
    path = folder / _ALIGNED
    if not path.is_file():
        raise UnusableInput("JHAT wrote no aligned image", where=folder.name)
    with fits.open(path, memmap=False) as hdus:
        return image_planes.read_wcs(hdus["SCI"].header, hdus)


def _moved(before: WCS, after: WCS, sky: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where JHAT puts what was at `sky`."""
    return np.column_stack(after.wcs_pix2world(*before.wcs_world2pix(*sky.T, 0), 0))


def _read_pairs(folder: Path) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the stars and of the reference that JHAT fitted."""
    path = folder / _PAIRS
    if not path.is_file():
        raise UnusableInput("JHAT wrote no list of its matches", where=folder.name)
    pairs = Table.read(path, format="ascii.csv")
    star, reference = (
        np.asarray(pairs[name], dtype=float).astype(np.intp) for name in ("star", "reffile_rank")
    )
    return star, reference

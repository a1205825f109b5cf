"""Run TweakReg on one exposure and read what it really did.

TweakReg writes under fixed names into the current directory and exits normally when it failed:
`run_tweakreg` wants a folder of its own, in a child process (see `hst_assets.isolation`), and
believes only the files that are there afterwards.

TweakReg counts pixels from 1; the tables here count from 0 and are shifted where they are
written for it.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.astrometry import matching
from hst_assets.astrometry.exposure_field import Field
from hst_assets.astrometry.methods.fit import Fit, inside, numerics_refused, same_wcs
from hst_assets.detection import image_planes
from hst_assets.failures import UnusableInput
from hst_assets.settings import AlignmentSettings
from hst_assets.sky_geometry import pixel_scale_arcsec

__all__ = ["WCS_NAME", "read_shift_row", "run_tweakreg"]

WCS_NAME = "TWEAK-HST_ASSETS"

#: fit_geometry -> what TweakReg is asked for: it has no rigid fit of its own.
_GEOMETRY = {"shift": "shift", "rshift": "rscale", "rscale": "rscale", "general": "general"}


def run_tweakreg(
    field: Field,
    fitted: Table,
    reference_sky: NDArray[np.float64],
    folder: Path,
    *,
    how: AlignmentSettings,
    tolerance: float,
    search_pix: int,
) -> Fit:
    """Run TweakReg in `folder` on a copy of the exposure; read what it really did.

    Raises
    ------
    UnusableInput
        If it found no fit, or did not write it.
    """
    from drizzlepac import tweakreg

    name = field.copy.science.name
    shutil.copyfile(field.copy.science, folder / name)
    index = _write_inputs(field, fitted, reference_sky, folder)
    rigid = how.fit_geometry == "rshift"
    plane = _tool_plane(field)
    # TweakReg's plane has the pixels of the first chip: for WFPC2 the PC's, not the detector's.
    native = pixel_scale_arcsec(plane) / field.detector.pixel_scale_arcsec
    search, within = search_pix / native, tolerance / native
    x_offset, y_offset = _first_guess(field, plane, fitted, reference_sky, search, within)
    with inside(folder), numerics_refused("TweakReg failed", name):
        tweakreg.TweakReg(
            name,
            catfile="catfile.txt",
            refcat="reference.txt",
            xcol=1,
            ycol=2,
            xyunits="pixels",
            refxcol=1,
            refycol=2,
            refxyunits="degrees",
            use2dhist=False,
            xoffset=x_offset,
            yoffset=y_offset,
            searchrad=search,
            searchunits="pixels",
            tolerance=within,
            separation=0.5,
            minobj=how.min_objects,
            fitgeometry=_GEOMETRY[how.fit_geometry],
            nclip=3,
            sigma=3.0,
            updatehdr=not rigid,
            wcsname=WCS_NAME,
            reusename=True,
            shiftfile=True,
            outshifts="shifts.txt",
            outwcs="shifts_wcs.fits",
            writecat=True,
            clean=False,
            interactive=False,
            see2dplot=False,
            residplot="No plot",
            updatewcs=False,
            runfile="tweakreg.log",
        )
    rms = read_shift_row(folder / "shifts.txt", name)
    pairs = _read_pairs(folder / f"{Path(name).stem}_catalog_fit.match")
    if rigid:
        rms = _apply_rigid(folder / name, pairs, folder / "shifts_wcs.fits")
    if same_wcs(field.copy.science, folder / name):
        raise UnusableInput("TweakReg reported a fit but did not change the header", where=name)
    kept = index[pairs["image"]]
    real = kept >= 0
    rms_x, rms_y = (each * native for each in rms)
    return Fit(folder / name, kept[real], pairs["reference"][real], rms_x, rms_y)


def _tool_plane(field: Field) -> WCS:
    """The distortion-free plane of an exposure on which TweakReg matches and fits."""
    from stwcs.distortion.utils import output_wcs
    from stwcs.wcsutil import HSTWCS

    with fits.open(field.copy.science, memmap=False) as hdus:
        chips = [HSTWCS(hdus, ext=("SCI", plane.extver)) for plane in field.planes]
        return output_wcs(chips, undistort=True)


def _first_guess(
    field: Field,
    plane: WCS,
    fitted: Table,
    reference_sky: NDArray[np.float64],
    search: float,
    tolerance: float,
) -> tuple[float, float]:
    """The offset that most pairs share, image minus reference in pixels of TweakReg's plane.

    TweakReg's own guess fits a polynomial through the occupied bins about its histogram's peak
    and can miss the peak by more than the tolerance.
    """
    image = plane.wcs_world2pix(image_planes.sky_positions(fitted, field.wcs_of), 0)
    reference = plane.wcs_world2pix(reference_sky, 0)
    _, offset = matching.offset_peak(image, reference, search=search, radius=tolerance)
    return float(-offset[0]), float(-offset[1])


def _write_inputs(
    field: Field, fitted: Table, reference_sky: NDArray[np.float64], folder: Path
) -> NDArray[np.intp]:
    """Write the chips' and the reference catalogue; return the row of each source in its order.

    A chip without a star, or with two, gets one more at its corner, marked -1 in the index:
    TweakReg cannot read an empty list, and finds no outline of two points.
    """
    names, index = [], []
    for plane in field.planes:
        rows = np.flatnonzero(np.asarray(fitted["extver"]) == plane.extver)
        xy = np.column_stack([np.asarray(fitted[axis])[rows] for axis in ("x", "y")])
        if len(rows) in (0, 2):
            rows, xy = np.append(rows, -1), np.vstack([xy, np.zeros((1, 2))])
        names.append(f"sci{plane.extver}.txt")
        np.savetxt(folder / names[-1], xy + 1.0, fmt="%.6f")  # TweakReg counts from 1
        index.append(rows)
    (folder / "catfile.txt").write_text(f"{field.copy.science.name} {' '.join(names)}\n")
    np.savetxt(folder / "reference.txt", reference_sky, fmt="%.10f")
    return np.concatenate(index)


def read_shift_row(path: Path, name: str) -> tuple[float, float]:
    """The RMS on both axes of the row of `name` in a TweakReg shift file.

    Raises
    ------
    UnusableInput
        If there is no file, no such row, or the row holds NaN: TweakReg's ways of failing.
    """
    if not path.is_file():
        raise UnusableInput("TweakReg found no fit (no shift file)", where=name)
    for line in path.read_text().splitlines():
        columns = line.split()
        if columns and columns[0] == name:
            values = [float(column) for column in columns[1:]]
            if len(values) < 6 or not np.all(np.isfinite(values)):
                raise UnusableInput("TweakReg found too few matches for a fit", where=name)
            return values[4], values[5]
    raise UnusableInput("TweakReg's shift file does not name the exposure", where=name)


def _read_pairs(path: Path) -> dict[str, NDArray[Any]]:
    """Pairs of the final fit: indices and positions about the tangent plane's centre."""
    if not path.is_file():
        raise UnusableInput("TweakReg wrote no list of the stars in its fit", where=path.name)
    rows = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    values = np.array([[float(v) for v in row[:14]] for row in rows if row])
    return {
        "reference_xy": values[:, 0:2],
        "image_xy": values[:, 2:4],
        "reference": values[:, 12].astype(np.intp),
        "image": values[:, 13].astype(np.intp),
    }


def _apply_rigid(path: Path, pairs: dict[str, NDArray[Any]], plane: Path) -> tuple[float, float]:
    """Shift and rotate, scale untouched, with TweakReg's own writer; return the RMS per axis.

    In TweakReg's convention image = reference @ matrix + offset about the plane's CRPIX.
    """
    from drizzlepac import updatehdr

    image, reference = pairs["image_xy"], pairs["reference_xy"]
    _, rotation, _ = matching.rigid_motion(reference, image)
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    matrix = np.array([[cos, sin], [-sin, cos]])
    offset = image.mean(axis=0) - reference.mean(axis=0) @ matrix
    rms = np.sqrt(np.mean((image - reference @ matrix - offset) ** 2, axis=0))
    updatehdr.updatewcs_with_shift(
        str(path),
        str(plane),
        wcsname=WCS_NAME,
        reusename=True,
        fitgeom="general",
        xsh=offset[0],
        ysh=offset[1],
        fit=matrix,
    )
    return float(rms[0]), float(rms[1])

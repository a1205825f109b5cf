"""What runs in child processes: star catalogues, TweakReg, and the measurement of its result.

Called through `hst_assets.isolation` only: TweakReg writes under fixed names into the current
directory and exits normally when it failed. Each try gets a folder of its own, so that nothing of
an earlier run can be taken for its result, and is judged by the header it leaves behind.

TweakReg counts pixels from 1; the tables here count from 0 and are shifted where they are
written for it.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.astrometry import matching, sources
from hst_assets.astrometry.gate import FitNumbers, Verdict, judge
from hst_assets.astrometry.working_copy import WorkingCopy, make_working_copy
from hst_assets.detectors import DETECTORS, Detector
from hst_assets.failures import HstAssetsError, UnusableInput
from hst_assets.settings import AlignmentSettings, GateSettings

WCS_NAME = "TWEAK-HST_ASSETS"

#: fit_geometry -> what TweakReg is asked for: it has no rigid fit of its own.
_GEOMETRY = {"shift": "shift", "rshift": "rscale", "rscale": "rscale", "general": "general"}

#: The reference is found somewhat deeper than the first try, so that every rung finds partners.
REFERENCE_THRESHOLD_SIGMA = 5.0
#: A reference keeps no more stars than this.
MOST_REFERENCE_STARS = 50_000
#: The ladder never goes below this of itself: there the sky's noise gives thousands of sources.
LOWEST_THRESHOLD_SIGMA = 4.0


# ------------------------------------------------------------------------------- catalogues


def catalogue_image(image: str, output: str, *, fwhm_arcsec: float) -> int:
    """Write the star catalogue of a reference image; return the number of stars."""
    plane = sources.reference_plane(Path(image))
    scale = pixel_scale_arcsec(plane.wcs)
    fwhm_pix = max(fwhm_arcsec / scale, 1.5)
    table = sources.find_sources(
        sources.prepare(plane, fwhm_pix=fwhm_pix),
        fwhm_pix=fwhm_pix,
        threshold_sigma=REFERENCE_THRESHOLD_SIGMA,
        brightest=MOST_REFERENCE_STARS,
    )
    return _write_catalogue(table, {1: plane.wcs}, Path(output))


def catalogue_exposure(
    exposure: str, output: str, *, detector: str, alignment: Mapping[str, Any]
) -> int:
    """Write the star catalogue of one exposure by its own WCS; return the number of stars."""
    how = AlignmentSettings.model_validate(alignment)
    kind = DETECTORS[detector]
    planes = sources.exposure_planes(_copy_of(Path(exposure)), kind)
    table = _stars(
        _prepared(planes, kind, how), kind, how, min(how.threshold_sigma, REFERENCE_THRESHOLD_SIGMA)
    )
    return _write_catalogue(table, {plane.extver: plane.wcs for plane in planes}, Path(output))


def _copy_of(science: Path) -> WorkingCopy:
    companion = science.with_name(science.name.replace("_c0m.fits", "_c1m.fits"))
    return WorkingCopy(science, companion)


def _write_catalogue(table: Table, wcs_of: dict[int, WCS], output: Path) -> int:
    sky = sources.sky_positions(table, wcs_of)
    catalogue = QTable(table)
    catalogue["ra"], catalogue["dec"] = sky[:, 0], sky[:, 1]
    catalogue.write(output, format="ascii.ecsv", overwrite=True)
    return len(table)


def _prepared(
    planes: list[sources.Plane], detector: Detector, how: AlignmentSettings
) -> list[sources.Prepared | None]:
    cleaned_for = detector if how.clean_cosmic_rays else None
    return [
        sources.prepare(plane, fwhm_pix=detector.fwhm_pix, detector=cleaned_for) for plane in planes
    ]


def _stars(
    planes: list[sources.Prepared | None],
    detector: Detector,
    how: AlignmentSettings,
    threshold: float,
) -> Table:
    return sources.exposure_sources(
        planes,
        fwhm_pix=detector.fwhm_pix,
        threshold_sigma=threshold,
        brightest=how.n_brightest,
    )


def pixel_scale_arcsec(wcs: WCS) -> float:
    """Nominal size of a pixel: the square root of the area of the linear part."""
    return float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix)))) * 3600


# -------------------------------------------------------------------------------- alignment


@dataclass(frozen=True)
class Field:
    """One exposure and what it is to be matched with, on one tangent plane."""

    copy: WorkingCopy
    detector: Detector
    planes: list[sources.Plane]
    prepared: list[sources.Prepared | None]
    plane: matching.TangentPlane
    reference_sky: NDArray[np.float64]
    rootname: str

    @property
    def wcs_of(self) -> dict[int, WCS]:
        """The WCS before the fit, by EXTVER."""
        return {plane.extver: plane.wcs for plane in self.planes}


def align_exposure(
    raw: str,
    *,
    detector: str,
    rootname: str,
    catalogue: str,
    alignment: Mapping[str, Any],
    gate: Mapping[str, Any],
) -> dict[str, Any]:
    """Align one exposure to a catalogue of sky positions, in the current directory.

    Parameters
    ----------
    raw : str
        The exposure in raw/, only read.
    detector, rootname : str
        Key of the registry; seed of the held-out choice.
    catalogue : str
        ECSV with columns ra, dec (deg), brightest first.
    alignment, gate : mapping
        The settings' sections.

    Returns
    -------
    outcome : dict
        ``files`` (the copy's files, aligned if the verdict is not FAIL, else with the WCS they
        came with), ``status``, ``reason``, ``numbers``, ``tries`` and ``matches`` (ECSV of the
        star residuals, or None).
    """
    how, limits = AlignmentSettings.model_validate(alignment), GateSettings.model_validate(gate)
    copy = make_working_copy(Path(raw), Path.cwd())
    field = _field(copy, DETECTORS[detector], rootname, Path(catalogue), how)
    tries: list[_Try] = []
    for rung in range(how.max_tries):
        tries.append(_attempt(field, how, limits, rung))
        if tries[-1].verdict.status == "PASS":
            break
    best = _best(tries)
    if best.verdict.believed and best.aligned is not None:
        best.aligned.replace(copy.science)
    return {
        "files": [str(path.absolute()) for path in copy.files],
        "status": best.verdict.status,
        "reason": best.verdict.reason,
        "numbers": None if best.numbers is None else best.numbers.as_json(),
        "tries": [attempt.as_json() for attempt in tries],
        "matches": None if best.matches is None else str(best.matches.absolute()),
    }


def _best(tries: list[_Try]) -> _Try:
    """The verdict to act on: the last PASS, else a compromise, else the most telling failure."""
    order = {"PASS": 0, "COMPROMISED": 1, "FAIL": 2}

    def rank(attempt: _Try) -> tuple[int, float]:
        numbers = attempt.numbers
        return order[attempt.verdict.status], -(numbers.contrast if numbers else -1.0)

    return min(tries, key=rank)


def _field(
    copy: WorkingCopy, detector: Detector, rootname: str, catalogue: Path, how: AlignmentSettings
) -> Field:
    planes = sources.exposure_planes(copy, detector)
    corners = np.vstack([_corner_sky(plane) for plane in planes])
    centre = corners.mean(axis=0)
    plane = matching.TangentPlane(centre[0], centre[1], detector.pixel_scale_arcsec)
    table = Table.read(catalogue, format="ascii.ecsv")
    sky = np.column_stack([np.asarray(table["ra"]), np.asarray(table["dec"])]).reshape(-1, 2)
    reach = how.search_radius_arcsec * how.search_factor ** (how.max_tries - 1)
    low, high = np.sort(plane.project(corners), axis=0)[[0, -1]]
    margin = (reach + 1.0) / plane.scale_arcsec
    on_plane = plane.project(sky)
    inside = np.all((on_plane > low - margin) & (on_plane < high + margin), axis=1)
    prepared = _prepared(planes, detector, how)
    return Field(copy, detector, planes, prepared, plane, sky[inside], rootname)


def _corner_sky(plane: sources.Plane) -> NDArray[np.float64]:
    ny, nx = plane.data.shape
    x, y = np.array([0, nx - 1, nx - 1, 0]), np.array([0, 0, ny - 1, ny - 1])
    return np.column_stack(plane.wcs.all_pix2world(x, y, 0))


@dataclass(frozen=True)
class _Try:
    """One rung of the ladder: what was asked, what came of it."""

    asked: dict[str, float | int]
    verdict: Verdict
    numbers: FitNumbers | None = None
    aligned: Path | None = None
    matches: Path | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            **self.asked,
            "status": self.verdict.status,
            "reason": self.verdict.reason,
            **({} if self.numbers is None else self.numbers.as_json()),
        }


def _attempt(field: Field, how: AlignmentSettings, limits: GateSettings, rung: int) -> _Try:
    """Run one rung; a fault of the tool is a failed try, not the end of the ladder."""
    threshold = max(
        how.threshold_sigma * how.threshold_factor**rung,
        min(how.threshold_sigma, LOWEST_THRESHOLD_SIGMA),
    )
    tolerance = field.detector.match_tolerance_pix * how.tolerance_factor**rung
    search = how.search_radius_arcsec * how.search_factor**rung / field.plane.scale_arcsec
    stars = _stars(field.prepared, field.detector, how, threshold)
    n_reference = min(len(field.reference_sky), 3 * len(stars) + 100, how.n_brightest)
    asked: dict[str, float | int] = {
        "threshold_sigma": round(threshold, 3),
        "tolerance_pix": round(tolerance, 3),
        "search_radius_pix": math.ceil(search),
        "n_sources": len(stars),
        "n_reference": n_reference,
    }
    out = sources.held_out(len(stars), limits.held_out_fraction, field.rootname)
    enough = max(how.min_objects, 3)
    if min(int(np.count_nonzero(~out)), n_reference) < enough:
        few = f"{len(stars)} sources on the exposure, {n_reference} on the reference: too few"
        return _Try(asked, Verdict("FAIL", (few,)))
    folder = Path(f"try{rung + 1}").absolute()
    folder.mkdir()
    reference_sky = field.reference_sky[:n_reference]
    try:
        fit = _tweakreg(
            field, stars[~out], reference_sky, folder, how=how, tolerance=tolerance,
            search_pix=math.ceil(search),
        )  # fmt: skip
    except HstAssetsError as error:
        return _Try(asked, Verdict("FAIL", (str(error.what),)))
    numbers, matches = measure(
        field, stars, out, reference_sky, fit, tolerance=tolerance, search_pix=math.ceil(search)
    )
    path = folder / "matches.ecsv"
    matches.write(path, format="ascii.ecsv")
    verdict = judge(numbers, limits, free_scale=how.fit_geometry in ("rscale", "general"))
    return _Try(asked, verdict, numbers, fit.aligned, path)


@dataclass(frozen=True)
class TweakFit:
    """What TweakReg left: the updated file and the pairs behind it."""

    aligned: Path
    image_index: NDArray[np.intp]
    reference_index: NDArray[np.intp]
    rms_x: float
    rms_y: float


def _tweakreg(
    field: Field,
    fitted: Table,
    reference_sky: NDArray[np.float64],
    folder: Path,
    *,
    how: AlignmentSettings,
    tolerance: float,
    search_pix: int,
) -> TweakFit:
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
    x_offset, y_offset = _first_guess(field, fitted, reference_sky, search_pix, tolerance)
    with _inside(folder):
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
            searchrad=search_pix,
            searchunits="pixels",
            tolerance=tolerance,
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
    if _same_wcs(field.copy.science, folder / name):
        raise UnusableInput("TweakReg reported a fit and left the header as it was", where=name)
    kept = index[pairs["image"]]
    real = kept >= 0
    return TweakFit(folder / name, kept[real], pairs["reference"][real], *rms)


def _first_guess(
    field: Field,
    fitted: Table,
    reference_sky: NDArray[np.float64],
    search_pix: int,
    tolerance: float,
) -> tuple[float, float]:
    """The offset that most pairs share, image minus reference on TweakReg's tangent plane.

    TweakReg's own guess fits a polynomial through the occupied bins about its histogram's peak
    and can miss the peak by more than the tolerance.
    """
    from stwcs.distortion.utils import output_wcs
    from stwcs.wcsutil import HSTWCS

    with fits.open(field.copy.science, memmap=False) as hdus:
        chips = [HSTWCS(hdus, ext=("SCI", plane.extver)) for plane in field.planes]
        plane = output_wcs(chips, undistort=True)
    image = plane.wcs_world2pix(sources.sky_positions(fitted, field.wcs_of), 0)
    reference = plane.wcs_world2pix(reference_sky, 0)
    _, offset = matching.offset_peak(image, reference, search=search_pix, radius=tolerance)
    return float(-offset[0]), float(-offset[1])


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Stand in `folder` meanwhile; this is a child process of its own."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def _write_inputs(
    field: Field, fitted: Table, reference_sky: NDArray[np.float64], folder: Path
) -> NDArray[np.intp]:
    """Write the chips' and the reference catalogue; return the row of each source in its order.

    A chip without a star gets one at its corner, marked -1 in the index, for TweakReg cannot
    read an empty list.
    """
    names, index = [], []
    for plane in field.planes:
        rows = np.flatnonzero(np.asarray(fitted["extver"]) == plane.extver)
        xy = np.column_stack([np.asarray(fitted[axis])[rows] for axis in ("x", "y")])
        if len(rows) == 0:
            rows, xy = np.array([-1]), np.zeros((1, 2))
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
        raise UnusableInput("TweakReg found no fit (it left no shift file)", where=name)
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
        raise UnusableInput("TweakReg left no list of the stars of its fit", where=path.name)
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
        path.name if path.parent == Path.cwd() else str(path),
        str(plane),
        wcsname=WCS_NAME,
        reusename=True,
        fitgeom="general",
        xsh=offset[0],
        ysh=offset[1],
        fit=matrix,
    )
    return float(rms[0]), float(rms[1])


def _same_wcs(before: Path, after: Path) -> bool:
    keys = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")

    def cards(path: Path) -> list[list[Any]]:
        with fits.open(path, memmap=False) as hdus:
            return [[hdu.header.get(key) for key in keys] for hdu in hdus if hdu.name == "SCI"]

    return cards(before) == cards(after)


# ------------------------------------------------------------------------------ measurement


def measure(
    field: Field,
    stars: Table,
    out: NDArray[np.bool_],
    reference_sky: NDArray[np.float64],
    fit: TweakFit,
    *,
    tolerance: float,
    search_pix: int,
) -> tuple[FitNumbers, Table]:
    """Measure a fit through the header it left, not through what the tool said.

    Returns
    -------
    numbers : FitNumbers
    matches : `~astropy.table.Table`
        One row a star of the fit and a held-out star found again: x, y (0-based pixels), extver,
        held_out, dx, dy (reference minus star, native pixels), dra, ddec (mas), ra, dec (deg, of
        the reference star).
    """
    after_wcs = _wcs_of(fit.aligned)
    before = field.plane.project(sources.sky_positions(stars, field.wcs_of))
    after = field.plane.project(sources.sky_positions(stars, after_wcs))
    reference = field.plane.project(reference_sky)
    shift, rotation, scale = matching.rigid_motion(before, after)

    fitted = np.flatnonzero(~out)[fit.image_index]
    found, partner = matching.nearest(after[out], reference, tolerance)
    kept_out = np.flatnonzero(out)[found]
    star = np.concatenate([fitted, kept_out])
    match = np.concatenate([fit.reference_index, partner])
    residual = reference[match] - after[star]
    native = _to_native(field, stars[star], after_wcs, residual)
    is_out = np.arange(len(star)) >= len(fitted)
    ratio, _, _ = matching.contrast(after, reference, search=search_pix, radius=tolerance)
    rms, sky_rms = _rms(native[~is_out]), _rms(residual[~is_out]) * field.plane.scale_arcsec * 1e3
    numbers = FitNumbers(
        n_matches=len(fitted),
        rms_x=rms[0],
        rms_y=rms[1],
        reported_rms=max(fit.rms_x, fit.rms_y),
        rms_ra_mas=sky_rms[0],
        rms_dec_mas=sky_rms[1],
        shift_ra_arcsec=-shift[0] * field.plane.scale_arcsec,
        shift_dec_arcsec=shift[1] * field.plane.scale_arcsec,
        rotation_deg=rotation,
        scale=scale,
        n_held_out=len(kept_out),
        n_held_out_chance=matching.chance_pairs(
            after[out], reference, radius=tolerance, search=search_pix
        ),
        held_out_x=_median(native[is_out, 0]),
        held_out_y=_median(native[is_out, 1]),
        held_out_rms=float(np.max(np.std(native[is_out], axis=0))) if is_out.any() else math.nan,
        contrast=ratio,
    )
    matches = Table(
        {
            "x": np.asarray(stars["x"])[star],
            "y": np.asarray(stars["y"])[star],
            "extver": np.asarray(stars["extver"])[star],
            "held_out": is_out,
            "dx": native[:, 0],
            "dy": native[:, 1],
            "dra": -residual[:, 0] * field.plane.scale_arcsec * 1e3,
            "ddec": residual[:, 1] * field.plane.scale_arcsec * 1e3,
            "ra": reference_sky[match, 0],
            "dec": reference_sky[match, 1],
        }
    )
    return numbers, matches


def _wcs_of(path: Path) -> dict[int, WCS]:
    with fits.open(path, memmap=False) as hdus:
        return {
            int(hdu.ver): sources.read_wcs(hdu.header, hdus) for hdu in hdus if hdu.name == "SCI"
        }


def _to_native(
    field: Field, stars: Table, wcs_of: dict[int, WCS], residual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Residuals on the plane as residuals in the detector's pixels, by the local Jacobian."""
    step = 0.5

    def moved(dx: float, dy: float) -> NDArray[np.float64]:
        table = stars.copy()
        table["x"], table["y"] = np.asarray(stars["x"]) + dx, np.asarray(stars["y"]) + dy
        return field.plane.project(sources.sky_positions(table, wcs_of))

    if len(stars) == 0:
        return np.zeros((0, 2))
    along_x = moved(step, 0) - moved(-step, 0)
    along_y = moved(0, step) - moved(0, -step)
    jacobian = np.stack([along_x, along_y], axis=-1)
    return np.asarray(np.linalg.solve(jacobian, residual[..., None])[..., 0])


def _rms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(values) == 0:
        return np.full(2, math.nan)
    return np.asarray(np.sqrt(np.mean(values**2, axis=0)))


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else math.nan

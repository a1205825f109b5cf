"""The tries of one method on one exposure: relaxed step by step, each judged by what it wrote.

Runs in child processes, in a folder of its own, for every method whose tool fits one exposure to a
list of stars (see `hst_assets.astrometry.methods.fit.FitTool`). Each try gets a folder of its own,
so that nothing of an earlier one can be taken for its result.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from hst_assets.astrometry.alignment_result import write_star_lists
from hst_assets.astrometry.cross_validation import parts_of
from hst_assets.astrometry.exposure_field import (
    Field,
    exposure_stars,
    likely_cause,
    read_field,
    star_fwhm_pix,
    star_shapes,
)
from hst_assets.astrometry.gate import FitNumbers, Verdict, judge
from hst_assets.astrometry.measurement import measure
from hst_assets.astrometry.methods.fit import Fit, FitTool
from hst_assets.astrometry.shape_limits import ShapeVerdict
from hst_assets.astrometry.six_terms import demand_six_terms
from hst_assets.astrometry.working_copy import WorkingCopy
from hst_assets.detection import image_planes, sources
from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.settings import AlignmentSettings, GateSettings

__all__ = ["align_copy", "align_requested"]

logger = logging.getLogger(__name__)

#: The ladder never goes below this of itself: there the sky's noise gives thousands of sources.
LOWEST_THRESHOLD_SIGMA = 4.0
#: A fit is repeated from its own result if that pairs so many times the stars it was made of;
#: clipping alone leaves out fewer.
REPEAT_GAIN = 1.2
#: Between these the first threshold is chosen where the settings ask for that, so that the
#: sources found are so many times those that are matched.
CURVE_SIGMA = (3.0, 80.0)
CURVE_SURPLUS = 4


def align_copy(
    copy: WorkingCopy,
    tool: FitTool,
    *,
    detector: str,
    rootname: str,
    catalogue: Path,
    how: AlignmentSettings,
    limits: GateSettings,
    of_stars: bool = True,
) -> dict[str, Any]:
    """Align a working copy to a catalogue of sky positions, in the current directory.

    Parameters
    ----------
    copy : WorkingCopy
        The exposure; it gets the new WCS if the verdict is not FAIL.
    tool : FitTool
        What fits.
    detector, rootname : str
        Key of the registry; seed of the parts that judge a fit.
    catalogue : `~pathlib.Path`
        ECSV with columns ra, dec (deg), brightest first.
    how, limits : AlignmentSettings, GateSettings
        The settings' sections.
    of_stars : bool, optional
        Whether the shapes of its stars are judged: not those of a drizzled image, whose pixels are
        not the detector's.

    Returns
    -------
    answer : dict
        ``files`` (the copy's files, aligned if the verdict is not FAIL, else with the WCS they
        came with), ``status``, ``reason``, ``numbers``, ``tries``, ``matches`` (ECSV of the
        star residuals, or None), ``star_lists`` (if they are to be kept) and ``shapes`` (see
        `hst_assets.astrometry.shape_limits.ShapeVerdict`, or None).
    """
    field = read_field(copy, DETECTORS[detector], rootname, catalogue, how)
    shapes = star_shapes(field, how, limits) if of_stars else None
    if shapes is not None and shapes.is_bad:
        return _misshapen(copy, shapes)
    first = _first_threshold(field, how)
    tries: list[_Try] = []
    for rung in range(how.max_tries):
        tries.append(_attempt(field, tool, how, limits, rung, first))
        if tries[-1].verdict.status == "PASS":
            break
    best = _best(tries)
    verdict = best.verdict if shapes is None else best.verdict.doubted(shapes.doubts)
    if best.verdict.believed and best.aligned is not None:
        best.aligned.replace(copy.science)
    lists: list[Path] = []
    if how.keep_objfile:
        lists = write_star_lists(best.stars, rootname, Path.cwd())
    return {
        "files": [str(path.absolute()) for path in copy.files],
        "status": verdict.status,
        "reason": _reason(verdict, field),
        "numbers": None if best.numbers is None else best.numbers.as_json(),
        "tries": [attempt.as_json() for attempt in tries],
        "matches": None if best.matches is None else str(best.matches.absolute()),
        "star_lists": [str(path) for path in lists],
        "shapes": None if shapes is None else shapes.as_json(),
    }


def _misshapen(copy: WorkingCopy, shapes: ShapeVerdict) -> dict[str, Any]:
    """The answer on an exposure whose stars are trailed or double: no WCS makes it usable."""
    return {
        "files": [str(path.absolute()) for path in copy.files],
        "status": "FAIL",
        "reason": f"{shapes.text}; no fit was tried",
        "numbers": None,
        "tries": [],
        "matches": None,
        "star_lists": [],
        "shapes": shapes.as_json(),
    }


def align_requested(
    copy: WorkingCopy,
    tool: FitTool,
    *,
    detector: str,
    rootname: str,
    catalogue: str,
    alignment: Mapping[str, Any],
    gate: Mapping[str, Any],
    of_stars: bool = True,
) -> dict[str, Any]:
    """`align_copy` in the words of a call to a child process: plain text and mappings.

    Parameters
    ----------
    copy : WorkingCopy
        The exposure.
    tool : FitTool
        What fits.
    detector, rootname : str
        Key of the registry; seed of the held-out choice.
    catalogue : str
        ECSV with columns ra, dec (deg), brightest first.
    alignment, gate : mapping
        The settings' sections.
    of_stars : bool, optional
        Whether the shapes of its stars are judged.
    """
    return align_copy(
        copy,
        tool,
        detector=detector,
        rootname=rootname,
        catalogue=Path(catalogue),
        how=AlignmentSettings.model_validate(alignment),
        limits=GateSettings.model_validate(gate),
        of_stars=of_stars,
    )


def _reason(verdict: Verdict, field: Field) -> str:
    """Why not PASS; of a failure also what stands out about the exposure."""
    causes = (likely_cause(field),) if verdict.status == "FAIL" else ()
    return "; ".join(filter(None, (verdict.reason, *causes)))


def _first_threshold(field: Field, how: AlignmentSettings) -> float:
    """The detection threshold of the first try, in standard deviations of the sky."""
    if not how.threshold_curve:
        return how.threshold_sigma
    lowest, highest = CURVE_SIGMA
    found = sources.significances(
        field.prepared, fwhm_pix=star_fwhm_pix(field.detector, how), threshold_sigma=lowest
    )
    wanted = CURVE_SURPLUS * how.n_brightest
    return lowest if len(found) < wanted else min(float(found[wanted - 1]), highest)


@dataclass(frozen=True)
class _Try:
    """One rung of the ladder: what was asked, what came of it."""

    asked: dict[str, float | int | str]
    stars: Table
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


def _best(tries: list[_Try]) -> _Try:
    """The verdict to act on: the last PASS, else a compromise, else the most telling failure."""
    order = {"PASS": 0, "COMPROMISED": 1, "FAIL": 2}

    def rank(attempt: _Try) -> tuple[int, float]:
        numbers = attempt.numbers
        return order[attempt.verdict.status], -(numbers.contrast if numbers else -1.0)

    return min(tries, key=rank)


def _attempt(
    field: Field,
    tool: FitTool,
    how: AlignmentSettings,
    limits: GateSettings,
    rung: int,
    first_threshold: float,
) -> _Try:
    """Run one rung; a fault of the tool is a failed try, not the end of the ladder."""
    threshold = max(
        first_threshold * how.threshold_factor**rung, min(first_threshold, LOWEST_THRESHOLD_SIGMA)
    )
    tolerance = _first_tolerance(field, how) * how.tolerance_factor**rung
    search = how.search_radius_arcsec * how.search_factor**rung / field.plane.scale_arcsec
    stars = exposure_stars(field.prepared, field.detector, how, threshold)
    n_reference = len(field.reference_sky)
    if field.brightest_first:  # else the first might be those of one edge
        n_reference = min(n_reference, 3 * len(stars) + 100, how.n_brightest)
    asked: dict[str, float | int | str] = {
        "fit_geometry": how.fit_geometry,
        "threshold_sigma": round(threshold, 3),
        "tolerance_pix": round(tolerance, 3),
        "search_radius_pix": math.ceil(search),
        "n_sources": len(stars),
        "n_reference": n_reference,
    }
    enough = max(how.min_objects, 3)
    if min(len(stars), n_reference) < enough:
        few = f"{len(stars)} sources on the exposure, {n_reference} on the reference: too few"
        return _Try(asked, stars, Verdict("FAIL", (few,)))
    folder = Path(f"try{rung + 1}").absolute()
    folder.mkdir()
    reference_sky = field.reference_sky[:n_reference]
    try:
        fit = _fit(
            field, tool, stars, reference_sky, folder, how=how, tolerance=tolerance,
            search_pix=math.ceil(search),
        )  # fmt: skip
    except UnusableInput as error:
        return _Try(asked, stars, Verdict("FAIL", (str(error.what),)))
    attempt = _judged(
        field,
        stars,
        reference_sky,
        fit,
        asked,
        folder,
        how,
        limits,
        tolerance=tolerance,
        search_pix=math.ceil(search),
    )
    if not (
        attempt.verdict.believed
        and _demands_more(field, stars, reference_sky, fit, how, limits, tolerance)
    ):
        return attempt
    six = folder / "six_terms"
    six.mkdir()
    how = how.model_copy(update={"fit_geometry": "general"})
    try:
        fit = _fit(
            field,
            tool,
            stars,
            reference_sky,
            six,
            how=how,
            tolerance=tolerance,
            search_pix=math.ceil(search),
        )
    except UnusableInput as error:
        logger.info("%s: no fit of six terms: %s", field.rootname, error)
        return attempt
    asked = {**asked, "fit_geometry": "general"}
    return _better(
        attempt,
        _judged(
            field,
            stars,
            reference_sky,
            fit,
            asked,
            six,
            how,
            limits,
            tolerance=tolerance,
            search_pix=math.ceil(search),
        ),
    )


def _demands_more(
    field: Field,
    stars: Table,
    reference_sky: NDArray[np.float64],
    fit: Fit,
    how: AlignmentSettings,
    limits: GateSettings,
    tolerance: float,
) -> bool:
    """Whether the stars demand more terms than the fit has."""
    if how.six_terms == "never":
        return False
    after = field.plane.project(
        image_planes.sky_positions(stars, image_planes.wcs_by_extver(fit.aligned))
    )
    part = parts_of(len(stars), limits.held_out_fraction, field.rootname)
    reference = field.plane.project(reference_sky)
    return demand_six_terms(after, reference, part, how.fit_geometry, tolerance=tolerance)


def _better(attempt: _Try, six: _Try) -> _Try:
    """The fit of six terms, if the gate says no worse of it and its held-out stars agree better."""
    order = ("PASS", "COMPROMISED", "FAIL")
    if six.numbers is None or attempt.numbers is None:
        return attempt
    no_worse = order.index(six.verdict.status) <= order.index(attempt.verdict.status)
    agrees = six.numbers.held_out_rms < attempt.numbers.held_out_rms
    return six if no_worse and agrees else attempt


def _judged(
    field: Field,
    stars: Table,
    reference_sky: NDArray[np.float64],
    fit: Fit,
    asked: dict[str, float | int | str],
    folder: Path,
    how: AlignmentSettings,
    limits: GateSettings,
    *,
    tolerance: float,
    search_pix: int,
) -> _Try:
    """What the gate says of a fit; the stars behind it are written to `folder`."""
    numbers, matches = measure(
        field, stars, reference_sky, fit, geometry=how.fit_geometry, limits=limits,
        tolerance=tolerance, search_pix=search_pix,
    )  # fmt: skip
    path = folder / "matches.ecsv"
    matches.write(path, format="ascii.ecsv")
    verdict = judge(numbers, limits, free_scale=how.fit_geometry in ("rscale", "general"))
    return _Try(asked, stars, verdict, numbers, fit.aligned, path)


def _first_tolerance(field: Field, how: AlignmentSettings) -> float:
    """The matching tolerance of the first try in native pixels."""
    return how.tolerance_pix.get(field.detector.key, field.detector.match_tolerance_pix)


def _fit(
    field: Field,
    tool: FitTool,
    fitted: Table,
    reference_sky: NDArray[np.float64],
    folder: Path,
    *,
    how: AlignmentSettings,
    tolerance: float,
    search_pix: int,
) -> Fit:
    """Fit, and once more from there if that brings many more stars within the tolerance.

    Stars are paired before they are turned: far from the middle, a rotation of more than the
    tolerance loses them, and those that are left underestimate it.
    """
    fit = tool(
        field, fitted, reference_sky, folder, how=how, tolerance=tolerance, search_pix=search_pix
    )
    moved = field.as_aligned(fit.aligned)
    if moved.count_pairs(fitted, reference_sky, tolerance) < REPEAT_GAIN * len(fit.image_index):
        return fit
    again = folder / "again"
    again.mkdir()
    try:
        return tool(
            moved, fitted, reference_sky, again, how=how, tolerance=tolerance, search_pix=search_pix
        )
    except UnusableInput as error:
        logger.info("%s: the first fit is kept, the second failed: %s", field.rootname, error)
        return fit

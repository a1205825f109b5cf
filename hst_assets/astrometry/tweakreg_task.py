"""What runs in child processes: the ladder of TweakReg's tries on one exposure.

Called through `hst_assets.isolation` only. Each try gets a folder of its own, so that nothing of
an earlier run can be taken for its result, and is judged by the header it leaves behind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The modules below import these where they use them. Imported here, the nursery has them before it
# forks, and not each of its children again (drizzlepac: 5 s).
import astroscrappy  # noqa: F401
import drizzlepac.tweakreg  # noqa: F401
import numpy as np
import photutils.aperture
import photutils.background
import photutils.detection  # noqa: F401
from astropy.table import Table
from numpy.typing import NDArray

from hst_assets.astrometry import sources
from hst_assets.astrometry.field import Field, exposure_stars, read_field
from hst_assets.astrometry.gate import FitNumbers, Verdict, judge
from hst_assets.astrometry.measurement import measure
from hst_assets.astrometry.tweakreg_fit import TweakFit, run_tweakreg
from hst_assets.astrometry.working_copy import make_working_copy
from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.settings import AlignmentSettings, GateSettings

#: The ladder never goes below this of itself: there the sky's noise gives thousands of sources.
LOWEST_THRESHOLD_SIGMA = 4.0
#: A fit is repeated from its own result if that pairs so many times the stars it was made of;
#: clipping alone leaves out fewer.
REPEAT_GAIN = 1.2


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
    field = read_field(copy, DETECTORS[detector], rootname, Path(catalogue), how)
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
    stars = exposure_stars(field.prepared, field.detector, how, threshold)
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
        fit = _fit(
            field, stars[~out], reference_sky, folder, how=how, tolerance=tolerance,
            search_pix=math.ceil(search),
        )  # fmt: skip
    except UnusableInput as error:
        return _Try(asked, Verdict("FAIL", (str(error.what),)))
    numbers, matches = measure(
        field, stars, out, reference_sky, fit, tolerance=tolerance, search_pix=math.ceil(search)
    )
    path = folder / "matches.ecsv"
    matches.write(path, format="ascii.ecsv")
    verdict = judge(numbers, limits, free_scale=how.fit_geometry in ("rscale", "general"))
    return _Try(asked, verdict, numbers, fit.aligned, path)


def _fit(
    field: Field,
    fitted: Table,
    reference_sky: NDArray[np.float64],
    folder: Path,
    *,
    how: AlignmentSettings,
    tolerance: float,
    search_pix: int,
) -> TweakFit:
    """Fit, and once more from there if that brings many more stars within the tolerance.

    Stars are paired before they are turned: far from the middle, a rotation of more than the
    tolerance loses them, and those that are left underestimate it.
    """
    fit = run_tweakreg(
        field, fitted, reference_sky, folder, how=how, tolerance=tolerance, search_pix=search_pix
    )
    moved = field.as_aligned(fit.aligned)
    if moved.count_pairs(fitted, reference_sky, tolerance) < REPEAT_GAIN * len(fit.image_index):
        return fit
    again = folder / "again"
    again.mkdir()
    return run_tweakreg(
        moved, fitted, reference_sky, again, how=how, tolerance=tolerance, search_pix=search_pix
    )

"""What goes into an alignment method and what comes out of it, for every method alike."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning

from hst_assets.astrometry.gate import FitNumbers
from hst_assets.astrometry.shape_limits import ShapeVerdict
from hst_assets.astrometry.working_copy import make_working_copy
from hst_assets.failures import HstAssetsError, ToolFailed, UnusableInput, shared_kind

__all__ = [
    "AlignmentResult",
    "ExposureToAlign",
    "failed_on_few",
    "joint_failure",
    "left_out",
    "star_list_name",
    "untouched",
    "without_crashed",
    "write_star_lists",
]

_STAR_LIST_HEADER = (
    "x y flux\n"
    "x and y count from 1 at the centre of the first pixel, as TweakReg counts (xcol=1, ycol=2);\n"
    "flux in the unit of the SCI plane"
)


@dataclass(frozen=True)
class ExposureToAlign:
    """One exposure to be aligned.

    Attributes
    ----------
    raw : `~pathlib.Path`
        The exposure in raw/ (WFPC2: the c0m).
    rootname : str
        Its rootname.
    detector_key : str
        Key in the registry of detectors.
    """

    raw: Path
    rootname: str
    detector_key: str


@dataclass(frozen=True)
class AlignmentResult:
    """What became of one exposure.

    Attributes
    ----------
    files : tuple of `~pathlib.Path`
        Its working copy in scratch: with the new WCS if the status is PASS or COMPROMISED, else
        with the one it came with. Empty if no copy could be made.
    status : str
        PASS, COMPROMISED, FAIL or SKIPPED.
    method : str
        Which method gave it; ``"none"`` if there was none.
    reason : str
        Why not PASS.
    numbers : FitNumbers or None
        Of the fit that was judged.
    tries : tuple of dict
        Every rung of the ladder with its numbers.
    matches : `~pathlib.Path` or None
        Star residuals (ECSV).
    star_lists : tuple of `~pathlib.Path`
        Lists of the stars that were matched, where the settings want them kept.
    shapes : ShapeVerdict or None
        What is said of the shapes of its stars; None where they were not looked at.
    failure : HstAssetsError or None
        What kept the tool from an answer; then the status means nothing.
    """

    files: tuple[Path, ...]
    status: str
    method: str
    reason: str = ""
    numbers: FitNumbers | None = None
    tries: tuple[dict[str, Any], ...] = ()
    matches: Path | None = None
    star_lists: tuple[Path, ...] = ()
    shapes: ShapeVerdict | None = None
    failure: HstAssetsError | None = None

    @property
    def aligned(self) -> bool:
        """Whether the files have an accepted fit."""
        return self.status in ("PASS", "COMPROMISED")

    @property
    def is_misshapen(self) -> bool:
        """Whether its stars are trailed or double, so that no WCS makes it usable."""
        return self.shapes is not None and self.shapes.is_bad


def untouched(
    exposure: ExposureToAlign, scratch: Path, *, status: str, method: str, reason: str
) -> AlignmentResult:
    """The exposure with the WCS it came with; FAIL, without files, if it cannot be read."""
    folder = scratch / f"{exposure.rootname}.untouched"
    folder.mkdir()
    try:
        files = make_working_copy(exposure.raw, folder).files
        _read_through(files)
    except (UnusableInput, OSError, ValueError, TypeError, AstropyUserWarning) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the disk's word, not that of the FITS reader
        return AlignmentResult(
            (), "FAIL", method, reason=f"{reason}; no working copy: {error}".strip("; ")
        )
    return AlignmentResult(files, status, method, reason=reason)


def failed_on_few(failures: Mapping[str, HstAssetsError], n_exposures: int) -> bool:
    """Whether failures are those of a tool on single exposures, while it answers on others.

    Such an exposure costs itself. What a tool cannot do on any is a fault of the tool; time,
    memory, disk and services are the machine's: from these nothing may be concluded.
    """
    of_tool = all(type(failure) is ToolFailed for failure in failures.values())
    return of_tool and len(failures) < n_exposures


def left_out(failure: HstAssetsError) -> AlignmentResult:
    """The result on an exposure that a tool failed on, while others could be done."""
    reason = f"left out: the alignment tool failed on it: {failure.what}"
    return AlignmentResult((), "FAIL", "none", reason=reason)


def without_crashed(results: Sequence[AlignmentResult]) -> list[AlignmentResult]:
    """The results, in which exposures that a tool failed on are left out, if it answers on others.

    Where all failed, or one for another reason, they are returned as they are.
    """
    failures = {str(n): r.failure for n, r in enumerate(results) if r.failure is not None}
    if not failures or not failed_on_few(failures, len(results)):
        return list(results)
    return [result if result.failure is None else left_out(result.failure) for result in results]


def joint_failure(failures: Mapping[str, HstAssetsError], *, where: str) -> HstAssetsError:
    """One failure for those of several exposures (by rootname), to be raised for all of them."""
    kind = shared_kind(type(failure) for failure in failures.values())
    each = "; ".join(
        f"{rootname}: {failure.what}" for rootname, failure in sorted(failures.items())
    )
    return kind(
        f"{len(failures)} exposures: the alignment tool failed ({each})",
        where=where,
        next_step="See logs/, then rerun: aligned exposures are kept. An exposure that never works "
        "can be rejected in overrides.ecsv",
    )


def _read_through(files: Sequence[Path]) -> None:
    """Read every plane: astropy opens a truncated file with no more than a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="File may have been truncated")
        for path in files:
            with fits.open(path, memmap=False) as hdus:
                for hdu in hdus:
                    getattr(hdu, "data", None)  # an HDU of which astropy makes nothing has none


# -------------------------------------------- star lists, for those who want to match by hand


def star_list_name(rootname: str, extver: int) -> str:
    """``<rootname>_sci<EXTVER>.coo``, TweakReg's own name for such a list."""
    return f"{rootname}_sci{extver}.coo"


def write_star_lists(stars: Table, rootname: str, folder: Path) -> list[Path]:
    """Write star lists as TweakReg reads them, one a SCI plane that has stars; return the files.

    Parameters
    ----------
    stars : `~astropy.table.Table`
        x, y (0-based pixels), flux, extver.
    rootname : str
        Of the exposure.
    folder : `~pathlib.Path`
        Where to.
    """
    written = []
    for extver in np.unique(np.asarray(stars["extver"])):
        rows = np.asarray(stars["extver"]) == extver
        x, y, flux = (np.asarray(stars[name], float)[rows] for name in ("x", "y", "flux"))
        path = folder / star_list_name(rootname, int(extver))
        np.savetxt(
            path,
            np.column_stack([x + 1.0, y + 1.0, flux]),
            fmt=("%.6f", "%.6f", "%.8g"),
            header=_STAR_LIST_HEADER,
        )
        written.append(path)
    return written

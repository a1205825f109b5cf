"""The alignment method ``tweakreg`` as callers see it: targets and a catalogue in, outcomes out.

A method is a function with the signature of `align`; it returns one `Outcome` a target, in order,
and never raises for the fault of one exposure. Where not the exposure but the machine is at fault
(a time-out, a crash, no memory), the outcome says so in `failure`, and callers must not record it:
the next run is to try again.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from hst_assets.astrometry.gate import FitNumbers
from hst_assets.astrometry.working_copy import make_working_copy
from hst_assets.failures import HstAssetsError, ToolFailed, UnusableInput
from hst_assets.isolation import Call, run_isolated, run_many_isolated
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = [
    "Outcome",
    "Target",
    "align",
    "catalogue_of_exposure",
    "catalogue_of_image",
    "joint_failure",
    "untouched",
]

logger = logging.getLogger(__name__)

_ALIGN = "hst_assets.astrometry.tweakreg_task:align_exposure"
_CATALOGUES = "hst_assets.astrometry.catalogue_task"


@dataclass(frozen=True)
class Target:
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
class Outcome:
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
    failure: HstAssetsError | None = None

    @property
    def aligned(self) -> bool:
        """Whether the files carry a believed fit."""
        return self.status in ("PASS", "COMPROMISED")


def align(
    targets: Sequence[Target],
    catalogue: Path,
    *,
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
    stage: str,
) -> list[Outcome]:
    """Align exposures to a catalogue with TweakReg, as many at a time as the machine allows.

    Parameters
    ----------
    targets : sequence of Target
        What to align.
    catalogue : `~pathlib.Path`
        ECSV with columns ra, dec (deg), brightest first.
    settings : Settings
        Sections alignment, gate and machine.
    workdir : WorkDir
        For the logs.
    scratch : `~pathlib.Path`
        A folder that outlives the outcomes; each target gets one of its own inside.
    stage : str
        Names the logs.
    """
    calls = []
    for target in targets:
        folder = _folder(scratch, target)
        arguments = {
            "raw": str(target.raw),
            "detector": target.detector_key,
            "rootname": target.rootname,
            "catalogue": str(catalogue),
            "alignment": settings.alignment.as_recipe(),
            "gate": settings.gate.as_recipe(),
        }
        calls.append(Call(arguments, folder, workdir.log(stage, target.rootname)))
    answers = run_many_isolated(
        _ALIGN,
        calls,
        timeout_s=settings.machine.tool_timeout_s,
        max_cores=settings.machine.max_cores,
    )
    return [
        _outcome(target, answer, scratch) for target, answer in zip(targets, answers, strict=True)
    ]


def _folder(scratch: Path, target: Target) -> Path:
    folder = scratch / target.rootname
    folder.mkdir()
    return folder


def _outcome(target: Target, answer: Any, scratch: Path) -> Outcome:
    if isinstance(answer, HstAssetsError):
        logger.warning("%s was not aligned: %s", target.rootname, answer)
        outcome = untouched(target, scratch, status="FAIL", method="tweakreg", reason=answer.what)
        own_fault = isinstance(answer, UnusableInput) or not outcome.files
        return outcome if own_fault else replace(outcome, failure=answer)
    numbers, matches = answer["numbers"], answer["matches"]
    return Outcome(
        files=tuple(Path(path) for path in answer["files"]),
        status=answer["status"],
        method="tweakreg",
        reason=answer["reason"],
        numbers=None if numbers is None else FitNumbers.from_json(numbers),
        tries=tuple(answer["tries"]),
        matches=None if matches is None else Path(matches),
    )


def untouched(target: Target, scratch: Path, *, status: str, method: str, reason: str) -> Outcome:
    """The exposure with the WCS it came with; FAIL, without files, if it cannot be read."""
    folder = scratch / f"{target.rootname}.untouched"
    folder.mkdir()
    try:
        files = make_working_copy(target.raw, folder).files
        _read_through(files)
    except (UnusableInput, OSError, ValueError, TypeError, AstropyUserWarning) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the disk's word, not that of the FITS reader
        return Outcome((), "FAIL", method, reason=f"{reason}; no working copy: {error}".strip("; "))
    return Outcome(files, status, method, reason=reason)


def joint_failure(failures: Mapping[str, HstAssetsError], *, where: str) -> HstAssetsError:
    """One failure for those of several exposures (by rootname), to be raised for all of them."""
    kinds = {type(failure) for failure in failures.values()}
    kind = kinds.pop() if len(kinds) == 1 else ToolFailed
    each = "; ".join(
        f"{rootname}: {failure.what.partition('; its last lines')[0]}"
        for rootname, failure in sorted(failures.items())
    )
    return kind(
        f"{len(failures)} exposures could not be tried for want of a working tool ({each})",
        where=where,
        next_step="See logs/, then run again: what was done is kept. An exposure that never works "
        "can be refused in overrides.ecsv",
    )


def _read_through(files: Sequence[Path]) -> None:
    """Read every plane: astropy opens a truncated file with no more than a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="File may have been truncated")
        for path in files:
            with fits.open(path, memmap=False) as hdus:
                for hdu in hdus:
                    hdu.data  # noqa: B018


def catalogue_of_exposure(
    target: Target, output: Path, *, settings: Settings, workdir: WorkDir, scratch: Path
) -> int:
    """Write the star catalogue of an exposure by its own WCS; return the number of stars."""
    folder = scratch / f"{target.rootname}.catalogue"
    folder.mkdir()
    copy = make_working_copy(target.raw, folder)
    found: int = run_isolated(
        f"{_CATALOGUES}:catalogue_exposure",
        {
            "exposure": str(copy.science),
            "output": str(output),
            "detector": target.detector_key,
            "alignment": settings.alignment.as_recipe(),
        },
        scratch=folder,
        log_path=workdir.log("reference_image", target.rootname),
        timeout_s=settings.machine.tool_timeout_s,
    )
    return found


def catalogue_of_image(
    image: Path,
    output: Path,
    *,
    fwhm_arcsec: float,
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
) -> int:
    """Write the star catalogue of a reference image, which is only read; return the number."""
    folder = scratch / "image.catalogue"
    folder.mkdir()
    found: int = run_isolated(
        f"{_CATALOGUES}:catalogue_image",
        {"image": str(image), "output": str(output), "fwhm_arcsec": fwhm_arcsec},
        scratch=folder,
        log_path=workdir.log("reference_image", image.stem),
        timeout_s=settings.machine.tool_timeout_s,
    )
    return found

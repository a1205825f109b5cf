"""The distortion of exposures: whose WCS has none, and the one that stwcs makes from tables.

An exposure from the archive carries its distortion in its headers, as SIP polynomials with the
residuals in look-up tables. One that does not is given it before any alignment: a copy in scratch
is updated by ``stwcs.updatewcs`` with the reference files that its header names, and everything
that follows works on that copy.

The rule (`has_distortion`): the WCS is good if every SCI extension has CTYPEs that end in ``-SIP``
and SIP polynomials of at least the second order. That is what every exposure of ACS, WFC3 and
WFPC2 has that went through ``updatewcs`` once, whatever aligned it afterwards. Where look-up
tables alone are missing, only ``alignment.update_wcs = "always"`` brings them in.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign, untouched
from hst_assets.astrometry.distortion.reference_files import (
    VARIABLES,
    ReferenceFile,
    ReferenceFiles,
    reference_name,
)
from hst_assets.detection import image_planes
from hst_assets.failures import HstAssetsError, MissingProduct, UnusableInput
from hst_assets.imaging.frames import opened
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.settings import Settings
from hst_assets.sky_geometry import separation_deg
from hst_assets.workdir import WorkDir

__all__ = ["Correction", "correct", "has_distortion", "named_files", "plan_corrections"]

logger = logging.getLogger(__name__)

_TASK = "hst_assets.astrometry.distortion.update_task:update_wcs"
#: Keywords of the files that decide the WCS of each instrument.
_KEYWORDS = {
    "ACS": ("IDCTAB", "NPOLFILE", "D2IMFILE"),
    "WFC3": ("IDCTAB", "NPOLFILE", "D2IMFILE"),
    "WFPC2": ("IDCTAB", "OFFTAB", "DGEOFILE"),
}
#: stwcs starts from the pointing that the spacecraft reported. That differs from the WCS of an
#: archive that has since been aligned by the errors of guide stars, at most about 2 arcsec, and
#: from one without distortion by less than 1 arcsec at a chip's centre.
MAX_MOTION_ARCSEC = 5.0


@dataclass(frozen=True)
class Correction:
    """What is to be done about the distortion of one exposure.

    Attributes
    ----------
    files : mapping
        Reference files by header keyword, if its WCS is to be computed anew; else empty.
    note : str
        What its distortion is or will be, in words.
    failure : HstAssetsError or None
        Why its WCS cannot be computed although it is to be.
    wanted : tuple of str
        Names of the files, had or not.
    """

    files: Mapping[str, ReferenceFile] = field(default_factory=dict)
    note: str = "archive"
    failure: HstAssetsError | None = None
    wanted: tuple[str, ...] = ()

    @property
    def inputs(self) -> dict[str, str]:
        """Inputs for a recipe: none where nothing is to be done."""
        if self.failure is not None:
            return {f"reference_file:{name}": "missing" for name in self.wanted or ("unnamed",)}
        return {f"reference_file:{file.name}": file.sha256 for file in self.files.values()}


def has_distortion(hdus: fits.HDUList) -> bool:
    """Whether every SCI extension of an exposure has a distortion solution in its header."""
    headers = [hdu.header for hdu in hdus if hdu.name == "SCI"]
    return bool(headers) and all(_has_sip(header) for header in headers)


def _has_sip(header: fits.Header) -> bool:
    named = all(str(header.get(f"CTYPE{axis}", "")).endswith("-SIP") for axis in (1, 2))
    return named and all(
        int(header.get(f"{letter}_ORDER", 0)) >= 2
        and any(math.isfinite(header[key]) for key in header[f"{letter}_*_*"])
        for letter in ("A", "B")
    )


def named_files(primary: fits.Header) -> dict[str, str]:
    """The reference files that decide the WCS, by keyword, that a primary header names.

    A WFPC2 exposure that was updated before has its DGEOFILE under ODGEOFIL.

    Raises
    ------
    UnusableInput
        If a value is no name of a file, or the instrument has no such files here.
    """
    instrument = str(primary.get("INSTRUME", "")).strip()
    if instrument not in _KEYWORDS:
        raise UnusableInput(f"the distortion is unknown for {instrument or 'no instrument'}")
    named = {}
    for keyword in _KEYWORDS[instrument]:
        name = reference_name(primary.get(keyword))
        if name is None and keyword == "DGEOFILE":
            name = reference_name(primary.get("ODGEOFIL"))
        if name is not None:
            named[keyword] = name
    return named


def plan_corrections(
    workdir: WorkDir, names: Iterable[str], settings: Settings
) -> dict[str, Correction]:
    """What is to be done about each exposure, its reference files at hand.

    Parameters
    ----------
    workdir : WorkDir
        Of the target.
    names : iterable of str
        Exposure files in raw/.
    settings : Settings
        Sections alignment (`update_wcs`, `skip_tweakreg`) and reference_files.

    Returns
    -------
    dict
        By name. Reference files are looked for only where an exposure needs them.
    """
    files = ReferenceFiles(settings.reference_files, workdir)
    how = "never" if settings.alignment.skip_tweakreg else settings.alignment.update_wcs
    return {name: _plan(workdir.raw / name, how, files) for name in names}


def _plan(raw: Path, how: str, files: ReferenceFiles) -> Correction:
    try:
        with opened(raw) as hdus:
            good, primary = has_distortion(hdus), hdus[0].header.copy()
    except (UnusableInput, fits.VerifyError, LookupError, TypeError, ValueError) as error:
        logger.info("%s: its headers are left to the alignment to judge (%s)", raw.name, error)
        return Correction()
    as_it_is = Correction(note="archive" if good else "none: the archive's WCS has no distortion")
    if how == "never" or (good and how == "if_needed"):
        return as_it_is
    try:
        named = named_files(primary)
        if "IDCTAB" not in named:
            return replace(as_it_is, note=f"{as_it_is.note}; IDCTAB names no file")
    except UnusableInput as error:
        return Correction(note=f"{as_it_is.note}; not updated", failure=error)
    variable = VARIABLES[str(primary["INSTRUME"]).strip()]
    wanted = tuple(named.values())
    try:
        found = {key: files.find(name, key, variable) for key, name in named.items()}
    except HstAssetsError as error:
        return Correction(note=f"{as_it_is.note}; not updated", failure=error, wanted=wanted)
    listed = ", ".join(f"{key} {file.name}" for key, file in found.items())
    return Correction(found, f"updated with {listed}", wanted=wanted)


def correct(
    exposures: Sequence[ExposureToAlign],
    corrections: Mapping[str, Correction],
    *,
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
    stage: str,
) -> tuple[list[ExposureToAlign], dict[str, AlignmentResult]]:
    """Give a distortion to the exposures that need one, before any alignment.

    Parameters
    ----------
    exposures : sequence of ExposureToAlign
        What is to be aligned.
    corrections : mapping
        Of `plan_corrections`, by file name.
    settings : Settings
        Section machine.
    workdir, scratch, stage
        As for an alignment method (`hst_assets.astrometry.methods.registry.Method.align`).

    Returns
    -------
    ready : list of ExposureToAlign
        The exposures, in order; those that were updated have `raw` in `scratch`, under the same
        name. Those that could not be are left out.
    results : dict
        The result of each that was left out, by rootname: FAIL with its reason; or, where the
        machine or the service is at fault, with its `failure`.
    """
    due = [exposure for exposure in exposures if corrections[exposure.raw.name].files]
    updated = _update(due, corrections, settings, workdir, scratch, stage)
    ready: list[ExposureToAlign] = []
    results: dict[str, AlignmentResult] = {}
    for exposure in exposures:
        answer = updated.get(exposure.rootname, corrections[exposure.raw.name].failure)
        if isinstance(answer, HstAssetsError):
            results[exposure.rootname] = _failed(exposure, answer, scratch)
        else:
            ready.append(exposure if answer is None else replace(exposure, raw=answer))
    return ready, results


def _failed(exposure: ExposureToAlign, error: HstAssetsError, scratch: Path) -> AlignmentResult:
    """FAIL with the WCS it came with; not for good where it is not the exposure's fault."""
    logger.warning("%s: its WCS was not updated: %s", exposure.rootname, error)
    reason = f"its WCS must be computed from reference files, which failed: {error}"
    result = untouched(exposure, scratch, status="FAIL", method="none", reason=reason)
    own_fault = isinstance(error, (UnusableInput, MissingProduct)) or not result.files
    return result if own_fault else replace(result, failure=error)


def _update(
    exposures: Sequence[ExposureToAlign],
    corrections: Mapping[str, Correction],
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
    stage: str,
) -> dict[str, Path | HstAssetsError]:
    """The updated copy of each exposure by rootname, or why there is none."""
    calls = []
    for exposure in exposures:
        folder = scratch / f"{exposure.rootname}.distortion"
        folder.mkdir()
        files = corrections[exposure.raw.name].files
        arguments: dict[str, Any] = {
            "raw": str(exposure.raw),
            "files": {key: str(file.path.absolute()) for key, file in files.items()},
        }
        calls.append(Call(arguments, folder, workdir.log(stage, exposure.rootname)))
    answers = run_many_isolated(
        _TASK,
        calls,
        timeout_s=settings.machine.timeout_s("distortion"),
        max_cores=settings.machine.cores,
    )
    return {
        exposure.rootname: _checked(exposure.raw, call.scratch / exposure.raw.name, answer)
        for exposure, call, answer in zip(exposures, calls, answers, strict=True)
    }


def _checked(raw: Path, copy: Path, answer: Any) -> Path | HstAssetsError:
    """The copy, if it has what it was made for."""
    if isinstance(answer, HstAssetsError):
        return answer
    try:
        check(copy, raw)
    except UnusableInput as error:
        return error
    except (ArithmeticError, fits.VerifyError, LookupError, TypeError, ValueError) as error:
        return UnusableInput(f"its WCS cannot be read: {type(error).__name__}: {error}")
    return copy


def check(copy: Path, raw: Path) -> None:
    """Refuse an updated copy whose WCS is not what an update must leave.

    Parameters
    ----------
    copy, raw : `~pathlib.Path`
        The updated exposure and the one it was made of.

    Raises
    ------
    UnusableInput
        If an extension has no celestial WCS with a distortion, no IDCSCALE, or its centre lies
        elsewhere than before by more than `MAX_MOTION_ARCSEC`.
    """
    before = image_planes.wcs_by_extver(raw)
    with opened(copy) as hdus:
        if not has_distortion(hdus):
            raise UnusableInput("updatewcs left no distortion in its headers")
        chips = {int(hdu.ver): hdu.header for hdu in hdus if hdu.name == "SCI"}
        after = {ver: image_planes.read_wcs(header, hdus) for ver, header in chips.items()}
    if set(chips) != set(before):
        raise UnusableInput("updatewcs changed the number of extensions")
    for ver, header in chips.items():
        if not float(header.get("IDCSCALE", 0.0)) > 0:
            raise UnusableInput(f"updatewcs left no IDCSCALE in SCI {ver}")
        motion = _motion_arcsec(before[ver], after[ver], header["NAXIS1"], header["NAXIS2"])
        if not motion <= MAX_MOTION_ARCSEC:  # so that NaN is refused
            raise UnusableInput(
                f"updatewcs moved SCI {ver} by {motion:.1f} arcsec, limit {MAX_MOTION_ARCSEC:g}"
            )


def _motion_arcsec(before: Any, after: Any, nx: int, ny: int) -> float:
    """How far the centre of a chip lies from where it was; NaN where it has no position."""
    middle = ((nx - 1) / 2, (ny - 1) / 2)
    if not (before.has_celestial and after.has_celestial):
        return math.nan
    was, now = (np.array(wcs.all_pix2world(*middle, 0)) for wcs in (before, after))
    return float(separation_deg(was, now)) * 3600.0

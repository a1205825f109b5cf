"""The ladder of methods: each exposure goes down it until a method passes the gate.

The first PASS wins. Where there is none, the best COMPROMISED fit is taken; where there is none
either, the exposure FAILs, and the reason tells what each method said.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign, untouched
from hst_assets.astrometry.methods.registry import Method, methods_named
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["Onto", "align_in_turn", "with_methods"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Onto:
    """What exposures are brought onto.

    Attributes
    ----------
    stars : `~pathlib.Path`
        Stars of the reference (ECSV: ra, dec in deg, brightest first).
    absolute : `~pathlib.Path` or None
        The absolute catalogue, where the reference's frame is that of the catalogue.
    not_absolute : str
        Why it is not.
    """

    stars: Path
    absolute: Path | None = None
    not_absolute: str = ""

    def catalogue_for(self, method: Method) -> Path | None:
        """What a method aligns to; None if it may not be used."""
        return self.absolute if method.absolute else self.stars


def align_in_turn(
    exposures: Sequence[ExposureToAlign],
    onto: Onto,
    *,
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
    stage: str,
) -> list[AlignmentResult]:
    """Align exposures with the methods of ``alignment.align_with``, one after the other.

    Parameters
    ----------
    exposures : sequence of ExposureToAlign
        What to align.
    onto : Onto
        What they are brought onto.
    settings, workdir, scratch, stage
        See `hst_assets.astrometry.methods.registry.Method.align`.

    Returns
    -------
    list of AlignmentResult
        One an exposure, in order. Its `tries` are those of every method, each with its ``method``.
        It is a `failure` if no method passed and one of them could not answer.

    Raises
    ------
    BadConfiguration
        If a method is named that cannot run on this machine.
    """
    heard: dict[str, list[AlignmentResult]] = {exposure.rootname: [] for exposure in exposures}
    for method in methods_named(settings.alignment.align_with):
        due = [
            each for each in exposures if not any(r.status == "PASS" for r in heard[each.rootname])
        ]
        catalogue = onto.catalogue_for(method)
        if not due:
            break
        folder = scratch / method.name
        folder.mkdir()
        if catalogue is None:
            results = [_passed_over(exposure, method, onto, folder) for exposure in due]
        else:
            results = method.align(
                due, catalogue, settings=settings, workdir=workdir, scratch=folder, stage=stage
            )
        for exposure, result in zip(due, results, strict=True):
            heard[exposure.rootname].append(result)
    return [_chosen(heard[exposure.rootname]) for exposure in exposures]


def with_methods(settings: Settings, names: Sequence[str]) -> Settings:
    """The settings, but with these methods alone."""
    alignment = settings.alignment.model_copy(update={"align_with": tuple(names)})
    return settings.model_copy(update={"alignment": alignment})


def _passed_over(
    exposure: ExposureToAlign, method: Method, onto: Onto, folder: Path
) -> AlignmentResult:
    reason = f"not used: {onto.not_absolute}"
    return untouched(exposure, folder, status="FAIL", method=method.name, reason=reason)


def _chosen(results: Sequence[AlignmentResult]) -> AlignmentResult:
    """What the methods' results on one exposure, in the order they were tried, come to."""
    tries = tuple({"method": r.method, **each} for r in results for each in _tries_of(r))
    answered = [result for result in results if result.failure is None]
    passed = [result for result in answered if result.status == "PASS"]
    if passed:
        return replace(passed[0], tries=tries)
    failed = [result for result in results if result.failure is not None]
    if failed:
        return replace(failed[0], tries=tries)
    best = min(answered, key=_rank)
    if best.aligned or len(results) == 1:
        return replace(best, tries=tries)
    return replace(best, tries=tries, reason=_reasons(results))


def _tries_of(result: AlignmentResult) -> tuple[dict[str, object], ...]:
    """The tries of one method; a fault of the machine is one too."""
    if result.failure is None:
        return result.tries
    return ({"status": "FAIL", "reason": result.failure.what}, *result.tries)


def _rank(result: AlignmentResult) -> tuple[bool, bool, float]:
    """COMPROMISED before FAIL; then the smaller RMS, or for failures the greater contrast."""
    numbers = result.numbers
    if numbers is None:
        return not result.aligned, True, 0.0
    worth = max(numbers.rms_x, numbers.rms_y) if result.aligned else -numbers.contrast
    return not result.aligned, False, worth


def _reasons(results: Sequence[AlignmentResult]) -> str:
    return "; ".join(f"{result.method}: {result.reason}" for result in results)

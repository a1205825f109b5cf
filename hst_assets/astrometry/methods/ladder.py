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
    targets: Sequence[ExposureToAlign],
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
    targets : sequence of ExposureToAlign
        What to align.
    onto : Onto
        What they are brought onto.
    settings, workdir, scratch, stage
        See `hst_assets.astrometry.methods.registry.Align`.

    Returns
    -------
    list of AlignmentResult
        One a target, in order. Its `tries` are those of every method, each with its ``method``.
        It is a `failure` if no method passed and one of them could not answer.

    Raises
    ------
    BadConfiguration
        If a method is named that cannot run on this machine.
    """
    heard: dict[str, list[AlignmentResult]] = {target.rootname: [] for target in targets}
    for method in methods_named(settings.alignment.align_with):
        due = [t for t in targets if not any(o.status == "PASS" for o in heard[t.rootname])]
        catalogue = onto.catalogue_for(method)
        if not due:
            break
        folder = scratch / method.name
        folder.mkdir()
        if catalogue is None:
            outcomes = [_passed_over(target, method, onto, folder) for target in due]
        else:
            outcomes = method.load()(
                due, catalogue, settings=settings, workdir=workdir, scratch=folder, stage=stage
            )
        for target, outcome in zip(due, outcomes, strict=True):
            heard[target.rootname].append(outcome)
    return [_chosen(heard[target.rootname]) for target in targets]


def with_methods(settings: Settings, names: Sequence[str]) -> Settings:
    """The settings, but with these methods alone."""
    alignment = settings.alignment.model_copy(update={"align_with": tuple(names)})
    return settings.model_copy(update={"alignment": alignment})


def _passed_over(
    target: ExposureToAlign, method: Method, onto: Onto, folder: Path
) -> AlignmentResult:
    reason = f"not used: {onto.not_absolute}"
    return untouched(target, folder, status="FAIL", method=method.name, reason=reason)


def _chosen(outcomes: Sequence[AlignmentResult]) -> AlignmentResult:
    """What the methods' outcomes on one exposure, in the order they were tried, come to."""
    tries = tuple({"method": o.method, **each} for o in outcomes for each in _tries_of(o))
    answered = [outcome for outcome in outcomes if outcome.failure is None]
    passed = [outcome for outcome in answered if outcome.status == "PASS"]
    if passed:
        return replace(passed[0], tries=tries)
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    if failed:
        return replace(failed[0], tries=tries)
    best = min(answered, key=_rank)
    if best.aligned or len(outcomes) == 1:
        return replace(best, tries=tries)
    return replace(best, tries=tries, reason=_reasons(outcomes))


def _tries_of(outcome: AlignmentResult) -> tuple[dict[str, object], ...]:
    """The tries of one method; a fault of the machine is one too."""
    if outcome.failure is None:
        return outcome.tries
    return ({"status": "FAIL", "reason": outcome.failure.what}, *outcome.tries)


def _rank(outcome: AlignmentResult) -> tuple[bool, bool, float]:
    """COMPROMISED before FAIL; then the smaller RMS, or for failures the greater contrast."""
    numbers = outcome.numbers
    if numbers is None:
        return not outcome.aligned, True, 0.0
    worth = max(numbers.rms_x, numbers.rms_y) if outcome.aligned else -numbers.contrast
    return not outcome.aligned, False, worth


def _reasons(outcomes: Sequence[AlignmentResult]) -> str:
    return "; ".join(f"{outcome.method}: {outcome.reason}" for outcome in outcomes)

"""Exposures through a method's task, each in a child process of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign, untouched
from hst_assets.astrometry.gate import FitNumbers
from hst_assets.failures import HstAssetsError, UnusableInput
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["align_isolated"]

logger = logging.getLogger(__name__)


def align_isolated(
    task: str,
    method: str,
    targets: Sequence[ExposureToAlign],
    catalogue: Path,
    *,
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
    stage: str,
    arguments: Mapping[str, Any] | None = None,
    own_nursery: bool = False,
) -> list[AlignmentResult]:
    """Run a method's task on exposures, as many at a time as the machine allows.

    Parameters
    ----------
    task : str
        ``"package.module:function"``; it is called with raw, detector, rootname, catalogue,
        alignment and gate, and returns what `attempts.align_copy` does.
    method : str
        Name of the method, for the outcomes.
    targets, catalogue, settings, workdir, scratch, stage
        See `hst_assets.astrometry.methods.registry.Align`.
    arguments : mapping, optional
        What else the task is called with.
    own_nursery : bool
        See `hst_assets.isolation.run_many_isolated`.
    """
    calls = []
    for target in targets:
        folder = scratch / target.rootname
        folder.mkdir()
        each = {
            **(arguments or {}),
            "raw": str(target.raw),
            "detector": target.detector_key,
            "rootname": target.rootname,
            "catalogue": str(catalogue),
            "alignment": settings.alignment.as_recipe(),
            "gate": settings.gate.as_recipe(),
        }
        calls.append(Call(each, folder, workdir.log(stage, target.rootname)))
    answers = run_many_isolated(
        task,
        calls,
        timeout_s=settings.machine.tool_timeout_s,
        max_cores=settings.machine.max_cores,
        own_nursery=own_nursery,
    )
    return [
        _outcome(target, answer, method, scratch)
        for target, answer in zip(targets, answers, strict=True)
    ]


def _outcome(target: ExposureToAlign, answer: Any, method: str, scratch: Path) -> AlignmentResult:
    if isinstance(answer, HstAssetsError):
        logger.warning("%s was not aligned: %s", target.rootname, answer)
        outcome = untouched(target, scratch, status="FAIL", method=method, reason=answer.what)
        own_fault = isinstance(answer, UnusableInput) or not outcome.files
        return outcome if own_fault else replace(outcome, failure=answer)
    numbers, matches = answer["numbers"], answer["matches"]
    return AlignmentResult(
        files=tuple(Path(path) for path in answer["files"]),
        status=answer["status"],
        method=method,
        reason=answer["reason"],
        numbers=None if numbers is None else FitNumbers.from_json(numbers),
        tries=tuple(answer["tries"]),
        matches=None if matches is None else Path(matches),
        star_lists=tuple(Path(path) for path in answer["star_lists"]),
    )

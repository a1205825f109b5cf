"""Failed steps of runs, in the words of this project's failures rather than Dagster's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from hst_assets.orchestration.dagster_private import (
    DagsterAssetCheckFailedError,
    StepFailureData,
)

__all__ = ["failed_by_check", "kind_in", "reason_of", "said_by", "was_interrupted"]


def said_by(failure: StepFailureData | None) -> Mapping[str, Any]:
    """What `as_dagster_failure` wrote down of a failure; empty where another error was raised."""
    if failure is None or failure.user_failure_data is None:
        return {}
    return failure.user_failure_data.metadata


def kind_in(metadata: Mapping[str, Any]) -> str:
    """The class of the failure that metadata name; empty if they name none."""
    return str(metadata["kind"].value) if "kind" in metadata else ""


def failed_by_check(failure: StepFailureData) -> bool:
    """Whether a step failed because a blocking check did."""
    error = failure.error
    return error is not None and error.cls_name == DagsterAssetCheckFailedError.__name__


def was_interrupted(event: dg.DagsterEvent) -> bool:
    """Whether a step failed because the user interrupted it."""
    if not event.is_step_failure:
        return False
    error = event.step_failure_data.error
    while error is not None:
        if error.cls_name in {dg.DagsterExecutionInterruptedError.__name__, "KeyboardInterrupt"}:
            return True
        error = error.cause
    return False


def reason_of(failure: StepFailureData) -> str:
    """Why a step failed, on one line."""
    if failure.user_failure_data and failure.user_failure_data.description:
        return " ".join(failure.user_failure_data.description.split())
    if failure.error is None:
        return "failed"
    if failed_by_check(failure):
        return "made, but a blocking check failed (see the note)"
    is_wrapped = failure.error.cls_name == dg.DagsterExecutionStepExecutionError.__name__
    error = failure.error.cause if is_wrapped else None
    return " ".join((error or failure.error).message.split())

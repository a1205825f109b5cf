"""Which executor runs the steps of a run.

The tools run in child processes of their own whatever is chosen here, so the in-process executor
is the default: it saves the start of a process a step. The multiprocess one forks its steps from
a server that has loaded the definitions once (a spawned step costs three times as much).
"""

from __future__ import annotations

import os

import dagster as dg

from hst_assets.failures import BadConfiguration

__all__ = ["EXECUTOR_VARIABLE", "executor_from_environment"]

EXECUTOR_VARIABLE = "HST_ASSETS_EXECUTOR"
MAX_STEPS_VARIABLE = "HST_ASSETS_MAX_STEPS"
PRELOADED_MODULES = ["hst_assets.definitions", "astropy.io.fits", "astropy.table", "astropy.wcs"]


def executor_from_environment() -> dg.ExecutorDefinition:
    """The executor that ``HST_ASSETS_EXECUTOR`` names: ``in_process`` or ``multiprocess``.

    Raises
    ------
    BadConfiguration
        If it names another.
    """
    name = os.environ.get(EXECUTOR_VARIABLE) or "in_process"
    if name == "in_process":
        return dg.in_process_executor
    if name == "multiprocess":
        return dg.multiprocess_executor.configured(
            {
                "max_concurrent": int(os.environ.get(MAX_STEPS_VARIABLE) or 2),
                "start_method": {"forkserver": {"preload_modules": PRELOADED_MODULES}},
            }
        )
    if name == "celery":
        raise BadConfiguration(
            "Celery executes runs, not steps: the Dagster instance selects it, not an executor",
            where=EXECUTOR_VARIABLE,
            next_step="Leave it unset; pip install 'hst_assets[celery]', then write the instance's "
            "dagster.yaml with 'hst-assets home --celery'",
        )
    raise BadConfiguration(
        f"no executor {name!r}",
        where=EXECUTOR_VARIABLE,
        next_step="Use 'in_process' or 'multiprocess'",
    )

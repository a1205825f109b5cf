"""Which Dagster instance the commands use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hst_assets.failures import BadConfiguration

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["dagster_home", "opened_instance"]

_VARIABLE = "DAGSTER_HOME"
#: The ready-made configuration of the checkout: telemetry off, runs limited.
_CONFIGURATION = Path(__file__).parents[2] / "data" / "deployment" / "dagster.yaml"


def dagster_home() -> Path:
    """``$DAGSTER_HOME``; where unset, data/deployment of the checkout, which is ready to use.

    Raises
    ------
    BadConfiguration
        If it is unset and this is not a checkout, or the folder does not exist.
    """
    value = os.environ.get(_VARIABLE)
    home = Path(value) if value else _CONFIGURATION.parent
    if not home.is_dir():
        raise BadConfiguration(
            "no such folder",
            where=f"{_VARIABLE}={home}",
            next_step=f"Set {_VARIABLE} to a folder for Dagster's own records",
        )
    return home.absolute()


def _configured(home: Path) -> Path:
    """`home` with a dagster.yaml: without one Dagster would report usage to its makers."""
    configuration = home / _CONFIGURATION.name
    if not configuration.exists() and _CONFIGURATION.is_file():
        configuration.write_bytes(_CONFIGURATION.read_bytes())
    return home


@contextmanager
def opened_instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance, for the time of a command."""
    home = _configured(dagster_home())
    os.environ[_VARIABLE] = str(home)
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        yield instance

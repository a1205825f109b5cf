"""Exposures that the user adds to the reference image (``drizzle.add``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.table import QTable

from hst_assets.astrometry.reference.choice import ReferenceChoice
from hst_assets.failures import BadConfiguration
from hst_assets.settings import DrizzleSettings
from hst_assets.workdir import WorkDir

__all__ = ["added_exposures", "without_added"]


def without_added(table: QTable, choices: DrizzleSettings) -> QTable:
    """The exposures that the reference is chosen among: those of ``drizzle.add`` only add to it."""
    roots = np.char.lower(np.asarray(table["rootname"], dtype=str))
    return table[~np.isin(roots, [name.lower() for name in choices.add])]


def added_exposures(
    table: QTable, choice: ReferenceChoice, choices: DrizzleSettings, workdir: WorkDir
) -> Mapping[str, tuple[str, float]]:
    """The exposures of ``drizzle.add``, as `ReferenceChoice` has its own.

    Parameters
    ----------
    table : QTable
        The target's exposure table.
    choice : ReferenceChoice
        What they are added to.
    choices : DrizzleSettings
        Has their rootnames.
    workdir : WorkDir
        Has the files.

    Returns
    -------
    dict
        ``{file: (rootname, exptime_s)}``, in the order of the settings. Exposures that the
        selection refused may be added.

    Raises
    ------
    BadConfiguration
        If one is not there, or of another detector or filter.
    """
    rows = {str(row["rootname"]).lower(): row for row in table}
    added = {}
    for name in choices.add:
        row = rows.get(name.lower())
        if row is None or not (workdir.raw / str(row["file"])).is_file():
            raise _refused(name, f"it is not an exposure of {workdir.target} in raw/", "Ingest it")
        _must_match(name, row, choice)
        added[str(row["file"])] = (str(row["rootname"]), float(row["exptime"].to_value("s")))
    return added


def _must_match(name: str, row: Any, choice: ReferenceChoice) -> None:
    for what, own, wanted in (
        ("detector", str(row["detector_key"]), choice.detector_key),
        ("filter", str(row["filter"]), choice.filter),
    ):
        if own != wanted:
            raise _refused(
                name,
                f"its {what} is {own}, that of the reference {wanted}",
                "Set reference.filter or reference.instrument, or take it out",
            )


def _refused(name: str, why: str, next_step: str) -> BadConfiguration:
    return BadConfiguration(
        f"{name} cannot be added to the reference: {why}", where="drizzle.add", next_step=next_step
    )

"""Human decisions on exposures: ``overrides.ecsv``, which wins over the machine.

::

    # %ECSV 1.0
    # ---
    # datatype:
    # - {name: rootname, datatype: string}
    # - {name: use, datatype: bool}
    # - {name: reason, datatype: string}
    rootname use reason
    idsj02axq False "satellite trail over the target"

The machine reads it and never writes it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from hst_assets.exposures.raw import exposure_key
from hst_assets.failures import BadConfiguration
from hst_assets.identifiers import visit_of_rootname

__all__ = ["Override", "overrides_of_visit", "read_overrides", "refuse_unknown"]

_COLUMNS = ("rootname", "use", "reason")
_WORDS = {"true": True, "yes": True, "false": False, "no": False}
_EXAMPLE = (
    "It is an ECSV table with columns rootname (string), use (bool) and reason (string); "
    "see the documentation of overrides"
)


@dataclass(frozen=True)
class Override:
    """One human decision."""

    rootname: str
    use: bool
    reason: str

    @property
    def visit(self) -> str:
        """The visit of its exposure."""
        return visit_of_rootname(self.rootname)

    def as_json(self) -> list[Any]:
        """For a recipe."""
        return [self.rootname, self.use, self.reason]


def read_overrides(path: Path) -> dict[str, Override]:
    """The decisions in a file, by exposure (see `hst_assets.exposures.raw.exposure_key`).

    Returns
    -------
    dict
        Empty if there is no such file.

    Raises
    ------
    BadConfiguration
        If the file is not an ECSV table of the documented columns, a row is incomplete, or an
        exposure is named twice; the message tells the row.
    """
    if not path.exists():
        return {}
    table = _read(path)
    missing = [name for name in _COLUMNS if name not in table.colnames]
    if missing:
        raise BadConfiguration(f"no column {', '.join(missing)}", where=path, next_step=_EXAMPLE)
    found: dict[str, Override] = {}
    for number, row in enumerate(table, start=1):
        override = _override(row, number, path)
        key = exposure_key(override.rootname)
        if key in found:
            raise BadConfiguration(
                f"row {number}: {override.rootname} has a row already", where=path
            )
        found[key] = override
    return found


def _read(path: Path) -> Table:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table: Table = Table.read(path, format="ascii.ecsv")
    except Exception as error:
        raise BadConfiguration(
            f"cannot be read as ECSV: {' '.join(str(error).split())[:200]}",
            where=path,
            next_step=_EXAMPLE,
        ) from error
    return table


def _override(row: Any, number: int, path: Path) -> Override:
    rootname, use, reason = (_value(row, name, number, path) for name in _COLUMNS)
    try:
        visit_of_rootname(str(rootname))
    except BadConfiguration as error:
        raise BadConfiguration(f"row {number}: {error}", where=path) from error
    if not str(reason).strip():
        raise BadConfiguration(f"row {number}: a decision needs a reason", where=path)
    return Override(
        rootname=str(rootname).strip().lower(),
        use=_yes_or_no(use, number, path),
        reason=" ".join(str(reason).split()),
    )


def _value(row: Any, name: str, number: int, path: Path) -> Any:
    value = row[name]
    if value is np.ma.masked:
        raise BadConfiguration(f"row {number}: no {name}", where=path)
    return value


def _yes_or_no(value: Any, number: int, path: Path) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    try:
        return _WORDS[str(value).strip().lower()]
    except KeyError:
        raise BadConfiguration(
            f"row {number}: use is {str(value)!r}, not true or false", where=path
        ) from None


def overrides_of_visit(overrides: Mapping[str, Override], visit: str) -> dict[str, Override]:
    """Those decisions that concern one visit."""
    return {key: override for key, override in overrides.items() if override.visit == visit}


def refuse_unknown(
    overrides: Mapping[str, Override], rootnames: Iterable[str], where: Path
) -> None:
    """Refuse decisions on exposures that are not there.

    Raises
    ------
    BadConfiguration
        Naming them.
    """
    known = {exposure_key(rootname) for rootname in rootnames}
    unknown = sorted(override.rootname for key, override in overrides.items() if key not in known)
    if unknown:
        raise BadConfiguration(
            f"it names exposures that are not in raw/: {', '.join(unknown)}",
            where=where,
            next_step="Correct the rootname, or ingest the exposure first",
        )

"""Which code launched a run, and whether a worker's is older.

During an upgrade machines have old and new code side by side. The worker's code makes the products
of a run, and its stage versions decide whether a product is up to date: a worker with older stages
would remake what newer workers have made, and these would remake it again. So the launcher sends
its versions with each run, and writes them to the instance for workers that start. A worker with
older code leaves the runs to the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import dagster as dg

from hst_assets.stages import STAGES

__all__ = [
    "CODE_HEADER",
    "code_here",
    "code_of_launcher",
    "difference",
    "note_code",
    "older_stages",
]

#: Of the message by which a run comes to its worker.
CODE_HEADER = "hst_assets_code"
_KEY = "hst_assets/code_of_launcher"


def code_here() -> dict[str, Any]:
    """The package's version, and those of its stages."""
    return {
        "version": version("hst_assets"),
        "stages": {name: stage.version for name, stage in STAGES.items()},
    }


def note_code(instance: dg.DagsterInstance) -> None:
    """Leave word in the instance of the code that launches its runs."""
    instance.daemon_cursor_storage.set_cursor_values({_KEY: json.dumps(code_here())})


def code_of_launcher(instance: dg.DagsterInstance) -> dict[str, Any] | None:
    """The code that launched runs last; None where none was launched yet."""
    text = instance.daemon_cursor_storage.get_cursor_values({_KEY}).get(_KEY)
    return json.loads(text) if text else None


def older_stages(launcher: Mapping[str, Any] | None) -> list[str]:
    """The stages of which this code has a version before that of the code that launches runs.

    Parameters
    ----------
    launcher : mapping or None
        As `code_here` tells it there; of versions that told nothing, None.

    Returns
    -------
    list of str
        Such as ``drizzled_image 4 (launched by 5)``; also a stage that this code does not know.
    """
    theirs: Mapping[str, str] = (launcher or {}).get("stages", {})
    found = []
    for name, wanted in sorted(theirs.items()):
        own = STAGES[name].version if name in STAGES else "none"
        if own == "none" or int(own) < int(wanted):
            found.append(f"{name} {own} (launched by {wanted})")
    return found


def difference(launcher: Mapping[str, Any] | None) -> str:
    """How the package's version differs from the launcher's, in words; empty if it does not."""
    here, there = version("hst_assets"), (launcher or {}).get("version", "")
    return (
        f"hst_assets {here} here, {there} where runs are launched"
        if there not in ("", here)
        else ""
    )

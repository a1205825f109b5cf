"""Hubble imaging as software-defined assets: from raw exposures to aligned, drizzled epochs.

The names below are what a notebook needs; each is loaded when it is first used.

Examples
--------
>>> from pathlib import Path
>>> import hst_assets
>>> workdir = hst_assets.WorkDir(Path("data"), "ngc104")
>>> workdir.target_exposures.name
'exposures.ecsv'
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "WorkDir",
    "align_visit",
    "drizzle_stacks",
    "drizzle_visit",
    "ingest",
    "load_settings",
    "make_reference",
    "open_target",
    "read_table",
    "tabulate_target",
    "tabulate_visit",
    "write_settings",
]

_HOMES = {
    "WorkDir": "hst_assets.workdir:WorkDir",
    "align_visit": "hst_assets.astrometry.alignment:make_aligned_visit",
    "drizzle_stacks": "hst_assets.imaging.drizzling:make_stacks",
    "drizzle_visit": "hst_assets.imaging.drizzling:make_visit_drizzles",
    "ingest": "hst_assets.exposures.ingest:ingest",
    "load_settings": "hst_assets.settings:load_settings",
    "make_reference": "hst_assets.astrometry.reference.image:make_reference",
    "open_target": "hst_assets.target_view:open_target",
    "read_table": "hst_assets.products.columns:read_table",
    "tabulate_target": "hst_assets.exposures.table:make_target_table",
    "tabulate_visit": "hst_assets.exposures.table:make_visit_table",
    "write_settings": "hst_assets.settings:write_settings",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    try:
        module, _, attribute = _HOMES[name].partition(":")
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted(__all__)

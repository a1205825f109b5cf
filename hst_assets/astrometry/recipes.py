"""What decides an alignment or a reference, as the recipes of both name it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hst_assets.astrometry.methods.registry import METHODS
from hst_assets.astrometry.working_copy import WorkingCopy
from hst_assets.exposures.raw import raw_ledger
from hst_assets.failures import MissingProduct
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = [
    "TOOLS",
    "alignment_tools",
    "decisive_alignment",
    "default_alignment",
    "ledger_digests",
    "raw_inputs",
    "uses_absolute_catalog",
]

#: Distributions whose version decides an alignment, whatever the method.
TOOLS = ("astropy", "astroscrappy", "drizzlepac", "photutils", "stwcs")


def uses_absolute_catalog(settings: Settings) -> bool:
    """Whether a method in use aligns to the absolute catalogue."""
    used = any(METHODS[name].absolute for name in settings.alignment.align_with)
    return used and not settings.alignment.skip_tweakreg


def alignment_tools(settings: Settings) -> tuple[str, ...]:
    """Distributions whose version decides an alignment by the methods in use."""
    methods = (METHODS[name] for name in settings.alignment.align_with)
    return TOOLS + tuple(sorted({tool for method in methods for tool in method.tools}))


def decisive_alignment(settings: Settings, detector_key: str) -> dict[str, Any]:
    """The settings that decide how exposures of one detector are aligned, as JSON by section.

    Figures by detector are this detector's; what only methods not in use look at is left out.
    The absolute catalogue itself is an input, not a setting, and so are the reference files that
    `update_wcs` brings in.
    """
    how = settings.alignment.as_recipe()
    del how["update_wcs"]  # the reference files of exposures that are updated are inputs
    for figure in ("conv_width_pix", "tolerance_pix"):
        how[figure] = how[figure].get(detector_key)
    sections = {"alignment": how, "gate": settings.gate.as_recipe()}
    if uses_absolute_catalog(settings):
        sections["catalog"] = {
            "max_position_error_mas": settings.catalog.max_position_error_mas,
        }
    return sections


def default_alignment() -> dict[str, Any]:
    """The defaults of what `decisive_alignment` gives, for a recipe."""
    defaults = Settings()
    return {
        "alignment": {
            **defaults.alignment.as_recipe(),
            "conv_width_pix": None,
            "tolerance_pix": None,
        },
        "gate": defaults.gate.as_recipe(),
        "catalog": {"max_position_error_mas": defaults.catalog.max_position_error_mas},
    }


def ledger_digests(workdir: WorkDir) -> dict[str, str]:
    """SHA-256 of each file in raw/ by name."""
    return {file.name: file.sha256 for file in raw_ledger(workdir)}


def raw_inputs(
    workdir: WorkDir, names: Iterable[str], digests: Mapping[str, str]
) -> dict[str, str]:
    """A recipe's inputs: exposure files of raw/ and their companions.

    Raises
    ------
    MissingProduct
        If one is not in the ledger.
    """
    inputs = {}
    for name in names:
        for path in WorkingCopy.at(workdir.raw / name).files:
            if path.name not in digests:
                raise MissingProduct(
                    "the exposure is not in the ledger of raw/",
                    where=path,
                    next_step="Ingest it again",
                )
            inputs[f"raw:{path.name}"] = digests[path.name]
    return inputs

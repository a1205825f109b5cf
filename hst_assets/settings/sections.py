"""All sections of the settings together.

The section `MachineSettings` is about the computer, not the sky: it never enters a recipe's
digest.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hst_assets.settings.alignment import (
    AlignmentSettings,
    CatalogSettings,
    GateSettings,
    ReferenceFileSettings,
    ReferenceSettings,
)
from hst_assets.settings.archive import ArchiveSettings
from hst_assets.settings.fields import Positive, Section
from hst_assets.settings.imaging import DifferenceSettings, DrizzleSettings
from hst_assets.settings.target import EpochSettings, SelectionSettings, TargetSettings

__all__ = ["MachineSettings", "Settings"]


class MachineSettings(Section):
    """The computer's limits; they never change a product."""

    max_cores: Annotated[int, Field(ge=1)] = 2
    """Maximum number of parallel tool processes."""
    tool_timeout_s: Positive = 3600.0
    """Time limit of one tool call, seconds."""


class Settings(Section):
    """Everything that may be set for one target."""

    target: TargetSettings = TargetSettings()
    archive: ArchiveSettings = ArchiveSettings()
    selection: SelectionSettings = SelectionSettings()
    epochs: EpochSettings = EpochSettings()
    reference: ReferenceSettings = ReferenceSettings()
    alignment: AlignmentSettings = AlignmentSettings()
    gate: GateSettings = GateSettings()
    catalog: CatalogSettings = CatalogSettings()
    reference_files: ReferenceFileSettings = ReferenceFileSettings()
    drizzle: DrizzleSettings = DrizzleSettings()
    difference: DifferenceSettings = DifferenceSettings()
    machine: MachineSettings = MachineSettings()

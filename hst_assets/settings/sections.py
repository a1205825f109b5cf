"""All sections of the settings together.

The section `MachineSettings` is about the computer, not the sky: it never enters a recipe's
digest.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast, get_args

from pydantic import Field

from hst_assets.machine.limits import usable_cores
from hst_assets.settings.alignment import (
    AlignmentSettings,
    CatalogSettings,
    GateSettings,
    ReferenceFileSettings,
    ReferenceSettings,
)
from hst_assets.settings.archive import ArchiveSettings
from hst_assets.settings.artificial_stars import ArtificialStarSettings
from hst_assets.settings.counterpart import CounterpartSettings
from hst_assets.settings.dolphot import DolphotSettings, PhotometrySettings
from hst_assets.settings.dolphot_inputs import DolphotInputsSettings
from hst_assets.settings.embedded import EmbeddedSettings
from hst_assets.settings.fields import Positive, Section
from hst_assets.settings.hap import HapSettings
from hst_assets.settings.imaging import DifferenceSettings, DrizzleSettings
from hst_assets.settings.light_curve import LightCurveSettings
from hst_assets.settings.publish import PublishSettings
from hst_assets.settings.quality_cuts import QualityCutSettings
from hst_assets.settings.target import EpochSettings, SelectionSettings, TargetSettings

__all__ = ["TOOLS", "MachineSettings", "Settings", "ToolName"]

#: What runs in child processes: the tools of the alignment methods, and the steps around them.
ToolName = Literal[
    "catalog",
    "distortion",
    "dolphot_inputs",
    "drizzle",
    "embedded",
    "epochs",
    "hap",
    "jhat",
    "stars",
    "tweakreg",
]
TOOLS: tuple[str, ...] = get_args(ToolName)


class MachineSettings(Section):
    """The computer's limits; they never change a product."""

    max_cores: Annotated[int, Field(ge=1)] = 2
    """Maximum number of parallel tool processes; ``$HST_ASSETS_MAX_CORES`` wins.

    Where a process may use fewer cores (a container, a batch job, ``taskset``), fewer.
    """
    tool_timeout_s: Positive = 3600.0
    """Time limit of one tool call, seconds; ``$HST_ASSETS_TOOL_TIMEOUT_S`` wins."""
    tool_timeouts_s: dict[ToolName, Positive] = {}  # noqa: RUF012 - pydantic copies it
    """The same by tool, such as ``{drizzle = 7200}``; others have ``tool_timeout_s``."""
    dolphot_threads: Annotated[int, Field(ge=1)] | None = None
    """Number of threads of DOLPHOT 3; unset: as many as tool processes. DOLPHOT 2 has one."""
    dolphot_timeout_s: Positive = 7 * 86400.0
    """Time limit of one run of DOLPHOT, seconds."""
    dolphot_silence_s: Positive = 12 * 3600.0
    """Time without a word from DOLPHOT after which its run is stopped, seconds.

    It is silent in each of its searches for stars, which take most of its time.
    """
    lock_wait_s: Positive = 7200.0
    """Seconds that a step waits for another run of the same asset and partition."""

    @property
    def cores(self) -> int:
        """Number of processes at a time: `max_cores`, or fewer if there are fewer cores."""
        return min(self.max_cores, usable_cores())

    def timeout_s(self, tool: str) -> float:
        """Seconds after which one call of a tool of `TOOLS` is stopped."""
        return self.tool_timeouts_s.get(cast("ToolName", tool), self.tool_timeout_s)


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
    quality_cuts: QualityCutSettings = QualityCutSettings()
    photometry: PhotometrySettings = PhotometrySettings()
    dolphot: DolphotSettings = DolphotSettings()
    dolphot_inputs: DolphotInputsSettings = DolphotInputsSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    artificial_stars: ArtificialStarSettings = ArtificialStarSettings()
    light_curve: LightCurveSettings = LightCurveSettings()
    counterpart: CounterpartSettings = CounterpartSettings()
    hap: HapSettings = HapSettings()
    publish: PublishSettings = PublishSettings()
    machine: MachineSettings = MachineSettings()

    def wants(self, wish: str) -> bool:
        """Whether a wish (``section.key``) is on: true, or a value that is set and not empty.

        ``light_curve.make`` that is unset goes along with the measurement of stars, where there is
        a place to look at.
        """
        section, _, key = wish.partition(".")
        told = getattr(getattr(self, section), key)
        if wish == "light_curve.make" and told is None:
            return self.photometry.make and self.place is not None
        # Not by truth: a coordinate of 0 is one.
        return told is not None and told is not False and told != ""

    @property
    def place(self) -> tuple[float, float] | None:
        """Right ascension and declination of the light curve's place, degrees; None without one."""
        for section in (self.light_curve, self.target):
            if section.ra_deg is not None and section.dec_deg is not None:
                return section.ra_deg, section.dec_deg
        return None

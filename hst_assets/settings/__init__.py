"""Science settings, one model a stage; where they are read from and how they are merged.

The models' defaults hold for everyone; ``<root>/settings.toml`` changes them for every target of
a root; ``<target>/target.toml`` for one target. Unknown keys are errors. Units are in the names
or in the types.
"""

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
from hst_assets.settings.dolphot import (
    DolphotParameters,
    DolphotSettings,
    ImageParameters,
    PhotometrySettings,
)
from hst_assets.settings.dolphot_inputs import DolphotInputsSettings
from hst_assets.settings.embedded import EmbeddedSettings
from hst_assets.settings.files import load_settings, settings_after, write_settings
from hst_assets.settings.hap import HapSettings
from hst_assets.settings.imaging import DifferenceSettings, DrizzleSettings
from hst_assets.settings.light_curve import LightCurveSettings
from hst_assets.settings.publish import PublishSettings
from hst_assets.settings.quality_cuts import QualityCutSettings
from hst_assets.settings.sections import MachineSettings, Settings
from hst_assets.settings.target import EpochSettings, SelectionSettings, TargetSettings

__all__ = [
    "AlignmentSettings",
    "ArchiveSettings",
    "ArtificialStarSettings",
    "CatalogSettings",
    "CounterpartSettings",
    "DifferenceSettings",
    "DolphotInputsSettings",
    "DolphotParameters",
    "DolphotSettings",
    "DrizzleSettings",
    "EmbeddedSettings",
    "EpochSettings",
    "GateSettings",
    "HapSettings",
    "ImageParameters",
    "LightCurveSettings",
    "MachineSettings",
    "PhotometrySettings",
    "PublishSettings",
    "QualityCutSettings",
    "ReferenceFileSettings",
    "ReferenceSettings",
    "SelectionSettings",
    "Settings",
    "TargetSettings",
    "load_settings",
    "settings_after",
    "write_settings",
]

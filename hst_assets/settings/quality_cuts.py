"""Settings of the cuts that tell stars from what is none in a catalogue."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hst_assets.settings.fields import NotNegative, PerDetector, Section

__all__ = ["CutPreset", "QualityCutSettings"]

CutPreset = Literal["none", "stars", "st", "gst"]
ObjectType = Annotated[int, Field(ge=1, le=5)]


class QualityCutSettings(Section):
    """Which objects of a catalogue count as stars; artificial stars are cut in the same way."""

    preset: CutPreset = "stars"
    """Limits to start from: none, stars (object type 1), st (S/N and sharpness) or gst (crowding
    as well).

    `st` and `gst` are the limits of the PHAT survey. The other settings of this section replace
    those of the preset, one by one.
    """
    object_types: Annotated[tuple[ObjectType, ...], Field(min_length=1)] | None = None
    """Object types that are kept: 1 bright star, 2 faint star, 3 elongated, 4 hot pixel,
    5 extended."""
    min_snr: NotNegative | None = None
    """Lowest signal-to-noise ratio in a filter."""
    max_sharpness_squared: PerDetector = Field(default={})
    """Largest square of the sharpness in a filter, by detector."""
    max_crowding_mag: PerDetector = Field(default={})
    """Largest crowding in a filter, mag, by detector."""
    allowed_flags: Annotated[int, Field(ge=0, le=7)] | None = None
    """Sum of the quality flags that a measurement may carry: 1 the aperture leaves the chip, 2 many
    bad pixels, 4 a saturated core."""
    filters: Literal["any", "all"] | None = None
    """Whether a star must be good in any filter or in all of them."""

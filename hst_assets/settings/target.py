"""Settings of the target, of the exposures that are used, and of their epochs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from hst_assets.settings.fields import Names, NotNegative, Positive, Section

__all__ = ["EpochSettings", "SelectionSettings", "TargetSettings"]


def _as_moment(value: Any) -> Any:
    """TOML has dates of its own; here a moment is ISO 8601 text in UTC."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return value.isoformat() if isinstance(value, date) else value


Moment = Annotated[str, BeforeValidator(_as_moment)]


class TargetSettings(Section):
    """Where the target is (ICRS)."""

    #: Right ascension, degrees.
    ra_deg: Annotated[float, Field(ge=0, lt=360)] | None = None
    #: Declination, degrees.
    dec_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    #: Sensors and schedules pass this target over (``hst-assets target retire``).
    retired: bool = False

    def as_recipe(self) -> dict[str, Any]:
        """The position, as JSON; retirement changes no product."""
        return self.position()

    def position(self) -> dict[str, Any]:
        """Right ascension and declination alone."""
        return self.model_dump(mode="json", include={"ra_deg", "dec_deg"})

    @model_validator(mode="after")
    def _both_or_none(self) -> TargetSettings:
        if (self.ra_deg is None) != (self.dec_deg is None):
            raise ValueError("ra_deg and dec_deg belong together")
        return self


class SelectionSettings(Section):
    """Which exposures are used."""

    #: Exposures that start at or after this moment (ISO 8601, UTC) are refused.
    before: Moment | None = None
    #: Exposures that start before this moment (ISO 8601, UTC) are refused.
    after: Moment | None = None
    #: If not empty, only these filters (case does not matter).
    only_filter: Names = ()
    #: Only wide filters: names ending in X, W or LP.
    only_wide: bool = False
    #: Exposures shorter than this are refused unless `keep_short`.
    min_exptime_s: NotNegative = 15.0
    #: Keep exposures however short they are.
    keep_short: bool = False
    #: Keep exposures whose EXPFLAG is INDETERMINATE.
    keep_indt: bool = False
    #: Keep exposures whose EXPFLAG contains TDF-DOWN.
    keep_tdf_down: bool = False
    #: The target may lie this far outside the footprint; negative: it must lie that far inside.
    footprint_margin_arcsec: float = 0.0

    @field_validator("before", "after")
    @classmethod
    def _a_date(cls, value: str | None) -> str | None:
        if value is not None:
            from astropy.time import Time

            try:
                Time(value)
            except ValueError:
                raise ValueError(f"not a moment in ISO 8601, such as 2013-06-01: {value}") from None
        return value

    @model_validator(mode="after")
    def _in_order(self) -> SelectionSettings:
        if self.before and self.after:
            from astropy.time import Time

            if Time(self.before) <= Time(self.after):
                raise ValueError("before must be later than after")
        return self

    @field_validator("only_filter")
    @classmethod
    def _upper_case(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({name.strip().upper() for name in value}))


class EpochSettings(Section):
    """How exposures are grouped in time."""

    #: Exposures of one detector and filter closer than this belong to one epoch (chained).
    max_gap_days: Positive = 1.0

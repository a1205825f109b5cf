"""Settings of the target, of the exposures that are used, and of their epochs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from hst_assets.settings.fields import Names, NotNegative, Positive, Section

__all__ = ["EpochSettings", "Moment", "SelectionSettings", "TargetSettings"]


def _as_moment(value: Any) -> Any:
    """TOML has dates of its own; here a moment is ISO 8601 text in UTC."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return value.isoformat() if isinstance(value, date) else value


def _a_date(value: str) -> str:
    from astropy.time import Time

    try:
        Time(value)
    except ValueError:
        raise ValueError(f"not a date in ISO 8601, such as 2013-06-01: {value}") from None
    return value


#: A moment in time: ISO 8601, UTC.
Moment = Annotated[str, BeforeValidator(_as_moment), AfterValidator(_a_date)]


class TargetSettings(Section):
    """Where the target is (ICRS)."""

    ra_deg: Annotated[float, Field(ge=0, lt=360)] | None = None
    """Right ascension of the target, degrees (ICRS)."""
    dec_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    """Declination of the target, degrees (ICRS)."""
    retired: bool = False
    """Leave this target out of sensors and schedules (``hst-assets target retire``)."""

    def as_recipe(self) -> dict[str, Any]:
        """The position, as JSON; retirement changes no product."""
        return self.position()

    def position(self) -> dict[str, Any]:
        """Right ascension and declination alone."""
        return self.model_dump(mode="json", include={"ra_deg", "dec_deg"})

    @model_validator(mode="after")
    def _both_or_none(self) -> TargetSettings:
        if (self.ra_deg is None) != (self.dec_deg is None):
            raise ValueError("ra_deg and dec_deg must be set together")
        return self


class SelectionSettings(Section):
    """Which exposures are used."""

    before: Moment | None = None
    """Use only exposures that start before this date (ISO 8601, UTC)."""
    after: Moment | None = None
    """Use only exposures that start at or after this date (ISO 8601, UTC)."""
    only_filter: Names = ()
    """Use only these filters (case does not matter); empty: all.

    A ramp is named with its wavelength in Angstrom (FR656N-6710), or without for all of them.
    """
    only_wide: bool = False
    """Use only wide filters: names that end in X, W or LP."""
    min_exptime_s: NotNegative = 15.0
    """Shortest exposure time, seconds; shorter exposures are rejected unless `keep_short`."""
    keep_short: bool = False
    """Keep exposures shorter than `min_exptime_s`."""
    keep_indt: bool = False
    """Keep exposures whose EXPFLAG is INDETERMINATE."""
    keep_tdf_down: bool = False
    """Keep exposures whose EXPFLAG or QUALITY contains TDF-DOWN."""
    keep_gsfail: bool = False
    """Keep exposures whose QUALITY contains GSFAIL: the guide stars were not acquired."""
    keep_charge_injection: bool = False
    """Keep exposures of WFC3/UVIS with injected charge (CHINJECT is not NONE)."""
    footprint_margin_arcsec: float = 0.0
    """Largest distance of the target outside an exposure's footprint, arcsec.

    Negative: the target must lie at least this far inside.
    """

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

    max_gap_days: Positive = 1.0
    """Largest gap between exposures of one epoch, days.

    Exposures of one detector and filter are chained: each belongs to the epoch of the one before it
    if it starts within this gap.
    """

"""Settings of the search for the counterpart of a transient in earlier images."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from hst_assets.detectors import DETECTORS
from hst_assets.settings.fields import NotNegative, Positive, Section
from hst_assets.settings.target import Moment

__all__ = ["CounterpartSettings"]

_BAND = re.compile(r"([a-z0-9]+_[a-z]+|wfpc2)\.([a-z0-9-]+)")
Probability = Annotated[float, Field(gt=0, lt=1)]


class CounterpartSettings(Section):
    """Where the object was seen, and what of the earlier images is looked at."""

    ra_deg: Annotated[float, Field(ge=0, lt=360)] | None = None
    """Right ascension of the object whose counterpart is looked for, degrees (ICRS)."""
    dec_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    """Declination of the object whose counterpart is looked for, degrees (ICRS)."""
    error_mas: Positive | None = None
    """Error of the given position on each axis (1 sigma), milliarcseconds; not needed where it is
    measured on an epoch."""
    frame_error_mas: NotNegative | None = None
    """Error of the frame of the given position against that of the target on each axis (1 sigma),
    milliarcseconds; unset: not known, and said so.

    It does not apply to a position that is measured on an epoch of the target itself.
    """
    measured_on: Annotated[int, Field(ge=1)] | None = None
    """Number of the epoch on whose image the position is measured, near the given one; unset: the
    given position counts."""
    on_difference: bool = True
    """Measure the position on the difference of that epoch and its template; false: on its
    stack."""
    appeared: Moment | None = None
    """Date at which the object appeared (ISO 8601, UTC): exposures that start before it are the
    earlier images.

    Unset: the exposures before the epoch of `measured_on`, or all of them.
    """
    faded: Moment | None = None
    """Date by which the object had faded (ISO 8601, UTC): exposures that start at or after it tell
    whether a candidate is gone."""
    search_sigma: Annotated[float, Field(ge=1, le=20)] = 5.0
    """Sources within so many total errors (on an axis) are candidates."""
    detection_snr: Positive = 3.0
    """Signal-to-noise from which a source counts as seen in the earlier images of a band, and as
    still seen in the late ones."""
    density_radius_arcsec: Positive = 10.0
    """Radius about the position within which the density of unrelated sources is measured,
    arcseconds."""
    max_chance_probability: Probability = 0.05
    """Probability of an unrelated source above which a single candidate is not called the
    counterpart."""
    gone_sigma: Annotated[float, Field(ge=2, le=20)] = 3.0
    """Significance of the decline from which a candidate is called gone or fainter."""
    gone_share: Probability = 0.5
    """Share of its early flux of which less must be left, by the upper limit at 3 sigma, of a
    candidate that is called gone."""
    ebv_mag: NotNegative = 0.0
    """Colour excess E(B-V), magnitudes; extinction follows the law of Cardelli et al. (1989) at the
    pivot wavelength of each band."""
    ebv_error_mag: NotNegative = 0.0
    """Error of the colour excess, magnitudes."""
    r_v: Annotated[float, Field(ge=2, le=6)] = 3.1
    """Ratio of total to selective extinction."""
    extinction_mag: dict[str, NotNegative] = Field(default={})
    """Extinction by detector and filter, magnitudes, in place of what follows from E(B-V).

    Such as ``"wfc3_uvis.f814w" = 0.05`` in ``[counterpart.extinction_mag]``.
    """
    extinction_error_mag: dict[str, NotNegative] = Field(default={})
    """Errors of `extinction_mag`, by detector and filter, magnitudes."""
    distance_modulus_mag: Annotated[float, Field(ge=-5, le=50)] | None = None
    """Distance modulus, magnitudes; unset: no absolute magnitudes."""
    distance_modulus_error_mag: NotNegative = 0.0
    """Error of the distance modulus, magnitudes."""
    stamp_arcsec: Positive = 2.0
    """Side of the stamps of the figure, arcseconds."""

    @field_validator("extinction_mag", "extinction_error_mag")
    @classmethod
    def _of_bands(cls, value: dict[str, float]) -> dict[str, float]:
        for name in value:
            found = _BAND.fullmatch(name)
            if found is None or found[1] not in DETECTORS:
                raise ValueError(f"not a detector and filter, such as wfc3_uvis.f814w: {name!r}")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.ra_deg is None) != (self.dec_deg is None):
            raise ValueError("ra_deg and dec_deg must be set together")
        if self.ra_deg is not None and self.error_mas is None and self.measured_on is None:
            raise ValueError("a position needs its error_mas, or measured_on")
        if unknown := sorted(set(self.extinction_error_mag) - set(self.extinction_mag)):
            raise ValueError(f"extinction_error_mag without extinction_mag: {', '.join(unknown)}")
        return self

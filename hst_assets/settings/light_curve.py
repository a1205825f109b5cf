"""Settings of light curves."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hst_assets.settings.fields import NotNegative, Positive, Section, UserPath

__all__ = ["LightCurveSettings", "MagnitudeSystem"]

MagnitudeSystem = Literal["ab", "st", "vega"]


class LightCurveSettings(Section):
    """How bright the target, or another place, is at each epoch."""

    make: bool | None = None
    """Make the light curve (``--scrape-dolphot``); unset: where stars are measured and the place is
    known.

    Stars are measured by ``photometry.make``, or because the light curve is wanted; the place is
    that of the target, or the one set here.
    """
    ra_deg: Annotated[float, Field(ge=0, lt=360)] | None = None
    """Right ascension of the place, degrees (ICRS); unset: the target's."""
    dec_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    """Declination of the place, degrees (ICRS); unset: the target's."""
    position_error_arcsec: NotNegative = 0.1
    """Error of the position on each axis, arcsec, in the frame of the reference."""
    max_offset_sigma: Positive = 3.0
    """Largest offset of a star of the catalogue that is the target's, in units of its error.

    Of true pairs, 3 loses 1.1 % (two axes, exp(-9/2)).
    """
    scrape_radius_arcsec: Positive = 0.5
    """Radius around the position within which the catalogue's star is looked for, arcsec."""
    measure_at: Literal["star", "place"] = "star"
    """Where exposures and differences are measured: at the catalogue's ``star``, where it is the
    one at the place, or always at the ``place`` as it is given.

    The frame of the reference and a published position differ by more than a PSF allows, often by
    0.1 arcsec and more.
    """
    brightest: bool = False
    """Take the brightest star within the radius, whatever its offset, and not the nearest."""
    no_cuts: bool = False
    """Take objects of all types, also those that the quality cuts leave out."""
    scrape_all: bool = False
    """Make light curves of all stars of the catalogue within the radius as well."""
    positions: UserPath | None = None
    """Table of more places (ECSV or CSV) with the columns ra, dec (degrees, ICRS) and, optionally,
    name.

    A relative path starts at the work directory.
    """
    magnitudes: MagnitudeSystem = "ab"
    """System of the magnitudes in ``.phot`` files and plots; tables have all of them."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.ra_deg is None) != (self.dec_deg is None):
            raise ValueError("ra_deg and dec_deg must be set together")
        return self

    def as_recipe(self) -> dict[str, Any]:
        """What decides a light curve; of a table of places its content does, not where it lies."""
        return self.model_dump(mode="json", exclude={"make", "positions"})

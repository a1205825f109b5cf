"""Settings of artificial stars."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hst_assets.settings.fields import NotNegative, Positive, Section

__all__ = ["ArtificialStarSettings"]

Magnitude = Annotated[float, Field(allow_inf_nan=False)]


class ArtificialStarSettings(Section):
    """Stars that are put into the exposures and measured like real ones."""

    n_stars: Annotated[int, Field(ge=1, le=10_000_000)] = 5000
    """Number of artificial stars."""
    positions: Literal["uniform", "density", "target"] = "uniform"
    """Where they are put: uniform over the field, as dense as the catalogue's stars, or around the
    target."""
    radius_arcsec: Positive = 10.0
    """Radius around the target within which they are put, arcseconds (positions = target)."""
    scatter_arcsec: Positive = 2.0
    """Distance from a catalogue star, arcseconds: width of a Gaussian (positions = density)."""
    bright_mag: Magnitude | None = None
    """Brightest magnitude of the first filter, Vega; by default that of the catalogue's stars.

    The first filter is the first of DOLPHOT's own list. By default it is the magnitude than
    which one star in a hundred is brighter.
    """
    faint_mag: Magnitude | None = None
    """Faintest magnitude of the first filter, Vega; by default below the catalogue's limit.

    By default 1.5 mag fainter than the magnitude than which one star in a hundred is fainter, so
    that the stars reach from where all are found to where none is.
    """
    colours: Literal["catalogue", "uniform"] = "catalogue"
    """Colours: those of catalogue stars of about the same magnitude, or uniform over a range."""
    colour_range_mag: tuple[Magnitude, Magnitude] = (-0.5, 2.5)
    """Least and largest magnitude of the first filter minus that of another (colours = uniform)."""
    colour_scatter_mag: NotNegative = 0.1
    """Scatter added to each colour of the catalogue, magnitudes."""
    match_radius_pix: Positive = 2.0
    """A star is recovered within this distance of where it was put, pixels of the reference."""
    max_brightening_mag: Positive = 0.75
    """A star measured brighter than it is by more than this is lost: it fell on one at least as
    bright."""
    bin_mag: Positive = 0.5
    """Width of the bins of the completeness table, magnitudes."""
    chunk_size: Annotated[int, Field(ge=1)] = 250
    """Stars of one run of the photometer; a run that is interrupted costs at most one chunk a
    core."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Seed of positions, magnitudes and colours."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        """A range has its lower end first."""
        if self.colour_range_mag[0] > self.colour_range_mag[1]:
            raise ValueError("colour_range_mag: the lower end comes first")
        ends = (self.bright_mag, self.faint_mag)
        if None not in ends and self.bright_mag >= self.faint_mag:  # type: ignore[operator]
            raise ValueError("bright_mag is not brighter than faint_mag")
        return self

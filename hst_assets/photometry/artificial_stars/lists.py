"""Which artificial stars are put in: positions, magnitudes and colours.

Positions are DOLPHOT's: X, Y of the reference image, the numpy index plus 0.5 (0.5, 0.5 is the
centre of the first pixel). Magnitudes are Vega, one a filter of any image, in the order of
DOLPHOT's own list of filters. Each star is measured alone: artificial stars do not crowd each
other.

The magnitude of the first filter is uniform between the ends, so that each bin is equally well
known; the others follow from colours. A list depends on nothing but its arguments and its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.bands import CatalogBand
from hst_assets.photometry.dolphot.program import Program
from hst_assets.settings.artificial_stars import ArtificialStarSettings

__all__ = ["KnownStars", "StarList", "in_order_of_lists", "star_list"]

Floats = NDArray[np.float64]

#: Catalogue stars nearest in magnitude of which one lends its colour.
_LENDERS = 100
#: Percentiles of the catalogue's magnitudes that the automatic ends follow, and how far beyond.
_ENDS_PERCENT = (1.0, 99.0)
_BEYOND_MAG = 1.5
#: Tries to hit the field, each for all stars that have missed it so far.
_MAX_TRIES = 200
#: Instruments in the order in which DOLPHOT reads their magnitudes.
_INSTRUMENTS = ("WFPC2", "ACS", "WFC3")


@dataclass(frozen=True)
class KnownStars:
    """The catalogue's stars.

    Attributes
    ----------
    x, y : ndarray of shape (n,)
        DOLPHOT's X, Y.
    magnitudes : ndarray of shape (n, n_filters)
        Vega; NaN where a star was not seen.
    """

    x: Floats
    y: Floats
    magnitudes: Floats


@dataclass(frozen=True)
class StarList:
    """Artificial stars.

    Attributes
    ----------
    x, y : ndarray of shape (n,)
        DOLPHOT's X, Y.
    magnitudes : ndarray of shape (n, n_filters)
        Vega.
    """

    x: Floats
    y: Floats
    magnitudes: Floats

    def __len__(self) -> int:
        """How many there are."""
        return len(self.x)


def star_list(
    known: KnownStars,
    field: NDArray[np.bool_],
    settings: ArtificialStarSettings,
    *,
    scale_arcsec: float,
    n_stars: int,
    chunk: int = 0,
    target: tuple[float, float] | None = None,
) -> StarList:
    """Draw positions, magnitudes and colours.

    Parameters
    ----------
    known : KnownStars
        The catalogue's stars, for colours, densities and the automatic ends.
    field : ndarray of bool of shape (ny, nx)
        Pixels of the reference image where stars may be put.
    settings : ArtificialStarSettings
        What is wanted.
    scale_arcsec : float
        Arcseconds a pixel of the reference image.
    n_stars : int
        How many.
    chunk : int, optional
        Number of the list: each has random numbers of its own, so that more of them do not change
        those before.
    target : tuple of float, optional
        X, Y of the target.

    Returns
    -------
    stars : StarList
        Rounded as DOLPHOT's lists are printed: 0.01 pixel, 0.001 mag.

    Raises
    ------
    UnusableInput
        If the field is empty or out of reach, or the catalogue lacks the stars that are asked of
        it.
    """
    rng = np.random.default_rng([settings.seed, chunk])
    draw = _Draw(known, field, settings, n_stars, rng)
    x, y = draw.positions(scale_arcsec, target)
    magnitudes = draw.magnitudes()
    return StarList(np.round(x, 2), np.round(y, 2), np.round(magnitudes, 3))


def in_order_of_lists(
    bands: Sequence[CatalogBand], program: Program | None
) -> tuple[CatalogBand, ...]:
    """Bands in the order of their magnitudes in a list: that in which DOLPHOT reads them.

    It reads one for each filter of any image, instrument by instrument, in the order of their
    ``filters.dat`` (its sources, version 2.0). Columns have the same order, but only those of
    filters with two images.

    Parameters
    ----------
    bands : sequence of CatalogBand
        Of the catalogue, those with columns in the order of the columns.
    program : Program or None
        DOLPHOT; None for the embedded photometer, which knows a magnitude by the name of its band:
        instrument by instrument, those with columns first.

    Raises
    ------
    UnusableInput
        With DOLPHOT, if the order is not known: if an instrument has several filters, one of them
        with a single image, and its ``filters.dat`` was not found or lacks one of them.
    """
    ordered: list[CatalogBand] = []
    if program is None:
        order = {instrument: at for at, instrument in enumerate((*_INSTRUMENTS, ""))}
        return tuple(sorted(bands, key=lambda band: order[band.instrument]))
    for instrument in (*_INSTRUMENTS, ""):
        own = [band for band in bands if band.instrument == instrument]
        known = program.filters(instrument) if instrument else ()
        if all(band.filter_name in known for band in own):
            own.sort(key=lambda band: known.index(band.filter_name))
        elif len(own) > 1 and not all(band.has_columns for band in own):
            single = ", ".join(band.name for band in own if not band.has_columns)
            raise UnusableInput(
                f"{single}: of one image only, and the order of DOLPHOT's filters is not known",
                where=f"{instrument.lower() or 'filters'}/data/filters.dat",
                next_step="Set dolphot.root to the folder that DOLPHOT was built in",
            )
        ordered += own
    return tuple(ordered)


@dataclass(frozen=True)
class _Draw:
    """One list in the making."""

    known: KnownStars
    field: NDArray[np.bool_]
    settings: ArtificialStarSettings
    n: int
    rng: np.random.Generator

    # ---------------------------------------------------------------------------- positions

    def positions(
        self, scale_arcsec: float, target: tuple[float, float] | None
    ) -> tuple[Floats, Floats]:
        """X and Y of stars on exposed pixels."""
        if not self.field.any():
            raise UnusableInput("no pixel of the reference image is exposed")
        if self.settings.positions == "uniform":
            return self._anywhere()
        if self.settings.positions == "target":
            if target is None:
                raise UnusableInput(
                    "the target has no position",
                    where="artificial_stars.positions",
                    next_step="Set target.ra_deg and target.dec_deg, or positions = 'uniform'",
                )
            centre, radius = target, self.settings.radius_arcsec / scale_arcsec
            return self._until_in_field(lambda: self._in_circle(centre, radius))
        if len(self.known.x) == 0:
            raise UnusableInput(
                "the catalogue has no star that passes the cuts",
                where="artificial_stars.positions",
                next_step="Set positions = 'uniform'",
            )
        width = self.settings.scatter_arcsec / scale_arcsec
        return self._until_in_field(lambda: self._near_stars(width))

    def _anywhere(self) -> tuple[Floats, Floats]:
        row, column = np.nonzero(self.field)
        chosen = self.rng.integers(0, len(row), self.n)
        within = self.rng.uniform(0, 1, (2, self.n))  # X of a pixel: from its index to index + 1
        return column[chosen] + within[0], row[chosen] + within[1]

    def _in_circle(self, centre: tuple[float, float], radius: float) -> Floats:
        distance = radius * np.sqrt(self.rng.uniform(0, 1, self.n))
        angle = self.rng.uniform(0, 2 * np.pi, self.n)
        return np.array(
            [centre[0] + distance * np.cos(angle), centre[1] + distance * np.sin(angle)]
        )

    def _near_stars(self, width: float) -> Floats:
        chosen = self.rng.integers(0, len(self.known.x), self.n)
        centres = np.array([self.known.x[chosen], self.known.y[chosen]])
        return centres + self.rng.normal(0, width, (2, self.n))

    def _until_in_field(self, draw: Callable[[], Floats]) -> tuple[Floats, Floats]:
        """Draw positions until as many as wanted lie on exposed pixels."""
        height, width = self.field.shape
        found = np.empty((2, 0))
        for _ in range(_MAX_TRIES):
            drawn = draw()
            column, row = np.floor(drawn).astype(int)
            inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
            inside[inside] = self.field[row[inside], column[inside]]
            found = np.concatenate([found, drawn[:, inside]], axis=1)
            if found.shape[1] >= self.n:
                return found[0, : self.n], found[1, : self.n]
        raise UnusableInput(
            f"of {_MAX_TRIES * self.n} positions that were drawn, {found.shape[1]} lie on exposed "
            "pixels",
            where="artificial_stars.positions",
            next_step="Set positions = 'uniform', or another radius",
        )

    # --------------------------------------------------------------------------- magnitudes

    def magnitudes(self) -> Floats:
        """One row a star, one column a filter."""
        bright, faint = self._ends()
        drawn = np.empty((self.n, self.known.magnitudes.shape[1]))
        drawn[:, 0] = self.rng.uniform(bright, faint, self.n)
        for each in range(1, drawn.shape[1]):
            drawn[:, each] = drawn[:, 0] - self._colours(each, drawn[:, 0])
        return drawn

    def _ends(self) -> tuple[float, float]:
        """The brightest and the faintest magnitude of the first filter."""
        bright, faint = self.settings.bright_mag, self.settings.faint_mag
        if bright is None or faint is None:
            measured = self.known.magnitudes[:, 0]
            measured = measured[np.isfinite(measured)]
            if len(measured) == 0:
                raise UnusableInput(
                    "the catalogue has no star from which to take the range of magnitudes",
                    where="artificial_stars",
                    next_step="Set bright_mag and faint_mag",
                )
            ends = np.percentile(measured, _ENDS_PERCENT)
            bright = float(ends[0]) if bright is None else bright
            faint = float(ends[1]) + _BEYOND_MAG if faint is None else faint
        if bright >= faint:
            raise UnusableInput(
                f"artificial stars from {bright:.2f} to {faint:.2f} mag: not from bright to faint",
                where="artificial_stars",
                next_step="Set both bright_mag and faint_mag",
            )
        return bright, faint

    def _colours(self, each: int, first: Floats) -> Floats:
        """First filter minus another, of stars of these first magnitudes."""
        if self.settings.colours == "uniform":
            return self.rng.uniform(*self.settings.colour_range_mag, self.n)
        measured = self.known.magnitudes[:, [0, each]]
        measured = measured[np.isfinite(measured).all(axis=1)]
        if len(measured) == 0:
            raise UnusableInput(
                "no star of the catalogue was measured in both filters",
                where="artificial_stars.colours",
                next_step="Set colours = 'uniform'",
            )
        measured = measured[np.argsort(measured[:, 0], kind="stable")]
        n_lenders = min(_LENDERS, len(measured))
        start = np.searchsorted(measured[:, 0], first) - n_lenders // 2
        start = np.clip(start, 0, len(measured) - n_lenders)
        lender = measured[start + self.rng.integers(0, n_lenders, self.n)]
        scatter = self.rng.normal(0, self.settings.colour_scatter_mag, self.n)
        colours: Floats = lender[:, 0] - lender[:, 1] + scatter
        return colours

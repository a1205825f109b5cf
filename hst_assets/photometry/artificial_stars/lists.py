"""Which artificial stars are put in: positions, magnitudes and colours.

Positions are DOLPHOT's: X, Y of the reference image, the numpy index plus 0.5 (0.5, 0.5 is the
centre of the first pixel). Magnitudes are Vega, one a filter, in the order of the catalogue's
filters. Each star is measured alone: artificial stars do not crowd each other.

The magnitude of the first filter is uniform between the ends, so that each bin is equally well
known; the others follow from colours. A list depends on nothing but its arguments and its seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput
from hst_assets.settings.artificial_stars import ArtificialStarSettings

__all__ = ["KnownStars", "StarList", "star_list"]

Floats = NDArray[np.float64]

#: Catalogue stars nearest in magnitude of which one lends its colour.
_LENDERS = 100
#: Percentiles of the catalogue's magnitudes that the automatic ends follow, and how far beyond.
_ENDS_PERCENT = (1.0, 99.0)
_BEYOND_MAG = 1.5
#: Tries to hit the field, each for all stars that have missed it so far.
_MAX_TRIES = 200


@dataclass(frozen=True)
class KnownStars:
    """The catalogue's stars that passed the cuts.

    Attributes
    ----------
    x, y : ndarray of shape (n,)
        DOLPHOT's X, Y.
    magnitudes : ndarray of shape (n, n_filters)
        Vega; NaN where a star was not measured.
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
    rng = np.random.default_rng(settings.seed)
    x, y = _positions(known, field, settings, scale_arcsec, target, rng)
    magnitudes = _magnitudes(known, settings, rng)
    return StarList(np.round(x, 2), np.round(y, 2), np.round(magnitudes, 3))


# -------------------------------------------------------------------------------- positions


def _positions(
    known: KnownStars,
    field: NDArray[np.bool_],
    settings: ArtificialStarSettings,
    scale_arcsec: float,
    target: tuple[float, float] | None,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    if not field.any():
        raise UnusableInput("no pixel of the reference image is exposed")
    n = settings.n_stars
    if settings.positions == "uniform":
        row, column = np.nonzero(field)
        chosen = rng.integers(0, len(row), n)
        within = rng.uniform(0, 1, (2, n))  # X of a pixel runs from its index to index + 1
        return column[chosen] + within[0], row[chosen] + within[1]
    if settings.positions == "target":
        if target is None:
            raise UnusableInput(
                "the target has no position",
                where="artificial_stars.positions",
                next_step="Set target.ra_deg and target.dec_deg, or positions = 'uniform'",
            )
        radius = settings.radius_arcsec / scale_arcsec
        return _until_in_field(lambda k: _in_circle(target, radius, k, rng), n, field)
    if len(known.x) == 0:
        raise UnusableInput(
            "the catalogue has no star that passes the cuts",
            where="artificial_stars.positions",
            next_step="Set positions = 'uniform'",
        )
    width = settings.scatter_arcsec / scale_arcsec
    return _until_in_field(lambda k: _near_stars(known, width, k, rng), n, field)


def _in_circle(
    centre: tuple[float, float], radius: float, n: int, rng: np.random.Generator
) -> Floats:
    distance = radius * np.sqrt(rng.uniform(0, 1, n))
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.array([centre[0] + distance * np.cos(angle), centre[1] + distance * np.sin(angle)])


def _near_stars(known: KnownStars, width: float, n: int, rng: np.random.Generator) -> Floats:
    chosen = rng.integers(0, len(known.x), n)
    return np.array([known.x[chosen], known.y[chosen]]) + rng.normal(0, width, (2, n))


def _until_in_field(
    draw: Callable[[int], Floats], n: int, field: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Draw positions until as many as wanted lie in the field."""
    found = np.empty((2, 0))
    for _ in range(_MAX_TRIES):
        drawn = draw(n)
        column, row = np.floor(drawn).astype(int)
        inside = (column >= 0) & (row >= 0) & (column < field.shape[1]) & (row < field.shape[0])
        inside[inside] = field[row[inside], column[inside]]
        found = np.concatenate([found, drawn[:, inside]], axis=1)
        if found.shape[1] >= n:
            return found[0, :n], found[1, :n]
    raise UnusableInput(
        f"of {_MAX_TRIES * n} positions that were drawn, {found.shape[1]} lie on exposed pixels",
        where="artificial_stars.positions",
        next_step="Set positions = 'uniform', or another radius",
    )


# ------------------------------------------------------------------------------- magnitudes


def _magnitudes(
    known: KnownStars, settings: ArtificialStarSettings, rng: np.random.Generator
) -> Floats:
    n, n_filters = settings.n_stars, known.magnitudes.shape[1]
    bright, faint = _ends(known, settings)
    first = rng.uniform(bright, faint, n)
    drawn = np.empty((n, n_filters))
    drawn[:, 0] = first
    for each in range(1, n_filters):
        drawn[:, each] = first - _colours(known, each, first, settings, rng)
    return drawn


def _ends(known: KnownStars, settings: ArtificialStarSettings) -> tuple[float, float]:
    """The brightest and the faintest magnitude of the first filter."""
    wanted = settings.bright_mag, settings.faint_mag
    if wanted[0] is not None and wanted[1] is not None:
        return wanted[0], wanted[1]
    measured = known.magnitudes[:, 0]
    measured = measured[np.isfinite(measured)]
    if len(measured) == 0:
        raise UnusableInput(
            "the catalogue has no star from which to take the range of magnitudes",
            where="artificial_stars",
            next_step="Set bright_mag and faint_mag",
        )
    bright, faint = np.percentile(measured, _ENDS_PERCENT)
    bright = bright if wanted[0] is None else wanted[0]
    faint = faint + _BEYOND_MAG if wanted[1] is None else wanted[1]
    if bright >= faint:
        raise UnusableInput(
            f"artificial stars from {bright:.2f} to {faint:.2f} mag: not from bright to faint",
            where="artificial_stars",
            next_step="Set both bright_mag and faint_mag",
        )
    return float(bright), float(faint)


def _colours(
    known: KnownStars,
    each: int,
    first: Floats,
    settings: ArtificialStarSettings,
    rng: np.random.Generator,
) -> Floats:
    """First filter minus another, of stars of these first magnitudes."""
    if settings.colours == "uniform":
        return rng.uniform(*settings.colour_range_mag, len(first))
    measured = known.magnitudes[:, [0, each]]
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
    lender = measured[start + rng.integers(0, n_lenders, len(first))]
    scatter = rng.normal(0, settings.colour_scatter_mag, len(first))
    colours: Floats = lender[:, 0] - lender[:, 1] + scatter
    return colours

"""The sky of a campaign: stars, galaxies and a transient, with AB magnitudes in every band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

__all__ = ["Scene", "ScenePlan", "Transient", "magnitude_in", "make_scene"]

#: Wavelength of the magnitude `m_ref`, from which a source's colour leads to the others.
REFERENCE_WAVELENGTH_A = 8000.0
ARCSEC = 1.0 / 3600.0
_MAX_TRIES = 200


@dataclass(frozen=True)
class ScenePlan:
    """What is in the sky.

    Attributes
    ----------
    radius_arcsec : float
        Stars and galaxies lie within this distance of the field's centre.
    n_stars : int
        Field stars, with ``dN/dm ~ 10**(slope m)`` between the limits of `magnitudes`.
    magnitudes : tuple of float
        Brightest and faintest AB magnitude at 8000 A.
    slope : float
        Slope of the luminosity function.
    n_isolated : int
        Further stars, each alone within `isolation_arcsec`: the ones for photometry.
    isolated_magnitudes : tuple of float
        Their brightest and faintest magnitude, evenly drawn.
    isolation_arcsec : float
        Distance from an isolated star within which nothing else lies.
    min_separation_arcsec : float
        Least distance between any two field stars.
    n_galaxies : int
        Galaxies with exponential profiles, of 20 to 25 mag.
    """

    radius_arcsec: float = 60.0
    n_stars: int = 1000
    magnitudes: tuple[float, float] = (19.0, 26.0)
    slope: float = 0.22
    n_isolated: int = 30
    isolated_magnitudes: tuple[float, float] = (19.2, 20.6)
    isolation_arcsec: float = 2.2
    min_separation_arcsec: float = 0.0
    n_galaxies: int = 40


@dataclass(frozen=True)
class Transient:
    """A source that comes and goes.

    Attributes
    ----------
    east_arcsec, north_arcsec : float
        Position from the field's centre.
    light_curve : tuple of tuple of float
        (MJD, AB magnitude at 8000 A), in order of time; interpolated linearly. There is
        nothing before the first and after the last.
    colour : float
        Magnitudes fainter for each halving of the wavelength.
    """

    east_arcsec: float
    north_arcsec: float
    light_curve: tuple[tuple[float, float], ...]
    colour: float = 0.0

    def magnitude(self, mjd: float, wavelength_a: float) -> float:
        """AB magnitude at a time and wavelength; NaN while there is nothing."""
        times, magnitudes = zip(*self.light_curve, strict=True)
        at_reference = float(np.interp(mjd, times, magnitudes, left=np.nan, right=np.nan))
        return at_reference - self.colour * float(np.log2(wavelength_a / REFERENCE_WAVELENGTH_A))


@dataclass(frozen=True, eq=False)
class Scene:
    """Stars and galaxies with their true positions.

    Attributes
    ----------
    stars : Table
        ``id``, ``ra``, ``dec`` (deg), ``m_ref`` (AB at 8000 A), ``colour``.
    galaxies : Table
        The same, and ``half_light_radius`` (arcsec), ``axis_ratio``, ``pa`` (deg).
    """

    stars: Table
    galaxies: Table


def magnitude_in(sources: Table, wavelength_a: float) -> NDArray[np.float64]:
    """AB magnitudes of stars or galaxies at a wavelength."""
    step = np.log2(wavelength_a / REFERENCE_WAVELENGTH_A)
    magnitudes: NDArray[np.float64] = np.asarray(sources["m_ref"]) - step * np.asarray(
        sources["colour"]
    )
    return magnitudes


def make_scene(
    plan: ScenePlan,
    ra_deg: float,
    dec_deg: float,
    *,
    seed: int,
    keep_clear: Sequence[tuple[float, float]] = (),
) -> Scene:
    """Draw the stars and galaxies of a field.

    Parameters
    ----------
    plan : ScenePlan
        How many, how bright, how far apart.
    ra_deg, dec_deg : float
        The field's centre.
    seed : int
        The same seed gives the same sky.
    keep_clear : sequence of (float, float)
        Further places (arcsec east, north of the centre) treated as isolated stars: nothing
        else comes near them.
    """
    rng = np.random.default_rng([seed, 1])
    centres = _scattered(
        rng, plan.n_isolated, plan.radius_arcsec, 1.4 * plan.isolation_arcsec, keep_clear
    )
    clear = np.concatenate([np.reshape(np.array(keep_clear, dtype=float), (-1, 2)), centres])
    field = _field_positions(rng, plan, clear)
    positions = np.concatenate([centres, field])
    bright, faint = plan.isolated_magnitudes
    m_ref = np.concatenate(
        [
            rng.uniform(bright, faint, len(centres)),
            _luminosity_function(rng, len(field), plan.magnitudes, plan.slope),
        ]
    )
    stars = _sky_table(positions, ra_deg, dec_deg)
    stars["m_ref"] = m_ref
    stars["colour"] = np.clip(rng.normal(0.3, 0.3, len(positions)), -0.4, 1.0)
    galaxies = _galaxies(rng, plan, clear, ra_deg, dec_deg)
    galaxies["id"] += 100_000
    return Scene(stars, galaxies)


def _disc(rng: np.random.Generator, count: int, radius_arcsec: float) -> NDArray[np.float64]:
    """Positions evenly spread over a disc, shape (count, 2): arcsec east and north."""
    distance = radius_arcsec * np.sqrt(rng.random(count))
    angle = 2 * np.pi * rng.random(count)
    return np.column_stack([distance * np.cos(angle), distance * np.sin(angle)])


def _nearest(positions: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance from each position to the nearest of the others; infinite if there is none."""
    if not len(others):
        return np.full(len(positions), np.inf)
    distances: NDArray[np.float64] = np.hypot(
        positions[:, None, 0] - others[None, :, 0], positions[:, None, 1] - others[None, :, 1]
    ).min(axis=1)
    return distances


def _scattered(
    rng: np.random.Generator,
    count: int,
    radius_arcsec: float,
    separation_arcsec: float,
    clear: Sequence[tuple[float, float]],
) -> NDArray[np.float64]:
    """Up to `count` positions that keep their distance from each other and from `clear`."""
    taken = [np.array(place, dtype=float) for place in clear]
    found: list[NDArray[np.float64]] = []
    for candidate in _disc(rng, count * _MAX_TRIES, radius_arcsec):
        if len(found) == count:
            break
        if all(np.hypot(*(candidate - place)) >= separation_arcsec for place in taken):
            taken.append(candidate)
            found.append(candidate)
    return np.reshape(np.array(found), (-1, 2))


def _field_positions(
    rng: np.random.Generator, plan: ScenePlan, clear: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Field stars outside the cleared places, at least `min_separation_arcsec` apart."""
    if plan.min_separation_arcsec > 0:
        places = [(float(x), float(y)) for x, y in clear]
        apart = _scattered(
            rng, plan.n_stars, plan.radius_arcsec, plan.min_separation_arcsec, places
        )
        return apart[_nearest(apart, clear) >= plan.isolation_arcsec]
    positions = _disc(rng, plan.n_stars, plan.radius_arcsec)
    return positions[_nearest(positions, clear) >= plan.isolation_arcsec]


def _luminosity_function(
    rng: np.random.Generator, count: int, limits: tuple[float, float], slope: float
) -> NDArray[np.float64]:
    low, high = 10 ** (slope * np.array(limits))
    magnitudes: NDArray[np.float64] = np.log10(low + rng.random(count) * (high - low)) / slope
    return magnitudes


def _sky_table(positions: NDArray[np.float64], ra_deg: float, dec_deg: float) -> Table:
    """Table of ids and sky positions from arcsec east and north of the centre."""
    dec = dec_deg + positions[:, 1] * ARCSEC
    ra = ra_deg + positions[:, 0] * ARCSEC / np.cos(np.radians(dec_deg))
    return Table({"id": np.arange(len(positions)), "ra": ra % 360.0, "dec": dec})


def _galaxies(
    rng: np.random.Generator,
    plan: ScenePlan,
    clear: NDArray[np.float64],
    ra_deg: float,
    dec_deg: float,
) -> Table:
    positions = _disc(rng, plan.n_galaxies, plan.radius_arcsec)
    # A galaxy's wings reach further than a star's.
    positions = positions[_nearest(positions, clear) >= plan.isolation_arcsec + 1.0]
    count = len(positions)
    table = _sky_table(positions, ra_deg, dec_deg)
    table["m_ref"] = _luminosity_function(rng, count, (20.0, 25.0), 0.3)
    table["colour"] = rng.normal(0.5, 0.4, count)
    size = 0.5 * 10 ** (-0.12 * (table["m_ref"] - 21.0)) * rng.lognormal(0.0, 0.25, count)
    table["half_light_radius"] = np.clip(size, 0.08, 1.2)
    table["axis_ratio"] = rng.uniform(0.3, 1.0, count)
    table["pa"] = rng.uniform(0.0, 180.0, count)
    return table

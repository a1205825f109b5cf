"""The one field that a proposal's exposures share, for targets without a position of their own."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hst_assets.archive.holdings import Product
from hst_assets.failures import BadConfiguration

__all__ = ["field_of"]

_SHOWN_FIELDS = 8


def field_of(products: Iterable[Product], radius_arcmin: float) -> tuple[float, float]:
    """RA and Dec (degrees) of the middle of all pointings.

    Parameters
    ----------
    products : iterable of Product
        At least one.
    radius_arcmin : float
        How far from it a pointing of the field may lie.

    Raises
    ------
    BadConfiguration
        If a pointing lies farther off; the message lists the fields.
    """
    pointings = {product.rootname: (product.ra_deg, product.dec_deg) for product in products}
    positions = np.array(list(pointings.values()))
    middle = _middle(positions)
    if float(_separation_arcmin(positions, middle).max()) <= radius_arcmin:
        return middle
    raise BadConfiguration(
        f"the exposures lie in several fields: {'; '.join(_fields(positions, radius_arcmin))}",
        where="archive.proposals",
        next_step="Set target.ra_deg and target.dec_deg to the intended one",
    )


def _fields(positions: NDArray[np.float64], radius_arcmin: float) -> list[str]:
    """Where the fields are and how many exposures each has, the largest first."""
    found = []
    while len(positions):
        near = _separation_arcmin(positions, tuple(positions[0])) <= radius_arcmin
        ra_deg, dec_deg = _middle(positions[near])
        found.append((int(near.sum()), f"{ra_deg:.5f}, {dec_deg:+.5f}"))
        positions = positions[~near]
    found.sort(reverse=True)
    shown = [f"{place} ({n} exposures)" for n, place in found[:_SHOWN_FIELDS]]
    n_more = len(found) - _SHOWN_FIELDS
    return [*shown, f"and {n_more} more"] if n_more > 0 else shown


def _middle(positions: NDArray[np.float64]) -> tuple[float, float]:
    """The median, coordinate by coordinate on the unit sphere."""
    x, y, z = np.median(_unit(positions), axis=0)
    ra_deg = round(float(np.degrees(np.arctan2(y, x))) % 360.0, 7) % 360.0
    return ra_deg, round(float(np.degrees(np.arctan2(z, np.hypot(x, y)))), 7)


def _separation_arcmin(
    positions: NDArray[np.float64], place: tuple[float, ...]
) -> NDArray[np.float64]:
    unit, other = _unit(positions), _unit(np.array([place]))[0]
    sine = np.linalg.norm(np.cross(unit, other), axis=1)
    angles: NDArray[np.float64] = np.degrees(np.arctan2(sine, unit @ other)) * 60.0
    return angles


def _unit(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    ra, dec = np.radians(positions).T
    return np.column_stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)))

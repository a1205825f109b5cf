"""The one field that a proposal's exposures share, for targets without a position of their own."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hst_assets.archive.holdings import Product
from hst_assets.failures import BadConfiguration
from hst_assets.sky_geometry import direction_of, separation_deg, unit_vectors

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
    if float(separation_deg(positions, middle).max()) * 60.0 <= radius_arcmin:
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
        near = separation_deg(positions, positions[0]) * 60.0 <= radius_arcmin
        ra_deg, dec_deg = _middle(positions[near])
        found.append((int(near.sum()), f"{ra_deg:.5f}, {dec_deg:+.5f}"))
        positions = positions[~near]
    found.sort(reverse=True)
    shown = [f"{place} ({n} exposures)" for n, place in found[:_SHOWN_FIELDS]]
    n_more = len(found) - _SHOWN_FIELDS
    return [*shown, f"and {n_more} more"] if n_more > 0 else shown


def _middle(positions: NDArray[np.float64]) -> tuple[float, float]:
    """The median, coordinate by coordinate on the unit sphere."""
    ra_deg, dec_deg = direction_of(np.median(unit_vectors(positions), axis=0))
    return round(float(ra_deg), 7) % 360.0, round(float(dec_deg), 7)

"""Which places are fitted together, and which apart because they are readings of one light.

Two given sources that are closer than the width of the PSF are taken for two measured positions of
one object. Fitted together, each would take light from the other, and two at the same place could
not be told apart at all. So each is fitted without the other. If the catalogue has stars there,
they are fitted together with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

__all__ = ["Fit", "Plan", "planned_fits"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Fit:
    """One fit.

    Attributes
    ----------
    measured : tuple of int
        The places that are measured by it.
    beside : tuple of int
        Sources that are fitted along, so that their light is not taken for others'.
    """

    measured: tuple[int, ...]
    beside: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Fits that measure all places.

    Attributes
    ----------
    fits : tuple of Fit
        One after the other.
    same_as : tuple of int
        For each place, that whose measurement it has: mostly itself.
    hidden : tuple of int
        Places about a source that are too near to a source for anything to be measured there.
    """

    fits: tuple[Fit, ...]
    same_as: tuple[int, ...]
    hidden: tuple[int, ...]


def planned_fits(
    x: Floats,
    y: Floats,
    source_of: Sequence[int],
    *,
    sources_apart_pix: float,
    apart_pix: float,
    one_place_pix: float = 0.5,
) -> Plan:
    """Share places out to fits, in none of which two are too near to each other.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Places: the sources, then those about them. Pixels of the reference.
    source_of : sequence of int
        For each place, the source that it is about; for a source, its own number.
    sources_apart_pix : float
        Two sources in one fit are as far apart at least.
    apart_pix : float
        And so are two other places, or another and a source.
    one_place_pix : float, optional
        Sources this near to each other are one, as are other places.
    """
    n = len(x)
    at = np.arange(n)
    is_source = np.asarray(source_of, dtype=np.int64) == at
    same = _same(x, y, is_source, one_place_pix)
    own = same == at
    sources = at[is_source & own]
    between = _neighbours(x, y, sources, sources_apart_pix)
    colour = _coloured(sources, between)
    beside = {
        which: _completed([i for i in sources.tolist() if colour[i] == which], sources, between)
        for which in sorted(set(colour.values()))
    }
    others = at[~is_source & own]
    near = _neighbours(x, y, np.concatenate([sources, others]), apart_pix)
    fit_of = {i: colour[int(same[source_of[i]])] for i in others.tolist()}
    hidden = tuple(i for i in others.tolist() if near[i] & beside[fit_of[i]])
    shown = np.setdiff1d(others, hidden)
    fits: list[Fit] = []
    for which, fitted in beside.items():
        members = shown[[fit_of[i] == which for i in shown.tolist()]] if len(shown) else shown
        level = _coloured(members, near)
        for step in range(max(level.values(), default=0) + 1):
            mine = {i for i in fitted if colour[i] == which} if step == 0 else set()
            measured = sorted(mine | {i for i in level if level[i] == step})
            fits.append(Fit(tuple(measured), tuple(sorted(fitted - mine))))
    return Plan(tuple(fits), tuple(same.tolist()), hidden)


def _same(x: Floats, y: Floats, is_source: NDArray[np.bool_], within: float) -> Integers:
    """For each place the first of its kind that it is one with."""
    same = np.arange(len(x))
    for kind in (is_source, ~is_source):
        rows = np.flatnonzero(kind)
        near = _neighbours(x, y, rows, within, inclusive=True)
        for i in rows.tolist():
            same[i] = min((j for j in near[i] if j < i and same[j] == j), default=i)
    return same


def _neighbours(
    x: Floats, y: Floats, rows: Integers, within: float, *, inclusive: bool = False
) -> dict[int, set[int]]:
    """For each of some places, those of them that are nearer than a limit."""
    found: dict[int, set[int]] = {i: set() for i in rows.tolist()}
    known = rows[np.isfinite(x[rows]) & np.isfinite(y[rows])]
    if len(known) == 0:
        return found
    places = np.column_stack([x[known], y[known]])
    for a, b in KDTree(places).query_pairs(within):
        if inclusive or np.hypot(*(places[a] - places[b])) < within:
            found[int(known[a])].add(int(known[b]))
            found[int(known[b])].add(int(known[a]))
    return found


def _coloured(rows: Integers, neighbours: dict[int, set[int]]) -> dict[int, int]:
    """Numbers from 0, no two neighbours having the same."""
    colour: dict[int, int] = {}
    for i in rows.tolist():
        taken = {colour[j] for j in neighbours[i] if j in colour}
        colour[i] = next(number for number in range(len(taken) + 1) if number not in taken)
    return colour


def _completed(
    chosen: Sequence[int], sources: Integers, neighbours: dict[int, set[int]]
) -> set[int]:
    """These sources and as many more as have no neighbour among them."""
    fitted = set(chosen)
    for i in sources.tolist():
        if not neighbours[i] & fitted:
            fitted.add(i)
    return fitted

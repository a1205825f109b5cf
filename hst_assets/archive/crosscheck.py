"""The second opinion: whether MAST's Missions search knows the same exposures.

Both catalogues are judged by the rules that both can be judged by (`Rule.both_say`). They differ in
what they call an observation: an exposure of an association may stand for itself in one and be
covered by the association in the other, which is no discrepancy.
"""

from __future__ import annotations

from collections.abc import Sequence

from hst_assets.archive.observation_rules import Observation, Wanted, reason_to_leave_out
from hst_assets.archive.product_selection import Choice
from hst_assets.sky_geometry import separation_deg

__all__ = ["discrepancies"]

#: An observation whose pointing is so near the edge of the cone may be in one answer only: the
#: catalogues measure to different points of the field (WFC3 and ACS fields are 2 to 3.4 arcmin).
_EDGE_ARCMIN = 2.0


def discrepancies(
    observations: Sequence[Observation],
    choice: Choice,
    datasets: Sequence[Observation],
    wanted: Wanted,
) -> list[str]:
    """What the second catalogue says otherwise, sorted; empty where both agree.

    Parameters
    ----------
    observations : sequence of Observation
        All that CAOM answered, wanted or not.
    choice : Choice
        What is taken of it.
    datasets : sequence of Observation
        All that the Missions search answered.
    wanted : Wanted
        The query.
    """
    rootnames = {product.rootname for product in choice.products}
    other = {dataset.obs_id: dataset for dataset in datasets}
    found = _unknown_to_caom(observations, rootnames, datasets, wanted)
    for rootname in sorted(rootnames):
        owner = choice.owners[rootname]
        counterpart = other.get(rootname) or other.get(owner.obs_id)
        if counterpart is None:
            if _well_inside(owner, wanted):
                found.add(f"{rootname} is not in the Missions search")
        elif counterpart.instrument and (
            reason := reason_to_leave_out(counterpart, wanted, both_say=True)
        ):
            found.add(f"{rootname} is included, but the Missions search says: {reason}")
    return sorted(found)


def _unknown_to_caom(
    observations: Sequence[Observation],
    rootnames: set[str],
    datasets: Sequence[Observation],
    wanted: Wanted,
) -> set[str]:
    known = {observation.obs_id: observation for observation in observations}
    # An association may stand for an exposure of the same visit.
    covered = {name[:6] for name, observation in known.items() if observation.is_association}
    found = set()
    for dataset in datasets:
        name = dataset.obs_id
        if name in rootnames or reason_to_leave_out(dataset, wanted, both_say=True):
            continue
        if name not in known:
            if name[:6] not in covered:
                found.add(f"{name} is in the Missions search only")
        elif reason := reason_to_leave_out(known[name], wanted, both_say=True):
            found.add(f"{name} is excluded ({reason}), but not by the Missions search")
    return found


def _well_inside(observation: Observation, wanted: Wanted) -> bool:
    """Whether a pointing lies so far within the cone that both catalogues must have it."""
    centre, position = wanted.position, observation.position
    if centre is None:
        return True
    if position is None:
        return False
    separation_arcmin = float(separation_deg(centre, position)) * 60.0
    return separation_arcmin < wanted.settings.archive.radius_arcmin - _EDGE_ARCMIN

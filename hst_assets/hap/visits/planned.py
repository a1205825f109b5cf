"""The plan of a visit as the stages after it read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hst_assets.failures import MissingProduct
from hst_assets.hap.listed import ListedExposure
from hst_assets.hap.poller import PollerRow, read_poller
from hst_assets.hap.product_tree import TotalNode, VisitTree, visit_tree
from hst_assets.provenance import read_record
from hst_assets.workdir import WorkDir

__all__ = ["PLAN", "VisitPlan", "read_plan"]

#: Name of the file among what the steps of a visit leave for each other.
PLAN = "plan.json"


@dataclass(frozen=True)
class VisitPlan:
    """What was planned.

    Attributes
    ----------
    poller : str
        Name of the poller file.
    rows : tuple of PollerRow
        The poller.
    tree : VisitTree or None
        The products; None if HAP takes no exposure.
    rejected : mapping
        Exposures that HAP does not take, and why.
    changed : mapping
        By product and step, the parameters that are not drizzlepac's own.
    is_given : bool
        Whether the user's file has parameters of the visit.
    """

    poller: str
    rows: tuple[PollerRow, ...]
    tree: VisitTree | None
    rejected: Mapping[str, str]
    changed: Mapping[str, Mapping[str, Any]]
    is_given: bool

    @property
    def totals(self) -> dict[int, TotalNode]:
        """The total products by number."""
        return dict(enumerate(self.tree.totals)) if self.tree else {}

    @property
    def drizzled(self) -> dict[int, TotalNode]:
        """Those that get images."""
        return {key: total for key, total in self.totals.items() if total.drizzled_filters}

    def changed_for(self, names: Sequence[str], *steps: str) -> dict[str, Any]:
        """The parameters of products that are not drizzlepac's own, for a recipe.

        Parameters
        ----------
        names : sequence of str
            What the names of the products' files begin with.
        *steps : str
            ``alignment``, ``astrodrizzle``, ``catalog generation``, ``quality control``.
        """
        found = {
            name: {step: own[step] for step in steps if step in own}
            for name in names
            if (own := self.changed.get(name))
        }
        return {name: each for name, each in found.items() if each}


def read_plan(workdir: WorkDir, visit: str) -> VisitPlan:
    """The plan of a visit.

    Parameters
    ----------
    workdir : WorkDir
        Of the target.
    visit : str
        The visit.

    Raises
    ------
    MissingProduct
        If there is none.
    """
    path = workdir.hap_pieces(visit) / PLAN
    step = "Materialize hap_plan first"
    if read_record(workdir.hap_plan(visit)) is None:
        raise MissingProduct("the visit is not planned", where=visit, next_step=step)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        listed = [ListedExposure(**each) for each in content["listed"]]
        return VisitPlan(
            poller=content["poller"],
            rows=read_poller(workdir.hap_visit(visit) / content["poller"])
            if listed or content["rejected"]
            else (),
            tree=visit_tree(listed) if listed else None,
            rejected=content["rejected"],
            changed=content["changed"],
            is_given=content["is_given"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingProduct(
            f"the plan cannot be read: {error}", where=path, next_step=step
        ) from error

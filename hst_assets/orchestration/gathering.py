"""Crossing from visits to their target: which visits a gather asset takes, and which it misses."""

from __future__ import annotations

import dagster as dg

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.orchestration.io_managers import product_path
from hst_assets.orchestration.partitions import visits_of
from hst_assets.workdir import WorkDir

__all__ = ["available_visits"]


def available_visits(context: dg.AssetExecutionContext, workdir: WorkDir, asset: str) -> list[str]:
    """The target's registered visits for which `asset` stands on disk.

    A visit that was never materialized (its run failed, or is still to come) is left out with a
    warning: a bad visit costs itself, not its target.

    Raises
    ------
    UnusableInput
        If no visit has the asset.
    MissingProduct
        If Dagster has a materialization whose file is gone.
    """
    believed = context.instance.get_materialized_partitions(dg.AssetKey(asset))
    visits = []
    missing = []
    for key in visits_of(context.instance, workdir.target):
        path = product_path(workdir.root, asset, str(key))
        if path.is_file():
            visits.append(key.visit)
        elif str(key) in believed:
            raise MissingProduct(
                f"{asset} of {key} was materialized, but its file is gone",
                where=path,
                next_step=f"Materialize {asset} of {key} again",
            )
        else:
            missing.append(key.visit)
    if missing:
        context.log.warning(f"{asset} not there yet, left out: {', '.join(missing)}")
    if not visits:
        raise UnusableInput(
            f"no visit of it has {asset} yet",
            where=workdir.target,
            next_step=f"Materialize {asset} of its visits first",
        )
    return visits

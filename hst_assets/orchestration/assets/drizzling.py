"""Assets of the drizzling: epochs of a visit; stacks of a target and their differences."""

from pathlib import Path

import dagster as dg

from hst_assets.orchestration.assets.materialize_result import BY_PATH, materialize_result
from hst_assets.orchestration.checks import check_specs
from hst_assets.orchestration.partitions import hst_target, hst_visit
from hst_assets.orchestration.resources import HstRoot, Redo

__all__ = ["drizzled_stacks", "epoch_differences", "epoch_drizzles"]

_GROUP = "drizzling"


@dg.asset(
    partitions_def=hst_visit,
    io_manager_key="ecsv",
    dagster_type=BY_PATH,
    group_name=_GROUP,
    kinds={"fits", "astrodrizzle"},
    check_specs=check_specs("epoch_drizzles"),
)
def epoch_drizzles(
    context: dg.AssetExecutionContext, config: Redo, hst_root: HstRoot, aligned_exposures: Path
) -> dg.MaterializeResult:
    """One drizzled image for each detector and filter of a visit, with weight and context."""
    from hst_assets.imaging.drizzling import make_visit_drizzles

    with hst_root.visit_session(context) as session:
        made = make_visit_drizzles(
            session.workdir, session.visit, session.settings, redo=config.astrodrizzle
        )
        return materialize_result(context, "epoch_drizzles", made, session)


@dg.asset(
    partitions_def=hst_target,
    io_manager_key="ecsv",
    dagster_type=BY_PATH,
    group_name=_GROUP,
    kinds={"fits", "astrodrizzle"},
    check_specs=check_specs("drizzled_stacks"),
)
def drizzled_stacks(
    context: dg.AssetExecutionContext,
    config: Redo,
    hst_root: HstRoot,
    target_exposures: Path,
    target_alignment: Path,
) -> dg.MaterializeResult:
    """Stacks for each instrument, filter and epoch, and for each filter over all epochs."""
    from hst_assets.imaging.drizzling import make_stacks

    with hst_root.target_session(context) as session:
        made = make_stacks(session.workdir, session.settings, redo=config.astrodrizzle)
        return materialize_result(context, "drizzled_stacks", made, session)


@dg.asset(
    partitions_def=hst_target,
    io_manager_key="ecsv",
    dagster_type=BY_PATH,
    group_name=_GROUP,
    kinds={"fits"},
    check_specs=check_specs("epoch_differences"),
)
def epoch_differences(
    context: dg.AssetExecutionContext, config: Redo, hst_root: HstRoot, drizzled_stacks: Path
) -> dg.MaterializeResult:
    """Each epoch minus the template epoch of its detector and filter, with errors and flags."""
    from hst_assets.imaging.differences.batch import make_differences

    with hst_root.target_session(context) as session:
        made = make_differences(session.workdir, session.settings, redo=config.astrodrizzle)
        return materialize_result(context, "epoch_differences", made, session)

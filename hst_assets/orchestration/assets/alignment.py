"""Assets of the alignment: the exposures of a visit on the reference frame; the target's gather."""

from pathlib import Path

import dagster as dg

from hst_assets.orchestration.assets.materialize_result import BY_PATH, materialize_result
from hst_assets.orchestration.checks import check_specs
from hst_assets.orchestration.gathering import available_visits
from hst_assets.orchestration.partitions import hst_target, hst_visit
from hst_assets.orchestration.resources import HstRoot, Redo

__all__ = ["aligned_exposures", "target_alignment"]

_GROUP = "alignment"


@dg.asset(
    partitions_def=hst_visit,
    deps=["visit_reference"],
    io_manager_key="ecsv",
    dagster_type=BY_PATH,
    group_name=_GROUP,
    kinds={"fits", "tweakreg"},
    check_specs=check_specs("aligned_exposures"),
)
def aligned_exposures(
    context: dg.AssetExecutionContext, config: Redo, hst_root: HstRoot, exposure_table: Path
) -> dg.MaterializeResult:
    """Working copies with their WCS on the reference frame, each judged by the gate."""
    from hst_assets.astrometry.alignment import make_aligned_visit

    with hst_root.visit_session(context) as session:
        made = make_aligned_visit(
            session.workdir, session.visit, session.settings, redo=config.astrometry
        )
        return materialize_result(context, "aligned_exposures", made, session)


@dg.asset(
    partitions_def=hst_target,
    deps=[dg.AssetDep("aligned_exposures", partition_mapping=dg.AllPartitionMapping())],
    io_manager_key="hdf5",
    dagster_type=BY_PATH,
    group_name=_GROUP,
    kinds={"hdf5"},
)
def target_alignment(
    context: dg.AssetExecutionContext, config: Redo, hst_root: HstRoot
) -> dg.MaterializeResult:
    """The alignment of all exposures of a target with the stars behind it (gathers visits)."""
    from hst_assets.astrometry.alignment import make_target_alignment

    with hst_root.target_session(context) as session:
        visits = available_visits(context, session.workdir, "aligned_exposures")
        made = make_target_alignment(session.workdir, visits, session.settings, redo=config.tables)
        return materialize_result(context, "target_alignment", made, session)

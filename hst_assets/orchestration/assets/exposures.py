"""Assets of the exposures: verified raw files and tables, by visit; the target's gathered table."""

from pathlib import Path

import dagster as dg

from hst_assets.orchestration.assets.materialize_result import BY_PATH, materialize_result
from hst_assets.orchestration.checks import check_specs
from hst_assets.orchestration.fetch_visit import MAST_POOL, TRY_AGAIN, fetch_visit
from hst_assets.orchestration.fetched_versions import inputs_tag
from hst_assets.orchestration.gathering import available_visits
from hst_assets.orchestration.partitions import hst_target, hst_visit
from hst_assets.orchestration.resources import Fetching, HstRoot, MastAccess, Redo

__all__ = ["exposure_table", "raw_exposures", "target_exposures"]

_GROUP = "exposures"


@dg.asset(
    partitions_def=hst_visit,
    io_manager_key="ecsv",
    dagster_type=BY_PATH,
    group_name=_GROUP,
    kinds={"fits"},
    check_specs=check_specs("raw_exposures"),
    pool=MAST_POOL,
)
def raw_exposures(
    context: dg.AssetExecutionContext,
    config: Fetching,
    hst_root: HstRoot,
    mast: dg.ResourceParam[MastAccess],
) -> dg.MaterializeResult:
    """The verified, read-only exposures of a visit, with size and SHA-256 of each file.

    Of an archive target, what MAST has of the visit and raw/ lacks is fetched first.
    """
    from hst_assets.exposures.table import make_raw_manifest
    from hst_assets.orchestration.archive_report import delivery_facts, with_facts

    with hst_root.visit_session(context, TRY_AGAIN) as session:
        delivery = fetch_visit(context, session, config, mast)
        tags = inputs_tag(session.workdir, context.partition_key)
        made = make_raw_manifest(session.workdir, session.visit, redo=config.tables)
        if delivery:
            made = with_facts(made, delivery_facts(delivery))
        return materialize_result(context, "raw_exposures", made, session, tags=tags)


@dg.asset(
    partitions_def=hst_visit,
    io_manager_key="ecsv",
    dagster_type=BY_PATH,
    group_name=_GROUP,
    kinds={"table"},
    check_specs=check_specs("exposure_table"),
)
def exposure_table(
    context: dg.AssetExecutionContext, config: Redo, hst_root: HstRoot, raw_exposures: Path
) -> dg.MaterializeResult:
    """One row an exposure of a visit: what it is, whether it is used, and why not if not."""
    from hst_assets.exposures.table import make_visit_table

    with hst_root.visit_session(context) as session:
        made = make_visit_table(
            session.workdir, session.visit, session.settings, redo=config.tables
        )
        return materialize_result(context, "exposure_table", made, session)


@dg.asset(
    partitions_def=hst_target,
    deps=[dg.AssetDep("exposure_table", partition_mapping=dg.AllPartitionMapping())],
    io_manager_key="ecsv",
    dagster_type=BY_PATH,
    group_name=_GROUP,
    kinds={"table"},
    check_specs=check_specs("target_exposures"),
)
def target_exposures(
    context: dg.AssetExecutionContext, config: Redo, hst_root: HstRoot
) -> dg.MaterializeResult:
    """The exposure tables of all visits of a target, with epochs (gathers visits)."""
    from hst_assets.exposures.table import make_target_table

    with hst_root.target_session(context) as session:
        visits = available_visits(context, session.workdir, "exposure_table")
        made = make_target_table(session.workdir, visits, session.settings, redo=config.tables)
        return materialize_result(context, "target_exposures", made, session)

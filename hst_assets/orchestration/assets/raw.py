"""The verified exposures of a visit: fetched from the archive where the target is looked for."""

import dagster as dg

from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.assets.from_row import decorated
from hst_assets.orchestration.assets.materialize_result import materialize_result
from hst_assets.orchestration.fetch_visit import TRY_AGAIN, fetch_visit
from hst_assets.orchestration.fetched_versions import inputs_tag
from hst_assets.orchestration.levels import AssetTable
from hst_assets.orchestration.resources import Fetching, HstRoot, MastAccess

__all__ = ["raw_exposures"]


def raw_exposures(row: AssetRow, table: AssetTable) -> dg.AssetsDefinition:
    """Write the asset of the raw exposures."""

    @decorated(row, table)
    def raw_exposures(
        context: dg.AssetExecutionContext,
        config: Fetching,
        hst_root: HstRoot,
        mast: dg.ResourceParam[MastAccess],
    ) -> dg.MaterializeResult:
        from hst_assets.exposures.table import make_raw_manifest
        from hst_assets.orchestration.archive_report import delivery_facts, with_facts

        with hst_root.session(context, by_visit=True, tries=TRY_AGAIN) as session:
            delivery = fetch_visit(context, session, config, mast)
            tags = inputs_tag(session.workdir, context.partition_key)
            redo = config.again(*row.redo)
            made = make_raw_manifest(session.workdir, session.visit, redo=redo)
            if delivery:
                made = with_facts(made, delivery_facts(delivery))
            return materialize_result(context, row, made, session, tags=tags)

    return raw_exposures

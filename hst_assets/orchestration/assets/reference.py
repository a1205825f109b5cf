"""The reference image of a target: the one asset whose exposures may be chosen afresh."""

from pathlib import Path

import dagster as dg

from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.assets.from_row import decorated
from hst_assets.orchestration.assets.materialize_result import materialize_result
from hst_assets.orchestration.crossings import move_pointers
from hst_assets.orchestration.levels import AssetTable
from hst_assets.orchestration.resources import HstRoot, Redo

__all__ = ["reference_image"]


def reference_image(row: AssetRow, table: AssetTable) -> dg.AssetsDefinition:
    """Write the asset of the reference image."""

    @decorated(row, table)
    def reference_image(
        context: dg.AssetExecutionContext, config: Redo, hst_root: HstRoot, target_exposures: Path
    ) -> dg.MaterializeResult:
        from hst_assets.astrometry.reference.image import make_reference

        with hst_root.session(context, by_visit=False) as session:
            made = make_reference(
                session.workdir,
                session.settings,
                redo=config.again(*row.redo),
                choose_afresh=config.clobber,
            )
            target = session.workdir.target
            move_pointers(context.instance, table, row.name, target, made.digest)
            return materialize_result(context, row, made, session)

    return reference_image

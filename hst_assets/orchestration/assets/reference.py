"""The reference image of a target, and the pointer that hands its version to the visits."""

from pathlib import Path

import dagster as dg

from hst_assets.failures import MissingProduct
from hst_assets.orchestration.assets.materialize_result import BY_PATH, materialize_result
from hst_assets.orchestration.checks import check_specs
from hst_assets.orchestration.io_managers import product_path
from hst_assets.orchestration.partitions import hst_target, hst_visit, visits_of
from hst_assets.orchestration.resources import HstRoot, Redo
from hst_assets.provenance import read_record

__all__ = ["reference_image", "visit_reference"]

_GROUP = "reference"
_DATA_VERSION_TAG = "dagster/data_version"


@dg.asset(
    partitions_def=hst_target,
    io_manager_key="fits",
    dagster_type=BY_PATH,
    group_name=_GROUP,
    kinds={"fits", "astrodrizzle"},
    check_specs=check_specs("reference_image"),
)
def reference_image(
    context: dg.AssetExecutionContext, config: Redo, hst_root: HstRoot, target_exposures: Path
) -> dg.MaterializeResult:
    """The one frame of everything: drizzled from the exposures that serve best, or the user's."""
    from hst_assets.astrometry.reference.image import make_reference

    with hst_root.target_session(context) as session:
        made = make_reference(
            session.workdir,
            session.settings,
            redo=config.astrometry or config.astrodrizzle,
            choose_afresh=config.clobber,
        )
        _point_visits_at(context.instance, session.workdir.target, made.digest)
        return materialize_result(context, "reference_image", made, session)


def _point_visits_at(instance: dg.DagsterInstance, target: str, digest: str) -> None:
    """Move the target's own pointers to this version, without a run for each visit.

    A pointer that has this version already is left alone.
    """
    for key in visits_of(instance, target):
        latest = instance.get_latest_data_version_record(
            dg.AssetKey("visit_reference"), partition_key=str(key)
        )
        event = latest.asset_materialization if latest else None
        if event and (event.tags or {}).get(_DATA_VERSION_TAG) == digest:
            continue
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                "visit_reference", partition=str(key), tags={_DATA_VERSION_TAG: digest}
            )
        )


@dg.asset(
    partitions_def=hst_visit,
    deps=[dg.AssetDep("reference_image", partition_mapping=dg.AllPartitionMapping())],
    group_name=_GROUP,
    kinds={"pointer"},
)
def visit_reference(context: dg.AssetExecutionContext, hst_root: HstRoot) -> dg.MaterializeResult:
    """The version of the target's reference as its visits see it (scatters to visits)."""
    with hst_root.visit_session(context) as session:
        path = product_path(session.workdir.root, "reference_image", session.workdir.target)
        record = read_record(path)
        if record is None:
            raise MissingProduct(
                "there is no reference image yet",
                where=session.workdir.target,
                next_step="Materialize reference_image of this target first",
            )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(record.digest),
            metadata={"reference": dg.MetadataValue.path(path)},
        )

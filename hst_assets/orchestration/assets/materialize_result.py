"""From a science step's result to what Dagster records of it."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from hst_assets.orchestration.checks import check_results
from hst_assets.orchestration.io_managers import product_path
from hst_assets.orchestration.metadata import describe
from hst_assets.orchestration.resources import Session
from hst_assets.provenance import Made

__all__ = ["BY_PATH", "materialize_result"]

#: Assets hand their product over as the path of a file that stands.
BY_PATH = dg.PythonObjectDagsterType(Path, name="ProductPath")


def materialize_result(
    context: dg.AssetExecutionContext,
    asset: str,
    made: Made,
    session: Session,
    *,
    tags: Mapping[str, str] | None = None,
) -> dg.MaterializeResult:
    """The materialization of `asset` for the run's partition.

    The data version is the recipe's digest: what was made again from the same inputs, settings
    and code is the same version, and nothing behind it becomes stale.
    """
    done = f"made: {made.why}" if made.ran else "unchanged"
    context.log.info(f"{asset} {context.partition_key}: {done} ({made.digest[:12]})")
    metadata = describe(made, session.workdir)
    if session.log_path.is_file():
        metadata["session_log"] = dg.MetadataValue.path(session.log_path)
    return dg.MaterializeResult(
        value=product_path(session.workdir.root, asset, context.partition_key),
        data_version=dg.DataVersion(made.digest),
        metadata=metadata,
        tags=tags,
        check_results=check_results(asset, made, session.workdir),
    )

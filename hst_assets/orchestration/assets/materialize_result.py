"""From a science step's result to what Dagster records of it."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.metadata import NOT_CHECKED, OUTCOME, describe
from hst_assets.orchestration.product_files import prefix_of_products
from hst_assets.orchestration.resources import Session, is_attended
from hst_assets.orchestration.unchanged import is_recorded, observe
from hst_assets.provenance import Made
from hst_assets.workdir import WorkDir

__all__ = ["BY_PATH", "materialize_result"]

#: Assets hand their product over as the path of an existing file.
BY_PATH = dg.PythonObjectDagsterType(Path, name="ProductPath")


def materialize_result(
    context: dg.AssetExecutionContext,
    row: AssetRow,
    made: Made,
    session: Session,
    *,
    tags: Mapping[str, str] | None = None,
) -> dg.MaterializeResult:
    """The materialization of the row's asset for the run's partition.

    What was found unchanged, and is recorded already, is logged as an observation instead
    (`hst_assets.orchestration.unchanged`).

    The data version is the recipe's digest: what was made again from the same inputs, settings
    and code is the same version, and nothing behind it becomes stale.
    """
    done = f"made: {made.why}" if made.ran else "unchanged"
    context.log.info(f"{row.name} {context.partition_key}: {done} ({made.digest[:12]})")
    if not made.ran and is_recorded(context, made.digest):
        metadata = observe(context, tags, attended=is_attended(context))
    else:
        prefix = prefix_of_products(context.instance)
        metadata = describe(made, session.workdir, served_below=prefix)
        if session.log_path.is_file():
            metadata["session_log"] = dg.MetadataValue.path(session.log_path)
    return dg.MaterializeResult(
        value=row.product(session.workdir, session.visit or None),
        data_version=dg.DataVersion(made.digest),
        metadata=metadata,
        tags=tags,
        check_results=_check_results(row, made, session.workdir),
    )


def _check_results(row: AssetRow, made: Made, workdir: WorkDir) -> list[dg.AssetCheckResult]:
    """Judge a product by all its checks."""
    results = []
    for check in row.checks:
        finding = check.find(made, workdir)
        results.append(
            dg.AssetCheckResult(
                check_name=check.name,
                passed=finding.passed,
                severity=dg.AssetCheckSeverity(finding.severity),
                description=finding.text,
                metadata={
                    **({"kind": finding.kind} if finding.kind else {}),
                    **({} if finding.checked else {OUTCOME: NOT_CHECKED}),
                },
            )
        )
    return results

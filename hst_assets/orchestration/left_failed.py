"""What is left failed: checks over all partitions, made once a day behind the nightly sweeps.

Each asset has a check `no_partition_left_failed`, which names partitions whose last run failed. The
archive's listings have `everything_delivered`: raw/ holds all that they list. Both judge what the
sweeps could not mend; targets that are retired are passed over, and levels that a target does not
want.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from hst_assets.orchestration.jobs import DELIVERED_CHECK, FAILED_CHECK
from hst_assets.orchestration.levels import AssetTable
from hst_assets.orchestration.metadata import NOT_CHECKED, OUTCOME
from hst_assets.orchestration.partition_keys import targets_of
from hst_assets.orchestration.partition_states import partitions_left_failed
from hst_assets.orchestration.resources import HstRoot
from hst_assets.orchestration.targets import (
    active_settings,
    archive_targets,
    costing_itself,
    targets_wanting,
)
from hst_assets.reasons import first_of

__all__ = ["left_failed"]

#: At most so many partitions are named.
_NAMED = 20


def left_failed(table: AssetTable) -> dg.AssetChecksDefinition:
    """The checks over all partitions of every asset of the table."""
    failed_specs = {
        row.name: dg.AssetCheckSpec(
            FAILED_CHECK,
            asset=row.name,
            description="No partition's last run has failed (nightly).",
        )
        for row in table
    }
    (listing,) = table.archive_level.assets
    delivered_spec = dg.AssetCheckSpec(
        DELIVERED_CHECK,
        asset=listing,
        description="raw/ has every file of the archive's listings (nightly).",
    )

    @dg.multi_asset_check(
        name="left_failed_checks", specs=[*failed_specs.values(), delivered_spec], can_subset=True
    )
    def left_failed(
        context: dg.AssetCheckExecutionContext, hst_root: HstRoot
    ) -> Iterator[dg.AssetCheckResult]:
        """Look through the instance for failed partitions, and through raw/ for what is missing."""
        wanted = context.op_execution_context.selected_asset_check_keys
        targets = active_settings(hst_root.path, context.log.warning)
        for row in table:
            if failed_specs[row.name].key in wanted:
                failed = partitions_left_failed(context.instance, row)
                wanting = targets_wanting(table.level_of(row.name), table, targets)
                active = [key for key in failed if targets_of([key]) <= wanting]
                yield _result(row.name, FAILED_CHECK, active)
        if delivered_spec.key in wanted:
            missing, unknown = _undelivered(hst_root, context)
            severity = dg.AssetCheckSeverity.WARN
            yield _result(listing, DELIVERED_CHECK, missing, severity, unknown=unknown)

    return left_failed


def _undelivered(
    hst_root: HstRoot, context: dg.AssetCheckExecutionContext
) -> tuple[list[str], list[str]]:
    """Visits that lack files, and targets of which that cannot be told: they have no listing."""
    from hst_assets.archive.listing import read_listing
    from hst_assets.archive.sync import outstanding

    missing: list[str] = []
    unknown: list[str] = []
    for target in archive_targets(hst_root.path, context.log.warning):
        workdir = hst_root.workdir(target)
        unknown.append(target)
        with costing_itself(target, context.log.warning):
            listing = read_listing(workdir)
            if listing is None:
                continue
            visits = outstanding(workdir, listing)
            missing += [f"{target}/{visit} ({len(found)} files)" for visit, found in visits.items()]
            unknown.remove(target)
    return missing, unknown


def _result(
    asset: str,
    check: str,
    wanting: Sequence[str],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    *,
    unknown: Sequence[str] = (),
) -> dg.AssetCheckResult:
    """What is wanting; or else of what it could not be told."""
    told = [first_of(wanting, _NAMED)] if wanting else []
    if unknown:
        named = first_of(unknown, _NAMED)
        told.append(f"not checked: no listing, or none that can be read: {named}")
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=check,
        passed=not told,
        severity=severity,
        description="; ".join(told) or "none",
        metadata={
            "count": len(wanting),
            **({OUTCOME: NOT_CHECKED} if unknown and not wanting else {}),
        },
    )

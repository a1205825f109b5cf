"""The asset of the archive: what MAST holds for a target."""

import datetime as dt

import dagster as dg

from hst_assets.archive.holdings import Listing
from hst_assets.failures import BadConfiguration, NothingFound
from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.assets.from_row import decorated
from hst_assets.orchestration.assets.materialize_result import materialize_result
from hst_assets.orchestration.fetch_visit import TRY_AGAIN
from hst_assets.orchestration.levels import AssetTable
from hst_assets.orchestration.partition_keys import register
from hst_assets.orchestration.resources import HstRoot, MastAccess, Session

__all__ = ["archive_exposures"]

#: The nightly schedule asks once a day; a day may fail.
_FRESH = dg.FreshnessPolicy.time_window(
    fail_window=dt.timedelta(hours=50), warn_window=dt.timedelta(hours=26)
)


def archive_exposures(row: AssetRow, table: AssetTable) -> dg.AssetsDefinition:
    """Write the asset of the archive's listing."""

    @decorated(row, table, freshness_policy=_FRESH)
    def archive_exposures(
        context: dg.AssetExecutionContext, hst_root: HstRoot, mast: dg.ResourceParam[MastAccess]
    ) -> dg.MaterializeResult:
        from hst_assets.archive.revalidation import revalidate
        from hst_assets.archive.sync import outstanding
        from hst_assets.orchestration.archive_report import reported_listing

        with hst_root.session(context, by_visit=False, tries=TRY_AGAIN) as session:
            _require_archive_target(session)
            listing = _asked(context, session)
            register(context.instance, session.workdir.target, listing.visits())
            # Reprocessed files may keep release and size: those fetched long ago are asked about.
            archive, token = session.settings.archive, mast.current_token()
            revalidate(session.workdir, listing.products, archive, token=token)
            missing = outstanding(session.workdir, listing)
            made = reported_listing(listing, sum(map(len, missing.values())))
            return materialize_result(context, row, made, session)

    return archive_exposures


def _asked(context: dg.AssetExecutionContext, session: Session) -> Listing:
    from hst_assets.archive.listing import current_listing, read_listing

    try:
        return current_listing(session.workdir, session.settings, refresh=True)
    except NothingFound as error:
        # An answer too: the target may be observed one day. A check says it.
        context.log.warning(str(error))
        remembered = read_listing(session.workdir)
        if remembered is None:
            raise
        return remembered


def _require_archive_target(session: Session) -> None:
    if not session.settings.archive.query:
        raise BadConfiguration(
            "this target is not looked for in the archive",
            where=session.workdir.target,
            next_step=f"Run 'hst-assets target add {session.workdir.target}', or set "
            "archive.query = true",
        )

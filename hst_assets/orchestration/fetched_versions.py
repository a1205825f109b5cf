"""Which version of a visit's inputs was fetched last: what a sensor need not ask for again.

A run that fetches changes raw/ itself. Without this, the sensor on raw/ would take the change for
news and run the visit again. `raw_exposures` therefore writes the version that it took, after
fetching and before reading, into a tag of its materialization (or of the observation that it
stands unchanged); the version counts as fetched once the rest of the level is made from the same
run.
"""

from __future__ import annotations

import dagster as dg

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.input_versions import input_versions
from hst_assets.workdir import WorkDir

__all__ = ["has_consumed", "inputs_tag"]

_TAG = "hst_assets/inputs"
#: Dagster refuses longer values.
_TAG_LENGTH = 40
_LEVEL = ASSETS.raw_level


def inputs_tag(workdir: WorkDir, partition: str) -> dict[str, str]:
    """The tag for a materialization of `raw_exposures`; empty where raw/ has nothing of it."""
    version = input_versions(workdir, _LEVEL, ASSETS).get(partition)
    return {_TAG: version[:_TAG_LENGTH]} if version else {}


def has_consumed(instance: dg.DagsterInstance, partition: str, version: str) -> bool:
    """Whether the last whole run of the visit's first level took this version of its inputs."""
    latest = {asset: _latest(instance, asset, partition) for asset in _LEVEL.assets}
    if None in latest.values() or len({entry.run_id for entry in latest.values() if entry}) > 1:
        return False
    (reads_raw,) = (asset for asset in _LEVEL.assets if ASSETS[asset].source == "raw")
    entry = latest[reads_raw]
    event = (entry.asset_materialization or entry.asset_observation) if entry else None
    tags = (event.tags or {}) if event else {}
    return tags.get(_TAG) == version[:_TAG_LENGTH]


def _latest(instance: dg.DagsterInstance, asset: str, partition: str) -> dg.EventLogEntry | None:
    """The latest materialization, or the observation that it stands, whichever was later."""
    wanted = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[partition])
    records = [
        *instance.fetch_materializations(wanted, limit=1).records,
        *instance.fetch_observations(wanted, limit=1).records,
    ]
    entries = [record.event_log_entry for record in records]
    return max(entries, key=lambda entry: entry.timestamp, default=None)

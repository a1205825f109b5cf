"""``hst-assets retry``: ask again for all that has failed since a moment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from hst_assets.cli.deployment import opened_instance
from hst_assets.cli.terminal import RootOption, output, root_or_default
from hst_assets.failures import BadConfiguration
from hst_assets.workdir import WorkDir

__all__ = ["retry_command"]

_AGO = re.compile(r"(\d+)([hd])")
_UNITS = {"h": "hours", "d": "days"}


def retry_command(
    since: Annotated[
        str,
        typer.Option(help="How long ago (12h, 2d), or since when (2026-11-30T20:00, UTC)."),
    ] = "24h",
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Only this target (repeat for several).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what failed.")] = False,
    root: RootOption = None,
) -> None:
    """Retry every partition whose last run failed, by default within the last 24 hours.

    The sensors of the levels, if they are started, request the runs at their next tick. Partitions
    that were made since then are skipped, and so are retired targets. What has no inputs now is
    named: it is requested once it has.
    """
    moment = _moment(since, datetime.now(UTC))
    folder = root_or_default(root)
    with opened_instance() as instance:
        from hst_assets.orchestration.asset_table import ASSETS
        from hst_assets.orchestration.dagster_private import running_sensor_cursors
        from hst_assets.orchestration.retrying import ask_again, failed_since, without_inputs
        from hst_assets.orchestration.settled import sensor_name
        from hst_assets.orchestration.targets import active_targets

        active = active_targets(folder)
        for name in target or ():
            _require_active(name, active, folder)
        failed = failed_since(instance, ASSETS, moment, set(target or active))
        running = running_sensor_cursors(instance)
        for job, partitions in failed.items():
            _say(f"{job}: {len(partitions)} failed: {', '.join(partitions)}")
            level = ASSETS.level_named(job)
            _show_lacking(without_inputs(folder, level, partitions, ASSETS))
            sensor = sensor_name(level)
            if dry_run:
                continue
            ask_again(instance, job, partitions)
            if sensor not in running:
                _say(
                    f"  {sensor} is not started: start it in the web UI ('hst-assets up'), or run "
                    "'hst-assets materialize' for these targets"
                )
    if not failed:
        _say(f"nothing failed since {moment:%Y-%m-%d %H:%M} UTC, or it was made later")


def _require_active(target: str, active: Sequence[str], root: Path) -> None:
    workdir = WorkDir(root, target).existing()
    if target not in active:
        raise BadConfiguration(
            "a retired target is not retried",
            where=workdir.base,
            next_step=f"'hst-assets target add {target}' follows it again",
        )


def _show_lacking(lacking: Mapping[str, str]) -> None:
    """Partitions that no sensor requests now, by what they lack."""
    for why in dict.fromkeys(lacking.values()):
        keys = [key for key, reason in lacking.items() if reason == why]
        _say(f"  not requested until that changes ({why}): {', '.join(keys)}")


def _say(line: str) -> None:
    output().print(line, highlight=False, markup=False)


def _moment(text: str, now: datetime) -> datetime:
    """When that was: so long before now, or a time, by itself UTC."""
    if ago := _AGO.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadConfiguration(
            f"{text!r} is neither a time nor how long ago it was",
            where="--since",
            next_step="Give hours (12h), days (2d) or a time (2026-11-30T20:00)",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

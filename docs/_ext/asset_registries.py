"""Assets, jobs, checks, sensors and schedules as tables (see `registries`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from markdown_table import prose, table

__all__ = ["assets", "checks", "jobs", "products", "redo", "schedules", "sensors"]


def _partition(level_or_row: Any) -> str:
    return "`target/visit`" if level_or_row.by_visit else "`target`"


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def assets() -> list[str]:
    """The assets in the order in which a target is walked."""
    from hst_assets.orchestration.asset_table import ASSETS

    rows = [(f"`{row.name}`", _partition(row), prose(row.description)) for row in ASSETS]
    return table(("asset", "partition", "what it is"), rows)


def products() -> list[str]:
    """What each asset is made from, and its file."""
    from hst_assets.orchestration.asset_table import ASSETS

    rows = [
        (
            f"`{row.name}`",
            _made_from(row),
            f"`{row.printed_path}`" if row.path else "none",
        )
        for row in ASSETS
    ]
    return table(("asset", "made from", "file"), rows)


def _made_from(row: Any) -> str:
    if not row.shown:
        return _named(sorted(row.upstream))
    return f"{_named(sorted(row.upstream))}; where made: {_named(row.shown)}"


def jobs() -> list[str]:
    """The jobs: one a level."""
    from hst_assets.orchestration.asset_table import ASSETS

    rows = [
        (
            f"`{level.job}`",
            level.purpose,
            _partition(level),
            _named(level.assets),
            _named(level.after),
        )
        for level in ASSETS.levels
    ]
    return table(("job", "what for", "partition", "assets", "after"), rows)


def checks() -> list[str]:
    """The asset checks."""
    from hst_assets.orchestration.asset_table import ASSETS

    rows = [
        (f"`{row.name}`", f"`{check.name}`", "yes" if check.blocking else "", check.description)
        for row in ASSETS
        for check in row.checks
    ]
    return table(("asset", "check", "blocking", "what must hold"), rows)


def redo() -> list[str]:
    """The options to make things again, and what each of them remakes."""
    from hst_assets.orchestration.asset_table import ASSETS

    rows = [
        (
            f"`{kind.option}` (`{kind.field}`)",
            _named(row.name for row in ASSETS if kind.name in row.redo),
        )
        for kind in ASSETS.redo_kinds
    ]
    rows += [("`--redo` (`redo`)", "all of these"), ("`--clobber` (`clobber`)", "everything")]
    return table(("option (field of the run configuration)", "makes again"), rows)


def sensors() -> list[str]:
    """The sensors, and what each of them looks for."""
    from hst_assets.definitions import defs

    rows = [
        (
            f"`{sensor.name}`",
            _run_by(sensor),
            prose(sensor.description or ""),
        )
        for sensor in defs.get_repository_def().sensor_defs
    ]
    return table(("sensor", "runs", "when"), sorted(rows, key=lambda row: _depth_of(row[0])))


def _run_by(sensor: Any) -> str:
    """The assets of the level that a sensor runs; one that only tells runs none."""
    from hst_assets.orchestration.asset_table import ASSETS

    return _named(ASSETS.level_named(sensor.job_name).assets) if sensor.targets else "nothing"


def schedules() -> list[str]:
    """The schedules, in the order of the night."""
    from hst_assets.definitions import defs

    rows = []
    for schedule in defs.get_repository_def().schedule_defs:
        minute, hour = str(schedule.cron_schedule).split()[:2]
        moment = f"{int(hour):02d}:{int(minute):02d}"
        rows.append((f"`{schedule.name}`", moment, prose(schedule.description or "")))
    return table(("schedule", "at (UTC)", "what"), sorted(rows, key=lambda row: row[1]))


def _depth_of(printed_sensor: str) -> int:
    from hst_assets.orchestration.asset_table import ASSETS

    job = printed_sensor.strip("`").removesuffix("_sensor")
    return next((level.depth for level in ASSETS.levels if level.job == job), -1)

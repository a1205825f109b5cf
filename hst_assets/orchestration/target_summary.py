"""The states of many targets, quickly: what was made, and the last comparison.

To compare every product with today's recipe takes seconds a target (`orchestration.forecast`).
Its answer is kept beside the target's locks, with the modification times of folders, settings and
the files that settings name, the versions of the code and the time of the installed packages. While
all of these are the same, it is told again; otherwise the target is "not compared". A product that
was edited in place is noticed by the next comparison only.
"""

from __future__ import annotations

import json
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from hst_assets.failures import HstAssetsError
from hst_assets.orchestration.forecast import Forecast, forecast
from hst_assets.orchestration.levels import AssetTable
from hst_assets.provenance import digest_of
from hst_assets.settings import Settings, load_settings
from hst_assets.settings.named_paths import files_in, paths_named
from hst_assets.stages import STAGES
from hst_assets.workdir import WorkDir, stamp_if_there, time_in, write_atomically

__all__ = ["TargetSummary", "compared", "summary"]

#: What was changed less than this before a comparison began may have changed again unseen, seconds
#: of the clock of the file system, which may not be ours.
_SETTLED_S = 2.0


@dataclass(frozen=True)
class TargetSummary:
    """The state of one target.

    Attributes
    ----------
    target : str
        Its name.
    n_visits : int
        Visits with verified exposures.
    n_wanted, n_made : int
        Products that the settings want, and those of them that have a record.
    last_made : str
        When the last of these was made (UTC); empty if there is none.
    compared : str
        When they were last compared with today's recipes (UTC); empty if that does not hold any
        more.
    states : mapping
        How many were then of each state (`Forecast.state`).
    published : mapping
        How many products are published so (`hst_assets.publishing.receipt.Publication`); empty
        where no destination is set.
    """

    target: str
    n_visits: int = 0
    n_wanted: int = 0
    n_made: int = 0
    last_made: str = ""
    compared: str = ""
    states: dict[str, int] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)


def summary(workdir: WorkDir, table: AssetTable) -> TargetSummary:
    """The state of a target, without comparing anything now.

    Raises
    ------
    BadConfiguration
        If its settings or ledger are not valid.
    MissingProduct
        If the choice of the reference cannot be read.
    """
    from hst_assets.exposures.raw import visits_in
    from hst_assets.publishing.receipt import publications

    held, settings = visits_in(workdir), load_settings(workdir)
    records = list(_wanted_records(workdir, table, settings, held))
    stamps = map(stamp_if_there, records)
    times = [stamp[0] / 1e9 for stamp in stamps if stamp]
    kept = _kept(workdir) or {}
    return TargetSummary(
        workdir.target,
        n_visits=len(held),
        n_wanted=len(records),
        n_made=len(times),
        last_made=_utc(max(times)) if times else "",
        compared=kept.get("compared", ""),
        states=kept.get("states", {}),
        published=dict(Counter(publications(workdir, settings).values())),
    )


def compared(workdir: WorkDir, table: AssetTable, *, anew: bool = True) -> list[Forecast]:
    """Compare every product of a target with today's recipe, and keep the answer.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    table : AssetTable
        Which products there are.
    anew : bool, optional
        Otherwise an answer that was kept serves, of which only what is not up to date is told.

    Raises
    ------
    BadConfiguration, MissingProduct
        As `forecast` does.
    """
    kept = None if anew else _kept(workdir)
    if kept is not None:
        return [_forecast(row) for row in kept["amiss"]]
    began, began_there, stamp = time.time(), time_in(workdir.runfiles), _stamp_of(workdir)
    found = list(forecast(workdir, table))
    is_settled = began_there is not None and stamp.newest < began_there - _SETTLED_S
    if is_settled and stamp == _stamp_of(workdir):
        content = {
            "stamp": stamp.digest,
            "compared": _utc(began),
            "states": dict(Counter(each.state for each in found)),
            "amiss": [asdict(each) for each in found if not each.is_fine],
        }
        with suppress(OSError), write_atomically(workdir.last_comparison) as part:
            part.write_text(json.dumps(content))
    return found


def _wanted_records(
    workdir: WorkDir, table: AssetTable, settings: Settings, held: list[str]
) -> Iterator[Path | str]:
    """The records of all products that settings want."""
    base = str(workdir.base)
    for row in table:
        if (
            row.path
            and row.source != "archive"
            and table.is_wanted(table.level_of(row.name), settings)
        ):
            if row.by_visit:
                yield from (f"{base}/{_record_of_visit(row.path, visit)}" for visit in held)
            else:
                yield WorkDir.record(row.product(workdir))


@lru_cache(maxsize=2**17)
def _record_of_visit(path: str, visit: str) -> str:
    """Where a record lies in any work directory: to ask each for it takes half of a summary."""
    anywhere = WorkDir(Path("/"), "anywhere")
    return anywhere.relative(WorkDir.record(getattr(anywhere, path)(visit)))


def _kept(workdir: WorkDir) -> dict[str, Any] | None:
    """The last comparison; None where there is none, or something has changed since."""
    try:
        content: dict[str, Any] = json.loads(workdir.last_comparison.read_bytes())
        stands = content["stamp"] == _stamp_of(workdir).digest
        _ = content["compared"], content["states"].items(), list(map(_forecast, content["amiss"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, HstAssetsError):
        return None
    return content if stands else None


@dataclass(frozen=True)
class _Stamp:
    digest: str
    newest: float


def _stamp_of(workdir: WorkDir) -> _Stamp:
    """Of all by which it is seen that something has changed."""
    folders = [
        workdir.base,
        workdir.raw,
        workdir.workspace,
        workdir.drizzle,
        workdir.dolphot,
        workdir.light_curve.parent,
        workdir.counterpart.parent,
        workdir.hap,
        *workdir.dolphot.glob("*/"),
        *workdir.hap.glob("*/"),
        *workdir.hap.glob("*/*/"),
    ]
    named = paths_named(load_settings(workdir), workdir).values()
    # A file in a folder may be written in place, by which the folder's time stays.
    written = [*workdir.user_files, *named, *(file for path in named for file in files_in(path))]
    stamps = {str(path): stamp_if_there(path) for path in (*folders, *written, workdir.checksums)}
    code = {name: stage.version for name, stage in STAGES.items()}
    packages = stamp_if_there(Path(sysconfig.get_path("purelib")))
    newest = max((each[0] / 1e9 for each in stamps.values() if each), default=0.0)
    return _Stamp(digest_of([stamps, code, packages]), newest)


def _forecast(row: Mapping[str, Any]) -> Forecast:
    return Forecast(**{**row, "reasons": tuple(row["reasons"])})


def _utc(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")

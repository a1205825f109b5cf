"""What blocks assets: products that were neither made nor selected, and what failed.

A run and its forecast go by the same words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from hst_assets.identifiers import VisitKey
from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.levels import AssetTable
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["Failed", "blocked_in_words", "never_made"]


def never_made(
    table: AssetTable,
    workdir: WorkDir,
    assets: Sequence[str],
    partition: str,
    *,
    chosen: Collection[str] = (),
) -> dict[str, list[str]]:
    """Of assets that are to be made together, those that lack something, each with what.

    Parameters
    ----------
    table : AssetTable
        What is made from what.
    workdir : WorkDir
        The target's.
    assets : sequence of str
        Of one level, made in one run: one may be made from another of them.
    partition : str
        Their partition.
    chosen : collection of str, optional
        Others that will have been made by then.

    Returns
    -------
    dict
        By asset, the names of the missing products, upstream ones first. Upstream of a missing
        product, missing products are looked for in turn.
    """
    visit = VisitKey.parse(partition).visit if "/" in partition else None
    lacking = {}
    for asset in assets:
        made = {*assets, *chosen}
        names = list(dict.fromkeys(_in_the_way(table, workdir, table[asset], visit, made)))
        if names:
            lacking[asset] = names
    return lacking


def blocked_in_words(
    table: AssetTable,
    settings: Settings,
    assets: Sequence[str],
    blocked: Mapping[str, Sequence[str]],
) -> dict[str, str]:
    """Why none of some assets of one level is tried, by asset.

    Parameters
    ----------
    table : AssetTable
        Their rows.
    settings : Settings
        Of the target: whether a run of all makes them.
    assets : sequence of str
        All that were to be made in one run.
    blocked : mapping
        As `never_made` tells it of them.
    """
    missing = list(dict.fromkeys(name for names in blocked.values() for name in names))
    choice = ",".join((*missing, *assets))
    level = table.level_of(assets[0])
    wish = "" if table.is_wanted(level, settings) else f"setting {level.wanted} and "
    told = {
        asset: f"never made: {', '.join(names)}: choose them too (--select {choice}), or all by "
        f"{wish}leaving --select out"
        for asset, names in blocked.items()
    }
    return told | {
        asset: "not made, because others were not" for asset in assets if asset not in blocked
    }


class Failed:
    """What has failed so far, and what is not tried because of it.

    A visit that failed costs itself: what gathers visits takes the others.
    """

    def __init__(self, table: AssetTable) -> None:
        self._table = table
        self._failed: set[tuple[str, str]] = set()

    def add(self, asset: str, partition: str) -> None:
        """Take note of what was not made."""
        self._failed.add((asset, partition))

    def upstream_of(self, assets: Sequence[str], partition: str) -> dict[str, str]:
        """Of the assets, those that cannot be made, each with what failed upstream of it."""
        target = partition.partition("/")[0]
        found: dict[str, str] = {}
        for asset in assets:
            row = self._table[asset]
            needs = [(up, partition) for up in row.after]
            needs += [(row.scatters, target)] if row.scatters else []
            causes = [up for up, key in needs if (up, key) in self._failed or up in found]
            if causes:
                found[asset] = causes[0]
        return found


def _in_the_way(
    table: AssetTable,
    workdir: WorkDir,
    row: AssetRow,
    visit: str | None,
    chosen: Collection[str],
) -> Iterator[str]:
    """Missing products upstream of a row, those upstream first."""
    for name in row.upstream:
        upstream = table[name]
        if name in chosen:
            continue
        if not upstream.path:  # a pointer is there when what it hands on is
            yield from _in_the_way(table, workdir, upstream, visit, chosen)
        elif not _is_there(workdir, upstream, visit):
            yield from _in_the_way(table, workdir, upstream, visit, chosen)
            yield name


def _is_there(workdir: WorkDir, row: AssetRow, visit: str | None) -> bool:
    """Whether a product was made, if only once: a file that is gone since is another matter.

    Of visits that are gathered, or of one whose target is not in the way, one is enough.
    """
    from hst_assets.exposures.raw import visits_in

    visits: Sequence[str | None] = [None]
    if row.by_visit:
        visits = [visit] if visit else visits_in(workdir)
    paths = [row.product(workdir, each) for each in visits]
    return any(path.is_file() or WorkDir.record(path).is_file() for path in paths)

"""What is in the way of a choice of assets: products upstream that nobody made and nobody chose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hst_assets.identifiers import VisitKey
from hst_assets.orchestration.levels import AssetRow, AssetTable
from hst_assets.workdir import WorkDir

__all__ = ["never_made"]


def never_made(
    table: AssetTable, workdir: WorkDir, assets: Sequence[str], partition: str
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

    Returns
    -------
    dict
        Names of the missing products, those upstream first. What is not there at all is asked for
        what it is made from in turn.
    """
    visit = VisitKey.parse(partition).visit if "/" in partition else None
    lacking = {}
    for asset in assets:
        names = list(dict.fromkeys(_in_the_way(table, workdir, table[asset], visit, assets)))
        if names:
            lacking[asset] = names
    return lacking


def _in_the_way(
    table: AssetTable,
    workdir: WorkDir,
    row: AssetRow,
    visit: str | None,
    chosen: Sequence[str],
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

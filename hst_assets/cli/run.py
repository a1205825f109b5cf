"""``hst-assets run``: from a position to images in one command, with hst123's options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal
from rich.markup import escape

from hst_assets.cli.absent_options import refuse_absent_options
from hst_assets.cli.archive import show_listing
from hst_assets.cli.clean import clean_target
from hst_assets.cli.console_log import keep_console
from hst_assets.cli.deployment import opened_instance, require_writable
from hst_assets.cli.env_file import introduce_folder
from hst_assets.cli.ingest import ingest_into, raise_if_not_taken, show
from hst_assets.cli.option_groups import takes_redo
from hst_assets.cli.position_argument import PositionArgument, PositionCommand
from hst_assets.cli.run_target import RunSummary, raise_for, run_and_report
from hst_assets.cli.setting_options import Changes, takes_settings, told_by_option
from hst_assets.cli.target_settings import (
    asked_settings,
    describe,
    place_from,
    show_changes,
    tentatively,
)
from hst_assets.cli.terminal import RootOption, errors, output, split_names
from hst_assets.cli.token_option import TokenOption, token_given
from hst_assets.cli.work_directory import WorkDirOption, named_workdir
from hst_assets.failures import BadConfiguration, NothingFound
from hst_assets.settings import load_settings, settings_after, write_settings
from hst_assets.workdir import WorkDir

if TYPE_CHECKING:
    from hst_assets.archive.credentials import Token
    from hst_assets.orchestration.run_target import LevelResult

__all__ = ["RunCommand", "run_command"]

_ALWAYS = "No effect; accepted for hst123 compatibility."


class RunCommand(PositionCommand):
    """Takes hst123's command line; what has no counterpart is refused with its reason."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, after a look for options that are not there."""
        refuse_absent_options(args)
        return super().parse_args(ctx, args)


@dataclass(frozen=True)
class _Sources:
    """Where exposures come from."""

    download: bool
    raw_dir: Path | None
    skip_copy: bool


@takes_settings("archive", "selection", "processing", "light_curve")
@takes_redo
def run_command(
    position: PositionArgument = None,
    *,
    redo: dict[str, bool],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the object, instead of RA and DEC.")
    ] = None,
    work_dir: WorkDirOption = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Name of the target: its folder below --root.")
    ] = None,
    root: RootOption = None,
    download: Annotated[
        bool, typer.Option("--download", help="Query MAST and fetch missing exposures.")
    ] = False,
    raw_dir: Annotated[
        Path | None, typer.Option("--raw-dir", help="Ingest the exposures of this folder first.")
    ] = None,
    skip_copy: Annotated[
        bool,
        typer.Option("--skip-copy", help="Do not ingest exposures from the tree of --archive."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what --download would fetch; change nothing.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="No effect: --download always refreshes.")
    ] = False,
    token: TokenOption = None,
    select: Annotated[
        list[str] | None, typer.Option(help="Only these assets (repeat, or separate by commas).")
    ] = None,
    cleanup: Annotated[
        bool, typer.Option("--cleanup", help="If nothing failed, clean up like 'hst-assets clean'.")
    ] = False,
    by_visit: Annotated[bool, typer.Option("--by-visit", help=_ALWAYS)] = False,
    drizzle_all: Annotated[bool, typer.Option("--drizzle-all", help=_ALWAYS)] = False,
    no_clear_downloads: Annotated[bool, typer.Option("--no-clear-downloads", help=_ALWAYS)] = False,
    changes: Changes,
) -> None:
    """Find, fetch, align and drizzle the exposures of a position, with hst123's options.

    The options are written to the target's settings, where they stay. What is up to date
    is neither fetched nor remade.
    """
    del by_visit, drizzle_all, no_clear_downloads, refresh
    place = place_from(position, name)
    otherwise = place.target_name(changes.get("archive", {}).get("proposals", ()))
    workdir = named_workdir(work_dir=work_dir, target=target, root=root, otherwise=otherwise)
    asked = asked_settings(workdir, place, changes, query=download or dry_run)
    with told_by_option(changes):
        settings_after(workdir, asked)  # before anything is asked or made
    if dry_run:
        _show_what_would_be_fetched(workdir, asked)
        return
    secret = token_given(token) if download else None
    sources = _Sources(download, raw_dir, skip_copy)
    _refuse_no_folders(sources, asked.get("archive", {}).get("tree"))
    _make_ready(workdir)
    settings = write_settings(workdir, asked)
    keep_console(workdir)
    output().print(f"{workdir.base}: {describe(settings)}", highlight=False, markup=False)
    show_changes(asked)
    _run(workdir.create(), sources, redo, split_names(select), secret)
    if cleanup:
        clean_target(workdir)


def _make_ready(workdir: WorkDir) -> None:
    """Find out, before anything is asked or written, that the results can be kept."""
    require_writable(workdir)
    introduce_folder(workdir)
    with opened_instance() as instance:
        from hst_assets.orchestration.target_roots import claim

        claim(instance, workdir)


def _refuse_no_folders(sources: _Sources, tree: str | None) -> None:
    """Folders to take exposures from must be there; a tree that is filled is made."""
    if sources.raw_dir is not None and not sources.raw_dir.is_dir():
        raise BadConfiguration("no such folder", where=f"--raw-dir {sources.raw_dir}")
    if tree is not None and not sources.download and not Path(tree).is_dir():
        raise BadConfiguration("no such folder", where=f"--archive {tree}")


def _run(
    workdir: WorkDir,
    sources: _Sources,
    again: dict[str, bool],
    assets: list[str],
    token: Token | None,
) -> None:
    """Bring in what lies here, run the levels, and say what was delivered."""
    from hst_assets.exposures.raw import raw_ledger

    before = {(file.name, file.sha256) for file in raw_ledger(workdir)}
    _adopt(workdir)
    _ingest(workdir, sources)
    if not sources.download and not raw_ledger(workdir):
        raise NothingFound(
            "no usable exposures found",
            where=workdir.raw,
            next_step="Give --download, or --raw-dir or --archive with exposures",
        )

    def go_on(outcome: LevelResult) -> bool:
        if outcome.level != "target_archive":
            return True
        if not outcome.failures:
            _show_archive(workdir)
        return not outcome.failures or bool(raw_ledger(workdir))

    summary = run_and_report(
        workdir,
        assets=_with_downloads(assets) if sources.download else assets,
        redo=again,
        offline=not sources.download,
        token=token,
        look=go_on,
    )
    new = [file for file in raw_ledger(workdir) if (file.name, file.sha256) not in before]
    _summarize(workdir, summary, len(new), sum(file.size for file in new))
    if sources.download:
        _tell_not_asked(workdir)
        _tell_lacking(workdir)
    raise_for(summary, workdir)


def _with_downloads(assets: list[str]) -> list[str]:
    """A choice of assets, with those that ask and fetch: ``--download`` is a wish of its own."""
    return ["archive_exposures", "raw_exposures", *assets] if assets else []


def _adopt(workdir: WorkDir) -> None:
    """Verify files of raw/ that nobody has verified, in place: hst123's, or put there by hand."""
    from hst_assets.exposures.raw import raw_ledger
    from hst_assets.exposures.sources import fits_files_in

    verified = {file.name for file in raw_ledger(workdir)}
    found = [path for path in fits_files_in(workdir.raw) if path.name not in verified]
    if found:
        output().print(f"{workdir.raw}: {len(found)} files not verified yet")
        _take(workdir, found)


def _take(workdir: WorkDir, sources: list[Path], **options: Any) -> None:
    report = ingest_into(workdir, sources, **options)
    show(report, workdir)
    raise_if_not_taken(report, workdir)


def _ingest(workdir: WorkDir, sources: _Sources) -> None:
    """Files of a folder, and of the archive tree where nothing is fetched through it."""
    place = load_settings(workdir)
    tree = place.archive.tree and workdir.base / place.archive.tree
    if sources.raw_dir is not None:
        _take(workdir, [sources.raw_dir])
    if tree is None or sources.skip_copy or sources.download:
        return
    if place.target.ra_deg is None or place.target.dec_deg is None:
        raise BadConfiguration("--archive needs a position: give RA and DEC")
    _take(workdir, [], archive=tree, position=(place.target.ra_deg, place.target.dec_deg))


def _show_what_would_be_fetched(workdir: WorkDir, asked: Changes) -> None:
    """Ask the archive, compare with raw/, and leave everything as it was."""
    from hst_assets.archive.listing import current_listing
    from hst_assets.archive.sync import outstanding

    with tentatively(workdir, asked) as trial:
        settings = load_settings(trial)
        output().print(describe(settings), highlight=False, markup=False)
        listing = current_listing(trial, settings, refresh=True)
    show_listing(listing, outstanding(workdir, listing))


def _show_archive(workdir: WorkDir) -> None:
    from hst_assets.archive.listing import read_listing
    from hst_assets.archive.sync import outstanding

    listing = read_listing(workdir)
    if listing is not None:
        show_listing(listing, outstanding(workdir, listing))


def _summarize(workdir: WorkDir, summary: RunSummary, n_new: int, size: int) -> None:
    """The query, and its results."""
    from hst_assets.exposures.raw import raw_ledger

    files = raw_ledger(workdir)
    visits = {file.visit for file in files}
    held = f"{_number(len(files), 'file')} of {_number(len(visits), 'visit')}"
    asked = "archive queried; " if summary.archive_asked else ""
    lines = [
        f"query: {describe(load_settings(workdir))}",
        f"raw/: {held}, {n_new} new ({decimal(size)})",
        f"{asked}assets: {summary.n_made} made, {summary.n_unchanged} up to date",
        f"products: {workdir.drizzle}",
    ]
    for line in lines:
        output().print(line, highlight=False, markup=False)


def _number(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _tell_not_asked(workdir: WorkDir) -> None:
    """Name the visits of raw/ that the listing lacks: they stay."""
    from hst_assets.archive.listing import read_listing
    from hst_assets.exposures.raw import visits_in

    listing = read_listing(workdir)
    others = sorted(set(visits_in(workdir)) - set(listing.visits())) if listing else []
    if others:
        errors().print(
            f"[yellow]note[/yellow] visits in raw/ that the archive query does not include: "
            f"{', '.join(others)}; they are kept, and used unless the selection rejects them",
            highlight=False,
        )


def _tell_lacking(workdir: WorkDir) -> None:
    """Name the files that the archive lists and raw/ lacks."""
    from hst_assets.archive.listing import read_listing
    from hst_assets.archive.sync import outstanding

    listing = read_listing(workdir)
    lacking = outstanding(workdir, listing) if listing else {}
    for visit, products in lacking.items():
        names = ", ".join(product.name for product in products)
        errors().print(f"[red]not delivered[/red] {visit}: {escape(names)}", highlight=False)

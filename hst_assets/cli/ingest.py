"""``hst-assets ingest``: verified exposures into raw/, target and visits into Dagster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from hst_assets.cli.deployment import opened_instance, require_writable
from hst_assets.cli.env_file import introduce_folder
from hst_assets.cli.position_argument import position_from
from hst_assets.cli.terminal import RootOption, errors, output, root_or_default
from hst_assets.failures import BadConfiguration, MachineFailure, UnusableInput
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir, set_position_step

if TYPE_CHECKING:
    from hst_assets.exposures.bounded_verification import Verified
    from hst_assets.exposures.ingest import IngestReport, Mode, Rejected

__all__ = ["ingest_command", "ingest_into", "raise_if_not_taken", "show"]

#: So many rootnames are named in a note.
_MOST_LISTED = 4


def ingest_command(
    sources: Annotated[
        list[Path] | None, typer.Argument(help="Folders or files to ingest.", show_default=False)
    ] = None,
    *,
    target: Annotated[str, typer.Option(help="Name of the target.", show_default=False)],
    ra: Annotated[str | None, typer.Option(help="Right ascension: degrees or h:m:s.")] = None,
    dec: Annotated[str | None, typer.Option(help="Declination: degrees or d:m:s.")] = None,
    archive: Annotated[
        Path | None, typer.Option(help="Archive tree INST/DET/round(ra)/name to search.")
    ] = None,
    mode: Annotated[
        str, typer.Option(help="How files get into raw/: copy, symlink or hardlink.")
    ] = "copy",
    clobber: Annotated[
        bool, typer.Option("--clobber", help="Replace files in raw/ whose content differs.")
    ] = False,
    root: RootOption = None,
) -> None:
    """Verify exposures, place them read-only in raw/, and register the target and its visits."""
    if mode not in {"copy", "symlink", "hardlink"}:
        raise BadConfiguration(f"unknown mode {mode!r}", next_step="Use copy, symlink or hardlink")
    if not sources and archive is None:
        raise BadConfiguration("nothing to ingest", next_step="Give folders, files or --archive")
    workdir = WorkDir(root_or_default(root), target)
    report = ingest_into(
        workdir,
        sources or [],
        archive=archive,
        position=position_from(ra, dec),
        mode=mode,  # type: ignore[arg-type]
        replace=clobber,
    )
    show(report, workdir)
    _show_position(workdir)
    raise_if_not_taken(report, workdir)
    if not report.accepted and not report.unchanged:
        raise UnusableInput("no usable exposures in the given sources", where=target)


def ingest_into(
    workdir: WorkDir,
    sources: list[Path],
    *,
    archive: Path | None = None,
    position: tuple[float, float] | None = None,
    mode: Mode = "copy",
    replace: bool = False,
) -> IngestReport:
    """Ingest, and register what was taken with Dagster.

    Before the first byte is copied, it is checked that both are possible.

    Raises
    ------
    BadConfiguration
        If `archive` is given without `position`, the work directory is not writable, or the target
        belongs to another root.
    """
    from hst_assets.exposures.archive_tree import exposures_near
    from hst_assets.exposures.ingest import ingest
    from hst_assets.orchestration.partition_keys import register
    from hst_assets.orchestration.target_roots import claim

    ra_deg, dec_deg = position or (None, None)
    files = list(sources)
    if archive is not None:
        if position is None:
            raise BadConfiguration("--archive needs a position: give --ra and --dec")
        files += exposures_near(archive, *position)
    require_writable(workdir)
    introduce_folder(workdir)
    with opened_instance() as instance:
        claim(instance, workdir)
        report = ingest(files, workdir, mode=mode, replace=replace, ra_deg=ra_deg, dec_deg=dec_deg)
        if report.visits:
            register(instance, workdir.target, report.visits)
    return report


def show(report: IngestReport, workdir: WorkDir) -> None:
    """Print the result for the files, the rejected ones with their reason at the end."""
    console = output()
    not_taken = _not_taken(report)
    n_rejected = len(report.rejected) - len(not_taken)
    console.print(
        f"{len(report.accepted)} files ingested, {len(report.unchanged)} already present, "
        f"{n_rejected} rejected{f', {len(not_taken)} not ingested' if not_taken else ''}; "
        f"visits: {', '.join(report.visits) or 'none'}"
    )
    for rejected in report.rejected:
        verb = "[red]not ingested[/red]" if rejected.by_machine else "[yellow]rejected[/yellow]"
        errors().print(
            f"{verb} {escape(str(rejected.path))}: {escape(rejected.reason)}", highlight=False
        )
    for path, reason in report.passed_over:
        errors().print(
            f"[yellow]passed over[/yellow] {escape(str(path))}: {escape(reason)}", highlight=False
        )
    for note in (_note_of_fields(report, workdir), _note_of_others(report)):
        if note:
            errors().print(f"[yellow]note[/yellow] {escape(note)}", highlight=False)


def raise_if_not_taken(report: IngestReport, workdir: WorkDir) -> None:
    """End with a failure if this machine, and not the files, kept files from being taken.

    Raises
    ------
    MachineFailure
        If a disk, permission or limit of the machine did.
    """
    if not_taken := _not_taken(report):
        n = len(not_taken)
        raise MachineFailure(
            f"{n} file{'s were' if n > 1 else ' was'} not ingested: this machine failed, not the "
            "data",
            where=workdir.raw,
            next_step="See the reasons above, then run the same command again",
        )


def _not_taken(report: IngestReport) -> list[Rejected]:
    return [rejected for rejected in report.rejected if rejected.by_machine]


def _note_of_fields(report: IngestReport, workdir: WorkDir) -> str:
    """That no position is known, where exposures of several fields came without one."""
    if not report.fields:
        return ""
    from hst_assets.exposures.target_position import spread_deg

    n_exposures = sum(len(members) for members in report.fields)
    apart = _angle(spread_deg([members[0] for members in report.fields]))
    listed = ", ".join(map(_field_in_words, report.fields[:_MOST_LISTED]))
    more = ", ..." if len(report.fields) > _MOST_LISTED else ""
    return (
        f"the {n_exposures} exposures are of {len(report.fields)} fields, up to {apart} apart "
        f"({listed}{more}): no position was set, and {workdir.target} cannot be processed without "
        f"one. {set_position_step(workdir)}; for each further field, run 'hst-assets ingest "
        "FOLDER --target OTHER --ra RA --dec DEC' on the same exposures: the selection rejects "
        "those that do not contain the target"
    )


def _field_in_words(members: list[Verified]) -> str:
    from hst_assets.exposures.target_position import median_position

    place = median_position(members)
    where = f"RA {place['ra_deg']:.4f}, Dec {place['dec_deg']:.4f}"
    return f"{len(members)} like {members[0].rootname} at {where}"


def _note_of_others(report: IngestReport) -> str:
    """How many exposures are of another field than the target."""
    others = report.elsewhere
    if not others:
        return ""
    names = ", ".join(other.rootname for other in others[:_MOST_LISTED])
    more = ", ..." if len(others) > _MOST_LISTED else ""
    return (
        f"{len(others)} of {len(report.verified)} exposures are of another field: the target is "
        f"up to {_angle(others[0].distance_deg)} off ({names}{more}). The selection rejects them; "
        "if the target's position is wrong, give its RA and DEC"
    )


def _angle(degrees: float) -> str:
    return f"{degrees:.2f} deg" if degrees >= 1.0 else f"{degrees * 60.0:.2f} arcmin"


def _show_position(workdir: WorkDir) -> None:
    """Print the position in force: exposures are selected and images framed by it."""
    place = load_settings(workdir).target
    if place.ra_deg is not None:
        output().print(f"target position: RA {place.ra_deg:.6f} Dec {place.dec_deg:.6f} deg (ICRS)")

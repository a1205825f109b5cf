"""``hst-assets publish``: send finished products to where they are published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from hst_assets.cli.run_target import raise_for, run_and_report
from hst_assets.cli.terminal import RootOption, errors, output, root_or_default
from hst_assets.failures import BadConfiguration, HstAssetsError, MissingProduct, shared_kind
from hst_assets.machine.failures import refusal_of_system
from hst_assets.publishing.product import destination_of
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir, targets_in

__all__ = ["publish_command"]

_ASSET = "published_products"


def publish_command(
    target: Annotated[
        str | None,
        typer.Argument(help="Only this target; by default each that has a destination."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="URL", help="Destination, such as s3://BUCKET/PREFIX; saved."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Compare every published file with the local one, even if nothing has changed, "
            "and send again those that differ.",
        ),
    ] = False,
    root: RootOption = None,
) -> None:
    """Publish finished products with their records; files already published are not sent again.

    Invalid products (files not as recorded) are named and not sent; the exit code is then 1.
    """
    folder = root_or_default(root)
    if target:
        workdir = WorkDir(folder, target).existing()
        if to is not None:
            write_settings(workdir, {"publish": {"destination": to}})
        destination_of(workdir, load_settings(workdir))
        _publish(workdir, check=check)
        return
    if to is not None:
        raise BadConfiguration(
            "a destination is set for one target at a time",
            where="--to",
            next_step="Name the target, or set publish.destination in the settings.toml of the "
            "root for all of them",
        )
    _publish_each(folder, check=check)


def _publish_each(folder: Path, *, check: bool) -> None:
    """Publish target after target; one that fails, or cannot be read, costs itself."""
    names = targets_in(folder)
    n_published, failed = 0, list[HstAssetsError]()
    for name in names:
        try:
            workdir = WorkDir(folder, name)
            if _is_published(workdir):
                n_published += 1
                _publish(workdir, check=check)
        except (HstAssetsError, OSError) as error:
            failure = error if isinstance(error, HstAssetsError) else refusal_of_system(error)
            told = f"{name}: {failure.brief}"
            errors().print(f"[red]failed[/red] {escape(told)}", highlight=False)
            failed.append(failure)
    if failed:
        raise shared_kind(map(type, failed))(
            f"{len(failed)} of {len(names)} targets were not published, or not wholly",
            where=folder,
            next_step="See the reasons above; rerun the same command to go on where it was",
        )
    if not n_published:
        raise BadConfiguration(
            "no target has a destination",
            where=folder,
            next_step="Set publish.destination in settings.toml for all, or name a target and "
            "give --to",
        )


def _is_published(workdir: WorkDir) -> bool:
    """Whether a target has a destination; one that is retired is published by name only."""
    settings = load_settings(workdir)
    return bool(settings.publish.destination) and not settings.target.retired


def _publish(workdir: WorkDir, *, check: bool) -> None:
    from hst_assets.provenance import read_record

    summary = run_and_report(
        workdir, assets=[_ASSET], redo={"redo_publishing": check}, offline=True, account=False
    )
    raise_for(summary, workdir)
    record = read_record(workdir.published)
    if record is None:
        return
    _tell(record.facts)
    if not_sent := record.facts["not_sent"]:
        raise MissingProduct(
            f"not published as it is: {'; '.join(not_sent)}",
            where=workdir.target,
            next_step="Make it again, then rerun the same command; what was published before stays",
        )


def _tell(facts: Mapping[str, Any]) -> None:
    told = [f"{facts['n_by_checksum']} verified by checksum"]
    told += [f"{facts['n_by_size']} verified by size"] if facts["n_by_size"] else []
    output().print(
        f"{facts['n_files']} files ({facts['size_mb']:.1f} MB) at {facts['destination']}: "
        f"{', '.join(told)}; {facts['n_sent']} were sent at the last publication",
        highlight=False,
        markup=False,
    )
    for text in (text for key in ("lost", "outside", "notes") for text in facts.get(key, ())):
        output().print(f"  {text}", highlight=False, markup=False)

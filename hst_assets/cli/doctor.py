"""``hst-assets doctor``: whether everything that is needed is there, and what to do if not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hst_assets import diagnosis
from hst_assets.cli.deployment import HOME_VARIABLE, opened_instance
from hst_assets.cli.terminal import RootOption, output, root_or_default
from hst_assets.diagnosis import Finding
from hst_assets.failures import BadConfiguration
from hst_assets.reasons import first_of
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, targets_in

__all__ = ["doctor_command"]

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red", "not checked": "dim"}
#: Settings of the root alone are those of a target that has none of its own.
_NOBODY = "any"
_NAMED = 3
#: Parts that cannot be looked at without settings.
_OF_SETTINGS = ("DOLPHOT", "reference files", "archive")


def doctor_command(
    target: Annotated[
        str | None,
        typer.Argument(help="Also check the settings of this target.", show_default=False),
    ] = None,
    root: RootOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Query no service.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the computer and the installation, and say what to fix.

    The exit status is 1 if there is an error; warnings leave it 0.
    """
    folder = root_or_default(root)
    workdir = WorkDir(folder, target).existing() if target else WorkDir(folder, _NOBODY)
    found = []
    for finding in _findings(workdir, offline=offline):
        found.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    if any(finding.verdict == "error" for finding in found):
        raise typer.Exit(1)


def _findings(workdir: WorkDir, *, offline: bool) -> Iterator[Finding]:
    yield diagnosis.of_python()
    yield from diagnosis.of_packages()
    settings = diagnosis.settings_or_finding(workdir)
    if isinstance(settings, Finding):
        yield settings
        for subject in _OF_SETTINGS:
            yield Finding(subject, "not checked", "the settings cannot be read")
    else:
        yield from _of_settings(settings, workdir, offline=offline)
    yield diagnosis.looked_at("memory", diagnosis.of_memory)
    yield diagnosis.looked_at("work directories", lambda: diagnosis.of_disk(workdir.root))
    yield diagnosis.looked_at("shared folder", lambda: diagnosis.of_shared_folder(workdir.root))
    yield diagnosis.looked_at("Dagster instance", lambda: _of_instance(workdir.root))


def _of_settings(settings: Settings, workdir: WorkDir, *, offline: bool) -> Iterator[Finding]:
    dolphot, files, archive = _OF_SETTINGS
    yield diagnosis.looked_at(dolphot, lambda: diagnosis.of_dolphot(settings, workdir))
    yield diagnosis.looked_at(files, lambda: diagnosis.of_reference_files(settings, workdir))
    if offline:
        yield Finding(archive, "not checked", "--offline was given")
    else:
        yield diagnosis.of_service(archive, settings.archive.mast_url)


def _of_instance(root: Path) -> Finding:
    """Whether Dagster's records can be opened, and belong to these work directories."""
    subject = "Dagster instance"
    try:
        with opened_instance() as instance:
            from hst_assets.orchestration.target_roots import refuse_other_root

            home = instance.root_directory
            strange = []
            for name in targets_in(root):
                try:
                    refuse_other_root(instance, WorkDir(root, name))
                except BadConfiguration:
                    strange.append(name)
    except BadConfiguration as error:
        return Finding(subject, "error", f"{error.where}: {error.what}", error.next_step or "")
    if strange:
        return Finding(
            subject,
            "error",
            f"{home} knows {first_of(strange, _NAMED)} of another root than {root}",
            f"Set {HOME_VARIABLE} to a folder of its own for this root, or --root to the other",
        )
    return Finding(subject, "ok", f"{home}, for {root}")


def _show(finding: Finding) -> None:
    colour = _COLOURS[finding.verdict]
    remedy = f". {finding.remedy}" if finding.remedy else ""
    output().print(
        f"[{colour}]{finding.verdict:<11}[/{colour}] "
        f"{escape(f'{finding.subject}: {finding.told}{remedy}')}",
        highlight=False,
    )

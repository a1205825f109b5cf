"""``hst-assets settings``: show what is in force for a target, and change it."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from hst_assets.cli.terminal import RootOption, TargetArgument, output, root_or_default
from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration
from hst_assets.settings import DrizzleSettings, Settings, load_settings, write_settings
from hst_assets.workdir import WorkDir

__all__ = ["parse_change", "settings_command"]


def settings_command(
    target: TargetArgument,
    changes: Annotated[
        list[str] | None,
        typer.Argument(help="section.key=value to set, section.key= to restore the default."),
    ] = None,
    drizzle_parameters: Annotated[
        bool,
        typer.Option(
            "--drizzle-parameters",
            help="Show AstroDrizzle's parameters in force, by detector and number of exposures.",
        ),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what each setting means.")
    ] = False,
    root: RootOption = None,
) -> None:
    """Show or change the settings of a target; values that differ from the default are marked."""
    workdir = WorkDir(root_or_default(root), target).existing()
    merged: dict[str, dict[str, Any]] = {}
    for text in changes or ():
        section, key, value = parse_change(text)
        merged.setdefault(section, {})[key] = value
    if merged:
        write_settings(workdir, merged)
    settings = load_settings(workdir)
    if drizzle_parameters:
        _show_parameters(settings.drizzle)
    else:
        _show(settings, explain=explain, only=merged)
        if merged:
            output().print(f"'hst-assets materialize {target} --dry-run' shows what this remakes")


def parse_change(text: str) -> tuple[str, str, Any]:
    """Read ``section.key=value``; the value as TOML, or as text where it is not TOML.

    Raises
    ------
    BadConfiguration
        If the text is not of that form.

    Examples
    --------
    >>> parse_change("alignment.search_radius_arcsec=2.5")
    ('alignment', 'search_radius_arcsec', 2.5)
    >>> parse_change("drizzle.object_name=SN2013fy")
    ('drizzle', 'object_name', 'SN2013fy')
    """
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot or not key:
        raise BadConfiguration(
            "cannot read the change", where=text, next_step="Write section.key=value"
        )
    if not value.strip():
        return section, key, None
    try:
        return section, key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return section, key, value.strip()


def _show(settings: Settings, *, explain: bool, only: Mapping[str, Collection[str]]) -> None:
    """Print the settings; of a change, those that were changed."""
    console = output()
    defaults = Settings().model_dump(mode="json")
    for section, values in settings.model_dump(mode="json").items():
        wanted = {name.partition(".")[0] for name in (only.get(section, ()) if only else values)}
        if not wanted:
            continue
        console.print(f"[bold]\\[{section}][/bold]")
        model = type(getattr(settings, section))
        for key, value in values.items():
            if key not in wanted:
                continue
            if explain:
                console.print(f"  [dim]# {escape(model.meaning(key))}[/dim]", highlight=False)
            mark = "" if value == defaults[section][key] else "   [green]# set[/green]"
            console.print(f"  {key} = {escape(repr(value))}{mark}", highlight=False)


def _show_parameters(choices: DrizzleSettings) -> None:
    """What AstroDrizzle is called with: a column for each number of exposures that changes it."""
    from hst_assets.imaging.astrodrizzle.parameters import parameters, turning_points

    console = output()
    numbers = turning_points(choices)
    for key, detector in DETECTORS.items():
        given = [parameters(detector, n, choices) for n in numbers]
        plain = [parameters(detector, n, DrizzleSettings()) for n in numbers]
        heads = "  ".join(f"{f'n = {n}':>16}" for n in numbers)
        console.print(f"[bold]{key:<20}[/bold]{heads}", highlight=False)
        for name in sorted(set().union(*given)):
            values = [str(each.get(name, "")) for each in given]
            mark = "" if values == [str(each.get(name, "")) for each in plain] else "  # set"
            cells = "  ".join(f"{value:>16}" for value in values)
            console.print(f"  {name:<18}{cells}[green]{mark}[/green]", highlight=False)

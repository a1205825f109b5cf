"""``hst-assets hap``: the command lines of drizzlepac's runsinglehap and runmultihap."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from hst_assets.cli.terminal import errors, output
from hst_assets.failures import BadConfiguration
from hst_assets.settings.hap import HapSettings, LogLevel, ParametersSection, PhotometryMode

if TYPE_CHECKING:
    from hst_assets.hap.result import HapResult

__all__ = ["hap_command"]


def hap_command(
    poller: Annotated[
        Path, typer.Argument(help="Poller file: the exposures of a visit or sky cell, one a line.")
    ],
    diagnostic_mode: Annotated[
        bool,
        typer.Option(
            "-d", "--diagnostic_mode", help="Keep intermediate files, and log what HAP decides."
        ),
    ] = False,
    parameters_file: Annotated[
        Path | None,
        typer.Option(
            "-c", "--input_custom_pars_file", help="File of parameters (JSON) in place of HAP's."
        ),
    ] = None,
    new_parameters_file: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output_custom_pars_file", help="Write the parameters in force to this file."
        ),
    ] = None,
    photometry: Annotated[
        PhotometryMode | None,
        typer.Option("-p", "--phot_mode", help="Which catalogues are made; both by default."),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option("-l", "--log_level", help="What is written to the logs.")
    ] = "info",
    section: Annotated[
        ParametersSection,
        typer.Option("--section", help="Section of the file of parameters that is used."),
    ] = "default_values",
    aligned_only: Annotated[
        bool,
        typer.Option("--aligned-only", help="Stop if an exposure is not aligned to Gaia."),
    ] = False,
    multi: Annotated[
        bool,
        typer.Option(
            "--multi", help="Make the mosaics of a sky cell from several visits, as runmultihap."
        ),
    ] = False,
    skip_gaia_alignment: Annotated[
        bool,
        typer.Option(
            "-s",
            "--skip_gaia_alignment",
            help="No effect: --multi always keeps the WCS of the exposures, as runmultihap does.",
        ),
    ] = False,
) -> None:
    """Make the Hubble Advanced Products of a visit in the current folder.

    Takes the arguments of runsinglehap (with --multi, of runmultihap), makes the same products and
    ends with its exit codes; see the guide for what they do not tell.
    """
    if multi and photometry is not None:
        raise BadConfiguration("mosaics have no catalogues", where="-p", next_step="Leave it out")
    if skip_gaia_alignment and not multi:
        raise BadConfiguration(
            "only mosaics keep the WCS of their exposures", where="-s", next_step="Leave it out"
        )
    settings = HapSettings(
        photometry=photometry or "both",
        parameters_file=parameters_file,
        parameters_section="default_values" if parameters_file is None else section,
        accept_a_priori_wcs=not aligned_only,
        diagnostic_mode=diagnostic_mode,
        log_level=log_level,
    )
    result = _made(poller, settings, new_parameters_file, multi=multi)
    for line in result.told():
        errors().print(f"[yellow]note[/yellow] {escape(line)}", highlight=False)
    if result.failure is not None:
        errors().print(f"[red]failed[/red] {escape(str(result.failure))}", highlight=False)
    for path in result.products:
        output().print(path.name, highlight=False, markup=False)
    output().print(f"{int(result.code)}: {result.code.meaning}", highlight=False, markup=False)
    if result.code:
        raise typer.Exit(int(result.code))


def _made(poller: Path, settings: HapSettings, new: Path | None, *, multi: bool) -> HapResult:
    # Imported here: they take longer than the help of the command line.
    if multi:
        from hst_assets.hap.mosaics.run import make_sky_cell

        return make_sky_cell(poller, settings=settings, new_parameters_file=new)
    from hst_assets.hap.run import make_advanced_products

    return make_advanced_products(poller, settings=settings, new_parameters_file=new)

"""``hst-assets hap``: the advanced products of one visit, as drizzlepac's runsinglehap takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hst_assets.cli.terminal import errors, output
from hst_assets.settings.hap import HapSettings, LogLevel, ParametersSection, PhotometryMode

__all__ = ["hap_command"]


def hap_command(
    poller: Annotated[
        Path, typer.Argument(help="Poller file: the exposures of a visit, one a line.")
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
        PhotometryMode,
        typer.Option("-p", "--phot_mode", help="Which catalogues are made."),
    ] = "both",
    log_level: Annotated[
        LogLevel, typer.Option("-l", "--log_level", help="What is written to the logs.")
    ] = "info",
    section: Annotated[
        ParametersSection,
        typer.Option("--section", help="Section of the file of parameters that is used."),
    ] = "default_values",
    aligned_only: Annotated[
        bool,
        typer.Option("--aligned-only", help="End the run if the visit cannot be aligned to Gaia."),
    ] = False,
) -> None:
    """Make the Hubble Advanced Products of a visit in the current folder.

    Takes the arguments of runsinglehap, makes the same products and ends with its exit codes; see
    the guide for what they do not tell.
    """
    from hst_assets.hap.run import make_advanced_products

    settings = HapSettings(
        photometry=photometry,
        parameters_file=parameters_file,
        parameters_section="default_values" if parameters_file is None else section,
        accept_a_priori_wcs=not aligned_only,
        diagnostic_mode=diagnostic_mode,
        log_level=log_level,
    )
    result = make_advanced_products(
        poller, settings=settings, new_parameters_file=new_parameters_file
    )
    for line in result.told():
        errors().print(f"[yellow]note[/yellow] {escape(line)}", highlight=False)
    if result.failure is not None:
        errors().print(f"[red]failed[/red] {escape(str(result.failure))}", highlight=False)
    for path in result.products:
        output().print(path.name, highlight=False, markup=False)
    output().print(f"{int(result.code)}: {result.code.meaning}", highlight=False, markup=False)
    if result.code:
        raise typer.Exit(int(result.code))

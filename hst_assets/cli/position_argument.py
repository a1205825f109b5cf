"""RA and DEC as arguments of a command, in every usual notation, negative declinations too."""

from __future__ import annotations

import re
from shlex import quote
from typing import Annotated, Any

import typer

from hst_assets.cli.help_pages import HelpfulCommand
from hst_assets.failures import BadConfiguration
from hst_assets.sky_position import parse_position

__all__ = ["PositionArgument", "PositionCommand", "position_from", "read_position"]

_MINUS = "\N{MINUS SIGN}"
#: A hyphen before a digit begins a number, not an option; no option has a digit there.
_NEGATIVE = re.compile(r"-(?=\.?\d)")

PositionArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RA DEC",
        help="Right ascension and declination (ICRS): degrees, or h:m:s and d:m:s.",
        show_default=False,
    ),
]


class PositionCommand(HelpfulCommand):
    """A command whose arguments may begin with a hyphen, as in ``run 12:30:00 -45.0``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, with the hyphens of negative numbers written as minus signs.

        Raises
        ------
        BadConfiguration
            If RA and DEC are given as options, as ``hst-assets ingest`` has them.
        """
        if {"--ra", "--dec"} & {word.partition("=")[0] for word in args}:
            raise BadConfiguration(
                "RA and DEC are arguments of this command, not options",
                where=ctx.command_path,
                next_step="Write them without names, such as 12:22:56.15 +15:49:34.18",
            )
        valued = {
            name
            for parameter in self.params
            if parameter.param_type_name == "option" and not getattr(parameter, "is_flag", False)
            for name in parameter.opts
        }
        before = ["", *args]
        readable = [
            text
            if previous in valued
            else _NEGATIVE.sub(_MINUS, text, count=1)
            if _NEGATIVE.match(text)
            else text
            for previous, text in zip(before, args, strict=False)
        ]
        return list(super().parse_args(ctx, readable))


def read_position(words: list[str] | None) -> tuple[float, float] | None:
    """RA and Dec in degrees (ICRS) from the words of a command line; None where there are none.

    Raises
    ------
    BadConfiguration
        If they are no position.

    Examples
    --------
    >>> read_position(["12:30:00", "-45.0"])
    (187.5, -45.0)
    """
    if not words:
        return None
    parts = [word.strip(" ,") for word in words]
    # Two words are the two coordinates, whatever spaces they hold; otherwise spaces separate.
    text = ",".join(parts) if len(parts) == 2 else " ".join(words)
    try:
        return parse_position(text)
    except ValueError as error:
        raise BadConfiguration(str(error), next_step=_remedy(words)) from error


def _remedy(words: list[str]) -> str:
    """How a position is written; of words that may be a name, how a name is given."""
    written = "Write it like 12:22:56.15 +15:49:34.18 or 185.734 15.826"
    name = " ".join(words)
    return f"{written}; for an object give --name {quote(name)}" if name[0].isalpha() else written


def position_from(ra: str | None, dec: str | None) -> tuple[float, float] | None:
    """RA and Dec in degrees (ICRS) from the options ``--ra`` and ``--dec``.

    Raises
    ------
    BadConfiguration
        If only one is given, or they are no position.
    """
    if ra is None and dec is None:
        return None
    if ra is None or dec is None:
        raise BadConfiguration("--ra and --dec must be given together")
    return read_position([ra, dec])

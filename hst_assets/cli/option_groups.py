"""Options that a command takes as a group, from a table, instead of one by one.

`with_options` adds parameters to a command's signature, which is what typer reads, and hands the
command one argument made of what was given for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Annotated, Any

import typer

__all__ = ["Command", "option", "takes_redo", "with_options"]

Command = Callable[..., None]

_AGAIN = "Redo"


def option(
    name: str,
    kind: Any,
    default: Any,
    *names: str,
    help: str,  # noqa: A002 - typer's word
    heading: str | None = None,
) -> inspect.Parameter:
    """A parameter that typer takes for an option called `names`, under `heading` in the help."""
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, typer.Option(*names, help=help, rich_help_panel=heading)],
    )


def with_options(
    parameters: Iterable[inspect.Parameter],
    argument: str,
    read: Callable[[Mapping[str, Any]], Any],
) -> Callable[[Command], Command]:
    """Give a command the options of `parameters`; it receives ``read(given)`` as `argument`."""
    added = list(parameters)

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True).parameters.values()

        @wraps(command)
        def called(**arguments: Any) -> None:
            given = {parameter.name: arguments.pop(parameter.name) for parameter in added}
            command(**arguments, **{argument: read(given)})

        kept = [parameter for parameter in own if parameter.name != argument]
        called.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
        called.__annotations__ = {}
        return called

    return decorate


def takes_redo(command: Command) -> Command:
    """Give a command the options to make things again, as the table of assets has them.

    The command receives its argument ``redo``: fields of a run's configuration and whether they
    are set.
    """
    from hst_assets.orchestration.asset_table import ASSETS

    kinds = ASSETS.redo_kinds
    everything = ", ".join(kind.help[0].lower() + kind.help[1:].rstrip(".") for kind in kinds)
    options = [
        option(
            "redo",
            bool,
            False,
            "--redo",
            help=f"All of these: {everything}.",
            heading=_AGAIN,
        ),
        *(
            option(
                kind.field,
                bool,
                False,
                kind.option,
                *kind.options,
                help=kind.help,
                heading=_AGAIN,
            )
            for kind in kinds
        ),
        option("clobber", bool, False, "--clobber", help="Remake everything.", heading=_AGAIN),
    ]
    return with_options(options, "redo", dict)(command)

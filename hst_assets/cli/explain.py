"""``hst-assets explain``: what a product was made from, down to the raw exposures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from hst_assets.cli.terminal import output
from hst_assets.lineage import Lineage, Origin, lineage_of
from hst_assets.shown_text import plain_text

__all__ = ["explain_command"]

_DIGITS_OF_DIGEST = 12


def explain_command(
    path: Annotated[
        Path,
        typer.Argument(
            help="A product in a work directory, its record, or a raw exposure.",
            show_default=False,
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all of it as JSON, digests in full.")
    ] = False,
) -> None:
    """Show what a product was made from: exposures, settings, tools, stages and verdicts."""
    lineage = lineage_of(path)
    if as_json:
        print(json.dumps(lineage.as_json(), indent=1))
        return
    console = output()
    for line in _tree(lineage):
        console.print(escape(line), highlight=False)
    console.print(f"\n{_summary(lineage)}", highlight=False)


def _summary(lineage: Lineage) -> str:
    n_raw = len(lineage.raw_files)
    faults = [each for each in lineage.origins.values() if each.fault]
    text = f"Made from {n_raw} verified exposure file{'' if n_raw == 1 else 's'}"
    if not faults:
        return f"{text}; every file is as recorded."
    return f"{text}; {len(faults)} of {len(lineage.origins)} origins are in doubt, see '!' above."


def _tree(lineage: Lineage) -> Iterator[str]:
    """The lines of a tree; what was told before is named only."""
    told: set[str] = set()

    def grow(key: str, name: str, ahead: str, below: str) -> Iterator[str]:
        origin = lineage.origins[key]
        again = key in told and bool(origin.inputs)
        yield f"{ahead}{_title(origin, name)}{' (as above)' if again else ''}"
        if again:
            return
        told.add(key)
        inputs = list(origin.inputs.items())
        for line in _lines(origin):
            yield f"{below}{'│' if inputs else ' '}   {plain_text(line)}"
        for at, (each, of) in enumerate(inputs):
            last = at == len(inputs) - 1
            ends = ("└── ", "    ") if last else ("├── ", "│   ")
            yield from grow(of, each, below + ends[0], below + ends[1])

    return grow(lineage.root, "", "", "")


def _title(origin: Origin, name: str) -> str:
    called = "" if not name or Path(origin.name).name in (name, "") else f"{name}: "
    if origin.kind == "raw file":
        return plain_text(f"{called}{origin.name}  sha256 {origin.digest}")
    stage = f"  [{origin.stage}]" if origin.stage else ""
    return plain_text(f"{called}{origin.name}{stage}  {origin.digest[:_DIGITS_OF_DIGEST]}")


def _lines(origin: Origin) -> Iterator[str]:
    if origin.fault:
        yield f"! {origin.fault}"
    if origin.kind != "product":
        return
    code = ", ".join(f"{stage} {version}" for stage, version in origin.code.items())
    yield f"made {origin.made_at} by hst_assets {origin.made_by}; code: {code}"
    if origin.verdict:
        yield f"verdict: {origin.verdict}"
    if origin.settings:
        yield f"set: {', '.join(_flat(origin.settings))}"
    if origin.tools:
        yield f"tools: {', '.join(f'{tool} {version}' for tool, version in origin.tools.items())}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Keys with their values, tables by dotted keys."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {json.dumps(value)}"

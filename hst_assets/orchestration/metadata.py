"""What the web UI shows of a product: numbers, a small table, previews, where the log is.

Sizes are guarded: Dagster keeps every entry in its event database. Pictures above
`MAX_INLINE_BYTES` in all are named by path instead of shown, and tables end after `MAX_ROWS`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from hst_assets.provenance import Made
from hst_assets.shown_text import as_markdown, plain_text
from hst_assets.workdir import WorkDir

__all__ = [
    "EXECUTED",
    "MADE_NOW",
    "MAX_INLINE_BYTES",
    "MAX_ROWS",
    "NOT_CHECKED",
    "OUTCOME",
    "UNCHANGED",
    "describe",
]

#: Whether a step made its product, or found it unchanged.
EXECUTED = "executed"
UNCHANGED = "up to date, not remade"
#: How it begins for what was made, before the reasons.
MADE_NOW = "made now"

#: Of a check that could not compare: for Dagster, which knows only passed or not, a warning.
OUTCOME = "outcome"
NOT_CHECKED = "not checked"

MAX_INLINE_BYTES = 50_000
MAX_ROWS = 10
_MAX_TEXT = 2_000
_MAX_PICTURES = 4
#: Facts for machines: they stay in the provenance record.
_RECORD_ONLY = frozenset({"tries", "failure_kinds", "failures", "note"})


def describe(made: Made, workdir: WorkDir) -> dict[str, Any]:
    """Metadata of a materialization.

    Parameters
    ----------
    made : Made
        The product. Of its facts, ``log`` and ``image`` are paths, ``page`` is one that a browser
        opens, ``tree`` is Markdown, ``previews`` is a list of paths of PNG files, lists of mappings
        are shown as tables, everything else as it is.
    workdir : WorkDir
        Against which recorded paths are resolved.

    Returns
    -------
    metadata : dict
        Keys sorted for reading: what happened, previews, numbers, tables, paths.
    """
    metadata: dict[str, Any] = {EXECUTED: dg.MetadataValue.text(_executed(made))}
    facts = dict(made.facts)
    previews = facts.pop("previews", [])
    if previews:
        metadata["preview"] = _pictures([workdir.absolute(path) for path in previews])
    for name, value in facts.items():
        if name in _RECORD_ONLY:
            continue
        metadata[name] = _value(name, value, workdir)
    metadata["work_directory"] = dg.MetadataValue.path(workdir.base)
    metadata["recipe"] = dg.MetadataValue.text(made.digest[:16])
    metadata["made_at"] = dg.MetadataValue.text(made.record.created)
    return metadata


def _executed(made: Made) -> str:
    """Whether it was made now, and why; `run_target` reads it again."""
    if not made.ran:
        return UNCHANGED
    return f"{MADE_NOW}: {made.why}" if made.why else MADE_NOW


def _value(name: str, value: Any, workdir: WorkDir) -> dg.MetadataValue[Any]:
    if name in _SHOWN and value:
        return _SHOWN[name](str(value), workdir)
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value)
    if isinstance(value, str):
        return dg.MetadataValue.text(_clip(value))
    if value is None or value == {}:
        return dg.MetadataValue.text("none")
    if isinstance(value, Sequence) and value and all(isinstance(row, Mapping) for row in value):
        return dg.MetadataValue.md(_table(value))
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return dg.MetadataValue.text(_clip(", ".join(value) or "none"))
    return dg.MetadataValue.text(_clip(json.dumps(value)))


def _as_path(value: str, workdir: WorkDir) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.path(workdir.absolute(value))


def _as_page(value: str, workdir: WorkDir) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.url(workdir.absolute(value).as_uri())


def _as_markdown(value: str, _workdir: WorkDir) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.md(_clip(value))


#: How facts of these names are shown.
_SHOWN = {"image": _as_path, "log": _as_path, "page": _as_page, "tree": _as_markdown}


def _clip(text: str) -> str:
    text = plain_text(text)
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 2]} …"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A markdown table of at most `MAX_ROWS` rows."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [
        "| " + " | ".join(map(as_markdown, columns)) + " |",
        "|" + " --- |" * len(columns),
        *(
            "| " + " | ".join(_cell(row.get(name)) for name in columns) + " |"
            for row in rows[:MAX_ROWS]
        ),
    ]
    if len(rows) > MAX_ROWS:
        lines.append(f"\n… and {len(rows) - MAX_ROWS} more rows in the product's table")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else as_markdown(value)


def _share_of_one(n_pictures: int) -> int:
    """Bytes of one picture before base64 adds a third; a fifth picture goes by path."""
    return MAX_INLINE_BYTES * 3 // 4 // min(n_pictures, _MAX_PICTURES) - 3


def _pictures(paths: Sequence[Path]) -> dg.MetadataValue[Any]:
    """Thumbnails inside the event as far as the size guard allows; all of them by path."""
    from hst_assets.products.preview import thumbnail

    lines = []
    left = MAX_INLINE_BYTES
    for path in paths:
        if not path.is_file():
            continue
        png = thumbnail(path, max_bytes=_share_of_one(len(paths)))
        encoded = base64.b64encode(png).decode()
        if len(encoded) <= left:
            left -= len(encoded)
            lines.append(f"**{path.name}**\n\n![{path.name}](data:image/png;base64,{encoded})\n")
        else:
            lines.append(f"- `{path}`")
    return dg.MetadataValue.md("\n".join(lines) or "no picture")

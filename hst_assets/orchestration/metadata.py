"""What the web UI shows of a product: numbers, small tables, pictures, where the log is.

Sizes are guarded: Dagster keeps every entry in its event database. Where the web server sends
pictures of the work directory (`hst_assets.orchestration.product_files`), an entry has their
addresses: three of them in the page itself, for Dagster puts longer Markdown behind a click.
Elsewhere they are inside the entry, smaller, as far as `MAX_INLINE_BYTES` go. Tables end after
`MAX_ROWS`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from hst_assets.orchestration.product_files import address_of
from hst_assets.provenance import Made, Record, read_record
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

MAX_INLINE_BYTES = 120_000
MAX_ROWS = 10
_MAX_TEXT = 2_000
#: A picture of 480 pixels of a field of stars takes 10 kB; few take more than this.
_MAX_PICTURE_BYTES = 20_000
_MIN_PICTURE_BYTES = 4_000
#: Facts for machines: they stay in the provenance record.
_RECORD_ONLY = frozenset({"tries", "failure_kinds", "failures", "note"})


def describe(made: Made, workdir: WorkDir, *, served_below: str | None = None) -> dict[str, Any]:
    """Metadata of a materialization.

    Parameters
    ----------
    made : Made
        The product. Of its facts, ``log`` and ``image`` are paths, ``page`` is one that a browser
        opens, ``tree`` is Markdown, ``previews`` is a list of paths of PNG files, lists of mappings
        are shown as tables, everything else as it is.
    workdir : WorkDir
        Against which recorded paths are resolved.
    served_below : str, optional
        Prefix of the addresses below which the web server sends pictures and pages of the work
        directory, often empty; if not given it sends none, and there are no links.

    Returns
    -------
    metadata : dict
        Keys sorted for reading: what happened, previews, numbers, tables, paths.
    """
    metadata: dict[str, Any] = {EXECUTED: dg.MetadataValue.text(_executed(made))}
    facts = dict(made.facts)
    previews = facts.pop("previews", [])
    if previews:
        paths = [workdir.absolute(path) for path in previews]
        metadata["preview"] = _pictures(paths, workdir, served_below)
    for name, value in facts.items():
        if name in _RECORD_ONLY:
            continue
        metadata[name] = _value(name, value, workdir)
    if served_below is not None:
        metadata |= _links(facts, workdir, served_below)
    if made_with := _made_with(made.record, workdir):
        metadata["made_with"] = dg.MetadataValue.text(_clip(made_with))
    metadata["work_directory"] = dg.MetadataValue.path(workdir.base)
    metadata["recipe"] = dg.MetadataValue.text(made.digest[:16])
    metadata["made_at"] = dg.MetadataValue.text(made.record.created)
    return metadata


def _links(facts: Mapping[str, Any], workdir: WorkDir, prefix: str) -> dict[str, Any]:
    """The addresses of the target's report, and of the product if it is a page itself."""
    pages = {"report": workdir.report}
    if facts.get("page"):
        pages["page"] = workdir.absolute(str(facts["page"]))
    addresses = {name: address_of(path, workdir, prefix) for name, path in pages.items()}
    return {name: dg.MetadataValue.url(each) for name, each in addresses.items() if each}


def _made_with(record: Record, workdir: WorkDir) -> str:
    """Alignment methods and packages that made a product, or the products that it lists."""
    parts = filter(None, map(read_record, record.paths(workdir)))
    tools: dict[str, str] = {}
    methods: set[str] = set()
    for each in (record, *parts):
        tools |= each.recipe.get("tools", {})
        methods.add(str(each.facts.get("method") or ""))
    named = [f"{name} {version}" for name, version in sorted(tools.items())]
    return ", ".join([*sorted(methods - {""}), *named])


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
    """Bytes of one picture before base64 adds a third."""
    share = MAX_INLINE_BYTES * 3 // 4 // n_pictures - 3
    return max(_MIN_PICTURE_BYTES, min(_MAX_PICTURE_BYTES, share))


def _pictures(
    paths: Sequence[Path], workdir: WorkDir, served_below: str | None
) -> dg.MetadataValue[Any]:
    """A table of pictures and their files."""
    found = [path for path in paths if path.is_file()]
    if not found:
        return dg.MetadataValue.md("no picture")
    head = "| pictures |"
    addresses: list[str | None] = [None]
    if served_below is not None:
        addresses = [address_of(path, workdir, served_below) for path in found]
    if all(addresses):
        head = "| pictures; a click saves one in full size |"
        rows = [
            _row(path.name, f"[![{path.name}]({address})]({address})")
            for path, address in zip(found, addresses, strict=True)
        ]
    else:
        rows = list(_embedded(found))
    return dg.MetadataValue.md("\n".join([head, "| --- |", *rows]))


def _row(name: str, picture: str) -> str:
    """A picture below its name: beside it, one of them would be out of a narrow window."""
    return f"| {name} |\n| {picture} |"


def _embedded(paths: Sequence[Path]) -> Iterator[str]:
    """Rows with small pictures inside, as far as the size guard allows."""
    from hst_assets.products.preview import thumbnail

    left = MAX_INLINE_BYTES
    for path in paths:
        encoded = base64.b64encode(thumbnail(path, max_bytes=_share_of_one(len(paths)))).decode()
        picture = "too many to be shown here"
        if len(encoded) <= left:
            left -= len(encoded)
            picture = f"![{path.name}](data:image/webp;base64,{encoded})"
        yield _row(f"`{path}`", picture)

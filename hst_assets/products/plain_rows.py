"""Tables of this project read as plain rows, for what looks at hundreds of them.

astropy takes 20 ms and more for a small ECSV table, most of it for the header's YAML; this takes
1 ms, and knows the columns from their registry instead. Units are not read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from hst_assets.failures import MissingProduct
from hst_assets.products.columns import ColumnSpec

__all__ = ["read_rows"]

_MARK = "# "
_FLAGS = {"True": True, "False": False}
_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int64": int,
    "float64": float,
    "bool": _FLAGS.__getitem__,
}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads the metadata; what stands for units and classes of columns is nothing."""


_Loader.add_multi_constructor("!", lambda _loader, _tag, _node: None)


def read_rows(
    path: Path, specs: Sequence[ColumnSpec]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The metadata and the rows of a table that `products.columns.write_table` wrote.

    Parameters
    ----------
    path : `~pathlib.Path`
        An ECSV file.
    specs : sequence of ColumnSpec
        Its columns; it must have all of them.

    Raises
    ------
    MissingProduct
        If it is not there or cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        n_header = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
        header = "".join(line[len(_MARK) :] for line in lines[1:n_header])
        meta = dict(yaml.load(header, Loader=_Loader).get("meta") or ())  # noqa: S506
        names, *rows = csv.reader(io.StringIO("".join(lines[n_header:])), delimiter=" ")
        places = [(spec.name, names.index(spec.name), _FROM_TEXT[spec.dtype]) for spec in specs]
        return meta, [{name: of(row[n]) for name, n, of in places} for row in rows]
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        csv.Error,
        yaml.YAMLError,
    ) as error:
        raise MissingProduct(
            f"the table cannot be read: {error}",
            where=path,
            next_step="Rerun 'hst-assets materialize', which remakes it",
        ) from error

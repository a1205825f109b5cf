"""The picture of the assets, drawn from the table: visits above, targets below, data to the right.

A box stands in the column of its depth in the graph. Solid arrows are dependencies of the same
partition; dashed ones cross between visits and their target. What the archive lists reaches raw/ as
files, which is no dependency for Dagster, but is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from sphinx.application import Sphinx

from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.levels import AssetTable

_BOX = (168, 40)
_GAP = (44, 16)
_MARGIN = 24
_HEADER = 30
_BETWEEN_LANES = 56
_LANES = {
    "visit": ("#eff6ff", "#3b82f6", "visit level: one partition a visit (target/visit)"),
    "target": ("#f0fdf4", "#16a34a", "target level: one partition a target"),
}
_STYLE = """
text { font-family: system-ui, "DejaVu Sans", sans-serif; }
.name { font-size: 13px; font-weight: 600; text-anchor: middle; fill: #0f172a; }
.lane { font-size: 13px; font-weight: 600; fill: #334155; }
.edge { fill: none; stroke: #475569; stroke-width: 1.5; marker-end: url(#end); }
.crossing { fill: none; stroke: #b45309; stroke-width: 1.6; stroke-dasharray: 6 4;
            marker-end: url(#cross); }
"""
_MARKERS = "".join(
    f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
    f'orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="{colour}"/></marker>'
    for name, colour in (("end", "#475569"), ("cross", "#b45309"))
)


@dataclass(frozen=True)
class _Place:
    """Upper left corner of a box."""

    x: float
    y: float

    @property
    def inlet(self) -> tuple[float, float]:
        return self.x, self.y + _BOX[1] / 2

    @property
    def outlet(self) -> tuple[float, float]:
        return self.x + _BOX[0], self.y + _BOX[1] / 2


def depths(table: AssetTable) -> dict[str, int]:
    """The column of each asset: how many others stand one behind the other upstream of it."""
    found: dict[str, int] = {}
    for row in table:
        found[row.name] = 1 + max((found[up] for up in _drawn_upstream(row, table)), default=-1)
    return found


def _drawn_upstream(row: AssetRow, table: AssetTable) -> tuple[str, ...]:
    listing = table.archive_level.assets if row.source == "raw" else ()
    return (*row.upstream, *row.shown, *listing)


def draw(table: AssetTable) -> str:
    """The assets as SVG."""
    columns = depths(table)
    lanes = {per: [row for row in table if row.per == per] for per in _LANES}
    places: dict[str, _Place] = {}
    backgrounds = []
    top = float(_MARGIN)
    width = 2 * _MARGIN + (max(columns.values()) + 1) * (_BOX[0] + _GAP[0])
    for per, rows in lanes.items():
        height = _fill(rows, columns, top, places)
        colour, _, title = _LANES[per]
        backgrounds.append(
            f'<rect x="8" y="{top - 8:g}" width="{width - 16:g}" height="{height:g}" rx="10" '
            f'fill="{colour}"/>'
            f'<text x="{_MARGIN}" y="{top + 14:g}" class="lane">{escape(title)}</text>'
        )
        top += height + _BETWEEN_LANES
    body = [*backgrounds, *_edges(table, places), *_boxes(table, places)]
    names = ", ".join(row.name for row in table)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {top:g}" role="img" '
        f'style="max-width: 100%; background: #ffffff"><title>The assets: {names}</title>'
        f"<defs>{_MARKERS}<style>{_STYLE}</style></defs>{''.join(body)}</svg>\n"
    )


def _fill(
    rows: list[AssetRow], columns: Mapping[str, int], top: float, places: dict[str, _Place]
) -> float:
    """Place the boxes of a lane, those of one column below each other; return its height."""
    used: dict[int, int] = {}
    for row in rows:
        column = columns[row.name]
        below = used.get(column, 0)
        used[column] = below + 1
        places[row.name] = _Place(
            _MARGIN + column * (_BOX[0] + _GAP[0]), top + _HEADER + below * (_BOX[1] + _GAP[1])
        )
    return _HEADER + max(used.values(), default=1) * (_BOX[1] + _GAP[1]) + 8


def _edges(table: AssetTable, places: Mapping[str, _Place]) -> list[str]:
    drawn = []
    for row in table:
        for up in _drawn_upstream(row, table):
            (x0, y0), (x1, y1) = places[up].outlet, places[row.name].inlet
            # Arrows that pass over columns leave the lane's middle, where boxes stand.
            bend = 0.0 if x1 - x0 <= _GAP[0] or y0 != y1 else -1.6 * (_BOX[1] / 2 + _GAP[1])
            reach = max((x1 - x0) / 2, 24.0)
            kind = "edge" if up in (*row.after, *row.follows) else "crossing"
            drawn.append(
                f'<path class="{kind}" d="M{x0:g} {y0:g} C{x0 + reach:g} {y0 + bend:g}, '
                f'{x1 - reach:g} {y1 + bend:g}, {x1:g} {y1:g}"/>'
            )
    return drawn


def _boxes(table: AssetTable, places: Mapping[str, _Place]) -> list[str]:
    drawn = []
    for row in table:
        place = places[row.name]
        dashes = "" if row.path else ' stroke-dasharray="4 3"'
        drawn.append(
            f'<rect x="{place.x:g}" y="{place.y:g}" width="{_BOX[0]}" height="{_BOX[1]}" rx="7" '
            f'fill="#ffffff" stroke="{_LANES[row.per][1]}" stroke-width="1.5"{dashes}/>'
            f'<text x="{place.x + _BOX[0] / 2:g}" y="{place.y + _BOX[1] / 2 + 5:g}" '
            f'class="name">{escape(row.name)}</text>'
        )
    return drawn


def setup(app: Sphinx) -> dict[str, bool]:
    """Draw anew what is committed, where the table has changed (called by Sphinx)."""
    from hst_assets.orchestration.asset_table import ASSETS

    picture = Path(app.srcdir) / "_static" / "graph.svg"
    drawn = draw(ASSETS)
    if not picture.is_file() or picture.read_text() != drawn:
        picture.write_text(drawn)
    return {"parallel_read_safe": True}

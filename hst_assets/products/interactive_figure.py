"""Figures that answer: points that can be zoomed, read and chosen in a browser.

A figure is told here in plain values; ``web/plot.js`` draws it. Its page is of
`hst_assets.products.web_page`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from markupsafe import Markup, escape

from hst_assets.failures import BadConfiguration
from hst_assets.products.web_page import json_for_script
from hst_assets.shown_text import plain_text

__all__ = ["Axis", "Detail", "Facet", "InteractiveFigure", "facet_of"]

#: A MJD to a tenth of a second, a flux to what its error allows.
_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What may be on an axis.

    Attributes
    ----------
    key : str
        Column of the values.
    label : str
        With the unit.
    error : str
        Column of the errors; empty if there is none.
    limit : str
        Column of limits, drawn as arrows where there is no value; empty if there is none.
    inverted : bool
        Whether it grows to the left, or downwards.
    """

    key: str
    label: str
    error: str = ""
    limit: str = ""
    inverted: bool = False


@dataclass(frozen=True, kw_only=True)
class Facet:
    """A column of texts, each value of which can be switched on and off.

    Attributes
    ----------
    key, label : str
        Its column, and what it is called.
    values : tuple of str
        What there is, in the order of the boxes.
    hidden : tuple of str
        Of them, those that are off at first.
    """

    key: str
    label: str
    values: tuple[str, ...]
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Detail:
    """A line of what is told of a point.

    Attributes
    ----------
    key, label : str
        Its column, of texts or numbers, and what it is called.
    digits : int
        Of a number, behind the point.
    error : str
        Column of its error; empty if there is none.
    unit : str
        Printed behind.
    """

    key: str
    label: str
    digits: int = 0
    error: str = ""
    unit: str = ""


def facet_of(
    columns: Mapping[str, Sequence[Any]], key: str, label: str, *, hidden: Sequence[str] = ()
) -> Facet:
    """The facet of a column, its values in order."""
    values = tuple(sorted(set(map(str, columns[key]))))
    return Facet(
        key=key, label=label, values=values, hidden=tuple(one for one in values if one in hidden)
    )


@dataclass(frozen=True, kw_only=True)
class InteractiveFigure:
    """A figure of points.

    Attributes
    ----------
    title : str
        What a reader who does not see it is told.
    x, y : tuple of Axis
        What may be on each axis; the first is, until another is chosen.
    columns : mapping
        Name to the values of all points: texts, or numbers with NaN for none.
    facets : tuple of Facet
        What can be switched.
    details : tuple of Detail
        What is told of a point.
    colour, mark : str
        Facet that decides the colour, and the shape, of a point; empty if none does.
    marked : tuple of mapping
        Positions that are marked: the values by column, and ``label``.
    """

    title: str
    x: tuple[Axis, ...]
    y: tuple[Axis, ...]
    columns: Mapping[str, Sequence[Any]]
    facets: tuple[Facet, ...] = ()
    details: tuple[Detail, ...] = ()
    colour: str = ""
    mark: str = ""
    marked: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(values) for values in self.columns.values()}
        if len(lengths) != 1:
            raise BadConfiguration(f"columns of a figure are of {len(lengths)} lengths")
        if missing := sorted(self._named() - set(self.columns)):
            raise BadConfiguration(f"a figure has no column {', '.join(missing)}")

    def _named(self) -> set[str]:
        axes = (*self.x, *self.y)
        names = {axis.key for axis in axes} | {facet.key for facet in self.facets}
        names |= {detail.key for detail in self.details}
        names |= {detail.error for detail in self.details}
        names |= {axis.error for axis in axes} | {axis.limit for axis in axes}
        return (names | {self.colour, self.mark}) - {""}

    def as_html(self, caption: str) -> Markup:
        """The figure as an element of a page, with a caption below it."""
        told = {
            "title": self.title,
            "x": [asdict(axis) for axis in self.x],
            "y": [asdict(axis) for axis in self.y],
            "facets": [asdict(facet) for facet in self.facets],
            "details": [asdict(detail) for detail in self.details],
            "colour": self.colour,
            "mark": self.mark,
            "columns": {
                name: [_plain(value) for value in values] for name, values in self.columns.items()
            },
            "marked": [{name: _plain(value) for name, value in one.items()} for one in self.marked],
        }
        return Markup(
            '<figure class="plot"><script type="application/json">{}</script>'
            "<noscript><p>This figure needs JavaScript.</p></noscript>"
            "<figcaption>{}</figcaption></figure>"
        ).format(json_for_script(told), escape(plain_text(caption)))


def _plain(value: Any) -> str | float | None:
    """A value that JSON has: texts, and numbers without more digits than they are worth."""
    if isinstance(value, str):
        return value
    number = float(value)
    return float(f"{number:.{_DIGITS}g}") if math.isfinite(number) else None

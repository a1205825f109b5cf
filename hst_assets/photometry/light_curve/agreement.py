"""Whether the light curves of one object by different methods agree within their errors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hst_assets.photometry.light_curve.points import Point

__all__ = ["Comparison", "compared"]

_Key = tuple[int, str, str]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two fluxes of one place, band and epoch by two methods.

    Attributes
    ----------
    source : int
        Number of the place.
    what : str
        Which methods.
    detector, filter_name : str
        The band.
    epoch : int
        Its number.
    difference_ujy : float
        The first less the second, microjansky.
    error_ujy : float
        Of both in quadrature. They are measured on the same photons, so that the difference
        scatters by less.
    """

    source: int
    what: str
    detector: str
    filter_name: str
    epoch: int
    difference_ujy: float
    error_ujy: float

    @property
    def sigma(self) -> float:
        """Difference over its error."""
        return self.difference_ujy / self.error_ujy


def compared(points: Sequence[Point]) -> list[Comparison]:
    """Compare methods epoch by epoch.

    Forced fluxes with those of the catalogue; differences with forced fluxes of the epoch less
    those of the template epoch.

    Parameters
    ----------
    points : sequence of Point
        Of all methods; those of epochs are compared.
    """
    epochs = [point for point in points if point.level == "epoch"]
    by_method = {
        method: {(_key(point), point.epoch): point for point in epochs if point.method == method}
        for method in ("catalog", "forced", "difference")
    }
    # The template itself has a point that measured nothing.
    templates = {
        _key(point): point.epoch
        for point in by_method["difference"].values()
        if not point.counts and point.note.startswith(_TEMPLATE)
    }
    found = list(_forced_and_catalog(by_method["forced"], by_method["catalog"]))
    for (key, epoch), point in by_method["difference"].items():
        now = by_method["forced"].get((key, epoch))
        then = by_method["forced"].get((key, templates.get(key, epoch)))
        if now is None or then is None or now is then:
            continue
        if point.counts and now.counts and then.counts:
            error = math.hypot(now.flux_error_ujy, then.flux_error_ujy, point.flux_error_ujy)
            apart = point.flux_ujy - (now.flux_ujy - then.flux_ujy)
            found.append(_comparison(point, "difference and forced", apart, error))
    return found


#: How the note of a template's point begins.
_TEMPLATE = "the template"


def _forced_and_catalog(
    forced: dict[tuple[_Key, int], Point], catalog: dict[tuple[_Key, int], Point]
) -> Iterator[Comparison]:
    for key, point in forced.items():
        other = catalog.get(key)
        if other is not None and point.counts and other.counts:
            error = math.hypot(point.flux_error_ujy, other.flux_error_ujy)
            yield _comparison(point, "forced and catalog", point.flux_ujy - other.flux_ujy, error)


def _comparison(point: Point, what: str, apart: float, error: float) -> Comparison:
    return Comparison(
        source=point.source,
        what=what,
        detector=point.detector,
        filter_name=point.filter_name,
        epoch=point.epoch,
        difference_ujy=apart,
        error_ujy=error,
    )


def _key(point: Point) -> _Key:
    return point.source, point.detector, point.filter_name

"""A method that skypac needs to match the skies of overlapping exposures.

spherical_geometry 1.4 dropped ``SphericalPolygon.iter_polygons_flat``, which skypac 1.0.12 calls.
AstroDrizzle hides the exception, and goes on with the sky of each exposure by itself, without a
warning. So a product would depend on whether something in the same process had restored the method.

Only child processes import this.
"""

from __future__ import annotations

from spherical_geometry.polygon import SphericalPolygon

__all__ = ["let_skies_be_matched"]


def let_skies_be_matched() -> None:
    """Put the method back, where it is missing."""
    if not hasattr(SphericalPolygon, "iter_polygons_flat"):
        SphericalPolygon.iter_polygons_flat = SphericalPolygon.__iter__

"""Images whose maps were moved to where their stars are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hst_assets.photometry.psf.tiles import ImageSource

__all__ = ["MovedImage", "moved", "shift_of"]


def moved(source: ImageSource, dx: float, dy: float) -> ImageSource:
    """An image whose stars are dx, dy pixels of the chip from where its map leads to."""
    return MovedImage(source, dx, dy)


@dataclass(frozen=True, eq=False)
class MovedImage:
    """An image with its map moved.

    Attributes
    ----------
    of : ImageSource
        The image.
    dx, dy : float
        Added to X and Y on the chip, pixels.
    """

    of: ImageSource
    dx: float
    dy: float

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.of, name)

    @property
    def pixel_map(self) -> Any:
        """The moved map."""
        return self.of.pixel_map.moved(self.dx, self.dy)

    def cut(self, rows: slice, columns: slice) -> Any:
        """Some rows and columns of it."""
        part = self.of.cut(rows, columns)
        return replace(part, pixel_map=part.pixel_map.moved(self.dx, self.dy))


def shift_of(source: ImageSource) -> tuple[float, float]:
    """By how much the map of an image was moved in all, pixels of the chip."""
    dx = dy = 0.0
    while isinstance(source, MovedImage):
        dx, dy = dx + source.dx, dy + source.dy
        source = source.of
    return dx, dy

"""Where the sky of a simulated star field falls on a chip: its analytic geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hst_assets.photometry.psf.pixel_map import KNOT_STEP_PIX, PixelMap
from hst_assets_tests.star_scenes import CAMERAS, Camera, Scene, Shot

__all__ = ["FieldChip", "chips_of", "tabulated"]


@dataclass(frozen=True)
class FieldChip:
    """The analytic geometry of one chip of one shot."""

    camera: Camera
    shot: Shot
    scale: float
    middle_reference: tuple[float, float]
    middle: tuple[float, float]
    first: tuple[int, int]
    shape: tuple[int, int]
    distorted: bool
    name: str

    def place(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """On the chip, of places on the reference."""
        turn = np.radians(self.shot.turn_deg)
        a = (x - self.middle_reference[0]) * self.scale
        b = (y - self.middle_reference[1]) * self.scale
        u = a * np.cos(turn) - b * np.sin(turn) + self.shot.dither[0]
        v = a * np.sin(turn) + b * np.cos(turn) + self.shot.dither[1]
        if self.distorted:
            u, v = _distorted(u, v, self.camera.skew)
        return u + self.middle[0] - self.first[0], v + self.middle[1] - self.first[1]

    def back(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """On the reference, of places on the chip: Newton's iteration."""
        u = (x + self.first[0] - self.middle[0]) / self.scale + self.middle_reference[0]
        v = (y + self.first[1] - self.middle[1]) / self.scale + self.middle_reference[1]
        for _ in range(8):
            there = self.place(u, v)
            rx, ry = x - there[0], y - there[1]
            (a, b), (c, d) = self._slopes(u, v)
            det = a * d - b * c
            u, v = u + (d * rx - b * ry) / det, v + (a * ry - c * rx) / det
        return u, v

    def area(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Area of the pixel at a place of the reference, 1 where nothing is distorted."""
        (a, b), (c, d) = self._slopes(u, v)
        return self.scale**2 / np.abs(a * d - b * c)

    def _slopes(self, u: np.ndarray, v: np.ndarray):
        right, left = self.place(u + 0.5, v), self.place(u - 0.5, v)
        up, down = self.place(u, v + 0.5), self.place(u, v - 0.5)
        return (right[0] - left[0], up[0] - down[0]), (right[1] - left[1], up[1] - down[1])


def _distorted(u: np.ndarray, v: np.ndarray, skew: float) -> tuple[np.ndarray, np.ndarray]:
    q, c = 6e-6, 1e-10
    return (
        u + skew * v + q * (0.8 * u * u - 0.5 * u * v + 0.3 * v * v) + c * u * (u * u + v * v),
        v + q * (-0.4 * u * u + 0.9 * u * v + 0.2 * v * v) + c * v * (u * u - 0.5 * v * v),
    )


def chips_of(scene: Scene, shot: Shot, number: int) -> list[FieldChip]:
    """The chips of a shot."""
    camera = CAMERAS[shot.camera]
    scale = CAMERAS[scene.reference].pixel_arcsec / camera.pixel_arcsec
    ny, nx = (round(side * scale) for side in scene.shape)
    pieces = [(0, ny)]
    if scene.gap_pix:
        edge = (ny - scene.gap_pix) // 2
        pieces = [(0, edge), (edge + scene.gap_pix, ny)]
    middle = ((scene.shape[1] - 1) / 2, (scene.shape[0] - 1) / 2)
    # Of equal pixels the middles agree, so that an exposure without a dither is the reference.
    return [
        FieldChip(
            camera,
            shot,
            scale,
            middle,
            ((nx - 1) / 2, (ny - 1) / 2),
            (0, first),
            (last - first, nx),
            scene.distorted,
            f"field{number + 1}.chip{piece + 1}",
        )
        for piece, (first, last) in enumerate(pieces)
    ]


def tabulated(chip: FieldChip, shape: tuple[int, int]) -> PixelMap:
    """The map from the reference to a chip, at knots."""
    # Turned chips reach beyond the reference.
    rim = max(4 * KNOT_STEP_PIX, 0.25 * max(shape) * (chip.shot.turn_deg != 0))
    x = np.arange(-rim, shape[1] + rim, KNOT_STEP_PIX)
    y = np.arange(-rim, shape[0] + rim, KNOT_STEP_PIX)
    knots = np.stack(chip.place(*np.meshgrid(x, y)), axis=-1)
    return PixelMap(float(x[0]), float(y[0]), KNOT_STEP_PIX, knots)

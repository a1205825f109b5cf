"""Stars of a small field fitted by dense least squares with scipy's splines: an oracle."""

from __future__ import annotations

import numpy as np

from hst_assets_tests.photometry.psf.small_fields import DITHERS, SmallField, psf

STEP = 1e-4


def on_image(
    field: SmallField, k: int, x: np.ndarray, y: np.ndarray, *, radius: float
) -> np.ndarray:
    """The PSF of each star on image k, shape (n, ny, nx), out to a radius in x and in y."""
    rows, columns = np.mgrid[: field.side, : field.side].astype(float)
    dx, dy = DITHERS[k]
    planes = []
    for xs, ys in zip(x + dx, y + dy, strict=True):
        inside = (abs(columns - np.floor(xs + 0.5)) <= radius) & (
            abs(rows - np.floor(ys + 0.5)) <= radius
        )
        planes.append(np.where(inside, psf().at(columns - xs, rows - ys), 0))
    return np.array(planes)


def slopes(field: SmallField, k: int, x: np.ndarray, y: np.ndarray, *, radius: float) -> tuple:
    """The PSF's slopes with X and with Y of the star, by differences."""
    return tuple(
        (
            on_image(field, k, x + dx, y + dy, radius=radius)
            - on_image(field, k, x - dx, y - dy, radius=radius)
        )
        / (2 * STEP)
        for dx, dy in ((STEP, 0.0), (0.0, STEP))
    )


def fluxes(
    field: SmallField,
    k: int,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    residual: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes of all stars together on one image, places fixed, and the normal matrix."""
    design = on_image(field, k, x, y, radius=psf().radius_pix).reshape(len(x), -1)
    weighted = design * weight.ravel()
    normal = weighted @ design.T
    return np.linalg.solve(normal, weighted @ residual.ravel()), normal

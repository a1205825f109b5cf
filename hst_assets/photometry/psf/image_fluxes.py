"""Fluxes of stars on single images: each image is fitted for itself, with the places fixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.field_fit import FieldFit
from hst_assets.photometry.psf.sweeps import forced_sweep

__all__ = ["ForcedFit", "forced_fit"]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ForcedFit:
    """Fluxes on single images, with the places fixed.

    Attributes
    ----------
    counts_e, counts_error_e : ndarray, shape (k, n)
        Electrons, may be negative; the error is infinite where no pixel was fitted.
    residual_e : ndarray of float32, shape (k, ny, nx)
        What is left with these fluxes.
    xs, ys : ndarray, shape (k, n)
        Places on the images.
    """

    counts_e: Floats
    counts_error_e: Floats
    residual_e: Planes
    xs: Floats
    ys: Floats


def forced_fit(fit: FieldFit, *, n_sweeps: int = 12) -> ForcedFit:
    """Fit each image for itself, all stars at the places of `fit` on its date, neighbours together.

    Variances are those of the common fit's model, so that a faint star's error does not follow its
    own noise.
    """
    stack, stars, optics = fit.stack, fit.stars, fit.stack.optics
    weight = fit.weight()
    xs, ys = fit.places()
    counts = np.ascontiguousarray(fit.counts())
    variance = np.full_like(counts, np.inf)
    residual = fit.residual_e.copy()
    order = np.argsort(-stars.rate.sum(axis=0), kind="stable")
    for k in range(len(stack)):
        for _ in range(n_sweeps):
            largest = max(
                [
                    forced_sweep(
                        residual[k], weight[k], k, stack.shapes, optics.splines, optics.cells,
                        optics.cell_pix, optics.origin, optics.middle, optics.profiles, xs[k],
                        ys[k], counts[k], variance[k], members, radius, fit.faintest_e[k],
                    )
                    for radius, members in fit.by_radius(order)
                ],
                default=0.0,
            )  # fmt: skip
            if largest < 0.01:
                break
    inflation = fit.inflation()
    share = _debiased(fit, inflation)
    error = np.hypot(np.sqrt(variance) * inflation, fit.error_of_wings(counts))
    return ForcedFit(counts * share, error, residual, xs, ys)


def _debiased(fit: FieldFit, inflation: Floats) -> Floats:
    """Share of each flux that is not the gain of having looked for the best place.

    The place with the largest flux is taken among places that differ by noise, which adds
    1 / (S/N)^2 of the flux, on all images alike, where two coordinates are fitted (by expanding the
    matched filter about the true place: half of it for each; Portillo et al. 2020, AJ 159, 165).
    """
    snr2 = np.maximum(fit.total_snr(inflation), 2.0) ** 2
    share: Floats = 1.0 - 1.0 / snr2
    return share

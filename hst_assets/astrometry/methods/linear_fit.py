"""A linear fit of two lists of paired positions with tweakwcs, clipped; for child processes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hst_assets.astrometry.matching import Geometry
from hst_assets.astrometry.methods.tool_run import numerics_refused
from hst_assets.failures import UnusableInput

__all__ = ["fit_linear"]

#: Stars further from the fit than so many times its RMS are left out, in so many rounds.
_CLIP_SIGMA, _CLIP_ROUNDS = 3.0, 3


def fit_linear(
    image: NDArray[np.float64], reference: NDArray[np.float64], geometry: Geometry, *, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Fit the linear map that carries one list to the other.

    Parameters
    ----------
    image, reference : ndarray, shape (n, 2)
        The pairs, in pixels.
    geometry : {"shift", "rshift", "rscale", "general"}
        What the map may be.
    name : str
        What is fitted, for the error.

    Returns
    -------
    matrix : ndarray, shape (2, 2)
    shift : ndarray, shape (2,)
        An image position p goes to ``matrix @ p + shift``.
    used : ndarray of bool, shape (n,)
        Which pairs were not clipped.

    Raises
    ------
    UnusableInput
        If there is no such map, or it is not finite.
    """
    from tweakwcs.linearfit import NotEnoughPointsError, SingularMatrixError, iter_linear_fit

    errors = (ArithmeticError, ValueError, NotEnoughPointsError, SingularMatrixError)
    with numerics_refused("there is no fit", name, errors=errors):
        fit = iter_linear_fit(
            reference,
            image,
            fitgeom=geometry,
            nclip=_CLIP_ROUNDS,
            sigma=(_CLIP_SIGMA, "rmse"),
        )
    matrix = np.asarray(fit["matrix"], dtype=float)
    # tweakwcs turns about the middle of the stars: here about the origin.
    centre = np.asarray(fit["center"], dtype=float)
    shift = np.asarray(fit["shift"], dtype=float) + centre - matrix @ centre
    if not (np.all(np.isfinite(matrix)) and np.all(np.isfinite(shift))):
        raise UnusableInput("there is no fit: it is not finite", where=name)
    return matrix, shift, np.asarray(fit["fitmask"], dtype=bool)

"""STScI's libraries of effective PSFs ("STDPSF" files; Anderson & King 2000, PASP 112, 1360).

A file holds PSFs of one filter at places of a detector, four samples a pixel, 12.5 pixels to each
side. photutils reads it. To which radius they are normalised was not found in print: here each has
the prior's share of the light within `TRUSTED_PIX`, and the prior's wings beyond.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.psf.spline_psf import OVERSAMPLING, SplinePsf, spline_psf

__all__ = ["CELL_PIX", "TRUSTED_PIX", "read_stdpsf"]

Floats = NDArray[np.float64]

#: Largest side of a cell, pixels of the chip.
CELL_PIX = 256
#: Pixels to each side in which the file's PSF counts alone; from there it fades into the prior.
TRUSTED_PIX = 9
_FADED_PIX = 11
#: Samples of the file to each side of the star.
_HALF = 50
#: PSFs in a file of a detector: photutils tells detectors by it.
_N_PSFS = {"wfc3_uvis": 56, "acs_wfc": 90, "wfpc2": 36, "wfc3_ir": 9, "acs_hrc": 1}


def read_stdpsf(
    path: Path, *, detector: str, chip: int, shape: tuple[int, int], prior: SplinePsf
) -> SplinePsf:
    """The PSF of a chip from a library file.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    detector : str
        Key of `hst_assets.detectors.DETECTORS`.
    chip : int
        Number of the chip (CCDCHIP; DETECTOR of WFPC2).
    shape : tuple of int
        (ny, nx) of the whole chip.
    prior : SplinePsf
        One cell, of the same band: its share of light and its wings are kept, and its radius.

    Returns
    -------
    SplinePsf
        In each cell the bilinear mean of the PSFs around its middle; beyond the outermost places
        theirs.

    Raises
    ------
    MissingProduct
        If the file is missing.
    UnusableInput
        If it is not such a file, or one of another detector.
    """
    psfs, x, y = _of_chip(path, detector, chip)
    values = np.array([_joined(psf, prior) for psf in psfs])
    values = values.reshape(len(y), len(x), *values.shape[1:])
    n_y, n_x = (-(-length // CELL_PIX) for length in shape)
    cell = (shape[1] / n_x, shape[0] / n_y)
    across = _weights(x, (np.arange(n_x) + 0.5) * cell[0] - 0.5)
    up = _weights(y, (np.arange(n_y) + 0.5) * cell[1] - 0.5)
    cells = np.einsum("jy,ix,yxab->jiab", up, across, values)
    return spline_psf(cells, radius_pix=prior.radius_pix, cell_pix=cell)


def _of_chip(path: Path, detector: str, chip: int) -> tuple[Floats, Floats, Floats]:
    """PSFs of a chip, shape (n, 101, 101), and X and Y of their columns and rows, 0-based."""
    from photutils.psf import stdpsf_reader

    if not path.is_file():
        raise MissingProduct("the library of PSFs is missing", where=path)
    try:
        with fits.open(path) as file:
            header, cube = file[0].header, np.array(file[0].data, ndmin=3)
    except OSError as error:
        raise UnusableInput(f"the library of PSFs cannot be read: {error}", where=path) from error
    expected = (_N_PSFS.get(detector, 0), 2 * _HALF + 1, 2 * _HALF + 1)
    if cube.shape != expected or "NXPSFS" not in header:
        raise UnusableInput(
            f"it is no library of PSFs of {detector}: {cube.shape} instead of {expected}",
            where=path,
        )
    if expected[0] == 1:
        return np.asarray(cube, dtype=float), np.zeros(1), np.zeros(1)
    # Of two chips stacked in Y, photutils counts from the lower one, which is chip 2.
    number = {"wfpc2": chip, "wfc3_uvis": 3 - chip, "acs_wfc": 3 - chip}.get(detector)
    try:
        model = stdpsf_reader(str(path), detector_id=number)
    except (KeyError, ValueError) as error:
        raise UnusableInput(f"the library of PSFs is damaged: {error}", where=path) from error
    places = np.asarray(model.meta["grid_xypos"], dtype=float)
    x, y = np.unique(places[:, 0]), np.unique(places[:, 1])
    order = np.lexsort((places[:, 0], places[:, 1]))
    return np.asarray(model.data, dtype=float)[order], x, y


def _joined(psf: Floats, prior: SplinePsf) -> Floats:
    """The file's PSF on the spline's lattice, scaled to the prior and with its wings."""
    half = prior.middle
    at = np.arange(-half, half + 1) / OVERSAMPLING
    dx, dy = np.meshgrid(at, at)
    wings = prior.at(dx, dy)
    inside = min(TRUSTED_PIX, prior.radius_pix)
    whole = slice(half - inside * OVERSAMPLING, half + inside * OVERSAMPLING + 1, OVERSAMPLING)
    theirs = slice(_HALF - inside * OVERSAMPLING, _HALF + inside * OVERSAMPLING + 1, OVERSAMPLING)
    scale = wings[whole, whole].sum() / psf[theirs, theirs].sum()
    reach = min(half, _HALF)
    ours = np.zeros_like(wings)
    middle = slice(half - reach, half + reach + 1)
    ours[middle, middle] = (
        scale * psf[_HALF - reach : _HALF + reach + 1, _HALF - reach : _HALF + reach + 1]
    )
    distance = np.maximum(np.abs(dx), np.abs(dy))
    share = np.clip((_FADED_PIX - distance) / (_FADED_PIX - TRUSTED_PIX), 0.0, 1.0)
    return np.asarray(share * ours + (1 - share) * wings)


def _weights(places: Floats, at: NDArray[np.floating[Any]]) -> Floats:
    """Shares of each of the places in what is wanted at some others, linear, shape (at, places)."""
    unit = np.eye(len(places))
    return np.array([np.interp(at, places, row) for row in unit]).T

"""What a fitting tool is asked on one exposure, how it is run, and what it must leave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from hst_assets.astrometry.exposure_field import Field
from hst_assets.failures import UnusableInput
from hst_assets.settings import AlignmentSettings

__all__ = ["NUMERIC_ERRORS", "Fit", "FitTool", "inside", "numerics_refused", "same_wcs"]

#: What numerics raise on lists that they cannot match or fit.
NUMERIC_ERRORS = (ArithmeticError, LookupError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Fit:
    """What a tool left.

    Attributes
    ----------
    aligned : `~pathlib.Path`
        The exposure with the new WCS, under its own name, in the folder given to the tool.
    image_index, reference_index : ndarray of int, shape (n,)
        The pairs behind it: rows of the fitted stars and of the reference.
    rms_x, rms_y : float
        RMS of its residuals as the tool has it, in native pixels; NaN where it reports none.
    """

    aligned: Path
    image_index: NDArray[np.intp]
    reference_index: NDArray[np.intp]
    rms_x: float
    rms_y: float


class FitTool(Protocol):
    """Fits one exposure's WCS once."""

    def __call__(
        self,
        field: Field,
        fitted: Table,
        reference_sky: NDArray[np.float64],
        folder: Path,
        *,
        how: AlignmentSettings,
        tolerance: float,
        search_pix: int,
    ) -> Fit:
        """Fit the stars of `fitted` to the reference and write the WCS to a copy in `folder`.

        Parameters
        ----------
        field : Field
            The exposure.
        fitted : `~astropy.table.Table`
            Its stars that may be fitted (x, y: 0-based pixels; extver).
        reference_sky : ndarray, shape (n, 2)
            RA and Dec (deg) of the reference stars, brightest first.
        folder : `~pathlib.Path`
            An empty folder for this call alone.
        how : AlignmentSettings
            The settings' section.
        tolerance : float
            Within which a pair counts, native pixels.
        search_pix : int
            Radius within which the offset is searched, native pixels.

        Raises
        ------
        UnusableInput
            If there is no fit, or it was not written.
        """
        ...


def same_wcs(before: Path, after: Path) -> bool:
    """Whether two files have the same linear WCS on every SCI plane."""
    keys = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")

    def cards(path: Path) -> list[list[Any]]:
        with fits.open(path, memmap=False) as hdus:
            return [[hdu.header.get(key) for key in keys] for hdu in hdus if hdu.name == "SCI"]

    return cards(before) == cards(after)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Stand in `folder` meanwhile; only for a child process of its own."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


@contextmanager
def numerics_refused(
    what: str, name: str, *, errors: tuple[type[Exception], ...] = NUMERIC_ERRORS
) -> Iterator[None]:
    """Turn numerical errors of a tool into a failure of the exposure.

    Parameters
    ----------
    what : str
        Beginning of the failure's text, such as "TweakReg failed".
    name : str
        The exposure, for the failure.
    errors : tuple of type, optional
        What counts as such.

    Raises
    ------
    UnusableInput
        In place of any of `errors`.
    """
    try:
        yield
    except errors as error:
        raise UnusableInput(f"{what}: {type(error).__name__}: {error}", where=name) from error

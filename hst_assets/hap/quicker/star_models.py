"""Models of stars in the pixels of a drizzled image, from the rows that have light.

``deconvolve_utils.convert_library_psf`` of drizzlepac 3.11 puts a model of a star of a hundred
pixels or so into the middle of a chip that is empty otherwise, and drizzles all chips of one
exposure a filter: on full frames of ACS/WFC, 34 million pixels, few of which are not zero. What is
empty gives zeros, as does what no chip covers, and only the image is read, not its weight. So rows
without light are not drizzled, but for those next to light, whose pixels have a share in the same
mean. Only child processes use this, through `hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LitRows", "lit_rows_only"]

#: Rows beside those with light that are drizzled, too; a drop reaches no further.
_MARGIN_ROWS = 16
#: drizzlepac's kernel for models, and where it is among the arguments that follow the rows.
_KERNEL, _POSITION = "square", 5


class LitRows:
    """``drizzlepac.cdriz`` with a ``tdriz`` that leaves out rows without light.

    Parameters
    ----------
    cdriz : module
        drizzlepac's.
    """

    def __init__(self, cdriz: Any) -> None:
        self._cdriz = cdriz

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cdriz, name)

    def tdriz(
        self,
        image: NDArray[np.float32],
        weights: NDArray[np.float32],
        sci: NDArray[np.float32],
        wht: NDArray[np.float32],
        context: NDArray[np.int32],
        number: int,
        first_row: int,
        x: int,
        y: int,
        n_rows: int,
        *further: Any,
    ) -> Any:
        """As the C function; `first_row` is the number of the image's first row."""
        lit = np.flatnonzero(image.any(axis=1))
        if further[_POSITION] != _KERNEL:  # others' weights may be negative
            lit = np.arange(n_rows)
        low, high = (int(lit[0]), int(lit[-1])) if len(lit) else (0, 0)
        low, high = max(low - _MARGIN_ROWS, 0), min(high + 1 + _MARGIN_ROWS, n_rows)
        return self._cdriz.tdriz(
            image[low:high],
            weights[low:high],
            sci,
            wht,
            context,
            number,
            first_row + low,
            x,
            y,
            high - low,
            *further,
        )


def lit_rows_only(convert: Callable[..., str], adrizzle: Any) -> Callable[..., str]:
    """A ``convert_library_psf`` that drizzles rows with light.

    Parameters
    ----------
    convert : callable
        That of drizzlepac.
    adrizzle : module
        drizzlepac's, in which it finds ``cdriz``.
    """

    def convert_library_psf(*arguments: Any, **options: Any) -> str:
        whole = adrizzle.cdriz
        adrizzle.cdriz = LitRows(whole)
        try:
            return convert(*arguments, **options)
        finally:
            adrizzle.cdriz = whole

    return convert_library_psf

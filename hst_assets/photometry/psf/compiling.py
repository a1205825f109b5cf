"""How the loops of the photometer are compiled.

The compiled code is kept beside its file or in the user's cache; where neither can be written, each
process compiles it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["compiled", "compiled_in_order"]

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """Compile a function; sums may be taken in any order, NaN stays NaN."""
    return _kept(function, fastmath={"reassoc", "nsz", "contract", "arcp"})


def compiled_in_order(function: _F) -> _F:
    """Compile a function; sums are taken as they are written, to the last digit."""
    return _kept(function)


def _kept(function: _F, **how: Any) -> _F:
    try:
        return numba.njit(cache=True, nogil=True, **how)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to keep the code in
        return numba.njit(nogil=True, **how)(function)  # type: ignore[no-any-return]

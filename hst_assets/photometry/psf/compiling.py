"""How the loops of the photometer are compiled.

The compiled code is kept beside its file or in the user's cache; where neither can be written, each
process compiles it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["compiled"]

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """Compile a function; sums may be taken in any order, NaN stays NaN."""
    how = {"nogil": True, "fastmath": {"reassoc", "nsz", "contract", "arcp"}}
    try:
        return numba.njit(cache=True, **how)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to keep the code in
        return numba.njit(**how)(function)  # type: ignore[no-any-return]

"""How loops are compiled with numba, and how compiled code is kept for other processes.

The compiled code is kept beside its file or in the user's cache; where neither can be written, each
process compiles it again.

numba (0.68) numbers the files of a function's code by what its index says, and reads and writes the
index without a lock: of two processes that compile one function for different types of arguments at
once, both may write the first number, and a third then runs the one's code with the other's
arguments. Several processes at once are this project's habit, so a lock goes around both.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["compiled", "compiled_in_order", "kept_compiled"]

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """Compile a function; sums may be taken in any order, NaN stays NaN."""
    return kept_compiled(function, fastmath={"reassoc", "nsz", "contract", "arcp"})


def compiled_in_order(function: _F) -> _F:
    """Compile a function; sums are taken as they are written, to the last digit."""
    return kept_compiled(function)


def kept_compiled(function: _F, **how: Any) -> _F:
    """Compile a function when it is called first, and keep the code.

    Parameters
    ----------
    function : callable
        What numba can compile.
    **how
        Options of `numba.njit`.
    """
    dispatcher: Any = numba.njit(nogil=True, **how)(function)
    with suppress(RuntimeError):  # no folder to keep the code in
        dispatcher._cache = _LockedCache(function)  # noqa: SLF001 - numba has no other way
    return dispatcher  # type: ignore[no-any-return]


class _LockedCacheFile(IndexDataCacheFile):  # type: ignore[misc]
    """Index and code of a function, for one process at a time."""

    def save(self, key: Any, data: Any) -> None:
        with self._locked():
            super().save(key, data)

    def load(self, key: Any) -> Any:
        with self._locked():
            return super().load(key)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            # In a folder that cannot be written, or is without locks, as numba has it.
            with suppress(OSError):
                lock = stack.enter_context(Path(f"{self._index_path}.lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class _LockedCache(FunctionCache):  # type: ignore[misc]
    """The compiled code of a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _LockedCacheFile(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )

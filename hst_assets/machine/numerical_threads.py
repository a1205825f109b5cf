"""One thread for the numerical libraries: parallel work is shared among processes here.

The libraries' own threads fight over the cores that the calls of a batch already share, and their
number may change the last digits of a sum.
"""

from __future__ import annotations

from collections.abc import MutableMapping

__all__ = ["ONE_THREAD", "pin_threads"]

#: Each library reads its variable when it is first imported.
ONE_THREAD = {
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}


def pin_threads(environment: MutableMapping[str, str]) -> None:
    """Give the libraries that a process will import one thread, unless the user said how many.

    Parameters
    ----------
    environment : mutable mapping
        Of a process of this project's own, before it imports numpy.
    """
    for name, number in ONE_THREAD.items():
        environment.setdefault(name, number)

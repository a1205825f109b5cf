"""Product objects of drizzlepac between pieces: files in the folder of a visit.

A piece reads what an earlier one left, and leaves its own. Only child processes import this. They
are pickles that this run has written itself; what pickling loses (a WCS) is left out, and computed
again from the headers.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

__all__ = ["STATE_SUFFIX", "load", "save", "without_wcs"]

STATE_SUFFIX = ".hap-state"


def save(value: Any, name: str) -> None:
    """Leave a value for later pieces.

    Parameters
    ----------
    value : object
        What can be pickled.
    name : str
        Its name.
    """
    with Path(name + STATE_SUFFIX).open("wb") as file:
        pickle.dump(value, file, protocol=pickle.HIGHEST_PROTOCOL)


def load(name: str) -> Any:
    """What an earlier piece left.

    Parameters
    ----------
    name : str
        Its name.
    """
    with Path(name + STATE_SUFFIX).open("rb") as file:
        return pickle.load(file)  # noqa: S301 - see above


def without_wcs(product: Any) -> Any:
    """A total, filter or exposure product without WCS objects.

    Parameters
    ----------
    product : HAPProduct
        drizzlepac's object; changed in place.
    """
    product.__dict__["meta_wcs"] = None
    drizzling = product.configobj_pars.get_pars("astrodrizzle")
    drizzling.pop("final_refimage", None)
    return product

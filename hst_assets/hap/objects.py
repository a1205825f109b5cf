"""Product objects of drizzlepac between pieces: files in the folder of a visit.

A piece reads what an earlier one left, and leaves its own. Only child processes import this. They
are pickles that this run has written itself; what pickling loses (a WCS) is left out, and computed
again from the headers. Parameters may be newer than the object: where pieces run that were not
planned with it, those of the file `PARAMETERS` are put in.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

__all__ = ["PARAMETERS", "STATE_SUFFIX", "load", "save", "without_wcs"]

STATE_SUFFIX = ".hap-state"
#: The parameters in force of each product, by the beginning of its files' names.
PARAMETERS = f"parameters{STATE_SUFFIX}"


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
    """What an earlier piece left, with the parameters in force.

    Parameters
    ----------
    name : str
        Its name.
    """
    value = _read(Path(name + STATE_SUFFIX))
    if Path(PARAMETERS).exists() and hasattr(value, "configobj_pars"):
        _take_parameters(value, _read(Path(PARAMETERS)))
    return value


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - see above


def _take_parameters(product: Any, parameters: dict[str, Any]) -> None:
    members = (*getattr(product, "fdp_list", ()), *getattr(product, "edp_list", ()))
    for each in (product, *members):
        if each.product_basename in parameters:
            each.configobj_pars = parameters[each.product_basename]
        if each is not product:
            for one in getattr(each, "edp_list", ()):
                one.configobj_pars = parameters.get(one.product_basename, one.configobj_pars)


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

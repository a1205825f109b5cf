"""The piece of HAP that tells the parameters in force; it runs in a child process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from hst_assets.hap.children import upstream_defects

upstream_defects.apply_at_import()

from drizzlepac.haputils import config_utils  # noqa: E402 - the line above comes first

from hst_assets.hap.objects import PARAMETERS, STATE_SUFFIX, load, save  # noqa: E402

__all__ = ["tell"]


def tell(numbers: Sequence[int]) -> dict[str, Any]:
    """Leave the parameters of all products, and tell which are not drizzlepac's own.

    Parameters
    ----------
    numbers : sequence of int
        Of the total products.

    Returns
    -------
    dict
        ``changed``: by the beginning of a product's file names, and by step (``alignment``,
        ``astrodrizzle``, ``catalog generation``, ``quality control``), the parameters that the
        user's file sets otherwise.
    """
    in_force: dict[str, Any] = {}
    changed: dict[str, Any] = {}
    for number in numbers:
        total = load(f"total{number}")
        for product in (total, *total.fdp_list, *total.edp_list):
            own = product.configobj_pars
            in_force[product.product_basename] = own
            if own.input_custom_pars_file is None:
                continue
            usual = upstream_defects.mended_parameters(
                config_utils.HapConfig(product, log_level=product.log_level)
            )
            differing = {
                step: _differing(_plain(own.get_pars(step)), _plain(usual.get_pars(step)))
                for step in config_utils.step_title_list
            }
            changed[product.product_basename] = {
                key: each for key, each in differing.items() if each
            }
    save(in_force, PARAMETERS.removesuffix(STATE_SUFFIX))
    return {"changed": {name: each for name, each in changed.items() if each}}


def _plain(parameters: Any) -> Any:
    """As JSON has it: numbers of numpy become Python's, tuples lists, keys texts."""
    return json.loads(json.dumps(parameters, default=_of_numpy))


def _of_numpy(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else repr(value)


def _differing(own: Any, usual: Any) -> dict[str, Any]:
    """The values that are not the usual ones, nested as they are; None of what is not there."""
    found: dict[str, Any] = {key: None for key in usual if key not in own}
    for key, value in own.items():
        before = usual.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            inner = _differing(value, before)
            if inner:
                found[key] = inner
        elif key not in usual or value != before:
            found[key] = value
    return found

"""Hubble Advanced Products: uniform images and catalogues of one visit, by drizzlepac's HAP code.

drizzlepac makes them in one process and one folder, one product after the other. Here each product
is a piece of its own, in a child process and a scratch folder of its own, and filters are made in
parallel; the products are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hst_assets.hap.run import make_advanced_products, run_hap_processing

__all__ = ["make_advanced_products", "run_hap_processing"]


def __getattr__(name: str) -> Any:
    """The functions for users, which are imported when they are wanted: others import parts."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hst_assets.hap import run

    return getattr(run, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

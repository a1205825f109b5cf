"""Which driver makes a product: ours of drizzlepac's C code, or AstroDrizzle itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hst_assets.settings import DrizzleSettings

__all__ = ["Engine", "engine_of", "left_to_astrodrizzle"]

Engine = Literal["direct", "astrodrizzle"]


def engine_of(settings: DrizzleSettings, parameters: Mapping[str, Any]) -> Engine:
    """The driver in force for a product with AstroDrizzle's `parameters`."""
    if settings.engine == "direct" and left_to_astrodrizzle(settings, parameters) is None:
        return "direct"
    return "astrodrizzle"


def left_to_astrodrizzle(settings: DrizzleSettings, parameters: Mapping[str, Any]) -> str | None:
    """What `direct_drizzle` does not do of what is asked for; None if it does all of it."""
    if settings.keep_artifacts:
        return "keep_artifacts: AstroDrizzle's scratch products exist only where it runs"
    if parameters.get("driz_cr_corr"):
        return "driz_cr_corr: images corrected for cosmic rays are scratch products of AstroDrizzle"
    kernels = {parameters.get("final_kernel"), parameters.get("driz_sep_kernel")}
    if "lanczos3" in kernels:
        return "lanczos3: where its weights cancel, rounding decides the pixels"
    return None

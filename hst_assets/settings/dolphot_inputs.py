"""Settings of what DOLPHOT is given to read."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from hst_assets.detectors import DETECTORS, Detector
from hst_assets.settings.fields import Section, UserPath

__all__ = ["DolphotInputsSettings"]

#: Inner and outer radius and step (pixels), limits above and below the mean (sigma).
Sky = tuple[int, int, int, float, float]

#: As hst123 gives them to ``calcsky`` (after DOLPHOT's manuals of the three instruments).
_CCD: Sky = (15, 35, 4, 2.25, 2.0)
_SMALL: Sky = (10, 25, 2, 2.25, 2.0)
_SKY: dict[str, Sky] = {
    "wfc3_uvis": _CCD,
    "wfc3_ir": _SMALL,
    "acs_wfc": _CCD,
    "acs_hrc": _CCD,
    "wfpc2": _SMALL,
}
_LARGEST_RADIUS_PIX = 200
_MAP = re.compile(r"(\w+?)(?:\.([0-3]))?")


def _with_the_others(value: Any) -> Any:
    """The user's entries among the defaults of other detectors."""
    return {**_SKY, **value} if isinstance(value, dict) else value


class DolphotInputsSettings(Section):
    """How exposures and the reference are made ready for DOLPHOT."""

    include_all_splits: bool = False
    """Use the chips that do not hold the target, too."""
    add_crmask: bool = False
    """Mask what L.A.Cosmic finds on single exposures, besides the cosmic rays that are flagged.

    Without it, DOLPHOT tells cosmic rays from stars by their sharpness. WFC3/IR is left as it is.
    """
    programs: Literal["own", "dolphot"] = "own"
    """Who masks, splits and measures the sky: this project (own), or DOLPHOT's programs (dolphot).

    Those are ``acsmask``, ``wfc3mask``, ``wfpc2mask``, ``splitgroups`` and ``calcsky``; they must
    be on PATH, with DOLPHOT's maps of pixel areas where it looks for them.
    """
    sky: Annotated[dict[str, Sky], BeforeValidator(_with_the_others)] = Field(default=_SKY)
    """The arguments of ``calcsky`` by detector: inner and outer radius and step in pixels, and how
    many standard deviations above and below the mean a value may be.

    Such as ``wfc3_ir = [10, 25, 2, 2.25, 2.0]`` in ``[dolphot_inputs.sky]``. With a negative step
    the sky is the mean of blocks of so many pixels a side, interpolated: less accurate beside
    bright stars, and quicker.
    """
    pixel_area_maps: dict[str, UserPath] = Field(default={})
    """Maps of pixel areas (FITS) by detector and chip; of what is not named, areas are computed
    from the distortion in the header.

    Such as ``"acs_wfc.1" = "wfc1_pam.fits"`` in ``[dolphot_inputs.pixel_area_maps]``; the number is
    that of the chip (CCDCHIP; WFPC2: 0 to 3), and is left out for a detector of one chip. A
    relative path starts at the work directory. Of subarrays the map's part is used.
    """

    @field_validator("sky")
    @classmethod
    def _measurable(cls, value: dict[str, Sky]) -> dict[str, Sky]:
        for key, (inner, outer, step, above, below) in value.items():
            if key not in DETECTORS:
                raise ValueError(f"not a detector: {key!r}; known are {', '.join(DETECTORS)}")
            if not (0 <= inner < outer <= _LARGEST_RADIUS_PIX):
                raise ValueError(
                    f"{key}: radii from 0 to {_LARGEST_RADIUS_PIX} pixels, the inner one first"
                )
            if step == 0 or abs(step) > outer:
                raise ValueError(f"{key}: the step is not 0, and no larger than the outer radius")
            if not (1 <= above < 1e6 and 1 <= below < 1e6):
                raise ValueError(f"{key}: limits are at least 1 standard deviation")
        return value

    @field_validator("pixel_area_maps")
    @classmethod
    def _of_chips(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            found = _MAP.fullmatch(name)
            if found is None or found[1] not in DETECTORS:
                raise ValueError(
                    f"neither a detector, such as acs_hrc, nor a chip, such as acs_wfc.1: {name!r}"
                )
            chips = _chips(DETECTORS[found[1]])
            if found[2] not in (chips if len(chips) > 1 else (None, *chips)):
                known = ", ".join(f"{found[1]}.{chip}" for chip in chips)
                raise ValueError(f"{name!r} is no map's name: each chip has its own ({known})")
        return value


def _chips(detector: Detector) -> tuple[str, ...]:
    """The numbers of a detector's chips, as DOLPHOT's tag has them."""
    first = 0 if detector.has_separate_dq or detector.n_chips == 1 else 1
    return tuple(str(first + chip) for chip in range(detector.n_chips))

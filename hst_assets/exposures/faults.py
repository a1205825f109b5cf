"""What would make the numbers of a whole, readable exposure wrong, whatever the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hst_assets.detectors import Detector
from hst_assets.exposures.keywords import number, text
from hst_assets.exposures.units import unit_fault
from hst_assets.filter_names import is_ramp

__all__ = ["faults_of"]

#: In TARGNAME of exposures of the Earth, whose IMAGETYP is that of the sky.
_EARTH = "EARTH-CALIB"


def faults_of(
    primary: Mapping[str, Any],
    chips: Sequence[Mapping[str, Any]],
    detector: Detector,
    *,
    behind: bool,
) -> tuple[str, ...]:
    """Why an exposure is not used; empty if nothing speaks against it.

    Parameters
    ----------
    primary : mapping
        Its primary header.
    chips : sequence of mapping
        Headers of its SCI extensions.
    detector : Detector
        Whose it is.
    behind : bool
        Whether any pixel lies behind the filter that it is named by.
    """
    faults = [fault for header in chips if (fault := unit_fault(header, detector))]
    if _EARTH in text(primary, "TARGNAME", "").upper():
        faults.append(f"it is an image of the Earth: TARGNAME is {primary['TARGNAME']}")
    wheels = (text(primary, keyword, "") for keyword in detector.filter_keywords)
    for element in detector.optical_elements(wheels):
        if is_ramp(element) and not number(primary, "LRFWAVE", 0.0) > 0:
            faults.append(f"LRFWAVE is missing: the passband of {element} is not known")
        if any(re.fullmatch(pattern, element) for pattern in detector.chip_patterns):
            faults.append(f"{element} is another filter or polarizer before each chip")
    if not behind:
        faults.append(f"no pixel was read behind {primary['FILTER']}: it covers another quadrant")
    return tuple(dict.fromkeys(faults))

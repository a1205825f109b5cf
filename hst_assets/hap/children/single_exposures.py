"""The exposures in which nothing but one image could tell cosmic rays from sources."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["exposure_time_of_single_exposures"]


def exposure_time_of_single_exposures(
    exposures: Sequence[tuple[str, float]], detector: str
) -> float:
    """Time whose cosmic rays nothing but a single image could tell from sources.

    Parameters
    ----------
    exposures : sequence of (str, float)
        Filter and exposure time, seconds, of each exposure.
    detector : str
        Detectors without cosmic rays to speak of (IR, whose reads tell them; SBC) have none.

    Returns
    -------
    float
        Seconds; 0 as soon as one filter has two exposures, for then filters with one are not part
        of the detection. The parameter ``cr_residual`` never changes this in drizzlepac 3.11
        (``hapsequencer.create_catalog_products``), so it is not read here.
    """
    if detector.upper() in ("IR", "SBC"):
        return 0.0
    times: dict[str, list[float]] = {}
    for name, exptime in exposures:
        times.setdefault(name, []).append(exptime)
    if any(len(each) > 1 for each in times.values()):
        return 0.0
    return float(sum(sum(each) for each in times.values()))

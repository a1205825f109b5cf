"""Which exposures are used, and why the others are not.

The rules are applied in the order of `RULES`; an exposure that breaks several is rejected with
all the reasons, in that order. Circumstances such as a moving target are noted with the
exposure (see `hst_assets.exposures.header`), never a reason to reject it.
"""

from __future__ import annotations

from collections.abc import Callable

from astropy.time import Time

from hst_assets.exposures.footprint import signed_distance_arcsec
from hst_assets.exposures.header import Exposure
from hst_assets.exposures.quadrants import QUADRANTS
from hst_assets.filter_names import is_among, is_wide
from hst_assets.settings import SelectionSettings, TargetSettings

__all__ = ["RULES", "reasons_to_reject"]

_ARCSEC_PER_DEG = 3600.0

Rule = Callable[[Exposure, SelectionSettings, TargetSettings], str]


def reasons_to_reject(
    exposure: Exposure, selection: SelectionSettings, target: TargetSettings
) -> list[str]:
    """Every reason against an exposure, in the order of `RULES`; empty if it may be used."""
    return [reason for rule in RULES if (reason := rule(exposure, selection, target))]


def _quality(exposure: Exposure, selection: SelectionSettings, _: TargetSettings) -> str:
    flag = exposure.expflag
    if flag in {"", "NORMAL"}:
        return ""
    if flag == "INDETERMINATE":
        return "" if selection.keep_indt else "EXPFLAG is INDETERMINATE (keep_indt is off)"
    if "TDF-DOWN" in flag:
        return "" if selection.keep_tdf_down else f"EXPFLAG is {flag} (keep_tdf_down is off)"
    return f"EXPFLAG is {flag}, not NORMAL"


def _fault(exposure: Exposure, _: SelectionSettings, __: TargetSettings) -> str:
    return "; ".join(exposure.faults)


def _charge_injection(exposure: Exposure, selection: SelectionSettings, _: TargetSettings) -> str:
    if selection.keep_charge_injection or not exposure.charge_injection:
        return ""
    return (
        f"charge was injected (CHINJECT is {exposure.charge_injection}; "
        "keep_charge_injection is off)"
    )


def _remark(exposure: Exposure, selection: SelectionSettings, _: TargetSettings) -> str:
    """Failures of guiding that leave EXPFLAG at NORMAL are told by QUALITY alone."""
    words = exposure.quality.upper().replace("_", "-")
    off = []
    if "GSFAIL" in words and not selection.keep_gsfail:
        off.append("keep_gsfail")
    if "TDF-DOWN" in words and not selection.keep_tdf_down:
        off.append("keep_tdf_down")
    if not off:
        return ""
    verb = "is" if len(off) == 1 else "are"
    return f"QUALITY is {exposure.quality} ({', '.join(off)} {verb} off)"


def _exposure_time(exposure: Exposure, selection: SelectionSettings, _: TargetSettings) -> str:
    if exposure.exptime_s <= 0:
        # keep_short keeps short exposures; this one has no light, and no rate can be made of it.
        return "exposed 0 s: it has no light to use"
    if selection.keep_short or exposure.exptime_s >= selection.min_exptime_s:
        return ""
    return (
        f"exposed {exposure.exptime_s:g} s, less than {selection.min_exptime_s:g} s "
        "(keep_short is off)"
    )


def _after(exposure: Exposure, selection: SelectionSettings, _: TargetSettings) -> str:
    if selection.after is None or exposure.mjd_start >= _mjd(selection.after):
        return ""
    return f"started {_date(exposure)}, before {selection.after} (after)"


def _before(exposure: Exposure, selection: SelectionSettings, _: TargetSettings) -> str:
    if selection.before is None or exposure.mjd_start < _mjd(selection.before):
        return ""
    return f"started {_date(exposure)}, not before {selection.before} (before)"


def _only_filter(exposure: Exposure, selection: SelectionSettings, _: TargetSettings) -> str:
    if not selection.only_filter or is_among(exposure.filter, selection.only_filter):
        return ""
    return f"filter {exposure.filter} is not among {', '.join(selection.only_filter)} (only_filter)"


def _only_wide(exposure: Exposure, selection: SelectionSettings, _: TargetSettings) -> str:
    if not selection.only_wide or is_wide(exposure.filter):
        return ""
    return f"filter {exposure.filter} is not wide (only_wide)"


def _footprint(exposure: Exposure, selection: SelectionSettings, target: TargetSettings) -> str:
    if target.ra_deg is None or target.dec_deg is None:
        return ""
    if not exposure.passband_polygons:
        return ""  # which is a fault of its own
    depth_arcsec = signed_distance_arcsec(exposure.passband_polygons, target.ra_deg, target.dec_deg)
    if depth_arcsec >= -selection.footprint_margin_arcsec:
        return ""
    side = "outside" if depth_arcsec < 0 else "inside"
    quad = exposure.detector.key == "wfc3_uvis" and exposure.filter in QUADRANTS
    what = f"quadrant of {exposure.filter}" if quad else "footprint"
    return (
        f"the target is {_angle(abs(depth_arcsec))} {side} the {what} "
        f"(footprint_margin_arcsec is {selection.footprint_margin_arcsec:g})"
    )


#: The rules in the order in which they are applied and their reasons are listed.
RULES: tuple[Rule, ...] = (
    _fault,
    _quality,
    _remark,
    _charge_injection,
    _exposure_time,
    _after,
    _before,
    _only_filter,
    _only_wide,
    _footprint,
)


def _angle(arcsec: float) -> str:
    return (
        f"{arcsec:.2f} arcsec"
        if arcsec < _ARCSEC_PER_DEG
        else f"{arcsec / _ARCSEC_PER_DEG:.2f} deg"
    )


def _mjd(moment: str) -> float:
    return float(Time(moment, scale="utc").mjd)


def _date(exposure: Exposure) -> str:
    text: str = Time(exposure.mjd_start, format="mjd", scale="utc").isot
    return text[:19]

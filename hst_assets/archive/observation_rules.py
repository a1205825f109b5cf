"""Which observations of the archive are wanted, and why the others are left out.

The rules are applied in the order of `RULES`; the first that an observation breaks is its reason.
What the archive does not say is not held against an observation: its own header decides once it is
here. An observation may be an association of several exposures: then its exposure
time is the sum of theirs, and it begins with the first and ends with the last.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from hst_assets.archive.footprints import Region, parse_region
from hst_assets.archive.services import Row
from hst_assets.detectors import DETECTORS, Detector, detector_for
from hst_assets.failures import UnusableInput
from hst_assets.filter_names import is_among, is_wide
from hst_assets.settings import Settings

__all__ = [
    "RULES",
    "Observation",
    "Rule",
    "Wanted",
    "observation_from_caom",
    "observation_from_missions",
    "reason_to_leave_out",
]

_DATASET = re.compile(r"[a-z][a-z0-9]{8}")
_MJD_OF_UNIX_EPOCH = 40587.0
_DAY_S = 86400.0
#: MJD of launch and of the year 2100: a moment outside is none.
_FIRST_MJD, _LAST_MJD = 48000.0, 88069.0
_LONGEST_TEXT = 80


@dataclass(frozen=True)
class Observation:
    """One observation as the archive describes it; None (or an empty text): it does not say.

    Attributes
    ----------
    obs_id : str
        Lower case; an exposure's rootname or an association's id where it is one of HST's own.
    obsid : str
        The archive's number of it, for its product list.
    collection, project : str
        Such as HST, HAP, HLA; upper case.
    instrument : str
        Such as ``ACS/WFC``.
    filters : str
        Filter elements, separated by ``;``.
    product_type, intent : str
        Such as ``image`` and ``science``.
    calib_level : int or None
        0 to 4; -1 planned.
    begin_mjd, end_mjd, release_mjd : float or None
        MJD, UTC.
    exptime_s : float or None
        Seconds; of an association the sum.
    data_rights : str
        PUBLIC, EXCLUSIVE_ACCESS, RESTRICTED.
    proposal : str
        Number.
    position : tuple of float or None
        RA and Dec of the pointing, degrees.
    s_region : str
        Footprint.
    """

    obs_id: str
    obsid: str = ""
    collection: str = "HST"
    project: str = "HST"
    instrument: str = ""
    filters: str = ""
    product_type: str = ""
    intent: str = ""
    calib_level: int | None = None
    begin_mjd: float | None = None
    end_mjd: float | None = None
    release_mjd: float | None = None
    exptime_s: float | None = None
    data_rights: str = ""
    proposal: str = ""
    position: tuple[float, float] | None = None
    s_region: str = ""

    @property
    def is_association(self) -> bool:
        """Whether it is an association of several exposures: its ninth character is a digit."""
        return bool(_DATASET.fullmatch(self.obs_id)) and self.obs_id[-1].isdigit()

    @cached_property
    def region(self) -> Region | None:
        """The footprint; None where it cannot be read."""
        return parse_region(self.s_region)

    @cached_property
    def detector(self) -> Detector:
        """The detector.

        Raises
        ------
        UnusableInput
            If the project does not support it.
        """
        instrument, _, detector = self.instrument.partition("/")
        return detector_for(instrument, detector)

    @property
    def filter_name(self) -> str:
        """The filter; empty where the archive does not say.

        Raises
        ------
        UnusableInput
            If it is none that images are taken through.
        """
        elements = [element for element in re.split(r"[;,/]", self.filters) if element.strip()]
        return self.detector.filter_of(elements) if elements else ""

    def is_public(self, now_mjd: float) -> bool:
        """Whether anyone may have it now."""
        if self.release_mjd is not None and self.release_mjd > now_mjd:
            return False
        return self.data_rights in {"PUBLIC", ""}


@dataclass(frozen=True)
class Wanted:
    """The query: settings of a target, with the time of the query."""

    settings: Settings
    now_mjd: float

    @cached_property
    def after_mjd(self) -> float | None:
        """Exposures that start before this are not wanted."""
        return _mjd(self.settings.selection.after)

    @cached_property
    def before_mjd(self) -> float | None:
        """Exposures that start at this or after are not wanted."""
        return _mjd(self.settings.selection.before)

    @cached_property
    def detectors(self) -> tuple[Detector, ...]:
        """The selected detectors, sorted by key."""
        archive = self.settings.archive
        return tuple(
            row
            for key, row in sorted(DETECTORS.items())
            if (not archive.detectors or key in archive.detectors)
            and (not archive.instruments or row.instrument in archive.instruments)
        )

    @property
    def position(self) -> tuple[float, float] | None:
        """RA and Dec of the target, degrees."""
        target = self.settings.target
        if target.ra_deg is None or target.dec_deg is None:
            return None
        return target.ra_deg, target.dec_deg


@dataclass(frozen=True)
class Rule:
    """A reason to leave an observation out.

    Attributes
    ----------
    name : str
        Begins the reason.
    meaning : str
        For people.
    breaks : callable
        Says how an observation breaks it; empty if it does not.
    both_say : bool
        Whether the second catalogue knows enough to judge by it.
    """

    name: str
    meaning: str
    breaks: Callable[[Observation, Wanted], str]
    both_say: bool = True


def reason_to_leave_out(observation: Observation, wanted: Wanted, *, both_say: bool = False) -> str:
    """The first rule an observation breaks, and how; empty if it is wanted.

    Parameters
    ----------
    observation : Observation
        Of either catalogue.
    wanted : Wanted
        The query.
    both_say : bool, optional
        Only by the rules that both catalogues can be judged by.
    """
    for rule in RULES:
        if both_say and not rule.both_say:
            continue
        if how := rule.breaks(observation, wanted):
            return f"{rule.name}: {how}"
    return ""


# ------------------------------------------------------------------------------- the rules


def _high_level(observation: Observation, _: Wanted) -> str:
    for word in (observation.collection, observation.project):
        if word not in {"HST", "", "CALHST"}:
            return f"of the collection or project {word}"
    if observation.obs_id.startswith("hst_"):
        return "a product made from exposures that are listed separately"
    return ""


def _dataset(observation: Observation, _: Wanted) -> str:
    if _DATASET.fullmatch(observation.obs_id):
        return ""
    return "its name is not that of an exposure or association (IPPPSSOOT)"


def _detector(observation: Observation, wanted: Wanted) -> str:
    try:
        row = observation.detector
    except UnusableInput as error:
        return error.what
    if row not in wanted.detectors:
        return f"{row.key} is not among {', '.join(d.key for d in wanted.detectors) or 'none'}"
    return ""


def _image(observation: Observation, _: Wanted) -> str:
    kind = observation.product_type
    return "" if kind in {"", "image"} else f"it is a {kind}"


def _filter(observation: Observation, wanted: Wanted) -> str:
    selection = wanted.settings.selection
    try:
        name = observation.filter_name
    except UnusableInput as error:
        return error.what
    if name and selection.only_filter and not is_among(name, selection.only_filter):
        return f"{name} is not among {', '.join(selection.only_filter)} (only_filter)"
    if name and selection.only_wide and not is_wide(name):
        return f"{name} is not wide (only_wide)"
    return ""


def _intent(observation: Observation, _: Wanted) -> str:
    intent = observation.intent
    return "" if intent in {"", "science"} else f"intended for {intent}"


def _proposal(observation: Observation, wanted: Wanted) -> str:
    asked = wanted.settings.archive.proposals
    if not asked or not observation.proposal or observation.proposal in asked:
        return ""
    return f"{observation.proposal} is not among {', '.join(asked)}"


def _dates(observation: Observation, wanted: Wanted) -> str:
    first = observation.begin_mjd
    # Of an association only its last exposure need be late enough.
    last = observation.end_mjd if observation.is_association else first
    selection = wanted.settings.selection
    if wanted.after_mjd is not None and last is not None and last < wanted.after_mjd:
        return f"started {_date(last)}, before {selection.after} (after)"
    if wanted.before_mjd is not None and first is not None and first >= wanted.before_mjd:
        return f"started {_date(first)}, not before {selection.before} (before)"
    return ""


def _exposure_time(observation: Observation, wanted: Wanted) -> str:
    selection, longest_s = wanted.settings.selection, wanted.settings.archive.max_exptime_s
    exptime_s = observation.exptime_s
    if exptime_s is None:
        return ""
    if exptime_s < selection.min_exptime_s and not selection.keep_short:
        return (
            f"exposed {exptime_s:g} s, less than {selection.min_exptime_s:g} s (keep_short is off)"
        )
    # Of an association it is the sum: its exposures are looked at when they are known.
    if longest_s is not None and exptime_s > longest_s and not observation.is_association:
        return f"exposed {exptime_s:g} s, more than {longest_s:g} s (max_exptime_s)"
    return ""


def _calibration_level(observation: Observation, wanted: Wanted) -> str:
    level, asked = observation.calib_level, wanted.settings.archive.calib_levels
    if level is None or level in asked:
        return ""
    return f"level {level} is not among {', '.join(map(str, asked))} (calib_levels)"


def _rights(observation: Observation, wanted: Wanted) -> str:
    if wanted.settings.archive.data_rights == "all" or observation.is_public(wanted.now_mjd):
        return ""
    release = observation.release_mjd
    when = "" if release is None else f", to be released {_date(release)}"
    return f"{observation.data_rights or 'not yet public'}{when} (data_rights is public)"


def _footprint(observation: Observation, wanted: Wanted) -> str:
    archive, position, region = wanted.settings.archive, wanted.position, observation.region
    if not archive.must_hold_target or position is None or region is None:
        return ""
    margin = wanted.settings.selection.footprint_margin_arcsec
    depth = region.depth_arcsec(*position)
    if depth >= -(margin + archive.footprint_slack_arcsec):
        return ""
    side = "outside" if depth < 0 else "inside"
    return (
        f"the target is {abs(depth):.1f} arcsec {side} the footprint (footprint_margin_arcsec is "
        f"{margin:g}, footprint_slack_arcsec {archive.footprint_slack_arcsec:g})"
    )


def _dated(observation: Observation, _: Wanted) -> str:
    moments = (observation.begin_mjd, observation.end_mjd, observation.release_mjd)
    return "" if any(moment is not None for moment in moments) else "neither observed nor released"


#: The rules in the order in which they are applied.
RULES: tuple[Rule, ...] = (
    Rule(
        "high-level product",
        "HAP, HLA and HLSP: made from exposures that come by themselves, under names of their own "
        "(HAP's rootnames have eight characters)",
        _high_level,
    ),
    Rule("name", "Its name is not that of an exposure or of an association", _dataset),
    Rule(
        "detector",
        "Not one of `archive.instruments` and `archive.detectors`, or not supported",
        _detector,
    ),
    Rule("kind", "Not an image", _image),
    Rule(
        "filter",
        "Not an imaging filter (a grism, a prism), or not of `selection.only_filter` and "
        "`selection.only_wide`",
        _filter,
    ),
    Rule("intent", "Taken for calibration, not for science", _intent),
    Rule("proposal", "Not of `archive.proposals`", _proposal),
    Rule("dates", "Not between `selection.after` and `selection.before`", _dates),
    Rule(
        "exposure time",
        "Shorter than `selection.min_exptime_s` (unless `selection.keep_short`), or longer than "
        "`archive.max_exptime_s`",
        _exposure_time,
    ),
    Rule("calibration level", "Not of `archive.calib_levels`", _calibration_level, both_say=False),
    Rule("date", "Without any date: planned, or withdrawn", _dated, both_say=False),
    Rule(
        "data rights",
        "Under exclusive access, and `archive.data_rights` is `public`",
        _rights,
    ),
    Rule(
        "footprint",
        "The footprint, widened by `archive.footprint_slack_arcsec` and "
        "`selection.footprint_margin_arcsec`, does not hold the target "
        "(`archive.must_hold_target`)",
        _footprint,
        both_say=False,
    ),
)


# ------------------------------------------------------------------- rows of the two catalogues


def observation_from_caom(row: Row) -> Observation:
    """Read a row of CAOM; what is missing or makes no sense counts as not said."""
    level = _number(row.get("calib_level"))
    ra, dec = _number(row.get("s_ra")), _number(row.get("s_dec"))
    return Observation(
        obs_id=_text(row.get("obs_id")).lower(),
        obsid=_digits(row.get("obsid")),
        collection=_text(row.get("obs_collection")).upper(),
        project=_text(row.get("project")).upper(),
        instrument=_text(row.get("instrument_name")).upper(),
        filters=_text(row.get("filters")).upper(),
        product_type=_text(row.get("dataproduct_type")).lower(),
        intent=_text(row.get("intentType")).lower(),
        calib_level=None if level is None else int(level),
        begin_mjd=_moment(row.get("t_min")),
        end_mjd=_moment(row.get("t_max")),
        release_mjd=_moment(row.get("t_obs_release")),
        exptime_s=_number(row.get("t_exptime")),
        data_rights=_text(row.get("dataRights")).upper(),
        proposal=_digits(row.get("proposal_id")),
        position=_position(ra, dec),
        s_region=str(row.get("s_region") or ""),
    )


def observation_from_missions(row: Row) -> Observation:
    """Read a row of the Missions search, in the words of CAOM."""
    status = _text(row.get("sci_status")).upper()
    return Observation(
        obs_id=_text(row.get("sci_data_set_name")).lower(),
        instrument=_text(row.get("sci_instrument_config")).upper(),
        filters=_text(row.get("sci_spec_1234")).upper(),
        product_type=_text(row.get("sci_obs_type")).lower(),
        intent={"C": "calibration", "S": "science"}.get(_text(row.get("sci_aec")).upper(), ""),
        begin_mjd=_mjd_or_none(row.get("sci_start_time")),
        end_mjd=_mjd_or_none(row.get("sci_stop_time")),
        release_mjd=_mjd_or_none(row.get("sci_release_date")),
        exptime_s=_number(row.get("sci_actual_duration")),
        data_rights="PUBLIC" if status == "PUBLIC" else "EXCLUSIVE_ACCESS" if status else "",
        proposal=_digits(row.get("sci_pep_id")),
        position=_position(_number(row.get("sci_ra")), _number(row.get("sci_dec"))),
    )


def _text(value: Any) -> str:
    """One printable line; a service's word is never trusted to be one."""
    words = " ".join(str(value).split()) if isinstance(value, (str, int, float)) else ""
    return "".join(letter for letter in words if letter.isprintable())[:_LONGEST_TEXT]


def _digits(value: Any) -> str:
    text = _text(value)
    return str(int(text)) if text.isascii() and text.isdigit() else ""


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _moment(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and _FIRST_MJD < number < _LAST_MJD else None


def _position(ra: float | None, dec: float | None) -> tuple[float, float] | None:
    if ra is None or dec is None or not -90.0 <= dec <= 90.0:
        return None
    return ra % 360.0 % 360.0, dec  # the first makes 360 of what is just below 0


def _mjd_or_none(value: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    return _moment(_MJD_OF_UNIX_EPOCH + seconds / _DAY_S)


def _mjd(moment: str | None) -> float | None:
    """MJD of a moment in ISO 8601, UTC."""
    if moment is None:
        return None
    from astropy.time import Time

    return float(Time(moment, scale="utc").mjd)


def _date(mjd: float) -> str:
    seconds = round((mjd - _MJD_OF_UNIX_EPOCH) * _DAY_S)
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")

"""The gate: whether an alignment is accepted, from numbers alone.

A fit's own RMS is the scatter about its mean and says nothing about whether the stars are the
right ones: unrelated lists of a few hundred stars give "successful" fits with six matches. The
gate therefore also asks what chance would give, and what the stars say that were kept out of the
fit. Pixels are native pixels of the exposure's detector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hst_assets.medians import median_error
from hst_assets.settings import GateSettings

__all__ = ["FitNumbers", "Status", "Verdict", "judge", "judge_anchor"]

Status = Literal["PASS", "COMPROMISED", "FAIL"]

#: Below this RMS (pixels) on both axes their ratio is noise of the centroids, not a symptom.
_RATIO_FLOOR_PIX = 0.05
#: Chance may produce the held-out matches with at most this probability.
_MAX_CHANCE_PROBABILITY = 1e-3
#: Few held-out stars: their median may miss the limit by this many standard errors ...
_STANDARD_ERRORS = 3.0
#: ... but never be off by more than this (pixels).
_HELD_OUT_CEILING_PIX = 0.4
#: Of the stars of a fit, fits without them must find so many again.
_PREDICTED_SHARE = 0.5
#: The RMS through the written header against the one the tool reported: factor and slack.
_REPORT_FACTOR, _REPORT_SLACK_PIX = 1.3, 0.05


@dataclass(frozen=True)
class FitNumbers:
    """What is known of one fit; lengths in native pixels unless the name says otherwise.

    Attributes
    ----------
    n_matches : int
        Stars of the fit, after clipping.
    rms_x, rms_y : float
        RMS of the fit stars' residuals through the *written* WCS, about zero.
    reported_rms : float
        The larger of the tool's own two; NaN where it reports none.
    rms_ra_mas, rms_dec_mas : float
        The same residuals on the sky.
    shift_ra_arcsec, shift_dec_arcsec : float
        Motion of the exposure's centre on the sky (RA times cos Dec).
    rotation_deg, scale : float
        Rotation, degrees from x (west) towards y (north), and scale from the old to the new WCS.
    n_held_out : int
        Stars with a reference star within the tolerance of where a fit without them puts them.
    n_held_out_chance : float
        How many would by chance.
    held_out_x, held_out_y : float
        Their median residuals; NaN if there are none.
    held_out_rms : float
        Their scatter on the worse axis; NaN if there are none.
    drift : float
        How far the written fit is from those made without a part of the stars.
    tilt, tilt_error : float
        Median displacement of the stars by the rotation, scale and skew that remain between them
        and the reference; its standard error.
    contrast : float
        Pairs at the fit over the best that scrambled lists give.
    uniqueness : float
        Pairs within half a pixel of the fit over those that agree as well at another offset.
    """

    n_matches: int
    rms_x: float
    rms_y: float
    reported_rms: float
    rms_ra_mas: float
    rms_dec_mas: float
    shift_ra_arcsec: float
    shift_dec_arcsec: float
    rotation_deg: float
    scale: float
    n_held_out: int
    n_held_out_chance: float
    held_out_x: float
    held_out_y: float
    held_out_rms: float
    drift: float
    tilt: float
    tilt_error: float
    contrast: float
    uniqueness: float

    def as_json(self) -> dict[str, float | int | None]:
        """The numbers for records: NaN becomes None."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, numbers: Mapping[str, Any]) -> FitNumbers:
        """The inverse of `as_json`."""
        values: dict[str, Any] = {
            key: math.nan if value is None else value for key, value in numbers.items()
        }
        return cls(**values)


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes
    ----------
    status : {"PASS", "COMPROMISED", "FAIL"}
        COMPROMISED is used, and said so wherever the exposure goes.
    reasons : tuple of str
        Why not PASS; empty for PASS.
    """

    status: Status
    reasons: tuple[str, ...] = ()

    @property
    def believed(self) -> bool:
        """Whether the fit may be written."""
        return self.status != "FAIL"

    def doubted(self, doubts: tuple[str, ...]) -> Verdict:
        """The same with further reasons not to PASS."""
        if not doubts:
            return self
        status: Status = "COMPROMISED" if self.status == "PASS" else self.status
        return Verdict(status, (*self.reasons, *doubts))

    @property
    def reason(self) -> str:
        """The reasons in one line."""
        return "; ".join(self.reasons)


def judge(numbers: FitNumbers, limits: GateSettings, *, free_scale: bool = False) -> Verdict:
    """Judge one fit.

    Parameters
    ----------
    numbers : FitNumbers
        What was measured.
    limits : GateSettings
        The limits in force.
    free_scale : bool, optional
        Whether the fit could change the scale; only then is the scale a prior to be held.
    """
    failures = [reason for test in _HARD for reason in test(numbers, limits)]
    if free_scale and abs(numbers.scale - 1) > limits.max_scale_error:
        failures.append(f"scale changed by {numbers.scale - 1:+.1e}")
    soft = _soft(numbers, limits)
    failures += [reason for reason, excess in soft if excess > limits.compromise_factor]
    if failures:
        return Verdict("FAIL", tuple(failures))
    doubts = tuple(reason for reason, excess in soft if excess > 1)
    return Verdict("COMPROMISED" if doubts else "PASS", doubts)


def judge_anchor(n_stars: int, n_failed: int, limits: GateSettings) -> Verdict:
    """Judge the exposure that is the reference by itself: whether its stars can carry a frame.

    There is no fit to be judged, for its stars match themselves whatever they are. It is never
    FAIL: it is on the frame, because it defines it.

    Parameters
    ----------
    n_stars : int
        Stars in the reference's catalogue.
    n_failed : int
        Exposures that were to make the reference with it and could not be aligned to it.
    limits : GateSettings
        The limits in force: a fit to it needs `min_matches` stars and `min_held_out` beside them.
    """
    needed = limits.min_matches
    doubts = []
    if n_stars < needed:
        doubts.append(f"{n_stars} stars on it, {needed} needed to align anything to it")
    if n_failed:
        doubts.append(f"{n_failed} more were chosen with it, and none could be aligned to it")
    return Verdict("COMPROMISED" if doubts else "PASS", tuple(doubts))


def _soft(numbers: FitNumbers, limits: GateSettings) -> list[tuple[str, float]]:
    """Limits that may be missed by a factor: the reason, and value over limit."""
    low, high = sorted((numbers.rms_x, numbers.rms_y))
    ratio = high / max(low, _RATIO_FLOOR_PIX)
    # The ratio of two RMS of n numbers scatters by about 1/sqrt(n) without any fault.
    allowed = limits.max_rms_axis_ratio * (1 + 1 / math.sqrt(max(numbers.n_matches - 1, 1)))
    return [
        (f"RMS {high:.2f} px above {limits.max_rms_pix:g}", _over(high, limits.max_rms_pix)),
        (f"RMS of the axes differ by a factor {ratio:.1f}", _over(ratio, allowed)),
    ]


def _over(value: float, limit: float) -> float:
    """Value over limit; infinite where the value is not a number."""
    return value / limit if math.isfinite(value) else math.inf


def _enough(numbers: FitNumbers, limits: GateSettings) -> list[str]:
    if numbers.n_matches >= limits.min_matches:
        return []
    return [f"{numbers.n_matches} matches (minimum {limits.min_matches})"]


def _within_priors(numbers: FitNumbers, limits: GateSettings) -> list[str]:
    shift = math.hypot(numbers.shift_ra_arcsec, numbers.shift_dec_arcsec)
    reasons = []
    if not shift <= limits.max_shift_arcsec:
        reasons.append(f"shift of {shift:.2f} arcsec, limit {limits.max_shift_arcsec:g}")
    if not abs(numbers.rotation_deg) <= limits.max_rotation_deg:
        reasons.append(
            f"rotation of {numbers.rotation_deg:+.3f} deg, limit {limits.max_rotation_deg:g}"
        )
    return reasons


def _beats_chance(numbers: FitNumbers, limits: GateSettings) -> list[str]:
    if numbers.contrast >= limits.min_contrast:
        return []
    reason = (
        f"only {numbers.contrast:.1f} times the pairs of scrambled catalogues "
        f"(minimum {limits.min_contrast:g})"
    )
    return [reason]


def _written_as_reported(numbers: FitNumbers, limits: GateSettings) -> list[str]:
    del limits
    if not math.isfinite(numbers.reported_rms):
        return []
    measured = max(numbers.rms_x, numbers.rms_y)
    if measured <= _REPORT_FACTOR * numbers.reported_rms + _REPORT_SLACK_PIX:
        return []
    reason = (
        f"the written header leaves {measured:.2f} px RMS where {numbers.reported_rms:.2f} "
        "were reported"
    )
    return [reason]


def _held_out_agree(numbers: FitNumbers, limits: GateSettings) -> list[str]:
    if numbers.n_held_out < limits.min_held_out:
        return [f"{numbers.n_held_out} held-out stars recovered (minimum {limits.min_held_out})"]
    reasons = []
    if chance_probability(numbers.n_held_out, numbers.n_held_out_chance) > _MAX_CHANCE_PROBABILITY:
        reasons.append(
            f"{numbers.n_held_out} held-out stars recovered, {numbers.n_held_out_chance:.1f} "
            "expected by chance"
        )
    if numbers.n_held_out < _PREDICTED_SHARE * numbers.n_matches:
        reasons.append(
            f"cross-validation recovered {numbers.n_held_out} of {numbers.n_matches} stars"
        )
    error = median_error(numbers.held_out_rms, numbers.n_held_out)
    offset = _worse(numbers.held_out_x, numbers.held_out_y)
    reasons += _beyond("median offset of held-out stars is", offset, error, limits)
    # A part's fit has three quarters of the stars, and is as far off as they scatter.
    reasons += _beyond("cross-validation fits differ by", numbers.drift, 2 * error, limits)
    return reasons


def _no_tilt(numbers: FitNumbers, limits: GateSettings) -> list[str]:
    what = "residual rotation, scale or skew displaces stars by"
    return _beyond(what, numbers.tilt, numbers.tilt_error, limits)


def _beyond(what: str, value: float, error: float, limits: GateSettings) -> list[str]:
    """Whether a length is beyond the limit on held-out stars, or what few stars may scatter."""
    slack = min(_STANDARD_ERRORS * error, _HELD_OUT_CEILING_PIX)
    allowed = max(limits.max_held_out_offset_pix, slack)
    # Written so that NaN is beyond every limit.
    return [] if value <= allowed else [f"{what} {value:.2f} px (limit {allowed:.2f})"]


def _worse(x: float, y: float) -> float:
    """The larger absolute value; NaN if either is: max() would hide it."""
    return math.nan if math.isnan(x) or math.isnan(y) else max(abs(x), abs(y))


def _unique(numbers: FitNumbers, limits: GateSettings) -> list[str]:
    if numbers.uniqueness >= limits.min_contrast:
        return []
    reason = (
        f"ambiguous match: {numbers.uniqueness:.1f} times the pairs of the next-best offset "
        f"(minimum {limits.min_contrast:g})"
    )
    return [reason]


_HARD: tuple[Callable[[FitNumbers, GateSettings], list[str]], ...] = (
    _enough,
    _within_priors,
    _beats_chance,
    _written_as_reported,
    _held_out_agree,
    _no_tilt,
    _unique,
)


def chance_probability(n_found: int, n_expected: float) -> float:
    """Poisson probability of at least `n_found` where `n_expected` are expected."""
    from scipy.special import pdtrc  # that of scipy.stats.poisson.sf, which takes 1.5 s to import

    return 1.0 if n_found <= 0 else float(pdtrc(n_found - 1, n_expected))

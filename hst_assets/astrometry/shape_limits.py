"""What the shapes of an exposure's stars say: trailed, doubled, wide, or good.

Alignment and its gate see where stars are, not what they look like: an exposure whose guiding
failed half way has each star twice, and is aligned to the middle of both. These verdicts use none
of the numbers of a fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hst_assets.detection.star_shapes import StarShapes
from hst_assets.detectors import Detector
from hst_assets.settings import GateSettings

__all__ = [
    "NOT_CHECKED",
    "ShapeVerdict",
    "judge_shapes",
    "not_checked",
    "wide_in_their_bands",
    "wider_than_others",
]

#: How the text of a verdict begins where nothing could be compared.
NOT_CHECKED: Literal["not checked"] = "not checked"
#: A value is beyond a limit if it exceeds it by this many standard errors.
_STANDARD_ERRORS = 2.0
#: The major axis of stars that trail by 1.2 is within 10 degrees of the trail if they are elongated
#: by 1.07 in any other direction, as WFC3/UVIS's are.
_ALONG_Y_DEG = 15.0


@dataclass(frozen=True)
class ShapeVerdict:
    """What is said of the shapes of an exposure's stars.

    Attributes
    ----------
    state : {"good", "doubtful", "bad", "not checked"}
        An exposure with bad shapes is not used; one with doubtful ones is COMPROMISED.
    text : str
        Why.
    shapes : StarShapes
        What was measured.
    """

    state: Literal["good", "doubtful", "bad", "not checked"]
    text: str
    shapes: StarShapes

    @property
    def is_bad(self) -> bool:
        """Whether the exposure may not be used."""
        return self.state == "bad"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why an alignment of it is no more than COMPROMISED."""
        return (self.text,) if self.state == "doubtful" else ()

    def __str__(self) -> str:
        return f"{self.state}: {self.text}" if self.text else self.state

    def as_json(self) -> dict[str, Any]:
        """For records; the inverse is `from_json`."""
        return {"state": self.state, "text": self.text, **self.shapes.as_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ShapeVerdict:
        """The inverse of `as_json`."""
        measured = {key: value for key, value in values.items() if key not in ("state", "text")}
        return cls(values["state"], values["text"], StarShapes.from_json(measured))


def not_checked(why: str) -> ShapeVerdict:
    """The verdict where nothing was measured."""
    return ShapeVerdict(NOT_CHECKED, why, StarShapes(reason=why))


def judge_shapes(
    shapes: StarShapes, detector: Detector, limits: GateSettings, *, charge_lost: bool
) -> ShapeVerdict:
    """Judge an exposure's stars by themselves.

    Parameters
    ----------
    shapes : StarShapes
        What was measured.
    detector : Detector
        Has the width that stars have at most.
    limits : GateSettings
        ``max_elongation``.
    charge_lost : bool
        Whether losses in the transfer of charge are not corrected: stars then trail along y, and
        the exposure is no worse than doubtful for it.
    """
    if shapes.reason:
        return ShapeVerdict(NOT_CHECKED, shapes.reason, shapes)
    limit = f"(gate.max_elongation is {limits.max_elongation:g})"
    if charge_lost and _trails_to_register(shapes, limits):
        text = (
            f"stars trail along y by {shapes.along_y:.2f} {limit}, away from the register, and "
            "CTE losses are not corrected"
        )
        return ShapeVerdict("doubtful", text, shapes)
    if _surely(shapes.elongation, shapes.elongation_error) > limits.max_elongation:
        text = f"stars are trailed or double: elongation {shapes.elongation:.2f} {limit}"
        return ShapeVerdict("bad", text, shapes)
    if shapes.elongation_error > (limits.max_elongation - 1) / _STANDARD_ERRORS:
        text = (
            f"{shapes.n_stars} stars give an elongation of {shapes.elongation:.2f} +- "
            f"{shapes.elongation_error:.2f}"
        )
        return ShapeVerdict(NOT_CHECKED, text, shapes)
    if _surely(shapes.fwhm_pix, shapes.fwhm_error_pix) > detector.widest_star_pix:
        text = (
            f"stars are wide: FWHM {shapes.fwhm_pix:.2f} px, those of {detector.instrument}/"
            f"{detector.detector} have at most {detector.widest_star_pix:g}"
        )
        return ShapeVerdict("doubtful", text, shapes)
    return ShapeVerdict("good", "", shapes)


def _surely(value: float, error: float) -> float:
    return value - _STANDARD_ERRORS * error


def _trails_to_register(shapes: StarShapes, limits: GateSettings) -> bool:
    """Whether stars are elongated as deferred charge elongates them, and nothing else.

    Along y of each chip; as much as on the sky (a trail on the sky has other directions on chips
    that are turned); and not next to the register, where no charge has been moved yet.
    """
    errors = math.hypot(shapes.along_y_error, shapes.elongation_error)
    return (
        _surely(shapes.along_y, shapes.along_y_error) > limits.max_elongation
        and shapes.angle_deg <= _ALONG_Y_DEG
        and _surely(shapes.elongation, errors) <= shapes.along_y
        and _surely(shapes.near_register, shapes.near_register_error) <= limits.max_elongation
    )


def wider_than_others(
    own: ShapeVerdict | None, others: Sequence[ShapeVerdict | None], limits: GateSettings
) -> str:
    """Why an exposure's stars are too wide beside those of others; empty if they are not.

    Parameters
    ----------
    own : ShapeVerdict or None
        Of the exposure.
    others : sequence of ShapeVerdict or None
        Of others in its visit, detector and filter; those that were not checked, or are bad, say
        nothing.
    limits : GateSettings
        ``max_fwhm_ratio``.
    """
    good = [each.shapes.fwhm_pix for each in others if each and each.state in ("good", "doubtful")]
    if own is None or own.state not in ("good", "doubtful") or not good:
        return ""
    usual = float(np.median(good))
    shapes = own.shapes
    ratio = (shapes.fwhm_pix - _STANDARD_ERRORS * shapes.fwhm_error_pix) / usual
    if ratio <= limits.max_fwhm_ratio:
        return ""
    return (
        f"stars are {shapes.fwhm_pix / usual:.2f} times as wide as those of the visit's others in "
        f"the filter: FWHM {shapes.fwhm_pix:.2f} px, theirs {usual:.2f} (gate.max_fwhm_ratio is "
        f"{limits.max_fwhm_ratio:g})"
    )


def wide_in_their_bands(
    verdicts: Mapping[str, tuple[str, ShapeVerdict]], limits: GateSettings
) -> dict[str, str]:
    """Why the stars of exposures are too wide beside those of the others in their band.

    Parameters
    ----------
    verdicts : mapping
        ``{rootname: (band, verdict)}`` of the exposures of a visit.
    limits : GateSettings
        ``max_fwhm_ratio``.

    Returns
    -------
    dict
        ``{rootname: why}``; empty texts of those that are not.
    """
    return {
        name: wider_than_others(
            own,
            [
                each
                for other, (in_band, each) in verdicts.items()
                if in_band == band and other != name
            ],
            limits,
        )
        for name, (band, own) in verdicts.items()
    }

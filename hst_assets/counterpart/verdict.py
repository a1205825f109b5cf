"""The verdict on a counterpart, in words with its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hst_assets.counterpart.candidates import INNER_SHARE, OUTER_SHARE, Candidate
from hst_assets.counterpart.disappearance import Disappearance
from hst_assets.counterpart.error_circle import ErrorBudget

__all__ = ["Identification", "Verdict", "judge"]

#: "counterpart": one candidate, unlikely by chance; "chance": one, but chance may have put it
#: there; "ambiguous": several; "none": no source of the earlier images.
Identification = Literal["counterpart", "chance", "ambiguous", "none"]


@dataclass(frozen=True)
class Verdict:
    """What is said of the counterpart.

    Attributes
    ----------
    identification : str
        One of `Identification`.
    text : str
        In words, with every number.
    doubts : tuple of str
        What a reader must know: what could not be told, and what may mislead.
    """

    identification: Identification
    text: str
    doubts: tuple[str, ...] = ()


def judge(
    candidates: Sequence[Candidate],
    budget: ErrorBudget,
    *,
    max_chance_probability: float,
    limits: Sequence[str] = (),
    disappearances: Mapping[int, Disappearance] | None = None,
    doubts: Sequence[str] = (),
) -> Verdict:
    """Judge which source is the object, if any.

    Parameters
    ----------
    candidates : sequence of Candidate
        Sources of the earlier images near the place.
    budget : ErrorBudget
        Of the place.
    max_chance_probability : float
        Of the one candidate, from which on chance may have put it there.
    limits : sequence of str
        What is said of the limits, band by band.
    disappearances : mapping, optional
        What became of a candidate, by its number.
    doubts : sequence of str, optional
        What else a reader must know.
    """
    inside = [one for one in candidates if one.is_inside]
    fates = disappearances or {}
    doubts = (
        *(f"not known: {each}" for each in budget.unknown),
        *(f"source {number}: {found.doubt}" for number, found in fates.items() if found.doubt),
        *doubts,
    )
    lines = [_circle(budget)]
    if not inside:
        identification: Identification = "none"
        lines.append(_no_source(candidates))
        lines += limits
    elif len(inside) > 1:
        identification = "ambiguous"
        lines.append(
            f"Ambiguous: {len(inside)} sources of the earlier images lie within the circle of "
            f"{OUTER_SHARE:.0%}:"
        )
        lines += [f"  {_told(one)}" for one in inside]
    else:
        (one,) = inside
        likely = one.chance_probability <= max_chance_probability
        identification = "counterpart" if likely else "chance"
        says = (
            f"Source {one.number} is the counterpart"
            if likely
            else f"Source {one.number} is the only one within the circle of {OUTER_SHARE:.0%}, but "
            "an unrelated source may lie there by chance"
        )
        lines.append(f"{says}: {_told(one)}")
    lines += [f"Source {number}: {found.text}" for number, found in fates.items()]
    lines += [f"Note: {doubt}" for doubt in doubts]
    return Verdict(identification, "\n".join(lines), tuple(doubts))


def _circle(budget: ErrorBudget) -> str:
    inner, outer = (budget.radius_mas(share) for share in (INNER_SHARE, OUTER_SHARE))
    terms = ", ".join(f"{term.name} {term.error_mas:.1f}" for term in budget.terms if term.is_known)
    return (
        f"The place is known to {budget.error_mas:.1f} mas on an axis ({terms} mas): circles of "
        f"{inner:.1f} mas hold it with 68 %, of {outer:.1f} mas with 99 %."
    )


def _no_source(candidates: Sequence[Candidate]) -> str:
    text = f"No source of the earlier images lies within the circle of {OUTER_SHARE:.0%}"
    if candidates:
        return f"{text}; the nearest in errors is {_told(candidates[0])}"
    return f"{text}, nor near it."


def _told(one: Candidate) -> str:
    return (
        f"source {one.number} at {one.ra_deg:.7f} {one.dec_deg:+.7f}, {one.separation_mas:.1f} mas "
        f"off = {one.sigma:.2f} total errors of {one.error_mas:.1f} mas (the object itself would "
        f"lie so far off with a probability of {one.offset_probability:.2g}); S/N {one.snr:.1f} in "
        f"{one.best_band}; {one.density_arcsec2:.3g} sources at least as bright per arcsec2, of "
        f"which one lies so near by chance with a probability of {one.chance_probability:.2g}"
    )

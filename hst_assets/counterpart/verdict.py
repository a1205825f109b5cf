"""The verdict on a counterpart, in words with its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hst_assets.counterpart.candidates import INNER_SHARE, OUTER_SHARE, Candidate
from hst_assets.counterpart.disappearance import Disappearance
from hst_assets.counterpart.error_circle import ErrorBudget

__all__ = ["Identification", "Verdict", "judge"]

#: "counterpart": one candidate, unlikely by chance; "chance": one, but chance may have put it
#: there; "ambiguous": several; "none": no source of the earlier images; "not covered": no earlier
#: image shows the place; "not decided": no error, or no probability of chance, is known.
Identification = Literal["counterpart", "chance", "ambiguous", "none", "not covered", "not decided"]

_NOT_COVERED = "no earlier exposure has the place on a good pixel"


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
    coverage: Mapping[str, bool] | None = None,
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
    coverage : mapping, optional
        By band, whether an earlier exposure has the place on a good pixel.
    """
    inside = [one for one in candidates if one.is_inside]
    fates = disappearances or {}
    doubts = (
        *(f"not known: {each}" for each in budget.unknown),
        *(f"source {number}: {found.doubt}" for number, found in fates.items() if found.doubt),
        *(f"{band}: {_NOT_COVERED}" for band, has in (coverage or {}).items() if not has),
        *doubts,
    )
    lines = [_circle(budget)]
    if not math.isfinite(budget.error_mas):
        identification: Identification = "not decided"
        lines.append("Not decided: nothing is known of the error of the place.")
    elif not inside and coverage and not any(coverage.values()):
        identification = "not covered"
        lines.append(f"Not covered: {_NOT_COVERED} in any band; what is there is not known.")
    elif not inside:
        identification = "none"
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
        identification, says = _of_one(one, max_chance_probability)
        lines.append(f"{says}: {_told(one)}")
    lines += [f"Source {number}: {found.text}" for number, found in fates.items()]
    lines += [f"Note: {doubt}" for doubt in doubts]
    return Verdict(identification, "\n".join(lines), tuple(doubts))


def _of_one(one: Candidate, max_chance: float) -> tuple[Identification, str]:
    alone = f"Source {one.number} is the only one within the circle of {OUTER_SHARE:.0%}"
    if math.isnan(one.chance_probability):
        return "not decided", f"{alone}; whether it lies there by chance is not checked"
    if one.chance_probability <= max_chance:
        return "counterpart", f"Source {one.number} is the counterpart"
    return "chance", f"{alone}, but an unrelated source may lie there by chance"


def _circle(budget: ErrorBudget) -> str:
    lacking = [term.name for term in budget.terms if not term.is_known]
    if not math.isfinite(budget.error_mas):
        return f"The error of the place is not known ({', '.join(lacking) or 'no term'})."
    inner, outer = (budget.radius_mas(share) for share in (INNER_SHARE, OUTER_SHARE))
    terms = ", ".join(f"{term.name} {term.error_mas:.1f}" for term in budget.terms if term.is_known)
    known = (
        f"The error of the place is at least {budget.error_mas:.1f} mas "
        f"({', '.join(lacking)} not known)"
        if lacking
        else f"The place is known to {budget.error_mas:.1f} mas"
    )
    return (
        f"{known} on an axis ({terms} mas): circles of {inner:.1f} mas hold it with 68 %, of "
        f"{outer:.1f} mas with 99 %{', by what is known' if lacking else ''}."
    )


def _no_source(candidates: Sequence[Candidate]) -> str:
    text = f"No source of the earlier images lies within the circle of {OUTER_SHARE:.0%}"
    if candidates:
        return f"{text}; the nearest in errors is {_told(candidates[0])}"
    return f"{text}, nor near it."


def _told(one: Candidate) -> str:
    by_chance = (
        "by chance one lies so near with a probability that is not checked: no density is known"
        if math.isnan(one.chance_probability)
        else f"{one.density_arcsec2:.3g} sources at least as bright per arcsec2, of which one lies "
        f"so near by chance with a probability of {one.chance_probability:.2g}"
    )
    return (
        f"source {one.number} at {one.ra_deg:.7f} {one.dec_deg:+.7f}, {one.separation_mas:.1f} mas "
        f"off = {one.sigma:.2f} total errors of {one.error_mas:.1f} mas (the object itself would "
        f"lie so far off with a probability of {one.offset_probability:.2g}); S/N {one.snr:.1f} in "
        f"{one.best_band}; {by_chance}"
    )

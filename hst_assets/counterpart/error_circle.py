"""The error of a place on the sky, term by term, and the circles that follow from it.

Errors are standard deviations on one axis. For a round Gaussian the distance of the truth follows
the Rayleigh distribution: it lies within ``sigma sqrt(-2 ln(1 - p))`` with the probability p.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ErrorBudget", "ErrorTerm", "circle_radius", "probability_beyond"]


@dataclass(frozen=True)
class ErrorTerm:
    """One part of the error of a position.

    Attributes
    ----------
    name : str
        What it is of.
    error_mas : float
        Standard deviation on an axis, milliarcseconds; NaN: not known.
    source : str
        Where it is from, with its numbers.
    shared_mas2 : float
        What is taken off the sum of squares because another term holds the same errors.
    """

    name: str
    error_mas: float
    source: str
    shared_mas2: float = 0.0

    @property
    def is_known(self) -> bool:
        """Whether there is a figure."""
        return math.isfinite(self.error_mas)


@dataclass(frozen=True)
class ErrorBudget:
    """The total error of a position and what it is made of.

    Attributes
    ----------
    terms : tuple of ErrorTerm
        Those that are not known do not count, and are told.
    """

    terms: tuple[ErrorTerm, ...]

    @property
    def error_mas(self) -> float:
        """Total on an axis: the root of the sum of squares; NaN if no term is known."""
        known = [term for term in self.terms if term.is_known]
        if not known:
            return math.nan
        return math.sqrt(max(sum(term.error_mas**2 - term.shared_mas2 for term in known), 0.0))

    @property
    def unknown(self) -> tuple[str, ...]:
        """The terms without a figure, and why."""
        return tuple(f"{term.name}: {term.source}" for term in self.terms if not term.is_known)

    def plus(self, *terms: ErrorTerm) -> ErrorBudget:
        """With further terms."""
        return ErrorBudget((*self.terms, *terms))

    def radius_mas(self, share: float) -> float:
        """Radius of the circle that holds the truth with this probability."""
        return circle_radius(self.error_mas, share)

    def as_json(self) -> list[dict[str, Any]]:
        """The terms, None for what is not known."""
        return [
            {**asdict(term), "error_mas": term.error_mas if term.is_known else None}
            for term in self.terms
        ]


def circle_radius(error: float, share: float) -> float:
    """Radius of the circle that holds a share of a round Gaussian, in the unit of its error.

    Parameters
    ----------
    error : float
        Standard deviation on an axis.
    share : float
        Above 0, below 1: 1.515 errors hold 68.27 %, 3.035 hold 99 %.
    """
    return error * math.sqrt(-2.0 * math.log1p(-share))


def probability_beyond(separation: float, error: float) -> float:
    """Probability that the truth lies at least so far off, of a round Gaussian."""
    return math.exp(-0.5 * (separation / error) ** 2) if error > 0 else float(separation <= 0)

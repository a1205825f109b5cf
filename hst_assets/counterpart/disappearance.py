"""Whether a candidate is gone after the object has faded: by two measurements, with significances.

One is forced photometry of the candidate's place in the early and in the late images; the other the
difference of the epochs. Each gives the decline of the flux in every band over its error. Those of
several bands are joined by Stouffer's method, the sum over the root of their number. Nothing is
called gone below the stated significance in either measurement that was made, nor where the late
images would not have shown a stated share of its early flux.

It is still seen late by all bands joined, or in one of n bands: the largest of n significances is
above t by chance as often as one is above s where ``1 - (1 - Q(t))^n = Q(s)``, with the tail Q of
the Gaussian; so ``t = Q^-1(1 - (1 - Q(s))^(1/n))``. Four bands raise 3 to 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["BandDecline", "Disappearance", "State", "judge_disappearance"]

State = Literal["still there", "fainter", "gone", "not decided", "not checked"]


@dataclass(frozen=True)
class BandDecline:
    """What became of a candidate in one band; fluxes in microjansky, NaN where not measured.

    Attributes
    ----------
    band : str
        Detector and filter.
    early, early_error, late, late_error : float
        Forced photometry before, and after the object has faded.
    difference, difference_error : float
        Early minus late flux on the difference images.
    """

    band: str
    early: float
    early_error: float
    late: float
    late_error: float
    difference: float = math.nan
    difference_error: float = math.inf

    @property
    def forced_sigma(self) -> float:
        """Decline over its error by forced photometry; NaN if not measured in both."""
        error = math.hypot(self.early_error, self.late_error)
        return (
            (self.early - self.late) / error if _usable(self.early - self.late, error) else np.nan
        )

    @property
    def difference_sigma(self) -> float:
        """Decline over its error by the difference; NaN if there is none."""
        if not _usable(self.difference, self.difference_error):
            return math.nan
        return self.difference / self.difference_error

    @property
    def late_snr(self) -> float:
        """Late flux over its error; NaN if not measured."""
        return self.late / self.late_error if _usable(self.late, self.late_error) else math.nan


@dataclass(frozen=True)
class Disappearance:
    """The verdict on one candidate.

    Attributes
    ----------
    state : str
        "gone": it declined, is seen no more, and little can be left of it; "fainter": it declined,
        and is still seen or might be; "still there": it is seen, and no decline is significant;
        "not decided": it is not seen, but the images are too shallow for a significant decline, or
        the measurements contradict each other.
    forced_sigma, difference_sigma, late_snr : float
        Decline by both measurements, and what is seen of it late, all bands joined; NaN: not
        measured.
    left : float
        Upper limit at 3 sigma of the late over the early flux, from the band that limits it best.
    text : str
        The verdict in words, with its numbers.
    doubt : str
        Why it is not called gone though it is seen no more; empty if there is no doubt.
    """

    state: State
    forced_sigma: float
    difference_sigma: float
    late_snr: float
    left: float
    text: str
    doubt: str = ""


def judge_disappearance(
    bands: Sequence[BandDecline], *, gone_sigma: float, detection_snr: float, gone_share: float
) -> Disappearance:
    """Judge what became of a candidate.

    Parameters
    ----------
    bands : sequence of BandDecline
        Bands in which it was measured, early and late or late alone.
    gone_sigma : float
        Significance of the decline that is demanded of every measurement that was made.
    detection_snr : float
        Signal-to-noise ratio from which it is still seen, of the joined bands; of one among several
        a little more (see above).
    gone_share : float
        Of the early flux: where as much might be left (3 sigma), it is not called gone.
    """
    forced = _joined([band.forced_sigma for band in bands])
    difference = _joined([band.difference_sigma for band in bands])
    late = _joined([band.late_snr for band in bands])
    declines = [sigma for sigma in (forced, difference) if math.isfinite(sigma)]
    left = _left(bands)
    if not declines or not math.isfinite(late):
        state: State = "not checked"
        text = "not checked: no band was measured before and after the object had faded"
        return Disappearance(state, forced, difference, late, left, text)
    declined = min(declines) >= gone_sigma
    best, threshold = _best_late(bands, detection_snr)
    seen = late >= detection_snr or best.late_snr >= threshold
    doubt = "" if seen or not declined or left < gone_share else _too_shallow(left, gone_share)
    if declined:
        state = "fainter" if seen or doubt else "gone"
    else:
        state = "still there" if seen and max(declines) < gone_sigma else "not decided"
    told = [
        f"decline of {forced:.1f} sigma by forced photometry" if math.isfinite(forced) else "",
        f"{difference:.1f} sigma by the difference of the epochs"
        if math.isfinite(difference)
        else "no difference of the epochs",
        f"late signal-to-noise ratio {late:.1f}",
        f"{best.late_snr:.1f} in {best.band} alone" if best.late_snr > late else "",
        f"at most {left:.0%} of its flux is left (3 sigma)" if state == "gone" else doubt,
    ]
    text = f"{state}: {', '.join(filter(None, told))}"
    return Disappearance(state, forced, difference, late, left, text, doubt)


def _best_late(bands: Sequence[BandDecline], detection_snr: float) -> tuple[BandDecline, float]:
    """The band that shows it best late, and what it must show to count: see the module."""
    from scipy.stats import norm

    known = [band for band in bands if math.isfinite(band.late_snr)]
    false_rate = float(norm.sf(detection_snr))
    threshold = float(norm.isf(-math.expm1(math.log1p(-false_rate) / len(known))))
    return max(known, key=lambda band: band.late_snr), threshold


def _too_shallow(left: float, share: float) -> str:
    might = f"{left:.0%}" if math.isfinite(left) else "an unknown part"
    return (
        f"the late images are too shallow: {might} of its flux might be left (3 sigma), "
        f"gone means less than {share:.0%}"
    )


def _usable(value: float, error: float) -> bool:
    return math.isfinite(value) and math.isfinite(error) and error > 0


def _joined(sigmas: Sequence[float]) -> float:
    """Stouffer's sum of the significances that there are; NaN if there are none."""
    known = [sigma for sigma in sigmas if math.isfinite(sigma)]
    return sum(known) / math.sqrt(len(known)) if known else math.nan


def _left(bands: Sequence[BandDecline]) -> float:
    limits = [
        (max(band.late, 0.0) + 3.0 * band.late_error) / band.early
        for band in bands
        if _usable(band.late, band.late_error) and math.isfinite(band.early) and band.early > 0
    ]
    return min(limits, default=math.nan)

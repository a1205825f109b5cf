"""The noise of a WFC3/IR ramp: what a straight line through its reads leaves.

calwf3 (hstcal, ``cridcalc.c``) takes the zeroth read off all others and fits a line to these,
``NSAMP - 1`` of them. A read counts by its distance from the middle of the ramp, to a power that
grows with the signal over its noise (Offenberg et al. 2001, PASP 113, 240, after Fixsen et al.
2000, PASP 112, 1350): in the dark all reads count alike, for bright pixels the first and the last.
The variance of that line's slope is written down here, with the noise of each read on its own,
and Poisson's noise, which later reads have in common with earlier ones.

Not in it: cosmic rays and saturation, which shorten the ramps of few pixels.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

__all__ = ["ramp_times_s", "ramp_variance_e2"]

Numbers = NDArray[np.float64]

_SEQUENCE = re.compile(r"(RAPID|SPARS|STEP)(\d*)")
#: Reads of a STEP sequence at the pace of RAPID, and the first interval after them; the following
#: ones are twice as long each, up to the one that names the sequence (WFC3 IHB, table 7.8).
_STEP_RAPID_READS = 4
_STEP_FIRST_S = 12.5
#: Signal over noise from which on reads are weighted by their distance from the middle to this
#: power (calwf3).
_POWERS = ((100.0, 10.0), (50.0, 6.0), (20.0, 3.0), (10.0, 1.0), (5.0, 0.4))


def ramp_times_s(sequence: str, n_samples: int, exptime_s: float) -> Numbers:
    """When the reads after the zeroth were taken, in seconds after it.

    Parameters
    ----------
    sequence : str
        SAMP_SEQ: RAPID, SPARSn or STEPn.
    n_samples : int
        NSAMP: reads, with the zeroth; 2 or more.
    exptime_s : float
        EXPTIME: the time of the last one.

    Returns
    -------
    ndarray, shape (n_samples - 1,)
        Intervals are those of the sequence; one read of the detector takes what remains of the
        exposure time (2.93 s, less for subarrays). Where the sequence is another one, or does not
        fit into the exposure time, the reads are evenly spaced.
    """
    n_reads = n_samples - 1
    intervals = _intervals_s(sequence, n_reads)
    quick = intervals == 0
    left = exptime_s - float(intervals.sum())
    if not quick.any() or left <= 0:
        return np.linspace(0.0, exptime_s, n_samples)[1:]
    intervals[quick] = left / int(quick.sum())
    return np.cumsum(intervals)


def _intervals_s(sequence: str, n_reads: int) -> Numbers:
    """Time from read to read; 0 where it is one read of the detector."""
    found = np.zeros(n_reads)
    named = _SEQUENCE.fullmatch(sequence.strip().upper())
    if named is None or not named[2]:
        return found
    step = float(named[2])
    if named[1] == "SPARS":
        found[1:] = step
    elif named[1] == "STEP":
        growing = _STEP_FIRST_S * 2.0 ** np.arange(max(n_reads - _STEP_RAPID_READS, 0))
        found[_STEP_RAPID_READS:] = np.minimum(growing, step)
    return found


def ramp_variance_e2(times_s: Numbers, *, rate_e_per_s: float, read_noise_e: float) -> float:
    """Variance of the slope that calwf3 fits, times the exposure time squared.

    Parameters
    ----------
    times_s : ndarray, shape (n,)
        Of the reads, as `ramp_times_s` gives them.
    rate_e_per_s : float
        All light and dark current in the pixel, electrons per second.
    read_noise_e : float
        Of one read, electrons: READNSE, which is for a pair, over the square root of 2.

    Returns
    -------
    float
        Electrons squared. That of the light alone, ``rate * t``, is less: the rest is what reading
        adds.
    """
    total_s = float(times_s[-1])
    rate = max(rate_e_per_s, 0.0)
    if len(times_s) == 1:
        return rate * total_s + 2.0 * read_noise_e**2
    signal = rate * float(times_s[-1] - times_s[0])
    noise = np.sqrt(rate * total_s + 2.0 * read_noise_e**2)
    power = next((power for least, power in _POWERS if signal > least * noise), 0.0)
    place = np.linspace(-1.0, 1.0, len(times_s))
    weights = np.abs(place) ** power
    apart = times_s - np.average(times_s, weights=weights)
    share = weights * apart / np.sum(weights * apart**2)
    shared_s = np.minimum(times_s[:, None], times_s[None, :])
    of_reads = read_noise_e**2 * float(np.sum(share**2))
    of_light = rate * float(share @ shared_s @ share)
    return total_s**2 * (of_reads + of_light)

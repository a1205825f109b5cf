"""Reads of WFC3/IR ramps, and the noise of lines through them, against ramps drawn by chance."""

from __future__ import annotations

import numpy as np
import pytest

from hst_assets.exposures.ramps import ramp_times_s, ramp_variance_e2

#: READNSE of real exposures (20.2, 19.8, 19.9, 20.1 electrons a pair), for one read.
ONE_READ_E = 20.0 / np.sqrt(2.0)


@pytest.mark.parametrize(
    ("sequence", "n_samples", "last"),
    [
        ("RAPID", 5, [2.933, 5.865, 8.798, 11.730]),
        ("SPARS25", 4, [2.933, 27.933, 52.933]),
        ("STEP50", 9, [2.932, 5.865, 8.797, 11.729, 24.230, 49.230, 99.230, 149.230]),
        ("STEP100", 14, [*(99.230 + 100.0 * n for n in range(7))]),
    ],
)
def test_reads_are_taken_when_the_handbook_says(sequence, n_samples, last) -> None:
    """WFC3 IHB, table 7.8; to 0.01 s, as its figures are rounded."""
    found = ramp_times_s(sequence, n_samples, last[-1])
    assert len(found) == n_samples - 1
    assert found[-len(last) :] == pytest.approx(last, abs=0.01)


@pytest.mark.parametrize("sequence", ["", "MIF600", "SPARS100"])
def test_reads_of_another_sequence_are_evenly_spaced(sequence: str) -> None:
    """As those that do not fit into the exposure time: eleven intervals of 100 s into 110 s."""
    assert ramp_times_s(sequence, 12, 110.0) == pytest.approx(10.0 * np.arange(1, 12))


def drawn(times: np.ndarray, rate: float, power: float, n_ramps: int = 40_000) -> np.ndarray:
    """Slopes, times the exposure time, of ramps that Poisson's law and reads made."""
    rng = np.random.default_rng(5)
    light = rng.poisson(rate * np.diff(times, prepend=0.0), (n_ramps, len(times)))
    reads = np.cumsum(light, axis=1) + rng.normal(0.0, ONE_READ_E, light.shape)
    middle = (len(times) - 1) / 2.0
    weight = (np.abs(np.arange(len(times)) - middle) / middle) ** power
    # polyfit's weights are of the residuals, not of their squares.
    return np.polyfit(times, reads.T, 1, w=np.sqrt(weight))[0] * times[-1]


@pytest.mark.parametrize(
    ("sequence", "n_samples", "exptime", "rate", "power"),
    [
        ("SPARS50", 16, 702.9, 0.05, 0.0),  # S/N 1.7
        ("STEP100", 14, 699.2, 0.3, 0.4),  # 8.5
        ("SPARS25", 10, 202.9, 1.5, 1.0),  # 11
        ("SPARS100", 16, 1402.9, 0.8, 3.0),  # 29
        ("RAPID", 4, 8.8, 1.0, 0.0),
        ("RAPID", 3, 5.9, 1.0, 0.0),  # two reads and a straight line between them
    ],
)
def test_lines_through_drawn_ramps_scatter_as_reckoned(
    sequence, n_samples, exptime, rate, power
) -> None:
    """40,000 ramps tell a scatter to 0.35 %; the tolerance is four times that."""
    times = ramp_times_s(sequence, n_samples, exptime)
    variance = ramp_variance_e2(times, rate_e_per_s=rate, read_noise_e=ONE_READ_E)
    assert np.std(drawn(times, rate, power)) == pytest.approx(np.sqrt(variance), rel=0.015)


def test_a_full_ramp_in_the_dark_has_the_read_noise_of_the_handbook() -> None:
    """12 electrons if close to the full sequence of 16 reads is used (WFC3 IHB 9.6)."""
    times = ramp_times_s("SPARS50", 16, 702.9)
    variance = ramp_variance_e2(times, rate_e_per_s=0.0, read_noise_e=ONE_READ_E)
    assert np.sqrt(variance) == pytest.approx(12.0, abs=0.3)


def test_one_read_is_compared_with_the_zeroth() -> None:
    found = ramp_variance_e2(np.array([2.9]), rate_e_per_s=10.0, read_noise_e=3.0)
    assert found == pytest.approx(29.0 + 2.0 * 9.0)


def test_light_is_never_surer_than_its_photons() -> None:
    for rate in (0.01, 0.5, 5.0, 50.0, 500.0):
        times = ramp_times_s("STEP200", 12, 799.2)
        found = ramp_variance_e2(times, rate_e_per_s=rate, read_noise_e=0.0)
        assert found >= rate * times[-1]

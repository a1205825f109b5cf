"""How a catalogue is judged by the truth: the limit follows from the noise; false stars count."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table

from hst_assets.detectors import DETECTORS
from hst_assets.simulate.bands import band_of
from hst_assets.simulate.catalog_scoring import _Frame, _limit_mag
from hst_assets.simulate.geometry import chip_views
from hst_assets.simulate.psf import psf_model

SCALE = 0.04


@pytest.mark.parametrize(("key", "name"), [("wfc3_uvis", "F814W"), ("wfc3_ir", "F160W")])
def test_a_star_at_the_limit_has_a_signal_to_noise_ratio_of_ten(key, name):
    """Fitted by hand on two exposures; 60 places in a pixel have the mean of all to 2 %."""
    band, detector = band_of(key, name), DETECTORS[key]
    seconds = np.array([300.0, 900.0])
    mag = _limit_mag(key, name, seconds.tolist())
    electrons = seconds * 10 ** (-0.4 * (mag - band.zero_point_ab))
    psf = psf_model(key, band, chip_views(key)[-1].pixel_arcsec)
    snr2 = []
    for x, y in np.random.default_rng(1).uniform(-0.5, 0.5, (60, 2)):
        stamp, _, _ = psf.stamp(50 + x, 50 + y, 12)
        snr2.append(
            sum(
                (light * stamp).ravel()
                @ (
                    light
                    * stamp
                    / (light * stamp + band.sky_e_per_s * t + detector.read_noise_e**2)
                ).ravel()
                for light, t in zip(electrons, seconds, strict=True)
            )
        )
    assert np.sqrt(np.mean(snr2)) == pytest.approx(10, rel=0.02)


def test_what_lies_at_nothing_is_false():
    """At a star, beside it, in a galaxy's outskirts, at the transient, at nothing."""
    east = np.array([0.0, 1.5 * SCALE, 3.0, 5.0, 9.0])
    frame = _Frame(np.arange(5), np.column_stack([east, np.zeros(5)]), 1.0, SCALE)
    truth = SimpleNamespace(
        stars=Table({"ra": [0.0], "dec": [0.0]}),
        galaxies=Table({"ra": [2.5 / 3600], "dec": [0.0], "half_light_radius": [0.2]}),
        transient=Table({"ra": [5.0 / 3600], "dec": [0.0]}),
    )
    assert frame.false(np.ones(5, dtype=bool), truth).tolist() == [False] * 4 + [True]
    assert frame.false(np.array([True] * 4 + [False]), truth).tolist() == [False] * 4

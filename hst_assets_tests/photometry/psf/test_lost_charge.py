"""Lost charge: what the headers and settings make of each detector's images."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.photometry.psf.lost_charge import (
    charge_transfers,
    lost_on_chip_mag,
    mean_rates,
    told_by_detector,
    transfer_warnings,
)


def chip(folder, key: str, name: str = "a.chip1", mjd: float = 55000.0, **cards):
    """A chip's prepared file with these cards, and what is asked of its description."""
    path = folder / f"{name}.fits"
    fits.PrimaryHDU(header=fits.Header(cards)).writeto(path)
    image = SimpleNamespace(path=path, detector=DETECTORS[key], label=name)
    return SimpleNamespace(name=name, image=image, mjd=mjd)


@pytest.mark.parametrize(
    ("key", "cards", "mjd", "by_formula", "state", "remedy"),
    [
        ("acs_wfc", {"PCTECORR": "COMPLETE"}, 55000.0, True, "in the exposure", ""),
        ("acs_wfc", {"PCTECORR": "OMIT"}, 55000.0, True, "not corrected", "use exposures flc"),
        ("wfc3_uvis", {}, 55000.0, True, "not checked", "use exposures flc"),
        ("acs_hrc", {}, 53000.0, True, "not corrected", "nothing here corrects"),
        ("wfc3_ir", {}, 55000.0, True, "none lost", ""),
        ("wfpc2", {}, 51000.0, True, "by formula", ""),
        ("wfpc2", {}, 51000.0, False, "not corrected", "embedded.wfpc2_cte"),
        ("wfpc2", {}, 49400.0, True, "not corrected", "before April 1994"),
    ],
)
def test_what_was_done_about_lost_charge(tmp_path, key, cards, mjd, by_formula, state, remedy):
    told = charge_transfers([chip(tmp_path, key, mjd=mjd, **cards)], wfpc2_cte=by_formula)
    assert told[0].state == state
    assert remedy in told[0].remedy
    assert bool(told[0].remedy) == (state in ("not corrected", "not checked"))
    assert len(transfer_warnings(told)) == bool(remedy)


def test_images_of_one_outcome_share_a_line(tmp_path):
    chips = [
        chip(tmp_path, "acs_wfc", "a.chip1", PCTECORR="COMPLETE"),
        chip(tmp_path, "acs_wfc", "b.chip1", PCTECORR="OMIT"),
        chip(tmp_path, "acs_wfc", "c.chip1", PCTECORR="OMIT"),
        chip(tmp_path, "wfc3_ir", "d.chip1"),
    ]
    told = charge_transfers(chips, wfpc2_cte=True)
    assert told_by_detector(told) == [
        "acs_wfc: corrected in the exposures (PCTECORR) (a.chip1)",
        "acs_wfc: not corrected (b.chip1, c.chip1)",
        "wfc3_ir: loses none",
    ]
    (warning,) = transfer_warnings(told)
    assert "not corrected on 2 of 4 images (b.chip1, c.chip1)" in warning


def lost(expected, error=0.0, sky=1.0, mjd=52300.0):
    """At the middle of a chip in 2002."""
    values = np.broadcast_arrays(*(np.atleast_1d(one) for one in (expected, sky, error)))
    counts, under, errors = (np.array(one, dtype=float) for one in values)
    place = np.full(len(counts), 400.0)
    return lost_on_chip_mag(counts, under, expected_error_e=errors, x=place, y=place, mjd=mjd)


def test_noise_does_not_decide_how_much_nothing_is_raised():
    """Below two standard errors all are raised alike: by what 42 electrons lose."""
    noisy = lost([-40.0, 0.0, 3.0, 41.0], error=21.0)
    assert noisy == pytest.approx(np.full(4, lost(42.0)[0]))
    assert lost(300.0, error=21.0) == pytest.approx(lost(300.0))
    assert lost(0.0)[0] == pytest.approx(lost(1.0)[0])
    assert lost(1.0)[0] < noisy[0] - 1


def test_under_an_unknown_sky_the_loss_is_not_known():
    assert np.isnan(lost(300.0, sky=np.nan)[0])
    assert np.isnan(lost(300.0, error=np.inf)[0])
    assert lost(300.0, sky=np.nan, mjd=49400.0)[0] == 0


def test_the_mean_rate_of_a_band_has_the_error_of_the_mean():
    chips = [SimpleNamespace(band="a", exptime_s=t) for t in (10.0, 20.0)]
    counts, error = np.array([[100.0, 1.0], [220.0, 1.0]]), np.array([[10.0] * 2, [20.0] * 2])
    error[:, 1] = np.inf
    rate, rate_error = mean_rates(counts, error, chips)["a"]
    assert rate == pytest.approx([10.5, 0.0])
    assert rate_error == pytest.approx([2**-0.5, np.inf])

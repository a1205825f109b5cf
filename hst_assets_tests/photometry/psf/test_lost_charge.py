"""Lost charge: what the headers and settings make of each detector's images."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.photometry.psf.lost_charge import (
    charge_transfers,
    told_by_detector,
    transfer_warnings,
)


def chip(folder, key: str, name: str = "a.chip1", mjd: float = 55000.0, **cards):
    """A chip's prepared file with these cards, and what is asked of its description."""
    path = folder / f"{name}.fits"
    fits.PrimaryHDU(header=fits.Header(cards)).writeto(path)
    image = SimpleNamespace(path=path, detector=DETECTORS[key])
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

import math

import pytest
from astropy.io import fits

from hst_assets.astrometry.cards import alignment_cards, write_cards
from hst_assets.astrometry.gate import FitNumbers

NUMBERS = FitNumbers(**dict.fromkeys(FitNumbers.__dataclass_fields__, 1) | {"contrast": math.nan})


@pytest.mark.parametrize("reference", ["ab" * 32, "x" * 54, "x" * 64, "x" * 500])
def test_any_reference_fits_its_card(tmp_path, reference):
    path = tmp_path / "a.fits"
    fits.PrimaryHDU().writeto(path)
    cards = alignment_cards(
        status="PASS", method="m" * 90, reference=reference, recipe="c" * 64, numbers=NUMBERS
    )
    write_cards(path, cards)
    header = fits.getheader(path)
    assert header["HST123 ALIGNRF"] == reference[:40]
    assert header["HST123 ALIGNDG"] == "c" * 40
    assert "HST123 ALIGNCT" not in header  # NaN has no card


@pytest.mark.parametrize(
    ("status", "good"), [("PASS", True), ("COMPROMISED", True), ("FAIL", False), ("SKIPPED", False)]
)
def test_only_success_says_success(tmp_path, status, good):
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU()
    hdu.header["TWEAKSUC"] = 1  # of an earlier life
    hdu.header["HIERARCH HST123 ALIGNNM"] = 77
    hdu.writeto(path)
    write_cards(
        path,
        alignment_cards(status=status, method="tweakreg", reference="r", recipe="c", numbers=None),
    )
    header = fits.getheader(path)
    assert header["HST123 ALIGNOK"] is good
    assert header.get("TWEAKSUC") == (1 if good else None)
    assert "HST123 ALIGNNM" not in header
    assert header["HST123 ALIGNST"] == status

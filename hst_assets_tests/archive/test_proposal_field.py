"""The field of a proposal whose target has no position."""

import pytest

from hst_assets.archive.holdings import Product
from hst_assets.archive.proposal_field import field_of
from hst_assets.failures import BadConfiguration


def product(rootname, ra_deg, dec_deg):
    return Product(
        visit=rootname[:6],
        rootname=rootname,
        suffix="flc",
        uri=f"mast:HST/product/{rootname}_flc.fits",
        size=1,
        data_rights="PUBLIC",
        release_mjd=0.0,
        detector_key="acs_wfc",
        filter="F606W",
        mjd_start=0.0,
        exptime_s=1.0,
        proposal="1",
        ra_deg=ra_deg,
        dec_deg=dec_deg,
    )


def test_the_middle_is_the_median():
    pointings = [(150.0, 2.0), (150.0, 2.0), (150.02, 2.01)]
    products = [product(f"j8bt06n{i}q", *place) for i, place in enumerate(pointings)]
    assert field_of(products, 5.0) == pytest.approx((150.0, 2.0), abs=1e-7)


def test_the_middle_across_right_ascension_zero():
    products = [product("j8bt06n0q", 359.99, 0.0), product("j8bt06n1q", 0.01, 0.0)]
    ra_deg, dec_deg = field_of(products, 5.0)
    assert min(ra_deg, 360 - ra_deg) == pytest.approx(0.0, abs=1e-6)
    assert dec_deg == pytest.approx(0.0, abs=1e-6)


def test_several_fields_are_listed_the_largest_first():
    pointings = [(10.0, 2.0), (150.0, 2.0), (150.01, 2.0)]
    products = [product(f"j8bt06n{i}q", *place) for i, place in enumerate(pointings)]
    with pytest.raises(BadConfiguration) as caught:
        field_of(products, 5.0)
    text = str(caught.value)
    assert "150.00500, +2.00000 (2 exposures); 10.00000, +2.00000 (1 exposures)" in text
    assert "target.ra_deg" in text


def test_many_fields_are_not_all_listed():
    products = [product(f"j8bt06n{i:x}q"[:9].ljust(9, "q"), 10.0 * i, 0.0) for i in range(12)]
    with pytest.raises(BadConfiguration, match="and 4 more"):
        field_of(products, 5.0)

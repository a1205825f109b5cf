from pathlib import Path

import pytest

from hst_assets.exposures.dq_files import companion_of, quality_file


@pytest.mark.parametrize(
    ("name", "companion"),
    [
        ("u40x010hm_c0m.fits", "u40x010hm_c1m.fits"),
        ("U40X010HM_C0M.FITS", "U40X010HM_c1m.FITS"),
        ("iaaa01a1q_flc.fits", None),
        ("u40x010hm_c1m.fits", None),
        ("u_c0m.fits_flt.fits", None),
    ],
)
def test_the_companion_is_a_matter_of_wfpc2(name, companion):
    assert companion_of(Path("x") / name) == (companion and Path("x") / companion)


def test_other_exposures_hold_their_data_quality_themselves():
    assert quality_file(Path("x/u40x010hm_c0m.fits")) == Path("x/u40x010hm_c1m.fits")
    assert quality_file(Path("x/iaaa01a1q_flc.fits")) == Path("x/iaaa01a1q_flc.fits")

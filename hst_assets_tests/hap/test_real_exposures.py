"""Real exposures, of which HAP takes none: a moving target, and HRC's without drizzled images."""

from pathlib import Path

import pytest

from hst_assets.failures import UnusableInput
from hst_assets.hap.listed import check_keywords
from hst_assets.hap.poller import PollerRow
from hst_assets.hap.result import ReturnCode
from hst_assets.hap.run import make_advanced_products

REAL = Path(__file__).parents[3] / "shared" / "data" / "real"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.xdist_group("hap"),
    pytest.mark.skipif(not REAL.is_dir(), reason=f"the real exposures are not at {REAL}"),
]


@pytest.mark.parametrize(
    ("folder", "pattern", "reason", "manifest"),
    [
        ("wfc3_uvis_2013fy27", "idsj02*_flc.fits", "MTFLAG=T", "wfc3_dsj_02_manifest.txt"),
        ("acs_hrc_47tuc", "j8bt0[56]*[j6]q_flt.fits", "DRIZCORR=OMIT", "acs_8bt_05_manifest.txt"),
    ],
)
def test_what_hap_does_not_take_is_65_with_the_reason(tmp_path, folder, pattern, reason, manifest):
    paths = sorted((REAL / folder).glob(pattern))
    (tmp_path / "visit_input.out").write_text("".join(f"{path.name}\n" for path in paths))
    for path in paths:
        (tmp_path / path.name).symlink_to(path)
    result = make_advanced_products(tmp_path / "visit_input.out", folder=tmp_path)
    assert (result.code, result.failure) == (ReturnCode.NOTHING_TO_PROCESS, None)
    assert len(paths) > 1
    assert result.rejected == dict.fromkeys([path.name for path in paths], reason)
    assert [path.name for path in result.products] == [manifest]


def test_an_exposure_that_lost_a_keyword_is_named():
    path = REAL / "acs_hrc_47tuc" / "j8bt06nyq_flt.fits"
    with pytest.raises(UnusableInput, match="HAP needs MTFLAG") as told:
        check_keywords(PollerRow(path.name, 1), path)
    assert str(path) in str(told.value)


@pytest.mark.parametrize(
    "name",
    ["wfc3_uvis_2013fy27/idsj02axq_flc", "wfc3_ir_gj1214/ibxy01z8q_flt",
     "acs_hrc_47tuc/j8bt05njq_flt"],
)  # fmt: skip
def test_real_headers_have_what_is_asked(name):
    path = REAL / f"{name}.fits"
    check_keywords(PollerRow(path.name, 1), path)

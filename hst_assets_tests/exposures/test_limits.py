import pytest

from hst_assets.exposures.limits import (
    LARGEST_BYTES,
    refuse_other_times,
    refuse_size,
    refuse_unbounded_wcs,
    sky_position,
)
from hst_assets.failures import UnusableInput


@pytest.mark.parametrize(
    ("start", "end", "exptime"),
    [
        (48031.5, 48031.51, 864.0),  # first light, 1990-05-20
        (59000.0, 59000.08, 6900.0),  # a whole orbit in the continuous viewing zone
        (59000.0, 59000.0, 0.0),
    ],
)
def test_times_of_hubble_pass(start, end, exptime):
    assert refuse_other_times(start, end, exptime) is None


@pytest.mark.parametrize(
    ("start", "end", "exptime", "reason"),
    [
        (1e300, 1e300, 400.0, "starts at MJD 1e.300, outside Hubble's life"),
        (0.0, 0.01, 400.0, "starts at MJD 0, outside"),
        (48000.0, 48000.1, 400.0, "outside Hubble's life"),
        (59000.0, 1e300, 400.0, r"ends \(EXPEND\) at MJD 1e.300, outside"),
        (59000.0, 59000.1, 1e9, "EXPTIME is 1e.09 s, longer than a day"),
        (59000.0, 59003.0, 400.0, "it lasts 3.00 days"),
    ],
)
def test_other_times_are_refused(start, end, exptime, reason):
    with pytest.raises(UnusableInput, match=reason):
        refuse_other_times(start, end, exptime)


@pytest.mark.parametrize("position", [(0.0, -90.0), (360.0, 90.0), (-10.0, 0.0)])
def test_positions_on_the_sky_pass(position):
    assert sky_position(*position, ("RA_TARG", "DEC_TARG")) == position


@pytest.mark.parametrize("position", [(0.0, 1e300), (361.0, 0.0), (0.0, -90.1)])
def test_positions_off_the_sky_are_refused(position):
    with pytest.raises(UnusableInput, match="RA_TARG and DEC_TARG are not on the sky"):
        sky_position(*position, ("RA_TARG", "DEC_TARG"))


@pytest.mark.parametrize("header", [{"A_ORDER": 4, "AP_ORDER": 0}, {"WCSAXES": 2, "WCSAXESO": 2}])
def test_a_wcs_of_a_known_size_passes(header):
    assert refuse_unbounded_wcs(header) is None


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"A_ORDER": 5000}, "A_ORDER is 5000: SIP polynomials have degrees up to 9"),
        ({"BP_ORDER": -1}, "BP_ORDER is -1"),
        ({"B_ORDER": "4"}, "B_ORDER is '4'"),
        ({"AP_ORDER": True}, "AP_ORDER is True"),
        ({"WCSAXES": 10**6}, "WCSAXES is 1000000; the sky has 2 axes"),
    ],
)
def test_a_wcs_of_another_size_is_refused(header, reason):
    with pytest.raises(UnusableInput, match=reason):
        refuse_unbounded_wcs(header)


def test_sizes():
    refuse_size(LARGEST_BYTES)
    with pytest.raises(UnusableInput, match="it has 500 MB; no exposure of HST has more"):
        refuse_size(500_000_000)

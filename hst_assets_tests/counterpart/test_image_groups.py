"""Which exposures are earlier ones, which show the object, and which what is left."""

import astropy.units as u
import pytest
from astropy.table import QTable

from hst_assets.counterpart.image_groups import group_images
from hst_assets.failures import BadConfiguration
from hst_assets.settings import CounterpartSettings

PLACE = {"ra_deg": 150.1, "dec_deg": 2.2, "error_mas": 10.0}


def table(used=(True, True, True)):
    """Three epochs of one band: 2013-06-01, 2015-06-01 and 2020-06-01."""
    n = 3
    return QTable(
        {
            "rootname": [f"iaaa0{i}a1q" for i in range(n)],
            "file": [f"iaaa0{i}a1q_flc.fits" for i in range(n)],
            "visit": [f"iaaa0{i}" for i in range(n)],
            "detector_key": ["wfc3_uvis"] * n,
            "filter": ["F814W"] * n,
            "epoch": [1, 2, 3],
            "used": list(used),
            "mjd_start": [56444.0, 57174.0, 59001.0] * u.day,
            "exptime": [100.0] * n * u.s,
        }
    )


def epochs(groups):
    return tuple(groups.epochs(each) for each in (groups.early, groups.measured, groups.late))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ((1, 2, 3), (), ())),
        ({"measured_on": 2}, ((1,), (2,), ())),
        ({"appeared": "2015-01-01"}, ((1,), (), ())),
        ({"measured_on": 2, "faded": "2018-01-01"}, ((1,), (2,), (3,))),
        ({"measured_on": 3, "appeared": "2016-01-01"}, ((1, 2), (3,), ())),
        ({"faded": "2015-01-01"}, ((1,), (), (2, 3))),
    ],
)
def test_dates_and_the_epoch_divide_the_exposures(more, expected):
    assert epochs(group_images(table(), CounterpartSettings(**PLACE, **more))) == expected


def test_exposures_in_which_the_object_may_shine_are_told():
    groups = group_images(table(), CounterpartSettings(**PLACE, measured_on=2, faded="2018-01-01"))
    assert [one.epoch for one in groups.shining] == [2]


def test_rejected_exposures_have_no_part():
    groups = group_images(table((False, True, True)), CounterpartSettings(**PLACE))
    assert groups.epochs(groups.early) == (2, 3)


def test_an_epoch_that_is_not_there_is_refused():
    with pytest.raises(BadConfiguration, match="Epochs: 1, 2, 3"):
        group_images(table(), CounterpartSettings(**PLACE, measured_on=9))


def test_without_an_earlier_exposure_nothing_can_be_found():
    with pytest.raises(BadConfiguration, match="no exposure is earlier"):
        group_images(table(), CounterpartSettings(**PLACE, measured_on=1))


def test_an_object_that_is_measured_has_appeared():
    chosen = CounterpartSettings(**PLACE, measured_on=2, appeared="2018-01-01")
    with pytest.raises(BadConfiguration, match=r"epoch 2, on which .* began on 2015-06-01"):
        group_images(table(), chosen)


@pytest.mark.parametrize(
    ("more", "doubts"),
    [
        ({}, ("no date of appearance is set: every exposure counts as earlier",)),
        ({"measured_on": 2}, ("appeared is not set: taken as the start of epoch 2",)),
        ({"measured_on": 2, "appeared": "2015-01-01"}, ()),
    ],
)
def test_what_is_taken_for_the_appearance_is_told(more, doubts):
    assert group_images(table(), CounterpartSettings(**PLACE, **more)).doubts == doubts

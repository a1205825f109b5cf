import json

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from hst_assets.astrometry.reference.choice import ReferenceChoice, ranked_choices
from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.settings import ReferenceSettings, Settings


def table(*rows):
    """Rows (detector_key, filter, epoch, exptime, used, lock, remark) as an exposure table."""
    return QTable(
        {
            "file": [f"f{i}_flc.fits" for i in range(len(rows))],
            "rootname": [f"iaaa01a{i}q" for i in range(len(rows))],
            "detector_key": [row[0] for row in rows],
            "filter": [row[1] for row in rows],
            "epoch": [row[2] for row in rows],
            "exptime": [float(row[3]) for row in rows] * u.s,
            "mjd_start": np.arange(float(len(rows))) * u.day,
            "used": [row[4] if len(row) > 4 else True for row in rows],
            "fgslock": [row[5] if len(row) > 5 else "FINE" for row in rows],
            "quality": [row[6] if len(row) > 6 else "" for row in rows],
        }
    )


def chosen(rows, **options):
    settings = Settings(reference=ReferenceSettings(**options))
    choice = ranked_choices(table(*rows), settings)[0]
    return choice.detector_key, choice.filter, choice.epoch


def test_of_the_preferred_filters_the_deepest_wins():
    rows = [
        ("acs_wfc", "F606W", 1, 500),
        ("acs_wfc", "F814W", 2, 900),
        ("acs_wfc", "F475W", 3, 9000),
    ]
    assert chosen(rows) == ("acs_wfc", "F814W", 2)


def test_depth_is_that_of_one_epoch():
    rows = [("acs_wfc", "F606W", e, 400) for e in (1, 2, 3)] + [("acs_wfc", "F814W", 4, 700)]
    assert chosen(rows) == ("acs_wfc", "F814W", 4)


def test_without_a_preferred_filter_wide_comes_before_narrow():
    rows = [
        ("wfc3_uvis", "F656N", 1, 9000),
        ("wfc3_uvis", "F438W", 2, 300),
        ("wfc3_uvis", "F410M", 3, 900),
    ]
    assert chosen(rows) == ("wfc3_uvis", "F438W", 2)


def test_hrc_is_avoided_where_there_is_another():
    assert chosen([("acs_hrc", "F606W", 1, 9000), ("wfc3_ir", "F160W", 2, 100)])[0] == "wfc3_ir"
    assert chosen([("acs_hrc", "F606W", 1, 9000)])[0] == "acs_hrc"


def test_wfpc2_is_avoided_only_if_asked():
    rows = [("wfpc2", "F606W", 1, 9000), ("acs_wfc", "F606W", 2, 100)]
    assert chosen(rows)[0] == "wfpc2"
    assert chosen(rows, avoid_wfpc2=True)[0] == "acs_wfc"


def test_the_users_filter_and_instrument_restrict_the_choice():
    rows = [
        ("acs_wfc", "F606W", 1, 900),
        ("wfc3_ir", "F160W", 2, 100),
        ("wfc3_uvis", "F336W", 3, 50),
    ]
    assert chosen(rows, filter=("f160w",))[0] == "wfc3_ir"
    assert chosen(rows, instrument="wfc3_uvis")[0] == "wfc3_uvis"


def test_a_restriction_that_leaves_nothing_says_what_there_is():
    with pytest.raises(BadConfiguration, match="acs_wfc/F606W"):
        chosen([("acs_wfc", "F606W", 1, 900)], filter=("F814W",))


def test_refused_exposures_do_not_count():
    rows = [("acs_wfc", "F606W", 1, 900, False), ("acs_wfc", "F475W", 2, 100)]
    assert chosen(rows)[1] == "F475W"
    with pytest.raises(UnusableInput, match="no exposure is in use"):
        chosen([rows[0]])


def test_the_deepest_exposure_is_the_anchor():
    (choice,) = ranked_choices(
        table(("acs_wfc", "F606W", 1, 300), ("acs_wfc", "F606W", 1, 500)), Settings()
    )
    assert next(iter(choice.exposures)) == "f1_flc.fits"
    assert choice.exptime_s == 800
    assert choice.band == "acs_wfc.f606w"


def test_a_choice_survives_its_record():
    (choice,) = ranked_choices(table(("acs_wfc", "F606W", 1, 300)), Settings())
    assert ReferenceChoice.from_json(json.loads(json.dumps(choice.as_json()))) == choice


def anchor(rows, **options):
    settings = Settings(reference=ReferenceSettings(**options))
    return next(iter(ranked_choices(table(*rows), settings)[0].exposures))


NOT_FINE = "GYROS", "COARSE", "FINE/GYRO", "UNKNOWN"


@pytest.mark.parametrize("lock", NOT_FINE)
def test_an_exposure_without_fine_lock_is_left_out_if_the_others_are_half_as_deep(lock):
    rows = [("acs_wfc", "F606W", 1, 600, True, lock), *2 * [("acs_wfc", "F606W", 1, 300)]]
    fine, everything = ranked_choices(table(*rows), Settings())
    assert list(fine.exposures) == ["f1_flc.fits", "f2_flc.fits"]
    assert list(everything.exposures) == ["f1_flc.fits", "f2_flc.fits", "f0_flc.fits"]


@pytest.mark.parametrize("lock", NOT_FINE)
def test_it_is_no_anchor_where_it_stays(lock):
    rows = [("acs_wfc", "F606W", 1, 900, True, lock), ("acs_wfc", "F606W", 1, 300)]
    everything, fine = ranked_choices(table(*rows), Settings())
    assert list(everything.exposures) == ["f1_flc.fits", "f0_flc.fits"]
    assert list(fine.exposures) == ["f1_flc.fits"]


def test_nor_is_one_with_a_remark_on_its_quality():
    rows = [
        ("acs_wfc", "F606W", 1, 900, True, "FINE", "GSFAIL; DEGRADED"),
        ("acs_wfc", "F606W", 1, 300),
    ]
    assert anchor(rows) == "f1_flc.fits"


def test_an_unknown_lock_comes_after_a_fine_one_and_before_the_others():
    rows = [
        ("acs_wfc", "F606W", 1, 900, True, "GYROS"),
        ("acs_wfc", "F606W", 1, 300, True, ""),
        ("acs_wfc", "F606W", 1, 200),
    ]
    assert anchor(rows) == "f2_flc.fits"
    assert anchor(rows[:2]) == "f1_flc.fits"


@pytest.mark.parametrize("lock", [*NOT_FINE, ""])
@pytest.mark.parametrize(("fine_s", "best"), [(1300, 2), (1200, 2), (1190, 1)])
def test_fine_lock_is_worth_half_of_the_exposure_and_no_more(lock, fine_s, best):
    rows = [
        *4 * [("wfc3_uvis", "F814W", 1, 600, True, lock)],
        ("acs_wfc", "F606W", 2, fine_s),
    ]
    assert chosen(rows)[2] == best


def test_deep_exposures_in_a_good_filter_come_before_a_short_one_in_fine_lock():
    rows = [
        ("wfpc2", "F300W", 1, 40),
        *4 * [("wfc3_uvis", "F814W", 2, 600, True, "FINE/GYRO")],
    ]
    assert chosen(rows) == ("wfc3_uvis", "F814W", 2)


def test_fine_lock_counts_among_filters_of_one_width_only():
    gyros = ("wfc3_uvis", "F438W", 1, 500, True, "GYROS")
    assert chosen([gyros, ("wfc3_uvis", "F475W", 2, 300)]) == ("wfc3_uvis", "F475W", 2)
    assert chosen([gyros, ("wfc3_uvis", "F656N", 2, 9000)]) == ("wfc3_uvis", "F438W", 1)


def test_all_candidates_follow_the_best_in_their_order():
    rows = [
        ("acs_wfc", "F475W", 1, 9000),
        ("acs_wfc", "F606W", 2, 500),
        ("acs_wfc", "F814W", 3, 800, True, "GYROS"),
        ("acs_wfc", "F658N", 4, 9000),
    ]
    found = ranked_choices(table(*rows), Settings())
    assert [each.epoch for each in found] == [2, 3, 1, 4]


def test_if_none_has_fine_lock_the_deepest_makes_the_reference():
    rows = [("acs_wfc", "F606W", 1, 100, True, "GYROS"), ("acs_wfc", "F814W", 2, 300, True, "")]
    assert chosen([rows[0]]) == ("acs_wfc", "F606W", 1)
    assert chosen(rows) == ("acs_wfc", "F814W", 2)

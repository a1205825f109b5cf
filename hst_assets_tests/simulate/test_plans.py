import numpy as np
import pytest

from hst_assets.simulate.campaign import exposure_plans, simulate_campaign
from hst_assets.simulate.plans import demo_plan, epochs_plan, small_plan
from hst_assets.simulate.scoring import isolated_stars

KEYS = ["wfc3_uvis", "wfc3_ir", "acs_wfc", "acs_hrc", "wfpc2"]

pytestmark = pytest.mark.xdist_group("small_campaigns")


@pytest.mark.parametrize("key", KEYS)
def test_a_small_exposure_has_stars_to_align_on(key, campaign):
    truth = campaign(key)
    for rootname in truth.exposures["rootname"]:
        stars = truth.positions(rootname)
        assert len(stars) > 80
        assert np.count_nonzero(stars["isolated"]) >= 5


def test_full_frames_can_be_had():
    assert exposure_plans(small_plan("acs_hrc", full_frame=True))[0].subarray is None


@pytest.mark.parametrize("key", KEYS)
def test_two_epochs_differ_in_time_roll_pointing_and_filters(key):
    exposures = exposure_plans(epochs_plan(key))
    first, second = exposures[:4], exposures[4:]
    assert {one.filter_name for one in first} == {one.filter_name for one in second}
    assert len({one.filter_name for one in first}) == 2
    assert second[0].mjd - first[0].mjd == pytest.approx(40)
    assert second[0].pointing.pa_v3_deg - first[0].pointing.pa_v3_deg == pytest.approx(12)
    sizes = [np.hypot(*one.error_arcsec) for one in exposures]
    assert 0.04 < min(sizes) < 0.1
    assert 0.35 < max(sizes) < 0.43


def test_the_demo_errs_as_much_as_it_says():
    errors = np.array([one.error_arcsec for one in exposure_plans(demo_plan())])
    visits = [one.rootname[:6] for one in exposure_plans(demo_plan())]
    medians = [
        np.median(errors[[v == visit for v in visits]], axis=0) for visit in sorted(set(visits))
    ]
    lengths = np.hypot(*np.transpose(medians))
    assert 0.03 < lengths.min() < 0.4
    between = [np.hypot(*(a - b)) for i, a in enumerate(medians) for b in medians[:i]]
    assert min(between) > 0.05
    assert max(lengths) < 0.4


@pytest.mark.slow
def test_the_demo_has_what_its_figures_stand_on(tmp_path):
    truth = simulate_campaign(demo_plan(), tmp_path, max_cores=2)
    for row in truth.exposures:
        stars = truth.positions(row["rootname"])
        # Bright enough for a signal-to-noise ratio of 10.
        assert np.count_nonzero(stars["counts"] > 500) > 150
    bands = {(row["detector_key"], row["filter"]) for row in truth.exposures}
    assert len(bands) == 3
    assert all(len(isolated_stars(truth, *band)) >= 15 for band in bands)
    epochs = truth.transient[truth.transient["filter"] == "F814W"]
    before, after = (
        epochs["magnitude"][epochs["mjd_middle"] < 57230].mean(),
        epochs["magnitude"].min(),
    )
    assert before - after > 1.0

import numpy as np
import pytest

from hst_assets.simulate.campaign import exposure_plans, simulate_campaign
from hst_assets.simulate.geometry import Pointing, astropy_wcs, chip_views, wcs_keywords
from hst_assets.simulate.plans import (
    PROGENITOR_MAG,
    demo_plan,
    epochs_plan,
    small_plan,
    two_decades_plan,
)
from hst_assets.simulate.scene import REFERENCE_WAVELENGTH_A
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


def test_two_decades_are_five_visits_of_four_cameras():
    exposures = exposure_plans(two_decades_plan())
    assert len(exposures) == 17
    visits = {one.rootname[:6]: one.detector_key for one in exposures}
    assert list(visits.values()) == ["wfpc2", "acs_wfc", "wfc3_uvis", "wfc3_ir", "wfc3_uvis"]
    times = [one.mjd for one in exposures]
    assert times == sorted(times)
    assert (times[-1] - times[0]) / 365.25 == pytest.approx(20.0, abs=0.1)
    errors = [np.hypot(*one.error_arcsec) for one in exposures]
    # As its description says, and a jitter of some hundredths.
    assert 0.05 < min(errors) < max(errors) < 0.55
    places = np.array([(one.pointing.ra_deg, one.pointing.dec_deg) for one in exposures]) - (
        210.8024,
        54.3488,
    )
    east, north = 3600 * places[:, 0] * np.cos(np.radians(54.35)), 3600 * places[:, 1]
    assert 6 < np.hypot(east, north).max() < 9


def test_the_star_of_two_decades_explodes_once_and_is_gone():
    plan = two_decades_plan()
    light = {
        visit: plan.transient.magnitude(visit.mjd, REFERENCE_WAVELENGTH_A) for visit in plan.visits
    }
    first, second, third, infrared, last = light.values()
    assert (first, second) == (PROGENITOR_MAG, PROGENITOR_MAG)
    assert third < PROGENITOR_MAG - 2
    assert infrared < PROGENITOR_MAG - 2
    assert np.isnan(last)


def edge_pix(exposure, ra_deg, dec_deg):
    """How far inside a chip of an exposure a place is, by where the telescope truly looked."""
    depths = []
    for view in chip_views(exposure.detector_key, exposure.subarray):
        wcs = astropy_wcs(
            view,
            wcs_keywords(
                exposure.detector_key, view, exposure.true_pointing, subarray=exposure.subarray
            ),
        )
        ny, nx = view.shape
        x, y = (float(value) for value in wcs.wcs_world2pix(ra_deg, dec_deg, 0))
        if -0.1 * nx < x < 1.1 * nx and -0.1 * ny < y < 1.1 * ny:  # others' distortion diverges
            x, y = (float(value) for value in wcs.all_world2pix(ra_deg, dec_deg, 0))
            depths.append(min(x, y, nx - 1 - x, ny - 1 - y))
    return max(depths, default=-np.inf)


def test_what_explodes_is_on_every_exposure_of_two_decades():
    plan = two_decades_plan()
    place = Pointing(plan.ra_deg, plan.dec_deg, 0.0).displaced(
        plan.transient.east_arcsec, plan.transient.north_arcsec
    )
    for exposure in exposure_plans(plan):
        # An aperture of 0.5 arcsec and its sky, in WFPC2's pixels of 0.1 arcsec: 20.
        assert edge_pix(exposure, place.ra_deg, place.dec_deg) > 20, exposure.rootname


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

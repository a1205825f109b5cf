import numpy as np
import pytest

from hst_assets.photometry.light_curve.averages import with_expected_errors
from hst_assets.photometry.light_curve.forced_points import ExposureTime, points_of_exposures
from hst_assets.photometry.light_curve.points import Place, mean_point
from hst_assets_tests.photometry.light_curve.measured_places import measured_places

PLACES = [
    Place(source=0, name="SN", ra_deg=150.0, dec_deg=2.0),
    Place(source=7, name="b", ra_deg=150.1, dec_deg=2.0),
]


def times(*roots):
    return {
        root: ExposureTime(at + 1, 57000.0 + at, 56999.9 + at, 57000.1 + at, 500.0)
        for at, root in enumerate(roots)
    }


def points(measured, places=PLACES[:1], **more):
    when = times(*dict.fromkeys(measured.exposures.tolist()))
    return points_of_exposures(measured, places, when, **{"flag_mask": 7, **more})


def test_a_place_on_one_of_two_chips_is_one_point():
    off = np.array([[0.0], [800.0]])
    told = measured_places(
        [[2.0], [np.nan]], [[0.1], [np.inf]], exposures=["a", "a"], beyond_edge_pix=off,
        flag=np.array([[0], [9]], np.int32),
    )  # fmt: skip
    (one,) = points(told)
    assert (one.flux_ujy, one.flux_error_ujy, one.n_images, one.images) == (2.0, 0.1, 1, ("a",))
    assert (one.method, one.level, one.epoch, one.note) == ("forced", "exposure", 1, "")


def test_a_place_in_the_gap_has_a_note_and_no_flux():
    told = measured_places(
        [[np.nan], [np.nan]], np.inf, exposures=["a", "a"],
        beyond_edge_pix=np.array([[12.0], [20.0]]), flag=np.full((2, 1), 9, np.int32),
    )  # fmt: skip
    (one,) = points(told)
    assert np.isnan(one.flux_ujy)
    assert one.n_images == 0
    assert one.note == "a: 12 pixels off its chips"


def test_an_exposure_of_another_part_of_the_sky_has_no_point():
    told = measured_places([[np.nan]], np.inf, beyond_edge_pix=np.array([[900.0]]))
    assert points(told) == []


def test_a_flagged_flux_does_not_count_and_is_told():
    told = measured_places([[3.0]], 0.1, flag=np.array([[2]], np.int32))
    (one,) = points(told)
    assert (one.flag, one.n_images, np.isnan(one.flux_ujy)) == (2, 0, True)
    assert one.note == "e0: not counted (3 microjansky): bad pixels"
    (taken,) = points(told, flag_mask=5)
    assert taken.flux_ujy == 3.0


def test_a_place_that_cannot_be_told_from_another_star_says_so():
    told = measured_places([[np.nan]], np.inf, flag=np.array([[16]], np.int32))
    (one,) = points(told)
    assert one.note == "e0: not counted: its light cannot be told from that of another star"


def test_a_negative_flux_is_a_point():
    (one,) = points(measured_places([[-0.2]], 0.1))
    assert (one.flux_ujy, one.counts) == (-0.2, True)
    assert one.snr == pytest.approx(-2)


def test_points_are_in_the_order_of_places_and_of_time():
    told = measured_places([[1, 2], [3, 4]], 0.1, exposures=["b", "a"])
    found = points(told, PLACES)
    assert [(one.source, one.flux_ujy) for one in found] == [(0, 1), (0, 3), (7, 2), (7, 4)]


def test_the_error_of_the_aperture_correction_is_shared_and_grows_with_the_flux():
    """0.0108573 mag is 1 %."""
    told = measured_places([[50.0], [-1.0]], 0.1, scale_error_mag=np.full(2, 0.01085736))
    bright, negative = points(told)
    assert bright.shared_error_ujy == pytest.approx(0.5)
    assert bright.flux_error_ujy == pytest.approx(np.hypot(0.1, 0.5))
    assert negative.flux_error_ujy == pytest.approx(0.1)


def test_the_error_of_the_psfs_width_is_shared_and_no_weight():
    """2 % of the flux: no mean has less, and a faint epoch no more weight than a bright one."""
    flux = np.array([[10.0], [20.0], [30.0], [20.0]])
    width = 0.02 * flux
    found = points(measured_places(flux, np.hypot(0.1, width), width_error_ujy=width))
    assert [one.flux_error_ujy for one in found] == pytest.approx(np.hypot(0.1, width)[:, 0])
    mean = mean_point(with_expected_errors(found), level="filter", epoch=0)
    assert mean.flux_ujy == pytest.approx(20.0)
    # The mean of the squares: 2 % of 21.2.
    assert mean.shared_error_ujy == pytest.approx(0.02 * np.sqrt(450.0))
    assert mean.flux_error_ujy == pytest.approx(np.hypot(0.05, mean.shared_error_ujy))


def test_structure_about_a_place_is_in_the_error_of_its_band_alone():
    rng = np.random.default_rng(4)
    flux = np.zeros((2, 19))
    flux[0, 1:] = rng.normal(0, 2.0, 18)
    told = measured_places(flux, 0.1, filters=["F606W", "F814W"])
    with_host, without = points(told, n_about=[18])
    assert with_host.shared_error_ujy == pytest.approx(2.0, rel=0.4)
    assert "structure about the place" in with_host.note
    assert (without.shared_error_ujy, without.flux_error_ujy) == (0, 0.1)


def test_a_chip_without_a_zero_point_says_so():
    told = measured_places(
        [[np.nan]], np.inf, remarks=np.array(["its zero point is not known: no PHOTFLAM"])
    )
    (one,) = points(told)
    assert "wfc3_uvis F814W: its zero point is not known" in one.note

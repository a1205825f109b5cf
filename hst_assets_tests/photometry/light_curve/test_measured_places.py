import numpy as np
import pytest

from hst_assets.photometry.light_curve.measured_places import MeasuredPlaces
from hst_assets_tests.photometry.light_curve.measured_places import measured_places


def test_what_the_child_leaves_is_what_the_parent_reads(tmp_path):
    told = measured_places([[1.0, np.nan]], [[0.1, np.inf]], exposures=["iaaa01a1q"])
    told.save(tmp_path / "places.npz")
    read = MeasuredPlaces.load(tmp_path / "places.npz")
    assert read.exposures.tolist() == ["iaaa01a1q"]
    assert read.bands.tolist() == ["wfc3_uvis F814W"]
    np.testing.assert_array_equal(read.flux_ujy, told.flux_ujy)


def test_means_weigh_by_the_inverse_variance_and_leave_out_what_is_flagged():
    flag = np.array([[0, 0, 2], [0, 8, 2]], np.int32)
    told = measured_places([[1, 1, 1], [3, 3, 3]], [[1, 1, 1], [2, 2, 2]], flag=flag)
    mean, error = told.means(np.array([0, 1]), slice(0, 3), 7)
    assert mean == pytest.approx([(4 * 1 + 1 * 3) / 5, 1.0])
    assert error == pytest.approx([1.25**-0.5, 1.0])
    taken, _ = told.means(np.array([0, 1]), slice(0, 3), 5)
    assert len(taken) == 3

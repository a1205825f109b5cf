"""All methods together; what measures on exposures is replaced by what it would give."""

import numpy as np
import pytest

from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.failures import MissingProduct, ToolFailed
from hst_assets.photometry.light_curve import gathering
from hst_assets.photometry.light_curve.gathering import gather
from hst_assets.photometry.light_curve.limits import CompletenessLimit, LocalNoise
from hst_assets.settings import load_settings
from hst_assets_tests.photometry.light_curve.measured_target import Stars, measured_target
from hst_assets_tests.photometry.light_curve.test_points import point

FLUX = [[1.0], [1.2], [3.0], [-0.05]]
BAND = {"source": 0, "detector": "wfc3_uvis", "filter_name": "F606W"}


def noise(epoch, scatter_ujy, note=""):
    return LocalNoise(
        **BAND,
        epoch=epoch,
        n_places=60,
        scatter_ujy=scatter_ujy,
        formal_ujy=0.05,
        mean_ujy=0.0,
        within_arcsec=3.0,
        note=note,
    )


@pytest.fixture
def given(monkeypatch):
    """What each method gives; an exception is raised."""
    results = {
        "forced_points": [point(1.0, 0.1, filter_name="F606W"), point(-0.2, 0.1, epoch=2)],
        "difference_points": [point(0.9, 0.2, method="difference", level="epoch")],
        "local_noise": [noise(1, 0.4), noise(NO_EPOCH, 0.3)],
        "completeness_limits": [
            CompletenessLimit(
                **BAND, epoch=NO_EPOCH, ab_mag=25.5, error_mag=0.1, n_stars=400, within_arcsec=3.0
            )
        ],
    }

    def replaced(name):
        def called(*_arguments):
            if isinstance(results[name], Exception):
                raise results[name]
            return results[name]

        return called

    for name in results:
        monkeypatch.setattr(gathering, name, replaced(name))
    return results


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return measured_target(tmp_path_factory.mktemp("gathering"), Stars(FLUX, 0.1))


def gathered(target):
    return gather(target, load_settings(target))


def test_all_methods_stand_side_by_side(target, given):
    found = gathered(target)
    assert found.not_measured == ()
    assert {each.method for each in found.points} == {"catalog", "forced", "difference"}
    assert len(found.limits) == len(found.points)


def test_limits_are_those_of_the_epoch_and_band(target, given):
    found = gathered(target)
    limits = {
        (each.method, each.level, each.epoch, each.filter_name): limit
        for each, limit in zip(found.points, found.limits, strict=True)
    }
    assert limits["forced", "epoch", 1, "F606W"].noise_ujy == 0.4
    whole = limits["catalog", "filter", NO_EPOCH, "F606W"]
    assert (whole.noise_ujy, whole.half_found_ab_mag) == (0.3, 25.5)
    # Artificial stars are found, or not, in all exposures of a band.
    assert np.isnan(limits["forced", "epoch", 1, "F606W"].half_found_ab_mag)
    assert np.isnan(limits["difference", "epoch", 1, "F814W"].noise_ujy)
    assert np.isnan(limits["forced", "exposure", 1, "F606W"].noise_ujy)


def test_what_is_missing_is_named_and_costs_itself(target, given):
    for name in ("forced_points", "difference_points", "local_noise"):
        given[name] = MissingProduct(f"no {name}")
    found = gathered(target)
    assert [text.partition(": no ")[0] for text in found.not_measured] == [
        "forced: not measured",
        "difference: not measured",
        "limits by local noise: not measured",
    ]
    assert {each.method for each in found.points} == {"catalog"}


def test_what_a_limit_says_of_itself_is_told(target, given):
    given["local_noise"] = [noise(1, np.nan, "not measured: 3 empty places")]
    (told,) = gathered(target).not_measured
    assert told == (
        "limits by local noise, F606W of wfc3_uvis, epoch 1: not measured: 3 empty places"
    )


def test_no_difference_at_the_place_is_told(target, given):
    given["difference_points"] = []
    assert gathered(target).not_measured == (
        "difference: not measured: no difference covers the place",
    )


def test_a_failure_of_a_tool_is_no_gap_in_a_table(target, given):
    given["forced_points"] = ToolFailed("killed")
    with pytest.raises(ToolFailed):
        gathered(target)

import numpy as np
import pytest

from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.photometry.light_curve import limits
from hst_assets.photometry.light_curve.limits import LocalNoise, completeness_limits
from hst_assets.photometry.light_curve.points import Place
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

PLACE = Place(source=0, name="SN", ra_deg=150.0, dec_deg=2.0)


def noise(**more):
    values = {
        "source": 0,
        "detector": "wfc3_uvis",
        "filter_name": "F814W",
        "epoch": 1,
        "n_places": 60,
        "scatter_ujy": 0.02,
        "formal_ujy": 0.01,
        "mean_ujy": 0.0,
        "within_arcsec": 2.0,
    }
    return LocalNoise(**{**values, **more})


def test_limits_are_of_the_larger_error():
    assert noise().limit_ujy(3) == pytest.approx(0.06)
    assert noise(scatter_ujy=0.005).limit_ujy(3) == pytest.approx(0.03)
    assert noise().ratio == pytest.approx(2)


def test_structure_close_about_the_place_counts_beside_the_noise():
    assert noise(structure_ujy=0.015).sigma_ujy == pytest.approx(0.025)


def test_a_limit_in_magnitudes():
    """0.1 microjansky is 26.4."""
    assert noise(scatter_ujy=0.02).limit_ab_mag(5) == pytest.approx(26.4)


def test_without_a_scatter_there_is_no_limit():
    one = noise(scatter_ujy=np.nan, n_places=12)
    assert np.isnan(one.limit_ujy(5))
    assert np.isnan(one.limit_ab_mag(5))


def test_without_bands_no_stars_are_put_in(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "of_product_about", lambda *_, **__: pytest.fail("asked for stars"))
    assert completeness_limits(WorkDir(tmp_path, "sn"), Settings(), [PLACE], []) == []


def test_where_no_noise_was_measured_no_stars_are_put_in_and_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "of_product_about", lambda *_, **__: None)
    unknown = noise(epoch=NO_EPOCH, scatter_ujy=np.nan, formal_ujy=np.nan, n_places=0)
    (one,) = completeness_limits(WorkDir(tmp_path, "sn"), Settings(), [PLACE], [unknown])
    assert one.note == (
        "not measured: the local noise, about which stars are put in, was not measured"
    )

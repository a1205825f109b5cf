"""Which artificial stars are put in about a place."""

import numpy as np
import pytest

from hst_assets.failures import UnusableInput
from hst_assets.photometry.light_curve import stars_about
from hst_assets.photometry.light_curve.points import Place
from hst_assets.photometry.light_curve.stars_about import measured_about
from hst_assets.settings import load_settings
from hst_assets_tests.photometry.light_curve.measured_target import (
    DEC,
    RA,
    Stars,
    measured_target,
)

PLACE = Place(source=0, name="SN", ra_deg=RA, dec_deg=DEC)
F606W, F814W = ("wfc3_uvis", "F606W"), ("wfc3_uvis", "F814W")


class PutInError(Exception):
    """Carries the stars that would be put in."""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return measured_target(tmp_path_factory.mktemp("about") / "root", Stars([[1.0]] * 4, 0.1))


def put_in(workdir, monkeypatch, middle_ab_mag):
    """AB magnitudes of those that are put in, shape (n, bands)."""

    def carried(_workdir, _settings, _catalog, drawn):
        raise PutInError(drawn)

    monkeypatch.setattr(stars_about, "_measured", carried)
    with pytest.raises(PutInError) as caught:
        measured_about(
            workdir, load_settings(workdir), PLACE, middle_ab_mag,
            n_stars=50, within_arcsec=1.0, range_mag=(1.0, 1.0),
        )  # fmt: skip
    return caught.value.args[0].brightness


def test_a_band_without_a_magnitude_gets_that_of_the_others(workdir, monkeypatch):
    """Vega is 0.083 and 0.418 in AB: the same AB magnitudes in both bands."""
    drawn = put_in(workdir, monkeypatch, {F606W: 26.0, F814W: np.nan})
    assert np.isfinite(drawn).all()
    assert np.ptp(drawn[:, 0] - drawn[:, 1]) < 0.003
    assert abs(drawn[0, 0] - drawn[0, 1]) == pytest.approx(0.335, abs=0.002)


def test_without_any_magnitude_none_are_put_in(workdir):
    with pytest.raises(UnusableInput, match="about which magnitude"):
        measured_about(
            workdir, load_settings(workdir), PLACE, {F814W: np.nan},
            n_stars=50, within_arcsec=1.0, range_mag=(1.0, 1.0),
        )  # fmt: skip

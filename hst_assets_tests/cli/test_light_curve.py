"""``hst-assets lightcurve`` on a target whose catalogue is there."""

import pytest

from hst_assets.imaging.differences.batch import DIFFERENCE_COLUMNS
from hst_assets.products.columns import build_table
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.light_curve.measured_target import (
    DEC,
    PIXEL_ARCSEC,
    RA,
    Stars,
    measured_target,
    recorded,
)

FLUX = [[1.0], [1.2], [3.0], [-0.05]]


@pytest.fixture
def target(root):
    workdir = measured_target(root, Stars(FLUX, 0.1))
    none = build_table(DIFFERENCE_COLUMNS, [])
    recorded(workdir, workdir.difference_products, "epoch_differences", none)
    return workdir


def test_the_light_curve_is_made_and_its_means_are_printed(cli, target):
    result = cli("lightcurve", "sn", "--root", target.root)
    assert result.code == 0, result.err
    assert "wfc3_uvis.f814w" in result.out
    assert "3.0000 ± 0.1" in result.out
    assert str(target.light_curve) in result.out


def test_another_place_and_options_stay_in_the_settings(cli, target):
    dec = DEC + 10 * PIXEL_ARCSEC / 3600
    result = cli("lightcurve", "sn", f"{RA}", f"{dec}", "--brightest", "--root", target.root)
    assert result.code == 0, result.err
    settings = load_settings(WorkDir(target.root, "sn"))
    assert settings.light_curve.dec_deg == pytest.approx(dec)
    assert settings.light_curve.brightest
    assert settings.target.dec_deg == DEC
    assert "the brightest of 1 stars" in result.out


def test_a_place_without_a_star_says_what_is_nearest(cli, target):
    dec = DEC + 10 * PIXEL_ARCSEC / 3600
    result = cli("lightcurve", "sn", f"{RA}", f"{dec}", "--root", target.root)
    assert "catalog: not in the catalogue: the nearest object, 1, is 0.400 arcsec" in result.out
    assert "nan" not in result.out

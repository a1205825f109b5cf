"""A transient, a variable host and a constant star on differences of stacks of known noise."""

import numpy as np
import pytest

from hst_assets.failures import MissingProduct
from hst_assets.imaging.differences.batch import make_differences
from hst_assets.photometry.encircled_energy import encircled_energy
from hst_assets.photometry.light_curve.difference_points import difference_points
from hst_assets.photometry.light_curve.points import Place
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging import synthetic_stacks as stacks

TRANSIENT, FAINT, NOTHING = (12.0, 31.0), (-48.0, 28.0), (52.0, -30.0)
RATE, FAINT_RATE = 20.0, 0.6
#: Of one count a second, ZPAB 26.1.
UJY = 10 ** (0.4 * (23.9 - 26.1))


def at(number, place, name):
    frame = stacks.FRAME
    x, y = frame.crpix1 - 1 + place[0], frame.crpix2 - 1 + place[1]
    ra, dec = frame.wcs.all_pix2world(x, y, 0)
    return Place(source=number, name=name, ra_deg=float(ra), dec_deg=float(dec))


PLACES = [at(0, TRANSIENT, "SN"), at(1, FAINT, "faint"), at(2, NOTHING, "nothing")]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = WorkDir(tmp_path_factory.mktemp("diff"), "SN").create()
    both = [*stacks.STARS, (*TRANSIENT, RATE), (*FAINT, FAINT_RATE)]
    rows = [
        stacks.write_stack(workdir, 1, stars=both),
        stacks.write_stack(workdir, 2, header=stacks.primary_header(4), stars=stacks.STARS),
    ]
    stacks.write_stacks(workdir, rows)
    make_differences(workdir, load_settings(workdir))
    return workdir


@pytest.fixture(scope="module")
def points(workdir):
    return difference_points(workdir, load_settings(workdir), PLACES)


def of(points, source, epoch):
    (one,) = [point for point in points if (point.source, point.epoch) == (source, epoch)]
    return one


def test_a_transient_has_its_flux_and_error(points):
    """All light is within 0.4 arcsec here; tables say that so much more lies beyond."""
    point = of(points, 0, 1)
    more = 1 / encircled_energy("wfc3_uvis", "F606W", 0.4)
    assert point.flux_ujy / UJY == pytest.approx(RATE * more, rel=0.02)
    assert 3 < point.snr < 200
    assert (point.method, point.level, point.n_images) == ("difference", "epoch", 1)
    assert point.images[0].endswith("_0001.drc.fits")
    assert point.mjd == pytest.approx(57010.0)


def test_faint_and_nothing_are_within_their_errors(points):
    more = 1 / encircled_energy("wfc3_uvis", "F606W", 0.4)
    faint, nothing = of(points, 1, 1), of(points, 2, 1)
    assert abs(faint.flux_ujy - FAINT_RATE * more * UJY) < 3 * faint.flux_error_ujy
    assert abs(nothing.flux_ujy) < 3 * nothing.flux_error_ujy


def test_the_error_is_that_of_the_weighted_pixels(points):
    """Empty pixels of both epochs, under Gaussian weights of 0.6 widths of a star."""
    variance = stacks.BACKGROUND_E2 / stacks.EXPTIME_S**2 * (1 / 2 + 1 / 4)
    sigma = 0.6 * 2.0 * 0.03962 / stacks.FRAME.scale_arcsec
    s2 = sigma**2
    share = s2 / (1.21 + s2) * encircled_energy("wfc3_uvis", "F606W", 0.4)
    expected = np.sqrt(variance * np.pi * s2) / share
    assert of(points, 2, 1).flux_error_ujy / UJY == pytest.approx(expected, rel=0.05)


def test_the_template_is_absent_and_not_zero(points):
    template = of(points, 0, 2)
    assert np.isnan(template.flux_ujy)
    assert template.n_images == 0
    assert template.note == "the template: differences are relative to it"
    assert "relative to epoch 2" in of(points, 0, 1).note


def test_a_place_off_the_image_has_no_point(workdir):
    far = at(5, (500.0, 0.0), "far")
    assert difference_points(workdir, load_settings(workdir), [far]) == []


def test_without_differences_it_says_what_to_do(tmp_path):
    workdir = WorkDir(tmp_path, "SN").create()
    with pytest.raises(MissingProduct, match="no differences"):
        difference_points(workdir, load_settings(workdir), PLACES)

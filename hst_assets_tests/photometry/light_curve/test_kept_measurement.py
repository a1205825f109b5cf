"""Forced light curves of a small field: with what a catalogue keeps, and without such a one."""

import json
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from hst_assets.failures import MissingProduct, NoOverlap
from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.light_curve.forced_points import forced_points
from hst_assets.photometry.light_curve.kept_measurement import (
    kept_measurement,
    kept_of_catalog,
    make_surroundings,
)
from hst_assets.photometry.light_curve.limits import local_noise
from hst_assets.photometry.light_curve.measured_places import reference_wcs
from hst_assets.photometry.light_curve.points import Place
from hst_assets.photometry.psf import catalog_run
from hst_assets.photometry.psf.catalog_run import make_embedded_catalog
from hst_assets.photometry.psf.measure_parameters import MeasureParameters
from hst_assets.photometry.psf.measurement_file import KeptImage, MeasurementFile
from hst_assets.photometry.psf.sky_mesh import SkyMesh
from hst_assets.products.columns import write_table
from hst_assets.settings import load_settings
from hst_assets_tests.photometry.dolphot import small_field as field
from hst_assets_tests.photometry.psf.embedded_field import KnowingEngine, embedded_field
from hst_assets_tests.photometry.psf.known_fields import gaussian_psf

#: Microjansky of a count a second: AB magnitude 25.13 (`embedded_field.PHOTOMETRY`), and 0.05 mag
#: of aperture correction.
UJY = 10 ** (0.4 * (23.9 - 25.128 + 0.05))
N_BRIGHTEST = 6


class RememberingEngine(KnowingEngine):
    """Keeps what is true of the field; which boxes it was given is in `boxes`."""

    def __init__(self):
        super().__init__()
        self.boxes = []

    def __call__(self, sources, priors, **more):
        self.boxes.append([each.box for each in sources])
        more["progress"] = more.get("progress") or (lambda step, share: None)
        stars = super().__call__(sources, priors, **more)
        x, y, counts = field.truth()
        psf = gaussian_psf(field.FWHM_PIX / 2.3548)
        images = tuple(
            KeptImage(
                each.name, each.psf_key, each.shape, (0.0, 0.0), -0.05, 0.01,
                SkyMesh.of_chip(each.shape), np.empty(0, np.int64),
            )
            for each in sources
        )  # fmt: skip
        electrons = np.tile(counts * field.GAIN, (len(images), 1))
        kept = MeasurementFile(
            images, {each.psf_key: psf for each in sources}, MeasureParameters(), x, y, electrons
        )
        return replace(stars, kept=kept)


@pytest.fixture(scope="module")
def engine():
    with pytest.MonkeyPatch.context() as patch:
        engine = RememberingEngine()
        patch.setattr(catalog_run, "measure_target", engine)
        yield engine


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, engine):
    workdir = embedded_field(tmp_path_factory.mktemp("kept") / "root")
    times = {
        "rootname": ["iaaa01a1q", "iaaa01a2q"],
        "epoch": [1, 2],
        "mjd_start": [58999.9, 59099.9] * u.day,
        "mjd_mid": [59000.0, 59100.0] * u.day,
        "mjd_end": [59000.1, 59100.1] * u.day,
        "exptime": [120.0, 120.0] * u.s,
    }
    write_table(QTable(times), workdir.target_exposures)
    make_embedded_catalog(workdir, load_settings(workdir))
    return workdir


@pytest.fixture(scope="module")
def places(workdir):
    """The brightest stars that have no neighbour, and their microjansky."""
    x, y, counts = field.truth()
    near = np.hypot(x[:, None] - x, y[:, None] - y)
    np.fill_diagonal(near, 99)
    alone = np.flatnonzero(near.min(axis=1) > 9)
    chosen = alone[np.argsort(-counts[alone])][:N_BRIGHTEST]
    wcs = reference_wcs(read_input_images(workdir))
    ra, dec = wcs.all_pix2world(x[chosen], y[chosen], 0)
    named = [
        Place(source=at, name=f"s{at}", ra_deg=float(a), dec_deg=float(d))
        for at, (a, d) in enumerate(zip(ra, dec, strict=True))
    ]
    return named, counts[chosen] / 120 * UJY


def test_stars_have_their_fluxes_in_every_exposure(workdir, places):
    """To 3 %: counts of 5,000 and more, and the share of a Gaussian beyond 9 pixels."""
    named, truth = places
    points = forced_points(workdir, load_settings(workdir), named)
    assert [(one.source, one.epoch) for one in points] == [
        (at, epoch) for at in range(N_BRIGHTEST) for epoch in (1, 2)
    ]
    flux = np.array([one.flux_ujy for one in points]).reshape(-1, 2)
    assert flux / truth[:, None] == pytest.approx(np.ones(flux.shape), abs=0.03)
    assert points[1].mjd == pytest.approx(59100.0)
    assert points[0].shared_error_ujy == pytest.approx(0.01 / 1.0857 * flux[0, 0], rel=1e-3)
    assert points[0].vega_minus_ab_mag == pytest.approx(-0.4182, abs=1e-3)


def test_local_noise_is_that_of_the_sky(workdir, places):
    """Scatter of 30 and more empty places over formal errors, among stars of up to 60,000 e."""
    named, _ = places
    found = local_noise(workdir, load_settings(workdir), named[:1])
    assert [one.epoch for one in found] == [1, 2, -1]
    for one in found:
        assert one.n_places >= 30
        assert 0.7 < one.ratio < 2.0
        assert one.sigma_ujy >= one.formal_ujy
    assert found[2].formal_ujy == pytest.approx(found[0].formal_ujy / np.sqrt(2), rel=0.1)


def test_two_places_on_one_star_have_its_flux_both(workdir, places):
    """At the very place; what is 1.2 pixels off is measured as if it were alone."""
    named, truth = places
    star = named[0]
    beside = replace(star, source=9, dec_deg=star.dec_deg + 1.2 * 0.04 / 3600)
    points = forced_points(workdir, load_settings(workdir), [star, replace(star, source=8), beside])
    flux = np.array([one.flux_ujy for one in points]).reshape(3, 2)
    assert flux[:2] / truth[0] == pytest.approx(np.ones((2, 2)), abs=0.03)
    assert flux[0] == pytest.approx(flux[1], rel=1e-12)
    alone = forced_points(workdir, load_settings(workdir), [beside])
    assert flux[2] == pytest.approx([one.flux_ujy for one in alone], rel=1e-6, abs=1e-9)


def test_of_a_place_on_the_other_side_of_the_sky_all_is_said_and_nothing_measured(workdir, places):
    named, _ = places
    antipode = Place(source=5, name="far", ra_deg=330.0, dec_deg=-2.0)
    settings = load_settings(workdir)
    found = local_noise(workdir, settings, [named[0], antipode])
    (nowhere,) = [one for one in found if one.source == 5]
    assert (nowhere.note, nowhere.epoch) == ("not measured: no exposure covers it", -1)
    assert [one.epoch for one in found if one.source == 0] == [1, 2, -1]
    with pytest.raises(NoOverlap, match="no exposure covers"):
        forced_points(workdir, settings, [antipode])
    with pytest.raises(NoOverlap, match="no exposure covers"):
        make_surroundings(workdir, settings, [antipode])


def test_nothing_is_measured_without_places(workdir):
    assert forced_points(workdir, load_settings(workdir), []) == []


def test_without_a_catalogue_it_says_what_to_make(tmp_path):
    other = embedded_field(tmp_path / "root")
    with pytest.raises(MissingProduct, match="no catalogue"):
        kept_of_catalog(other, load_settings(other))


def test_of_dolphots_catalogue_the_surroundings_are_measured_once(workdir, places, engine):
    """A place's surroundings are kept, and those of another place beside them."""
    named, truth = places
    settings = load_settings(workdir)
    record = workdir.record(workdir.dolphot_catalog("dp"))
    was = record.read_text()
    record.write_text(was.replace('"embedded_catalog"', '"dolphot_catalog"'))
    assert json.loads(record.read_text())["recipe"]["stage"] == "dolphot_catalog"
    try:
        before = len(engine.boxes)
        kept = kept_measurement(workdir, settings, named[:1])
        assert kept.parent == workdir.base / "light_curve"
        assert kept_measurement(workdir, settings, named[:1]) == kept
        assert len(engine.boxes) == before + 1
        (point, _) = forced_points(workdir, settings, named[:1])
        assert point.flux_ujy == pytest.approx(truth[0], rel=0.03)
        assert kept_measurement(workdir, settings, named[1:2]) != kept
        assert len(engine.boxes) == before + 2
    finally:
        record.write_text(was)


def test_surroundings_end_20_arcsec_from_the_place(workdir, places, engine):
    """500 pixels of 0.04 arcsec: all of the field, with its knots, but no more."""
    make_surroundings(workdir, load_settings(workdir), places[0][2:3])
    for first_x, last_x, _, _ in engine.boxes[-1]:
        assert last_x - first_x <= 1000


def test_far_from_all_chips_there_is_nothing_to_measure(workdir):
    far = Place(source=0, name="far", ra_deg=150.2, dec_deg=2.0)
    with pytest.raises(NoOverlap, match="no chip covers"):
        make_surroundings(workdir, load_settings(workdir), [far])

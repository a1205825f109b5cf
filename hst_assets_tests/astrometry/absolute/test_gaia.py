"""Gaia DR3 through the stand-in: dialects, faults, long answers, what is kept on disk."""

import re
from contextlib import ExitStack

import numpy as np
import pytest

from hst_assets.astrometry.absolute import gaia
from hst_assets.astrometry.absolute.gaia import gaia_stars
from hst_assets.failures import TransientFailure
from hst_assets.settings import CatalogSettings
from hst_assets.sky_geometry import Cone
from hst_assets_tests.stand_ins.tap import Tap, gaia_source

CONE = Cone(150.1, 2.2, 6)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(gaia, "_FIRST_WAIT_S", 0.0)


@pytest.fixture
def sky():
    """300 stars, some of them outside of the cone, one without a motion."""
    rng = np.random.default_rng(3)
    pmra = rng.normal(0, 5, 300)
    pmra[7] = np.nan
    return gaia_source(
        150.1 + rng.uniform(-0.12, 0.12, 300), 2.2 + rng.uniform(-0.12, 0.12, 300), pmra=pmra
    )


@pytest.fixture
def services(sky):
    """ESA's, ARI's and VizieR's stand-ins."""
    with ExitStack() as stack:
        paths = ("/tap-server/tap", "/tap", "/TAPVizieR/tap")
        yield [stack.enter_context(Tap(sky, path=path).running()) for path in paths]


def ask(services, cache, cone=CONE, **settings):
    settings = {"timeout_s": 5.0, **settings}
    addresses = tuple(service.url for service in services)
    return gaia_stars(cone, CatalogSettings(tap_services=addresses, **settings), cache)


def inside(sky, cone=CONE, faintest=21.0):
    at = cone.contains(np.column_stack([sky["ra"], sky["dec"]]))
    return sky[at & np.isfinite(sky["pmra"]) & (sky["phot_g_mean_mag"] < faintest)]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_every_dialect_gives_the_same_stars(services, sky, tmp_path, number):
    stars, source = ask([services[number]], tmp_path)
    expected = inside(sky)
    expected.sort("phot_g_mean_mag")
    assert source == services[number].url
    assert stars["ra"].to_value("deg") == pytest.approx(expected["ra"])
    assert stars["dec"].to_value("deg") == pytest.approx(expected["dec"])
    assert stars["pmra"].to_value("mas/yr") == pytest.approx(expected["pmra"])
    assert stars["position_error"].to_value("mas") == pytest.approx(0.2)  # the worse axis
    assert set(stars["epoch"].to_value("yr")) == {2016.0}


def test_the_limit_of_magnitude_is_kept(services, sky, tmp_path):
    stars, _ = ask(services, tmp_path, faintest_mag=18.0)
    assert len(stars) == len(inside(sky, faintest=18.0))
    assert stars["mag"].value.max() < 18.0


@pytest.mark.parametrize("fault", ["503", "reset", "truncate"])
def test_a_fault_that_passes_is_asked_again(services, tmp_path, fault):
    services[0].faults = [fault, fault]
    _, source = ask(services, tmp_path)
    assert source == services[0].url
    assert len(services[0].queries) == 3


@pytest.mark.parametrize(
    ("fault", "n_queries"),
    [("503", 3), ("reset", 3), ("400", 1), ("html", 1), ("error", 1), ("columns", 1)],
)
def test_the_next_service_is_asked_when_one_will_not_answer(services, tmp_path, fault, n_queries):
    services[0].faults = [fault] * 9
    _, source = ask(services, tmp_path)
    assert source == services[1].url
    assert len(services[0].queries) == n_queries  # what cannot pass is not asked again


@pytest.mark.parametrize("fault", ["stall", "pause", "drip"])
def test_a_service_that_takes_too_long_is_left(services, tmp_path, fault):
    services[0].faults = [fault] * 9
    _, source = ask(services, tmp_path, timeout_s=1.5)
    assert source == services[1].url
    assert len(services[0].queries) == 1


def test_no_service_answering_is_transient_and_names_each_fault(services, tmp_path):
    for service, fault in zip(services, ("html", "400", "stall"), strict=True):
        service.faults = [fault] * 9
    with pytest.raises(TransientFailure) as caught:
        ask(services, tmp_path, timeout_s=1.5)
    expected = ("is not a table", "status 400 Bad Request", "did not answer in time")
    for service, words in zip(services, expected, strict=True):
        assert re.search(f"{re.escape(service.url)}: [^;]*{words}", str(caught.value))
    assert not list(tmp_path.iterdir())


def test_a_service_that_is_not_there_is_a_fault_of_it(services, tmp_path):
    with Tap(None).running() as gone:
        pass
    _, source = ask([gone, services[1]], tmp_path)
    assert source == services[1].url


def test_no_stars_is_an_answer(services, tmp_path):
    stars, source = ask(services, tmp_path, cone=Cone(10.0, -40.0, 6))
    assert len(stars) == 0
    assert source == services[0].url  # and nobody else was asked
    assert not services[1].queries


def test_an_answer_that_is_cut_is_asked_for_in_parts(services, sky, tmp_path):
    services[0].most_rows = 30
    stars, source = ask(services, tmp_path)
    assert source == services[0].url
    assert len(services[0].queries) > 3
    assert sorted(stars["ra"].to_value("deg")) == pytest.approx(sorted(inside(sky)["ra"]))


def test_a_field_more_crowded_than_any_part_is_left_to_the_next(services, tmp_path, sky):
    sky["phot_g_mean_mag"] = 17.0
    services[0].most_rows = 30
    _, source = ask(services, tmp_path)
    assert source == services[1].url


def test_an_answer_is_kept(services, tmp_path):
    first, _ = ask(services, tmp_path)
    for service in services:
        service.faults = ["503"] * 9
    again, source = ask(services, tmp_path)
    assert source == services[0].url
    for name in first.colnames:
        assert list(again[name].value) == pytest.approx(list(first[name].value)), name


def test_a_kept_field_serves_what_lies_inside_it_and_no_more(services, sky, tmp_path):
    ask(services, tmp_path)
    inner = Cone(150.12, 2.2, 4)
    stars, _ = ask(services, tmp_path, cone=inner, faintest_mag=19.0)
    assert len(services[0].queries) == 1
    assert len(stars) == len(inside(sky, inner, 19.0))
    ask(services, tmp_path, cone=Cone(150.12, 2.2, 6))
    assert len(services[0].queries) == 2


def test_a_kept_field_that_is_not_deep_enough_is_asked_for(services, sky, tmp_path):
    ask(services, tmp_path, faintest_mag=17.0)
    stars, _ = ask(services, tmp_path, faintest_mag=20.0)
    assert len(stars) == len(inside(sky, faintest=20.0))


def test_a_kept_file_that_is_spoilt_is_asked_for(services, tmp_path):
    first, _ = ask(services, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_text(kept.read_text()[:300])
    again, _ = ask(services, tmp_path)
    assert len(again) == len(first)
    assert len(services[0].queries) == 2

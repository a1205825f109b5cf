"""All methods together; what measures on exposures is replaced by what it would give."""

import numpy as np
import pytest

from hst_assets.exposures.epochs import NO_EPOCH
from hst_assets.failures import MissingProduct, ToolFailed
from hst_assets.photometry.light_curve import gathering
from hst_assets.photometry.light_curve.gathering import gather
from hst_assets.photometry.light_curve.limits import CompletenessLimit, LocalNoise
from hst_assets.settings import load_settings, write_settings
from hst_assets_tests.photometry.light_curve.measured_target import (
    DEC,
    MIDDLE_PIX,
    PIXEL_ARCSEC,
    RA,
    Stars,
    measured_target,
)
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


@pytest.fixture
def own(tmp_path):
    """A target of the test's own, that it may damage."""
    return measured_target(tmp_path, Stars(FLUX, 0.1))


def damage(workdir):
    """Let the table of exposures be another one than its record tells."""
    with workdir.target_exposures.open("a") as file:
        file.write("# changed\n")


@pytest.mark.parametrize("method", ["forced_points", "local_noise"])
def test_damage_is_no_verdict(own, given, method):
    given[method] = MissingProduct("a file cannot be read")
    assert any("a file cannot be read" in text for text in gathered(own).not_measured)
    damage(own)
    with pytest.raises(MissingProduct, match="a file cannot be read"):
        gathered(own)


def test_damage_behind_what_a_limit_says_of_itself_is_no_verdict(own, given):
    given["local_noise"] = [noise(1, np.nan, "not measured: a file cannot be read")]
    assert len(gathered(own).not_measured) == 1
    damage(own)
    with pytest.raises(MissingProduct, match=r"file changed: .*exposures\.ecsv"):
        gathered(own)


#: Of the star from the place, to the west: 1.6 errors of the place.
OFF_PIX = 4


@pytest.fixture
def apart(tmp_path):
    """A target whose star is beside its place."""
    return measured_target(tmp_path, Stars(FLUX, 0.1, x=[MIDDLE_PIX + OFF_PIX]))


@pytest.fixture
def asked(monkeypatch):
    """The places that each method was given, by its name; fluxes are of these places."""
    asked = {}

    def points(name, **others):
        def measured(_workdir, _settings, places):
            asked[name] = list(places)
            return [point(1.0, 0.1, source=each.source, **others) for each in places]

        return measured

    def limits(name):
        def measured(_workdir, _settings, places, *_noise):
            asked[name] = list(places)
            return []

        return measured

    monkeypatch.setattr(gathering, "forced_points", points("forced_points"))
    monkeypatch.setattr(
        gathering, "difference_points", points("difference_points", method="difference")
    )
    for name in ("local_noise", "completeness_limits"):
        monkeypatch.setattr(gathering, name, limits(name))
    return asked


def measured_at(target, where, **more):
    write_settings(target, {"light_curve": {"measure_at": where, **more}})
    return gathered(target)


def west_pix(place):
    return (RA - place.ra_deg) * np.cos(np.radians(DEC)) * 3600 / PIXEL_ARCSEC


EVERY = ("forced_points", "difference_points", "local_noise", "completeness_limits")


def test_exposures_are_measured_at_the_star_that_is_the_one_at_the_place(apart, asked):
    found = measured_at(apart, "star")
    for name in EVERY:
        (where,) = asked[name]
        # Places in the catalogue have two decimals.
        assert west_pix(where) == pytest.approx(OFF_PIX, abs=0.02)
    # What is told of the place itself is the place.
    assert (found.places[0].ra_deg, found.places[0].dec_deg) == (RA, DEC)
    assert {each.method for each in found.points} == {"catalog", "forced", "difference"}
    for each in found.points:
        assert each.offset_arcsec == pytest.approx(OFF_PIX * PIXEL_ARCSEC, abs=1e-3)
        assert each.offset_sigma == pytest.approx(1.6, abs=0.01)


def test_exposures_are_measured_at_the_place_where_that_is_wanted(apart, asked):
    found = measured_at(apart, "place")
    for name in EVERY:
        (where,) = asked[name]
        assert (where.ra_deg, where.dec_deg) == (RA, DEC)
    assert found.match.found
    for each in found.points:
        if each.method == "catalog":
            assert each.offset_arcsec == pytest.approx(OFF_PIX * PIXEL_ARCSEC, abs=1e-3)
        else:
            assert each.offset_arcsec == 0
            assert np.isnan(each.offset_sigma)


def test_a_place_without_a_star_is_measured_as_it_is_beside_one_that_has_it(apart, asked):
    far = DEC + 10 / 3600
    (apart.base / "more.csv").write_text(f"ra,dec,name\n{RA},{far},far\n")
    found = measured_at(apart, "star", positions="more.csv")
    own, other = asked["forced_points"]
    assert west_pix(own) == pytest.approx(OFF_PIX, abs=0.02)
    assert (other.ra_deg, other.dec_deg) == (RA, far)
    forced = {each.source: each for each in found.points if each.method == "forced"}
    assert forced[0].offset_arcsec == pytest.approx(OFF_PIX * PIXEL_ARCSEC, abs=1e-3)
    assert (forced[1].offset_arcsec, np.isnan(forced[1].offset_sigma)) == (0, True)


def test_without_a_catalogue_exposures_are_measured_at_the_place(apart, asked):
    apart.record(apart.dolphot_catalog("dp")).unlink()
    found = measured_at(apart, "star")
    (where,) = asked["forced_points"]
    assert (where.ra_deg, where.dec_deg) == (RA, DEC)
    assert found.match is None
    assert {each.offset_arcsec for each in found.points} == {0}
    (told,) = found.not_measured
    assert told.startswith("catalog: not measured: ")
    assert "there is no catalogue yet" in told

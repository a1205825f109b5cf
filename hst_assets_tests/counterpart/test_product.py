"""The counterpart of a target, from tables and images to the verdict and its files."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from hst_assets.counterpart import product, search
from hst_assets.counterpart.product import make_counterpart
from hst_assets.failures import BadConfiguration, MissingProduct, ToolFailed, UnusableInput
from hst_assets.photometry.light_curve.limits import CompletenessLimit, LocalNoise
from hst_assets.photometry.light_curve.points import Point
from hst_assets.photometry.psf import catalog_run
from hst_assets.products.columns import read_table
from hst_assets.provenance import Result
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.counterpart.small_target import (
    BAND,
    SCATTER_MAS,
    isolated_star,
    small_target,
    star_place,
)
from hst_assets_tests.photometry.psf.embedded_field import KnowingEngine

FLUX_UJY, ERROR_UJY = 5.0, 0.1


def knowing_forced_points(_workdir, _settings, places):
    """Every candidate has its flux in epoch 1 and nothing in epoch 2; the place has nothing."""
    return [
        Point(
            source=place.source,
            method="forced",
            level="exposure",
            detector="wfc3_uvis",
            filter_name="F814W",
            epoch=epoch,
            images=(f"iaaa01a{epoch}q",),
            mjd=56000.0,
            mjd_first=56000.0,
            mjd_last=56000.0,
            exptime_s=120.0,
            n_images=1,
            flux_ujy=FLUX_UJY if place.source and epoch == 1 else 0.0,
            flux_error_ujy=ERROR_UJY,
        )
        for place in places
        for epoch in (1, 2)
    ]


def knowing_local_noise(_workdir, _settings, _places):
    band = {"source": 0, "detector": "wfc3_uvis", "filter_name": "F814W", "n_places": 60}
    known = {"formal_ujy": 0.1, "mean_ujy": 0.0, "within_arcsec": 3.0}
    return [LocalNoise(**band, **known, epoch=epoch, scatter_ujy=0.2) for epoch in (1, 2)]


def knowing_completeness(_workdir, _settings, _places, _noise):
    band = {"source": 0, "detector": "wfc3_uvis", "filter_name": "F814W", "epoch": -1}
    return [CompletenessLimit(**band, ab_mag=25.43, error_mag=0.1, n_stars=400, within_arcsec=3.0)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog_run, "measure_target", KnowingEngine())
        return small_target(tmp_path_factory.mktemp("counterpart") / "root")


@pytest.fixture
def target(whole, tmp_path, monkeypatch):
    """The same in a folder of its own."""
    monkeypatch.setattr(search, "forced_points", knowing_forced_points)
    monkeypatch.setattr(search, "local_noise", knowing_local_noise)
    monkeypatch.setattr(search, "completeness_limits", knowing_completeness)
    shutil.copytree(whole.root, tmp_path / "root")
    return WorkDir(tmp_path / "root", whole.target)


def asked(workdir, place=None, **more):
    ra_deg, dec_deg = place or star_place(isolated_star())
    chosen = {"ra_deg": ra_deg, "dec_deg": dec_deg, **more}
    write_settings(workdir, {"counterpart": chosen})
    return make_counterpart(workdir, load_settings(workdir))


def test_a_star_is_found_at_a_given_place(target):
    made = asked(target, error_mas=20.0, frame_error_mas=5.0)
    assert made.facts["identification"] == "counterpart"
    (one,) = read_table(target.counterpart)
    place = star_place(isolated_star())
    assert one["ra"].value == pytest.approx(place[0], abs=0.006 * 0.04 / 3600)
    assert one["separation"].value < 1.0  # X and Y have two decimals: 0.4 mas
    assert one["is_inside"]
    assert "Source 1 is the counterpart" in target.counterpart_verdict.read_text()


def test_the_errors_of_a_given_place_are_its_own_the_frame_s_and_the_alignment_s(target):
    made = asked(target, error_mas=20.0, frame_error_mas=5.0)
    terms = {term["term"]: term["error_mas"] for term in made.facts["terms"]}
    assert terms["position"] == 20.0
    assert terms["frame"] == 5.0
    # Thirty stars of two exposures about the place: within a factor of two for its leverage.
    alone = SCATTER_MAS / math.sqrt(2 * 30)
    assert alone / 2 < terms["alignment of the earlier images"] < 3 * alone
    assert made.facts["error_mas"] == pytest.approx(np.hypot(20.0, 5.0), abs=0.1)


def test_a_frame_that_nobody_told_is_not_known(target):
    made = asked(target, error_mas=20.0)
    (unknown,) = made.facts["unknown_terms"]
    assert unknown.startswith("frame: counterpart.frame_error_mas is not set")
    assert "not known: frame" in target.counterpart_verdict.read_text()


def test_a_place_may_be_measured_on_the_later_epoch(target):
    ra, dec = star_place(isolated_star())
    off = (ra + 0.06 / 3600, dec)
    made = asked(target, off, measured_on=2, on_difference=False)
    meta = read_table(target.counterpart).meta
    assert (meta["ra_deg"] - ra) * 3.6e6 == pytest.approx(0.0, abs=4 * meta["error_mas"])
    assert made.facts["unknown_terms"] == []
    assert {term["term"] for term in made.facts["terms"]} == {
        "centroid of the object",
        "alignment of the later images",
        "alignment of the earlier images",
    }
    assert made.facts["identification"] == "counterpart"
    assert any("places of the catalogue are by all images" in one for one in made.facts["doubts"])


def test_the_magnitude_is_that_of_the_earlier_images(target):
    asked(target, error_mas=20.0, appeared="2014-01-01")
    rows = read_table(target.counterpart_photometry)
    (row,) = rows[(rows["method"] == "catalog")]
    assert (row["band"], row["n_images"], row["images"]) == (BAND, 1, "early")
    counts = field_counts()
    expected = 25.13 - 2.5 * np.log10(counts / 120.0)  # of one count a second
    assert row["ab_mag"].value == pytest.approx(expected, abs=0.05)  # an aperture's


def field_counts():
    from hst_assets_tests.photometry.dolphot.small_field import truth

    return truth()[2][isolated_star()]


def test_where_there_is_none_the_limits_are_told(target):
    ra, dec = star_place(isolated_star())
    made = asked(target, (ra, dec + 0.3 / 3600), error_mas=5.0, frame_error_mas=0.0)
    assert made.facts["identification"] == "none"
    limit = 23.9 - 2.5 * np.log10(3 * ERROR_UJY / math.sqrt(2))  # of both exposures
    noise = 23.9 - 2.5 * np.log10(3 * 0.2 / math.sqrt(2))
    told = target.counterpart_verdict.read_text()
    assert f"{limit:.2f} (3 sigma)" in told
    assert f"{noise:.2f} (3 sigma)" in told
    assert "25.43 (half of the stars found)" in told


def test_a_candidate_that_is_not_there_later_is_gone(target):
    asked(target, error_mas=20.0, faded="2014-01-01")
    (one,) = read_table(target.counterpart)
    assert one["state"] == "gone"
    assert one["forced_sigma"] == pytest.approx(FLUX_UJY / ERROR_UJY / math.sqrt(2))
    assert np.isnan(one["difference_sigma"])


def sharing_forced_points(workdir, settings, places):
    """As the photometer does: sources at one place of one call share the light that is there."""
    at = [(round(one.ra_deg, 6), round(one.dec_deg, 6)) for one in places]
    points = knowing_forced_points(workdir, settings, places)
    return [
        replace(one, flux_ujy=FLUX_UJY / at.count(at[number // 2]))
        for number, one in enumerate(points)
    ]


def test_the_place_is_measured_without_the_candidates(target, monkeypatch):
    """Beside one at the same place each would have half of the light."""
    monkeypatch.setattr(search, "forced_points", sharing_forced_points)
    asked(target, read_star(target), error_mas=20.0, appeared="2014-01-01")
    rows = read_table(target.counterpart_photometry)
    forced = {int(row["number"]): row for row in rows[rows["method"] == "forced"]}
    assert set(forced) == {0, 1}
    for number in (0, 1):
        assert forced[number]["flux"].value == pytest.approx(FLUX_UJY, rel=1e-6)


def read_star(target):
    """Where the catalogue has the star, which makes it a candidate at the place itself."""
    asked(target, error_mas=20.0)
    (one,) = read_table(target.counterpart)
    return float(one["ra"].value), float(one["dec"].value)


@pytest.mark.parametrize(("sigma_ujy", "limit_ujy"), [(0.2, 3 * 0.2), (math.nan, 3 * ERROR_UJY)])
def test_methods_tell_the_limit_by_local_noise_before_that_of_the_fit(
    target, monkeypatch, sigma_ujy, limit_ujy
):
    def noise(*arguments):
        return [replace(one, scatter_ujy=sigma_ujy) for one in knowing_local_noise(*arguments)]

    monkeypatch.setattr(search, "local_noise", noise)
    asked(target, error_mas=20.0, appeared="2014-01-01")
    limit = 23.9 - 2.5 * np.log10(limit_ujy)
    assert f"{limit:.2f} ({BAND}) AB mag" in " ".join(
        target.counterpart_methods.read_text().split()
    )
    table = target.counterpart_methods.with_suffix(".tex").read_text()
    assert f"& {limit:.2f} & early" in table


def ab(flux_ujy):
    return 23.9 - 2.5 * np.log10(flux_ujy)


def noise_of_epochs(*arguments):
    """The second epoch is twice as noisy as the first."""
    return [replace(one, scatter_ujy=0.2 * one.epoch) for one in knowing_local_noise(*arguments)]


def test_the_table_has_the_limit_of_each_epoch_and_the_paragraph_that_of_both(target, monkeypatch):
    monkeypatch.setattr(search, "local_noise", noise_of_epochs)
    asked(target, error_mas=20.0)
    table = target.counterpart_methods.with_suffix(".tex").read_text()
    for epoch in (1, 2):
        assert f"& {ab(3 * 0.2 * epoch):.2f} & early" in table
    joined = (0.2**-2 + 0.4**-2) ** -0.5
    text = " ".join(target.counterpart_methods.read_text().split())
    assert f"{ab(3 * joined):.2f} ({BAND}) AB mag" in text


def recorded_with(stack, tools, hst_assets):
    """Let a stack have been made with other software than is installed."""
    path = WorkDir.record(stack)
    content = json.loads(path.read_text())
    content["recipe"]["tools"] |= tools
    path.write_text(json.dumps(content | {"hst_assets": hst_assets}))


def test_methods_tell_with_what_the_stacks_were_made(target):
    first, second = (target.epoch_stack(BAND, f"0{number}0101", number) for number in (1, 2))
    recorded_with(first, {"drizzlepac": "3.1.4"}, "0.0.7")
    recorded_with(second, {"drizzlepac": "3.1.5"}, "0.0.7")
    asked(target, error_mas=20.0)
    text = " ".join(target.counterpart_methods.read_text().split())
    assert "drizzled with hst_assets 0.0.7, drizzlepac 3.1.4 and 3.1.5, stwcs " in text
    WorkDir.record(second).unlink()
    asked(target, error_mas=21.0)
    assert "drizzlepac 3.1.4 and unknown" in " ".join(
        target.counterpart_methods.read_text().split()
    )


@pytest.mark.parametrize(
    ("more", "images", "note"),
    [
        ({}, "early", ""),
        ({"appeared": "2014-01-01"}, "all", "in 2 exposures, 1 of which are not earlier ones"),
    ],
)
def test_a_limit_by_artificial_stars_says_of_which_exposures_it_is(target, more, images, note):
    ra, dec = star_place(isolated_star())
    asked(target, (ra, dec + 0.3 / 3600), error_mas=5.0, frame_error_mas=0.0, **more)
    rows = read_table(target.counterpart_photometry)
    (row,) = rows[rows["method"] == "artificial stars"]
    assert (row["band"], row["images"], row["n_images"], row["note"]) == (BAND, images, 2, note)
    assert row["limit_50"].value == pytest.approx(25.43)


def test_files_of_an_earlier_question_do_not_outlive_one_that_fails(target, monkeypatch):
    made = asked(target, error_mas=20.0)
    files = made.record.paths(target)

    def fails(*_arguments):
        raise ToolFailed("killed")

    monkeypatch.setattr(search, "local_noise", fails)
    with pytest.raises(ToolFailed):
        asked(target, error_mas=21.0)
    assert [path.name for path in files if path.exists()] == []
    assert not target.record(target.counterpart).exists()


def test_damage_is_no_verdict(target, monkeypatch):
    def unread(*arguments):
        return [
            replace(one, ab_mag=math.nan, note="not measured: it cannot be read")
            for one in knowing_completeness(*arguments)
        ]

    monkeypatch.setattr(search, "completeness_limits", unread)
    ra, dec = star_place(isolated_star())
    place = (ra, dec + 0.3 / 3600)
    assert (
        asked(target, place, error_mas=5.0, frame_error_mas=0.0).facts["identification"] == "none"
    )
    with target.epoch_stack(BAND, "010101", 1).open("ab") as file:
        file.write(b"more")
    with pytest.raises(MissingProduct, match="file changed: "):
        asked(target, place, error_mas=6.0, frame_error_mas=0.0)


@pytest.mark.parametrize(
    "more",
    [
        {"embedded": {"find_snr": 4.0}},
        {"artificial_stars": {"seed": 7}},
        {"quality_cuts": {"preset": "gst"}},
        {"dolphot_inputs": {"add_crmask": True}},
        {"alignment": {"fit_geometry": "general"}},
        {"dolphot": {"base": "other"}},
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_decides_a_counterpart_is_in_its_recipe(target, monkeypatch, more):
    monkeypatch.setattr(product, "_written", lambda _search: Result((target.settings_file,)))
    first = asked(target, error_mas=20.0)
    assert set(first.record.recipe["code"]) == {"counterpart", "surroundings"}
    assert {*first.record.recipe["inputs"]} == {
        "dolphot_catalog",
        "target_exposures",
        "target_alignment",
        "drizzled_stacks",
        "epoch_differences",
    }
    write_settings(target, more)
    assert make_counterpart(target, load_settings(target)).digest != first.digest


def test_everything_is_written_and_skipped_the_second_time(target):
    made = asked(target, error_mas=20.0)
    names = {name.rpartition("/")[2] for name in made.record.outputs}
    assert names == {
        "counterpart.ecsv",
        "photometry.ecsv",
        "counterpart.png",
        "verdict.txt",
        "methods.txt",
        "methods.tex",
    }
    assert not make_counterpart(target, load_settings(target)).ran
    text = target.counterpart_methods.read_text()
    assert "programmes 13364" in text
    assert "WFC3 pipeline version 3.7" in text
    assert "& 13364 & 25.100 &" in target.counterpart_methods.with_suffix(".tex").read_text()


def test_another_place_is_another_product(target):
    first = asked(target, error_mas=20.0)
    second = asked(target, error_mas=21.0)
    assert second.ran
    assert second.digest != first.digest


def test_without_a_position_it_says_what_to_set(target):
    with pytest.raises(BadConfiguration, match=r"counterpart\.ra_deg"):
        make_counterpart(target, load_settings(target))


def test_without_a_catalogue_it_says_what_to_make(target):
    target.record(target.star_catalog).unlink()
    with pytest.raises(MissingProduct, match="Materialize dolphot_catalog"):
        asked(target, error_mas=20.0)


def test_an_epoch_without_a_difference_cannot_be_measured_on_one(target):
    with pytest.raises(BadConfiguration, match="on_difference = false"):
        asked(target, measured_on=2)


def test_a_late_band_without_early_images_shows_that_it_is_not_gone(target, monkeypatch):
    def with_infrared(*args):
        points = knowing_forced_points(*args)
        seen = {"detector": "wfc3_ir", "filter_name": "F160W", "flux_ujy": 1.0}
        return [*points, *(replace(point, **seen) for point in points if point.epoch == 2)]

    monkeypatch.setattr(search, "forced_points", with_infrared)
    made = asked(target, error_mas=20.0, frame_error_mas=5.0, faded="2014-01-01")
    assert [one["state"] for one in made.facts["candidates"]] == ["fainter"]


@pytest.mark.parametrize(
    "place", [(150.1, 2.0), (330.0, -2.0), (150.0, 2.1)], ids=["beside", "opposite", "above"]
)
@pytest.mark.parametrize("more", [{"error_mas": 20.0}, {"measured_on": 2, "on_difference": False}])
def test_a_place_off_all_images_is_refused_in_words(target, place, more):
    with pytest.raises(UnusableInput, match="lies on none of the target's exposures"):
        asked(target, place, **more)


def test_a_place_on_no_good_pixel_of_an_earlier_image_is_not_covered(target, monkeypatch):
    def flagged(*args):
        return [
            replace(point, flux_ujy=math.nan, flux_error_ujy=math.inf)
            for point in knowing_forced_points(*args)
        ]

    monkeypatch.setattr(search, "forced_points", flagged)
    ra, dec = star_place(isolated_star())
    made = asked(target, (ra, dec + 0.3 / 3600), error_mas=5.0, frame_error_mas=0.0)
    assert made.facts["identification"] == "not covered"
    assert any(one.startswith(f"{BAND}: no earlier exposure") for one in made.facts["doubts"])


@pytest.mark.parametrize(("error_mas", "doubtful"), [(10.0, True), (40.0, False)])
def test_a_place_that_moved_far_when_it_was_measured_is_doubtful(target, error_mas, doubtful):
    """By 90 mas: more than half a width, and nine or two errors of the given place."""
    ra, dec = star_place(isolated_star())
    off = (ra, dec + 0.09 / 3600)
    made = asked(target, off, measured_on=2, on_difference=False, error_mas=error_mas)
    assert any("from the given one" in one for one in made.facts["doubts"]) is doubtful
    assert "90" in made.facts["terms"][0]["from"].partition("; ")[2]

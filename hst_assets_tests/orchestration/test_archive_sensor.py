"""The sensor on new data, on a stand-in archive: what it asks for, when, and how often."""

import threading
import time

import pytest
from dagster import AssetKey

from hst_assets.orchestration import archive_sensor
from hst_assets.orchestration.archive_cursor import LOOK_BACK_DAYS
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.partition_keys import TARGET, VISIT, register
from hst_assets.orchestration.run_target import run_target
from hst_assets.settings import write_settings
from hst_assets_tests.stand_ins.holdings import now_mjd
from hst_assets_tests.stand_ins.tiny_exposures import tiny_exposure


@pytest.fixture
def instance(instance_on_disk):
    return instance_on_disk


def test_new_visits_are_requested_once_and_registered(archive, daemon, instance):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    archive.add_visit("sn1", "jaaa02")
    assert daemon.tick_archive() == ["sn1/jaaa01", "sn1/jaaa02"]
    assert instance.get_dynamic_partitions(TARGET) == ["sn1"]
    assert instance.get_dynamic_partitions(VISIT) == ["sn1/jaaa01", "sn1/jaaa02"]
    assert daemon.tick_archive() == []


def test_the_run_key_is_visit_at_release(archive, daemon):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01", release_mjd=59000.5)
    daemon.tick_archive()
    ((key, _),) = daemon.asked
    assert key.startswith("sn1/jaaa01@2020-05-31T12:00:00+")


def test_a_young_listing_serves_without_asking(archive, daemon):
    archive.add_target("sn1", listing_max_age_s=900.0)
    archive.add_visit("sn1", "jaaa01")
    daemon.tick_archive()
    asked = archive.mast.count()
    daemon.tick_archive()
    assert archive.mast.count() == asked > 0


def test_the_run_does_not_ask_again_for_the_listing(archive, daemon):
    workdir = archive.add_target("sn1", listing_max_age_s=900.0)
    archive.add_visit("sn1", "jaaa01")
    (key,) = daemon.tick_archive()
    asked = archive.mast.count("caom.*")
    assert daemon.run("visit_exposures", key).success
    assert archive.mast.count("caom.*") == asked
    assert (workdir.raw / "jaaa01aaq_flc.fits").is_file()


def test_what_the_run_fetched_is_no_news_for_the_sensor_on_raw(archive, daemon, campaign):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    (key,) = daemon.tick_archive()
    assert daemon.tick("visit_exposures") == []
    assert daemon.run("visit_exposures", key).success
    assert daemon.tick("visit_exposures") == []
    write_settings(campaign.workdir("sn1"), {"selection": {"keep_short": True}})
    assert daemon.tick("visit_exposures") == ["sn1/jaaa01"]


def test_a_failed_run_of_the_visit_is_not_taken_for_done(archive, daemon, campaign):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    (key,) = daemon.tick_archive()
    campaign.broken.add(("exposure_table", key))
    assert not daemon.run("visit_exposures", key).success
    assert daemon.tick("visit_exposures") == [key]


def test_what_was_fetched_alone_is_news_for_the_sensor_on_raw(
    archive, daemon, campaign, defs, instance
):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    (key,) = daemon.tick_archive()
    assert daemon.run("visit_exposures", key).success
    assert daemon.tick("visit_exposures") == []
    archive.add_visit("sn1", "jaaa01", n_exposures=2)
    (walked,) = run_target(defs, instance, campaign.workdir("sn1"), assets=["raw_exposures"])
    assert walked.made == ("raw_exposures",)
    assert daemon.tick("visit_exposures") == [key]  # the table is that of the run before


def test_a_re_release_is_requested_again(archive, daemon):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01", released_days_ago=3.0)
    (key,) = daemon.tick_archive()
    assert daemon.run("visit_exposures", key).success
    content = tiny_exposure("jaaa01aaq", "acs_wfc", 150.1, 1.0, side_pix=64, salt=1)
    archive.holdings.replace_file(
        "jaaa01aaq_flc.fits", content["jaaa01aaq_flc.fits"], now_mjd() - 1.0
    )
    assert daemon.tick_archive() == ["sn1/jaaa01"]
    assert daemon.tick_archive() == []


def test_two_releases_at_one_instant_are_both_seen(archive, daemon):
    archive.add_target("sn1")
    moment = now_mjd() - 1.0
    archive.add_visit("sn1", "jaaa05", release_mjd=moment)
    daemon.tick_archive()
    archive.add_visit("sn1", "jaaa01", release_mjd=moment)
    archive.add_visit("sn1", "jaaa09", release_mjd=moment)
    assert daemon.tick_archive() == ["sn1/jaaa01", "sn1/jaaa09"]


def test_an_exposure_added_to_a_visit_with_the_same_release_is_seen(archive, daemon):
    archive.add_target("sn1")
    moment = now_mjd() - 1.0
    archive.add_visit("sn1", "jaaa01", release_mjd=moment)
    daemon.tick_archive()
    archive.add_visit("sn1", "jaaa01", release_mjd=moment, n_exposures=2)
    assert daemon.tick_archive() == ["sn1/jaaa01"]
    (first, _), (second, _) = daemon.asked
    assert first != second
    assert first.partition("+")[0] == second.partition("+")[0]


def test_a_late_arrival_within_the_look_back_is_seen(archive, daemon):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01", released_days_ago=1.0)
    daemon.tick_archive()
    archive.add_visit("sn1", "jaaa02", released_days_ago=LOOK_BACK_DAYS)
    assert daemon.tick_archive() == ["sn1/jaaa02"]


def test_a_later_arrival_is_the_nights(archive, daemon):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01", released_days_ago=1.0)
    (key,) = daemon.tick_archive()
    daemon.run("visit_exposures", key)
    archive.add_visit("sn1", "jaaa02", released_days_ago=LOOK_BACK_DAYS + 5.0)
    assert daemon.tick_archive() == []
    assert daemon.night("nightly_target_archive") == ["sn1"]
    assert daemon.run("target_archive", "sn1").success
    assert daemon.night("nightly_visit_exposures") == ["sn1/jaaa02"]


def test_exclusive_data_is_not_requested_before_its_release(archive, daemon):
    archive.add_target("sn1", data_rights="all")
    archive.add_visit(
        "sn1", "jaaa01", data_rights="EXCLUSIVE_ACCESS", release_mjd=now_mjd() + 100.0
    )
    archive.add_visit("sn1", "jaaa02")
    assert daemon.tick_archive() == ["sn1/jaaa02"]
    archive.holdings.release("jaaa01")
    assert daemon.tick_archive() == ["sn1/jaaa01"]


def test_with_a_token_exclusive_data_is_requested_and_hides_no_later_release(
    archive, daemon, monkeypatch
):
    """A release that lies ahead must not carry the cursor past what is released until then."""
    monkeypatch.setenv("MAST_API_TOKEN", "abcdefgh12345678")
    archive.add_target("sn1", data_rights="all")
    archive.add_visit(
        "sn1", "jaaa01", data_rights="EXCLUSIVE_ACCESS", release_mjd=now_mjd() + 300.0
    )
    assert daemon.tick_archive() == ["sn1/jaaa01"]
    archive.add_visit("sn1", "jaaa02", released_days_ago=0.0)
    assert daemon.tick_archive() == ["sn1/jaaa02"]
    assert "abcdefgh12345678" not in daemon.cursor_of_archive() + str(daemon.asked)


def test_an_outage_in_the_middle_of_a_tick_loses_nothing(archive, daemon):
    visits = {f"sn{n}": f"sn{n}/jaaa0{n}" for n in range(1, 5)}
    for target, key in visits.items():
        archive.add_target(target)
        archive.add_visit(target, key.partition("/")[2])
    archive.mast.outage_after(7)
    first = daemon.tick_archive()
    assert 0 < len(first) < 4
    assert daemon.tick_archive() == []
    archive.mast.heal()
    second = daemon.tick_archive()
    assert sorted(first + second) == sorted(visits.values())
    assert daemon.tick_archive() == []


def test_a_tick_that_dies_loses_nothing(archive, daemon):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    daemon.evaluate("new_mast_data_sensor")
    assert daemon.tick_archive() == ["sn1/jaaa01"]


def test_a_target_that_does_not_answer_holds_up_no_other(archive, daemon, monkeypatch):
    monkeypatch.setattr(archive_sensor, "_QUESTION_S", 3.0)
    archive.add_target("sn1")
    archive.add_target("sn2")
    archive.add_visit("sn2", "jaaa02")
    archive.mast.inject("caom.*", "silence", times=None, containing="%221.0")
    archive.mast.inject("caom.*", "silence", times=None, containing=", 1.0")
    begun = time.monotonic()
    assert daemon.tick_archive() == ["sn2/jaaa02"]
    assert time.monotonic() - begun < 30
    archive.mast.heal()


def test_questions_to_a_silent_archive_do_not_pile_up(archive, daemon, monkeypatch):
    """A question may take minutes, a tick comes every minute."""
    monkeypatch.setattr(archive_sensor, "_QUESTION_S", 0.5)
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    archive.mast.inject("caom.*", "silence", times=None)
    for _ in range(4):
        assert daemon.tick_archive() == []
    questions = [thread for thread in threading.enumerate() if thread.name == "mast-sn1"]
    assert len(questions) == 1
    assert questions[0].daemon  # a server that stops does not wait for it
    archive.mast.heal()


def test_a_folder_that_cannot_be_read_holds_up_no_other(archive, daemon, monkeypatch):
    archive.add_target("sn1").archive_listing.mkdir(parents=True)
    archive.add_target("sn2")
    archive.add_visit("sn1", "jaaa01")
    archive.add_visit("sn2", "jaaa02")
    assert daemon.tick_archive() == ["sn2/jaaa02"]


def test_a_wider_question_finds_older_visits(archive, daemon):
    workdir = archive.add_target("sn1", proposals=["12345"])
    archive.add_visit("sn1", "jaaa01", released_days_ago=900.0, proposal="54321")
    archive.add_visit("sn1", "jaaa02", proposal="12345")
    assert daemon.tick_archive() == ["sn1/jaaa02"]
    write_settings(workdir, {"archive": {"proposals": ["12345", "54321"]}})
    assert daemon.tick_archive() == ["sn1/jaaa01"]


def test_a_listing_is_told_once_for_a_target_that_is_registered(archive, daemon, instance):
    def told():
        key = AssetKey("archive_exposures")
        return len(instance.fetch_materializations(key, limit=10).records)

    archive.add_target("sn1")
    daemon.tick_archive()
    assert instance.get_dynamic_partitions(TARGET) == ["sn1"]
    daemon.tick_archive()
    assert told() == 1
    archive.add_visit("sn1", "jaaa01")
    daemon.tick_archive()
    daemon.tick_archive()
    assert told() == 2


@pytest.mark.parametrize("limit", ["_TICK_S", "_MAX_REQUESTS_A_TICK"])
def test_targets_that_a_tick_does_not_reach_come_next(archive, daemon, monkeypatch, limit):
    monkeypatch.setattr(archive_sensor, limit, 1 if limit.startswith("_MAX") else 0.0)
    keys = [f"sn{n}/jaaa0{n}" for n in range(1, 4)]
    for key in keys:
        target, _, visit = key.partition("/")
        archive.add_target(target)
        archive.add_visit(target, visit)
    assert [daemon.tick_archive() for _ in range(4)] == [[key] for key in keys] + [[]]


def test_settings_that_are_not_valid_hold_up_no_other(archive, daemon):
    archive.add_target("sn1").settings_file.write_text("[archive]\nqery = true\n")
    archive.add_target("sn2")
    archive.add_visit("sn2", "jaaa02")
    assert daemon.tick_archive() == ["sn2/jaaa02"]


def test_a_target_with_nothing_yet_is_no_failure(archive, daemon):
    archive.add_target("sn1")
    assert daemon.tick_archive() == []
    archive.add_visit("sn1", "jaaa01")
    assert daemon.tick_archive() == ["sn1/jaaa01"]


def test_five_hundred_visits_come_in_bounded_ticks_and_none_is_lost(archive, daemon):
    archive.add_target("sn1", listing_max_age_s=900.0)
    for number in range(500):
        visit = f"j{number // 100}aa{number % 100:02d}"
        archive.add_visit("sn1", visit, side_pix=16, released_days_ago=1 + number / 50)
    seconds = []
    asked = []
    for _ in range(6):
        begun = time.monotonic()
        asked.append(daemon.tick_archive())
        seconds.append(time.monotonic() - begun)
    assert [len(keys) for keys in asked] == [100] * 5 + [0]
    assert len({key for keys in asked for key in keys}) == 500
    assert max(seconds) < 30  # of the 60 that Dagster gives
    print("ticks of 500 visits took", [round(value, 2) for value in seconds], "s")


def test_requests_spread_over_ticks_give_one_target_run(archive, daemon, campaign, monkeypatch):
    monkeypatch.setattr(archive_sensor, "_MAX_REQUESTS_A_TICK", 2)
    archive.add_target("sn1", listing_max_age_s=900.0)
    for number in range(5):
        archive.add_visit("sn1", f"jaaa0{number}")
    target_runs = []
    for _ in range(3):
        for key in daemon.tick_archive():
            assert daemon.run("visit_exposures", key).success
        target_runs.append(daemon.tick("target_frame"))
    assert target_runs == [[], [], ["sn1"]]


@pytest.mark.parametrize("way", ["stopped", "retired", "unreachable"])
def test_visits_that_will_not_be_requested_hold_up_no_target(
    archive, daemon, campaign, monkeypatch, way
):
    monkeypatch.setattr(archive_sensor, "_MAX_REQUESTS_A_TICK", 1)
    workdir = archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    archive.add_visit("sn1", "jaaa02")
    (key,) = daemon.tick_archive()
    daemon.run("visit_exposures", key)
    assert daemon.tick("target_frame") == []
    if way == "stopped":
        daemon.stop("new_mast_data_sensor")
    elif way == "retired":
        write_settings(workdir, {"archive": {"query": False}})
        daemon.tick_archive()
    else:
        with archive.mast.down():
            daemon.tick_archive()
    assert daemon.tick("target_frame") == ["sn1"]


def test_a_visit_that_failed_holds_up_no_target(archive, daemon, campaign):
    archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    archive.add_visit("sn1", "jaaa02")
    campaign.broken.add(("raw_exposures", "sn1/jaaa02"))
    for key in daemon.tick_archive():
        daemon.run("visit_exposures", key)
    daemon.tick_archive()
    assert daemon.tick("target_frame") == ["sn1"]


def test_a_retired_target_is_passed_over(archive, daemon):
    workdir = archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    write_settings(workdir, {"target": {"retired": True}})
    assert daemon.tick_archive() == []
    assert archive.mast.count() == 0


def test_what_a_walk_has_delivered_is_not_requested(archive, daemon, defs, instance):
    workdir = archive.add_target("sn1")
    register(instance, "sn1", ["jaaa01"])
    archive.add_visit("sn1", "jaaa01")
    list(run_target(defs, instance, workdir, assets=["raw_exposures", "exposure_table"]))
    assert daemon.tick_archive() == []
    archive.add_visit("sn1", "jaaa02")
    assert daemon.tick_archive() == ["sn1/jaaa02"]


@pytest.mark.slow
def test_sensors_alone_carry_new_exposures_to_differences(archive, daemon, campaign):
    workdir = archive.add_target("sn1")
    archive.add_visit("sn1", "jaaa01")
    archive.add_visit("sn1", "jaaa02")
    for key in daemon.tick_archive():
        assert daemon.run("visit_exposures", key).success
    asked = []
    for _ in range(2):  # what joins branches is asked for once its inputs stood for a tick
        for level in ASSETS.levels_from_raw:
            for key in daemon.tick(level.job):
                assert daemon.run(level.job, key).success
                asked.append((level.job, key))
    assert len(set(asked)) == len(asked)
    assert workdir.difference_products.is_file()
    assert campaign.ran.count(("raw_exposures", "sn1/jaaa01")) == 1
    assert daemon.tick_archive() == []
    assert not any(daemon.tick(level.job) for level in ASSETS.levels_from_raw)

import random
from collections import Counter
from itertools import cycle, repeat

import pytest
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.partition_keys import TARGET, VISIT
from hst_assets.orchestration.run_target import run_target
from hst_assets.provenance import read_record
from hst_assets.settings import write_settings
from hst_assets_tests.orchestration.conftest import EVERYTHING_WANTED


@pytest.fixture
def instance(instance_on_disk):
    return instance_on_disk


def test_new_raw_files_ask_for_a_run_and_register_target_and_visit(campaign, daemon, instance):
    campaign.add_exposure("sn1", "iaaa01")
    assert daemon.tick("visit_exposures") == ["sn1/iaaa01"]
    assert instance.get_dynamic_partitions(TARGET) == ["sn1"]
    assert instance.get_dynamic_partitions(VISIT) == ["sn1/iaaa01"]


def test_sensors_started_on_what_is_up_to_date_ask_for_nothing(campaign, defs, instance, daemon):
    for visit in ("iaaa01", "iaaa02"):
        campaign.add_exposure("sn1", visit)
    list(run_target(defs, instance, campaign.workdir("sn1")))
    jobs = [level.job for level in ASSETS.levels_from_raw]
    assert [daemon.tick(job) for job in jobs * 3] == [[]] * (3 * len(jobs))


def test_what_dagster_has_no_record_of_is_asked_for(campaign, defs, daemon):
    """Of a work directory that came from elsewhere the pages would stay empty."""
    campaign.add_exposure("sn1", "iaaa01")
    with DagsterInstance.ephemeral() as elsewhere:
        list(run_target(defs, elsewhere, campaign.workdir("sn1")))
    assert daemon.tick("visit_exposures") == ["sn1/iaaa01"]
    assert daemon.tick("target_stacks") == ["sn1"]


def test_a_product_that_is_gone_is_asked_for_by_a_sensor_that_was_just_started(
    campaign, defs, instance, daemon
):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.add_exposure("sn1", "iaaa02")
    list(run_target(defs, instance, campaign.workdir("sn1")))
    campaign.workdir("sn1").visit_products("iaaa02").unlink()
    assert daemon.tick("visit_images") == ["sn1/iaaa02"]


def test_a_sensor_that_knows_the_partition_asks_for_a_run_of_new_inputs(
    campaign, defs, instance, daemon
):
    campaign.add_exposure("sn1", "iaaa01")
    workdir = campaign.workdir("sn1")
    list(run_target(defs, instance, workdir))
    jobs = [level.job for level in ASSETS.levels_from_raw]
    assert [daemon.tick(job) for job in jobs] == [[]] * len(jobs)
    # It finds all done, and records the versions that were read.
    write_settings(workdir, {"machine": {"max_cores": 3}})
    assert daemon.tick("visit_images") == ["sn1/iaaa01"]


def test_settings_that_are_again_as_they_were_are_asked_for_again(campaign, defs, instance, daemon):
    campaign.add_exposure("sn1", "iaaa01")
    workdir = campaign.workdir("sn1")
    list(run_target(defs, instance, workdir))
    assert daemon.tick("visit_images") == []
    for pixfrac in (0.7, 0.6, 0.7, 0.6):
        write_settings(workdir, {"drizzle": {"pixfrac": pixfrac}})
        assert daemon.tick("visit_images") == ["sn1/iaaa01"]


def test_a_target_that_cannot_be_looked_at_is_run_and_costs_no_other(
    campaign, defs, instance, daemon, monkeypatch
):
    from hst_assets.orchestration import sensors

    for target in ("sn1", "sn2"):
        campaign.add_exposure(target, "iaaa01")
        list(run_target(defs, instance, campaign.workdir(target)))

    def damaged(instance, workdir, level, keys, table):
        if workdir.target == "sn1":
            raise TypeError("a header that is no header")
        return done_of(instance, workdir, level, keys, table)

    done_of = sensors.done_of
    monkeypatch.setattr(sensors, "done_of", damaged)
    assert daemon.tick("visit_images") == ["sn1/iaaa01"]


def test_a_tick_looks_for_so_long_and_the_next_goes_on_behind(campaign, daemon, monkeypatch):
    """Also where the time is always too short: no target waits for ever behind the same others."""
    for target in ("sn1", "sn2", "sn3"):
        campaign.add_exposure(target, "iaaa01")
    monkeypatch.setattr("hst_assets.orchestration.sensors._LOOKED_AT_S", -1.0)
    ticks = [daemon.tick("visit_exposures") for _ in range(3)]
    assert ticks == [["sn1/iaaa01"], ["sn2/iaaa01"], ["sn3/iaaa01"]]
    said = daemon.evaluate("visit_exposures_sensor").skip_message
    assert "the next tick goes on at sn2" in said
    campaign.add_exposure("sn3", "iaaa02")
    found = [daemon.tick("visit_exposures") for _ in range(3)]
    assert sorted(found) == [[], [], ["sn3/iaaa02"]]


def test_what_stands_is_kept_for_targets_that_a_tick_did_not_come_to():
    from hst_assets.orchestration import sensors
    from hst_assets.orchestration.sensor_memory import LevelCursor

    tick = sensors._Tick(None, None, LevelCursor(standing={"sn1": "a", "sn2": "b", "sn3/i1": "c"}))
    tick.standing = {"sn1": "new"}
    tick.stop_at("sn2", ["sn2", "sn3"])
    assert tick.standing == {"sn1": "new", "sn2": "b", "sn3/i1": "c"}


def test_no_more_is_asked_for_while_many_runs_of_the_level_wait(
    campaign, defs, instance, daemon, monkeypatch
):
    monkeypatch.setattr("hst_assets.orchestration.sensors._MAX_WAITING", 2)
    for visit in ("iaaa01", "iaaa02", "iaaa03"):
        campaign.add_exposure("sn1", visit)
    assert daemon.tick("visit_exposures") == ["sn1/iaaa01", "sn1/iaaa02"]
    waiting = [
        instance.create_run_for_job(
            defs.resolve_job_def("visit_exposures"),
            status=DagsterRunStatus.NOT_STARTED,
            tags={"dagster/partition": f"sn1/{visit}"},
        )
        for visit in ("iaaa01", "iaaa02")
    ]
    assert (
        "2 runs of this level are unfinished"
        in daemon.evaluate("visit_exposures_sensor").skip_message
    )
    instance.report_run_canceled(waiting[0])
    assert daemon.tick("visit_exposures") == ["sn1/iaaa03"]


def test_what_was_asked_for_is_not_asked_again(campaign, daemon):
    campaign.add_exposure("sn1", "iaaa01")
    daemon.tick("visit_exposures")
    assert daemon.tick("visit_exposures") == []


def test_one_new_exposure_asks_for_its_visit_alone(campaign, daemon):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.add_exposure("sn1", "iaaa02")
    daemon.tick("visit_exposures")
    campaign.add_exposure("sn1", "iaaa02", 1)
    assert daemon.tick("visit_exposures") == ["sn1/iaaa02"]


def test_a_changed_setting_asks_for_the_target(campaign, daemon):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.add_exposure("sn2", "iaaa01")
    daemon.tick("visit_exposures")
    write_settings(campaign.workdir("sn2"), {"selection": {"keep_short": True}})
    assert daemon.tick("visit_exposures") == ["sn2/iaaa01"]


def test_a_file_that_a_setting_names_asks_for_the_target_when_it_changes(campaign, daemon):
    campaign.add_exposure("sn1", "iaaa01")
    workdir = campaign.workdir("sn1")
    grid = workdir.base / "grid.fits"
    grid.write_bytes(b"pixels")
    write_settings(workdir, {"embedded": {"psf_grids": {"wfc3_uvis.f606w": "grid.fits"}}})
    assert daemon.tick("visit_exposures") == ["sn1/iaaa01"]
    assert daemon.tick("visit_exposures") == []
    grid.write_bytes(b"other pixels")
    assert daemon.tick("visit_exposures") == ["sn1/iaaa01"]
    assert daemon.tick("visit_exposures") == []


def test_fifty_visits_give_one_target_run(campaign, defs, instance, daemon):
    for number in range(50):
        campaign.add_exposure("sn1", f"iaaa{number:02d}")
    assert len(daemon.tick("visit_exposures")) == 50
    run = instance.create_run_for_job(
        defs.resolve_job_def("visit_exposures"),
        status=DagsterRunStatus.STARTED,
        tags={"dagster/partition": "sn1/iaaa07"},
    )
    for number in range(50):
        key = f"sn1/iaaa{number:02d}"
        campaign.step(campaign.workdir("sn1"), "exposure_table", key, {"raw": key}, redo=False)
        if number < 49:
            assert daemon.tick("target_frame") == []
    instance.report_run_canceled(run)
    assert daemon.tick("target_frame") == ["sn1"]
    assert daemon.tick("target_frame") == []


def test_a_busy_target_does_not_hold_up_another(campaign, defs, instance, daemon):
    for target in ("sn1", "sn2"):
        campaign.add_exposure(target, "iaaa01")
        key = f"{target}/iaaa01"
        campaign.step(campaign.workdir(target), "exposure_table", key, {}, redo=False)
    instance.create_run_for_job(
        defs.resolve_job_def("visit_exposures"),
        status=DagsterRunStatus.STARTING,
        tags={"dagster/partition": "sn1/iaaa01"},
    )
    assert daemon.tick("target_frame") == ["sn2"]


def test_a_run_of_assets_that_a_user_chose_counts_for_their_level(campaign, defs, instance, daemon):
    """The web UI and Dagster's commands run no job of ours, but the chosen assets."""
    campaign.add_exposure("sn1", "iaaa01")
    key = "sn1/iaaa01"
    campaign.step(campaign.workdir("sn1"), "exposure_table", key, {}, redo=False)
    run = instance.create_run_for_job(
        defs.resolve_implicit_global_asset_job_def(),
        status=DagsterRunStatus.STARTED,
        tags={"dagster/partition": key},
        asset_selection={AssetKey("raw_exposures")},
    )
    assert daemon.tick("visit_exposures") == []
    assert daemon.tick("target_frame") == []
    instance.report_run_failed(run)
    assert daemon.tick("visit_exposures") == [key]
    assert daemon.tick("target_frame") == ["sn1"]


def test_sensors_alone_carry_a_target_to_its_differences(campaign, defs, instance, daemon):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.add_exposure("sn1", "iaaa02")
    for level in ASSETS.levels_from_raw:
        for key in daemon.tick(level.job) or daemon.tick(level.job):
            result = defs.resolve_job_def(level.job).execute_in_process(
                partition_key=key, instance=instance
            )
            assert result.success
    assert campaign.workdir("sn1").difference_products.is_file()
    assert not any(daemon.tick(level.job) for level in ASSETS.levels_from_raw)


def test_workers_with_old_and_new_code_make_nothing_in_turns(campaign, defs, instance, daemon):
    """While machines are upgraded one after the other, each run may meet either."""
    campaign.add_exposure("sn1", "iaaa01")

    jobs = ["visit_exposures", "target_frame", "visit_images"]

    def settle(codes):
        for job in jobs * 2:
            for key in daemon.tick(job):
                campaign.code = next(codes)
                assert daemon.run(job, key).success

    settle(cycle(["2", "1"]))
    assert max(Counter(campaign.ran).values()) == 1
    records = [read_record(ASSETS.product_path(campaign.root, *each)) for each in campaign.ran]
    assert {record.recipe["code"][record.recipe["stage"]] for record in records} == {"1", "2"}
    # The upgrade is done: one run of all makes anew what old code had made, and no more.
    campaign.code = "2"
    assets = [row.name for row in ASSETS if row.job in jobs]
    list(run_target(defs, instance, campaign.workdir("sn1"), assets=assets))
    n_made = len(campaign.ran)
    settle(repeat("2"))
    assert len(campaign.ran) == n_made
    assert max(Counter(campaign.ran).values()) == 2


def test_stacks_wait_until_the_table_of_the_target_has_a_late_visit(
    campaign, defs, instance, daemon
):
    def run(job):
        for key in daemon.tick(job):
            run = defs.resolve_job_def(job)
            assert run.execute_in_process(partition_key=key, instance=instance).success

    campaign.add_exposure("sn1", "iaaa01")
    for level in ASSETS.levels_from_raw:
        run(level.job)
    campaign.add_exposure("sn1", "iaaa02")
    run("visit_exposures")
    run("visit_images")
    assert daemon.tick("target_stacks") == []
    run("target_frame")
    assert daemon.tick("target_stacks") == ["sn1"]


class Traffic:
    """Runs that sensors ask for: in flight for a while, at work at some moment of it, ended.

    What sensors see of them are the rows of the instance and the products. The work itself is done
    in an instance in memory, which is ten times as fast.
    """

    def __init__(self, defs, daemon, workers, seed):
        self.defs, self.daemon, self.workers = defs, daemon, workers
        self.random = random.Random(seed)
        self.asked = Counter()
        self.in_flight = []

    def until_nothing_is_left(self):
        """Sensors tick and runs move on in any order, until no sensor has anything to ask."""
        jobs = [level.job for level in ASSETS.levels_from_raw]
        # Every sensor looks within an interval: what nobody has started is not waited for.
        for job in jobs:
            self._ask(job)
        # What joins branches is asked for when it has stood from one tick to the next.
        idle = Counter()
        while self.in_flight or any(idle[job] < 2 for job in jobs):
            if self.in_flight and self.random.random() < 0.5:
                self._move_on(self.random.choice(self.in_flight))
                idle.clear()
                continue
            # One that has found nothing twice finds nothing until something changes.
            expectant = [job for job in jobs if idle[job] < 2]
            if not expectant:
                continue
            job = self.random.choice(expectant)
            if self._ask(job):
                idle.clear()
            else:
                idle[job] += 1
        # Nothing is asked for at a third look either.
        assert {job: self._ask(job) for job in jobs} == dict.fromkeys(jobs, False)

    def _ask(self, job):
        """One tick; whether it asked for anything."""
        keys = self.daemon.tick(job)
        for key in keys:
            self.asked[job, key] += 1
            run = DagsterRun(
                job, status=DagsterRunStatus.NOT_STARTED, tags={"dagster/partition": key}
            )
            self.daemon.instance.run_storage.add_run(run)
            self.in_flight.append((run, key))
        return bool(keys)

    def _move_on(self, flight):
        run, key = flight
        self.in_flight.remove(flight)
        storage = self.daemon.instance.run_storage
        storage.delete_run(run.run_id)
        if run.status == DagsterRunStatus.NOT_STARTED:
            for name in (TARGET, VISIT):
                known = self.daemon.instance.get_dynamic_partitions(name)
                self.workers.add_dynamic_partitions(name, known)
            job = self.defs.resolve_job_def(run.job_name)
            assert job.execute_in_process(partition_key=key, instance=self.workers).success
            run = run.with_status(DagsterRunStatus.STARTED)
            storage.add_run(run)
            self.in_flight.append((run, key))


@pytest.mark.parametrize("seed", range(3))
def test_in_whatever_order_runs_end_no_sensor_asks_for_a_superfluous_one(
    campaign, defs, daemon, seed
):
    with DagsterInstance.ephemeral() as workers:
        traffic = Traffic(defs, daemon, workers, seed)
        for n_target_runs, visits in enumerate((("iaaa01", "iaaa02"), ("iaaa03",)), start=1):
            for visit in visits:
                campaign.add_exposure("sn1", visit)
            if n_target_runs == 1:
                write_settings(campaign.workdir("sn1"), EVERYTHING_WANTED)
            traffic.until_nothing_is_left()
            keys = [f"sn1/{visit}" for visit in ("iaaa01", "iaaa02", "iaaa03")[: n_target_runs + 1]]
            expected = Counter()
            for level in ASSETS.levels_from_raw:
                for key in keys if level.by_visit else ["sn1"]:
                    expected[level.job, key] = 1 if level.by_visit else n_target_runs
            assert traffic.asked == expected


def test_a_folder_with_an_impossible_name_is_passed_over(campaign, daemon):
    campaign.add_exposure("sn1", "iaaa01")
    stray = campaign.root / "not a target"
    stray.mkdir()
    (stray / "target.toml").touch()
    assert daemon.tick("visit_exposures") == ["sn1/iaaa01"]


def test_a_nightly_sweep_tries_again_what_has_no_product(campaign, defs, instance, daemon):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.add_exposure("sn1", "iaaa02")
    campaign.broken.add(("aligned_exposures", "sn1/iaaa02"))
    list(run_target(defs, instance, campaign.workdir("sn1")))
    assert daemon.night("nightly_visit_images") == ["sn1/iaaa02"]

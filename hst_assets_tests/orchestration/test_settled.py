import time
from collections import Counter
from contextlib import suppress

import pytest
from dagster import DagsterRunStatus

from hst_assets.exposures.raw import visits_in
from hst_assets.failures import UnusableInput
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.settings import load_settings, write_settings
from hst_assets_tests.orchestration.conftest import EVERYTHING_WANTED, stand_in

#: They follow the chain of photometry and the differences, the page follows them, and what is
#: published all of them.
JOINS = ["target_light_curve", "target_counterpart", "target_page", "target_publication"]
#: What ends in them; all before is made when a test begins.
BRANCHES = ["target_pictures", "target_photometry", "target_artificial_stars"]
BEFORE = ["visit_exposures", "target_frame", "visit_images", "target_stacks"]


@pytest.fixture
def instance(instance_on_disk):
    return instance_on_disk


class Rounds:
    """A deployment in which all sensors look once a round, and each run ends within it.

    Sensors see the products alone: runs leave no rows in the instance.
    """

    def __init__(self, daemon, campaign):
        self.daemon, self.campaign = daemon, campaign
        self.ran = Counter()

    def bring_to_stacks(self):
        """Each level of `BEFORE`, one after the other."""
        for job in BEFORE:
            self.once([job])

    def until_nothing_is_asked(self, jobs=(*BRANCHES, *JOINS)):
        idle = 0
        while idle < 2:
            idle = 0 if self.once(jobs) else idle + 1

    def once(self, jobs=(*BRANCHES, *JOINS)):
        """One look of each sensor; then the runs. How many there were."""
        asked = [(job, key) for job in jobs for key in self.daemon.tick(job)]
        for job, key in asked:
            self.ran[job] += 1
            with suppress(UnusableInput):  # broken on purpose: the rest of the run is not made
                self._run(ASSETS.level_named(job), key)
        return len(asked)

    def _run(self, level, key):
        target, _, visit = key.partition("/")
        workdir = self.campaign.workdir(target)
        for row in (ASSETS[name] for name in level.assets if ASSETS[name].path):
            subject = (visit,) if row.by_visit else ()
            if row.gathers:
                upstream = ASSETS[row.gathers]
                made = [v for v in visits_in(workdir) if upstream.product(workdir, v).is_file()]
                subject = (made,)
            stand_in(self.campaign, row)(workdir, *subject, load_settings(workdir))


@pytest.fixture
def rounds(campaign, daemon):
    """The rounds of a target of which everything is wanted and the stacks are made."""
    campaign.add_exposure("sn1", "iaaa01")
    write_settings(campaign.workdir("sn1"), EVERYTHING_WANTED)
    rounds = Rounds(daemon, campaign)
    rounds.bring_to_stacks()
    return rounds


def in_flight(instance, defs, job, partition="sn1"):
    """A run that is at work, and makes nothing."""
    return instance.create_run_for_job(
        defs.resolve_job_def(job),
        status=DagsterRunStatus.STARTED,
        tags={"dagster/partition": partition},
    )


def test_the_levels_that_join_branches():
    joins = {level.job for level in ASSETS.levels if ASSETS.joins(level)}
    assert joins == {*JOINS, "visit_page"}


def test_what_is_upstream_of_a_join_goes_back_to_raw_files():
    light_curve = ASSETS.level_named("target_light_curve")
    upstream = {level.job for level in ASSETS.upstream_of(light_curve)}
    assert upstream == {
        "visit_exposures",
        "target_frame",
        "visit_images",
        "target_stacks",
        "target_photometry",
        "target_artificial_stars",
    }


def test_branches_that_end_at_different_ticks_give_one_run(rounds):
    """Differences are there when it begins; pictures, catalogue and artificial stars follow."""
    rounds.until_nothing_is_asked()
    assert rounds.ran == Counter(dict.fromkeys((*BEFORE, *BRANCHES, *JOINS), 1))


def test_a_branch_at_work_holds_up_what_joins_it(rounds, instance, defs):
    run = in_flight(instance, defs, "target_pictures")
    rounds.until_nothing_is_asked(["target_page"])
    assert rounds.ran["target_page"] == 0
    instance.report_run_canceled(run)
    rounds.until_nothing_is_asked(["target_page"])
    assert rounds.ran["target_page"] == 1


def test_what_is_at_work_far_upstream_holds_up_a_join(rounds, instance, defs):
    in_flight(instance, defs, "visit_exposures", "sn1/iaaa01")
    rounds.until_nothing_is_asked(["target_page"])
    assert rounds.ran["target_page"] == 0


def test_a_request_whose_run_is_not_there_yet_holds_up_the_join(campaign, rounds, daemon):
    """The sensor has asked, Dagster has not made the run: nothing is due or in flight."""
    assert daemon.tick("target_page") == []
    campaign.add_exposure("sn1", "iaaa02")
    assert daemon.tick("visit_exposures") == ["sn1/iaaa02"]
    assert daemon.tick("target_page") == []


@pytest.mark.parametrize("failing", ["colour_images", "artificial_stars", "light_curve"])
def test_a_branch_that_fails_costs_itself_and_what_joins_is_made_once(campaign, rounds, failing):
    campaign.broken.add((failing, "sn1"))
    rounds.until_nothing_is_asked()
    assert [rounds.ran[job] for job in (*BRANCHES, *JOINS)] == 7 * [1]
    assert campaign.workdir("sn1").report.is_file()


def test_a_visit_that_fails_leaves_one_page(campaign, rounds):
    rounds.until_nothing_is_asked(["target_page"])
    campaign.add_exposure("sn1", "iaaa02")
    campaign.broken.add(("aligned_exposures", "sn1/iaaa02"))
    rounds.bring_to_stacks()
    rounds.until_nothing_is_asked(["target_page"])
    assert rounds.ran["target_page"] == 2


def test_new_data_while_a_join_waits_give_one_run_at_the_end(campaign, rounds, daemon):
    rounds.once(["target_pictures"])
    assert daemon.tick("target_page") == []  # new inputs, seen for the first time
    campaign.add_exposure("sn1", "iaaa02")
    assert daemon.tick("target_page") == []  # the visit is due
    rounds.bring_to_stacks()
    rounds.until_nothing_is_asked(["target_pictures", "target_page"])
    assert rounds.ran["target_page"] == 1
    made = [asset for asset, _ in campaign.ran]
    assert made.index("target_report") == len(made) - 1


def test_nothing_new_gives_no_run(rounds):
    rounds.until_nothing_is_asked(["target_pictures", "target_page"])
    assert rounds.once(["target_pictures", "target_page"]) == 0
    assert rounds.ran["target_page"] == 1


@pytest.fixture
def due(campaign, rounds):
    """A target of which the sensor of pictures, which has run, is about to ask for them."""
    rounds.once(["target_pictures"])
    campaign.add_exposure("sn1", "iaaa02")
    rounds.bring_to_stacks()
    return rounds


def test_a_branch_that_its_sensor_is_about_to_ask_for_holds_up_the_join(due):
    due.until_nothing_is_asked(["target_page"])
    assert due.ran["target_page"] == 0
    due.until_nothing_is_asked(["target_pictures", "target_page"])
    assert (due.ran["target_pictures"], due.ran["target_page"]) == (2, 1)


def test_a_sensor_that_is_stopped_is_not_waited_for(due, daemon):
    daemon.stop("target_pictures_sensor")
    due.until_nothing_is_asked(["target_page"])
    assert due.ran["target_page"] == 1


def test_a_sensor_that_has_not_looked_for_long_is_not_waited_for(due, monkeypatch):
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 1000.0)
    due.until_nothing_is_asked(["target_page"])
    assert due.ran["target_page"] == 1


def test_a_target_at_work_does_not_hold_up_the_joins_of_another(campaign, rounds, instance, defs):
    campaign.add_exposure("sn2", "ibbb01")
    rounds.bring_to_stacks()
    in_flight(instance, defs, "visit_exposures", "sn1/iaaa01")
    rounds.until_nothing_is_asked(["target_page"])
    assert rounds.ran["target_page"] == 1
    assert campaign.workdir("sn2").report.is_file()


def test_a_join_says_what_it_waits_for(rounds, daemon, instance, defs):
    assert "if they stay: sn1" in daemon.evaluate("target_page_sensor").skip_message
    in_flight(instance, defs, "target_pictures")
    assert "waiting for runs of sn1" in daemon.evaluate("target_page_sensor").skip_message

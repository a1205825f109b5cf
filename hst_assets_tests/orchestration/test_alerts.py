"""The sensor that tells of failed runs: once each, and not lost with a receiver that is down."""

import json
import logging

import dagster as dg
import pytest

from hst_assets.alerting.receivers import (
    MAIL_VARIABLE,
    SMTP_VARIABLE,
    UI_VARIABLE,
    WEBHOOK_VARIABLE,
)
from hst_assets.orchestration import alerts
from hst_assets.orchestration.alerts import ALERT_SENSOR, alert_of, alert_sensor
from hst_assets_tests.stand_ins.alert_services import MailServer, Webhook

SECRET = "T0-part-of-the-path"


@pytest.fixture
def instance(instance_on_disk):
    return instance_on_disk


@pytest.fixture
def webhook(monkeypatch):
    with Webhook().running() as server:
        monkeypatch.setenv(WEBHOOK_VARIABLE, f"{server.url}/{SECRET}")
        yield server


@pytest.fixture
def mail_server(monkeypatch):
    with MailServer().running() as server:
        monkeypatch.setenv(MAIL_VARIABLE, "observer@example.org")
        monkeypatch.setenv(SMTP_VARIABLE, server.address)
        yield server


@pytest.fixture
def fail(campaign, daemon, instance):
    """Fails a run of a visit; the first tick was before."""
    daemon.tick_sensor(ALERT_SENSOR)

    def failed(visit="iaaa01"):
        campaign.add_exposure("sn1", visit)
        campaign.broken.add(("raw_exposures", f"sn1/{visit}"))
        instance.add_dynamic_partitions("hst_visit", [f"sn1/{visit}"])
        return daemon.run("visit_exposures", f"sn1/{visit}").run_id

    return failed


def ticked(daemon):
    """One tick; what it says."""
    result = daemon.evaluate(ALERT_SENSOR)
    daemon._cursors[ALERT_SENSOR] = result.cursor
    return result.skip_message


def test_a_failed_run_is_told_once_with_what_to_do(webhook, fail, daemon, monkeypatch):
    monkeypatch.setenv(UI_VARIABLE, "http://here:3000/")
    run_id = fail()
    assert ticked(daemon) == "messages sent: 1"
    (taken,) = webhook.taken
    assert (taken["target"], taken["visit"]) == ("sn1", "iaaa01")
    assert taken["assets"] == ["raw_exposures"]
    assert taken["why"] == "sn1/iaaa01: broken on purpose"
    assert taken["next_step"]
    assert taken["link"] == f"http://here:3000/runs/{run_id}"
    assert ticked(daemon) == "no run has failed"
    assert len(webhook.taken) == 1


def test_what_failed_before_the_first_tick_is_history(webhook, campaign, daemon, instance):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.broken.add(("raw_exposures", "sn1/iaaa01"))
    instance.add_dynamic_partitions("hst_visit", ["sn1/iaaa01"])
    daemon.run("visit_exposures", "sn1/iaaa01")
    assert [ticked(daemon), ticked(daemon)] == ["no run has failed"] * 2
    assert webhook.taken == []


def test_a_run_that_succeeds_is_not_told(webhook, campaign, daemon, instance):
    ticked(daemon)
    campaign.add_exposure("sn1", "iaaa01")
    instance.add_dynamic_partitions("hst_visit", ["sn1/iaaa01"])
    assert daemon.run("visit_exposures", "sn1/iaaa01").success
    assert ticked(daemon) == "no run has failed"


def test_a_receiver_that_is_down_is_told_of_and_tried_until_it_takes_it(
    webhook, mail_server, fail, daemon
):
    webhook.status = 503
    runs = [fail(), fail("iaaa02")]
    said = ticked(daemon)
    assert said.startswith("messages sent: 2; webhook (127.0.0.1): answered 503; tried again")
    assert all(run_id[:8] in said for run_id in runs)
    assert "answered 503" in ticked(daemon)
    webhook.status = 200
    assert ticked(daemon) == "messages sent: 2"
    assert {taken["run_id"] for taken in webhook.taken} == set(runs)
    assert len(mail_server.taken) == 2  # nobody is told twice
    assert ticked(daemon) == "no run has failed"


def test_one_message_that_is_not_taken_holds_up_no_other(webhook, fail, daemon):
    webhook.status_for = {"iaaa01": 400}
    fail()
    fail("iaaa02")
    assert ticked(daemon).startswith("messages sent: 1; webhook (127.0.0.1): did not take")
    assert [taken["visit"] for taken in webhook.taken] == ["iaaa02"]
    fail("iaaa03")
    assert ticked(daemon).startswith("messages sent: 1")
    assert [taken["visit"] for taken in webhook.taken] == ["iaaa02", "iaaa03"]


def test_nothing_is_lost_with_a_tick_that_dies(webhook, fail, daemon):
    fail()
    daemon.evaluate(ALERT_SENSOR)  # its cursor is not kept
    ticked(daemon)
    assert len(webhook.taken) == 2  # rather twice than never


def test_nobody_set_says_which_variable_and_keeps_nothing_for_later(
    fail, daemon, monkeypatch, request
):
    fail()
    assert WEBHOOK_VARIABLE in ticked(daemon)
    assert MAIL_VARIABLE in ticked(daemon)
    webhook = request.getfixturevalue("webhook")
    assert ticked(daemon) == "no run has failed"
    assert webhook.taken == []


def test_a_variable_that_is_wrong_is_told_and_costs_no_message(webhook, fail, daemon, monkeypatch):
    address = f"{webhook.url}/{SECRET}"
    fail()
    monkeypatch.setenv(WEBHOOK_VARIABLE, f"hooks/{SECRET}")
    said = ticked(daemon)
    assert WEBHOOK_VARIABLE in said
    assert SECRET not in said
    monkeypatch.setenv(WEBHOOK_VARIABLE, address)
    assert ticked(daemon) == "messages sent: 1"


def test_a_variable_that_becomes_wrong_drops_nothing_that_waits(webhook, fail, daemon, monkeypatch):
    address = f"{webhook.url}/{SECRET}"
    fail()
    webhook.status = 503
    ticked(daemon)
    monkeypatch.setenv(WEBHOOK_VARIABLE, f"hooks/{SECRET}")
    assert ticked(daemon).endswith("messages that wait: 1")
    monkeypatch.setenv(WEBHOOK_VARIABLE, address)
    webhook.status = 200
    assert ticked(daemon) == "messages sent: 1"


def test_a_receiver_that_refuses_loses_its_oldest_and_silences_nobody(
    webhook, mail_server, fail, daemon, monkeypatch
):
    monkeypatch.setattr(alerts, "_MOST_PENDING", 2)
    webhook.status = 403
    visits = ["iaaa01", "iaaa02", "iaaa03"]
    said = ""
    for visit in visits:
        fail(visit)
        said = ticked(daemon)
    assert len(mail_server.taken) == len(visits)
    assert "webhook (127.0.0.1): 1 dropped, the oldest of too many that waited" in said
    webhook.status = 200
    assert ticked(daemon) == "messages sent: 2"
    assert {taken["visit"] for taken in webhook.taken} == set(visits[1:])


def test_more_than_may_wait_reach_a_receiver_that_takes_them(webhook, fail, daemon, monkeypatch):
    monkeypatch.setattr(alerts, "_MOST_PENDING", 1)
    fail()
    fail("iaaa02")
    assert [ticked(daemon), ticked(daemon)] == ["messages sent: 1"] * 2
    assert [taken["visit"] for taken in webhook.taken] == ["iaaa01", "iaaa02"]


def test_a_run_that_was_killed_is_told_by_what_dagster_says(webhook, fail, daemon, defs, instance):
    run = instance.create_run_for_job(
        defs.resolve_job_def("target_stacks"),
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": "sn1"},
    )
    instance.report_run_failed(run, "the process 7 that ran it is gone")
    ticked(daemon)
    (taken,) = webhook.taken
    assert (taken["target"], taken["visit"], taken["assets"]) == ("sn1", "", [])
    assert "the process 7 that ran it is gone" in taken["why"]
    assert taken["job"] == "target_stacks"


def test_a_run_that_is_deleted_is_not_waited_for(webhook, fail, daemon, instance):
    webhook.status = 503
    run_id = fail()
    ticked(daemon)
    instance.delete_run(run_id)
    assert alert_of(instance, run_id) is None
    assert ticked(daemon) == "no run has failed"


def test_a_run_that_is_changed_later_is_not_told_again(webhook, fail, daemon, instance):
    run_id = fail()
    ticked(daemon)
    instance.add_run_tags(run_id, {"looked/at": "yes"})
    assert ticked(daemon) == "no run has failed"
    assert len(webhook.taken) == 1


def test_the_secret_is_in_no_log_cursor_tag_or_word(webhook, fail, daemon, instance, caplog):
    caplog.set_level(logging.DEBUG)
    run_id = fail()
    webhook.status = 503
    said = [ticked(daemon)]
    webhook.status = 404
    said.append(ticked(daemon))
    kept = [daemon._cursors[ALERT_SENSOR], json.dumps(dict(instance.get_run_by_id(run_id).tags))]
    assert SECRET not in "".join([*said, *kept, caplog.text])


@pytest.mark.parametrize("variable", [WEBHOOK_VARIABLE, MAIL_VARIABLE])
def test_it_runs_from_the_start_where_somebody_is_to_be_told(monkeypatch, variable):
    monkeypatch.delenv(WEBHOOK_VARIABLE, raising=False)
    monkeypatch.delenv(MAIL_VARIABLE, raising=False)
    assert alert_sensor().default_status == dg.DefaultSensorStatus.STOPPED
    monkeypatch.setenv(variable, "somebody")
    assert alert_sensor().default_status == dg.DefaultSensorStatus.RUNNING

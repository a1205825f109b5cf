"""`hst-assets target`: targets that are followed."""

import json

import dagster as dg
import pytest

from hst_assets.cli import target
from hst_assets.orchestration.partition_keys import TARGET
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir


def test_a_target_is_added_listed_retired_and_taken_up_again(cli, root, mast):
    added = cli("target", "add", "sn1", "10:00:24", "-02:12:00", "--instrument", "WFC3")
    assert added.code == 0, added.err
    settings = load_settings(WorkDir(root, "sn1"))
    assert settings.target.position() == pytest.approx({"ra_deg": 150.1, "dec_deg": -2.2})
    assert settings.archive.query
    assert settings.archive.instruments == ("WFC3",)
    assert mast.count() == 0
    with dg.DagsterInstance.get() as instance:
        assert instance.get_dynamic_partitions(TARGET) == ["sn1"]

    assert _status(cli) == {"sn1": "followed"}
    assert "followed" in cli("target", "list").out
    assert cli("target", "retire", "sn1").code == 0
    assert _status(cli) == {"sn1": "retired"}
    assert load_settings(WorkDir(root, "sn1")).target.retired
    again = cli("target", "add", "sn1", "--only-filter", "F606W")
    assert again.code == 0, again.err
    assert _status(cli) == {"sn1": "followed"}
    assert load_settings(WorkDir(root, "sn1")).archive.instruments == ("WFC3",)


def test_a_target_is_drained_and_each_kind_of_run_has_a_line_of_its_own(cli, root, mast):
    cli("target", "add", "sn1", "150.1", "2.2")
    of_command = {"hst_assets/process": "node7:41:5"}
    with dg.DagsterInstance.get() as instance:
        for visit, status, tags in (
            ("iaaa02", dg.DagsterRunStatus.CANCELING, {}),
            ("iaaa03", dg.DagsterRunStatus.STARTED, of_command),
            ("iaaa04", dg.DagsterRunStatus.STARTED, {}),
        ):
            instance.create_run_for_job(
                dg.GraphDefinition("visit_images").to_job(),
                status=status,
                tags={"dagster/partition": f"sn1/{visit}", **tags},
            )
    done = cli("target", "retire", "sn1", "--drain")
    not_told = "could not be told to end, give the command again"
    assert done.out.splitlines()[:-1] == [
        "cancelled before they began: 0",
        "told before, has not ended yet: visit_images sn1/iaaa02",
        "goes on, stop it yourself: visit_images sn1/iaaa03 (process 41 on node7)",
        f"{not_told}: visit_images sn1/iaaa04 (what launched it cannot reach it)",
    ]
    assert _status(cli) == {"sn1": "retired"}


def _status(cli):
    return {
        each["target"]: each["status"] for each in json.loads(cli("target", "list", "--json").out)
    }


def test_a_target_may_be_added_by_name(cli, root, mast):
    assert cli("target", "add", "sn1", "--name", "SN 2031a").code == 0
    assert load_settings(WorkDir(root, "sn1")).target.dec_deg == pytest.approx(2.2)


def test_targets_that_were_ingested_are_local(cli, root, mast, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    assert _status(cli) == {"sn1": "local"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "sn1"], "no archive query"),
        (["add", "a|b", "10", "-20"], "not a target name"),
        (["add", "sn1", "10"], "not a position"),
        (["add", "sn1", "10", "-20", "--name", "M 31"], "not both"),
        (["add", "sn1", "10", "-20", "--radius", "5 km"], "--radius: not a radius"),
        (["retire", "sn1"], "no work directory"),
    ],
)
def test_a_wrong_call_says_so_and_leaves_nothing(cli, root, words, message):
    result = cli("target", *words)
    assert result.code == 2
    assert message in result.err
    assert list(root.iterdir()) == []


def test_a_name_that_nobody_knows_leaves_nothing(cli, root, mast):
    assert cli("target", "add", "sn1", "--name", "SN 1900zz").code == 3
    assert not (root / "sn1").exists()


def test_a_target_moves_only_when_that_is_asked_for(cli, root, mast):
    cli("target", "add", "sn1", "10:00:24", "-02:12:00")
    refused = cli("target", "add", "sn1", "10:00:25", "-02:12:00")
    assert refused.code == 2
    assert "--move" in refused.err
    assert load_settings(WorkDir(root, "sn1")).target.ra_deg == pytest.approx(150.1)
    assert cli("target", "add", "sn1", "150.1", "-2.2").code == 0  # the same place
    assert cli("target", "add", "sn1", "10:00:25", "-02:12:00", "--move").code == 0
    moved = 150.1 + 1 / 240
    assert load_settings(WorkDir(root, "sn1")).target.ra_deg == pytest.approx(moved)


def test_a_target_added_by_mistake_is_forgotten(cli, root, mast):
    cli("target", "add", "sm1", "10:00:24", "-02:12:00")
    result = cli("target", "forget", "sm1")
    assert result.code == 0, result.err
    assert _status(cli) == {}
    assert not (root / "sm1").exists()
    assert cli("target", "forget", "sm1").code == 3


def test_an_invalid_key_beside_good_ones_costs_itself(cli, root, small_campaign):
    cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("hst_visit", ["sn1/bad key"])
    result = cli("materialize", "sn1", "--offline", "--select", "raw_exposures")
    assert result.code == 0, result.err
    assert "hst-assets visit forget 'sn1/bad key'" in result.err
    assert cli("visit", "forget", "sn1/bad key").code == 0
    again = cli("materialize", "sn1", "--offline", "--select", "raw_exposures")
    assert "bad key" not in again.err


def test_adding_and_listing_do_not_wait_for_dagster(cli, root, monkeypatch, mast):
    cli("target", "list")  # Dagster makes its databases

    def refuse():
        raise AssertionError("Dagster was opened")

    monkeypatch.setattr(target, "opened_instance", refuse)
    assert cli("target", "add", "sn1", "10", "20").code == 0
    assert "sn1" in cli("target", "list").out


def test_the_list_counts_runs_that_are_in_flight(cli, root, mast):
    cli("target", "add", "sn1", "10", "20")
    with dg.DagsterInstance.get() as instance:
        instance.create_run_for_job(
            dg.GraphDefinition(name="nothing").to_job(),
            status=dg.DagsterRunStatus.STARTED,
            tags={"dagster/partition": "sn1"},
        )
    (state,) = json.loads(cli("target", "list", "--json").out)
    assert state["in_flight"] == 1


def test_a_position_by_options_is_answered_with_how_it_is_written(cli, root):
    result = cli("target", "add", "sn1", "--ra", "10", "--dec=20")
    assert result.code == 2
    assert "RA and DEC are arguments of this command" in result.err
    assert not (root / "sn1").exists()

import os
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from hst_assets.cli import deployment
from hst_assets.cli.deployment import dagster_home
from hst_assets.failures import BadConfiguration

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def outside(monkeypatch, tmp_path):
    """As of an installed package, in an empty folder, with no variable set."""
    monkeypatch.setattr(deployment, "_OF_CHECKOUT", tmp_path / "no" / "checkout")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv("HST_ASSETS_ROOT", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_the_checkouts_own_instance_is_used_while_none_is_named(monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert dagster_home() == PROJECT / "data" / "deployment"
    assert (dagster_home() / "dagster.yaml").is_file()


def test_the_checkouts_configuration_is_that_of_the_package():
    in_checkout = PROJECT / "data" / "deployment" / "dagster.yaml"
    assert in_checkout.read_bytes() == files("hst_assets").joinpath("dagster.yaml").read_bytes()


def test_a_named_instance_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert dagster_home() == tmp_path


def test_a_folder_that_does_not_exist_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(BadConfiguration, match="no such folder"):
        dagster_home()


def test_outside_a_checkout_it_is_the_users_own_folder(outside, tmp_path):
    assert dagster_home() == tmp_path / "state" / "hst_assets"


def test_the_ready_instance_reports_nothing_home_and_greets_nobody():
    settings = yaml.safe_load((PROJECT / "data" / "deployment" / "dagster.yaml").read_text())
    assert settings["telemetry"] == {"enabled": False}
    assert settings["nux"] == {"enabled": False}


def test_an_instance_without_configuration_gets_the_ready_one(cli, tmp_path):
    """Otherwise Dagster would send usage statistics."""
    home = tmp_path / "home"
    assert not (home / "dagster.yaml").exists()
    assert cli("materialize", "sn9").code == 2
    (tmp_path / "root" / "sn1").mkdir()
    (tmp_path / "root" / "sn1" / "target.toml").touch()
    cli("materialize", "sn1", "--select", "raw_exposures")
    assert "enabled: false" in (home / "dagster.yaml").read_text()


def test_an_instance_that_cannot_be_opened_costs_no_copy(cli, small_campaign, root, tmp_path):
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: what")
    result = cli("ingest", small_campaign.exposure_folder, "--target", "sn1")
    assert result.code == 2
    assert "the Dagster instance cannot be opened" in result.err
    assert not list(root.rglob("*.fits"))


def test_up_serves_the_commands_instance_and_root_on_the_loopback_address(cli, root, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "execve", lambda *arguments: asked.append(arguments))
    assert cli("up").code == 0
    ((program, command, environment),) = asked
    assert program == sys.executable
    assert command[1:] == [
        *("-m", "dagster", "dev", "-m", "hst_assets.definitions"),
        *("-h", "127.0.0.1", "-p", "3000"),
    ]
    assert environment["HST_ASSETS_ROOT"] == str(root)
    assert environment["DAGSTER_HOME"] == str(root.parent / "home")


def test_dagsters_own_commands_find_the_instance_by_a_file(cli, tmp_path, monkeypatch):
    """Read as Dagster reads it: a default, which the environment overrides."""
    from dagster._core.secrets.env_file import get_env_var_dict

    (tmp_path / ".env").write_text("MINE=1")
    monkeypatch.chdir(tmp_path)
    assert cli("home", "--write-env").out.strip() == str(tmp_path / "home")
    text = (tmp_path / ".env").read_text()
    assert cli("home", "--write-env").code == 0
    assert (tmp_path / ".env").read_text() == text
    monkeypatch.delenv("DAGSTER_HOME")
    read = get_env_var_dict(str(tmp_path))
    assert read["MINE"] == "1"
    assert read["DAGSTER_HOME"] == str(tmp_path / "home")
    monkeypatch.setenv("DAGSTER_HOME", "/another")
    assert get_env_var_dict(str(tmp_path))["DAGSTER_HOME"] == "/another"


def test_a_file_that_names_another_instance_is_left_alone(cli, tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("DAGSTER_HOME=/another\n")
    monkeypatch.chdir(tmp_path)
    result = cli("home", "--write-env")
    assert result.code == 2
    assert "DAGSTER_HOME is /another there" in result.err
    assert (tmp_path / ".env").read_text() == "DAGSTER_HOME=/another\n"

from pathlib import Path

import pytest
import yaml

from hst_assets.cli.deployment import dagster_home
from hst_assets.failures import BadConfiguration

PROJECT = Path(__file__).parents[2]


def test_the_checkouts_own_instance_is_used_while_none_is_named(monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert dagster_home() == PROJECT / "data" / "deployment"
    assert (dagster_home() / "dagster.yaml").is_file()


def test_a_named_instance_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert dagster_home() == tmp_path


def test_a_folder_that_does_not_exist_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(BadConfiguration, match="no such folder"):
        dagster_home()


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

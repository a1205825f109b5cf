"""Run the command line in this process, in a root and a Dagster instance of the test's own."""

import functools
import sys
from dataclasses import dataclass

import pytest
import tomlkit
import typer.main

from hst_assets.cli import main
from hst_assets.simulate.plans import small_plan
from hst_assets_tests import dagster_assets, dagster_databases
from hst_assets_tests.stand_ins.holdings import Holdings
from hst_assets_tests.stand_ins.mast import Mast

dagster_assets.make_once()
dagster_databases.make_quickly()


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def commands_are_built_once():
    """Typer builds all commands anew for each call: 15 ms, as long as many a command takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "root"
    home = tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    monkeypatch.setenv("HST_ASSETS_ROOT", str(folder))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@pytest.fixture
def cli(root, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hst-assets", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        captured = capsys.readouterr()
        return Result(code or 0, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def small_campaign(simulated):
    """Two UVIS exposures of 512 x 512 pixels."""
    return simulated(small_plan("wfc3_uvis"))


@pytest.fixture
def mast(root, monkeypatch):
    """A stand-in of MAST with two visits about 150.1 +2.2, which the root's settings name."""
    monkeypatch.delenv("MAST_API_TOKEN", raising=False)
    holdings = Holdings()
    holdings.add_visit("iaaa01", "wfc3_uvis", 150.1, 2.2, mjd=59000.25, side_pix=64)
    holdings.add_visit("iaaa02", "wfc3_ir", 150.1, 2.2, mjd=59040.25, proposal="777", side_pix=64)
    with Mast(holdings) as service:
        service.names["SN 2031a"] = (150.1, 2.2)
        patience = {"timeout_s": 5.0, "first_wait_s": 0.01, "max_tries": 2}
        settings = {"archive": {**service.settings(), **patience}}
        (root / "settings.toml").write_text(tomlkit.dumps(settings))
        yield service

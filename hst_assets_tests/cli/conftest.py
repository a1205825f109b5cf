"""Run the command line in this process, in a root and a Dagster instance of the test's own."""

import sys
from dataclasses import dataclass

import pytest

from hst_assets.cli import main
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


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
def small_campaign(tmp_path_factory):
    """Two UVIS exposures of 512 x 512 pixels."""
    return simulate_campaign(small_plan("wfc3_uvis"), tmp_path_factory.mktemp("campaign"))

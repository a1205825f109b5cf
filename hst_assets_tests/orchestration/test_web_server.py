"""What the web UI is told by its server: assets, checks, sensors, schedules, pictures."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.build import build_defs
from hst_assets.orchestration.jobs import overall
from hst_assets.orchestration.run_target import run_target
from hst_assets_tests.orchestration.conftest import instant_campaign

PROJECT = Path(__file__).parents[2]

pytestmark = [pytest.mark.ui, pytest.mark.slow]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "dagster.yaml").write_bytes(
        (PROJECT / "data" / "deployment" / "dagster.yaml").read_bytes()
    )
    return folder


@pytest.fixture(scope="module")
def walked(home, tmp_path_factory):
    """A root with one target and a picture, which was walked on an instance of its own."""
    with pytest.MonkeyPatch.context() as patch:
        campaign = instant_campaign(tmp_path_factory.mktemp("root"), patch)
        campaign.add_exposure("sn1", "iaaa01")
        workdir = campaign.workdir("sn1")
        picture = workdir.workspace / "picture.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (64, 64), 128).save(picture)
        campaign.facts |= {"previews": ["workspace/picture.png"], "log": "logs/x.log"}
        patch.setenv("DAGSTER_HOME", str(home))
        defs = build_defs(root=str(campaign.root), table=campaign.table)
        with dg.DagsterInstance.get() as instance:
            list(run_target(defs, instance, workdir))
    return campaign


@pytest.fixture(scope="module")
def ask(walked, home):
    """A running server over that instance; asks it GraphQL. Nothing is changed by it."""
    port = _free_port()
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "dagster_webserver", "-w", "workspace.yaml"),
            *("-h", "127.0.0.1", "-p", str(port)),
        ],
        cwd=PROJECT,
        env={**os.environ, "DAGSTER_HOME": str(home), "HST_ASSETS_ROOT": str(walked.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, server)
        asking = partial(_post, port)
        asking.port = port
        yield asking
    finally:
        server.terminate()
        server.wait(timeout=30)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(port, server, within_s=120):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and server.poll() is None:
        try:
            _post(port, "{ version }")
        except OSError:
            time.sleep(0.3)
        else:
            return
    raise AssertionError("the web server did not come up")


def _post(port, query):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        answer = json.load(reply)
    assert "errors" not in answer, answer
    return answer["data"]


def test_the_server_shows_everything_that_is_defined(ask):
    nodes = ask(
        "{ assetNodes { assetKey { path } description groupName"
        " assetChecksOrError { ... on AssetChecks { checks { name blocking } } } } }"
    )["assetNodes"]
    shown = {node["assetKey"]["path"][-1]: node for node in nodes}
    assert set(shown) == {asset for level in ASSETS.levels for asset in level.assets}
    overall_checks = {key.name for level in ASSETS.levels for key in overall(level, ASSETS)}
    for row in ASSETS:
        listed = shown[row.name]["assetChecksOrError"].get("checks", [])
        own = {c["name"]: c["blocking"] for c in listed if c["name"] not in overall_checks}
        assert own == {check.name: check.blocking for check in row.checks}

    repository = ask(
        "{ repositoriesOrError { ... on RepositoryConnection { nodes"
        " { sensors { name } schedules { name } jobs { name } } } } }"
    )["repositoriesOrError"]["nodes"][0]
    # One a level, new_mast_data_sensor for the first; and alerts.
    assert len(repository["sensors"]) == len(ASSETS.levels) + 1
    assert len(repository["schedules"]) == len(ASSETS.levels) + 1  # the checks behind them
    assert {job["name"] for job in repository["jobs"]} >= {level.job for level in ASSETS.levels}

    event = ask(
        '{ assetOrError(assetKey: {path: ["epoch_drizzles"]}) { ... on Asset {'
        " assetMaterializations(limit: 1) { partition metadataEntries { label __typename"
        " ... on MarkdownMetadataEntry { mdStr } ... on PathMetadataEntry { path } } } } } }"
    )["assetOrError"]["assetMaterializations"][0]
    assert event["partition"] == "sn1/iaaa01"
    entries = {entry["label"]: entry for entry in event["metadataEntries"]}
    address = "/logs/products/sn1/workspace/picture/png"
    assert f"]({address})" in entries["preview"]["mdStr"]
    assert entries["log"]["path"].endswith("sn1/logs/x.log")
    assert entries["n_used"]["__typename"] == "IntMetadataEntry"

    states = ask(
        "{ instance { hasInfo } assetNodes { assetKey { path } "
        " partitionStats { numMaterialized numFailed } } }"
    )["assetNodes"]
    counts = {n["assetKey"]["path"][-1]: n["partitionStats"]["numMaterialized"] for n in states}
    assert counts["epoch_drizzles"] == 1
    assert counts["drizzled_stacks"] == 1
    assert counts["epoch_differences"] == 1


def test_the_server_sends_pictures_and_nothing_else_of_a_work_directory(ask, walked):
    def status(path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ask.port}{path}", timeout=60) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, b""

    picture = walked.workdir("sn1").workspace / "picture.png"
    assert status("/logs/products/sn1/workspace/picture/png") == (200, picture.read_bytes())
    for path in ("sn1/target/toml", "sn1/workspace/gone/png", "sn2/workspace/picture/png"):
        assert status(f"/logs/products/{path}")[0] == 404


def _levels_from_raw():
    """Those that run where the settings want nothing more."""
    return [level for level in ASSETS.levels_from_raw if not level.wanted]


def test_runs_of_the_command_line_are_the_code_locations_own(ask):
    """By what the UI's timeline and job pages ask for."""
    (repository,) = ask(
        "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name }"
        " pipelines { name runs(limit: 5) { id status } } } } } }"
    )["repositoriesOrError"]["nodes"]
    jobs = {job["name"]: [run["status"] for run in job["runs"]] for job in repository["pipelines"]}
    assert {level.job: jobs[level.job] for level in _levels_from_raw()} == {
        level.job: ["SUCCESS"] for level in _levels_from_raw()
    }
    runs = ask(
        "{ runsOrError { ... on Runs { results { pipelineName repositoryOrigin {"
        " repositoryName repositoryLocationName } } } } }"
    )["runsOrError"]["results"]
    origins = [run["repositoryOrigin"] for run in runs]
    assert origins == [
        {
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
        }
    ] * len(_levels_from_raw())

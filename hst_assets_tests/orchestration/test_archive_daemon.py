"""The whole deployment, with no hand: from a release at the archive to drizzled epochs.

`dagster dev` runs in processes of its own on an instance of its own, and so does the stand-in of
MAST. The test only adds the target, switches the sensors on, lets exposures be released, and looks.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomlkit
from astropy.io import fits
from astropy.table import Table

from hst_assets.orchestration.archive_sensor import ARCHIVE_SENSOR
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.sensors import SENSOR_INTERVAL_VARIABLE
from hst_assets.provenance import read_record
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.orchestration.quick_daemon import QUICK_DAEMON
from hst_assets_tests.orchestration.web_ui import WebUi
from hst_assets_tests.stand_ins.holdings import now_mjd

PROJECT = Path(__file__).parents[2]
TARGET = "followed"
VISITS = ("isim01", "isim02", "isim03")
PLAN = small_plan("wfc3_ir", visit=VISITS[0])
#: Between two looks of a sensor; half a minute and a minute by default, mostly waited for.
INTERVAL_S = 1
#: Four levels, each behind a sensor and a run, on a machine that does other things too.
DEADLINE_S = 600
#: What the settings of the target want. That the sensors of other levels ask for nothing is tested
#: in `test_new_rows`; here their looks would take a core from the runs.
LEVELS = [level for level in ASSETS.levels_from_raw if not level.wanted]
SENSORS = [ARCHIVE_SENSOR, *(f"{level.job}_sensor" for level in LEVELS)]

pytestmark = [pytest.mark.ui, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Three visits of one field, two exposures each, 40 days apart."""
    (first,) = PLAN.visits
    later = [
        replace(first, visit=visit, mjd=first.mjd + 40 * number, pointing_error_arcsec=error)
        for number, (visit, error) in enumerate(
            [(VISITS[1], (-0.15, 0.1)), (VISITS[2], (0.05, 0.2))], start=1
        )
    ]
    folder = tmp_path_factory.mktemp("campaign")
    return simulate_campaign(replace(PLAN, visits=(first, *later)), folder, max_cores=2)


@pytest.fixture
def archive(tmp_path, truth):
    """The folder of a stand-in with all exposures in it, which is served; none of them is told."""
    folder = tmp_path / "mast"
    folder.mkdir()
    for path in truth.exposure_files:
        (folder / path.name).symlink_to(path)
    _release(folder, {})
    command = [sys.executable, "-m", "hst_assets_tests.stand_ins.mast", "--folder", str(folder)]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL)
    try:
        _wait(lambda: (folder / "stand_in_address.json").is_file(), 60, "the stand-in")
        yield folder
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def environment(tmp_path, archive):
    """A fresh instance as deployed, but for a pause; a root whose settings name the stand-in."""
    home, root = tmp_path / "home", tmp_path / "root"
    home.mkdir()
    root.mkdir()
    deployed = PROJECT / "data" / "deployment" / "dagster.yaml"
    (home / "dagster.yaml").write_text(deployed.read_text() + QUICK_DAEMON)
    address = json.loads((archive / "stand_in_address.json").read_text())
    wanted = {key: address[key] for key in ("mast_url", "sesame_url", "s3_url")}
    # Each tick of the sensor asks: by default a listing serves for a quarter of an hour.
    settings = {"archive": {**wanted, "listing_max_age_s": 0}}
    (root / "settings.toml").write_text(tomlkit.dumps(settings))
    return {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "HST_ASSETS_ROOT": str(root),
        SENSOR_INTERVAL_VARIABLE: str(INTERVAL_S),
    }


class Deployment(WebUi):
    """A running ``dagster dev`` and what its server answers."""

    def ticks(self, sensor):
        """Ticks that have ended, latest first."""
        ticks = self.ask(
            "query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector)"
            " { ... on Sensor { sensorState { ticks(limit: 5)"
            " { status timestamp endTimestamp error { message } } } } } }",
            selector=self.selector(sensorName=sensor),
        )["sensorOrError"]["sensorState"]["ticks"]
        assert not [tick for tick in ticks if tick["error"]], ticks
        return [tick for tick in ticks if tick["endTimestamp"]]

    def runs(self):
        return self.ask(
            "{ runsOrError { ... on Runs { results"
            " { jobName status creationTime endTime tags { key value } } } } }"
        )["runsOrError"]["results"]

    def runs_of_partitions(self):
        """How many runs there were, by job and partition."""
        runs = self.runs()
        tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in runs]
        pairs = zip(runs, tags, strict=True)
        return Counter((run["jobName"], tag["dagster/partition"]) for run, tag in pairs)

    def is_settled(self):
        """Whether no run is left, and every sensor has looked twice since, and found nothing new.

        Twice, because what joins branches is run when its inputs stay from one look to the next. No
        run may have failed. All is judged from one answer about runs, and holds if the answer is
        the same after the look at the sensors: any of them may ask for a run between two questions.
        """
        runs = self.runs()
        ended = [run for run in runs if run["endTime"]]
        assert {run["status"] for run in ended} <= {"SUCCESS"}, runs
        if not ended or len(ended) < len(runs):
            return False
        last = max(run["endTime"] for run in runs)
        return all(self._has_idled(sensor, last) for sensor in SENSORS) and self.runs() == runs

    def _has_idled(self, sensor, since):
        ticks = self.ticks(sensor)[:2]
        return len(ticks) == 2 and all(
            tick["timestamp"] > since and tick["status"] == "SKIPPED" for tick in ticks
        )


@pytest.fixture
def deployment(environment, tmp_path):
    """``dagster dev``; its whole family is killed at the end."""
    port = _free_port()
    with (tmp_path / "dagster.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml"),
                *("-h", "127.0.0.1", "-p", str(port)),
            ],
            cwd=PROJECT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deployment = Deployment(port)
    try:
        _wait(deployment.is_up, 180, "dagster dev")
        yield deployment
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        left = _family(environment["DAGSTER_HOME"])
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        print((tmp_path / "dagster.log").read_text(errors="replace")[-8000:])
    assert not left, "processes outlived dagster dev"


def test_released_exposures_become_drizzled_epochs_with_no_hand(
    archive, environment, deployment, truth
):
    workdir = WorkDir(Path(environment["HST_ASSETS_ROOT"]), TARGET)
    begun = time.monotonic()
    _add_target(environment)
    for sensor in SENSORS:
        deployment.start_sensor(sensor)

    _wait(lambda: len(deployment.ticks(ARCHIVE_SENSOR)) > 0, 120, "the sensor on new data")
    assert deployment.ticks(ARCHIVE_SENSOR)[0]["status"] == "SKIPPED"
    assert deployment.runs() == []
    begun = _say("a sensor looked, and nothing was there", begun)

    released = dict.fromkeys(VISITS[:2], now_mjd())
    _release(archive, released)
    _wait(lambda: _stands(workdir, deployment, VISITS[:2]), DEADLINE_S, "products of two visits")
    begun = _say("two visits released, their products stand, nothing more is to be done", begun)
    assert deployment.runs_of_partitions() == _once_each(VISITS[:2])
    _assert_science(workdir, VISITS[:2], truth)
    before = {path: path.stat().st_mtime_ns for path in _epochs(workdir, VISITS[:2])}

    _release(archive, {**released, VISITS[2]: now_mjd()})
    _wait(lambda: _stands(workdir, deployment, VISITS), DEADLINE_S, "products of the third visit")
    _say("a third visit released, its products stand, nothing more is to be done", begun)
    target_runs = Counter({(level.job, TARGET): 1 for level in LEVELS if not level.by_visit})
    assert deployment.runs_of_partitions() == _once_each(VISITS) + target_runs
    _assert_science(workdir, VISITS, truth)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def _release(folder, moments):
    """Let the stand-in tell of the visits in `moments` (MJD by visit), and of no others."""
    hidden = [visit for visit in VISITS if visit not in moments]
    part = folder / "stand_in.json.part"
    part.write_text(json.dumps({"hidden": hidden, "released": moments}))
    part.replace(folder / "stand_in.json")


def _add_target(environment):
    position = [str(PLAN.ra_deg), str(PLAN.dec_deg)]
    command = Path(sys.executable).parent / "hst-assets"
    subprocess.run(
        [command, "target", "add", TARGET, *position],
        env=environment,
        check=True,
        capture_output=True,
        timeout=120,
    )


def _partitions(level, visits):
    return [f"{TARGET}/{visit}" for visit in visits] if level.by_visit else [TARGET]


def _once_each(visits):
    return Counter(
        (level.job, partition) for level in LEVELS for partition in _partitions(level, visits)
    )


def _stands(workdir, deployment, visits):
    """Whether the last level was made of all visits, and no sensor has anything to ask for."""
    record = read_record(ASSETS.product_path(workdir.root, "drizzled_stacks", TARGET))
    if not deployment.is_settled() or record is None:
        return False
    stacks = Table.read(workdir.stack_products)
    return max(stacks["n_exposures"]) == 2 * len(visits)


def _epochs(workdir, visits):
    indexes = [Table.read(workdir.visit_products(visit)) for visit in visits]
    assert all((index["status"] != "FAIL").all() for index in indexes), indexes
    return [workdir.base / name for index in indexes for name in index["file"]]


def _assert_science(workdir, visits, truth):
    paths = _epochs(workdir, visits)
    assert len(paths) == len(visits)
    for path in paths:
        with fits.open(path) as hdus:
            assert hdus[0].header["NINPUT"] == 2
            science, weight = hdus["SCI"].data, hdus["WHT"].data
        seen = weight > 0
        assert seen.mean() > 0.5
        assert np.isfinite(science[seen]).all()
        # A field of stars: its brightest pixels stand far above the noise of the others.
        assert np.percentile(science[seen], 99.9) > 20 * np.std(
            science[seen], where=_faint(science[seen])
        )
    stacks = Table.read(workdir.stack_products)
    deepest = stacks["file"][np.argmax(stacks["n_exposures"])]
    assert fits.getval(workdir.base / deepest, "NINPUT") == 2 * len(visits)
    fetched = {path.name for path in workdir.raw.glob("*.fits")}
    assert fetched == {path.name for path in truth.exposure_files if path.name[:6] in visits}


def _faint(science):
    return science < np.percentile(science, 80)


def _say(what, since):
    """Print how long it took; the time from which the next is counted."""
    now = time.monotonic()
    print(f"{now - since:5.0f} s: {what}")
    return now


def _wait(happened, within_s, what):
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        time.sleep(0.5)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _family(home):
    """Processes whose DAGSTER_HOME this is, wherever they hang."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"DAGSTER_HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found

"""The wheel alone, outside a checkout, with no variable set: what a user has after pip install."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from hst_assets.nursery import die_with_parent
from hst_assets_tests.orchestration.servers import free_port, wait_for
from hst_assets_tests.orchestration.web_ui import WebUi

PROJECT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, a home and an empty folder to work in."""

    bin: Path
    home: Path
    folder: Path

    @property
    def state(self):
        return self.home / ".local" / "state" / "hst_assets"

    def variables(self):
        """Nothing else of the environment of the tests, as from `env -i`."""
        return {"HOME": str(self.home), "PATH": f"{self.bin}:{os.defpath}"}

    def run(self, *command, **variables):
        return subprocess.run(
            [str(self.bin / command[0]), *map(str, command[1:])],
            cwd=self.folder,
            env={**self.variables(), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The wheel, built and installed as anyone would, but for its dependencies: those of here."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(PROJECT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "hst_assets", source / "hst_assets", ignore=ignored)
    uv(
        *("build", "--wheel", "--no-build-isolation", "--python", sys.executable),
        *("--out-dir", folder, source),
    )
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    uv("pip", "install", "--no-deps", "--python", python, wheel)
    # A path added so is searched last, and what is installed there as editable is not seen.
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def uv(*arguments):
    subprocess.run(
        [UV, *map(str, arguments), "--offline", "--quiet"], check=True, capture_output=True
    )


@pytest.fixture
def installed(environment, tmp_path):
    for name in ("home", "empty"):
        (tmp_path / name).mkdir()
    return Installed(environment, tmp_path / "home", tmp_path / "empty")


def test_it_is_the_wheel_that_runs(installed):
    result = installed.run("python", "-c", "import hst_assets; print(hst_assets.__file__)")
    assert str(installed.bin.parent) in result.stdout


def test_from_exposures_to_tables_to_a_code_location(installed, small_campaign):
    ingested = installed.run(
        "hst-assets", "ingest", small_campaign.exposure_folder, "--target", "sn1"
    )
    assert ingested.returncode == 0, ingested.stderr
    assert f"new Dagster instance {installed.state}" in ingested.stderr.replace("\n", " ")
    assert (installed.folder / "data" / "sn1" / "raw").is_dir()
    assert "enabled: false" in (installed.state / "dagster.yaml").read_text()

    made = installed.run(
        *("hst-assets", "materialize", "sn1"),
        *("--select", "raw_exposures,exposure_table,target_exposures"),
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("  made: ") == 2
    assert "new Dagster instance" not in made.stderr  # it is told once

    status = installed.run("hst-assets", "status", "sn1", COLUMNS="200")
    assert status.stdout.count(" up to date ") == 3

    home = installed.run("hst-assets", "home")
    assert home.stdout.strip() == str(installed.state)

    loaded = installed.run(
        *("python", "-m", "dagster", "definitions", "validate", "-m", "hst_assets.definitions")
    )
    assert loaded.returncode == 0, loaded.stderr
    assert "DAGSTER_HOME" in loaded.stderr + loaded.stdout  # from the file .env of the folder
    with served(installed) as web_ui:
        wait_for(web_ui.is_up, "dagster dev", within_s=180, pause_s=0.5)
        assert web_ui.selector()["repositoryLocationName"] == "hst_assets.definitions"
        nodes = web_ui.ask(
            "{ assetNodes { assetKey { path } partitionStats { numMaterialized } } }"
        )
    made = {tuple(node["assetKey"]["path"]): node["partitionStats"] for node in nodes["assetNodes"]}
    assert made["exposure_table",] == {"numMaterialized": 1}
    # There Dagster keeps what it reports of instances that do not forbid it.
    assert not (installed.home / ".dagster").exists()


@contextmanager
def served(installed):
    """``dagster dev``, which ends with all its processes, also where the tests are killed."""
    port, tests = free_port(), os.getpid()
    command = ("-m", "dagster", "dev", "-m", "hst_assets.definitions", "-p", str(port))
    said = installed.home / "dagster.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            [installed.bin / "python", *command],
            cwd=installed.folder,
            env=installed.variables(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, tests, signal.SIGINT),
        )
    try:
        yield WebUi(port)
    finally:
        # Told to end, Dagster ends the servers of code, which have sessions of their own.
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(150)  # it waits for a minute for each of its own processes
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(said.read_text(errors="replace")[-4000:])


@pytest.mark.parametrize("variable", ["HST_ASSETS_ROOT", "XDG_STATE_HOME"])
def test_what_cannot_be_written_is_told_before_anything_is_copied(
    installed, small_campaign, variable
):
    result = installed.run(
        *("hst-assets", "ingest", small_campaign.exposure_folder, "--target", "sn1"),
        **{variable: "/dev/null/nowhere"},
    )
    assert result.returncode == 2
    assert "error: /dev/null" in result.stderr
    assert not list(installed.folder.rglob("*.fits"))

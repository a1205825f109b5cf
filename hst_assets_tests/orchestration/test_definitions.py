import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.build import build_defs
from hst_assets.orchestration.executors import EXECUTOR_VARIABLE, executor_from_environment
from hst_assets.orchestration.fetch_visit import TRY_AGAIN

PROJECT = Path(__file__).parents[2]
HEAVY = (
    "s3fs",
    "botocore",
    "aiobotocore",
    "drizzlepac",
    "astroquery",
    "photutils",
    "jhat",
    "matplotlib",
    "astropy",
    "stwcs",
)
#: What only an instance for several machines needs.
MANY_MACHINES = ("celery", "dagster_celery", "dagster_postgres", "psycopg2", "redis")


def run(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env={**os.environ, **environment},
    )


def test_loading_the_definitions_loads_no_heavy_package_and_opens_no_socket():
    result = run(
        "import sys\n"
        "sys.addaudithook(lambda event, args: (_ for _ in ()).throw(RuntimeError(event))"
        " if event in ('socket.connect', 'socket.getaddrinfo', 'socket.bind') else None)\n"
        "import hst_assets.definitions\n"
        f"print([name for name in {HEAVY + MANY_MACHINES!r} if name in sys.modules])"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_the_socket_guard_of_this_test_can_fail():
    result = run(
        "import sys\n"
        "sys.addaudithook(lambda event, args: (_ for _ in ()).throw(RuntimeError(event))"
        " if event in ('socket.connect', 'socket.getaddrinfo') else None)\n"
        "import socket; socket.create_connection(('127.0.0.1', 9))"
    )
    assert "RuntimeError: socket." in result.stderr


def test_loading_the_definitions_raises_no_warning():
    result = run("import warnings; warnings.simplefilter('error'); import hst_assets.definitions")
    assert result.returncode == 0, result.stderr


def test_every_asset_belongs_to_one_level_and_every_level_is_a_job():
    defs = build_defs()
    in_levels = [asset for level in ASSETS.levels for asset in level.assets]
    defined = {key.path[-1] for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert sorted(in_levels) == sorted(defined)
    for level in ASSETS.levels:
        assert defs.resolve_job_def(level.job).name == level.job


def test_assets_of_a_level_share_its_partitions():
    graph = build_defs().resolve_asset_graph()
    for level in ASSETS.levels:
        for asset in level.assets:
            definition = graph.get(dg.AssetKey(asset)).partitions_def
            assert definition.name == ("hst_visit" if level.by_visit else "hst_target")


def test_no_costly_asset_hangs_on_a_gather_mapping():
    """Dagster gives up on staleness silently where an edge has 100 upstream partitions or more."""
    graph = build_defs().resolve_asset_graph()
    crossing = {
        key.path[-1]
        for key in graph.get_all_asset_keys()
        for parent in graph.get(key).parent_keys
        if graph.get(parent).partitions_def != graph.get(key).partitions_def
    }
    assert crossing == {
        *("target_exposures", "visit_reference", "target_alignment"),
        "hap_target_exposures",
        "published_products",
        "raw_exposures",  # by a line that hands nothing on
    }


def test_the_listing_is_shown_before_the_exposures_and_makes_no_visit_stale():
    graph = build_defs().resolve_asset_graph()
    raw = graph.get(dg.AssetKey("raw_exposures"))
    listing = dg.AssetKey("archive_exposures")
    assert listing in raw.parent_keys
    mapping = graph.get_partition_mapping(raw.key, listing)
    assert list(mapping.partition_keys) == []


def test_jobs_are_described_by_what_people_do():
    defs = build_defs()
    for level in ASSETS.levels:
        assert defs.resolve_job_def(level.job).description.startswith(f"{level.purpose}: ")
        assert level.purpose
    assert defs.resolve_job_def("process_new_visit").description.startswith("Process a new visit")
    assert defs.resolve_job_def("process_target").description.startswith("Process a target")


def test_the_graph_runs_from_raw_exposures_to_differences():
    graph = build_defs().resolve_asset_graph()
    last = graph.get(dg.AssetKey("epoch_differences"))
    ancestors, todo = set(), [last]
    while todo:
        for parent in todo.pop().parent_keys:
            if parent not in ancestors:
                ancestors.add(parent)
                todo.append(graph.get(parent))
    names = {key.path[-1] for key in ancestors}
    assert {"raw_exposures", "visit_reference", "drizzled_stacks"} <= names
    # What the archive lists reaches raw/ as files, whose digests are the data versions.
    assert names - {"archive_exposures"} == {
        row.name for row in ASSETS if "epoch_differences" in ASSETS.downstream(row.name)
    }


def test_each_level_has_a_sensor_and_a_nightly_sweep():
    repository = build_defs().get_repository_def()
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert not sensors.pop("run_failure_alerts").targets  # it tells, and runs nothing
    sensed = {name: sensor.job_name for name, sensor in sensors.items()}
    assert sensed.pop("new_mast_data_sensor") == "visit_exposures"
    assert set(sensed.values()) == {level.job for level in ASSETS.levels_from_raw}
    swept = {schedule.name: schedule.job_name for schedule in repository.schedule_defs}
    assert swept == {
        f"nightly_{job}": job for job in (*(x.job for x in ASSETS.levels), "left_failed")
    }


def test_the_night_sweeps_upstream_levels_first():
    repository = build_defs().get_repository_def()

    def minutes(job):
        minute, hour, *rest = repository.get_schedule_def(f"nightly_{job}").cron_schedule.split()
        assert rest == ["*", "*", "*"]
        return 60 * int(hour) + int(minute)

    for level in ASSETS.levels_from_raw:
        upstream = [ASSETS.archive_level.job, *level.after]
        assert all(minutes(job) < minutes(level.job) for job in upstream)
        assert minutes(level.job) < minutes("left_failed")


def test_a_run_of_one_partition_does_not_judge_all_partitions():
    defs = build_defs()
    for level in ASSETS.levels:
        assert {node.name for node in defs.resolve_job_def(level.job).graph.nodes} == set(
            level.assets
        )
    assert [node.name for node in defs.resolve_job_def("left_failed").graph.nodes] == [
        "left_failed_checks"
    ]


def test_what_talks_to_the_archive_shares_a_pool():
    graph = build_defs().resolve_asset_graph()
    for asset in ("archive_exposures", "raw_exposures"):
        definition = graph.get(dg.AssetKey(asset)).assets_def
        assert definition.op.pool == "mast"
        # By a policy of its own Dagster would also try again what a user cancels.
        assert definition.op.retry_policy is None
    assert TRY_AGAIN.backoff == dg.Backoff.EXPONENTIAL
    assert TRY_AGAIN.jitter is not None


def test_every_asset_says_what_it_is():
    graph = build_defs().resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert graph.get(key).description, key


@pytest.mark.parametrize("name", ["in_process", "multiprocess"])
def test_the_executor_is_a_setting(monkeypatch, name):
    monkeypatch.setenv(EXECUTOR_VARIABLE, name)
    executor = executor_from_environment()
    assert executor.name == name


def test_an_unknown_executor_is_refused(monkeypatch):
    monkeypatch.setenv(EXECUTOR_VARIABLE, "dask")
    with pytest.raises(BadConfiguration, match="no executor 'dask'"):
        executor_from_environment()


def test_celery_is_no_executor_and_says_where_it_is_chosen(monkeypatch):
    monkeypatch.setenv(EXECUTOR_VARIABLE, "celery")
    with pytest.raises(BadConfiguration, match="runs, not steps") as failure:
        executor_from_environment()
    assert "pip install 'hst_assets[celery]'" in failure.value.next_step


def _intervals(defs):
    sensors = defs.get_repository_def().sensor_defs
    return {sensor.name: sensor.minimum_interval_seconds for sensor in sensors}


def test_the_interval_of_the_sensors_is_a_setting(monkeypatch):
    plain = _intervals(build_defs())
    assert set(plain.values()) == {30, 60}
    assert set(_intervals(build_defs(sensor_interval_s=7)).values()) == {7}
    monkeypatch.setenv("HST_ASSETS_SENSOR_INTERVAL_S", "5")
    assert _intervals(build_defs()) == dict.fromkeys(plain, 5)


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "soon"])
def test_an_interval_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("HST_ASSETS_SENSOR_INTERVAL_S", text)
    with pytest.raises(BadConfiguration, match="HST_ASSETS_SENSOR_INTERVAL_S"):
        build_defs()


@pytest.mark.slow
def test_a_multiprocess_run_works(campaign, tmp_path, monkeypatch):
    """Real step processes: the stand-in science does not reach them, so only raw files are read."""
    campaign.add_exposure("sn1", "iaaa01")
    monkeypatch.setenv(EXECUTOR_VARIABLE, "multiprocess")
    home = tmp_path / "home"
    home.mkdir()
    result = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "asset", "materialize"),
            *("-m", "hst_assets.definitions", "--select", "raw_exposures"),
            *("--partition", "sn1/iaaa01"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "DAGSTER_HOME": str(home),
            "HST_ASSETS_ROOT": str(campaign.root),
            "PYTHONPATH": _registering(home),
        },
    )
    assert "not in" not in result.stderr
    assert result.returncode == 0, result.stderr[-3000:]
    assert campaign.workdir("sn1").raw_manifest("iaaa01").is_file()


def _registering(home):
    """Register the partition in the instance that the command will use."""
    program = (
        "import dagster as dg\n"
        "from hst_assets.orchestration.partition_keys import register\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    register(instance, 'sn1', ['iaaa01'])\n"
    )
    result = run(program, DAGSTER_HOME=str(home))
    assert result.returncode == 0, result.stderr
    return os.environ.get("PYTHONPATH", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        [str(Path(sys.executable).parent / "dg"), "check", "defs"],
    ],
    ids=["dagster definitions validate", "dg check defs"],
)
def test_the_workspace_is_valid(command, tmp_path):
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]


def test_an_instance_that_dagster_dev_throws_away_is_told():
    """Nothing that the definitions do can make it another."""
    program = "import hst_assets.definitions"
    temporary = run(program, DAGSTER_IS_DEV_CLI="1", DAGSTER_HOME="")
    assert "Use 'hst-assets up'" in temporary.stderr
    assert "hst-assets up" not in run(program, DAGSTER_IS_DEV_CLI="1", DAGSTER_HOME="/x").stderr

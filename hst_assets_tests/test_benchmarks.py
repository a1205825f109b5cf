"""Benchmarks, which nothing runs daily: what they take from each other is there; the simulation."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

import hst_assets
from hst_assets.orchestration.asset_table import ASSETS

FOLDER = Path(__file__).parents[1] / "benchmarks"
BENCHMARKS = sorted(FOLDER.glob("*.py"))
NAMES = {path.stem for path in BENCHMARKS}


def _defined(path):
    """The names that a module has at its top."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            found |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def _taken(path):
    """What a benchmark imports from others: module and name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[-1] in NAMES:
            module = (node.module or "").removeprefix("benchmarks.")
            if module in NAMES:
                yield from ((module, alias.name) for alias in node.names)


def test_some_benchmarks_take_something_from_others():
    assert any(list(_taken(path)) for path in BENCHMARKS)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_takes_from_another_is_there(path):
    lacking = [
        f"{module}.{name}"
        for module, name in _taken(path)
        if name not in _defined(FOLDER / f"{module}.py")
    ]
    assert lacking == []


# ------------------------------------------------------------------- the simulated campaign


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location(
        "simulate_campaign", FOLDER / "simulate_campaign.py"
    )
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


def _costless(simulation, **costs):
    """A machine on which only what is named takes time."""
    free = {"event_s": 0, "tick_s": 0, "tick_visit_s": 0, "request_s": 0, "launch_s": 0}
    return simulation.Machine(**(free | {"page_run_s": 0, "dequeue_s": 1, "slots": 2} | costs))


def _campaign(simulation, machine, n_workers, *, science_s=0.0, events=0.0):
    level = simulation.Level("visit_exposures", True, science_s, 0.0, events, 0.0)
    return simulation.Campaign((level,), machine, n_workers, 100, 1000)


def test_one_worker_without_overhead_needs_the_time_of_the_science_alone(simulation):
    campaign = _campaign(simulation, _costless(simulation), 1, science_s=60.0)
    found = campaign.window(50, 200)
    assert found.visits_an_hour == pytest.approx(60, rel=1e-9)  # nothing else takes time
    assert found.shares["workers"] == pytest.approx(1, rel=1e-9)


def test_a_database_caps_the_rate_at_the_inverse_of_its_service_time(simulation):
    machine = _costless(simulation, event_s=1.0, database_cores=1)
    found = _campaign(simulation, machine, 50, science_s=1.0, events=10).window(100, 400)
    # Ten events of a second: 360 visits an hour. Five come at a time: half a visit at the ends.
    assert found.visits_an_hour == pytest.approx(360, rel=2 / 400)


def test_how_a_campaign_begins_and_ends_is_not_counted(simulation):
    slow_start = _costless(simulation, sensor_s=3600.0)
    campaign = _campaign(simulation, slow_start, 100, science_s=3600.0)
    assert campaign.run() > 10 * 3600  # 1000 visits, and how they begin
    found = _campaign(simulation, slow_start, 100, science_s=3600.0).window(200, 600)
    assert found.visits_an_hour == pytest.approx(100, rel=1e-9)
    assert found.unsteady < simulation.STEADY


def test_the_sensors_of_all_levels_tick(simulation):
    campaign = _campaign(simulation, _costless(simulation, tick_s=10.0), 1000, science_s=0.001)
    found = campaign.window(200, 600)
    n_sensors = len(ASSETS.levels_from_raw)
    # 200 runs are asked for in each round, and a round takes ten seconds of each sensor.
    assert found.visits_an_hour == pytest.approx(200 * 3600 / (10 * n_sensors), rel=0.01)
    assert found.shares["sensors' ticks"] == pytest.approx(1, rel=0.01)


def test_the_shipped_settings_of_the_queue_are_simulated(simulation):
    figures = {"launch_s": {"one by one": 0.16, "by 8 threads": 0.03}}
    shipped = simulation._set_ups(figures)["dagster.celery.yaml, two runs a worker"]
    text = (Path(hst_assets.__file__).parent / "dagster.celery.yaml").read_text()
    assert f"dequeue_interval_seconds: {shipped['dequeue_s']:g}\n" in text
    assert f"num_submit_workers: {shipped['submitters']}\n" in text
    assert shipped["launch_s"] == 0.03


def test_threads_are_not_taken_to_launch_quicker_than_each_of_them_does_alone(simulation):
    one_burst = {"launch_s": {"one by one": 0.16, "by 8 threads": 0.011}}
    shipped = simulation._set_ups(one_burst)["dagster.celery.yaml, two runs a worker"]
    assert shipped["launch_s"] == pytest.approx(0.16 / 8)

"""Benchmarks, which nothing runs daily: what they take from each other is there; the simulation."""

import ast
import importlib.util
import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

import hst_assets
from hst_assets.cli.deployment import dagster_home
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.workdir import default_root
from hst_assets_tests.star_fields import make_field
from hst_assets_tests.star_scenes import Scene, shots

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


# ------------------------------------------------------------------- products that are compared


@pytest.fixture(scope="module")
def same_products():
    with _loaded("same_products") as module:
        yield module


def _write_products(
    base,
    *,
    pixel=1.0,
    hole=np.nan,
    row="1",
    unit="arcsec",
    in_file=2.0,
    text="a star",
    day="2026-12-01",
):
    """Products of a target of each kind, made on a day."""
    base.mkdir(parents=True)
    header = fits.Header({"DATE": f"{day}T01:02:03"})
    fits.PrimaryHDU(np.array([pixel, hole]), header).writeto(base / "stack.fits")
    (base / "table.ecsv").write_text(f"# - {{name: x, unit: {unit}}}\n# made: {day}\nx\n{row}\n")
    with h5py.File(base / "stars.h5", "w") as file:
        file["x"] = np.array([in_file])
        file.attrs["made"] = day
    (base / "dp0000").write_text(f"{text}, made {day} 03:04:05 in {base}, 2015-07-07\n")
    (base / ".part.dp0000").write_text("half")
    (base / "stack.fits.provenance.json").write_text(day)


def _compared(module, tmp_path, **other):
    _write_products(tmp_path / "one" / "sn1")
    _write_products(tmp_path / "other" / "sn1", **other)
    found = [module.everything_of(tmp_path / name, "sn1") for name in ("one", "other")]
    assert set(found[0]) == {"stack.fits", "table.ecsv", "stars.h5", "dp0000"}
    return module.compared(*found)


def test_products_made_on_another_day_in_another_folder_are_the_same(same_products, tmp_path):
    assert _compared(same_products, tmp_path, day="2031-01-02") == []


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"pixel": np.nextafter(1.0, 2.0)}, "stack.fits differs: "),
        ({"row": "1.0"}, "table.ecsv has other rows"),
        ({"unit": "deg"}, "table.ecsv has other rows or columns"),
        ({"hole": np.inf}, "stack.fits differs: what is not a number"),
        ({"in_file": np.nextafter(2.0, 3.0)}, "stars.h5 has another x"),
        ({"text": "a galaxy"}, "dp0000 differs: b'a star"),
    ],
    ids=["pixel", "row", "unit", "hole", "data set", "text"],
)
def test_the_least_difference_of_a_product_is_told(same_products, tmp_path, other, told):
    (difference,) = _compared(same_products, tmp_path, **other)
    assert difference.startswith(told)


def test_a_date_of_an_exposure_is_compared(same_products, tmp_path):
    for name, day in (("one", "2015-07-07"), ("other", "2015-07-08")):
        (tmp_path / name).write_text(day)
    one, other = ({"seen": tmp_path / name} for name in ("one", "other"))
    assert len(same_products.compared(one, other)) == 1


# --------------------------------------------------------------------- runs that are disturbed


@pytest.fixture(scope="module")
def disturbed_runs():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        with _loaded("disturbed_runs") as module:
            yield module


def test_trials_in_which_nothing_happened_are_no_success(disturbed_runs, capsys):
    verdict = disturbed_runs.Verdict
    idle = verdict("no child", "exit 0", disturbed=False)
    assert disturbed_runs.counted([]) == 2
    assert disturbed_runs.counted([idle]) == 2
    assert disturbed_runs.counted([verdict("killed", "exit 137"), idle]) == 0
    assert disturbed_runs.counted([verdict("killed", "exit 137", lost=["an image"]), idle]) == 1
    assert "1 trials: 1 lost, 0 silent, 0 with a traceback; 1 more" in capsys.readouterr().out


def test_a_disturbed_command_has_a_root_and_an_instance_of_its_own(
    disturbed_runs, tmp_path, monkeypatch
):
    given = disturbed_runs.environment(tmp_path / "root")
    for name in {*os.environ, *given}:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert default_root() == tmp_path / "root"
    assert dagster_home().is_relative_to(tmp_path / "root")
    assert (dagster_home() / "dagster.yaml").is_file()


# ----------------------------------------------------------------- faults of a campaign on workers


@pytest.fixture(scope="module")
def many_workers():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        with _loaded("many_workers") as module:
            yield module


def _run(job, status, host=""):
    tags = {"hst_assets/host": f"{host} 1234"} if host else {}
    return {"jobName": job, "status": status, "tags": tags}


AT_WORK = [_run("visit_images", "STARTED", "one"), _run("visit_frame", "STARTED", "two")]


def _come(module, moment, runs, *, runs_between=0):
    return module._Disturbance([moment], runs_between)._come(runs)


def test_a_fault_hits_the_worker_that_is_at_work_on_its_job(many_workers):
    moment = many_workers.Moment(many_workers.KILLED, "visit_images")
    assert _come(many_workers, moment, AT_WORK[::-1]) == (moment, "one")


def test_a_fault_waits_until_both_workers_are_at_work(many_workers):
    moment = many_workers.Moment(many_workers.KILLED, "visit_images")
    assert _come(many_workers, moment, AT_WORK[:1]) is None


def test_a_fault_of_a_targets_job_happens_while_it_is_at_work(many_workers):
    moment = many_workers.Moment(many_workers.KILLED, "target_photometry")
    assert _come(many_workers, moment, AT_WORK, runs_between=3) is None
    alone = [_run("target_photometry", "STARTED", "two")]
    assert _come(many_workers, moment, alone, runs_between=3) == (moment, "two")


def test_a_run_that_no_worker_has_begun_with_is_not_at_work(many_workers):
    moment = many_workers.Moment(many_workers.KILLED, "target_photometry")
    assert _come(many_workers, moment, [_run("target_photometry", "STARTED")]) is None
    assert _come(many_workers, moment, [_run("target_photometry", "QUEUED", "one")]) is None


@pytest.mark.parametrize(("n_ended", "is_due"), [(1, False), (2, True)])
def test_some_runs_of_visits_end_between_two_faults(many_workers, n_ended, is_due):
    moment = many_workers.Moment(many_workers.KILLED, "visit_images")
    ended = [_run("visit_images", "SUCCESS", "one")] * n_ended
    ended += [_run("target_frame", "SUCCESS", "one"), _run("visit_images", "FAILURE", "two")]
    assert bool(_come(many_workers, moment, AT_WORK + ended, runs_between=2)) is is_due


def test_products_are_counted_by_the_logs_of_all_who_made_them(many_workers, tmp_path):
    made = "10:00:01 visit_images: visits/isim01/stack.fits: made (input changed)"
    for number, lines in enumerate(([made], [made, "10:00:02 visit_images: up to date"])):
        (tmp_path / f"hst_assets_{number}.log").write_text("\n".join(lines))
    (tmp_path / "session_1.log").write_text(made)
    assert many_workers._made(tmp_path) == {"visits/isim01/stack.fits": 2}


# ------------------------------------------------------- forced fluxes beside a catalogue's


@pytest.fixture(scope="module")
def photometer():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        with _loaded("photometer_engines") as engines, _loaded("photometer_forced") as forced:
            yield engines, forced


@pytest.mark.parametrize("moving", [0.0, 1.0], ids=["at rest", "moving"])
def test_forced_fluxes_of_a_benchmarks_field_are_those_of_its_true_stars(photometer, moving):
    """All stars, found or not: 100 pulls, of a mean of 0.1 and a width of 0.07 by chance.

    Half of the stars are below the catalogue's limit. Moving ones go 0.4 pixels in a year.
    """
    engines, forced = photometer
    dates = [replace(shot, mjd=58000.0 + 365.25 * k) for k, shot in enumerate(shots(3))]
    scene = Scene(
        100,
        shape=(200, 200),
        shots=dates,
        slope=0.2,
        faintest_e=30.0,
        moving=moving,
        motion_pix_yr=0.4,
    )
    sky = make_field(scene, 5)
    band = sky.images[0].band
    stars = engines.embedded(sky.images, {band: sky.psf(band)}, scene.shape)
    sources = engines.sources_of(sky.images)
    factor = np.full(3, 1 / sky.enclosed(band, 12))
    flux, error = forced.forced_at_truth(sources, stars.kept, sky, band, factor)
    truth = sky.truth.rates[band] * scene.nominal_s
    inside = (abs(sky.truth.x - 99.5) < 88) & (abs(sky.truth.y - 99.5) < 88)
    pulls = ((flux - truth) / np.hypot(error, 0.01 * truth))[inside]
    assert len(stars) < 0.8 * len(flux)
    assert np.isfinite(pulls).all()
    assert abs(np.mean(pulls)) < 0.35
    assert 0.8 < np.std(pulls) < 1.25


@contextmanager
def _loaded(name):
    """A benchmark as a module, among the others."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


# ------------------------------------------------------------------- the simulated campaign


@pytest.fixture(scope="module")
def simulation():
    with _loaded("simulate_campaign") as module:
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

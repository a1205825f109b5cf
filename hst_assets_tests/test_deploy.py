"""What is in deploy/ agrees with the project: its limits, classes, queues and extras."""

import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from dagster import Field
from dagster._config import process_config, resolve_to_config_type

import hst_assets
from hst_assets.orchestration.queues import QUEUES

CHECKOUT = Path(hst_assets.__file__).parents[1]
DEPLOY = CHECKOUT / "deploy"
OF_RUNS = ("runLauncher", "customRunLauncher")
OF_LOGS = ("computeLogManager", "customComputeLogManager")


@pytest.fixture(scope="module")
def values():
    return yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())


@pytest.fixture(scope="module")
def on_workers():
    """The packaged instance for several machines."""
    return yaml.safe_load((CHECKOUT / "hst_assets" / "dagster.celery.yaml").read_text())


def _words(key):
    """A key of the chart in the words of dagster.yaml."""
    return re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", key)


def _in_words(value):
    if isinstance(value, dict):
        return {_words(key): _in_words(each) for key, each in value.items()}
    return [_in_words(each) for each in value] if isinstance(value, list) else value


def test_pods_are_limited_by_the_keys_of_workers(values, on_workers):
    """Of workers twice as many runs as processes are launched; each that is launched has a pod."""
    told, of_workers = _in_words(values["concurrency"]), on_workers["concurrency"]
    assert told["enabled"]
    assert told["pools"] == of_workers["pools"]
    pods, runs = told["runs"], of_workers["runs"]
    assert 2 * pods["max_concurrent_runs"] == runs["max_concurrent_runs"]
    limits = [
        {each["value"]: each["limit"] for each in some["tag_concurrency_limits"]}
        for some in (pods, runs)
    ]
    assert {queue: 2 * limit for queue, limit in limits[0].items()} == limits[1]


def test_pods_are_watched_and_runs_tried_again_as_with_workers(values, on_workers):
    daemon = _in_words(values["dagsterDaemon"])
    assert daemon["run_retries"] == on_workers["run_retries"]
    of_pods, of_workers = daemon["run_monitoring"], on_workers["run_monitoring"]
    # A worker may be away for a day; a cluster that has no room for an hour has too few nodes.
    assert of_pods.pop("start_timeout_seconds") < of_workers["start_timeout_seconds"]
    # A run that is resumed in another pod would be at work twice where the first is only silent.
    assert of_pods.pop("max_resume_run_attempts") == 0
    assert of_pods.items() <= of_workers.items()


def test_nothing_is_reported_and_logs_are_kept_as_with_workers(values, on_workers):
    assert values["telemetry"] == on_workers["telemetry"]
    assert _in_words(values["pythonLogs"]) == on_workers["python_logs"]
    retention = _in_words(values["retention"])
    assert retention.pop("enabled")
    assert retention == on_workers["retention"]
    for key, told in values["additionalInstanceConfig"].items():
        assert on_workers[key] == told


@pytest.mark.parametrize(("section", "key"), [OF_RUNS, OF_LOGS])
def test_classes_of_the_values_take_their_configuration(section, key, values, monkeypatch):
    if section == "runLauncher":
        pytest.importorskip("dagster_k8s")
    monkeypatch.setenv("DAGSTER_K8S_PIPELINE_RUN_NAMESPACE", "hst")
    told = values[section]["config"][key]
    kind = getattr(import_module(told["module"]), told["class"])
    config = resolve_to_config_type(Field(kind.config_type()).config_type)
    found = process_config(config, told["config"])
    assert found.success, found.errors
    assert not process_config(config, {**told["config"], "nonsense": 1}).success


def test_the_database_is_opened_with_a_driver_that_is_installed(values):
    _, _, driver = values["postgresql"]["postgresqlScheme"].partition("+")
    assert import_module(driver)


def test_every_pod_has_the_image_and_the_shared_folder(values):
    (code,) = values["dagster-user-deployments"]["deployments"]
    claim = yaml.safe_load((DEPLOY / "kubernetes" / "shared-folder.yaml").read_text())
    for pod in (code, values["dagsterWebserver"], values["dagsterDaemon"]):
        assert pod["image"] == code["image"]
        (volume,) = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        (mount,) = pod["volumeMounts"]
        root = {each["name"]: each["value"] for each in pod["env"]}["HST_ASSETS_ROOT"]
        logs = values["computeLogManager"]["config"]["customComputeLogManager"]["config"]
        for folder in (root, logs["base_dir"]):
            assert Path(folder).is_relative_to(mount["mountPath"])


def test_the_claim_of_the_folder_is_one_by_the_schema_of_kubernetes():
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    claim = yaml.safe_load((DEPLOY / "kubernetes" / "shared-folder.yaml").read_text())
    kubernetes_validate.validate(claim, "1.31", strict=True)
    # What the schema does not say: pods on several nodes write to it at once.
    assert claim["kind"] == "PersistentVolumeClaim"
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_containers_of_compose_serve_every_queue_once():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    served = []
    for service in services.values():
        words = shlex.split(service.get("command", ""))
        served += [words[at + 1] for at, word in enumerate(words) if word == "--queue"]
    assert sorted(served) == sorted(QUEUES)


def test_the_image_has_extras_that_there_are():
    (told,) = re.findall(r"hst_assets\[([a-z0-9,]+)\]", (DEPLOY / "Dockerfile").read_text())
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert {"celery", "k8s"} <= set(told.split(",")) <= set(project["optional-dependencies"])


def test_workers_in_containers_have_time_to_finish_their_runs():
    """Docker kills what has not ended ten seconds after it was told to, unless told otherwise."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    workers = [each for each in services.values() if "worker" in each.get("command", "")]
    assert workers
    assert all(each["stop_grace_period"] == "24h" and each["init"] for each in workers)

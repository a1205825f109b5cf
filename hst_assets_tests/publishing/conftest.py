import pytest

from hst_assets_tests.stand_ins.object_store import ObjectStore


@pytest.fixture(scope="session")
def running_store():
    with ObjectStore().running() as store:
        yield store


@pytest.fixture
def store(running_store, monkeypatch):
    """A server of S3 without faults, which the environment names."""
    for name, value in running_store.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr("hst_assets.publishing.store.FIRST_WAIT_S", 0.01)
    running_store.asked.clear()
    running_store.fault = lambda _method, _path: None
    running_store.kms = False
    return running_store

from pathlib import Path

import pytest

from hst_assets.isolation import run_isolated


@pytest.fixture
def attempts(tmp_path):
    return run_isolated(
        "networked_tasks:attempts",
        {},
        scratch=tmp_path,
        log_path=tmp_path / "log",
        timeout_s=60,
        environment={"PYTHONPATH": str(Path(__file__).parents[1])},
    )


def test_only_this_machine_can_be_reached(attempts):
    assert attempts.pop("loopback") == "hello"
    assert attempts.pop("localhost")
    assert len(attempts) == 5
    for way, what in attempts.items():
        assert "kept off" in what, f"{way}: {what}"


def test_refusals_are_those_of_an_unplugged_machine(attempts):
    assert attempts["name"].startswith("gaierror: [Errno -2]")
    assert attempts["address"].startswith("OSError: [Errno 101]")

"""What tools wrote is told in the log of the run that called them."""

import os

import pytest

from hst_assets.orchestration.run_target import run_target
from hst_assets.orchestration.tool_logs import said_in_run


def test_the_last_lines_of_a_log_are_in_the_log_of_the_run(campaign, defs, instance, monkeypatch):
    campaign.add_exposure("sn1", "iaaa01")
    workdir = campaign.workdir("sn1")
    original = campaign.step

    def noisy(workdir, asset, *arguments, **more):
        if asset == "raw_exposures":
            log = workdir.log("tool", "iaaa01")
            log.write_text("".join(f"line {n}\n" for n in range(40)))
        return original(workdir, asset, *arguments, **more)

    monkeypatch.setattr(campaign, "step", noisy)
    (outcome,) = run_target(defs, instance, workdir, assets=["raw_exposures"])
    messages = [entry.user_message for entry in instance.all_logs(outcome.run_id)]
    (said,) = [text for text in messages if "tool_iaaa01.log" in text]
    assert said.startswith(str(workdir.log("tool", "iaaa01")))
    assert "line 39" in said
    assert "line 20" not in said


def test_a_step_that_failed_tells_too(campaign):
    workdir = campaign.workdir("sn1").create()
    said = []

    def fail():
        with said_in_run(workdir, said.append):
            workdir.log("tool", "x").write_text("the reason")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert len(said) == 1
    assert said[0].endswith("the reason")


def test_logs_of_earlier_steps_are_left_out_and_many_are_named(campaign):
    workdir = campaign.workdir("sn1").create()
    old = workdir.log("tool", "old")
    old.write_text("old")
    os.utime(old, (0, 0))
    said = []
    with said_in_run(workdir, said.append):
        for n in range(10):
            workdir.log("tool", f"new{n}").write_text("x")
    assert not any("old" in text for text in said)
    assert all(any(f"new{n}.log" in text for text in said) for n in range(10))
    assert len(said) == 9

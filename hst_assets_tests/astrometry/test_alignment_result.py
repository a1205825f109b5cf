"""Which failures of a tool are left out by name, and which end everything."""

from pathlib import Path

import pytest

from hst_assets.astrometry.alignment_result import AlignmentResult, without_crashed
from hst_assets.failures import OutOfMemory, TimedOut, ToolFailed, TransientFailure

PASSED = AlignmentResult((Path("a_flc.fits"),), "PASS", "tweakreg")


def failed(failure):
    return AlignmentResult((), "FAIL", "tweakreg", failure=failure)


def test_a_crash_on_one_of_several_is_left_out_by_name():
    passed, crashed = without_crashed([PASSED, failed(ToolFailed("exited with status -11"))])
    assert passed is PASSED
    assert (crashed.status, crashed.failure, crashed.files) == ("FAIL", None, ())
    assert crashed.reason == ("left out: the alignment tool failed on it: exited with status -11")


@pytest.mark.parametrize(
    "results",
    [
        [PASSED],
        [failed(ToolFailed("broken")), failed(ToolFailed("broken"))],
        [PASSED, failed(TimedOut("stopped after 9 s"))],
        [PASSED, failed(OutOfMemory("was killed"))],
        [PASSED, failed(ToolFailed("crashed")), failed(TransientFailure("no file"))],
    ],
)
def test_what_says_nothing_of_an_exposure_stays_a_failure(results):
    assert without_crashed(results) == results

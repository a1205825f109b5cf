"""One run of a program: what is kept of it, and that nothing of it lives on."""

import sys

import pytest

from hst_assets.failures import DiskFull
from hst_assets.photometry.dolphot.program_run import Limits, run_program

LIMITS = Limits(60.0, 60.0)


@pytest.fixture
def python(tmp_path):
    """Run a line of Python in the place of DOLPHOT."""

    def run(line, **more):
        output = more.pop("output", tmp_path / "out")
        arguments = {"folder": tmp_path, "output": output, "limits": LIMITS, **more}
        return run_program(sys.executable, ["-c", line], **arguments)

    return run


def test_output_and_complaints_are_kept_apart_and_told_together(python, tmp_path):
    ended = python("import sys; print('said'); print('complained', file=sys.stderr); sys.exit(3)")
    assert (ended.code, ended.stopped, ended.output) == (3, "", "said\ncomplained\n")
    assert (tmp_path / "out").read_text() == "said\n"
    assert (tmp_path / "out.stderr").read_text() == "complained\n"


def test_a_very_long_output_is_kept_whole_and_told_by_its_ends(python, tmp_path):
    n = 9_000_000  # more than twice the 4 MB that are kept of each end
    ended = python(f"print('first'); print('x' * {n}); print('last')")
    assert (tmp_path / "out").stat().st_size == n + len("first\nlast\n\n")
    assert ended.output.startswith("first\nx")
    assert ended.output.endswith("x\nlast\n")
    assert "bytes left out" in ended.output
    assert len(ended.output) < n


def test_what_it_started_ends_with_it(python):
    """A child of the program that holds its output would keep the run waiting for ever."""
    line = "import subprocess, sys; subprocess.Popen(['sleep', '600'])"
    ended = python(line, limits=Limits(2.0, 60.0))
    assert ended.stopped == "time"
    assert ended.seconds < 30  # not 600: the limit, and a slow machine


def test_a_full_disk_is_the_machines_failure(python, tmp_path):
    """/dev/full refuses each write as a full disk does."""
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with pytest.raises(DiskFull):
        python("print('x' * 100)", output=full)

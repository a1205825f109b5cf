"""How the command line ends: by signals, whatever a process inherited."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

#: A command that says when it is at work, and then waits longer than any test does.
_WAITING = """
import sys, time
import hst_assets.cli.application as cli

@cli.application.command("wait")
def wait() -> None:
    print("at work", flush=True)
    time.sleep(120)

sys.argv = ["hst-assets", "wait"]
cli.run()
"""


def _ignore_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize("inherit", [None, _ignore_interrupts], ids=["usual", "ignored"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_its_exit_code(inherit, number, code):
    with subprocess.Popen(
        [sys.executable, "-c", _WAITING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=inherit,
    ) as process:
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert "interrupted" in told


def n_open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")
def test_a_command_leaves_no_file_open(cli):
    cli("--version")
    before = n_open_files()
    for _ in range(3):
        cli("--version")
    assert n_open_files() == before


def test_a_failure_begins_with_the_word_error(cli):
    result = cli("run")
    assert result.code == 2
    assert result.err.startswith("error: no target")

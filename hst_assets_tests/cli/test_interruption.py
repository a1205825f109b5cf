"""How the command line ends: by signals, wherever it is and whatever a process inherited."""

import signal
import subprocess
import sys

import pytest

#: Each says when it is at work, and then waits longer than any test does.
IMPORTING = """
import sys, time

class Waits:
    def find_spec(self, name, path=None, target=None):
        if name == "hst_assets.cli.application":
            print("at work", flush=True)
            time.sleep(120)

sys.meta_path.insert(0, Waits())
from hst_assets.cli import main
main()
"""
BETWEEN = """
import sys, time
import hst_assets.cli.application as application

def waits():
    print("at work", flush=True)
    time.sleep(120)

application.application = waits
from hst_assets.cli import main
main()
"""
WORKING = """
import sys, time
import hst_assets.cli.application as application

@application.application.command("wait")
def wait() -> None:
    {body}

sys.argv = ["hst-assets", "wait"]
from hst_assets.cli import main
main()
"""
AT_WORK = WORKING.format(body='print("at work", flush=True); time.sleep(120)')
IN_A_FINALIZER = WORKING.format(
    body="""
    class Ends:
        def __del__(self):
            print("at work", flush=True)
            time.sleep(120)

    Ends()
    time.sleep(120)
"""
)


def _ignore_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize("inherit", [None, _ignore_interrupts], ids=["usual", "ignored"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize(
    "program",
    [IMPORTING, BETWEEN, AT_WORK, IN_A_FINALIZER],
    ids=["importing", "before the command", "at work", "in a finalizer"],
)
def test_a_signal_ends_it_with_one_line(program, inherit, number, code):
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=inherit,
    ) as process:
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert told == "interrupted; run the same command again to continue\n"

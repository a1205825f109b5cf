"""How the command line ends: by signals, wherever it is and whatever a process inherited."""

import signal
import subprocess
import sys

import pytest

LINE = "interrupted; run the same command again to continue\n"

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
#: As in a step of Dagster's, which executes in the process of the command.
IN_A_FINALIZER_OF_A_STEP = WORKING.format(
    body="""
    from dagster._core.errors import DagsterExecutionInterruptedError, raise_execution_interrupts
    from dagster._utils.interrupts import capture_interrupts

    class Ends:
        def __del__(self):
            print("at work", flush=True)
            time.sleep(120)

    try:
        with capture_interrupts(), raise_execution_interrupts():
            Ends()
            time.sleep(120)
    except DagsterExecutionInterruptedError:  # Dagster ends its run, and the command itself
        raise KeyboardInterrupt
"""
)
TELLING = """
import sys, time
import hst_assets.cli.application as application
from hst_assets.failures import BadConfiguration

def fails():
    raise BadConfiguration("no such thing")

def waits(error):
    print("at work", flush=True)
    time.sleep(120)

application.application, application._tell = fails, waits
from hst_assets.cli import main
main()
"""


def _ignore_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


PROGRAMS = {
    "importing": IMPORTING,
    "before": BETWEEN,
    "at work": AT_WORK,
    "in a finalizer": IN_A_FINALIZER,
    "in one of a step": IN_A_FINALIZER_OF_A_STEP,
    "telling": TELLING,
}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("where", PROGRAMS)
def test_a_signal_ends_it_with_one_line(where, number, code):
    assert _ended(PROGRAMS[where], number) == (code, LINE)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("where", ["importing", "at work"])
def test_ctrl_c_that_the_shell_had_ignored_is_heard(where, number, code):
    assert _ended(PROGRAMS[where], number, _ignore_interrupts) == (code, LINE)


def _ended(program, number, inherit=None):
    """Exit status and what was said of a program that gets a signal at work."""
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
    return process.returncode, told


AGAIN_WHILE_TOLD = """
import os, signal, sys, time
import hst_assets.cli.application as application

def waits():
    print("at work", flush=True)
    time.sleep(120)

class Console:
    def print(self, text):
        sys.stderr.write(text + "\\n")
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(120)

application.application, application.errors = waits, Console
from hst_assets.cli import main
main()
"""


def test_a_second_signal_adds_no_line_and_leaves_the_status():
    code, told = _ended(AGAIN_WHILE_TOLD, signal.SIGTERM)
    assert (code, told) == (143, LINE)


SWALLOWED_AT_THE_END = """
import atexit, sys, time
import hst_assets.cli.application as application

class Ends:
    def __del__(self):
        print("at work", flush=True)
        time.sleep(120)

def ends():
    Ends()

atexit.register(time.sleep, 1)
application.application = ends
from hst_assets.cli import main
main()
"""


def test_an_interruption_of_the_last_moment_disturbs_no_finalizer_of_the_interpreter():
    assert _ended(SWALLOWED_AT_THE_END, signal.SIGINT) == (0, "")


UNRAISABLE = """
import sys
from hst_assets.cli.interruption import interruptible

class Fails:
    def __del__(self):
        raise ValueError("of a finalizer")

with interruptible():
    Fails()
"""


def test_other_exceptions_of_finalizers_are_printed():
    told = subprocess.run(
        [sys.executable, "-c", UNRAISABLE], capture_output=True, text=True, check=True
    )
    assert "ValueError: of a finalizer" in told.stderr

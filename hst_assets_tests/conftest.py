"""What all tests share."""

import gc
import os
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

from hst_assets_tests.network_guard import look_up_guard

# A loaded machine is not a failure.
hypothesis.settings.register_profile("hst_assets", deadline=None)
hypothesis.settings.load_profile("hst_assets")


# What a shell starts in the background ignores interrupts, and so would all children of the suite:
# those that tests interrupt would work on for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_dagster_instance_outlives_its_test(request):
    """Dagster keeps the storage of the last instance in a context variable of the process.

    Instances that fixtures close in another order leave one behind that is gone, and the next
    test that loads definitions would fail on it. One that nobody closed puts back what was before
    it when it is collected, which must not be in the middle of another test.

    What survives is not looked at again: a collection takes microseconds then instead of 0.1-0.3 s.
    """
    yield
    if "dagster" in sys.modules:
        if {"orchestration", "cli"} & set(request.path.parts):
            gc.collect()
            gc.freeze()
        from dagster._core.storage.defs_state import base

        base._current_storage.set(None)


@pytest.fixture(scope="session")
def network_guard(tmp_path_factory):
    """Watch this process and the children it will have; the file that offences are told to."""
    offences = tmp_path_factory.mktemp("network") / "offences"
    offences.touch()
    folder = str(Path(look_up_guard.__file__).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(look_up_guard.OFFENCES, str(offences))
        patch.setenv("PYTHONPATH", folder, prepend=os.pathsep)
        look_up_guard.watch()
        yield offences


@pytest.fixture(autouse=True)
def nobody_asks_the_network(request, network_guard):
    """A test fails if it, or a child of it, looks up a name beyond this machine.

    One that means to says so, by ``@pytest.mark.looks_up("nowhere.invalid")``; the name then does
    not exist.
    """
    patterns = [name for mark in request.node.iter_markers("looks_up") for name in mark.args]
    before = network_guard.stat().st_size
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(look_up_guard.ALLOWED, ",".join(patterns))
        yield
    told = network_guard.read_bytes()[before:].decode()
    if told:
        pytest.fail(f"asked the network:\n{told}", pytrace=False)

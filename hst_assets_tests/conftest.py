"""What all tests share."""

import gc
import os
import signal
import sys
from collections import defaultdict
from pathlib import Path

import hypothesis
import pytest

from hst_assets_tests.network_guard import look_up_guard

# A loaded machine is not a failure.
hypothesis.settings.register_profile("hst_assets", deadline=None)
hypothesis.settings.load_profile("hst_assets")


# As in the children that tools run in. Else the threads of each worker (astroscrappy's, of OpenMP)
# wait for each other on the same cores, and burn them while they do: three times the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# What is imported stays. To look for garbage in all of it, again and again while it grows, took
# more than half of the time in which tests are collected, and a part of each test's later.
gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop():
    """Look for garbage from now on, in what tests make."""
    gc.freeze()
    gc.enable()


# Tests that hang on purpose would have others wait for cores; those of the pool have one each.
os.environ["HST_ASSETS_CORE_POOL"] = "off"


# What a shell starts in the background ignores interrupts, and so would all children of the suite:
# those that tests interrupt would work on for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Before xdist's own, which tells the groups by name.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Several workers: one has all tests of a group, and the groups of slow tests begin.

    A group is a module, unless it says that it shares what is costly with others
    (``pytest.mark.xdist_group``): what is made once for a module is then made once. With
    ``--no-loadscope-reorder`` workers take the groups in this order, so that the many quick ones at
    the end even out what the slow ones left uneven.
    """
    if not hasattr(config, "workerinput"):
        return
    groups = defaultdict(list)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            module = item.path.relative_to(Path(__file__).parent).with_suffix("")
            item.add_marker(pytest.mark.xdist_group(str(module)))
        groups[item.get_closest_marker("xdist_group").args[0]].append(item)
    items[:] = [item for group in sorted(groups.values(), key=_slowness) for item in group]


def _slowness(tests):
    """What comes first: tests that may take longer than others, then many slow tests."""
    limits = [mark.args[0] for test in tests if (mark := test.get_closest_marker("timeout"))]
    n_slow = sum(test.get_closest_marker("slow") is not None for test in tests)
    return -max(limits, default=0), -n_slow


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
def simulated(tmp_path_factory):
    """Gives the simulated campaign of a plan, for reading; all workers share it."""
    from hst_assets_tests.simulated_once import SimulatedOnce

    session = tmp_path_factory.getbasetemp()
    return SimulatedOnce(
        (session.parent if "PYTEST_XDIST_WORKER" in os.environ else session) / "simulated"
    )


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A browser without a window, for the pages that are to be looked at in one."""
    from hst_assets_tests.headless_browser import Browser, chromium

    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium; Debian's package is chromium")
    with Browser(program, tmp_path_factory.mktemp("browser")) as running:
        yield running


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

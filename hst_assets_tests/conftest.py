"""What all tests share."""

import gc
import sys

import hypothesis
import pytest

# A loaded machine is not a failure.
hypothesis.settings.register_profile("hst_assets", deadline=None)
hypothesis.settings.load_profile("hst_assets")


@pytest.fixture(autouse=True)
def no_dagster_instance_outlives_its_test(request):
    """Dagster keeps the storage of the last instance in a context variable of the process.

    Instances that fixtures close in another order leave one behind that is gone, and the next
    test that loads definitions would fail on it. One that nobody closed puts back what was before
    it when it is collected, which must not be in the middle of another test.
    """
    yield
    if "dagster" in sys.modules:
        if {"orchestration", "cli"} & set(request.path.parts):
            gc.collect()
        from dagster._core.storage.defs_state import base

        base._current_storage.set(None)

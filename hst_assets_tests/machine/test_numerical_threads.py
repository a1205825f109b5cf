import os
import subprocess
import sys

import pytest

from hst_assets.machine.numerical_threads import ONE_THREAD, pin_threads

TELL = """
import os, sys
{begin}
print([os.environ.get(name) for name in {names}])
"""
BEGIN = {
    "what Dagster loads": "import hst_assets.definitions",
    "the command line": "import hst_assets.cli.application as a\na.run = lambda _: None\n"
    "from hst_assets.cli import main\nmain()",
}


@pytest.mark.parametrize("who", BEGIN)
def test_processes_of_the_project_that_compute_themselves_have_one_thread(who):
    names = sorted(ONE_THREAD)
    environment = {name: value for name, value in os.environ.items() if name not in names}
    told = subprocess.run(
        [sys.executable, "-c", TELL.format(begin=BEGIN[who], names=names)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip().endswith(str(["1"] * len(names)))


def test_a_number_that_the_user_gave_is_kept():
    environment = {"OMP_NUM_THREADS": "4"}
    pin_threads(environment)
    assert environment == {**ONE_THREAD, "OMP_NUM_THREADS": "4"}

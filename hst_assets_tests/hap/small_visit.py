"""A simulated visit of two filters of WFC3/IR, and its advanced products."""

import shutil

import pytest
from typer.testing import CliRunner

from hst_assets.cli.application import application

POLLER = "wfc3_sim_01_input.out"


def exposures_with_poller(truth, folder):
    """Copies of the exposures, and a poller that lists them."""
    for path in truth.science_files():
        shutil.copy(path, folder)
    names = [path.name for path in truth.science_files()]
    (folder / POLLER).write_text("".join(f"{name}\n" for name in names))
    return folder


def products_in(folder, variables):
    """The answer of the command, with tests of quality and a file of parameters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in {**variables, "SVM_QUALITY_TESTING": "on"}.items():
            patch.setenv(name, value)
        return CliRunner().invoke(application, ["hap", POLLER, "-o", "parameters.json"])

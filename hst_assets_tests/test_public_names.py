import subprocess
import sys

import pytest

import hst_assets
from hst_assets import hap
from hst_assets.hap import run


@pytest.mark.parametrize("name", hst_assets.__all__)
def test_every_public_name_is_there(name):
    assert callable(getattr(hst_assets, name))


def test_the_list_and_the_homes_agree():
    assert sorted(hst_assets.__all__) == sorted(hst_assets._HOMES)
    assert dir(hst_assets) == sorted(hst_assets.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'drizle'"):
        hst_assets.drizle  # noqa: B018


def test_importing_the_package_loads_nothing_of_it():
    program = (
        "import sys, hst_assets; print([n for n in sys.modules if n.startswith('hst_assets.')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", hap.__all__)
def test_the_functions_of_hap_are_found_in_their_package(name):
    assert getattr(hap, name) is getattr(run, name)
    with pytest.raises(AttributeError, match="no attribute 'run_hap'"):
        hap.run_hap  # noqa: B018

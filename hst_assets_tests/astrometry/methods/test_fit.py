from pathlib import Path

import pytest

from hst_assets.astrometry.methods.fit import inside, numerics_refused
from hst_assets.failures import UnusableInput


def test_one_stands_in_the_folder_and_comes_back(tmp_path):
    here = Path.cwd()
    with inside(tmp_path):
        assert Path.cwd() == tmp_path
    assert Path.cwd() == here


def test_one_comes_back_after_an_error_too(tmp_path):
    here = Path.cwd()
    with pytest.raises(OSError, match="broken"), inside(tmp_path):
        raise OSError("broken")
    assert Path.cwd() == here


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyError, ValueError, RuntimeError])
def test_what_numerics_raise_speaks_of_the_exposure(error):
    with (
        pytest.raises(UnusableInput, match=rf"It gave up: {error.__name__}: .*few") as caught,
        numerics_refused("It gave up", "icaa01a1q"),
    ):
        raise error("few")
    assert caught.value.where == "icaa01a1q"


def test_a_fault_of_another_kind_stays_what_it_is():
    with pytest.raises(TypeError), numerics_refused("It gave up", "icaa01a1q"):
        raise TypeError


def test_only_the_errors_that_are_named_count():
    with (
        pytest.raises(KeyError),
        numerics_refused("It gave up", "icaa01a1q", errors=(ValueError,)),
    ):
        raise KeyError

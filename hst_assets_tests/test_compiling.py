"""How loops are compiled."""

from __future__ import annotations

import fcntl

import numpy as np
import pytest

from hst_assets import compiling
from hst_assets.compiling import compiled, compiled_in_order


def _total(values: np.ndarray) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def test_a_compiled_sum_is_the_sum() -> None:
    values = np.random.default_rng(1).normal(size=1001)
    assert compiled(_total)(values) == pytest.approx(values.sum(), abs=1e-10)


def test_a_sum_in_order_is_that_of_python_to_the_last_digit() -> None:
    values = np.random.default_rng(1).normal(size=1001)
    assert compiled_in_order(_total)(values) == _total(values)


def test_what_is_no_number_stays_none() -> None:
    assert np.isnan(compiled(_total)(np.array([1.0, np.nan, 2.0])))


def test_without_a_folder_to_keep_code_in_it_is_compiled_all_the_same(monkeypatch) -> None:
    def no_folder(function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiling, "_LockedCache", no_folder)
    assert compiled(_total)(np.arange(4.0)) == 6.0


@pytest.fixture
def kept_in(tmp_path, monkeypatch):
    """Code is kept in an empty folder."""
    from numba.core import config

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def test_code_is_kept_for_the_next_process(kept_in) -> None:
    values = np.arange(4.0)
    compiled(_total)(values)
    again = compiled(_total)
    assert again(values) == 6.0
    assert sum(again.stats.cache_hits.values()) == 1


def test_index_and_code_are_written_and_read_by_one_process_at_a_time(kept_in, monkeypatch) -> None:
    touched = []

    def locked(name):
        original = getattr(compiling.IndexDataCacheFile, name)

        def of(self, *args):
            (lock,) = kept_in.rglob("*.lock")
            with lock.open("w") as another, pytest.raises(BlockingIOError):
                fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
            touched.append(name)
            return original(self, *args)

        monkeypatch.setattr(compiling.IndexDataCacheFile, name, of)

    for name in ("_load_index", "_save_index", "_load_data", "_save_data"):
        locked(name)
    compiled(_total)(np.arange(4.0))
    compiled(_total)(np.arange(4.0))
    assert set(touched) == {"_load_index", "_save_index", "_load_data", "_save_data"}

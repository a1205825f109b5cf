"""How loops are compiled."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from hst_assets.photometry.psf.compiling import compiled, compiled_in_order


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
    njit = numba.njit

    def no_folder(*args, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*args, **options)

    monkeypatch.setattr(numba, "njit", no_folder)
    assert compiled(_total)(np.arange(4.0)) == 6.0

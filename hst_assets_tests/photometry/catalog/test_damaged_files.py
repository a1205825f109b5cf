"""Whatever happens to a file, it is read as what it says or told with file and line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.columns import parse_columns
from hst_assets.photometry.catalog.number_rows import read_numbers
from hst_assets.photometry.catalog.reading import read_catalog
from hst_assets.photometry.catalog.run_records import parse_run_records
from hst_assets.photometry.catalog.writing import write_catalog
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog, made_columns
from hst_assets_tests.photometry.catalog.test_run_info import TWO_CHIPS, parse_run_info
from hst_assets_tests.photometry.catalog.test_run_records import DATA

Read = TypeVar("Read")

N_ROWS = 4


@st.composite
def damages(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bytes taken out, doubled or replaced by others."""
    start = draw(st.integers(0, len(content) - 1))
    end = draw(st.integers(start, min(len(content), start + 200)))
    replacement = draw(
        st.one_of(
            st.just(b""),
            st.binary(max_size=6),
            st.sampled_from([b"\n", b" ", b"nan", b"1e9", b"-", b"x", content[start:end] * 2]),
        )
    )
    return content[:start] + replacement + content[end:]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, _ = write_catalog(made_catalog(N_ROWS), tmp_path_factory.mktemp("damaged") / "dp")
    return path


def read_or_told(read: Callable[[], Read], name: str) -> Read | None:
    """What was read; None if a failure told file and line instead."""
    try:
        return read()
    except UnusableInput as failure:
        where = failure.where or ""
    assert re.search(rf"(^|/){re.escape(name)}, line [1-9]\d*$", where), where
    return None


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_catalogue_is_told_or_read_as_it_stands(data: st.DataObject, written: Path):
    content = written.read_bytes()
    damaged = written.with_name("damaged")
    changed = data.draw(damages(content))
    damaged.write_bytes(changed)
    columns = made_columns()
    catalog = read_or_told(lambda: read_catalog(damaged, columns=columns), "damaged")
    if catalog is None:
        return
    # What C would have read from the same text.
    expected = [[float(word) for word in line.split()] for line in changed.splitlines()]
    found = np.stack([catalog[each.name] for each in columns], axis=1)
    np.testing.assert_allclose(found, np.reshape(expected, (-1, len(columns))), rtol=1e-15)


@given(data=st.data())
def test_a_damaged_list_of_columns_is_told_or_another_list(data: st.DataObject):
    text = made_columns().text()
    changed = data.draw(damages(text.encode())).decode(errors="replace")
    columns = read_or_told(lambda: parse_columns(changed, "dp.columns"), "dp.columns")
    if columns is None:
        return
    assert columns.text() == changed


@given(data=st.data())
def test_a_damaged_info_file_is_told_or_another_one(data: st.DataObject):
    changed = data.draw(damages(TWO_CHIPS.encode())).decode(errors="replace")
    info = read_or_told(lambda: parse_run_info(changed, "dp.info"), "dp.info")
    if info is None:
        return
    assert len(info.images) == int(changed.split()[0])
    assert all(len(chip.alignment) == len(info.images) for chip in info.chips)


@given(data=st.data())
def test_damaged_records_are_told_or_others(data: st.DataObject):
    changed = data.draw(damages(DATA.encode())).decode(errors="replace")
    chips = read_or_told(lambda: parse_run_records(changed, "dp.data"), "dp.data")
    if chips is None:
        return
    assert sum(1 + len(chip.records) for chip in chips) == changed.count("\n")


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"1 2 3\n4 5\n", 2, "2 numbers instead of 3"),
        (b"1 2 3\n4 5 6 7\n", 2, "4 numbers instead of 3"),
        (b"1 2\n4 5 6\n", 1, "2 numbers instead of 3"),
        (b"1 2 3\n\n4 5 6\n", 2, "0 numbers instead of 3"),
        (b"1 2 3\n4 x 6\n", 2, "number 2 is 'x'"),
        (b"1 2 3\n4 NA 6\n", 2, "number 2 is 'NA'"),
        (b"1 2 3\n4 1,5 6\n", 2, "number 2 is '1,5'"),
        (b'1 2 3\n4 "5" 6\n', 2, "number 2 is"),
        (b"1 2 3\n4 0x5 6\n", 2, "number 2 is '0x5'"),
        (b"1 2 3\n4 \xff 6\n", 2, "number 2 is"),
        (b"1 2 3\n4 5\r 6\n", 2, "a byte"),
        (b"1 2 3\n4 \x005 6\n", 2, "a byte"),
        (b"1 2 3\n4 5 6", 2, "the last line is cut off"),
        (b"\n", 1, "0 numbers instead of 3"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(content, line, what, tmp_path):
    path = tmp_path / "dp.xyt"
    path.write_bytes(content)
    with pytest.raises(UnusableInput, match=f"dp.xyt, line {line}: {what}"):
        read_numbers(path, 3)

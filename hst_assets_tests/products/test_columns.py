from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from hst_assets.failures import MissingProduct
from hst_assets.products.columns import (
    ColumnSpec,
    build_table,
    no_numbers,
    read_table,
    write_table,
)

COLUMNS = (
    ColumnSpec("file", "str", "Its file"),
    ColumnSpec("n", "int64", "How many"),
    ColumnSpec("side", "float64", "How long", u.pix, "side_pix"),
    ColumnSpec("share", "float64", "How much"),
    ColumnSpec("size", "int64", "How large", u.byte),
    ColumnSpec("reason", "str", "Why"),
)
ROW = {"file": "a", "n": 2, "side_pix": 3.5, "share": 0.5, "size": 7, "reason": ""}


def written(rows: list[dict[str, object]], path: Path) -> QTable:
    write_table(build_table(COLUMNS, rows, {"target": "sn1"}), path)
    return read_table(path)


def test_rows_come_back_with_units_and_in_order(tmp_path: Path) -> None:
    table = written([{**ROW, "more": 1}], tmp_path / "index.ecsv")
    assert table.colnames == ["file", "n", "side", "share", "size", "reason"]
    assert (table["n"][0], table["side"][0]) == (2, 3.5 * u.pix)
    assert table.meta["target"] == "sn1"


def test_a_whole_number_with_a_unit_stays_one() -> None:
    assert build_table(COLUMNS, [ROW])["size"].dtype == np.int64


def test_an_empty_text_comes_back_empty(tmp_path: Path) -> None:
    table = written([ROW, {**ROW, "reason": "no"}], tmp_path / "index.ecsv")
    assert list(table["reason"]) == ["", "no"]


def test_a_number_that_was_not_measured_is_not_a_number(tmp_path: Path) -> None:
    table = written([{**ROW, **no_numbers(COLUMNS)}], tmp_path / "i.ecsv")
    assert np.isnan(table["side"][0])
    assert np.isnan(table["share"][0])


def test_a_row_must_have_all_columns() -> None:
    lacking = {key: value for key, value in ROW.items() if key != "side_pix"}
    with pytest.raises(KeyError, match="side_pix"):
        build_table(COLUMNS, [lacking])


@pytest.mark.parametrize("name", ["file", "n", "size", "reason"])
def test_texts_and_integers_have_no_value_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}'"):
        build_table(COLUMNS, [{**ROW, name: None}])


def test_without_rows_the_columns_are_described(tmp_path: Path) -> None:
    table = written([], tmp_path / "index.ecsv")
    assert len(table) == 0
    assert [table[name].info.description for name in table.colnames] == [
        spec.description for spec in COLUMNS
    ]
    assert table["side"].unit == u.pix


def test_a_table_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "index.ecsv"
    assert len(written([ROW], path)) == 1
    assert len(written([ROW, ROW], path)) == 2
    path.write_text("no table")
    with pytest.raises(MissingProduct):
        read_table(path)


def test_what_a_reader_does_to_a_table_is_its_own_affair(tmp_path: Path) -> None:
    path = tmp_path / "index.ecsv"
    first = written([ROW], path)
    first["n"][0] = 9
    first.meta["target"] = "other"
    again = read_table(path)
    assert again["n"][0] == ROW["n"]
    assert again.meta["target"] == "sn1"
    assert again["side"].info.description == "How long"


def test_a_table_is_read_again_where_the_attributes_of_its_name_are_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.ecsv"
    written([ROW], path)
    old = path.stat()
    write_table(build_table(COLUMNS, [ROW, ROW]), path)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: old)  # as NFS keeps them for seconds
    assert len(read_table(path)) == 2

"""Tables read as plain rows."""

import numpy as np
import pytest

from hst_assets.failures import MissingProduct
from hst_assets.products.columns import ColumnSpec, build_table, read_table, write_table
from hst_assets.products.plain_rows import read_rows

SPECS = (
    ColumnSpec("name", "str", "A name"),
    ColumnSpec("number", "int64", "A number"),
    ColumnSpec("value", "float64", "A value"),
    ColumnSpec("good", "bool", "A flag"),
)
ROWS = [
    {"name": 'a "quoted" name', "number": 1, "value": 0.5, "good": True},
    {"name": "", "number": -2, "value": np.nan, "good": False},
    {"name": "two words", "number": 3, "value": 1e300, "good": True},
]


@pytest.fixture
def path(tmp_path):
    write_table(build_table(SPECS, ROWS, {"target": "sn1"}), tmp_path / "table.ecsv")
    return tmp_path / "table.ecsv"


def test_rows_are_those_that_astropy_reads(path):
    meta, rows = read_rows(path, SPECS)
    table = read_table(path)
    assert meta["target"] == "sn1"
    assert len(rows) == len(table) == len(ROWS)
    for row, read in zip(rows, table, strict=True):
        assert row["name"] == str(read["name"])
        assert row["number"] == read["number"]
        assert row["value"] == read["value"] or np.isnan(row["value"] + read["value"])
        assert row["good"] == bool(read["good"])


def test_a_stray_quote_before_much_text_is_a_table_that_cannot_be_read(path):
    # More than a field of the csv module may have.
    path.write_text(path.read_text() + '"' + "x" * 200_000)
    with pytest.raises(MissingProduct, match="cannot be read"):
        read_rows(path, SPECS)

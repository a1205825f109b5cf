from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable

from hst_assets.imaging.index_table import IndexColumns

COLUMNS = IndexColumns(
    names=(("file", "Its file"),),
    counts=(("n", "How many"),),
    numbers=(("side_pix", "side", u.pix, "How long"), ("share", "share", None, "How much")),
    texts=(("reason", "Why"),),
)


def written(rows: list[dict[str, object]], path: Path) -> QTable:
    COLUMNS.write(rows, path, {"target": "sn1"})
    return QTable.read(path, format="ascii.ecsv")


def test_rows_come_back_with_units_and_in_order(tmp_path: Path) -> None:
    row = {"file": "a", "n": 2, "side_pix": 3.5, "share": None, "reason": "", "more": 1}
    table = written([row], tmp_path / "index.ecsv")
    assert table.colnames == ["file", "n", "side", "share", "reason"]
    assert (table["n"][0], table["side"][0]) == (2, 3.5 * u.pix)
    assert table.meta["target"] == "sn1"


def test_a_number_that_a_row_lacks_is_not_a_number(tmp_path: Path) -> None:
    table = written([{"file": "a", "n": 0, "share": None, "reason": "no"}], tmp_path / "i.ecsv")
    assert np.isnan(table["side"][0])
    assert np.isnan(table["share"][0])


def test_without_rows_the_columns_are_described(tmp_path: Path) -> None:
    table = written([], tmp_path / "index.ecsv")
    assert len(table) == 0
    assert [table[name].info.description for name in table.colnames] == [
        "Its file",
        "How many",
        "How long",
        "How much",
        "Why",
    ]
    assert table["side"].unit == u.pix

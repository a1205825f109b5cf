import re

import numpy as np
import pandas as pd
import pytest
from astropy.table import QTable

from hst_assets.failures import BadConfiguration, MissingTool
from hst_assets.photometry.catalog.exports import EXPORTS, export_catalog
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog, made_columns
from hst_assets_tests.photometry.catalog.test_model import tangent_plane

READERS = {".ecsv": "ascii.ecsv", ".vot": "votable", ".fits": "fits"}


@pytest.fixture(scope="module")
def catalog():
    return made_catalog(300, vega_spectrum="none", nested={"F606W": "a reason"}).with_positions(
        tangent_plane()
    )


def assert_same(table, catalog):
    for name, (values, _, unit) in catalog.described().items():
        np.testing.assert_array_equal(
            np.asarray(getattr(table[name], "value", table[name])), values
        )
        assert table[name].unit == unit
    assert len(table.colnames) == len(catalog.described())


@pytest.mark.parametrize("suffix", READERS)
def test_a_table_holds_every_column_with_its_unit(suffix, catalog, tmp_path):
    path = export_catalog(catalog, tmp_path / f"dp{suffix}")
    table = QTable.read(path, format=READERS[suffix])
    assert_same(table, catalog)
    # VOTable breaks the lines of a description.
    words = table["f606w_rate"].info.description.split()
    assert words == catalog.described()["f606w_rate"][1].split()


def test_parquet_holds_units_and_metadata(catalog, tmp_path):
    frame = pd.read_parquet(export_catalog(catalog, tmp_path / "dp.parquet"))
    pd.testing.assert_frame_equal(frame, catalog.to_pandas())
    assert frame.attrs == catalog.to_pandas().attrs


def test_parquet_without_its_package_says_what_to_install(catalog, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingTool, match=r"hst_assets\[parquet\]"):
        export_catalog(catalog, tmp_path / "dp.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_votable_has_binary_cells(catalog, tmp_path):
    path = export_catalog(catalog, tmp_path / "dp.vot")
    assert b"<BINARY2>" in path.read_bytes()


def test_regions_are_read_by_the_package_of_regions(catalog, tmp_path):
    from regions import Regions

    path = export_catalog(catalog, tmp_path / "dp.reg")
    drawn = Regions.parse("\n".join(path.read_text().splitlines()[:12]) + "\n", format="ds9")
    assert len(drawn) == 10
    assert drawn[3].center.ra.deg == pytest.approx(catalog["ra"][3], abs=1e-8)
    assert drawn[3].radius.to_value("arcsec") == pytest.approx(0.1)
    colours = re.findall(r"color=(\w+)", path.read_text())
    assert len(colours) == len(catalog)
    assert (
        colours[0]
        == {1: "green", 2: "cyan", 3: "magenta", 4: "red", 5: "yellow"}[
            int(catalog["object_type"][0])
        ]
    )


def test_regions_need_positions(tmp_path):
    with pytest.raises(BadConfiguration, match="no positions on the sky"):
        export_catalog(made_catalog(3), tmp_path / "dp.reg")


def test_an_unknown_suffix_is_told_with_those_known(tmp_path):
    with pytest.raises(BadConfiguration, match=r"Use .*\.parquet.*\.hdf5"):
        export_catalog(made_catalog(3), tmp_path / "dp.doc")


@pytest.mark.parametrize("suffix", [*(each for each in EXPORTS if each != ".reg"), ".hdf5"])
def test_an_empty_catalogue_is_written(suffix, tmp_path):
    path = export_catalog(made_catalog(0), tmp_path / f"dp{suffix}")
    assert path.stat().st_size > 0


def test_a_fits_table_has_at_most_999_columns(tmp_path):
    """More would be written with names of keywords that the standard does not know."""
    many = made_catalog(1, made_columns([f"F{number}W" for number in range(100, 126)]))
    with pytest.raises(BadConfiguration, match="at most 999"):
        export_catalog(many, tmp_path / "many.fits")

import json

import h5py
import numpy as np
import pytest
from astropy.table import QTable

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.columns import CatalogColumns, CatalogFilter, CatalogImage
from hst_assets.photometry.catalog.hdf5_file import write_hdf5
from hst_assets.photometry.catalog.reading import read_catalog
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog
from hst_assets_tests.photometry.catalog.reference_runs import TWO_FILTERS, needs_runs
from hst_assets_tests.photometry.catalog.test_exports import assert_same


def test_the_table_is_one_of_astropy(tmp_path):
    catalog = made_catalog(40)
    path = write_hdf5(catalog, tmp_path / "dp.hdf5")
    assert_same(QTable.read(path, path="photometry"), catalog)


def test_columns_are_listed_with_their_lines(tmp_path):
    with h5py.File(write_hdf5(made_catalog(2), tmp_path / "dp.hdf5")) as file:
        rows = json.loads(file["photometry"].attrs["dolphot_column_json"])
    assert rows[13] == {
        "index_1based": 14,
        "description": "Normalized count rate, F606W",
        "hdf5_name": "f606w_rate",
        "unit": "",
    }


@pytest.mark.parametrize(("n_images", "layout"), [(60, "compound"), (90, "matrix")])
def test_catalogues_of_many_images_are_written(n_images, layout, tmp_path):
    # HDF5 ends at 64 kB of attributes, unless they are of a newer layout, and of compound types.
    images = tuple(
        CatalogImage(n, f"iaaa{n:02d}abq_flc.chip1", "F606W", 500.0) for n in range(1, n_images + 1)
    )
    catalog = made_catalog(30, CatalogColumns((CatalogFilter("F606W"),), images))
    with h5py.File(write_hdf5(catalog, tmp_path / "dp.hdf5")) as file:
        photometry = file["photometry"]
        assert photometry.attrs["hst123_dolphot_hdf5_layout"] == layout
        assert len(photometry.attrs["dolphot_column_json"]) > 2**17
        if layout == "matrix":
            names = [name.decode() for name in photometry["column_names"]]
            at = names.index("iaaa90abq_flc_chip1_counts")
            found = photometry["data"][:, at]
        else:
            found = photometry["iaaa60abq_flc_chip1_counts"]
        np.testing.assert_array_equal(found, catalog.values("counts", image=n_images))


def test_a_damaged_file_of_the_run_is_told(tmp_path):
    (tmp_path / "dp.data").write_text("EXTENSION 0 CHIP 1\nwhat\n")
    with pytest.raises(UnusableInput, match="line 2: not a record"):
        write_hdf5(made_catalog(2), tmp_path / "dp.hdf5", base=tmp_path / "dp")
    assert not (tmp_path / "dp.hdf5").exists()


class TestReference:
    pytestmark = needs_runs

    @pytest.fixture(scope="class")
    def file(self, tmp_path_factory):
        base = TWO_FILTERS.catalog
        path = tmp_path_factory.mktemp("hdf5") / "dp.hdf5"
        with h5py.File(write_hdf5(read_catalog(base), path, base=base)) as file:
            yield file

    def test_the_whole_catalogue_is_there(self, file):
        assert file["photometry"].shape == (len(TWO_FILTERS.bytes.splitlines()),)
        assert np.isin([1, 5], file["photometry"]["object_type"]).all()

    @pytest.mark.parametrize("name", ["columns", "param", "info", "data", "warnings"])
    def test_files_of_the_run_are_there_as_text(self, file, name):
        text = file["metadata/raw"][name][0].decode()
        assert text == TWO_FILTERS.file(f".{name}").read_text()

    def test_what_is_known_of_an_image_is_together(self, file):
        merged = json.loads(file["photometry"].attrs["dolphot_merged_metadata_json"])
        image = merged["images"]["img0002"]
        assert image["param"]["file"] == "iaaa012_flc.chip1"
        assert image["mjd"] == 58000.0125
        assert image["info_filter_exptime"]["filter"] == "F814W"
        assert image["data_align"]["n_used"] == 169
        assert image["data_apcor"]["n_stars"] == 42
        assert image["warnings"] == [TWO_FILTERS.file(".warnings").read_text().splitlines()[2]]
        assert merged["global_param"]["FlagMask"] == "7"
        assert merged["warnings_global_lines"] == ["Only 188 stars for alignment"]

    def test_the_folder_is_listed_without_its_path(self, file):
        group = file["metadata/dolphot_directory"]
        rows = json.loads(group["manifest_json"][0])
        assert {"dp", "dp.columns"} <= {row["relpath"] for row in rows}
        assert group.attrs["n_files"] == len(rows)
        assert "/" not in group.attrs["root"]

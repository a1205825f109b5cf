import gzip

import numpy as np
import pytest

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.catalog.reading import parts_of_catalog, read_catalog
from hst_assets.photometry.catalog.writing import write_catalog
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog
from hst_assets_tests.photometry.catalog.reference_runs import CROWDED, needs_runs


@pytest.fixture
def written(tmp_path):
    path, _ = write_catalog(made_catalog(60), tmp_path / "dp")
    return path


def test_what_was_written_is_read(written):
    expected, found = made_catalog(60), read_catalog(written)
    for name, values in expected.data.items():
        # The file rounds; rates have three digits.
        np.testing.assert_allclose(found[name], values, rtol=5e-3, atol=1e-12)
        assert found[name].dtype == values.dtype


def test_parts_are_the_whole(written):
    whole = read_catalog(written)
    parts = list(parts_of_catalog(written, chunk_rows=17))
    assert [len(part) for part in parts] == [17, 17, 17, 9]
    for name in whole.data:
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), whole[name])


def test_a_wrong_number_in_a_later_part_is_told_with_the_line_of_the_file(written):
    lines = written.read_text().splitlines()
    words = lines[40].split()
    words[10] = "7"
    lines[40] = " ".join(words)
    written.write_text("\n".join(lines) + "\n")
    with pytest.raises(UnusableInput, match=r"dp, line 41: the object_type \(column 11\) is 7"):
        list(parts_of_catalog(written, chunk_rows=17))


def test_a_packed_catalogue_is_read_with_the_files_of_the_unpacked_one(written):
    packed = written.with_name("dp.gz")
    packed.write_bytes(gzip.compress(written.read_bytes()))
    np.testing.assert_array_equal(read_catalog(packed)["x"], read_catalog(written)["x"])


def test_a_packed_catalogue_that_was_cut_off_is_told(written):
    packed = written.with_name("dp.gz")
    packed.write_bytes(gzip.compress(written.read_bytes())[:-20])
    with pytest.raises(UnusableInput, match=r"dp\.gz: the file cannot be read"):
        read_catalog(packed)


def test_an_empty_catalogue_has_no_stars(written):
    written.write_bytes(b"")
    catalog = read_catalog(written)
    assert len(catalog) == 0
    assert len(catalog.to_table().colnames) == len(catalog.columns)


def test_a_missing_catalogue_is_missing(written):
    written.unlink()
    with pytest.raises(MissingProduct, match="missing"):
        read_catalog(written)


@pytest.mark.parametrize("token", ["nan", "-nan", "inf"])
def test_a_measurement_that_is_no_number_is_kept_as_such(written, token):
    lines = written.read_text().splitlines()
    words = lines[3].split()
    words[4] = token
    lines[3] = " ".join(words)
    written.write_text("\n".join(lines) + "\n")
    assert not np.isfinite(read_catalog(written)["chi"][3])


def test_files_of_another_run_beside_it_are_told(written):
    written.with_name("dp.info").write_text("1 sets of output data\nother\n  58000.00000000\n\n")
    with pytest.raises(UnusableInput, match=r"dp\.info: its images are not those of the list"):
        read_catalog(written)


class TestReference:
    pytestmark = needs_runs

    def test_values_are_those_of_the_text(self):
        catalog = read_catalog(CROWDED.catalog)
        table = np.array(
            [line.split() for line in CROWDED.bytes.decode().splitlines()], dtype=float
        )
        for column in catalog.columns:
            np.testing.assert_array_equal(catalog[column.name], table[:, column.number - 1])

    def test_the_instrument_is_that_of_the_info_file(self):
        columns = read_catalog(CROWDED.catalog).columns
        assert [each.instrument for each in columns.filters] == ["WFC3"]
        assert len(columns.images_of("WFC3_F814W")) == 4

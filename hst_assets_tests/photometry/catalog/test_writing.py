import pytest

from hst_assets.photometry.catalog.reading import catalog_columns, read_catalog
from hst_assets.photometry.catalog.writing import catalog_lines, write_catalog
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog
from hst_assets_tests.photometry.catalog.reference_runs import ALL_RUNS, ANALYTIC, needs_runs


def line_of(**values):
    """One line of a catalogue whose other numbers are those of the first made star."""
    catalog = made_catalog(1)
    for name, value in values.items():
        catalog.data[name][0] = value
    ((line,),) = catalog_lines(catalog)
    return line


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-8.04e-11, "-8.0e-11"),
        (0.0, "0.00e+00"),
        (0.98, "9.80e-01"),
        (1.0, "1.000000"),
        (9.999994, "9.999994"),
        (99.5, "99.50000"),
        (9999.0, "9999.000"),
        (99999.9, "99999.90"),
        (999999.0, "999999.0"),
        (1e7, " 1.0e+07"),
    ],
)
def test_a_rate_has_the_digits_of_its_size(value, text):
    assert f" {text} " in line_of(f606w_rate=value)


@pytest.mark.parametrize(
    ("value", "text"), [(999999.4, "999999.4"), (999999.6, "1.00e+06"), (-3.25, "    -3.2")]
)
def test_counts_have_the_digits_of_their_size(value, text):
    assert f"  {text} " in line_of(f606w_counts=value)


def test_what_was_written_is_written_again_byte_for_byte(tmp_path):
    first, _ = write_catalog(made_catalog(200), tmp_path / "first")
    again, _ = write_catalog(read_catalog(first), tmp_path / "again")
    assert again.read_bytes() == first.read_bytes()


def test_the_list_of_columns_lies_beside_it(tmp_path):
    path, columns = write_catalog(made_catalog(3), tmp_path / "dp")
    assert columns.name == "dp.columns"
    assert len(catalog_columns(path)) == len(path.read_text().splitlines()[0].split())


@pytest.mark.parametrize("name", ALL_RUNS)
class TestReference:
    pytestmark = needs_runs

    def test_a_catalogue_of_dolphot_is_written_byte_for_byte(self, name, tmp_path):
        run = ALL_RUNS[name]
        path, columns = write_catalog(read_catalog(run.catalog), tmp_path / "dp")
        assert path.read_bytes() == run.bytes
        assert columns.read_bytes() == run.file(".columns").read_bytes()


class TestWarmStart:
    pytestmark = needs_runs

    def test_a_catalogue_at_fixed_positions_is_written_byte_for_byte(self, tmp_path):
        warm = ANALYTIC.catalog.with_name("warm")
        catalog = read_catalog(warm, columns=catalog_columns(ANALYTIC.catalog))
        path, _ = write_catalog(catalog, tmp_path / "dp")
        assert path.read_bytes() == warm.read_bytes()

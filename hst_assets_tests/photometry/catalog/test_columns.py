import pytest

from hst_assets.failures import BadConfiguration, MissingProduct, UnusableInput
from hst_assets.photometry.catalog.columns import (
    CatalogColumns,
    CatalogFilter,
    CatalogImage,
    parse_columns,
    read_columns,
)
from hst_assets_tests.photometry.catalog.made_catalogs import made_columns
from hst_assets_tests.photometry.catalog.reference_runs import ALL_RUNS, needs_runs


def test_old_and_new_spellings_of_filters_are_the_same_columns():
    old = parse_columns(made_columns().text(), "old")
    new = parse_columns(made_columns(prefix="WFC3_").text(), "new")
    assert old.filter("F814W").name == new.filter("F814W").name == "F814W"
    assert new.filter("WFC3_F814W") == new.filter("f814w")
    assert [each.name for each in new][:24] == [each.name for each in old][:24]


def test_a_column_is_found_by_quantity_and_filter_or_image_and_never_by_a_part_of_its_title():
    columns = made_columns()
    assert columns.find("chi").number == 5
    assert columns.find("chi", filter_name="F606W").number == 19
    assert columns.find("chi", image=1).number == 45
    assert columns.find("counts", image="iaaa01q_flc.chip1").number == 38


def test_an_image_is_found_wherever_its_folder_is_now():
    columns = made_columns()
    assert columns.image("/elsewhere/iaaa11q_flc.chip1.fits") == columns.image(3)
    assert columns.image(3).name == "iaaa11q_flc.chip1"


def test_an_image_whose_name_has_commas_and_brackets_is_one():
    image = CatalogImage(1, "/a, b (c)/x_flc.chip1", "F814W", 12.5)
    columns = CatalogColumns((), (image,))
    assert parse_columns(columns.text(), "list").images == (image,)


@pytest.mark.parametrize("name", ["F475W", "F81", "814", ""])
def test_a_filter_that_is_not_there_is_told_with_those_that_are(name):
    with pytest.raises(BadConfiguration, match="Known are: F606W, F814W"):
        made_columns().filter(name)


def test_a_quantity_that_is_not_there_is_told():
    with pytest.raises(BadConfiguration, match="column colour of F606W does not exist"):
        made_columns().find("colour", filter_name="F606W")


def test_a_column_of_filter_and_image_is_none():
    with pytest.raises(BadConfiguration, match="not of both"):
        made_columns().find("chi", filter_name="F606W", image=1)


def two_instruments() -> CatalogColumns:
    """ACS and WFC3 both have F814W, in the old spelling."""
    images = tuple(CatalogImage(n, f"x{n}", "F814W", 10.0) for n in (1, 2, 3, 4))
    return CatalogColumns((CatalogFilter("F814W"), CatalogFilter("F814W")), images)


def test_a_filter_that_two_instruments_have_is_ambiguous_without_them():
    with pytest.raises(BadConfiguration, match="filter F814W is not the only one"):
        two_instruments().filter("F814W")


def test_blocks_of_one_filter_are_those_of_the_instruments_in_dolphots_order():
    named = two_instruments().named_by({1: "WFC3", 2: "WFC3", 3: "ACS", 4: "ACS"})
    assert [each.instrument for each in named.filters] == ["ACS", "WFC3"]
    assert [image.number for image in named.images_of("ACS_F814W")] == [3, 4]
    assert named.find("chi", filter_name="WFC3_F814W").name == "wfc3_f814w_chi"


def test_an_instrument_of_one_image_has_no_block():
    images = tuple(CatalogImage(n, f"x{n}", "F814W", 10.0) for n in (1, 2, 3))
    columns = CatalogColumns((CatalogFilter("F814W"),), images)
    named = columns.named_by({1: "ACS", 2: "WFC3", 3: "WFC3"})
    assert [each.instrument for each in named.filters] == ["WFC3"]


def test_a_block_without_images_is_told():
    columns = CatalogColumns((CatalogFilter("F814W"),), (CatalogImage(1, "x", "F606W", 1.0),))
    with pytest.raises(UnusableInput, match="no instrument has two images in F814W"):
        columns.named_by({1: "WFC3"})


def test_flat_names_are_unique_even_if_files_have_the_same_name():
    images = tuple(CatalogImage(n, f"/{n}/x_flc.chip1", "F606W", 1.0) for n in (1, 2))
    names = [each.name for each in CatalogColumns((CatalogFilter("F606W"),), images)]
    assert len(set(names)) == len(names)
    assert {"x_flc_chip1_chi", "x_flc_chip1_2_chi"} <= set(names)


def test_flat_names_of_an_image_that_is_called_like_a_filter_differ_from_the_filters():
    columns = CatalogColumns((CatalogFilter("F606W"),), (CatalogImage(1, "f606w", "F606W", 1.0),))
    names = [each.name for each in columns]
    assert len(set(names)) == len(names)


def test_a_list_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingProduct, match="list of columns is missing"):
        read_columns(tmp_path / "dp.columns")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, "1. Extension"),
        (5, "6. Chi for fit"),
        (12, "12. Total count, F606W"),
        (13, "13. Total sky level, F814W"),
        (38, "38. Measured counts, x_flc.chip1 (F814W, 500.0 se"),
        (40, ""),
    ],
)
def test_a_wrong_line_is_told_with_its_number(line, text):
    lines = made_columns().text().splitlines()
    lines[line - 1] = text
    with pytest.raises(UnusableInput, match=f"dp.columns, line {line}:"):
        parse_columns("\n".join(lines) + "\n", "dp.columns")


def test_a_list_that_ends_within_a_block_is_told():
    lines = made_columns().text().splitlines()
    with pytest.raises(UnusableInput, match="line 61: the end of the file stands where"):
        parse_columns("\n".join(lines[:60]) + "\n", "dp.columns")


@pytest.mark.parametrize("name", ALL_RUNS)
class TestReference:
    pytestmark = needs_runs

    def test_a_list_of_dolphot_is_written_as_it_was_read(self, name):
        path = ALL_RUNS[name].file(".columns")
        assert read_columns(path).text() == path.read_text()

    def test_each_image_has_as_many_columns_as_its_instrument(self, name):
        columns = read_columns(ALL_RUNS[name].file(".columns"))
        per_image = 17 if name == "analytic PSF" else 13
        assert len(columns) == 11 + 13 * len(columns.filters) + per_image * len(columns.images)

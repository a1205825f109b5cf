import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.exposures.quadrants import QUADRANTS, columns_behind, is_quad

WIDTH = 4096
LEFT, RIGHT, NONE = (0, 2048), (2048, WIDTH), (0, 0)


@pytest.mark.parametrize(
    ("name", "chip", "columns"),
    [
        ("FQ508N", 1, LEFT),  # A
        ("FQ378N", 1, RIGHT),  # B
        ("FQ575N", 2, LEFT),  # C
        ("fq672n ", 2, RIGHT),  # D
        ("FQ508N", 2, NONE),
        ("FQ575N", 1, NONE),
        ("F606W", 1, (0, WIDTH)),
    ],
)
def test_a_quad_filter_lies_before_one_quadrant(name, chip, columns):
    assert columns_behind({"FILTER": name}, {"CCDCHIP": chip}, WIDTH) == columns


@pytest.mark.parametrize(
    ("first_column", "width", "columns"),
    [(0, 513, (0, 513)), (1900, 400, (0, 148)), (2048, 400, NONE), (3500, 500, NONE)],
)
def test_a_subarray_has_its_part_of_the_quadrant(first_column, width, columns):
    science = {"CCDCHIP": 2, "LTV1": -float(first_column)}
    assert columns_behind({"FILTER": "FQ575N"}, science, width) == columns


def test_every_quad_filter_has_its_quadrant():
    assert len(QUADRANTS) == 20
    uvis = DETECTORS["wfc3_uvis"]
    assert all(uvis.images_with(name) for name in QUADRANTS)
    assert not uvis.images_with("FQ000N")


@pytest.mark.parametrize(("name", "quad"), [("FQ575N", True), ("F606W", False), ("N/A", False)])
def test_other_filters_are_no_quads(name, quad):
    assert is_quad({"FILTER": name}) is quad

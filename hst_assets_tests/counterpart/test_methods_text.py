"""The paragraph on methods and its table: what went in is what comes out, and LaTeX reads it."""

import math

import pytest

from hst_assets.counterpart.error_circle import ErrorBudget, ErrorTerm
from hst_assets.counterpart.methods_text import ImageRow, latex_table, methods_paragraph
from hst_assets.settings import CounterpartSettings

ROW = ImageRow(
    band="wfc3_uvis.f814w",
    instrument="WFC3/UVIS",
    filter_name="F814W",
    epoch=1,
    mjd=56444.0,
    n_exposures=3,
    exptime_s=1200.0,
    programmes=("13364",),
    part="early",
    zero_point_ab=25.1234,
    limit_3sigma_mag=27.51,
)
BUDGET = ErrorBudget((ErrorTerm("position", 12.0, "given"), ErrorTerm("frame", math.nan, "why")))


def paragraph(**settings):
    return methods_paragraph(
        [ROW],
        BUDGET,
        CounterpartSettings(**settings),
        photometer="the embedded photometer",
        limits={"wfc3_uvis.f814w": 27.83},
        software={"hst_assets": ("1.2",), "drizzlepac": ("3.10.0", "3.11.1")},
        calibrations=["WFC3 pipeline version 3.7"],
        measured_on="",
    ).replace("\n", " ")


@pytest.mark.parametrize(
    "text",
    [
        "We used 3 exposures of the Hubble Space Telescope in WFC3/UVIS F814W (programmes 13364",
        "WFC3 pipeline version 3.7",
        "aligned and drizzled with hst_assets 1.2, drizzlepac 3.10.0 and 3.11.1, and measured",
        "position (12.0 mas): 12.0 mas",
        "Not known, and not in this error: frame: why.",
        "in all earlier images of a band together are 27.83 (wfc3_uvis.f814w) AB mag",
    ],
)
def test_the_paragraph_has_its_numbers(text):
    assert text in paragraph()


def test_extinction_and_distance_are_told_where_they_are_set():
    told = paragraph(ebv_mag=0.1, distance_modulus_mag=30.1, distance_modulus_error_mag=0.2)
    assert "A(F814W) = " in told
    assert "Cardelli et al. (1989)" in told
    assert "30.1 +- 0.2 mag" in told
    assert "distance modulus" not in paragraph()


def test_the_table_has_a_row_with_as_many_cells_as_columns():
    lines = latex_table([ROW], target="SN_2013&x").splitlines()
    (row,) = [line for line in lines if line.startswith("2013-06-01")]
    assert row.count("&") == 8
    assert all(line.count("&") == 8 for line in lines if "Date &" in line or "(AB mag)" in line)
    assert "& 25.123 & 27.51 & early" in row
    assert r"\caption{Exposures of SN\_2013\&x.}" in lines


def test_what_is_not_known_is_not_written_as_a_number():
    table = latex_table([ImageRow(**{**vars(ROW), "zero_point_ab": math.nan})], target="a")
    assert "nan" not in table
    assert "& ... &" in table

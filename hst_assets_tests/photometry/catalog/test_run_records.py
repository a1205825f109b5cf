import math

import pytest

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.catalog.run_records import (
    chips_text,
    parse_run_records,
    parse_warnings,
    read_run_records,
    read_warnings,
)
from hst_assets_tests.photometry.catalog.reference_runs import (
    ALL_RUNS,
    ANALYTIC,
    CROWDED,
    needs_runs,
)

DATA = """EXTENSION 0 CHIP 1
WCS image 1: -1848.000000 -825.000000 1.000000 0.000000
Align: 188
Align image 1: 185 170 -1848.002686 -825.000732 0.999953 0.000000 0.000654 0.090626
Align image 2: 180 171 0.123456 0.234567
PSF: 56 388
PSF image 1: 50 0.001528
"""


def test_figures_are_found_by_their_names():
    (chip,) = parse_run_records(DATA, "dp.data")
    (wide,) = chip.of("alignment")
    assert (wide.image, wide["n_used"], wide["scatter_pix"]) == (1, 170, 0.090626)
    (cubic,) = chip.of("cubic_alignment")
    assert cubic["reverse_scatter_pix"] == 0.234567
    assert chip.table("psf")["central_residual"].tolist() == [0.001528]


def test_records_are_written_as_they_were_read():
    assert chips_text(parse_run_records(DATA, "dp.data")) == DATA


def test_the_sign_of_a_nan_is_kept():
    text = DATA.replace("0.001528", "-nan")
    chips = parse_run_records(text, "dp.data")
    assert math.isnan(chips[0].of("psf")[0]["central_residual"])
    assert chips_text(chips) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (2, "WCS image 1: -1848.000000 -825.000000"),
        (3, "Align: 188.5"),
        (4, "Align image 1: 185 170 x"),
        (6, "Sunshine: 1"),
        (1, "Align: 188"),
    ],
)
def test_a_line_of_no_known_kind_is_told(line, text):
    lines = DATA.splitlines()
    lines[line - 1] = text
    with pytest.raises(UnusableInput, match=f"dp.data, line {line}: not a record"):
        parse_run_records("\n".join(lines) + "\n", "dp.data")


def test_a_last_line_that_is_cut_off_is_told():
    with pytest.raises(UnusableInput, match=r"dp\.data, line 7: the last line is cut off"):
        parse_run_records(DATA[:-3], "dp.data")


@pytest.mark.parametrize(
    ("text", "kind", "image", "figure"),
    [
        ("Only 188 stars for alignment", "few_alignment_stars", None, 188),
        ("Only 9 alignment stars used for image 2, x (1.0 sec)", "few_stars_aligned", 2, 9),
        ("Only 37 stars for PSF measurement", "few_psf_stars", None, 37),
        ("Only 7 stars for PSF measurement in image 1, x", "few_psf_stars", 1, 7),
        ("Only 45 aperture stars in image 3, x (F814W, 5.0 sec)", "few_aperture_stars", 3, 45),
        ("No alignment stars matched for image 4, x", "not_aligned", 4, None),
        ("No alignment stars trimmed for image 4, x", "not_trimmed", 4, None),
        ("Large alignment scatter (0.613 pix) for image 5, x", "alignment_scatter", 5, 0.613),
        ("Large alignment scatter (-nan pix) for image 5, x", "alignment_scatter", 5, None),
        ("The sky is falling", "other", None, None),
    ],
)
def test_warnings_are_told_apart(text, kind, image, figure):
    (warning,) = parse_warnings(f"{text}\n", "dp.warnings")
    assert (warning.kind, warning.image, warning.text) == (kind, image, text)
    assert warning.figure == figure
    less_exact = {"few_alignment_stars", "few_psf_stars", "few_aperture_stars"}
    assert warning.is_problem == (kind not in less_exact)


def test_no_warning_is_an_empty_file():
    assert parse_warnings("", "dp.warnings") == ()


def test_missing_files_are_missing(tmp_path):
    for read in (read_run_records, read_warnings):
        with pytest.raises(MissingProduct):
            read(tmp_path / "none")


@pytest.mark.parametrize("name", ALL_RUNS)
class TestReference:
    pytestmark = needs_runs

    def test_records_of_dolphot_are_written_as_they_were_read(self, name):
        path = ALL_RUNS[name].file(".data")
        assert chips_text(read_run_records(path)) == path.read_text()

    def test_all_warnings_of_dolphot_are_known(self, name):
        path = ALL_RUNS[name].file(".warnings")
        warnings = read_warnings(path)
        assert "".join(f"{each.text}\n" for each in warnings) == path.read_text()
        assert {each.kind for each in warnings}.isdisjoint({"other"})


class TestFigures:
    pytestmark = needs_runs

    def test_a_negative_nan_of_dolphot_is_one(self):
        (chip,) = read_run_records(CROWDED.file(".data"))
        assert math.isnan(chip.of("aperture")[1]["psf_outside_scatter"])

    def test_solutions_of_analytic_psfs_are_told_from_their_residuals(self):
        (chip,) = read_run_records(ANALYTIC.file(".data"))
        assert len(chip.of("psf")) == len(chip.of("psf_solution")) == 3
        assert chip.of("psf_solution")[0]["b_0"] == 2.556185

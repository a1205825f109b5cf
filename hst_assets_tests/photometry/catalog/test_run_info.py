import numpy as np
import pytest

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.catalog.run_info import parse_run_info, read_run_info
from hst_assets_tests.photometry.catalog.reference_runs import (
    ALL_RUNS,
    ANALYTIC,
    TWO_FILTERS,
    needs_runs,
)

TWO_CHIPS = """2 sets of output data
/gone/x_flc.chip1
  58000.00250000
/gone/y_flc.chip1
  58000.01250000

EXTENSION 1 CHIP 1
Limits
 0 424 0 424
* ACS-specific info
* image 1: F814W 0 500.000000
* WFC3-specific info
* image 2: F160W 0 400.000000
Alignment
 -1848.002686 -825.000732 0.999953 0.000000 0.000654
 -1844.675659 -822.323853 1.000017 0.000000 -0.000055
Aperture corrections
  -0.000107
  -0.008426

EXTENSION 2 CHIP 1
Limits
 -5 424 0 424
* ACS-specific info
* image 1: F814W 0 500.000000
* WFC3-specific info
* image 2: F160W 0 400.000000
Alignment
 -1848.002686 -825.000732 0.999953 0.000000 0.000654
 -1844.675659 -822.323853 1.000017 0.000000 -0.000055
Aperture corrections
  0.010000
  0.020000

"""


def test_all_chips_are_read_and_written():
    info = parse_run_info(TWO_CHIPS, "dp.info")
    assert info.text() == TWO_CHIPS
    assert [chip.extension for chip in info.chips] == [1, 2]
    assert info.chips[1].limits == (-5, 424, 0, 424)
    np.testing.assert_array_equal(info.chips[1].aperture_corrections_mag, [0.01, 0.02])


def test_detectors_follow_from_instrument_and_chip():
    info = parse_run_info(TWO_CHIPS, "dp.info")
    assert info.instruments == {1: "ACS", 2: "WFC3"}
    assert info.detector_keys == {1: "acs_hrc", 2: "wfc3_ir"}


@pytest.mark.parametrize("width", [40, 89, 124])
def test_alignments_of_higher_orders_are_read_and_written(width):
    plain = 5 if width == 89 else 0
    row = "".join(" 0.500000" if at < plain else " 1.250000e+00" for at in range(width))
    lines = [
        row if line.count(".") == 5 and line.startswith(" -") else line
        for line in TWO_CHIPS.splitlines()
    ]
    text = "\n".join(lines) + "\n"
    info = parse_run_info(text, "dp.info")
    assert info.chips[0].alignment.shape == (2, width)
    assert info.text() == text


def test_a_run_without_any_chip_has_its_images():
    info = parse_run_info("1 sets of output data\nx\n  58000.00000000\n\n", "dp.info")
    assert info.chips == ()
    assert info.instruments == {}


@pytest.mark.parametrize("line", [1, 3, 6, 7, 9, 14, 15, 17, 18, 19])
def test_a_damaged_line_is_told_with_its_number(line):
    lines = TWO_CHIPS.splitlines()
    lines[line - 1] = "damaged 1"
    with pytest.raises(UnusableInput, match=r"dp.info, line \d+:") as failure:
        parse_run_info("\n".join(lines) + "\n", "dp.info")
    told = int(failure.value.where.rpartition(" ")[2])
    # The section that the line belongs to may only then miss what follows.
    assert line <= told <= line + 1


@pytest.mark.parametrize("n_lines", range(1, 18))
def test_a_file_that_ends_too_early_is_told(n_lines):
    text = "".join(TWO_CHIPS.splitlines(keepends=True)[:n_lines])
    if n_lines == 6:  # complete, of a run without chips
        assert parse_run_info(text, "dp.info").chips == ()
        return
    with pytest.raises(UnusableInput, match=r"dp\.info, line"):
        parse_run_info(text, "dp.info")


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(MissingProduct):
        read_run_info(tmp_path / "dp.info")


@pytest.mark.parametrize("name", ALL_RUNS)
class TestReference:
    pytestmark = needs_runs

    def test_a_file_of_dolphot_is_written_as_it_was_read(self, name):
        path = ALL_RUNS[name].file(".info")
        assert read_run_info(path).text() == path.read_text()


class TestFigures:
    pytestmark = needs_runs

    def test_figures_are_those_of_the_file(self):
        info = read_run_info(TWO_FILTERS.file(".info"))
        assert info.detector_keys == dict.fromkeys((1, 2, 3, 4), "wfc3_uvis")
        assert info.images[1].mjd == 58000.0125
        chip = info.chips[0]
        assert chip.alignment[2, 1] == -820.483337
        np.testing.assert_array_equal(
            chip.aperture_corrections_mag, [-0.000107, -0.008426, 0.007990, 0.000025]
        )

    def test_an_analytic_psf_has_its_solution(self):
        (chip,) = read_run_info(ANALYTIC.file(".info")).chips
        assert chip.psf_solution.shape == (9, 6)
        assert chip.psf_solution[0, 0] == 2.608132
        assert chip.image_lines == {}

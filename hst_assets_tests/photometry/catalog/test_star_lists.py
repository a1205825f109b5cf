import astropy.units as u
import numpy as np
import pytest

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.star_lists import (
    read_aperture_stars,
    read_psf_stars,
    read_star_positions,
    write_aperture_stars,
    write_psf_stars,
    write_star_positions,
)
from hst_assets_tests.photometry.catalog.reference_runs import (
    ALL_RUNS,
    ANALYTIC,
    CROWDED,
    TWO_FILTERS,
    needs_runs,
)


def test_a_row_of_another_length_is_told(tmp_path):
    path = tmp_path / "dp.psfs"
    path.write_text("0 1  23.86  95.46 1 1\n0 1 404.12 277.10 1\n")
    with pytest.raises(UnusableInput, match=r"dp\.psfs, line 2: 5 numbers instead of 6"):
        read_psf_stars(path, 2)


def test_a_number_of_an_image_that_is_not_whole_is_told(tmp_path):
    path = tmp_path / "dp.psfs"
    path.write_text("0 1  23.86  95.46 1\n0 1  23.86  95.46 0.5\n")
    with pytest.raises(UnusableInput, match=r"dp\.psfs, line 2: image_1 is 0\.5"):
        read_psf_stars(path, 1)


class TestReference:
    pytestmark = needs_runs

    @pytest.mark.parametrize("run", [TWO_FILTERS, ANALYTIC], ids=["two filters", "analytic PSF"])
    def test_aperture_stars_are_written_as_they_were_read(self, run, tmp_path):
        path = run.file(".apcor")
        write_aperture_stars(read_aperture_stars(path), tmp_path / "dp.apcor")
        assert (tmp_path / "dp.apcor").read_bytes() == path.read_bytes()

    @pytest.mark.parametrize("name", ALL_RUNS)
    def test_psf_stars_are_written_as_they_were_read(self, name, tmp_path):
        path = ALL_RUNS[name].file(".psfs")
        n_images = 3 if name == "analytic PSF" else 4
        write_psf_stars(read_psf_stars(path, n_images), tmp_path / "dp.psfs")
        assert (tmp_path / "dp.psfs").read_bytes() == path.read_bytes()

    def test_positions_are_written_as_they_were_read(self, tmp_path):
        path = ANALYTIC.catalog.with_name("warm.xyt")
        write_star_positions(read_star_positions(path), tmp_path / "warm.xyt")
        assert (tmp_path / "warm.xyt").read_bytes() == path.read_bytes()

    def test_aperture_stars_have_units_and_whole_numbers(self):
        table = read_aperture_stars(TWO_FILTERS.file(".apcor"))
        assert table["x"].unit == u.pix
        assert table["small_to_large"].unit == u.mag
        assert table["image"].dtype.kind == "i"
        assert np.unique(table["image"]).tolist() == [1, 2, 3, 4]

    def test_a_psf_star_of_some_images_says_which(self):
        table = read_psf_stars(CROWDED.file(".psfs"), 4)
        assert [table[6][f"image_{number}"] for number in (1, 2, 3, 4)] == [0, 1, 1, 0]

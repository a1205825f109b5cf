import numpy as np
import pytest

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.artificial_stars import (
    ArtificialStars,
    StarsPutIn,
    read_artificial_stars,
    read_stars_put_in,
    write_artificial_stars,
    write_stars_put_in,
)
from hst_assets.photometry.catalog.quantities import NOT_RECOVERED
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog, made_columns
from hst_assets_tests.photometry.catalog.reference_runs import ANALYTIC, TWO_FILTERS, needs_runs

N = 6


def measured_of(rows, chips=None):
    """What was measured of rows 0..N-1 of a list that lies on a diagonal."""
    catalog = made_catalog(len(rows))
    at = np.array(rows, dtype=float)
    chip = np.ones(len(rows), dtype=np.int32) if chips is None else np.array(chips, np.int32)
    n_images = len(catalog.columns.images)
    counts = np.full((len(rows), n_images), 1234.5)
    counts[0] = 2.5e6
    magnitudes = np.full_like(counts, 21.25)
    place = np.zeros(len(rows), dtype=np.int32), chip, 10 * at, 20 * at
    return ArtificialStars(*place, counts, magnitudes, catalog)


def put_in(chips=None):
    at = np.arange(N, dtype=float)
    chip = np.ones(N, dtype=np.int32) if chips is None else np.array(chips, dtype=np.int32)
    brightness = np.full((N, 2), 21.5)
    return StarsPutIn(
        np.zeros(N, dtype=np.int32), chip, 10 * at, 20 * at, brightness, ("F606W", "F814W")
    )


def test_stars_that_were_left_out_are_counted_against_the_list():
    found = measured_of([0, 2, 5]).found_of(put_in())
    assert found.tolist() == [0, -1, 1, -1, -1, 2]


def test_each_chip_has_the_order_of_the_list():
    chips = [1, 2, 1, 2, 1, 2]
    found = measured_of([0, 4, 1, 5], chips=[1, 1, 2, 2]).found_of(put_in(chips))
    assert found.tolist() == [0, 2, -1, -1, 1, 3]


def test_two_stars_at_one_place_are_two():
    twice = put_in()
    twice.x[1], twice.y[1] = twice.x[0], twice.y[0]
    assert measured_of([0, 0, 2]).found_of(twice).tolist() == [0, 1, 2, -1, -1, -1]


def test_a_star_of_another_list_is_told():
    with pytest.raises(UnusableInput, match="row 2 is not in the list"):
        measured_of([0, 7]).found_of(put_in())


def test_only_a_star_that_no_image_has_is_not_recovered():
    stars = measured_of([0, 1, 2])
    for image in stars.measured.columns.images:
        stars.measured.values("flag", image=image.number)[1] = NOT_RECOVERED
    stars.measured.values("flag", image=1)[2] = NOT_RECOVERED
    assert stars.recovered.tolist() == [True, False, True]


def test_what_was_written_is_read(tmp_path):
    stars, path = measured_of([0, 1, 2]), tmp_path / "dp.fake"
    write_artificial_stars(stars, path)
    again = read_artificial_stars(path, columns=made_columns())
    np.testing.assert_array_equal(again.counts, stars.counts)
    np.testing.assert_array_equal(again.measured["x"], stars.measured["x"])
    write_artificial_stars(again, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_list_is_written_and_read(tmp_path):
    path = tmp_path / "dp.fakelist"
    write_stars_put_in(put_in(), path)
    again = read_stars_put_in(path, ("F606W", "F814W"))
    np.testing.assert_array_equal(again.brightness, put_in().brightness)
    assert len(again) == N


def test_a_list_of_other_filters_is_told(tmp_path):
    path = tmp_path / "dp.fakelist"
    write_stars_put_in(put_in(), path)
    with pytest.raises(UnusableInput, match="line 1: 6 numbers instead of 7"):
        read_stars_put_in(path, ("F475W", "F606W", "F814W"))


def test_a_list_without_a_chip_is_told(tmp_path):
    path = tmp_path / "dp.fakelist"
    path.write_text("0 1 10.00 20.00 21.500\n0 0.5 10.00 20.00 21.500\n")
    with pytest.raises(UnusableInput, match="line 2: no extension, chip and position"):
        read_stars_put_in(path, ("F606W",))


class TestReference:
    pytestmark = needs_runs

    @pytest.mark.parametrize("run", [TWO_FILTERS, ANALYTIC], ids=["two filters", "analytic PSF"])
    def test_results_of_dolphot_are_written_as_they_were_read(self, run, tmp_path):
        path = run.file(".fake")
        write_artificial_stars(read_artificial_stars(path), tmp_path / "dp.fake")
        assert (tmp_path / "dp.fake").read_bytes() == path.read_bytes()

    def test_a_list_of_dolphot_is_written_as_it_was_read(self, tmp_path):
        path = TWO_FILTERS.file(".fakelist")
        write_stars_put_in(read_stars_put_in(path, ("F606W", "F814W")), tmp_path / "list")
        assert (tmp_path / "list").read_bytes() == path.read_bytes()

    def test_dolphot_left_out_five_of_61_stars(self):
        stars = read_artificial_stars(TWO_FILTERS.file(".fake"))
        listed = read_stars_put_in(TWO_FILTERS.file(".fakelist"), ("F606W", "F814W"))
        found = stars.found_of(listed)
        assert (found < 0).sum() == len(listed) - len(stars) == 5
        # What was put into each image has the magnitude of the list; both print three decimals.
        of_image = stars.magnitudes[found[found >= 0]]
        np.testing.assert_allclose(of_image[:, 0], listed.brightness[found >= 0, 1], atol=1e-9)
        np.testing.assert_allclose(of_image[:, 2], listed.brightness[found >= 0, 0], atol=1e-9)

    def test_a_faint_star_was_not_recovered(self):
        stars = read_artificial_stars(ANALYTIC.file(".fake"))
        assert stars.recovered.tolist() == [True, True, False]

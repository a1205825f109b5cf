import numpy as np
import pytest

from hst_assets.photometry.catalog.combining import mean_of_images
from hst_assets.photometry.catalog.reading import read_catalog
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog
from hst_assets_tests.photometry.catalog.reference_runs import CROWDED, TWO_FILTERS, needs_runs

ZERO_POINT = 26.0


def two_images(counts, errors, flags=(0, 0)):
    """One star with these counts and errors (counts) in the two images of F606W, of 500 s."""
    catalog = made_catalog(1)
    unit = 10 ** (-0.4 * ZERO_POINT) / 500
    for number in (1, 2):
        at = number - 1
        values = {
            "counts": counts[at],
            "sky": 50.0,
            "rate": counts[at] * unit,
            "rate_error": errors[at] * unit,
            "vega_mag": -2.5 * np.log10(counts[at] * unit) if counts[at] > 0 else 99.999,
            "flag": flags[at],
        }
        for key, value in values.items():
            catalog.values(key, image=number)[0] = value
    return catalog


def test_the_mean_is_weighted_by_the_inverse_variances():
    mean = mean_of_images(two_images((1000.0, 2000.0), (10.0, 20.0)), "F606W", flag_mask=7)
    expected = (1000 / 100 + 2000 / 400) / (1 / 100 + 1 / 400)
    assert mean.mag[0] == pytest.approx(ZERO_POINT - 2.5 * np.log10(expected / 500), abs=1e-6)
    error = 1 / np.sqrt(1 / 100 + 1 / 400)
    assert mean.mag_error[0] == pytest.approx(1.0857362 * error / expected, rel=1e-6)
    assert mean.rate_error[0] / mean.rate[0] == pytest.approx(error / expected, rel=1e-6)


@pytest.mark.parametrize(("flag", "mask"), [(1, 7), (4, 4), (8, 0), (9, 0), (16, 0)])
def test_an_image_whose_flag_is_masked_does_not_count(flag, mask):
    mean = mean_of_images(
        two_images((1000.0, 2000.0), (10.0, 20.0), (0, flag)), "F606W", flag_mask=mask
    )
    assert mean.n_images[0] == 1
    assert mean.mag[0] == pytest.approx(ZERO_POINT - 2.5 * np.log10(2.0), abs=1e-6)


def test_a_flag_outside_of_the_mask_counts():
    catalog = two_images((1000.0, 2000.0), (10.0, 20.0), (0, 1))
    assert mean_of_images(catalog, "F606W", flag_mask=4).n_images[0] == 2


def test_negative_counts_count_in_the_mean():
    mean = mean_of_images(two_images((1000.0, -200.0), (10.0, 10.0)), "F606W", flag_mask=7)
    assert mean.mag[0] == pytest.approx(ZERO_POINT - 2.5 * np.log10(400 / 500), abs=1e-6)


def test_a_mean_below_zero_has_no_magnitude():
    mean = mean_of_images(two_images((100.0, -200.0), (10.0, 10.0)), "F606W", flag_mask=7)
    assert (mean.mag[0], mean.mag_error[0]) == (99.999, 9.999)
    assert mean.rate[0] < 0


def test_without_an_image_nothing_is_measured():
    mean = mean_of_images(two_images((1e3, 1e3), (10.0, 10.0), (9, 9)), "F606W", flag_mask=7)
    assert (mean.mag[0], mean.mag_error[0], mean.rate[0], mean.n_images[0]) == (99.999, 9.999, 0, 0)
    assert np.isinf(mean.rate_error[0])


def numbers_of(catalog, name):
    return [image.number for image in catalog.columns.images_of(name)]


class TestReference:
    pytestmark = needs_runs

    @pytest.mark.parametrize(
        ("run", "name"), [(TWO_FILTERS, "F606W"), (TWO_FILTERS, "F814W"), (CROWDED, "F814W")]
    )
    def test_means_are_those_of_dolphot(self, run, name):
        catalog = read_catalog(run.catalog)
        mean = mean_of_images(catalog, name, flag_mask=run.flag_mask)
        mag = catalog.values("vega_mag", filter_name=name)
        error = catalog.values("mag_error", filter_name=name)
        measured = (mag < 99) & (mean.mag < 99)
        # One star whose mean is zero within rounding may have a magnitude in one and not the other.
        assert ((mag < 99) != (mean.mag < 99)).sum() <= 1
        off = np.abs(mean.mag - mag)
        images = np.stack([catalog.values("vega_mag", image=n) for n in numbers_of(catalog, name)])
        # Rounding: 0.0005 mag of magnitudes, up to 0.5 % of errors, which moves the weights. That
        # matters only where images of a star differ by as much as in one with a cosmic ray.
        good = measured & (error < 0.1) & (np.ptp(images, axis=0) < 0.5)
        assert good.sum() > 100
        assert off[good].max() < 0.002
        assert (off[measured] > 0.002 + 0.012 * error[measured]).mean() < 0.005
        # Errors below 0.05 are printed with two digits.
        sure = measured & (error >= 0.05) & (error < 9)
        ratio = mean.mag_error[sure] / error[sure]
        assert np.abs(ratio - 1).max() < 0.02

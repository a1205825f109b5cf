"""Measured stars as a catalogue: DOLPHOT's means, its figures for nothing, and its files."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.photometry.catalog.bands import bands_of
from hst_assets.photometry.catalog.combining import mean_of_images
from hst_assets.photometry.catalog.magnitudes import detectors_of_bands, zero_points
from hst_assets.photometry.catalog.reading import catalog_columns, read_catalog
from hst_assets.photometry.catalog.run_info import read_run_info
from hst_assets.photometry.catalog.run_records import read_run_records, read_warnings
from hst_assets.photometry.psf.catalog_files import catalog_of_stars, run_info, write_files
from hst_assets_tests.photometry.catalog.reference_runs import CROWDED, TWO_FILTERS, needs_runs
from hst_assets_tests.photometry.psf.measured_stars import (
    cataloged_image,
    measured_stars,
    of_catalog,
)

TWO = [cataloged_image("a"), cataloged_image("b", exptime_s=1000.0)]


def test_places_are_half_a_pixel_on():
    catalog = catalog_of_stars(measured_stars([[1e4], [2e4]], [[100], [150]]), TWO, flag_mask=7)
    assert (catalog["x"][0], catalog["y"][0]) == (10.5, 20.5)
    assert (catalog["extension"][0], catalog["chip"][0]) == (0, 1)


def test_a_magnitude_is_of_all_light():
    """24 - 2.5 lg(1e4 / 500) = 20.747; 0.1 brighter by the aperture, 0.2 to infinity."""
    images = [dataclasses.replace(each, to_infinity_mag=-0.2) for each in TWO]
    stars = measured_stars(
        [[1e4], [2e4]], [[100], [150]], aperture_correction_mag=np.array([-0.1, -0.1])
    )
    catalog = catalog_of_stars(stars, images, flag_mask=7)
    assert catalog.values("vega_mag", image=1)[0] == pytest.approx(20.7474 - 0.3, abs=1e-4)
    assert catalog.values("rate", image=1)[0] == pytest.approx(10 ** (-0.4 * 20.4474), rel=1e-4)
    assert catalog.values("counts", image=1)[0] == 1e4  # without correction
    assert catalog.values("mag_error", image=1)[0] == pytest.approx(0.0108574, abs=1e-6)


def test_counts_are_those_of_the_exposure():
    images = [dataclasses.replace(each, gain=7.0) for each in TWO]
    catalog = catalog_of_stars(measured_stars([[7e4], [7e4]], [[70], [70]]), images, flag_mask=7)
    assert catalog.values("counts", image=1)[0] == 1e4
    assert catalog.values("snr", image=1)[0] == 1e3
    assert catalog.values("sky", image=1)[0] == pytest.approx(50 / 7)


def test_a_filter_is_the_mean_by_the_variance_of_rates():
    """Rates 20 ± 0.2 and 21 ± 0.15: weights 25 and 44.44."""
    stars = measured_stars([[1e4], [2.1e4]], [[100], [150]])
    catalog = catalog_of_stars(stars, TWO, flag_mask=7)
    mean = (20 * 25 + 21 * 44.4444) / 69.4444
    assert catalog.values("counts", filter_name="F814W")[0] == pytest.approx(mean * 1500, rel=1e-6)
    snr = mean * np.sqrt(69.4444)
    assert catalog.values("snr", filter_name="F814W")[0] == pytest.approx(snr, rel=1e-6)
    assert catalog["snr"][0] == pytest.approx(np.hypot(100, 140))


def test_images_with_a_flag_of_the_mask_do_not_count():
    flag = np.array([[0, 4, 4, 9], [4, 0, 4, 9]], np.int32)
    stars = measured_stars([[1e4] * 4, [4e4] * 4], [[100] * 4, [150] * 4], flag=flag)
    catalog = catalog_of_stars(stars, TWO, flag_mask=7)
    assert np.allclose(catalog.values("counts", filter_name="F814W"), (3e4, 6e4, 0, 0))
    assert np.array_equal(catalog.values("flag", filter_name="F814W"), (0, 0, 0, 0))
    assert np.array_equal(catalog.values("flag", image=2), (4, 0, 4, 9))
    kept = catalog_of_stars(stars, TWO, flag_mask=0)
    assert np.array_equal(kept.values("flag", filter_name="F814W"), (4, 4, 4, 0))


def test_what_was_not_measured_has_dolphots_figures():
    """Off the image; without pixels; negative."""
    stars = measured_stars(
        [[5.0, np.nan, -300.0]] * 2,
        [[1.0, np.inf, 100.0]] * 2,
        flag=np.array([[9, 2, 0]] * 2, np.int32),
        sky_e=np.array([[np.nan, np.nan, 40.0]] * 2),
        chi=np.array([[np.nan, np.nan, 1.1]] * 2),
    )
    catalog = catalog_of_stars(stars, TWO, flag_mask=7)
    for where in ({"image": 1}, {"filter_name": "F814W"}):
        assert np.array_equal(catalog.values("vega_mag", **where), (99.999,) * 3)
        assert np.array_equal(catalog.values("mag_error", **where)[:2], (9.999, 9.999))
        assert np.array_equal(catalog.values("rate_error", **where)[:2], (9999.0, 9999.0))
        assert np.array_equal(catalog.values("chi", **where), (0, 0, 1.1))
    assert np.array_equal(catalog.values("snr", image=1), (0, 0, -3))
    assert np.array_equal(catalog.values("counts", image=1), (0, 0, -300))
    assert np.array_equal(catalog.values("flag", image=1), (9, 2, 0))
    assert np.isfinite(np.concatenate(list(catalog.data.values()))).all()


def test_without_a_zero_point_there_are_counts_but_no_magnitudes():
    images = [dataclasses.replace(each, zero_point_mag=np.nan) for each in TWO]
    catalog = catalog_of_stars(measured_stars([[1e4], [2e4]], [[100], [150]]), images, flag_mask=7)
    assert catalog.values("vega_mag", filter_name="F814W")[0] == 99.999
    assert catalog.values("counts", filter_name="F814W")[0] > 0
    assert catalog.values("rate", image=1)[0] == 0


def test_lost_charge_brightens_magnitudes_and_no_counts():
    stars = measured_stars([[1e4], [2e4]], [[100], [150]])
    lost = np.array([[-0.3], [-0.3]])
    catalog = catalog_of_stars(stars, TWO, flag_mask=7, transfer_mag=lost)
    for where in ({"image": 1}, {"filter_name": "F814W"}):
        assert catalog.values("vega_mag", **where)[0] == pytest.approx(20.7474 - 0.3, abs=1e-4)
    assert catalog.values("counts", image=1)[0] == 1e4


def test_a_star_whose_lost_charge_is_not_known_has_no_magnitude_on_that_image():
    stars = measured_stars([[1e4], [2e4]], [[100], [150]])
    catalog = catalog_of_stars(stars, TWO, flag_mask=7, transfer_mag=np.array([[np.nan], [-0.3]]))
    assert catalog.values("vega_mag", image=1)[0] == 99.999
    assert catalog.values("vega_mag", image=2)[0] < 30


def test_filters_of_two_images_have_columns_in_dolphots_order():
    ir = {"detector": DETECTORS["wfc3_ir"], "chip_code": 0}
    acs = {"detector": DETECTORS["acs_wfc"]}
    images = [
        cataloged_image("a", "F160W", **ir),
        cataloged_image("b", "F160W", **ir),
        cataloged_image("c", "F814W"),
        cataloged_image("d", "F814W"),
        cataloged_image("e", "F606W-POL0V", **acs),
        cataloged_image("f", "F606W-POL0V", **acs),
        cataloged_image("g", "F336W"),
    ]
    stars = measured_stars([[1e4]] * 7, [[100]] * 7)
    columns = catalog_of_stars(stars, images, flag_mask=7).columns
    labels = [each.label for each in columns.filters]
    assert labels == ["ACS_F606WPOL0V", "WFC3_F814W", "WFC3_F160W"]
    assert len(bands_of(columns)) == 4


@pytest.mark.parametrize("n", [0, 3])
def test_what_is_written_is_read_back(tmp_path, n):
    images = [
        cataloged_image("a", "F606W"),
        cataloged_image("b", "F606W"),
        cataloged_image("c", "F814W"),
        cataloged_image("d", "F814W"),
    ]
    stars = measured_stars(
        np.full((4, n), 3e4), np.full((4, n), 200.0), aperture_correction_mag=np.full(4, -0.05)
    )
    catalog = catalog_of_stars(stars, images, flag_mask=7)
    path = tmp_path / "dp0000"
    warned = ("Only 12 stars for PSF measurement in image 1, a_flc.chip1", "no table\nfor it")
    files = write_files(
        catalog,
        run_info(stars, images, shape=(300, 400)),
        path,
        parameters="# written by hst_assets\nNimg = 4\n",
        warnings=warned,
    )
    assert {file.name for file in files} == {
        f"dp0000{ending}" for ending in ("", ".columns", ".param", ".info", ".data", ".warnings")
    }
    assert catalog_columns(path).images[0].instrument == "WFC3"
    info = read_run_info(path.with_name("dp0000.info"))
    assert detectors_of_bands(catalog.columns, info) == {
        "WFC3_F606W": "wfc3_uvis",
        "WFC3_F814W": "wfc3_uvis",
    }
    assert info.chips[0].limits == (0, 400, 0, 300)
    assert read_run_records(path.with_name("dp0000.data"))[0].records == ()
    kinds = [each.kind for each in read_warnings(path.with_name("dp0000.warnings"))]
    assert kinds == ["few_psf_stars", "other"]
    back = read_catalog(path)
    assert len(back) == n
    for name, values in catalog.data.items():
        assert np.allclose(back[name], values, atol=6e-3, rtol=6e-3), name  # rates: three digits
    if n:
        points = zero_points(back, info)
        assert [point.mag for point in points] == pytest.approx([24.0] * 4, abs=1e-3)
        mean = mean_of_images(back, "F606W", flag_mask=7)
        assert mean.mag == pytest.approx(back.values("vega_mag", filter_name="F606W"), abs=1e-3)


#: By how much (of 90 % of the stars) they follow from the images' columns; the rest is the
#: rounding of files (chi has two digits) and, of roundness, the angle of each filter.
AGREEMENT = {"snr": 0.01, "chi": 0.01, "sharpness": 0.02, "roundness": 0.03, "crowding": 0.01}


@pytest.mark.parametrize("run", [TWO_FILTERS, CROWDED], ids=["two filters", "crowded"])
@needs_runs[0]
@needs_runs[1]
def test_dolphots_filters_and_objects_follow_from_its_images(run):
    theirs = read_catalog(run.catalog)
    stars, images = of_catalog(theirs)
    ours = catalog_of_stars(stars, images, flag_mask=run.flag_mask)
    filters = [each.name for each in theirs.columns.filters]
    good = np.all([stars.flag[k] == 0 for k in range(len(images))], axis=0)
    for name in filters:
        good &= theirs.values("snr", filter_name=name) > 10
    assert good.sum() > 150
    places = [{}, *({"filter_name": name} for name in filters)]
    for where in places:
        for key, limit in AGREEMENT.items():
            a, b = (each.values(key, **where)[good] for each in (ours, theirs))
            if key == "snr":
                a, b = a / b, np.ones_like(b)
            # A tenth of the stars are neighbours, of which the images' figures do not tell all.
            off = np.percentile(np.abs(a - b), 90)
            assert off < limit, (where, key, off)
    for name in filters:
        mags = (each.values("vega_mag", filter_name=name)[good] for each in (ours, theirs))
        assert np.median(np.abs(np.subtract(*mags))) < 0.002
        flags = (each.values("flag", filter_name=name) for each in (ours, theirs))
        assert np.array_equal(*flags)

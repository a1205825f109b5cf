"""Against formulae written out here, photutils by itself, and drizzlepac where it is right."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from photutils.aperture import CircularAnnulus, CircularAperture, aperture_photometry

from hst_assets.failures import BadConfiguration
from hst_assets.hap.aperture_photometry import aperture_stats_tbl, iraf_style_photometry

#: WFC3/IR F160W.
PHOTFLAM, PHOTPLAM = 1.9276e-20, 15369.2
SKY, SKY_NOISE, GAIN = 20.0, 3.0, 2.5
SIZE, SIGMA_PIX = 200, 1.6
RADII = (3.0, 6.0)
INNER, OUTER = 12.0, 18.0
#: Of HAP's images of WFC3/IR.
HSTWCS_SCALE_ARCSEC = 0.12825
DRIZZLEPAC_DIVIDES_BY_ZERO = pytest.mark.filterwarnings("ignore:invalid value encountered")


@pytest.fixture(scope="module")
def field():
    """Sixteen Gaussian stars in ADU on a flat sky: places, true fluxes, and the image."""
    chance = np.random.default_rng(11)
    grid = 30.0 + 45.0 * np.arange(4)
    places = np.array([(x, y) for y in grid for x in grid]) + chance.uniform(-0.5, 0.5, (16, 2))
    fluxes = np.geomspace(2_000, 200_000, 16)
    y, x = np.mgrid[:SIZE, :SIZE]
    image = np.full((SIZE, SIZE), SKY)
    for (x0, y0), flux in zip(places, fluxes, strict=True):
        profile = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * SIGMA_PIX**2))
        image += flux * profile / (2 * math.pi * SIGMA_PIX**2)
    stars = image - SKY
    photons = chance.poisson(stars * GAIN) / GAIN
    return places, fluxes, SKY + photons + chance.normal(0, SKY_NOISE, image.shape)


def apertures(places):
    return [CircularAperture(places, radius) for radius in RADII]


def annulus(places):
    return CircularAnnulus(places, INNER, OUTER)


def pixels_touched(image, place):
    """Those of an annulus, by distances of the nearest and farthest points of each pixel."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    dx, dy = np.abs(x - place[0]), np.abs(y - place[1])
    nearest = np.hypot(np.maximum(dx - 0.5, 0), np.maximum(dy - 0.5, 0))
    farthest = np.hypot(dx + 0.5, dy + 0.5)
    return image[(nearest < OUTER) & (farthest > INNER)]


def clipped(values):
    """Beyond three standard deviations of the mean, until nothing is."""
    while True:
        kept = values[np.abs(values - values.mean()) <= 3 * values.std()]
        if len(kept) == len(values):
            return kept
        values = kept


def test_the_sky_is_that_of_all_pixels_that_the_annulus_touches(field):
    places, _, image = field
    table = aperture_stats_tbl(image, annulus(places))
    for row, place in zip(table, places, strict=True):
        values = clipped(pixels_touched(image, place))
        mean, median = values.mean(), np.median(values)
        assert row["aperture_area"] == len(values)
        # Sums in another order.
        assert row["aperture_mean"] == pytest.approx(mean, rel=1e-12)
        assert row["aperture_median"] == pytest.approx(median, rel=1e-12)
        assert row["aperture_mode"] == pytest.approx(3 * median - 2 * mean, rel=1e-12)
        assert row["aperture_std"] == pytest.approx(values.std(), rel=1e-12)
    # 612 pixels each: 0.12 of noise; 1.4 % less spread by clipping, and 3 % by chance.
    np.testing.assert_allclose(table["aperture_median"], SKY, atol=5 * 1.25 * 0.12)
    np.testing.assert_allclose(table["aperture_std"], SKY_NOISE, rtol=0.15)


def test_pixels_count_by_their_centres_if_asked(field):
    places, _, image = field
    table = aperture_stats_tbl(image, annulus(places), method="center", sigma_clip=False)
    y, x = np.mgrid[:SIZE, :SIZE]
    for row, (x0, y0) in zip(table, places, strict=True):
        away = np.hypot(x - x0, y - y0)
        values = image[(away > INNER) & (away < OUTER)]
        assert row["aperture_area"] == len(values)
        assert row["aperture_std"] == pytest.approx(values.std(), rel=1e-12)


@pytest.mark.parametrize("method", ["mean", "median", "mode"])
def test_fluxes_errors_and_magnitudes_are_those_of_the_formulae(field, method):
    places, _, image = field
    measured = iraf_style_photometry(
        apertures(places), annulus(places), image, PHOTFLAM, PHOTPLAM, bg_method=method, epadu=GAIN
    )
    sky = aperture_stats_tbl(image, annulus(places))
    level, noise, n_sky = (
        np.asarray(sky[name]) for name in (f"aperture_{method}", "aperture_std", "aperture_area")
    )
    for number, radius in enumerate(RADII, start=1):
        sums = aperture_photometry(image, CircularAperture(places, radius))["aperture_sum"].value
        area = math.pi * radius**2
        flux = sums - level * area
        error = np.sqrt(flux / GAIN + area * noise**2 + area**2 * noise**2 / n_sky)
        magnitude = -2.5 * np.log10(flux * PHOTFLAM * PHOTPLAM**2 / 2.99792458e18) - 48.60
        np.testing.assert_allclose(measured[f"FluxAp{number}"], flux, rtol=1e-12)
        np.testing.assert_allclose(measured[f"FluxErrAp{number}"], error, rtol=1e-12)
        # The constants of the zero point have four decimals.
        np.testing.assert_allclose(measured[f"MagAp{number}"], magnitude, rtol=0, atol=2e-4)
        of_magnitude = 2.5 / math.log(10) * error / flux
        np.testing.assert_allclose(measured[f"MagErrAp{number}"], of_magnitude, rtol=5e-5)
    np.testing.assert_array_equal(measured["MSkyAp2"], level)
    np.testing.assert_array_equal(measured["StdevAp2"], noise)
    np.testing.assert_array_equal(measured["X-Center"], places[:, 0])
    assert measured["ID"].tolist() == list(range(1, 17))


def test_errors_are_the_scatter_about_the_truth(field):
    places, fluxes, image = field
    measured = iraf_style_photometry(
        apertures(places), annulus(places), image, bg_method="mean", epadu=GAIN
    )
    inside = 1 - math.exp(-(RADII[1] ** 2) / (2 * SIGMA_PIX**2))  # a Gaussian's share
    pulls = (measured["FluxAp2"] - fluxes * inside) / measured["FluxErrAp2"]
    # Sixteen stars: the mean to 0.25, the scatter to 18 %; three times that.
    assert abs(np.mean(pulls)) < 0.75
    assert 0.46 < np.std(pulls) < 1.54


@DRIZZLEPAC_DIVIDES_BY_ZERO
def test_numbers_are_drizzlepacs_where_it_is_right(field):
    from drizzlepac.haputils.photometry_tools import iraf_style_photometry as drizzlepacs

    places, _, image = field
    errors = np.full(image.shape, SKY_NOISE)
    for options in ({}, {"error_array": errors}, {"bg_method": "median", "epadu": GAIN}):
        mine = iraf_style_photometry(
            apertures(places), annulus(places), image, PHOTFLAM, PHOTPLAM, **options
        )
        theirs = drizzlepacs(
            apertures(places), annulus(places), image, PHOTFLAM, PHOTPLAM, **options
        )
        assert set(mine.colnames) == set(theirs.colnames)
        for name in theirs.colnames:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-13)


def test_a_single_aperture_and_a_single_place_will_do(field):
    places, _, image = field
    (row,) = iraf_style_photometry(
        CircularAperture(places[5], 3.0), CircularAnnulus(places[5], INNER, OUTER), image
    )
    both = iraf_style_photometry(apertures(places), annulus(places), image)[5]
    assert row.colnames == [
        *("X-Center", "Y-Center", "ID", "FluxAp1", "FluxErrAp1", "MagErrAp1"),
        *("MSkyAp1", "StdevAp1"),
    ]
    assert row["FluxAp1"] == pytest.approx(both["FluxAp1"], rel=1e-13)


def test_an_error_of_each_pixel_stands_for_the_photons_whatever_the_gain(field):
    places, _, image = field
    errors = np.full(image.shape, 2.0)
    sky = aperture_stats_tbl(image, annulus(places))
    noise, n_sky = np.asarray(sky["aperture_std"]), np.asarray(sky["aperture_area"])
    area = math.pi * RADII[0] ** 2
    expected = np.sqrt(4.0 * area + area * noise**2 + area**2 * noise**2 / n_sky)
    for gain in (1.0, GAIN):
        measured = iraf_style_photometry(
            apertures(places), annulus(places), image, error_array=errors, epadu=gain
        )
        # Photutils adds up shares of pixels, which make the area to 1e-12.
        np.testing.assert_allclose(measured["FluxErrAp1"], expected, rtol=1e-9)


@pytest.mark.parametrize("place", [(2.0, 100.0), (100.0, 196.5), (-30.0, 100.0)])
def test_a_star_off_the_edge_has_no_number(field, place):
    _, _, image = field
    (row,) = iraf_style_photometry(
        [CircularAperture([place], radius) for radius in RADII],
        CircularAnnulus([place], INNER, OUTER),
        image,
        PHOTFLAM,
        PHOTPLAM,
    )
    assert all(math.isnan(row[f"{name}Ap2"]) for name in ("Flux", "FluxErr", "Mag", "MagErr"))
    # A smaller aperture may be all inside, with a sky that is cut off.
    inside = place[0] >= 3.0 - 0.5 and place[1] <= SIZE - 0.5 - 3.0
    assert math.isfinite(row["FluxAp1"]) == inside


@DRIZZLEPAC_DIVIDES_BY_ZERO
def test_drizzlepac_takes_too_much_sky_off_a_star_at_the_edge(field):
    """Why not: a star of 0 that is half on the image has minus half of its sky."""
    from drizzlepac.haputils.photometry_tools import iraf_style_photometry as drizzlepacs

    flat = np.full((60, 60), SKY) + np.random.default_rng(3).normal(0, 0.01, (60, 60))
    place = [(-0.5, 30.0)]
    theirs = drizzlepacs(
        apertures(place), annulus(place), flat, PHOTFLAM, PHOTPLAM, bg_method="median"
    )
    # Noise: 0.01 a pixel.
    assert theirs["FluxAp1"][0] == pytest.approx(-SKY * math.pi * RADII[0] ** 2 / 2, rel=1e-3)


def test_a_pixel_that_is_missing_costs_the_stars_whose_aperture_it_is_in(field):
    places, _, image = field
    spoilt = image.copy()
    spoilt[int(places[0][1]), int(places[0][0])] = np.nan
    spoilt[int(places[1][1]), int(places[1][0])] = np.inf
    x, y = places[2]
    spoilt[int(y + 15), int(x)] = np.nan  # in the annulus of the third
    measured = iraf_style_photometry(
        apertures(places), annulus(places), spoilt, PHOTFLAM, PHOTPLAM, bg_method="median"
    )
    whole = iraf_style_photometry(
        apertures(places), annulus(places), image, PHOTFLAM, PHOTPLAM, bg_method="median"
    )
    for name in ("FluxAp1", "FluxErrAp1", "MagAp1", "MagErrAp1", "FluxAp2"):
        assert np.isnan(measured[name][:2]).all()
        assert np.isfinite(measured[name][2:]).all()
    # One of 700 pixels of the sky.
    assert measured["FluxAp1"][2] == pytest.approx(whole["FluxAp1"][2], rel=1e-3)
    assert measured["FluxAp1"][2] != whole["FluxAp1"][2]


def test_an_annulus_without_a_pixel_leaves_no_number():
    image = np.full((60, 60), np.nan)
    image[25:36, 25:36] = 1.0
    place = [(30.0, 30.0)]
    (row,) = iraf_style_photometry(apertures(place)[0], annulus(place), image)
    assert math.isnan(row["FluxAp1"])
    assert math.isnan(row["MSkyAp1"])
    (sky,) = aperture_stats_tbl(image, annulus(place))
    assert math.isnan(sky["aperture_median"])
    assert sky["aperture_area"] == 0


def test_a_negative_flux_has_an_error_and_no_magnitude():
    chance = np.random.default_rng(5)
    image = SKY + chance.normal(0, SKY_NOISE, (60, 60))
    place = [(30.0, 30.0)]
    image[28:33, 28:33] -= 40.0
    (row,) = iraf_style_photometry(
        apertures(place), annulus(place), image, PHOTFLAM, PHOTPLAM, bg_method="median"
    )
    (sky,) = aperture_stats_tbl(image, annulus(place))
    area = math.pi * RADII[0] ** 2
    expected = math.sqrt(area * sky["aperture_std"] ** 2 * (1 + area / sky["aperture_area"]))
    assert row["FluxAp1"] < -800
    assert row["FluxErrAp1"] == pytest.approx(expected, rel=1e-12)
    assert math.isnan(row["MagAp1"])
    assert math.isnan(row["MagErrAp1"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bg_method": "average"}, "no statistic of the sky"),
        ({"epadu": 0.0}, "epadu"),
        ({"photflam": 0.0, "photplam": PHOTPLAM}, "photflam"),
        ({"photflam": math.nan, "photplam": PHOTPLAM}, "photflam"),
        ({"photflam": PHOTFLAM}, "both PHOTFLAM and PHOTPLAM"),
        ({"error_array": np.zeros((3, 3))}, "the shape"),
        ({"error_array": np.full((SIZE, SIZE), -1.0)}, "negative"),
        ({"data": np.zeros(5)}, "two dimensions"),
        ({"bg_apertures": CircularAnnulus([(1.0, 1.0)], 3.0, 4.0)}, "the same positions"),
        ({"phot_apertures": []}, "0 apertures"),
        ({"phot_apertures": 3.0}, "not an aperture"),
    ],
)
def test_what_means_nothing_is_refused(field, options, told):
    places, _, image = field
    arguments = {
        "phot_apertures": apertures(places),
        "bg_apertures": annulus(places),
        "data": image,
        **options,
    }
    with pytest.raises(BadConfiguration, match=told):
        iraf_style_photometry(**arguments)


def test_another_way_to_count_pixels_is_refused(field):
    places, _, image = field
    with pytest.raises(BadConfiguration, match="which pixels count"):
        aperture_stats_tbl(image, annulus(places), method="subpixel")


@pytest.mark.slow
@pytest.mark.xdist_group("hap")
def test_a_catalogue_of_hap_is_measured_again_to_the_last_digit(pieces):
    """With the apertures of its parameters, at the pixels that it tells."""
    folder, _ = pieces
    name = "hst_15999_01_wfc3_ir_f110w_isim01"
    written = json.loads((folder / "parameters.json").read_text())[name]
    parameters = written["default_values"]["catalog generation"]
    catalog = Table.read(folder / f"{name}_point-cat.ecsv")
    catalog = catalog[~np.ma.getmaskarray(np.ma.asarray(catalog["FluxAp2"]))]
    with fits.open(folder / f"{name}_drz.fits") as hdus:
        image, header = hdus["SCI"].data, hdus["SCI"].header
    scale = HSTWCS_SCALE_ARCSEC
    places = np.stack([catalog["X-Center"], catalog["Y-Center"]], axis=1)
    inner, width = (parameters[key] / scale for key in ("skyannulus_arcsec", "dskyannulus_arcsec"))
    measured = iraf_style_photometry(
        [CircularAperture(places, parameters[f"aperture_{key}"] / scale) for key in (1, 2)],
        CircularAnnulus(places, inner, inner + width),
        image,
        photflam=header["PHOTFLAM"],
        photplam=header["PHOTPLAM"],
        bg_method=parameters["salgorithm"],
    )
    assert len(catalog) > 100
    for column in ("FluxAp1", "FluxAp2", "MagAp1", "MagAp2", "MSkyAp2", "StdevAp2"):
        known = np.isfinite(np.asarray(catalog[column], dtype=float))
        assert known.sum() > 100
        # The scale is told to seven digits.
        np.testing.assert_allclose(measured[column][known], catalog[column][known], rtol=1e-5)


def test_the_cells_of_the_page_run_and_measure_its_star():
    page = Path(__file__).parents[2] / "docs" / "guide" / "aperture-photometry.md"
    if not page.is_file():
        pytest.skip("the documentation is not in this installation")
    cells = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    names = {}
    for cell in cells:
        exec(cell, names)
    assert len(cells) == 3
    (row,) = names["table"]
    true = 500 * 2 * math.pi * 1.5**2 * (1 - math.exp(-(6.0**2) / (2 * 1.5**2)))
    # Noise of the sky over 113 pixels: 0.6; photons of 5.9 electrons/s in squares.
    assert row["FluxAp2"] == pytest.approx(true, abs=5 * row["FluxErrAp2"])
    assert names["sky"]["aperture_median"][0] == pytest.approx(0.8, abs=0.01)

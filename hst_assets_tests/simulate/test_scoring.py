import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from hst_assets.failures import UnusableInput
from hst_assets.simulate.bands import band_of
from hst_assets.simulate.geometry import chip_views
from hst_assets.simulate.psf import psf_model
from hst_assets.simulate.scoring import (
    alignment_scores,
    difference_flux,
    image_offset,
    isolated_stars,
    offset_of_images,
    pair_offsets,
    photometry_score,
    star_fluxes,
    star_positions,
)
from hst_assets.simulate.star_lists import write_headers
from hst_assets.simulate.truth import CampaignTruth

BAND = ("acs_wfc", "F606W")
SCALE = 0.05


@pytest.fixture
def mosaic(campaign, tmp_path):
    """Write an ideal 'drizzled' image of the campaign's isolated stars."""

    def write(shift_arcsec=(0.0, 0.0), gain=1.0, name="out_drc.fits", units="ELECTRONS/S"):
        truth = campaign("acs_wfc")
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval, wcs.wcs.crpix = [150.1, 2.2], [450.5, 450.5]
        wcs.wcs.cd = np.diag([-SCALE, SCALE]) / 3600
        stars = isolated_stars(truth, *BAND)
        band = band_of(*BAND)
        # The light was gathered in the chip's pixels, so its spread is that of the chip.
        width, height = chip_views("acs_wfc")[0].pixel_arcsec
        psf = psf_model("acs_wfc", band, (width, height))
        image = np.full((900, 900), 0.3)
        ra = stars["ra"] + shift_arcsec[0] / 3600 / np.cos(np.radians(2.2))
        x, y = wcs.all_world2pix(ra, stars["dec"] + shift_arcsec[1] / 3600, 0)
        rate = gain * 10 ** (-0.4 * (stars["magnitude"] - band.zero_point_ab))
        for star_x, star_y, star_rate in zip(x, y, rate, strict=True):
            stamp, x0, y0 = psf.stamp(float(star_x), float(star_y), 40)
            image[y0 : y0 + 81, x0 : x0 + 81] += star_rate * stamp
        exptime = 600.0 if units == "ELECTRONS" else 1.0
        science = fits.ImageHDU((image * exptime).astype("f4"), wcs.to_header(), name="SCI")
        science.header["BUNIT"] = units
        weight = fits.ImageHDU(np.ones_like(image, dtype="f4"), name="WHT")
        primary = fits.PrimaryHDU()
        primary.header["EXPTIME"] = 600.0
        path = tmp_path / name
        fits.HDUList([primary, science, weight]).writeto(path)
        return path

    return write


def test_isolated_stars_are_bright_and_isolated_in_some_exposure(campaign):
    truth = campaign("acs_wfc")
    stars = isolated_stars(truth, *BAND)
    assert len(stars) >= 10
    expected = set()
    for rootname in truth.exposures["rootname"]:
        rows = truth.positions(rootname)
        expected |= set(rows["id"][rows["isolated"] & (rows["counts"] > 20000)])
    assert set(stars["id"]) == expected
    assert len(isolated_stars(truth, *BAND, min_counts_e=1e9)) == 0


@pytest.mark.parametrize("units", ["ELECTRONS/S", "ELECTRONS"])
def test_photometry_of_an_ideal_image_gives_the_truth(mosaic, campaign, units):
    stars = star_fluxes(mosaic(units=units), campaign("acs_wfc"), *BAND)
    score = photometry_score(stars)
    assert score.n_stars >= 10
    # Stamps in pixels of 0.0499 x 0.0503 are taken for pixels of 0.05 arcsec.
    assert score.median_ratio == pytest.approx(1.0, abs=0.002)
    assert score.scatter < 0.003


def test_lost_light_shows(mosaic, campaign):
    stars = star_fluxes(mosaic(gain=0.95), campaign("acs_wfc"), *BAND)
    assert photometry_score(stars).median_ratio == pytest.approx(0.95, abs=0.005)


def test_a_shifted_frame_shows(mosaic, campaign):
    offset = image_offset(mosaic((0.21, -0.13)), campaign("acs_wfc"), *BAND)
    # A twentieth of a native pixel.
    assert offset.east_arcsec == pytest.approx(0.21, abs=0.0025)
    assert offset.north_arcsec == pytest.approx(-0.13, abs=0.0025)


def test_two_images_are_compared_by_their_common_stars(mosaic, campaign):
    truth = campaign("acs_wfc")
    first = star_positions(mosaic((0.1, 0.1), name="a.fits"), truth, *BAND)
    second = star_positions(mosaic((0.15, 0.08), name="b.fits"), truth, *BAND)
    offset = offset_of_images(first, second)
    assert offset.east_arcsec == pytest.approx(0.05, abs=0.0025)
    assert offset.north_arcsec == pytest.approx(-0.02, abs=0.0025)
    with pytest.raises(UnusableInput, match="no isolated star in common"):
        offset_of_images(first[:2], second[3:])


def test_unexposed_surroundings_disqualify_a_star(mosaic, campaign):
    path = mosaic()
    with fits.open(path, mode="update") as hdus:
        hdus["WHT"].data[:, :450] = 0
    stars = star_positions(path, campaign("acs_wfc"), *BAND)
    assert stars["x"].min() > 450 + 2.0 / SCALE - 1


def test_an_image_without_any_of_the_stars_is_refused(mosaic, campaign):
    path = mosaic()
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].header["CRVAL1"] = 10.0
    with pytest.raises(UnusableInput, match="no isolated star of the truth"):
        star_fluxes(path, campaign("acs_wfc"), *BAND)


def test_alignment_is_judged_against_the_frame_of_the_others(campaign):
    truth = campaign("acs_wfc")
    scores = alignment_scores(truth.science_files(), truth)
    np.testing.assert_allclose(scores["east"], -truth.exposures["error_east"], atol=5e-5)
    assert abs(np.median(scores["relative_east"])) < 1e-12
    # The jitter of 10 mas that the plan has between its two exposures.
    first = scores["rootname"][0]
    relative = alignment_scores(truth.science_files(), truth, reference=first)
    assert relative["relative_pix"][0] == 0
    jitter = np.hypot(np.ptp(truth.exposures["error_east"]), np.ptp(truth.exposures["error_north"]))
    assert relative["relative_pix"][1] * 0.05 == pytest.approx(jitter, rel=1e-2)


@pytest.fixture
def difference(mosaic, campaign):
    """An ideal image as if it were a difference, with an error of 0.01 in each pixel."""
    path = mosaic(name="difference.fits")
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.ImageHDU(np.full((900, 900), 0.01, "f4"), name="ERR"))
    return path


def test_a_source_on_a_difference_has_its_flux_and_error(difference, campaign):
    """Errors of the 201 pixels within 0.4 arcsec add up in quadrature."""
    star = star_fluxes(difference, campaign("acs_wfc"), *BAND)[0]
    flux, error = difference_flux(difference, star["ra"], star["dec"], *BAND)
    assert flux == pytest.approx(star["true_rate"], rel=0.01)
    share = star["true_rate"] / flux  # the apertures' share of the light is about 0.9
    assert error == pytest.approx(0.01 * np.sqrt(np.pi * 8**2) / 0.9, rel=0.1)
    assert 0.99 < share < 1.01


def test_a_source_beside_the_difference_is_refused(difference):
    with pytest.raises(UnusableInput, match="not on this difference"):
        difference_flux(difference, 150.2, 2.2, *BAND)


@pytest.fixture
def two_epochs(tmp_path):
    """Three exposures of headers: two of one band and epoch, and one 0.3 pixel north of them."""
    first = write_headers("acs_hrc", tmp_path)
    names = {"jlst01aaq": 0.0, "jlst01abq": 0.0, "jlst02aaq": 0.3}
    truth = CampaignTruth(tmp_path)
    truth.folder.mkdir()
    grid = np.linspace(50, 950, 7)
    x, y = (axis.ravel() for axis in np.meshgrid(grid, grid))
    stars = Table({"id": np.arange(49), "chip": np.ones(49, int), "x": x, "y": y})
    rows, paths = [], {}
    for name, north_pix in names.items():
        paths[name] = tmp_path / f"{name}_flt.fits"
        with fits.open(first) as hdus:
            hdus["SCI", 1].header["CRVAL2"] += north_pix * 0.027 / 3600
            hdus.writeto(paths[name], overwrite=paths[name] == first)
        stars.write(truth.folder / f"{name}_stars.ecsv")
        rows.append((name, name[:6], "acs_hrc", "F606W"))
    table = Table(rows=rows, names=("rootname", "visit", "detector_key", "filter"))
    table.write(truth.folder / "exposures.ecsv")
    return truth, paths


def test_exposures_are_compared_across_epochs_by_their_headers(two_epochs):
    truth, paths = two_epochs
    pairs = pair_offsets(paths, truth)
    assert len(pairs) == 2  # not those of one band and epoch
    assert np.asarray(pairs["offset_pix"]) == pytest.approx([0.3, 0.3], abs=1e-3)
    assert np.asarray(pairs["median_pix"]) == pytest.approx([0.3, 0.3], abs=1e-3)
    assert set(pairs["n_stars"]) == {49}


def test_exposures_are_compared_from_measured_places_where_these_are_given(two_epochs):
    truth, paths = two_epochs
    places = {name: truth.positions(name)[5:] for name in paths}
    places["jlst02aaq"]["y"] = places["jlst02aaq"]["y"] + 10.0
    (pair, _) = pair_offsets(paths, truth, places=places)
    # HRC pixels are 0.0283 x 0.0249 arcsec, and its name says 0.027.
    assert 8.5 < pair["offset_pix"] < 11.0
    assert pair["n_stars"] == 44

"""Differences of simulated epochs against the truth: noise, apertures, transient, constant stars.

Two visits to one field, four exposures and two, forty days apart at another orientation; the
alignment is exact, so that what is left is noise, sampling and sky.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std
from astropy.table import Table
from astropy.wcs import WCS
from photutils.aperture import CircularAperture, aperture_photometry

from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.table import make_raw_manifest, make_target_table, make_visit_table
from hst_assets.imaging.correlated_noise import circular_aperture_factor
from hst_assets.imaging.differences.batch import make_differences
from hst_assets.imaging.differences.subtraction import Flag
from hst_assets.imaging.drizzling import make_stacks
from hst_assets.settings import MachineSettings, load_settings
from hst_assets.simulate.campaign import CampaignPlan, ScenePlan, Transient, simulate_campaign
from hst_assets.simulate.plans import DEMO_MJD, small_plan
from hst_assets.simulate.recovery import transient_claims
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging.conftest import align_as_is

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("difference_truth")]

VISITS = ("isim01", "isim02")
#: Light of a star reaches so far at the level of the noise.
STAR_ARCSEC = 1.6


def plan() -> CampaignPlan:
    small = small_plan("wfc3_uvis", n_exposures=4, pointing_error_arcsec=(0.0, 0.0))
    (first,) = small.visits
    first = replace(first, visit=VISITS[0], jitter_arcsec=0.0)
    second = replace(first, visit=VISITS[1], n_exposures=2, mjd=DEMO_MJD + 40.0, pa_v3_deg=52.0)
    return replace(
        small,
        visits=(first, second),
        scene=ScenePlan(18.0, 60, (19.0, 25.0), n_isolated=24, n_galaxies=0),
        transient=Transient(2.0, -1.5, ((DEMO_MJD - 5, 24.5), (DEMO_MJD + 80, 20.5)), colour=0.0),
    )


@dataclass(frozen=True)
class Field:
    """The difference with what is known of it."""

    workdir: WorkDir
    truth: CampaignTruth
    path: Path
    data: np.ndarray
    error: np.ndarray
    flags: np.ndarray
    header: fits.Header
    near_star: np.ndarray

    @property
    def covered(self) -> np.ndarray:
        return np.isfinite(self.data) & np.isfinite(self.error)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Field:
    root = tmp_path_factory.mktemp("truth")
    truth = simulate_campaign(plan(), root / "simulated")
    workdir = WorkDir(root / "root", "field")
    ingest([truth.exposure_folder], workdir, ra_deg=150.1, dec_deg=2.2)
    settings = load_settings(workdir).model_copy(
        update={"machine": MachineSettings(max_cores=2, tool_timeout_s=300)}
    )
    for visit in VISITS:
        make_raw_manifest(workdir, visit)
        make_visit_table(workdir, visit, settings)
        align_as_is(workdir, visit)
    make_target_table(workdir, VISITS, settings)
    make_stacks(workdir, settings)
    made = make_differences(workdir, settings)
    assert made.facts["problems"] == []
    path = workdir.difference("wfc3_uvis.f606w", 2, 1)
    with fits.open(path) as hdus:
        wcs = WCS(hdus["SCI"].header)
        data, error, flags = (np.array(hdus[name].data) for name in ("SCI", "ERR", "DQ"))
        header = hdus[0].header
    return Field(
        workdir, truth, path, data, error, flags, header, _near(truth.stars, wcs, data.shape)
    )


def _near(stars: Table, wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.indices(shape)
    near = np.zeros(shape, dtype=bool)
    for ra, dec in [(star["ra"], star["dec"]) for star in stars] + [(150.1005558, 2.1995833)]:
        x, y = wcs.wcs_world2pix(ra, dec, 0)
        near |= np.hypot(columns - x, rows - y) * 0.04 < STAR_ARCSEC
    return near


def test_single_empty_pixels_scatter_as_predicted(field: Field) -> None:
    """To 10 %: drops at a few sub-pixel positions are not the many of the formula."""
    empty = field.covered & ~field.near_star
    pulls = field.data[empty] / field.error[empty] * field.header["NOISCORR"]
    assert empty.sum() > 50_000
    assert mad_std(pulls) == pytest.approx(1.0, abs=0.10)
    assert np.std(pulls[np.abs(pulls) < 6]) == pytest.approx(1.0, abs=0.10)
    # Uncorrected they would be called far too quiet: the test can fail.
    assert mad_std(pulls / field.header["NOISCORR"]) < 0.8


@pytest.mark.parametrize("radius", [2.0, 3.0, 4.0, 5.0])
def test_empty_apertures_scatter_as_predicted(field: Field, radius: float) -> None:
    """To 10 %, with the factor for small apertures."""
    rng = np.random.default_rng(1)
    ny, nx = field.data.shape
    places = np.column_stack([rng.uniform(8, nx - 9, 8000), rng.uniform(8, ny - 9, 8000)])
    apertures = CircularAperture(places, radius)

    def total(image: np.ndarray) -> np.ndarray:
        return np.array(aperture_photometry(image, apertures)["aperture_sum"])

    empty = field.covered & ~field.near_star
    whole = total(empty.astype(float)) > 0.999 * apertures.area
    sums = total(np.where(field.covered, field.data, 0.0))[whole]
    errors = np.sqrt(total(np.where(field.covered, field.error**2, 0.0))[whole])
    errors *= circular_aperture_factor(field.header["DROPRAT"], radius)
    assert whole.sum() > 1500
    assert mad_std(sums / errors) == pytest.approx(1.0, abs=0.1)


def test_the_sky_of_the_difference_is_zero(field: Field) -> None:
    """Its error is that of 100,000 correlated pixels."""
    empty = field.covered & ~field.near_star
    assert abs(np.median(field.data[empty])) < 0.02 * field.header["MEDERR"]
    assert abs(field.header["SKYDIFF"]) < 0.5 * field.header["MEDERR"]


def test_the_transient_has_the_flux_of_the_truth(field: Field) -> None:
    (claim,) = transient_claims(field.workdir, field.truth, 0.02)
    assert claim.holds, claim.measured


def test_constant_stars_leave_nothing_but_noise(field: Field) -> None:
    """Noise, and 1 % of the star: what sampling and the rejection of cosmic rays do to a core.

    In apertures of 0.2 arcsec; neighbours do not matter, for they are constant too.
    """
    stars = field.truth.stars
    wcs = WCS(fits.getheader(field.path, "SCI"))
    places = np.column_stack(wcs.wcs_world2pix(stars["ra"], stars["dec"], 0))
    ny, nx = field.data.shape
    inside = np.all((places > 6) & (places < [nx - 7, ny - 7]), axis=1)
    apertures = CircularAperture(places[inside], 5.0)

    def total(image: np.ndarray) -> np.ndarray:
        return np.array(aperture_photometry(image, apertures)["aperture_sum"])

    whole = total(field.covered.astype(float)) > 0.999 * apertures.area
    left = total(np.where(field.covered, field.data, 0.0))[whole]
    error = np.sqrt(total(np.where(field.covered, field.error**2, 0.0))[whole])
    magnitude = np.asarray(stars["ab_wfc3_uvis_f606w"])[inside][whole]
    rate = 10 ** (-0.4 * (magnitude - field.header["ZPAB"]))
    pulls = left / np.hypot(error, 0.01 * rate)
    assert len(pulls) >= 15
    assert abs(np.median(pulls)) < 0.7
    assert mad_std(pulls) == pytest.approx(1.0, abs=0.5)  # so few fix it to 25 %


def test_what_stars_leave_at_their_cores_is_flagged(field: Field) -> None:
    """Unflagged pixels follow their errors within 15 %; flagged ones do not."""
    on_stars = field.covered & field.near_star
    pulls = field.data / field.error * field.header["NOISCORR"]
    core = field.flags & Flag.STAR_CORE > 0
    assert mad_std(pulls[on_stars & (field.flags == 0)]) == pytest.approx(1.0, abs=0.15)
    assert mad_std(pulls[on_stars & core]) > 2.0
    assert core[on_stars].mean() < 0.03


def test_the_context_names_the_chips_that_reached_a_pixel(field: Field) -> None:
    """Where one exposure alone reached, the pixel lies inside that exposure's outline only."""
    from hst_assets.exposures.footprint import signed_distance_arcsec
    from hst_assets.exposures.header import read_exposure

    stack = field.workdir.epoch_stack("wfc3_uvis.f606w", "150816", 2)
    with fits.open(stack) as hdus:
        primary, ctx, wcs = hdus[0].header, hdus["CTX"].data, WCS(hdus["CTX"].header)
    for bit, number in ((1, 1), (2, 2)):
        rootname = primary[f"D{number:03d}DATA"].partition("[")[0]
        (own,) = field.workdir.workspace.glob(f"{rootname}_flc.fits")
        rows, columns = np.nonzero(ctx == bit)
        ra, dec = wcs.wcs_pix2world(columns[::97], rows[::97], 0)
        polygons = [chip.polygon for chip in read_exposure(own).chips]
        depths = [
            signed_distance_arcsec(polygons, float(a), float(d))
            for a, d in zip(ra, dec, strict=True)
        ]
        assert len(depths) > 20
        assert min(depths) > -0.1
        assert primary[f"D{number:03d}DEXP"] == 300.0


def test_products_are_legal_with_valid_checksums(field: Field) -> None:
    """Every plane has unit, WCS name and provenance."""
    products = sorted(field.workdir.drizzle.glob("*.fits"))
    assert products
    for path in products:
        with fits.open(path, checksum=True) as hdus:  # a wrong checksum warns, and warnings fail
            hdus.verify("exception")
            for hdu in hdus[1:]:
                assert hdu.header["BUNIT"], (path.name, hdu.name)
                assert hdu.header["WCSNAME"], (path.name, hdu.name)
            header = hdus[0].header
            for key in ("RECIPE", "DATE-OBS", "TIME-OBS", "EXPSTART", "EXPEND", "MJD-AVG"):
                assert key in header, (path.name, key)
            assert "HST123 ALIGNST" in header, path.name

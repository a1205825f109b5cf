"""What AstroDrizzle makes of small simulated frames."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import SigmaClip, mad_std
from astropy.wcs import WCS

from hst_assets import workdir as workdir_module
from hst_assets.detectors import DETECTORS
from hst_assets.failures import HstAssetsError
from hst_assets.imaging.astrodrizzle import run as astrodrizzle
from hst_assets.imaging.astrodrizzle.run import DrizzleReport, DrizzleRequest, drizzle_many
from hst_assets.imaging.frames import Frame, covering_frame, orientation_of
from hst_assets.settings import DrizzleSettings
from hst_assets.simulate.bands import band_of
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.psf import psf_model
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir
from hst_assets_tests.imaging.conftest import MACHINE, campaign_plan

UVIS = DETECTORS["wfc3_uvis"]

pytestmark = pytest.mark.xdist_group("imaging")  # its workers would each make the products


@dataclass(frozen=True)
class Products:
    """Products of one session, and what they were made of."""

    workdir: WorkDir
    exposures: list[Path]
    frame: Frame
    reports: dict[str, DrizzleReport | HstAssetsError]
    digests: dict[Path, str]
    scratch: dict[str, set[str]]  # what lay there when a product was published, by its name

    def path(self, name: str) -> Path:
        report = self.reports[name]
        assert isinstance(report, DrizzleReport), report
        return Path(report.product)

    def data(self, name: str, plane: str = "SCI") -> np.ndarray:
        with fits.open(self.path(name)) as hdus:
            return np.array(hdus[plane].data)


def digest_of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edited(source: Path, folder: Path, name: str | None = None) -> tuple[Path, fits.HDUList]:
    folder.mkdir(exist_ok=True)
    with fits.open(source, memmap=False) as hdus:
        return folder / (name or source.name), fits.HDUList([hdu.copy() for hdu in hdus])


def brighter_sky(source: Path, folder: Path, level: float) -> Path:
    path, hdus = edited(source, folder)
    hdus["SCI"].data += np.float32(level)
    hdus.writeto(path)
    return path


def less_sensitive(source: Path, folder: Path, share: float) -> Path:
    path, hdus = edited(source, folder)
    hdus["SCI"].data *= np.float32(share)
    for hdu in (hdus[0], hdus["SCI"]):
        if "PHOTFLAM" in hdu.header:
            hdu.header["PHOTFLAM"] /= share
    hdus.writeto(path)
    return path


@pytest.fixture(scope="session")
def products(campaign: CampaignTruth, tmp_path_factory: pytest.TempPathFactory) -> Products:
    base = tmp_path_factory.mktemp("products")
    workdir = WorkDir(base, "field").create()
    exposures = campaign.science_files()[:3]
    clean = simulate_campaign(campaign_plan(cosmic_rays=False), base / "clean").science_files()[:3]
    sky = [exposures[0], brighter_sky(exposures[1], base / "sky", 60.0), exposures[2]]
    dull = [exposures[0], *(less_sensitive(path, base / "dull", 0.9) for path in exposures[1:])]
    blank, hdus = edited(exposures[0], base / "blank")
    hdus["SCI"].data[:] = np.nan
    hdus.writeto(blank)
    moved, hdus = edited(exposures[1], base / "moved")
    hdus["SCI"].header["CRVAL1"] += 0.1
    hdus.writeto(moved)
    frame = covering_frame(exposures, ra_deg=150.1, dec_deg=2.2, scale_arcsec=0.04)
    plain = DrizzleSettings()
    wanted = {
        "cps": (exposures, plain),
        "counts": (exposures, DrizzleSettings(units="counts")),
        "single": (exposures[:1], plain),
        "turned": (exposures[:1], plain),
        "helped": (exposures[:1], plain),
        "two": (exposures[:2], plain),
        "helped two": (exposures[:2], plain),
        "clean": (clean, plain),
        "sky": (sky, plain),
        "dull": (dull, plain),
        "fixed": (exposures, DrizzleSettings(fix_zero_point=25.0)),
        "err": (exposures[:1], DrizzleSettings(weight_type="ERR")),
        "ivm": (exposures[:1], DrizzleSettings(weight_type="IVM")),
        "lanczos3": (exposures[:1], DrizzleSettings(kernel="lanczos3")),
        "beside": ([exposures[0], moved], plain),
        "kept": (exposures[:1], DrizzleSettings(keep_artifacts=True)),
        "blank": ([blank, *exposures[1:]], plain),
    }
    frames = {
        "turned": covering_frame(
            *[exposures[:1]],
            ra_deg=150.1,
            dec_deg=2.2,
            scale_arcsec=0.04,
            orientation_deg=orientation_of(exposures[0]),
        )
    }
    requests = [
        DrizzleRequest(
            paths,
            workdir.drizzle / f"{name}.drc.fits",
            UVIS,
            frames.get(name, frame),
            choices,
            name,
            others=campaign.science_files()[3:] if name.startswith("helped") else (),
        )
        for name, (paths, choices) in wanted.items()
    ]
    digests = {path: digest_of_file(path) for path in exposures}
    scratch: dict[str, set[str]] = {}

    def move_into_place(source: Path, destination: Path) -> Path:
        scratch[source.name] = {path.name for path in source.parent.iterdir()}
        return workdir_module.move_into_place(source, destination)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(astrodrizzle, "move_into_place", move_into_place)
        reports = drizzle_many(requests, workdir=workdir, machine=MACHINE)
    return Products(
        workdir, exposures, frame, dict(zip(wanted, reports, strict=True)), digests, scratch
    )


@pytest.mark.slow
def test_the_product_is_whole_and_legal(products: Products) -> None:
    with fits.open(products.path("cps"), checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "WHT", "CTX", "ERR", "DQ"]
        types = ["float32", "float32", "int32", "float32", "int16"]
        assert [hdu.data.dtype.name for hdu in hdus[1:]] == types
        assert hdus["SCI"].data.shape == products.frame.shape


@pytest.mark.slow
def test_the_grid_is_the_one_asked_for(products: Products) -> None:
    corners = [[0, 0], [products.frame.nx - 1, products.frame.ny - 1]]
    with fits.open(products.path("cps")) as hdus:
        sky = WCS(hdus["SCI"].header).all_pix2world(corners, 0)
    offset = products.frame.wcs.all_world2pix(sky, 0) - corners
    assert np.abs(offset).max() < 1e-6  # pixel


@pytest.mark.slow
def test_a_turned_product_has_its_exposures_orientation(products: Products) -> None:
    stated = fits.getheader(products.exposures[0], "SCI")["ORIENTAT"]
    report = products.reports["turned"]
    assert report.problems == ()
    assert report.flux_ratio == pytest.approx(1.0, abs=0.01)
    header = fits.getheader(products.path("turned"), "SCI")
    assert header["ORIENTAT"] == pytest.approx(stated, abs=1e-3)
    wcs = WCS(header)
    x, y = (float(value) for value in wcs.all_world2pix(150.1, 2.2, 1))
    assert (x, y) == pytest.approx((header["CRPIX1"], header["CRPIX2"]), abs=1e-6)
    assert x == pytest.approx((header["NAXIS1"] + 1) / 2, abs=1e-6)  # in the middle
    # Rows of the detector are rows of the product: no empty corners as with north up.
    assert np.mean(products.data("single", "WHT") > 0) < np.mean(products.data("turned", "WHT") > 0)


@pytest.mark.slow
def test_a_product_that_waits_for_the_others_holds_no_disk(products: Products) -> None:
    """The preview is published first, from a folder with nothing but the two and the reply."""
    assert products.scratch["cps.drc.fits.png"] == {
        "cps.drc.fits",
        "cps.drc.fits.png",
        "reply.json",
    }


@pytest.mark.slow
def test_one_exposure_keeps_its_exposure_time(products: Products) -> None:
    header = fits.getheader(products.path("single"))
    assert header["EXPTIME"] == fits.getheader(products.exposures[0])["EXPTIME"]
    assert header["NINPUT"] == 1
    # Weight is exposure time; 5 %: pixel areas vary with distortion.
    weight = products.data("single", "WHT")
    assert np.median(weight[weight > 0]) == pytest.approx(header["EXPTIME"], rel=0.05)


@pytest.mark.slow
def test_three_exposures_have_three_times_its_exposure_time(products: Products) -> None:
    assert fits.getheader(products.path("cps"))["EXPTIME"] == 900.0


@pytest.mark.slow
def test_the_context_tells_which_exposures_went_into_a_pixel(products: Products) -> None:
    context = products.data("cps", "CTX")
    middle = slice(context.shape[0] // 2 - 50, context.shape[0] // 2 + 50)
    # One bit an exposure: in the middle, away from cosmic rays, all three.
    assert np.bincount(context[middle, middle].ravel()).argmax() == 0b111
    assert np.bitwise_or.reduce(context.ravel()) == 0b111


@pytest.mark.slow
def test_counts_are_the_rate_times_the_exposure_time(products: Products) -> None:
    rate, counts = products.data("cps"), products.data("counts")
    known = np.isfinite(rate) & (rate != 0)
    assert np.allclose(counts[known], rate[known] * 900.0, rtol=1e-5, atol=1e-3)


@pytest.mark.slow
def test_stars_have_their_true_flux(products: Products, campaign: CampaignTruth) -> None:
    from photutils.aperture import (
        ApertureStats,
        CircularAnnulus,
        CircularAperture,
        aperture_photometry,
    )

    with fits.open(products.path("cps")) as hdus:
        data, wcs = np.array(hdus["SCI"].data), WCS(hdus["SCI"].header)
        zero_point = hdus["SCI"].header["ZPAB"]
    positions = campaign.positions(str(campaign.exposures["rootname"][0]))
    alone = set(positions["id"][positions["isolated"] & ~positions["saturated"]])
    stars = campaign.stars[[star in alone for star in campaign.stars["id"]]]
    magnitude = np.array(stars["ab_wfc3_uvis_f606w"])
    xy = np.column_stack(wcs.all_world2pix(stars["ra"], stars["dec"], 0))
    blank = ~np.isfinite(data)
    aperture = CircularAperture(xy, 0.5 / 0.04)
    ring = CircularAnnulus(xy, 1.0 / 0.04, 1.4 / 0.04)
    sky = ApertureStats(data, ring, mask=blank, sigma_clip=SigmaClip(3)).median
    summed = aperture_photometry(np.nan_to_num(data), aperture)["aperture_sum"]
    whole = aperture_photometry(blank.astype(float), aperture)["aperture_sum"] == 0
    enclosed = psf_model("wfc3_uvis", band_of("wfc3_uvis", "F606W"), (0.03962, 0.03962))
    expected = 10 ** (-0.4 * (magnitude - zero_point)) * enclosed.net_encircled(0.5, (1.0, 1.4))
    ratio = np.array((summed - sky * aperture.area) / expected)[whole & (magnitude < 21.5)]
    assert len(ratio) >= 5
    assert np.median(ratio) == pytest.approx(1.0, abs=0.01)


@pytest.mark.slow
def test_a_product_of_fixed_zero_point_has_the_same_magnitudes(products: Products) -> None:
    plain, fixed = products.data("cps"), products.data("fixed")
    zero_point = fits.getheader(products.path("cps"), "SCI")["ZPAB"]
    assert fits.getheader(products.path("fixed"), "SCI")["ZPAB"] == 25.0
    bright = plain > 50 * mad_std(plain, ignore_nan=True)
    difference = (25.0 - 2.5 * np.log10(fixed[bright])) - (
        zero_point - 2.5 * np.log10(plain[bright])
    )
    assert np.abs(difference).max() < 2e-5  # ZPAB is rounded to 1e-5
    assert np.array_equal(products.data("fixed", "WHT"), products.data("cps", "WHT"))
    assert products.reports["fixed"].flux_ratio == products.reports["cps"].flux_ratio


@pytest.mark.slow
def test_the_report_agrees_that_flux_is_conserved(products: Products) -> None:
    report = products.reports["cps"]
    assert report.n_flux_stars >= 5
    assert report.flux_ratio == pytest.approx(1.0, abs=0.01)
    assert report.problems == ()


@pytest.mark.slow
def test_cosmic_rays_are_rejected(products: Products) -> None:
    """The product with cosmic rays differs little from one of the same sky without."""
    clean = products.data("clean")
    noise = mad_std(clean, ignore_nan=True)

    def struck(name: str) -> float:
        return float(np.nanmean(products.data(name) - clean > 15 * noise))

    # A single exposure keeps its rays: about 1 % of the pixels for 300 s.
    assert struck("single") > 0.003
    assert struck("cps") < 0.1 * struck("single")
    assert products.reports["cps"].cosmic_ray_fraction > 0.003
    assert products.reports["clean"].cosmic_ray_fraction < 0.002


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alone", "helped", "share"), [("single", "helped", 0.2), ("two", "helped two", 0.6)]
)
def test_others_tell_cosmic_rays_of_one_or_two_exposures(
    products: Products, alone: str, helped: str, share: float
) -> None:
    clean = products.data("clean")
    noise = mad_std(clean, ignore_nan=True)

    blank = clean < np.nanmedian(clean) + 5 * noise  # on stars, photon noise is larger

    def struck(name: str) -> float:
        difference = products.data(name) - clean
        covered = blank & (products.data(name, "WHT") > 0)
        return float(np.nanmean(difference[covered] > 15 * noise))

    assert struck(helped) < share * struck(alone)
    report = products.reports[helped]
    assert report.cosmic_ray_fraction > 0.003
    assert report.flux_ratio == pytest.approx(1.0, abs=0.01)
    assert fits.getheader(products.path(helped))["D_CRHELP"] == 2
    assert fits.getheader(products.path(helped))["NINPUT"] == len(report.inputs)
    assert fits.getheader(products.path(alone))["D_CRHELP"] == 0


@pytest.mark.slow
def test_skies_are_matched_before_exposures_are_combined(products: Products) -> None:
    change = products.data("sky") - products.data("cps")
    noise = mad_std(products.data("cps"), ignore_nan=True)
    assert np.nanmean(np.abs(change) > 5 * noise) < 0.01
    assert products.reports["sky"].complaints == ()
    raised = products.reports["sky"].sky_per_s - products.reports["cps"].sky_per_s
    assert raised == pytest.approx(60.0 / 300.0 / 3, rel=0.1)


@pytest.mark.slow
def test_exposures_of_other_sensitivity_are_brought_to_one_zero_point(products: Products) -> None:
    dull, plain = products.data("dull"), products.data("cps")
    bright = plain > 50 * mad_std(plain, ignore_nan=True)
    assert np.nanmedian(dull[bright] / plain[bright]) == pytest.approx(1.0, abs=0.002)


@pytest.mark.slow
def test_inverse_variances_are_those_of_the_background(products: Products) -> None:
    """Weights of 1 / variance of the rate, per native pixel and before drizzling."""
    with fits.open(products.exposures[0]) as hdus:
        error, dq = np.array(hdus["ERR"].data), np.array(hdus["DQ"].data)
        exptime = hdus[0].header["EXPTIME"]
    faintest = float(np.median(error[dq == 0]))  # most pixels are sky
    for name in ("ivm", "err"):
        weight = products.data(name, "WHT")
        # 15 %: an even dark current and one read noise stand for the amplifiers' own.
        assert np.median(weight[weight > 0]) == pytest.approx((exptime / faintest) ** 2, rel=0.15)


@pytest.mark.slow
def test_inverse_variances_without_a_flat_field_are_said_to_be_so(products: Products) -> None:
    (problem,) = products.reports["ivm"].problems
    assert "no flat field" in problem
    assert products.reports["ivm"].flux_ratio == pytest.approx(1.0, abs=0.01)


@pytest.mark.slow
def test_weights_by_error_are_known_to_dim_stars(products: Products) -> None:
    """Bright pixels have large errors: their share in the mean, and so the flux, goes down."""
    report = products.reports["err"]
    assert report.flux_ratio < 0.95
    assert "times their flux" in report.problems[0]


@pytest.mark.slow
def test_lanczos3_leaves_no_negative_weight(products: Products) -> None:
    weight, sci = products.data("lanczos3", "WHT"), products.data("lanczos3")
    assert weight.min() == 0.0
    assert np.array_equal(np.isfinite(sci), weight > 0)
    assert products.reports["lanczos3"].problems == ()
    assert fits.getheader(products.path("lanczos3"))["D_PIXFRC"] == 1.0


@pytest.mark.slow
def test_one_bad_exposure_costs_only_itself(products: Products) -> None:
    report = products.reports["blank"]
    assert isinstance(report, DrizzleReport)
    assert report.failed == (products.exposures[0].name,)
    assert f"left out: {products.exposures[0].name} (it has no good pixel" in report.problems[0]
    assert all(isinstance(report, DrizzleReport) for report in products.reports.values())


@pytest.mark.slow
def test_exposures_are_only_read(products: Products) -> None:
    assert {path: digest_of_file(path) for path in products.exposures} == products.digests


@pytest.mark.slow
def test_the_preview_lies_beside_the_product(products: Products) -> None:
    assert WorkDir.preview(products.path("cps")).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_an_exposure_beside_the_frame_is_left_out_and_named(products: Products) -> None:
    near, far = products.exposures[:2]
    report = products.reports["beside"]
    assert report.left_out == (far.name,)
    assert report.inputs == (near.name.split("_")[0],)
    assert report.exptime_s == 300.0


@pytest.mark.slow
def test_artifacts_are_kept_on_demand(products: Products) -> None:
    runfiles = products.workdir.runfiles
    assert (runfiles / "artifacts.drizzle.kept" / products.exposures[0].name).is_file()
    assert not (runfiles / "artifacts.drizzle.cps").exists()

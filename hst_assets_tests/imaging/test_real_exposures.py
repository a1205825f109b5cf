"""Real exposures of four detectors, through `drizzle`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std
from astropy.wcs import WCS

from hst_assets.detectors import DETECTORS
from hst_assets.exposures.dq_files import quality_file
from hst_assets.imaging.astrodrizzle.run import DrizzleReport, DrizzleRequest, drizzle_many
from hst_assets.imaging.frames import covering_frame, exposure_outlines, shared_tangent_point
from hst_assets.settings import DrizzleSettings, MachineSettings
from hst_assets.workdir import WorkDir

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "real"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.xdist_group("real_images"),
    pytest.mark.skipif(not REAL.is_dir(), reason=f"no real exposures in {REAL}"),
]


#: Product: (exposures, detector).
PRODUCTS = {
    "uvis": ("wfc3_uvis_2013fy27/*_flc.fits", "wfc3_uvis"),
    "wfpc2": ("wfpc2_omegacen/*_c0m.fits", "wfpc2"),
    "ibxy01z8q": ("wfc3_ir_gj1214/ibxy01z8q_flt.fits", "wfc3_ir"),
    "ibxy07p9q": ("wfc3_ir_gj1214/ibxy07p9q_flt.fits", "wfc3_ir"),
    "hrc": ("acs_hrc_47tuc/j8bt06*_flt.fits", "acs_hrc"),
    "hrc without IDCSCALE": ("acs_hrc_47tuc/j8bt06*_flt.fits", "acs_hrc"),
    "wfpc2 of another IDCSCALE": ("wfpc2_omegacen/*_c0m.fits", "wfpc2"),
    "hrc F555W": ("acs_hrc_47tuc/j8bt05njq_flt.fits", "acs_hrc"),
    "kept sky": ("wfc3_uvis_2013fy27/idsj02a[xy]q_flc.fits", "wfc3_uvis"),
}
SETTINGS = {"kept sky": DrizzleSettings(sky_sub=False)}
#: What IDCSCALE is multiplied by before; None: it is removed.
SCALES = {"hrc without IDCSCALE": None, "wfpc2 of another IDCSCALE": 1.06}
#: Of what only the flux of stars is looked at; pixels of the PC would be 25 million.
COARSER_ARCSEC = {"wfpc2 of another IDCSCALE": 0.1}
Drizzled = Callable[[str], tuple[DrizzleReport, fits.HDUList]]


DEAD_CHIP = 3


def rescaled(source: Path, folder: Path, factor: float | None) -> Path:
    """A copy with another IDCSCALE, or with none."""
    folder.mkdir(exist_ok=True)
    with fits.open(source, memmap=False) as hdus:
        for header in [hdu.header for hdu in hdus if hdu.name == "SCI"]:
            own = header.pop("IDCSCALE")
            if factor is not None:
                header["IDCSCALE"] = factor * own
        hdus.writeto(folder / source.name, output_verify="silentfix")
    quality = quality_file(source)
    if quality != source:
        shutil.copyfile(quality, folder / quality.name)
    return folder / source.name


def request(name: str, workdir: WorkDir) -> DrizzleRequest:
    pattern, key = PRODUCTS[name.removesuffix("_without_a_chip")]
    exposures, detector = sorted(REAL.glob(pattern)), DETECTORS[key]
    if name in SCALES:
        exposures = [rescaled(path, workdir.root / name, SCALES[name]) for path in exposures]
    if name.endswith("_without_a_chip"):
        exposures = [without_a_chip(path, workdir.workspace) for path in exposures]
    outlines = [exposure_outlines(path) for path in exposures]
    ra, dec = shared_tangent_point([outline for chips in outlines for outline in chips])
    frame = covering_frame(
        outlines,
        ra_deg=ra,
        dec_deg=dec,
        scale_arcsec=COARSER_ARCSEC.get(name, detector.drizzle_scale_arcsec),
        about="minimal" if detector.key == "wfc3_uvis" else "target",
    )
    output = workdir.drizzle / f"{name}.drc.fits"
    return DrizzleRequest(
        exposures, output, detector, frame, SETTINGS.get(name, DrizzleSettings()), name
    )


def frame_pixel(exposure: fits.HDUList, extver: int, product: fits.Header) -> tuple[int, int]:
    """The pixel of a product that holds the middle of a chip (0-based)."""
    chip = WCS(exposure["SCI", extver].header, exposure)
    sky = chip.all_pix2world([[400, 400]], 0)
    x, y = WCS(product).wcs_world2pix(sky, 0)[0]
    return round(float(x)), round(float(y))


def frame_pixel_of(
    one: fits.HDUList, other: fits.HDUList, pixel: tuple[int, int]
) -> tuple[int, int]:
    """The pixel of one product at the same place of the grid as that of another."""
    dx, dy = (one["SCI"].header[key] - other["SCI"].header[key] for key in ("CRPIX1", "CRPIX2"))
    return pixel[0] + round(dx), pixel[1] + round(dy)


def without_a_chip(source: Path, folder: Path) -> Path:
    """A copy of a WFPC2 exposure, one of its chips zero everywhere."""
    for path in (source, quality_file(source)):
        copy = folder / path.name
        copy.write_bytes(path.read_bytes())
    with fits.open(folder / source.name, mode="update") as hdus:
        hdus["SCI", DEAD_CHIP].data[:] = 0
    return folder / source.name


@pytest.fixture(scope="module")
def drizzled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drizzled]:
    """All products in one go, so that drizzlepac is imported once."""
    folder = tmp_path_factory.mktemp("real")
    workdir = WorkDir(folder, "real").create()
    requests = {name: request(name, workdir) for name in (*PRODUCTS, "wfpc2_without_a_chip")}
    reports = drizzle_many(list(requests.values()), workdir=workdir, machine=MachineSettings())
    outcomes = dict(zip(requests, reports, strict=True))

    def of(name: str) -> tuple[DrizzleReport, fits.HDUList]:
        report = outcomes[name]
        assert isinstance(report, DrizzleReport), report
        with fits.open(report.product, checksum=True, memmap=False) as hdus:
            hdus.verify("exception")
            return report, fits.HDUList([hdu.copy() for hdu in hdus])

    yield of
    shutil.rmtree(folder)  # 3 GB


def test_eight_uvis_exposures_with_their_archive_wcs(drizzled: Drizzled) -> None:
    report, hdus = drizzled("uvis")
    assert len(report.inputs) == 8
    assert hdus[0].header["EXPTIME"] == pytest.approx(1600.0)
    assert report.cosmic_ray_fraction > 0.002
    assert report.bad_fraction < 0.1
    assert report.complaints == ()


def test_a_wfpc2_exposure_with_its_quality_file(drizzled: Drizzled) -> None:
    report, hdus = drizzled("wfpc2")
    assert report.inputs == ("u40x010hm",)
    assert hdus[0].header["EXPTIME"] == 100.0
    # The file has no BUNIT; taking its counts for a rate would make this 100.
    assert report.flux_ratio == pytest.approx(1.0, abs=0.02)
    assert hdus["SCI"].header["BUNIT"] == "COUNTS/S"
    assert report.problems == ()


def test_the_other_chips_of_a_wfpc2_exposure_with_a_dead_one(drizzled: Drizzled) -> None:
    """Nothing is drizzled where the dead chip was; the others are what they are with it."""
    report, hdus = drizzled("wfpc2_without_a_chip")
    whole, with_all = drizzled("wfpc2")
    assert report.inputs == whole.inputs
    # Of the footprint of three chips: the fourth, a third as large as they, is not counted. Their
    # vignetted borders to it are seen by no other chip now.
    assert report.bad_fraction < whole.bad_fraction + 0.1
    assert report.flux_ratio == pytest.approx(whole.flux_ratio, abs=0.01)
    with fits.open(REAL / PRODUCTS["wfpc2"][0].replace("*", "u40x010hm")) as exposure:
        places = {
            extver: frame_pixel(exposure, extver, hdus["SCI"].header) for extver in (1, 2, 3, 4)
        }
    for extver, (x, y) in places.items():
        covered = float(np.mean(hdus["WHT"].data[y - 20 : y + 20, x - 20 : x + 20] > 0))
        assert covered == 0 if extver == DEAD_CHIP else covered > 0.9
    x, y = frame_pixel_of(with_all, hdus, places[2])
    ours = hdus["SCI"].data[
        places[2][1] - 20 : places[2][1] + 20, places[2][0] - 20 : places[2][0] + 20
    ]
    theirs = with_all["SCI"].data[y - 20 : y + 20, x - 20 : x + 20]
    # The sky of the exposure is the lowest of its chips: it may differ by a constant.
    np.testing.assert_allclose(ours - np.median(ours), theirs - np.median(theirs), atol=1e-5)


@pytest.mark.parametrize("name", ["ibxy01z8q", "ibxy07p9q"])
def test_an_infrared_exposure(drizzled: Drizzled, name: str) -> None:
    report, hdus = drizzled(name)
    assert report.inputs == (name,)
    assert hdus["SCI"].header["BUNIT"] == "ELECTRONS/S"
    assert np.isfinite(hdus["SCI"].data).any()
    assert report.bad_fraction < 0.01  # of its footprint; the frame is centred on the target


def test_two_hrc_exposures(drizzled: Drizzled) -> None:
    report, hdus = drizzled("hrc")
    assert hdus[0].header["NINPUT"] == 2
    assert hdus[0].header["EXPTIME"] == 120.0
    assert report.bad_fraction < 0.05
    assert report.complaints == ()


def test_without_idcscale_the_flux_is_that_of_the_detectors_own(drizzled: Drizzled) -> None:
    """The CD matrix would make it 11 % less."""
    report, hdus = drizzled("hrc without IDCSCALE")
    _, own = drizzled("hrc")
    assert report.complaints == ()
    stars = own["SCI"].data > 5.0
    ratio = np.median(hdus["SCI"].data[stars] / own["SCI"].data[stars])
    assert ratio == pytest.approx(1.0, abs=1e-4)


def test_another_scale_than_the_detectors_is_found_by_the_check_of_the_flux(
    drizzled: Drizzled,
) -> None:
    """It does not use the IDCSCALE that the product was made with."""
    report, _ = drizzled("wfpc2 of another IDCSCALE")
    assert report.flux_ratio == pytest.approx(1.06**-2, abs=0.02)
    assert any("times their flux" in problem for problem in report.problems)


def test_a_product_of_an_exposure_with_another_filters_photmode_has_no_zero_point(
    drizzled: Drizzled,
) -> None:
    report, hdus = drizzled("hrc F555W")
    (problem,) = report.complaints
    assert "no zero point: j8bt05njq: PHOTMODE is ACS HRC F606W, the filter F555W" in problem
    for name in ("PRIMARY", "SCI"):
        assert not {"ZPAB", "ZPST", "PHOTFLAM", "PHOTPLAM", "PHOTMODE"} & set(hdus[name].header)
    assert "PHOTMODE is ACS HRC F606W" in hdus[0].header["ZPNOTE"]


def test_a_sky_of_the_archives_drizzling_is_not_this_runs(drizzled: Drizzled) -> None:
    """The exposures' MDRIZSKY is 20 electrons, and nothing was subtracted here."""
    assert fits.getheader(next(REAL.glob("wfc3_uvis*/idsj02axq*")), 1)["MDRIZSKY"] > 19
    report, hdus = drizzled("kept sky")
    assert report.sky_per_s == 0.0
    assert hdus[0].header["SKYMEAN"] == 0.0
    assert "MDRIZSKY" not in hdus[0].header
    read_noise_and_dark = 3.08**2 + 0.28280312 * 1.56
    assert hdus[0].header["D001BVAR"] == pytest.approx(read_noise_and_dark, abs=0.01)
    assert np.nanmedian(hdus["SCI"].data) * 200.0 == pytest.approx(20.0, abs=4.0)


def test_empty_sky_of_eight_exposures_scatters_as_its_errors_say(drizzled: Drizzled) -> None:
    """To 10 %; the field has faint galaxies, and moved between exposures."""
    _, hdus = drizzled("uvis")
    sci, error = hdus["SCI"].data, hdus["ERR"].data
    many = (hdus["DQ"].data == 0) & (hdus["WHT"].data > 0.8 * 1600.0)
    pulls = sci[many] / error[many] * hdus[0].header["NOISCORR"]
    assert many.sum() > 10_000
    assert mad_std(pulls) == pytest.approx(1.0, abs=0.1)
    # In the unit of SCI, and NaN where there is no weight.
    assert hdus["ERR"].header["BUNIT"] == "ELECTRONS/S"
    assert np.array_equal(np.isfinite(error), hdus["WHT"].data > 0)


def test_saturated_pixels_of_wfpc2_are_flagged_in_the_stack(drizzled: Drizzled) -> None:
    """Bit 8 is drizzled, with values of 3500 DN and less: each has its place flagged."""
    _, hdus = drizzled("wfpc2")
    flagged = (hdus["DQ"].data & 4) > 0
    product = WCS(hdus["SCI"].header)
    exposure = next(REAL.glob("wfpc2*/*_c0m.fits"))
    quality = Path(str(exposure).replace("c0m", "c1m"))
    n_saturated = 0
    with fits.open(exposure) as native, fits.open(quality) as flags:
        for chip in (1, 2, 3, 4):
            y, x = np.nonzero(flags[chip].data & 8)
            sky = WCS(native["SCI", chip].header, naxis=2).all_pix2world(x, y, 0)
            columns, rows = np.rint(product.all_world2pix(*sky, 0)).astype(int)
            n_saturated += len(x)
            assert flagged[rows, columns].all(), chip
    assert n_saturated > 100
    assert hdus["WHT"].data[flagged].max() > 0
    assert flagged.sum() < 30 * n_saturated  # a native pixel of a wide chip is five across

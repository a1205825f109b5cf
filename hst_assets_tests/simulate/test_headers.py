import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from hst_assets.detectors import DETECTORS
from hst_assets.simulate.geometry import Subarray, pixel_area

KEYS = ["wfc3_uvis", "wfc3_ir", "acs_wfc", "acs_hrc", "wfpc2"]

pytestmark = pytest.mark.xdist_group("small_campaigns")


def _open(truth, index=0):
    return fits.open(truth.science_files()[index])


@pytest.mark.parametrize("key", KEYS)
def test_files_are_valid_fits_with_the_extensions_of_the_instrument(key, campaign):
    truth = campaign(key)
    names = {
        "wfc3_ir": ["SCI", "ERR", "DQ", "SAMP", "TIME"],
        "wfpc2": ["SCI"] * 4,
    }.get(key, ["SCI", "ERR", "DQ"])
    with _open(truth) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus[1:]] == names
        assert hdus[0].header["NEXTEND"] == len(names)
        assert hdus[0].header["FILENAME"] == truth.science_files()[0].name
        assert all(hdu.data.dtype == ">f4" for hdu in hdus if hdu.name in ("SCI", "ERR"))


def test_wfpc2_keeps_its_flags_in_a_file_of_its_own(campaign):
    truth = campaign("wfpc2")
    assert [path.name for path in truth.exposure_files[:2]] == [
        "usim01a0q_c0m.fits",
        "usim01a0q_c1m.fits",
    ]
    with fits.open(truth.exposure_files[1]) as hdus:
        assert [(hdu.name, hdu.ver) for hdu in hdus[1:]] == [("SDQ", n) for n in (1, 2, 3, 4)]
        assert [hdu.header["DETECTOR"] for hdu in hdus[1:]] == [1, 2, 3, 4]
        assert hdus[1].data.dtype == ">i2"


@pytest.mark.parametrize("key", KEYS)
def test_headers_describe_the_exposure(key, campaign):
    truth, detector = campaign(key), DETECTORS[key]
    row = truth.exposures[0]
    with _open(truth) as hdus:
        primary, science = hdus[0].header, hdus["SCI", 1].header
        assert primary["ROOTNAME"] == row["rootname"]
        assert primary["INSTRUME"] == detector.instrument
        assert primary.get("DETECTOR", "WFPC2") == detector.detector
        assert (primary["EXPEND"] - primary["EXPSTART"]) * 86400 == pytest.approx(row["exptime"])
        assert primary["EXPTIME"] == row["exptime"]
        assert primary["EXPFLAG"] == "NORMAL"
        assert primary["OBSTYPE"] == "IMAGING"
        assert science.get("BUNIT") == detector.science_units
        assert science["WCSNAME"].startswith("IDC_")
        for keyword in ("IDCTAB", "NPOLFILE", "D2IMFILE", "MDRIZTAB", "DGEOFILE"):
            assert primary[keyword] == "N/A"
        wheels = [primary.get(name) for name in ("FILTER", "FILTER1", "FILTER2", "FILTNAM1")]
        assert detector.filter_of([w for w in wheels if isinstance(w, str)]) == row["filter"]
        where = primary if key == "wfc3_ir" else science
        assert where["PHOTFLAM"] > 0
        assert where["PHOTPLAM"] > 3000


@pytest.mark.parametrize("key", KEYS)
def test_the_wcs_in_the_file_is_the_one_that_was_planned(key, campaign):
    # true_offset reads the file's WCS; minus the injected error is what it has to find.
    from hst_assets.simulate.truth import true_offset

    truth = campaign(key)
    for row in truth.exposures:
        path = truth.exposure_folder / row["file"]
        offset = true_offset(path, truth.positions(row["rootname"]))
        # 1e-3 native pixels; WFPC2's outermost chip adds the convergence of meridians.
        tolerance = 1e-3 * DETECTORS[key].pixel_scale_arcsec
        assert offset.east_arcsec == pytest.approx(-row["error_east"], abs=tolerance)
        assert offset.north_arcsec == pytest.approx(-row["error_north"], abs=tolerance)
        assert offset.scatter_arcsec < tolerance


@pytest.mark.parametrize("key", ["wfc3_uvis", "wfc3_ir", "acs_wfc", "acs_hrc"])
def test_a_subarray_says_where_it_lies(key, campaign):
    with _open(campaign(key)) as hdus:
        primary, science = hdus[0].header, hdus["SCI", 1].header
        border = 10 if key == "wfc3_ir" else 0
        assert primary["SUBARRAY"] is True
        assert science["LTV1"] < 0
        assert (science["SIZAXIS1"], science["SIZAXIS2"]) == (512 + border, 512 + border)
        # The chip's own reference pixel, where a full frame has it.
        full = {"wfc3_uvis": 2048, "wfc3_ir": 507, "acs_wfc": 2048, "acs_hrc": 512}[key]
        assert science["CRPIX1"] - science["LTV1"] == full
        assert primary["APERTURE"] not in ("UVIS", "IR", "WFC", "HRC")
        assert primary["NEXTEND"] == len(hdus) - 1


def test_a_subarray_on_the_upper_chip_is_extension_one_of_chip_one(render):
    rendered = render("acs_wfc", subarray=Subarray(0, 1000, 256, 256, extver=2))
    (chip,) = rendered.chips
    assert (chip.view.extver, chip.view.chip.ccdchip) == (1, 1)


@pytest.mark.parametrize("key", ["wfc3_uvis", "acs_wfc"])
def test_a_full_frame_has_both_chips(key, render):
    from hst_assets.simulate.headers import exposure_files

    rendered = render(key, subarray=None, noise=False, cosmic_rays=False, defects=False)
    ((name, content),) = exposure_files(rendered).items()
    hdus = fits.HDUList.fromstring(content)
    assert name.endswith("_flc.fits")
    assert [(hdu.name, hdu.ver) for hdu in hdus[1:]] == [
        (plane, version) for version in (1, 2) for plane in ("SCI", "ERR", "DQ")
    ]
    assert [hdus["SCI", version].header["CCDCHIP"] for version in (1, 2)] == [2, 1]
    assert hdus[0].header["SUBARRAY"] is False
    # The chips lie edge to edge: a gap of 1 to 4 arcsec between them.
    first, second = (WCS(hdus["SCI", version].header) for version in (1, 2))
    ny, nx = hdus["SCI", 1].shape
    top, bottom = first.all_pix2world(nx / 2, ny - 1, 0), second.all_pix2world(nx / 2, 0, 0)
    gap = 3600 * np.hypot(*(np.subtract(top, bottom) * [np.cos(np.radians(2.2)), 1]))
    assert 0.8 < gap < 4.0


@pytest.mark.parametrize("key", KEYS)
def test_stwcs_reads_scale_and_distortion_from_the_headers(key, campaign):
    from stwcs.wcsutil import HSTWCS

    truth = campaign(key)
    with _open(truth) as hdus:
        for hdu in hdus:
            if hdu.name != "SCI":
                continue
            wcs = HSTWCS(hdus, ext=("SCI", hdu.ver))
            assert wcs.sip is not None
            x, y = wcs.wcs.crpix - 1
            # HSTWCS's scale is that of the linear terms, to which the area refers, but for
            # IDCSCALE itself.
            from hst_assets.simulate.geometry import chip_views

            view = chip_views(key)[hdu.ver - 1]
            area = float(pixel_area(view, view.crpix[0] - 1, view.crpix[1] - 1))
            assert np.isfinite([x, y]).all()
            assert wcs.idcscale == view.scale_arcsec
            determinant = abs(np.linalg.det(wcs.wcs.cd)) * 3600**2
            assert determinant == pytest.approx(area * wcs.idcscale**2, rel=5e-4)

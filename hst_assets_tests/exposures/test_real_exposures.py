"""The real exposures beside the checkout, whole, through every step of this package."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.footprint import parse_footprint, signed_distance_arcsec
from hst_assets.exposures.header import read_exposure
from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.raw import check_raw, visits_in
from hst_assets.exposures.table import (
    make_raw_manifest,
    make_target_table,
    make_visit_table,
)
from hst_assets.exposures.verification import verify_exposure
from hst_assets.failures import UnusableInput
from hst_assets.products.columns import read_table
from hst_assets.settings import load_settings, write_settings

pytestmark = pytest.mark.real_data

EXPOSURES = [
    "wfc3_uvis_2013fy27/idsj02axq_flc.fits",
    "acs_hrc_47tuc/j8bt06nyq_flt.fits",
    "acs_hrc_47tuc/j8bt06o6q_flt.fits",
    "acs_hrc_47tuc/j8bt05njq_flt.fits",
    "wfc3_ir_gj1214/ibxy01z8q_flt.fits",
    "wfc3_ir_gj1214/ibxy07p9q_flt.fits",
    "wfpc2_omegacen/u40x010hm_c0m.fits",
]


def tables(workdir, **selection):
    if selection:
        write_settings(workdir, {"selection": selection})
    settings = load_settings(workdir)
    for visit in visits_in(workdir):
        make_raw_manifest(workdir, visit)
        make_visit_table(workdir, visit, settings)
    make_target_table(workdir, visits_in(workdir), settings)
    return read_table(workdir.target_exposures)


@pytest.mark.parametrize("name", EXPOSURES)
def test_every_real_exposure_passes(real_data, name):
    path = real_data / name
    assert path.name.startswith(verify_exposure(path, quality_file(path)).rootname)


@pytest.mark.parametrize("name", EXPOSURES)
def test_the_footprint_follows_the_true_edge(real_data, name):
    """Against astropy's own transformation at every edge pixel: below half a pixel."""
    path = real_data / name
    exposure = read_exposure(path)
    with fits.open(path) as hdus:
        for chip in exposure.chips:
            wcs = WCS(hdus["SCI", chip.extver].header, fobj=hdus)
            ny, nx = chip.shape
            scale = np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600
            along_x, along_y = np.linspace(-0.5, nx - 0.5, 97), np.linspace(-0.5, ny - 0.5, 97)
            for x, y in (
                (along_x, np.full(97, -0.5)),
                (along_x, np.full(97, ny - 0.5)),
                (np.full(97, -0.5), along_y),
                (np.full(97, nx - 0.5), along_y),
            ):
                for ra, dec in np.column_stack(wcs.all_pix2world(x, y, 0)):
                    depth = signed_distance_arcsec([chip.polygon], ra, dec)
                    assert abs(depth) / scale < 0.5


@pytest.mark.parametrize("name", EXPOSURES)
def test_the_position_angle_is_near_orientat(real_data, name):
    path = real_data / name
    exposure = read_exposure(path)
    header = fits.getheader(path, ("SCI", 1))
    offset = (exposure.pa_deg - header["ORIENTAT"] + 180) % 360 - 180
    if name.startswith("wfc3_ir"):
        # ORIENTAT of these cut-outs stands for the whole detector, 0.2 deg away by distortion.
        assert abs(offset) < 0.3
    else:
        # ORIENTAT holds at the reference pixel; distortion turns the centre by up to 0.1 deg.
        assert abs(offset) < 0.12


def test_the_archives_own_footprint_agrees(real_data):
    """S_REGION of the archive, where the header has it, and ours: corners within 2 pixels."""
    checked = 0
    for name in EXPOSURES:
        with fits.open(real_data / name) as hdus:
            regions = [
                (hdu.header["S_REGION"], hdu.ver)
                for hdu in hdus
                if hdu.name == "SCI" and "S_REGION" in hdu.header
            ]
        chips = {chip.extver: chip for chip in read_exposure(real_data / name).chips}
        for text, extver in regions:
            (archive,) = parse_footprint(text)
            ours = SkyCoord(*chips[extver].polygon.T, unit="deg")
            for corner in SkyCoord(*archive.T, unit="deg"):
                assert corner.separation(ours).min().arcsec < 0.08
            checked += 1
    assert checked >= 1


def test_the_uvis_visit(real_data, workdir):
    report = ingest([real_data / "wfc3_uvis_2013fy27"], workdir)
    assert (len(report.accepted), report.rejected, report.visits) == (8, [], ["idsj02"])
    found = tables(workdir)
    assert len(found) == 8
    assert found["used"].all()
    assert set(found["note"]) == {"moving target"}
    assert set(found["filter"]) == {"F350LP"}
    assert set(found["epoch"]) == {1}
    assert found["subarray"].all()
    assert np.all(found["exptime"].value == 200.0)
    assert np.all(np.diff(found["mjd_start"].value) > 0)
    # F350LP on UVIS2 (CCDCHIP 2): 26.96 AB from the header's PHOTFLAM and PHOTPLAM.
    assert found["zp_ab_2"].value == pytest.approx(26.964, abs=1e-3)
    assert np.isnan(found["zp_ab_1"].value).all()
    assert check_raw(workdir, full=True)


def test_the_hrc_exposures(real_data, workdir):
    ingest([real_data / "acs_hrc_47tuc"], workdir, ra_deg=6.0230, dec_deg=-72.0850)
    found = tables(workdir)
    assert list(found["rootname"]) == ["j8bt05njq", "j8bt06nyq", "j8bt06o6q"]
    assert list(found["visit"]) == ["j8bt05", "j8bt06", "j8bt06"]
    assert list(found["filter"]) == ["F555W", "F606W", "F606W"]
    assert not found["subarray"].any()
    assert list(found["filter_elements"][:1]) == ["F555W,CLEAR2S"]


def test_the_target_just_off_the_edge_is_refused_with_the_distance(real_data, workdir):
    """RA_TARG of j8bt06o6q lies 0.4 arcsec off its edge: true, and told; a margin admits it."""
    ingest([real_data / "acs_hrc_47tuc"], workdir)
    found = {row["rootname"]: row for row in tables(workdir)}
    assert "0.41 arcsec outside" in found["j8bt06o6q"]["reason"]
    assert tables(workdir, footprint_margin_arcsec=0.5)["used"].all()


def test_the_wfpc2_pair(real_data, workdir):
    report = ingest([real_data / "wfpc2_omegacen"], workdir)
    assert [file.suffix for file in report.accepted] == ["c0m", "c1m"]
    (row,) = tables(workdir)
    assert (row["detector_key"], row["filter"], row["n_chips"]) == ("wfpc2", "F555W", 4)
    assert row["dq_file"] == "u40x010hm_c1m.fits"
    assert len(parse_footprint(row["footprint"])) == 4
    # Handbook: about 22.55 ST for F555W at gain 7, each chip within 0.05 mag.
    zero_points = [row[f"zp_st_{chip}"].value for chip in (1, 2, 3, 4)]
    assert np.ptp(zero_points) < 0.05
    assert np.mean(zero_points) == pytest.approx(22.55, abs=0.05)


def test_the_ir_subarrays_are_short_and_can_be_kept(real_data, workdir):
    ingest([real_data / "wfc3_ir_gj1214"], workdir)
    with pytest.raises(UnusableInput, match=r"exposed 0.833445 s, less than 15 s"):
        tables(workdir)
    found = tables(workdir, keep_short=True)
    assert found["used"].all()
    assert list(found["epoch"]) == [1, 2]
    assert found["subarray"].all()


def test_everything_else_beside_them_is_refused_with_a_reason(real_data, workdir):
    report = ingest([real_data], workdir)
    assert len(report.accepted) == 15  # 14 exposures and the companion
    told = {rejected.path.name: rejected.reason for rejected in report.rejected}
    assert "a _asn product" in told["jbz504010_asn.fits"]
    assert "a _drc product" in told["sample_mvm_drc.fits"]
    assert "SCI,1 has only 10 x 10 pixels" in told["sample_svm_flc.fits"]
    assert all(told.values())


@pytest.mark.parametrize("name", ["sample_svm_flc.fits", "sample_ipppssoot_flc.fits"])
def test_headers_with_headerlets_are_read(real_data, name):
    exposure = read_exposure(real_data / "headers_only" / name)
    assert exposure.wcsname.startswith("IDC_2731450pi-FIT_")
    assert [chip.number for chip in exposure.chips] == [2, 1]


@pytest.mark.parametrize("name", [EXPOSURES[0], EXPOSURES[1], EXPOSURES[6]])
@pytest.mark.parametrize("kept", [0.001, 0.3, 0.9, 0.999])
def test_truncated_real_exposures_are_refused(real_data, tmp_path, name, kept):
    source = real_data / name
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes()[: int(source.stat().st_size * kept)])
    with pytest.raises(UnusableInput, match=r"truncated|corrupt"):
        verify_exposure(path, quality_file(source))

from contextlib import suppress

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.verification import (
    named_rootname,
    verify_exposure,
)
from hst_assets.failures import UnusableInput

KEYS = ["wfc3_uvis", "wfc3_ir", "acs_wfc", "acs_hrc"]
BLOCK = 2880


@pytest.mark.parametrize("key", KEYS)
def test_a_whole_exposure_passes(exposure_file, key):
    exposure = verify_exposure(exposure_file(key))
    assert exposure.detector.key == key


@pytest.mark.parametrize("key", ["wfc3_uvis", "acs_wfc"])
def test_two_chips_pass(exposure_file, key):
    assert len(verify_exposure(exposure_file(key, n_chips=2)).chips) == 2


def test_a_wfpc2_pair_passes(exposure_file):
    path = exposure_file("wfpc2", n_chips=4)
    exposure = verify_exposure(path, quality_file(path))
    assert exposure.dq_path == quality_file(path)


def test_right_checksums_pass(exposure_file):
    assert verify_exposure(exposure_file(checksum=True)).rootname


def test_a_constant_plane_that_only_its_header_holds_passes(exposure_file):
    def constant(hdus):
        hdu = fits.ImageHDU(name="DQ", ver=1)
        hdu.header.update({"NPIX1": 50, "NPIX2": 40, "PIXVALUE": 0})
        hdus["DQ", 1] = hdu

    assert verify_exposure(exposure_file(edit=constant)).chips[0].shape == (40, 50)


# --------------------------------------------------------------------- spoilt as a container


def _truncate(path, size):
    path.write_bytes(path.read_bytes()[:size])


def test_an_empty_file_is_refused(exposure_file):
    path = exposure_file()
    path.write_bytes(b"")
    with pytest.raises(UnusableInput, match=r"empty file \(0 bytes\)"):
        verify_exposure(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>503 Service Unavailable</html>", "web page"),
        (b"\n<!DOCTYPE html>", "web page"),
        (b"\x1f\x8b\x08\x00rest", "gzip"),
        (b"not FITS at all", "not a FITS file: it starts with b'not FITS '"),
        (b"SIMPLE", "not a FITS file"),
        (b"\0" * 5760, "not a FITS file"),
        (b"SIMPLE  = ", "corrupt FITS"),
        (b"SIMPLE  =" + b" " * 5751, "corrupt FITS|no SCI|truncated|missing"),
    ],
)
def test_what_is_not_fits_is_refused(exposure_file, content, reason):
    path = exposure_file()
    path.write_bytes(content)
    with pytest.raises(UnusableInput, match=reason):
        verify_exposure(path)


@pytest.mark.parametrize("kept", [0.05, 0.2, 0.37, 0.5, 0.63, 0.8, 0.95])
def test_a_truncated_file_is_refused(exposure_file, kept):
    path = exposure_file("acs_wfc", n_chips=2)
    _truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(UnusableInput, match=r"truncated|corrupt"):
        verify_exposure(path)


def test_one_lost_byte_is_truncation(exposure_file):
    path = exposure_file()
    _truncate(path, path.stat().st_size - 1)
    with pytest.raises(UnusableInput, match=r"truncated: \d+ bytes, but its headers announce"):
        verify_exposure(path)


def test_truncation_between_two_extensions_is_told_by_nextend(exposure_file):
    path = exposure_file(n_chips=1)
    with fits.open(path) as hdus:
        start_of_dq = hdus["DQ"].fileinfo()["hdrLoc"]
    _truncate(path, start_of_dq)
    with pytest.raises(UnusableInput, match="truncated: 2 of the 3 extensions of its NEXTEND"):
        verify_exposure(path)


def test_one_flipped_bit_breaks_the_datasum(exposure_file):
    path = exposure_file(checksum=True)
    with fits.open(path) as hdus:
        where = hdus["SCI"].fileinfo()["datLoc"] + 1234
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnusableInput, match=r"DATASUM of HDU 1 \(SCI,1\) does not agree"):
        verify_exposure(path)


def test_a_changed_card_breaks_the_checksum(exposure_file):
    path = exposure_file(checksum=True)
    path.write_bytes(path.read_bytes().replace(b"'NORMAL  '", b"'INDETER '", 1))
    with pytest.raises(UnusableInput, match=r"CHECKSUM of HDU 0 \(PRIMARY,1\) does not agree"):
        verify_exposure(path)


def test_a_checksum_that_is_no_number_is_refused(exposure_file):
    path = exposure_file(edit=lambda hdus: hdus["DQ"].header.set("DATASUM", "garbage"))
    with pytest.raises(UnusableInput, match="corrupt"):
        verify_exposure(path)


def test_rubbish_after_the_last_extension_is_refused(exposure_file):
    path = exposure_file()
    path.write_bytes(path.read_bytes() + b"rubbish!" * (BLOCK // 8))
    with pytest.raises(UnusableInput, match="corrupt"):
        verify_exposure(path)


def test_padding_after_the_last_extension_is_harmless(exposure_file):
    path = exposure_file()
    path.write_bytes(path.read_bytes() + b"\0" * BLOCK)
    assert verify_exposure(path).rootname


@pytest.mark.parametrize("seed", range(25))
def test_a_damaged_block_never_gets_past_a_checksum(exposure_file, seed):
    """Random bytes over a random stretch: refused with a reason, whatever astropy makes of it."""
    rng = np.random.default_rng(seed)
    path = exposure_file(checksum=True)
    content = bytearray(path.read_bytes())
    start = int(rng.integers(0, len(content) - 400))
    content[start : start + 300] = rng.integers(0, 256, 300, dtype=np.uint8).tobytes()
    path.write_bytes(content)
    with pytest.raises(UnusableInput):
        verify_exposure(path)


@pytest.mark.parametrize("seed", range(25))
def test_damage_without_checksums_never_escapes_as_another_error(exposure_file, seed):
    rng = np.random.default_rng(1000 + seed)
    path = exposure_file("wfc3_uvis")
    content = bytearray(path.read_bytes())
    start = int(rng.integers(80, 3 * BLOCK))
    content[start : start + 40] = rng.integers(32, 127, 40, dtype=np.uint8).tobytes()
    path.write_bytes(content)
    with suppress(UnusableInput):  # which is what it may raise, and nothing else
        assert verify_exposure(path).detector.key == "wfc3_uvis"


# ------------------------------------------------------------------------- spoilt as science


@pytest.mark.parametrize("keyword", ["INSTRUME", "ROOTNAME", "EXPTIME", "DETECTOR"])
def test_a_missing_primary_keyword_is_named(exposure_file, keyword):
    path = exposure_file("wfc3_uvis", primary={keyword: None})
    with pytest.raises(UnusableInput, match=f"keyword {keyword} is missing"):
        verify_exposure(path)


@pytest.mark.parametrize("keyword", ["CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"])
def test_a_missing_wcs_keyword_is_named(exposure_file, keyword):
    path = exposure_file(science={keyword: None})
    with pytest.raises(UnusableInput, match=f"SCI,1: keyword {keyword} is missing"):
        verify_exposure(path)


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("EXPTIME", "long", "keyword EXPTIME is 'long', not a number"),
        ("EXPTIME", True, "keyword EXPTIME is True, not a number"),
        ("EXPTIME", -1.0, r"keyword EXPTIME is -1.0, below 0"),
        ("INSTRUME", 3, "keyword INSTRUME is 3, not text"),
        ("INSTRUME", "", "keyword INSTRUME is empty"),
        ("ROOTNAME", "hst_skycell_p1", "ROOTNAME is 'hst_skycell_p1', not the name of one"),
        ("EXPSTART", "yesterday", "keyword EXPSTART is 'yesterday', not a number"),
        ("EXPEND", 1.0, "ends .* before it starts"),
        ("EXPFLAG", 7, "keyword EXPFLAG is 7, not text"),
        ("RA_TARG", "10:00:24", "keyword RA_TARG is '10:00:24', not a number"),
    ],
)
def test_a_keyword_of_the_wrong_kind_is_named(exposure_file, keyword, value, reason):
    path = exposure_file("wfc3_uvis", name="field_flc.fits", primary={keyword: value})
    with pytest.raises(UnusableInput, match=reason):
        verify_exposure(path)


@pytest.mark.parametrize(
    ("key", "primary", "reason"),
    [
        ("acs_hrc", {"INSTRUME": "STIS"}, "STIS/HRC is not supported"),
        ("acs_hrc", {"INSTRUME": "NICMOS", "DETECTOR": None}, "NICMOS/. is not supported"),
        ("acs_hrc", {"DETECTOR": "SBC"}, "ACS/SBC is not supported"),
        ("acs_hrc", {"OBSTYPE": "SPECTROSCOPIC"}, "OBSTYPE is SPECTROSCOPIC"),
        ("acs_hrc", {"OBSTYPE": "CORONAGRAPHIC"}, "OBSTYPE is CORONAGRAPHIC"),
        ("acs_hrc", {"IMAGETYP": "DARK"}, "IMAGETYP is DARK"),
        ("wfc3_uvis", {"SCAN_TYP": "C"}, "spatial scan"),
        ("wfpc2", {"MODE": "AREA"}, "WFPC2 mode AREA is not supported"),
        ("acs_wfc", {"FILTER1": "G800L"}, "G800L is not an imaging filter of ACS/WFC"),
        ("acs_hrc", {"FILTER2": "PR200L"}, "PR200L is not an imaging filter of ACS/HRC"),
        ("wfc3_uvis", {"FILTER": "G280"}, "G280 is not an imaging filter of WFC3/UVIS"),
        ("wfc3_ir", {"FILTER": "G141"}, "G141 is not an imaging filter of WFC3/IR"),
        ("wfc3_ir", {"FILTER": "BLANK"}, "BLANK is not an imaging filter"),
        ("wfc3_ir", {"FILTER": None}, "keyword FILTER is missing or empty"),
        ("acs_hrc", {"FILTER2": "CLEAR2S"}, "no filter in the wheels of ACS/HRC"),
    ],
)
def test_an_unsupported_mode_is_refused(exposure_file, key, primary, reason):
    path = exposure_file(key, primary=primary)
    with pytest.raises(UnusableInput, match=reason):
        verify_exposure(path, quality_file(path))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("jddd04ghq_drz.fits", "a _drz product"),
        ("jddd04ghq_raw.fits", "a _raw product"),
        ("jddd04ghq_crj.fits", "a _crj product"),
        ("jddd04ghq_flc.fits", "taken from _flt.fits files, not _flc.fits"),
        ("image.fits", "its name has no product suffix"),
        ("jddd04ghq_flt.fits.txt", "its name has no product suffix"),
        ("jddd04xxq_flt.fits", "its name says exposure jddd04xxq, its ROOTNAME says jddd04ghq"),
    ],
)
def test_a_wrong_name_is_refused(exposure_file, name, reason):
    path = exposure_file(name=name)
    with pytest.raises(UnusableInput, match=reason):
        verify_exposure(path)


@pytest.mark.parametrize(
    "name", ["hst_11665_06_acs_hrc_f814w_jddd04gh_flt.fits", "jddd04gh_flt.fits", "my_flt.fits"]
)
def test_names_of_hap_products_and_of_users_pass(exposure_file, name):
    assert verify_exposure(exposure_file(name=name)).rootname == "jddd04ghq"


def _fill(value):
    def edit(hdus):
        hdus["SCI", 1].data[:] = value

    return edit


def _drop(*key):
    def edit(hdus):
        del hdus[key]
        hdus[0].header["NEXTEND"] = len(hdus) - 1

    return edit


def _reshape(name, shape):
    def edit(hdus):
        hdus[name, 1].data = np.zeros(shape, "int16")

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_fill(0.0), "SCI,1 is zero everywhere"),
        (_fill(np.nan), "SCI,1 holds no finite value"),
        (_drop("SCI", 1), "no SCI extension"),
        (_drop("DQ", 1), "DQ,1 is missing"),
        (_drop("ERR", 1), "ERR,1 is missing"),
        (_reshape("DQ", (40, 49)), r"DQ,1 has shape \(40, 49\), SCI,1 \(40, 50\)"),
        (_reshape("SCI", (40,)), "SCI,1 holds no image"),
        (_reshape("SCI", (2, 40, 50)), "SCI,1 holds no image"),
        (_reshape("SCI", (1025, 40)), "SCI,1 has 40 x 1025 pixels"),
        (_reshape("SCI", (10, 10)), "SCI,1 has only 10 x 10 pixels"),
        (_reshape("SCI", (4, 50)), "SCI,1 has 50 x 4 pixels"),
    ],
)
def test_what_is_not_science_is_refused(exposure_file, edit, reason):
    path = exposure_file(edit=edit)
    with pytest.raises(UnusableInput, match=reason):
        verify_exposure(path)


def test_two_chips_of_one_number_are_refused(exposure_file):
    path = exposure_file("acs_wfc", n_chips=2)
    fits.setval(path, "EXTVER", value=1, ext=4)
    with pytest.raises(UnusableInput, match=r"its SCI extensions share EXTVER: \[1, 1\]"):
        verify_exposure(path)


@pytest.mark.parametrize(
    ("science", "reason"),
    [
        ({"CTYPE1": "LINEAR"}, "CTYPE1 is 'LINEAR', not a sky WCS"),
        ({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 3}, "WCS cannot be used"),
        ({"CPDIS1": "LOOKUP", "DP1.EXTVER": 1.0}, "WCS cannot be used"),
        ({"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None}, "CD1_1 is missing"),
        ({"CD1_1": -1e-3, "CD2_2": 1e-3}, r"pixels of 3.6 arcsec; those of ACS/HRC are 0.027"),
        ({"CD1_1": 0.0, "CD2_2": 0.0}, "WCS"),
        ({"CRVAL1": 1e30}, "its WCS is not on the sky"),
        ({"CRVAL2": 91.0}, "its WCS is not on the sky"),
        ({"BINAXIS1": 2, "BINAXIS2": 2}, r"binned on board \(2 x 2\)"),
    ],
)
def test_a_broken_wcs_is_refused(exposure_file, science, reason):
    path = exposure_file(science=science)
    with pytest.raises(UnusableInput, match=reason):
        verify_exposure(path)


def test_a_full_frame_with_one_chip_of_two_is_refused(exposure_file):
    path = exposure_file("acs_wfc", primary={"SUBARRAY": False})
    with pytest.raises(UnusableInput, match="1 of the 2 chips of a full frame"):
        verify_exposure(path)


# --------------------------------------------------------------------------- the companion


def test_wfpc2_without_companion_is_refused(exposure_file):
    path = exposure_file("wfpc2", n_chips=4)
    quality_file(path).unlink()
    with pytest.raises(UnusableInput, match=r"companion _c1m.fits is missing"):
        verify_exposure(path, quality_file(path))


def _spoil_bytes(path):
    path.write_bytes(path.read_bytes()[:3000])


def _spoil_rootname(path):
    fits.setval(path, "ROOTNAME", value="ueee05xxm")


def _spoil_count(path):
    with fits.open(path) as hdus:
        hdus[:3].writeto(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def _spoil_type(path):
    with fits.open(path) as hdus:
        for hdu in hdus[1:]:
            hdu.data = hdu.data.astype("float32")
        hdus.writeto(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_spoil_bytes, "ueee05ijm_c1m.fits cannot be used: truncated"),
        (_spoil_rootname, "its ROOTNAME is 'ueee05xxm', not 'ueee05ijm'"),
        (_spoil_count, "its planes have shapes"),
        (_spoil_type, "its planes are not integer flags"),
    ],
)
def test_wfpc2_with_a_spoilt_companion_is_refused(exposure_file, spoil, reason):
    path = exposure_file("wfpc2", n_chips=4)
    spoil(quality_file(path))
    with pytest.raises(UnusableInput, match=reason):
        verify_exposure(path, quality_file(path))


def test_lookup_tables_behind_the_planes_are_harmless(exposure_file):
    path = exposure_file("wfpc2", n_chips=4)
    with fits.open(quality_file(path), mode="append") as hdus:
        hdus.append(fits.ImageHDU(np.zeros((1, 800), "float32"), name="D2IMARR", ver=1))
    assert verify_exposure(path, quality_file(path)).rootname == "ueee05ijm"


# -------------------------------------------------------------------------------- the names


@pytest.mark.parametrize(
    ("name", "rootname"),
    [
        ("idsj02axq_flc.fits", "idsj02axq"),
        ("IDSJ02AXQ_FLC.FITS", "idsj02axq"),
        ("hst_11665_06_wfc3_uvis_f555w_ib4606c6_flc.fits", "ib4606c6"),
        ("ib4606c6_flc.fits", "ib4606c6"),
        ("sample_flc.fits", None),
        ("image.fits", None),
    ],
)
def test_rootname_of_a_name(name, rootname):
    assert named_rootname(name) == rootname

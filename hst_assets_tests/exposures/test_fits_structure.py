"""A whole FITS file is told from a damaged one by what the format itself says."""

import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.exposures.fits_structure import fits_structure
from hst_assets.failures import UnusableInput
from hst_assets_tests.stand_ins.tiny_fits import tiny_fits

ROOT = "jtest001q"
PLAIN = tiny_fits(ROOT)
SUMMED = tiny_fits(ROOT, checksum=True)
SECOND = 2880 * 2 + 80 * 80 * 4 // 2880 * 2880 + 2880  # where the second extension begins


def looked_at(tmp_path, content):
    path = tmp_path / "x_flc.fits"
    path.write_bytes(content)
    return fits_structure(path)


def test_a_whole_file(tmp_path):
    found = looked_at(tmp_path, PLAIN)
    assert len(found.hdus) == 3
    assert found.hdus[-1].stop == len(PLAIN)
    assert found.rootname == ROOT
    assert found.is_counted
    assert found.n_sums == 0


def test_checksums_are_counted(tmp_path):
    assert looked_at(tmp_path, SUMMED).n_sums == 6


def test_a_file_may_not_say_how_many_extensions_it_has(tmp_path):
    assert not looked_at(tmp_path, tiny_fits(ROOT, nextend=False)).is_counted


def special_hdus():
    table = fits.BinTableHDU.from_columns(
        [fits.Column("X", "PJ()", array=np.array([[1, 2], [3]], dtype=object))]
    )
    compressed = fits.CompImageHDU(np.arange(10000, dtype="i2").reshape(100, 100))
    scaled = fits.ImageHDU(np.arange(99, dtype="u2"))
    return {
        "variable rows": [fits.PrimaryHDU(), table],
        "compressed": [fits.PrimaryHDU(), compressed],
        "unsigned": [fits.PrimaryHDU(np.zeros((3, 3), "u4")), scaled],
        "empty image": [fits.PrimaryHDU(), fits.ImageHDU(), fits.ImageHDU(np.zeros(3))],
    }


@pytest.mark.parametrize("kind", special_hdus())
def test_sizes_and_sums_are_those_of_astropy(tmp_path, kind):
    buffer = io.BytesIO()
    fits.HDUList(special_hdus()[kind]).writeto(buffer, checksum=True)
    found = looked_at(tmp_path, buffer.getvalue())
    with fits.open(tmp_path / "x_flc.fits", disable_image_compression=True) as hdus:
        ends = [hdu.fileinfo()["datLoc"] + hdu.fileinfo()["datSpan"] for hdu in hdus]
    assert [hdu.stop for hdu in found.hdus] == ends
    assert found.n_sums == 2 * len(ends)


def test_random_groups_are_of_the_size_of_the_standard(tmp_path):
    cards = {
        "SIMPLE": "T", "BITPIX": "-32", "NAXIS": "3", "NAXIS1": "0", "NAXIS2": "20", "NAXIS3": "30",
        "GROUPS": "T", "PCOUNT": "4", "GCOUNT": "5",
    }  # fmt: skip
    header = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in cards.items())
    data = bytes(4 * 5 * (4 + 600))
    content = (header + "END").ljust(2880).encode() + data.ljust(5 * 2880, b"\0")
    assert looked_at(tmp_path, content).hdus[0].stop == 6 * 2880


@given(at=st.integers(0, len(SUMMED) - 1), flip=st.integers(1, 255))
def test_no_changed_byte_escapes_the_checksums(tmp_path_factory, at, flip):
    content = bytearray(SUMMED)
    content[at] ^= flip
    path = tmp_path_factory.mktemp("flipped") / "x_flc.fits"
    path.write_bytes(content)
    try:
        n_sums = fits_structure(path).n_sums
    except UnusableInput:
        return
    # Only a sum's own keyword can be spoilt so that nothing contradicts it.
    assert n_sums < 6


@given(stop=st.integers(0, len(PLAIN) - 1))
def test_no_cut_escapes(tmp_path_factory, stop):
    path = tmp_path_factory.mktemp("cut") / "x_flc.fits"
    path.write_bytes(PLAIN[:stop])
    with pytest.raises(UnusableInput):
        fits_structure(path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not a FITS file"),
        (b"<html><body>sorry</body></html>", "not a FITS file"),
        (PLAIN[:2000], "shorter than a header"),
        (PLAIN[:2880], "0 of the 2 extensions"),
        (PLAIN[:-2880], "truncated: .* announce"),
        (PLAIN[:SECOND], "1 of the 2 extensions"),
        (PLAIN[: SECOND + 80], "truncated within the header of HDU 2"),
        (PLAIN + b"junk" * 720, "is not an extension"),
        (PLAIN[:3000] + bytes(100) + PLAIN[3100:], "not text"),
        (PLAIN.replace(b"NAXIS1", b"MAXIS1"), "does not give the size"),
        (PLAIN.replace(b"BITPIX  =                  -32", b"BITPIX  =                  -33"),
         "does not give the size"),
        (b"SIMPLE  =".ljust(2880) * 4001, "does not end"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_damage_is_named(tmp_path, content, match):
    with pytest.raises(UnusableInput, match=match):
        looked_at(tmp_path, content)


@pytest.mark.parametrize("padding", [bytes(2880), b" " * 100])
def test_padding_behind_the_last_extension_is_none(tmp_path, padding):
    assert len(looked_at(tmp_path, PLAIN + padding).hdus) == 3


def test_changed_pixels_without_checksums_look_like_any_others(tmp_path):
    content = bytearray(PLAIN)
    content[-4000] ^= 0x55
    assert looked_at(tmp_path, bytes(content)).n_sums == 0


def test_the_real_exposures_are_whole(real_data):
    paths = sorted(real_data.rglob("*_fl?.fits")) + sorted(real_data.rglob("*_c?m.fits"))
    assert paths
    for path in paths:
        assert fits_structure(path).is_counted

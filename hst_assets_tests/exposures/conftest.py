"""Small synthetic exposures with complete headers, and ways to spoil them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.workdir import WorkDir

RA, DEC = 150.1, 2.2
FILTER_CARDS: dict[str, dict[str, str]] = {
    "wfc3_uvis": {"FILTER": "F606W"},
    "wfc3_ir": {"FILTER": "F160W"},
    "acs_wfc": {"FILTER1": "F606W", "FILTER2": "CLEAR2L"},
    "acs_hrc": {"FILTER1": "CLEAR1S", "FILTER2": "F814W"},
    "wfpc2": {"FILTNAM1": "F555W", "FILTNAM2": ""},
}
ROOTNAMES = {
    "wfc3_uvis": "iaaa01abq",
    "wfc3_ir": "ibbb02cdq",
    "acs_wfc": "jccc03efq",
    "acs_hrc": "jddd04ghq",
    "wfpc2": "ueee05ijm",
}


def _change(header: fits.Header, changes: Mapping[str, Any] | None) -> None:
    for keyword, value in (changes or {}).items():
        if value is None:
            header.remove(keyword, ignore_missing=True)
        else:
            header[keyword] = value


def _primary(key: str, rootname: str) -> fits.PrimaryHDU:
    detector = DETECTORS[key]
    hdu = fits.PrimaryHDU()
    hdu.header.update(
        {
            "ROOTNAME": rootname,
            "INSTRUME": detector.instrument,
            "IMAGETYP": "EXT",
            "EXPTIME": 400.0,
            "EXPSTART": 59000.25,
            "EXPEND": 59000.25 + 400.0 / 86400,
            "DATE-OBS": "2020-05-31",
            "TIME-OBS": "06:00:00",
            "EXPFLAG": "NORMAL",
            "TARGNAME": "FIELD",
            "RA_TARG": RA,
            "DEC_TARG": DEC,
            "FGSLOCK": "FINE",
            "PCTECORR": "COMPLETE" if detector.suffix == "flc" else "OMIT",
            **FILTER_CARDS[key],
        }
    )
    if key == "wfpc2":
        hdu.header["MODE"] = "FULL"
    else:
        hdu.header.update({"DETECTOR": detector.detector, "OBSTYPE": "IMAGING", "SUBARRAY": True})
    return hdu


def _science_cards(key: str, extver: int, shape: tuple[int, int], centre: tuple[float, float]):
    detector = DETECTORS[key]
    scale_deg = detector.pixel_scale_arcsec / 3600
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": centre[0],
        "CRVAL2": centre[1],
        "CRPIX1": (shape[1] + 1) / 2,
        # Chips stand above each other with a gap of 4 pixels.
        "CRPIX2": (shape[0] + 1) / 2 - (extver - 1) * (shape[0] + 4),
        "CD1_1": -scale_deg,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": scale_deg,
        "WCSNAME": "IDC_test",
        "PHOTFLAM": 1e-19,
        "PHOTPLAM": 6000.0,
        "BUNIT": detector.science_units,
    }
    cards["DETECTOR" if key == "wfpc2" else "CCDCHIP"] = extver
    return cards


def _chip_hdus(key, extver, shape, centre, science) -> list[fits.ImageHDU]:
    rng = np.random.default_rng(extver)
    data = rng.normal(100, 10, shape).astype("float32")
    planes = [("SCI", data)]
    if key != "wfpc2":
        planes += [("ERR", np.ones(shape, "float32")), ("DQ", np.zeros(shape, "int16"))]
    hdus = []
    for name, plane in planes:
        hdu = fits.ImageHDU(plane, name=name, ver=extver)
        if name == "SCI":
            hdu.header.update(_science_cards(key, extver, shape, centre))
            _change(hdu.header, science)
        hdus.append(hdu)
    return hdus


def _photmode(key: str, primary: fits.Header) -> str:
    """As the archive's headers name the passband of an exposure."""
    detector = DETECTORS[key]
    wheels = (str(primary.get(keyword, "")) for keyword in detector.filter_keywords)
    elements = [name for name in wheels if not name.startswith("CLEAR")]
    return " ".join([detector.instrument, detector.detector, *elements])


def write_exposure(
    folder: Path,
    key: str = "acs_hrc",
    *,
    rootname: str | None = None,
    name: str | None = None,
    shape: tuple[int, int] = (40, 50),
    n_chips: int = 1,
    centre: tuple[float, float] = (RA, DEC),
    primary: Mapping[str, Any] | None = None,
    science: Mapping[str, Any] | None = None,
    edit: Callable[[fits.HDUList], None] | None = None,
    checksum: bool = False,
) -> Path:
    """Write one exposure (and for WFPC2 its c1m) and return its path.

    `primary` and `science` change keywords (None removes one); `edit` changes anything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rootname = rootname or ROOTNAMES[key]
    path = folder / (name or f"{rootname}_{DETECTORS[key].suffix}.fits")
    hdus = fits.HDUList([_primary(key, rootname)])
    _change(hdus[0].header, primary)
    for extver in range(1, n_chips + 1):
        cards = {"PHOTMODE": _photmode(key, hdus[0].header), **(science or {})}
        hdus.extend(_chip_hdus(key, extver, shape, centre, cards))
    hdus[0].header["NEXTEND"] = len(hdus) - 1
    if edit:
        edit(hdus)
    hdus.writeto(path, checksum=checksum, overwrite=True)
    if key == "wfpc2":
        _write_companion(path, rootname, shape, n_chips)
    return path


def _write_companion(path: Path, rootname: str, shape: tuple[int, int], n_chips: int) -> None:
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header["ROOTNAME"] = rootname
    for extver in range(1, n_chips + 1):
        hdus.append(fits.ImageHDU(np.zeros(shape, "int16"), name="SDQ", ver=extver))
    hdus.writeto(path.with_name(path.name.replace("_c0m", "_c1m")), overwrite=True)


@pytest.fixture
def exposure_file(tmp_path):
    """The writer of exposures, into ``tmp_path/incoming`` unless told otherwise."""

    def write(key: str = "acs_hrc", *, folder: Path | None = None, **options: Any) -> Path:
        return write_exposure(folder or tmp_path / "incoming", key, **options)

    return write


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path / "root", "field")


@pytest.fixture
def field_position():
    return RA, DEC


@pytest.fixture(scope="session")
def real_data():
    """The folder of real exposures beside the checkout."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "real"
    if not folder.is_dir():
        pytest.skip(f"no real exposures at {folder}")
    return folder

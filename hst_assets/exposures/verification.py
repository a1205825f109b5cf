"""Is this file a whole, usable exposure? Every HDU is opened and its data really read.

What is looked at, in this order; the first fault is the reason for refusal:

1. the name tells a calibrated exposure (``_flt``, ``_flc``, ``_c0m``; ``_c1m`` as companion),
   and the detector wants that kind;
2. the file is not empty, is FITS, and is as long as its headers say;
3. DATASUM and CHECKSUM hold wherever they stand;
4. every extension can be read, and there are as many as NEXTEND says;
5. all keywords that the pipeline needs are there and of the right type, instrument, mode and
   filter are supported, and the WCS works (see `hst_assets.exposures.header`);
6. every chip has ERR and DQ planes of its size (WFPC2: in the companion);
7. the science data are not all zero or NaN.
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from hst_assets.exposures.fits_structure import fits_structure
from hst_assets.exposures.header import Exposure, exposure_from_hdus
from hst_assets.exposures.raw import COMPANION_SUFFIX, suffix_of
from hst_assets.failures import UnusableInput

__all__ = ["EXPOSURE_SUFFIXES", "named_rootname", "verify_exposure"]

EXPOSURE_SUFFIXES = frozenset({"flt", "flc", "c0m"})

_ROOTNAME_IN_NAME = re.compile(r"(?:.*_)?([a-z][a-z0-9]{7,8})_[a-z0-9]{3}\.fits", re.IGNORECASE)
_SMALLEST_SIDE_PIX = 32
_FITS_START = b"SIMPLE  ="


def named_rootname(name: str) -> str | None:
    """The rootname that a file name tells (8 characters for Hubble Advanced Products)."""
    match = _ROOTNAME_IN_NAME.fullmatch(name)
    return match[1].lower() if match else None


def verify_exposure(path: Path, dq_path: Path | None = None) -> Exposure:
    """Read a whole exposure and return what its headers say.

    Parameters
    ----------
    path : `~pathlib.Path`
        The flt, flc or c0m file.
    dq_path : `~pathlib.Path`, optional
        The c1m companion of a c0m file.

    Raises
    ------
    UnusableInput
        With the precise reason why it cannot be used.
    """
    suffix = _wanted_suffix(path)
    _check_container(path)
    exposure = _read_whole(path, lambda hdus: _check_science(hdus, path))
    if exposure.suffix != exposure.detector.suffix:
        raise UnusableInput(
            f"wrong kind of product: {exposure.detector.instrument}/{exposure.detector.detector} "
            f"exposures are taken from _{exposure.detector.suffix}.fits files, not _{suffix}.fits",
            where=path,
        )
    _check_name(path, exposure.rootname)
    if exposure.detector.has_separate_dq:
        _verify_companion(exposure, path, dq_path)
    return _with_companion(exposure, dq_path)


def _with_companion(exposure: Exposure, dq_path: Path | None) -> Exposure:
    from dataclasses import replace

    return replace(exposure, dq_path=dq_path) if exposure.detector.has_separate_dq else exposure


def _wanted_suffix(path: Path) -> str:
    suffix = suffix_of(path.name)
    if suffix in EXPOSURE_SUFFIXES:
        return str(suffix)
    kind = f"a _{suffix} product" if suffix else "its name has no product suffix"
    raise UnusableInput(
        f"not a calibrated exposure: {kind}",
        where=path,
        next_step="Use _flc, _flt, or _c0m with _c1m",
    )


def _check_name(path: Path, rootname: str) -> None:
    named = named_rootname(path.name)
    if named and named[:8] != rootname[:8]:
        raise UnusableInput(
            f"its name says exposure {named}, its ROOTNAME says {rootname}", where=path
        )


# ---------------------------------------------------------------------------- the container


def _check_container(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            start = handle.read(len(_FITS_START))
    except OSError as error:
        raise UnusableInput(f"cannot be read: {error.strerror}", where=path) from error
    if size == 0:
        raise UnusableInput("empty file (0 bytes)", where=path)
    if start != _FITS_START:
        raise UnusableInput(f"not a FITS file{_looks_like(start)}", where=path)


def _looks_like(start: bytes) -> str:
    if start.startswith(b"\x1f\x8b"):
        return ": it is gzip-compressed; unpack it first"
    if start.lstrip().startswith(b"<"):
        return ": it looks like a web page, perhaps an archive's error message"
    return f": it starts with {start!r}"


def _read_whole(path: Path, check: Any) -> Any:
    """Check a file as a container, open every HDU, and return ``check(hdus)``."""
    fits_structure(path)
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")  # each fault is found below, by itself
            # By handle: astropy leaves files open that it fails to open by name.
            with (
                path.open("rb") as handle,
                fits.open(handle, memmap=False, lazy_load_hdus=False) as hdus,
            ):
                _read_data(hdus, path)
                return check(hdus)
    except (OSError, EOFError, fits.VerifyError, struct.error, zlib.error) as error:
        raise UnusableInput(f"corrupt FITS: {error}", where=path) from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, MemoryError) as error:
        # What astropy raises over headers that contradict themselves.
        raise UnusableInput(f"corrupt FITS: {type(error).__name__}: {error}", where=path) from error


def _read_data(hdus: fits.HDUList, path: Path) -> None:
    for index, hdu in enumerate(hdus):
        try:
            data = hdu.data
            if isinstance(hdu, fits.BinTableHDU) and data is not None:
                for name in data.names:
                    data.field(name)
        except (OSError, ValueError, TypeError, KeyError, IndexError, EOFError) as error:
            raise UnusableInput(
                f"corrupt: the data of {_label(hdu, index)} cannot be read: {error}", where=path
            ) from error


def _label(hdu: Any, index: int) -> str:
    return f"HDU {index} ({hdu.name or 'unnamed'},{hdu.ver})"


# ------------------------------------------------------------------------- science and DQ


def _check_science(hdus: fits.HDUList, path: Path) -> Exposure:
    exposure = exposure_from_hdus(hdus, path)
    if len(exposure.chips) < exposure.detector.n_chips and _says_full(hdus[0].header):
        raise UnusableInput(
            f"{len(exposure.chips)} of the {exposure.detector.n_chips} chips of a full frame",
            where=path,
        )
    for chip in exposure.chips:
        _check_chip_data(hdus["SCI", chip.extver], path)
        if not exposure.detector.has_separate_dq:
            for plane in ("ERR", "DQ"):
                _check_plane(hdus, (plane, chip.extver), chip.shape, path)
    return exposure


def _says_full(primary: fits.Header) -> bool:
    return primary.get("SUBARRAY") is False


def _check_chip_data(hdu: Any, path: Path) -> None:
    data = hdu.data
    label = f"SCI,{hdu.ver}"
    if data is None or data.ndim != 2:
        raise UnusableInput(f"{label} holds no image", where=path)
    if min(data.shape) < _SMALLEST_SIDE_PIX:
        raise UnusableInput(
            f"{label} has only {data.shape[1]} x {data.shape[0]} pixels", where=path
        )
    if data.dtype.kind != "f" and data.dtype.kind not in "iu":
        raise UnusableInput(f"{label} holds no numbers ({data.dtype})", where=path)
    finite = np.isfinite(data)
    if not finite.any():
        raise UnusableInput(f"{label} holds no finite value", where=path)
    if not np.any(data[finite]):
        raise UnusableInput(f"{label} is zero everywhere", where=path)


def _check_plane(
    hdus: fits.HDUList, key: tuple[str, int], shape: tuple[int, int], path: Path
) -> None:
    label = f"{key[0]},{key[1]}"
    if key not in hdus:
        raise UnusableInput(f"{label} is missing", where=path)
    found = _plane_shape(hdus[key])
    if found != shape:
        raise UnusableInput(f"{label} has shape {found}, SCI,{key[1]} {shape}", where=path)


def _plane_shape(hdu: Any) -> tuple[int, ...]:
    """Shape of an image, also of a constant one that only its header holds (PIXVALUE)."""
    if hdu.data is None and "NPIX1" in hdu.header and "NPIX2" in hdu.header:
        return int(hdu.header["NPIX2"]), int(hdu.header["NPIX1"])
    return () if hdu.data is None else tuple(hdu.data.shape)


def _verify_companion(exposure: Exposure, path: Path, dq_path: Path | None) -> None:
    if dq_path is None or not dq_path.is_file():
        raise UnusableInput(
            f"its data-quality companion _{COMPANION_SUFFIX}.fits is missing",
            where=path,
            next_step="Give both files",
        )
    try:
        _check_container(dq_path)
        _read_whole(dq_path, lambda hdus: _check_companion(hdus, exposure, dq_path))
    except UnusableInput as error:
        raise UnusableInput(
            f"its data-quality companion {dq_path.name} cannot be used: {error.what}", where=path
        ) from error


def _check_companion(hdus: fits.HDUList, exposure: Exposure, dq_path: Path) -> None:
    rootname = str(hdus[0].header.get("ROOTNAME", "")).strip().lower()
    if rootname != exposure.rootname:
        raise UnusableInput(
            f"its ROOTNAME is {rootname!r}, not {exposure.rootname!r}", where=dq_path
        )
    wanted = [chip.shape for chip in exposure.chips]
    # Lookup tables of the WCS may stand behind the planes.
    planes = [hdu for hdu in hdus[1:] if isinstance(hdu, fits.ImageHDU)][: len(wanted)]
    shapes = [_plane_shape(hdu) for hdu in planes]
    if shapes != wanted:
        raise UnusableInput(f"its planes have shapes {shapes}, the chips {wanted}", where=dq_path)
    if any(hdu.data is not None and hdu.data.dtype.kind not in "iu" for hdu in planes):
        raise UnusableInput("its planes are not integer flags", where=dq_path)

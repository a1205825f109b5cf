"""Is this file a complete, usable exposure? Every HDU is opened and its data are read.

Whatever goes wrong is a reason to reject this file, and no other. What bounds the time and memory
that it may take is in `hst_assets.exposures.bounded_verification`.

What is looked at, in this order; the first fault is the reason for rejection:

1. the name tells a calibrated exposure (``_flt``, ``_flc``, ``_c0m``; ``_c1m`` as companion),
   and the detector wants that kind;
2. the file is not empty, not larger than any exposure, is FITS, and is as long as its headers say;
3. DATASUM and CHECKSUM hold wherever there are any;
4. no image is tile-compressed, every extension can be read, and there are as many as NEXTEND says;
5. all keywords that the pipeline needs are there and of the right type, instrument, mode and
   filter are supported, and the WCS works (see `hst_assets.exposures.header`);
6. every chip has ERR and DQ planes of its size (WFPC2: in the companion);
7. the science data are not all zero or NaN; of several chips one may be, and is not used then.
"""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from hst_assets.exposures.fits_structure import fits_structure
from hst_assets.exposures.header import Exposure, exposure_from_hdus
from hst_assets.exposures.limits import refuse_size
from hst_assets.exposures.planes import chips_with_data, plane_shape
from hst_assets.exposures.raw import COMPANION_SUFFIX, suffix_of
from hst_assets.failures import HstAssetsError, TransientFailure, UnusableInput

__all__ = ["EXPOSURE_SUFFIXES", "named_rootname", "verify_exposure"]

EXPOSURE_SUFFIXES = frozenset({"flt", "flc", "c0m"})

_ROOTNAME_IN_NAME = re.compile(r"(?:.*_)?([a-z][a-z0-9]{7,8})_[a-z0-9]{3}\.fits", re.IGNORECASE)
_SMALLEST_SIDE_PIX = 32
_FITS_START = b"SIMPLE  ="
#: What a disk or a process out of descriptors says; it says nothing of the file.
_OF_THE_MACHINE = frozenset(
    {
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


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
    TransientFailure
        If the machine could not read it.
    MemoryError
        If there is not enough memory; `hst_assets.exposures.bounded_verification` has a bound
        beyond which that is a verdict on the file.
    """
    with _rejecting(path):
        return _verified(path, dq_path)


@contextmanager
def _rejecting(path: Path) -> Iterator[None]:
    """Whatever is raised is said of the file, or of the machine."""
    try:
        yield
    except (HstAssetsError, MemoryError):
        raise  # a process with a bound of its own knows whether the file is at fault
    except OSError as error:
        if error.errno in _OF_THE_MACHINE:
            raise TransientFailure(f"cannot be read: {error.strerror}", where=path) from error
        raise UnusableInput(f"corrupt FITS: {error}", where=path) from error
    except Exception as error:
        # Headers that contradict themselves make astropy and wcslib raise almost anything.
        raise UnusableInput(f"corrupt FITS: {type(error).__name__}: {error}", where=path) from error


def _verified(path: Path, dq_path: Path | None) -> Exposure:
    suffix = _wanted_suffix(path)
    _check_container(path)
    exposure: Exposure
    exposure, shapes = _read_whole(path, lambda hdus: _check_science(hdus, path))
    if exposure.suffix != exposure.detector.suffix:
        raise UnusableInput(
            f"wrong kind of product: {exposure.detector.instrument}/{exposure.detector.detector} "
            f"exposures are taken from _{exposure.detector.suffix}.fits files, not _{suffix}.fits",
            where=path,
        )
    _check_name(path, exposure.rootname)
    if exposure.detector.has_separate_dq:
        _verify_companion(exposure, shapes, path, dq_path)
        return replace(exposure, dq_path=dq_path)
    return exposure


def _wanted_suffix(path: Path) -> str:
    suffix = suffix_of(path.name)
    if suffix in EXPOSURE_SUFFIXES:
        return str(suffix)
    if path.name.lower().endswith(".fz"):
        raise _compressed(path, "it is")
    kind = f"a _{suffix} product" if suffix else "its name has no product suffix"
    raise UnusableInput(
        f"not a calibrated exposure: {kind}",
        where=path,
        next_step="Use _flc, _flt, or _c0m with _c1m",
    )


def _compressed(path: Path, what: str) -> UnusableInput:
    return UnusableInput(
        f"{what} tile-compressed (fpack): neither alignment nor drizzling reads that",
        where=path,
        next_step="Unpack it with 'funpack', and ingest the result",
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
        if error.errno in _OF_THE_MACHINE:
            raise
        raise UnusableInput(f"cannot be read: {error.strerror}", where=path) from error
    if size == 0:
        raise UnusableInput("empty file (0 bytes)", where=path)
    refuse_size(size)
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
    for index, hdu in enumerate(fits_structure(path).hdus):
        if hdu.words.get("ZIMAGE") == "T":
            raise _compressed(path, f"its HDU {index} is")
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")  # each fault is found below, by itself
        # By handle: astropy leaves files open that it fails to open by name.
        with (
            path.open("rb") as handle,
            fits.open(
                handle, memmap=False, lazy_load_hdus=False, disable_image_compression=True
            ) as hdus,
        ):
            _read_data(hdus, path)
            return check(hdus)


def _read_data(hdus: fits.HDUList, path: Path) -> None:
    for index, hdu in enumerate(hdus):
        try:
            data = hdu.data
            if isinstance(hdu, fits.BinTableHDU) and data is not None:
                for name in data.names:
                    data.field(name)
        except MemoryError:
            raise
        except Exception as error:
            raise UnusableInput(
                f"corrupt: the data of {_label(hdu, index)} cannot be read: {error}", where=path
            ) from error


def _label(hdu: Any, index: int) -> str:
    return f"HDU {index} ({hdu.name or 'unnamed'},{hdu.ver})"


# ------------------------------------------------------------------------- science and DQ


def _check_science(hdus: fits.HDUList, path: Path) -> tuple[Exposure, list[tuple[int, ...]]]:
    """The exposure, and the shapes of all its chips, those that hold nothing among them."""
    exposure = exposure_from_hdus(hdus, path)
    science = [hdu for hdu in hdus if hdu.name == "SCI"]
    if len(science) < exposure.detector.n_chips and _says_full(hdus[0].header):
        raise UnusableInput(
            f"{len(science)} of the {exposure.detector.n_chips} chips of a full frame", where=path
        )
    for hdu in chips_with_data(hdus):
        _check_chip_data(hdu, path)
    shapes = [plane_shape(hdu) for hdu in science]
    if not exposure.detector.has_separate_dq:
        for hdu, shape in zip(science, shapes, strict=True):
            for plane in ("ERR", "DQ"):
                _check_plane(hdus, (plane, hdu.ver), shape, path)
    return exposure, shapes


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
    hdus: fits.HDUList, key: tuple[str, int], shape: tuple[int, ...], path: Path
) -> None:
    label = f"{key[0]},{key[1]}"
    if key not in hdus:
        raise UnusableInput(f"{label} is missing", where=path)
    found = plane_shape(hdus[key])
    if found != shape:
        raise UnusableInput(f"{label} has shape {found}, SCI,{key[1]} {shape}", where=path)


def _verify_companion(
    exposure: Exposure, shapes: list[tuple[int, ...]], path: Path, dq_path: Path | None
) -> None:
    if dq_path is None or not dq_path.is_file():
        raise UnusableInput(
            f"its data-quality companion _{COMPANION_SUFFIX}.fits is missing",
            where=path,
            next_step="Give both files",
        )
    try:
        with _rejecting(dq_path):
            _check_container(dq_path)
            _read_whole(dq_path, lambda hdus: _check_companion(hdus, exposure, shapes, dq_path))
    except UnusableInput as error:
        raise UnusableInput(
            f"its data-quality companion {dq_path.name} cannot be used: {error.what}", where=path
        ) from error


def _check_companion(
    hdus: fits.HDUList, exposure: Exposure, wanted: list[tuple[int, ...]], dq_path: Path
) -> None:
    rootname = str(hdus[0].header.get("ROOTNAME", "")).strip().lower()
    if rootname != exposure.rootname:
        raise UnusableInput(
            f"its ROOTNAME is {rootname!r}, not {exposure.rootname!r}", where=dq_path
        )
    # Lookup tables of the WCS may stand behind the planes.
    planes = [hdu for hdu in hdus[1:] if isinstance(hdu, fits.ImageHDU)][: len(wanted)]
    shapes = [plane_shape(hdu) for hdu in planes]
    if shapes != wanted:
        raise UnusableInput(f"its planes have shapes {shapes}, the chips {wanted}", where=dq_path)
    if any(hdu.data is not None and hdu.data.dtype.kind not in "iu" for hdu in planes):
        raise UnusableInput("its planes are not integer flags", where=dq_path)

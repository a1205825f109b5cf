"""WFPC2 exposures in the form that HAP takes: one ``flt`` of the archive's ``c0m`` and ``c1m``.

The form is that of ``drizzlepac.wfpc2Data.wfpc2_to_flt`` (3.11) but for the errors: there they are
the root of the counts, which is no number where the sky was subtracted below zero. One such pixel
makes HAP's alignment take the weights of the whole exposure as zero.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.detectors import WFPC2_READ_MODES
from hst_assets.failures import BadConfiguration, MissingProduct, UnusableInput
from hst_assets.machine.failures import machine_failure
from hst_assets.workdir import write_atomically

__all__ = ["HAP_DETECTOR", "flt_name", "quality_name", "science_name", "write_flt"]

#: DETECTOR of all WFPC2 exposures in HAP, which names the products of its four chips together.
HAP_DETECTOR = "PC"
_SCIENCE = re.compile(r"(u[a-z0-9]{8})_c0m\.fits")


def flt_name(c0m: str) -> str:
    """Name of the ``flt`` file of a ``c0m`` file.

    Parameters
    ----------
    c0m : str
        File name, ``IPPPSSOOT_c0m.fits``.

    Raises
    ------
    BadConfiguration
        If it is another name.
    """
    found = _SCIENCE.fullmatch(c0m)
    if found is None:
        raise BadConfiguration(
            "this is no calibrated exposure of WFPC2",
            where=c0m,
            next_step="Expected IPPPSSOOT_c0m.fits",
        )
    return f"{found[1]}_flt.fits"


def science_name(flt: str) -> str:
    """Name of the ``c0m`` file that a ``flt`` file is made of.

    Parameters
    ----------
    flt : str
        File name, ``IPPPSSOOT_flt.fits``.
    """
    return flt.replace("_flt", "_c0m")


def quality_name(c0m: str) -> str:
    """Name of the ``c1m`` file, with the data quality, of a ``c0m`` file.

    Parameters
    ----------
    c0m : str
        File name, ``IPPPSSOOT_c0m.fits``.
    """
    return c0m.replace("_c0m", "_c1m")


def write_flt(c0m: Path, folder: Path) -> Path:
    """Join an exposure, its data quality and its errors to the file that HAP takes.

    Parameters
    ----------
    c0m : Path
        The calibrated exposure (counts, DN); its ``c1m`` file lies beside it.
    folder : Path
        Where the ``flt`` file goes.

    Returns
    -------
    Path
        The ``flt`` file: SCI (DN) of each chip, then DQ and ERR (DN) of each.

    Raises
    ------
    MissingProduct
        If a file is not there.
    UnusableInput
        If the files are not those of one exposure, or the gain is not one of WFPC2.
    MachineFailure
        If the machine failed, not the data.
    """
    path = folder / flt_name(c0m.name)
    c1m = c0m.with_name(quality_name(c0m.name))
    for each in (c0m, c1m):
        if not each.is_file():
            raise MissingProduct(
                "HAP needs the image and the data quality of a WFPC2 exposure",
                where=each,
                next_step="Fetch both c0m and c1m with 'hst-assets archive'",
            )
    try:
        with fits.open(c0m) as science, fits.open(c1m) as quality:
            joined = _joined(science, quality)
            with write_atomically(path) as part:
                joined.writeto(part)
    except (KeyError, OSError, TypeError, ValueError) as error:
        if (failure := machine_failure(error, folder=folder)) is not None:
            raise failure from error
        raise UnusableInput(
            f"cannot be made a file for HAP: {error}",
            where=c0m,
            next_step="Fetch c0m and c1m again",
        ) from error
    return path


def _joined(science: fits.HDUList, quality: fits.HDUList) -> fits.HDUList:
    primary = fits.PrimaryHDU(header=science[0].header)
    name = str(primary.header["FILENAME"])
    primary.header["FILENAME"] = f"{name[:-8]}flt.fits"
    primary.header["DETECTOR"] = primary.header["PRIMESI"] = HAP_DETECTOR
    gain, read_noise = WFPC2_READ_MODES[float(primary.header["ATODGAIN"])]
    images, companions = science[1:], quality[1:]
    if [hdu.shape for hdu in images] != [hdu.shape for hdu in companions] or not images:
        raise ValueError("c0m and c1m have other chips")
    hdus = [primary]
    hdus += [fits.ImageHDU(hdu.data, header=hdu.header) for hdu in images]
    for number, (image, flags) in enumerate(zip(images, companions, strict=True), start=1):
        error = _errors(image.data, gain, read_noise)
        hdus.append(_numbered(fits.ImageHDU(flags.data, header=flags.header), "DQ", number))
        hdus.append(_numbered(fits.ImageHDU(error, header=image.header), "ERR", number))
    return fits.HDUList(hdus)


def _numbered(hdu: fits.ImageHDU, name: str, number: int) -> fits.ImageHDU:
    hdu.header["EXTNAME"], hdu.header["EXTVER"] = name, number
    return hdu


def _errors(counts: NDArray[np.float32], gain: float, read_noise: float) -> NDArray[np.float32]:
    """Noise of photons and of reading, DN; `gain` is electrons in one DN."""
    electrons = np.clip(counts * gain, 0.0, None)
    errors: NDArray[np.float32] = (np.sqrt(electrons + read_noise**2) / gain).astype(np.float32)
    return errors

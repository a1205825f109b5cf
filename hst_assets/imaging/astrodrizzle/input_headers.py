"""Headers of the exposures that a product is drizzled from: read once, looked at by all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from hst_assets.detectors import Detector
from hst_assets.exposures.header import exposure_times
from hst_assets.exposures.keywords import number as number_of
from hst_assets.failures import UnusableInput

__all__ = ["PHOTOMETRY", "Input", "filter_of", "read_input"]

#: Cards of the zero point.
PHOTOMETRY = ("PHOTMODE", "PHOTFLAM", "PHOTPLAM", "PHOTBW", "PHOTZPT", "PHOTFNU")


@dataclass(frozen=True)
class Input:
    """What a product's header needs to know of one exposure.

    Attributes
    ----------
    file : str
        File name.
    rootname : str
        IPPPSSOOT.
    primary, science : `~astropy.io.fits.Header`
        Its primary header and that of its first SCI extension.
    exptime_s : float
        Exposure time.
    start_mjd, end_mjd : float
        Start and end (UTC).
    chips : tuple of `~astropy.io.fits.Header`
        The headers of all its SCI extensions, in the order of the file.
    """

    file: str
    rootname: str
    primary: fits.Header
    science: fits.Header
    exptime_s: float
    start_mjd: float
    end_mjd: float
    chips: tuple[fits.Header, ...] = ()


def read_input(path: Path) -> Input:
    """Read the headers of an exposure.

    Raises
    ------
    UnusableInput
        If it has no SCI extension, exposure time or start.
    """
    with fits.open(path) as hdus:
        primary = hdus[0].header.copy()
        chips = tuple(hdu.header.copy() for hdu in hdus if hdu.name == "SCI")
    if not chips:
        raise UnusableInput("no SCI extension", where=path)
    try:
        start, end, exptime = exposure_times(primary)
    except UnusableInput as error:
        raise UnusableInput(error.what, where=path) from error
    if not exptime > 0:
        raise UnusableInput(f"EXPTIME is {exptime}", where=path)
    return Input(
        file=path.name,
        rootname=str(primary.get("ROOTNAME", path.name.split("_")[0])).strip().lower(),
        primary=primary,
        science=chips[0],
        exptime_s=exptime,
        start_mjd=start,
        end_mjd=end,
        chips=chips,
    )


def filter_of(primary: fits.Header, detector: Detector) -> str:
    """The filter's name from an exposure's primary header."""
    wheels = [str(primary.get(key, "")) for key in detector.filter_keywords]
    return detector.filter_of(wheels, number_of(primary, "LRFWAVE", 0.0))

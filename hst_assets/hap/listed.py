"""The exposures of a poller, with what their headers tell and their lines do not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.hap.poller import PollerRow
from hst_assets.machine.failures import machine_failure

__all__ = [
    "FITTED",
    "NO_APERTURE",
    "ListedExposure",
    "check_keywords",
    "elements_of",
    "file_of",
    "listed_exposures",
]

#: What drizzlepac writes where a poller tells no aperture.
NO_APERTURE = "empty_aperture"
#: What the name of a WCS holds that was fitted to a catalogue of stars.
FITTED = "-FIT_"
#: Keywords of the elements in the filter wheels.
_WHEELS = {"WFC3": ("FILTER",), "ACS": ("FILTER1", "FILTER2"), "WFPC2": ("FILTNAM1", "FILTNAM2")}
#: Without which HAP fails and names no file (``analyze.analyze_data``).
_OF_ALL = (
    *("INSTRUME", "MTFLAG", "DRIZCORR", "TARGNAME", "EXPTIME", "FGSLOCK", "IMAGETYP"),
    *("DATE-OBS", "EXPSTART"),
)
_OF_LATER_INSTRUMENTS = ("DETECTOR", "OBSTYPE", "SUBARRAY", "APERTURE")
_OF_WFC3 = ("SCAN_TYP",)


@dataclass(frozen=True)
class ListedExposure:
    """What decides where an exposure stands among the products of its visit.

    Attributes
    ----------
    file : str
        File name.
    instrument, detector : str
        INSTRUME and DETECTOR.
    proposal_id : int
        PROPOSID.
    obset_id : str
        SS of the rootname.
    filters : str
        Elements of the filter wheels, joined by ``;``.
    exptime_s : float
        Exposure time, seconds.
    photflam : float
        Flux of one electron a second, erg/s/cm2/Angstrom.
    aperture : str
        Aperture that the poller tells, else `NO_APERTURE`.
    """

    file: str
    instrument: str
    detector: str
    proposal_id: int
    obset_id: str
    filters: str
    exptime_s: float
    photflam: float
    aperture: str = NO_APERTURE


def file_of(row: PollerRow, folder: Path) -> Path:
    """Where an exposure is: in the folder, else at the path that the poller tells.

    Parameters
    ----------
    row : PollerRow
        The exposure.
    folder : Path
        The poller's folder, or that of the run.

    Raises
    ------
    MissingProduct
        If it is in neither place.
    """
    for path in (folder / row.file, row.path):
        if path is not None and path.is_file():
            return path
    raise MissingProduct(
        f"line {row.line} of the poller: the exposure is not in {folder}"
        + ("" if row.path is None else f", nor is {row.path} there"),
        where=row.file,
        next_step="Copy it there, or fetch it with 'hst-assets archive'",
    )


def check_keywords(row: PollerRow, path: Path) -> None:
    """Refuse an exposure whose header lacks what HAP asks before anything else.

    Parameters
    ----------
    row : PollerRow
        The exposure.
    path : Path
        Its file; one that cannot be read is left to HAP.

    Raises
    ------
    UnusableInput
        If a keyword is missing.
    """
    needed: tuple[str, ...] = _OF_ALL
    if row.instrument != "WFPC2":
        needed += (*_OF_LATER_INSTRUMENTS, *_WHEELS[row.instrument])
    if row.instrument == "WFC3":
        needed += _OF_WFC3
    try:
        with path.open("rb") as file:
            header = fits.Header.fromfile(file)
    except (OSError, ValueError):
        return
    missing = [keyword for keyword in needed if keyword not in header]
    if missing:
        raise UnusableInput(
            f"HAP needs {', '.join(missing)} in the header",
            where=path,
            next_step="Fetch the exposure again, or take it out of the poller",
        )


def listed_exposures(rows: Iterable[PollerRow], folder: Path) -> tuple[ListedExposure, ...]:
    """The exposures of a poller, in its order.

    Parameters
    ----------
    rows : iterable of PollerRow
        The poller.
    folder : Path
        Where the exposures are, unless they are where the poller tells.

    Raises
    ------
    MissingProduct
        If an exposure is not there.
    UnusableInput
        If its header lacks what HAP needs.
    MachineFailure
        If the machine failed, not the data.
    """
    return tuple(_listed(row, file_of(row, folder)) for row in rows)


def _listed(row: PollerRow, path: Path) -> ListedExposure:
    try:
        with fits.open(path) as hdus:
            primary, science = hdus[0].header, hdus["SCI", 1].header
            is_infrared = primary["INSTRUME"] == "WFC3" and primary["DETECTOR"] == "IR"
            photflam = float((primary if is_infrared else science)["PHOTFLAM"])
            if row.proposal_id is None:
                return _from_header(row, primary, photflam)
    except (KeyError, OSError, ValueError) as error:
        if (failure := machine_failure(error)) is not None:
            raise failure from error
        raise UnusableInput(
            f"HAP cannot use the exposure: {error}",
            where=path,
            next_step="Take it out of the poller, or fetch the file again",
        ) from error
    if row.obset_id is None or row.exptime_s is None or not row.filters or not row.detector:
        raise UnusableInput("the line of the poller is not complete", where=row.file)
    return ListedExposure(
        row.file,
        row.instrument,
        row.detector,
        row.proposal_id,
        row.obset_id,
        row.filters,
        row.exptime_s,
        photflam,
    )


def elements_of(primary: fits.Header) -> str:
    """The elements of the filter wheels, joined by ``;``.

    Parameters
    ----------
    primary : Header
        The primary header of an exposure.

    Raises
    ------
    KeyError
        If it does not tell them.
    """
    keywords = _WHEELS[str(primary["INSTRUME"]).upper()]
    return ";".join(str(primary[keyword]) for keyword in keywords).rstrip(";")


def _from_header(row: PollerRow, primary: fits.Header, photflam: float) -> ListedExposure:
    return ListedExposure(
        row.file,
        row.instrument,
        str(primary["DETECTOR"]),
        int(primary["PROPOSID"]),
        row.file[4:6],
        elements_of(primary),
        float(primary["EXPTIME"]),
        photflam,
        NO_APERTURE if row.aperture is None else row.aperture,
    )

"""Charge that was lost while the chips were read out: what is done about it, and said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.exposures.charge import transfer_state
from hst_assets.photometry.dolphot.input_images import InputImage
from hst_assets.photometry.psf.chips_in import ChipFile
from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets.photometry.wfpc2_cte import FIRST_MJD, wfpc2_cte_mag

__all__ = [
    "ChargeTransfer",
    "charge_transfer",
    "charge_transfers",
    "lost_on_chip_mag",
    "mean_rates",
    "told_by_detector",
    "transfer_mag",
    "transfer_warnings",
]

#: Charge is lost of a star with so many electrons at least, or so many standard errors, however
#: faint it is: the share that is lost grows without bound towards 0, and by the counts that noise
#: leaves, fluxes of nothing were scaled by 2 to 10, each by another factor.
_FEWEST_COUNTS_E = 1.0
_FEWEST_SIGMA = 2.0
#: WFPC2 ran warm before, and its loss of charge is not known (MJD, April 1994).
_COLD_SINCE_MJD = 49461.85

#: What was done about lost charge.
TransferState = Literal[
    "none lost", "in the exposure", "by formula", "not corrected", "not checked"
]
_WORDS: Mapping[TransferState, str] = MappingProxyType(
    {
        "none lost": "loses none",
        "in the exposure": "corrected in the exposures (PCTECORR)",
        "by formula": "magnitudes corrected star by star (Dolphin 2009, PASP 121, 655)",
        "not corrected": "not corrected",
        "not checked": "not checked: PCTECORR is missing",
    }
)
_TOO_EARLY = "before April 1994 its loss is not known"
_USE_FLC = "stars far from the amplifier are too faint; use exposures flc, with PCTECORR COMPLETE"
_NO_REMEDY = (
    "stars far from the amplifier are too faint, faint ones most; nothing here corrects this "
    "detector: compare stars of like brightness and rows"
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChargeTransfer:
    """What was done about lost charge on an image.

    Attributes
    ----------
    image, detector : str
        The image's name, and the key of its detector.
    state : str
        ``none lost``, corrected ``in the exposure`` or ``by formula``, ``not corrected``, or
        ``not checked``.
    remedy : str
        What to do about it; empty where nothing is to be done.
    """

    image: str
    detector: str
    state: TransferState
    remedy: str


def transfer_mag(stars: MeasuredStars, chips: Sequence[ChipFile]) -> Floats | None:
    """What lost charge cost each star on WFPC2's chips; None if there are none.

    By the electrons of the mean of its band, or two standard errors of that mean if they are more:
    see `lost_on_chip_mag`. NaN of stars that were not measured.
    """
    wanted = [k for k, chip in enumerate(chips) if chip.image.detector.key == "wfpc2"]
    if not wanted or stars.chip_x is None or stars.chip_y is None:
        return None
    lost = np.zeros(stars.counts_e.shape)
    rates = mean_rates(stars.counts_e, stars.counts_error_e, chips)
    for k in wanted:
        # Of the mean of its band: of a faint star's own noisy counts the mean loss is wrong.
        rate, rate_error = rates[chips[k].band]
        lost[k] = lost_on_chip_mag(
            rate * chips[k].exptime_s,
            stars.sky_e[k],
            expected_error_e=rate_error * chips[k].exptime_s,
            x=stars.chip_x[k],
            y=stars.chip_y[k],
            mjd=chips[k].mjd,
        )
    return lost


def lost_on_chip_mag(
    expected_e: Floats,
    sky_e: Floats,
    *,
    expected_error_e: Floats,
    x: Floats,
    y: Floats,
    mjd: float,
) -> Floats:
    """What lost charge cost stars on one of WFPC2's chips: 0 or below.

    The loss is that of two standard errors at least, so that noise alone does not decide how much
    the flux of a faint star or of nothing is raised: where nothing is seen, it is raised as that
    of a star that would just be seen, and so is its error.

    Parameters
    ----------
    expected_e : ndarray, shape (n,)
        Electrons that are expected of each.
    sky_e : ndarray, shape (n,)
        Sky under it, electrons a pixel.
    expected_error_e : ndarray, shape (n,)
        Standard error of `expected_e`: of fewer than two of them, or than one electron, the loss
        is that of as many.
    x, y : ndarray, shape (n,)
        Its place on the chip, 0-based pixels.
    mjd : float
        Time of the exposure (MJD).

    Returns
    -------
    ndarray, shape (n,)
        Magnitudes; 0 before 1994, of which no loss is known (`transfer_warnings` says so); NaN
        where the sky, the place or the electrons are not known.
    """
    if mjd < FIRST_MJD:
        return np.zeros(np.shape(expected_e))
    fewest = np.maximum(_FEWEST_SIGMA * expected_error_e, _FEWEST_COUNTS_E)
    counts = np.where(np.isfinite(fewest), np.maximum(expected_e, fewest), np.nan)
    return wfpc2_cte_mag(counts, sky_e, x=x, y=y, mjd=mjd)


def mean_rates(
    counts_e: Floats, counts_error_e: Floats, chips: Sequence[ChipFile]
) -> dict[str, tuple[Floats, Floats]]:
    """Mean rate of each star in each band and its standard error, electrons a second.

    Parameters
    ----------
    counts_e, counts_error_e : ndarray, shape (k, n)
        Electrons of the whole exposure; an infinite error where nothing was measured.
    chips : sequence of ChipFile
        The k images.

    Returns
    -------
    dict of (ndarray, ndarray)
        By band: means weighted by the inverse variance, 0 with an infinite error where nothing was
        measured.
    """
    rates = {}
    for band in {chip.band for chip in chips}:
        members = [k for k, chip in enumerate(chips) if chip.band == band]
        exptime_s = np.array([chips[k].exptime_s for k in members])[:, None]
        weight = (exptime_s / counts_error_e[members]) ** 2
        known = np.isfinite(weight) & np.isfinite(counts_e[members])
        weight = np.where(known, weight, 0.0)
        total = weight.sum(axis=0)
        safe = np.where(total > 0, total, 1.0)
        rate = (np.where(known, counts_e[members], 0.0) / exptime_s * weight).sum(axis=0) / safe
        rates[band] = rate, np.where(total > 0, safe**-0.5, np.inf)
    return rates


def charge_transfers(chips: Sequence[ChipFile], *, wfpc2_cte: bool) -> list[ChargeTransfer]:
    """What was done about lost charge on each image, by its header.

    Parameters
    ----------
    chips : sequence of ChipFile
        The images; the headers of their prepared files are read.
    wfpc2_cte : bool
        Whether WFPC2's magnitudes are corrected (`transfer_mag`).
    """
    return [charge_transfer(chip.image, chip.mjd, wfpc2_cte=wfpc2_cte) for chip in chips]


def charge_transfer(image: InputImage, mjd: float, *, wfpc2_cte: bool) -> ChargeTransfer:
    """What is done about lost charge on one image, by its header.

    Parameters
    ----------
    image : InputImage
        The image; the header of its prepared file is read.
    mjd : float
        Time of the exposure.
    wfpc2_cte : bool
        Whether WFPC2's magnitudes are corrected.
    """
    return ChargeTransfer(image.label, *_outcome(image, mjd, wfpc2_cte=wfpc2_cte))


def _outcome(image: InputImage, mjd: float, *, wfpc2_cte: bool) -> tuple[str, TransferState, str]:
    """Detector, what was done, and what to do if that is too little."""
    detector = image.detector
    if detector.key == "wfpc2":
        if mjd < _COLD_SINCE_MJD:
            return detector.key, "not corrected", _TOO_EARLY
        if wfpc2_cte:
            return detector.key, "by formula", ""
        return detector.key, "not corrected", "embedded.wfpc2_cte corrects it"
    state = transfer_state(fits.getheader(image.path), detector)
    if not state:
        return detector.key, "none lost", ""
    if state == "COMPLETE":
        return detector.key, "in the exposure", ""
    if detector.suffix != "flc":
        return detector.key, "not corrected", _NO_REMEDY
    return detector.key, "not corrected" if state == "OMIT" else "not checked", _USE_FLC


def told_by_detector(transfers: Sequence[ChargeTransfer]) -> list[str]:
    """One line for each detector and outcome; images are named where a detector has several."""
    outcomes = _grouped(transfers)
    several = Counter(detector for detector, _, _ in outcomes)
    return [
        f"{detector}: {_WORDS[state]}" + (f" ({', '.join(names)})" if several[detector] > 1 else "")
        for (detector, state, _), names in outcomes.items()
    ]


def transfer_warnings(transfers: Sequence[ChargeTransfer]) -> list[str]:
    """What is to be said of images whose lost charge was not corrected, or may not have been."""
    return [
        f"{detector}: lost charge {state} on {len(names)} of {len(transfers)} images "
        f"({', '.join(names)}): {remedy}"
        for (detector, state, remedy), names in _grouped(transfers).items()
        if state in ("not corrected", "not checked")
    ]


def _grouped(
    transfers: Sequence[ChargeTransfer],
) -> dict[tuple[str, TransferState, str], list[str]]:
    groups: dict[tuple[str, TransferState, str], list[str]] = {}
    for each in transfers:
        groups.setdefault((each.detector, each.state, each.remedy), []).append(each.image)
    return groups

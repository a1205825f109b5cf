"""Charge that was lost while the chips were read out: what is done about it, and said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.photometry.psf.catalog_files import CatalogedImage
from hst_assets.photometry.psf.chips_in import ChipFile
from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets.photometry.wfpc2_cte import wfpc2_cte_mag
from hst_assets.settings import EmbeddedSettings

__all__ = ["charge_transfer", "lost_on_chip_mag", "too_early", "transfer_mag"]

#: Charge is lost of a star with so many electrons at least, however faint it is.
_FEWEST_COUNTS_E = 1.0
#: WFPC2 ran warm before, and its loss of charge is not known (MJD, April 1994).
_COLD_SINCE_MJD = 49461.85

Floats = NDArray[np.float64]


def transfer_mag(stars: MeasuredStars, chips: Sequence[ChipFile]) -> Floats | None:
    """What lost charge cost each star on WFPC2's chips; None if there are none."""
    wanted = [k for k, chip in enumerate(chips) if chip.image.detector.key == "wfpc2"]
    if not wanted or stars.chip_x is None or stars.chip_y is None:
        return None
    lost = np.zeros(stars.counts_e.shape)
    rates = _rates_of_bands(stars, chips)
    for k in wanted:
        # Of the mean of its band: of a faint star's own noisy counts the mean loss is wrong.
        expected_e = rates[chips[k].band] * chips[k].exptime_s
        lost[k] = lost_on_chip_mag(
            expected_e, stars.sky_e[k], x=stars.chip_x[k], y=stars.chip_y[k], mjd=chips[k].mjd
        )
    return lost


def lost_on_chip_mag(
    expected_e: Floats, sky_e: Floats, *, x: Floats, y: Floats, mjd: float
) -> Floats:
    """What lost charge cost stars on one of WFPC2's chips: 0 or below, 0 where it is not known.

    Parameters
    ----------
    expected_e : ndarray, shape (n,)
        Electrons that are expected of each; of one and less, as of one.
    sky_e : ndarray, shape (n,)
        Sky under it, electrons a pixel.
    x, y : ndarray, shape (n,)
        Its place on the chip, pixels.
    mjd : float
        Time of the exposure.
    """
    counts = np.maximum(expected_e, _FEWEST_COUNTS_E)
    return np.nan_to_num(wfpc2_cte_mag(counts, sky_e, x=x, y=y, mjd=mjd))


def _rates_of_bands(stars: MeasuredStars, chips: Sequence[ChipFile]) -> dict[str, Floats]:
    """Mean rate of each star in each band, electrons a second; 0 where nothing was measured."""
    rates = {}
    for band in {chip.band for chip in chips}:
        members = [k for k, chip in enumerate(chips) if chip.band == band]
        exptime_s = np.array([chips[k].exptime_s for k in members])[:, None]
        weight = (exptime_s / stars.counts_error_e[members]) ** 2
        weight = np.where(np.isfinite(weight), weight, 0.0)
        total = np.maximum(weight.sum(axis=0), 1e-300)
        rates[band] = (stars.counts_e[members] / exptime_s * weight).sum(axis=0) / total
    return rates


def too_early(chips: Sequence[ChipFile]) -> Iterator[str]:
    """WFPC2's exposures from before its loss of charge is known."""
    for chip in chips:
        if chip.image.detector.key == "wfpc2" and chip.mjd < _COLD_SINCE_MJD:
            yield f"{chip.name}: before April 1994, its lost charge is not known: not corrected"


def charge_transfer(images: Sequence[CatalogedImage], choices: EmbeddedSettings) -> list[str]:
    """What is done about lost charge, by detector."""
    known = {image.detector.key: image.detector for image in images}
    return [f"{key}: {text}" for key, text in _transfer_of(known, choices)]


def _transfer_of(
    detectors: Mapping[str, Any], choices: EmbeddedSettings
) -> Iterator[tuple[str, str]]:
    for key, detector in detectors.items():
        if key == "wfpc2" and choices.wfpc2_cte:
            yield key, "magnitudes corrected star by star (Dolphin 2009, PASP 121, 655)"
        elif detector.is_infrared:
            yield key, "loses none"
        elif detector.suffix == "flc":
            yield key, "corrected in the exposures (flc), unless the exposure table notes another"
        else:
            yield key, "not corrected"

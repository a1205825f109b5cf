"""Magnitudes in other systems, and the zero points that a catalogue was made with.

DOLPHOT's magnitudes are of the Vega system and hold everything that is to be corrected: from the
PSF to its aperture (``.info``), from the aperture to all light (inside of its zero points), and for
WFPC2, or where ``ACSuseCTE`` says so, the loss of charge. Its counts hold none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.photometry.catalog.bands import bands_of
from hst_assets.photometry.catalog.columns import CatalogColumns
from hst_assets.photometry.catalog.model import AddedColumn, Catalog
from hst_assets.photometry.catalog.run_info import RunInfo
from hst_assets.photometry.catalog.vega import (
    DEFAULT_SPECTRUM,
    VegaSpectrum,
    st_minus_ab,
    vega_band,
)

__all__ = [
    "ZeroPoint",
    "ab_zero_point",
    "detectors_of_bands",
    "header_ab_magnitudes",
    "with_ab_and_st",
    "zero_points",
]

_ST_ZERO_POINT = -21.10
#: Stars at least that significant tell a zero point: their printed counts have five digits.
_MIN_SNR = 50.0
#: Zero points of stars that scatter by more than rounding are no single number.
_MAX_SPREAD_MAG = 0.003


def with_ab_and_st(
    catalog: Catalog,
    detectors: Mapping[str, str],
    *,
    spectrum: VegaSpectrum = DEFAULT_SPECTRUM,
) -> Catalog:
    """The catalogue with AB and ST magnitudes of each band (``f814w_ab_mag``, ``f814w_st_mag``).

    Parameters
    ----------
    catalog : Catalog
        With magnitudes of the Vega system.
    detectors : mapping
        Detector of each band by its name, such as `detectors_of_bands` gives it.
    spectrum : {"alpha_lyr_stis_005", "alpha_lyr_stis_011"}, optional
        The spectrum of Vega that the zero points go with.

    Returns
    -------
    Catalog
        NaN where a magnitude was not measured. A band of which Vega's magnitude, or the detector,
        is not known gets no columns; it is named in ``meta["not_converted"]``.
    """
    added: dict[str, AddedColumn] = {}
    not_converted = {}
    for band in bands_of(catalog.columns):
        try:
            if band.name not in detectors:
                raise UnusableInput(f"the detector of {band.name} is not known")
            vega = vega_band(detectors[band.name], band.filter_name)
        except UnusableInput as error:
            not_converted[band.name] = error.what
            continue
        values = catalog.values("vega_mag", **band.address)
        measured = np.where(catalog.measured(**band.address), values, np.nan)
        for system, offset in (("ab", vega.ab_mag(spectrum)), ("st", vega.st_mag(spectrum))):
            text = f"{system.upper()} magnitude: that of the Vega system {offset:+.4f} ({spectrum})"
            added[f"{band.stem}_{system}_mag"] = AddedColumn(measured + offset, text, u.mag)
    return catalog.with_added(added, vega_spectrum=spectrum, not_converted=not_converted)


def detectors_of_bands(columns: CatalogColumns, info: RunInfo) -> dict[str, str]:
    """Detector of each band by its name; a band that two detectors have is left out.

    Parameters
    ----------
    columns : CatalogColumns
        Of the catalogue, with instruments.
    info : RunInfo
        Of the same run.
    """
    keys = info.detector_keys
    found = {}
    for band in bands_of(columns):
        detectors = {keys.get(image.number, "") for image in band.images}
        if len(detectors) == 1 and (detector := detectors.pop()):
            found[band.name] = detector
    return found


# ------------------------------------------------------------------------------ zero points


@dataclass(frozen=True)
class ZeroPoint:
    """The zero point of one image, as the catalogue itself shows it.

    Attributes
    ----------
    image : int
        Its number, from 1.
    mag : float
        Vega magnitude of one count per second inside of DOLPHOT's aperture (0.5 arcsec); NaN if
        it could not be told.
    spread_mag : float
        Standard deviation between stars, by their quartiles.
    n_stars : int
        Stars that tell it.
    unchecked : str
        Why it could not be told; empty if it could.
    """

    image: int
    mag: float
    spread_mag: float
    n_stars: int
    unchecked: str = ""


def zero_points(catalog: Catalog, info: RunInfo) -> list[ZeroPoint]:
    """The zero points by which a catalogue's magnitudes were made, image by image.

    The magnitude is ``zero point - 2.5 lg(counts / time)`` plus the aperture correction. Where the
    loss of charge was corrected star by star, no single number fits, and it says so.

    Parameters
    ----------
    catalog : Catalog
        With columns of images.
    info : RunInfo
        Of the same run, for the aperture corrections of its chips.
    """
    corrections = {
        (chip.extension, chip.chip): chip.aperture_corrections_mag for chip in info.chips
    }
    found = []
    for image in catalog.columns.images:
        key = "vega_mag" if image.filter_label else "instrumental_mag"
        mag, counts, snr = (
            catalog.values(name, image=image.number) for name in (key, "counts", "snr")
        )
        correction = np.full(len(catalog), np.nan)
        for (extension, chip), by_image in corrections.items():
            here = (catalog["extension"] == extension) & (catalog["chip"] == chip)
            correction[here] = by_image[image.number - 1]
        good = (mag < 99.0) & (snr >= _MIN_SNR) & (counts > 0) & np.isfinite(correction)
        points = mag[good] + 2.5 * np.log10(counts[good] / image.exptime_s) - correction[good]
        found.append(_zero_point(image.number, points))
    return found


def _zero_point(number: int, points: NDArray[np.float64]) -> ZeroPoint:
    if points.size < 3:
        return ZeroPoint(
            number, np.nan, np.nan, points.size, f"{points.size} stars of S/N {_MIN_SNR:g}"
        )
    low, middle, high = np.percentile(points, (25, 50, 75))
    spread = float(high - low) / 1.349
    if spread > _MAX_SPREAD_MAG:
        return ZeroPoint(
            number, np.nan, spread, points.size, "it differs from star to star (loss of charge)"
        )
    return ZeroPoint(number, float(middle), spread, points.size)


def ab_zero_point(photflam: float, photplam: float) -> float:
    """AB magnitude of one unit of the image per second, by its header (ACS Data Handbook 5.1.1).

    Parameters
    ----------
    photflam : float
        PHOTFLAM, erg/cm2/A per unit.
    photplam : float
        PHOTPLAM, A. `hst_assets.exposures.photometry.photometry_of` gives both, checked.

    Raises
    ------
    BadConfiguration
        If one of them is not positive.
    """
    if not (photflam > 0 and photplam > 0):
        raise BadConfiguration(f"PHOTFLAM {photflam:g} and PHOTPLAM {photplam:g} are no zero point")
    return float(-2.5 * np.log10(photflam) + _ST_ZERO_POINT - st_minus_ab(photplam))


def header_ab_magnitudes(
    catalog: Catalog,
    image: str | int,
    zero_point_ab: float,
    *,
    aperture_correction_mag: float,
    encircled_energy: float,
) -> NDArray[np.float64]:
    """AB magnitudes of one image from its counts and its header's zero point.

    PHOTFLAM refers to all light of a star, DOLPHOT's aperture correction leads to 0.5 arcsec: the
    share of the light inside of it must be given. No loss of charge is corrected.

    Parameters
    ----------
    catalog : Catalog
        With columns of the image.
    image : str or int
        Name or number of the image.
    zero_point_ab : float
        As `ab_zero_point` gives it.
    aperture_correction_mag : float
        Of the image, from the ``.info`` file.
    encircled_energy : float
        Share of a star's light within 0.5 arcsec, by the instrument's tables.

    Returns
    -------
    ndarray, shape (n,)
        NaN where there are no positive counts.

    Raises
    ------
    BadConfiguration
        If the share is not above 0 and at most 1.
    """
    if not 0 < encircled_energy <= 1:
        raise BadConfiguration(f"an encircled energy of {encircled_energy:g} is not a share")
    counts = catalog.values("counts", image=image)
    exptime_s = catalog.columns.image(image).exptime_s
    rate = np.where(counts > 0, counts, np.nan) / exptime_s / encircled_energy
    return np.asarray(zero_point_ab - 2.5 * np.log10(rate) + aperture_correction_mag)

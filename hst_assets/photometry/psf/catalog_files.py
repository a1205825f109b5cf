"""Measured stars as a catalogue, and in the files that DOLPHOT would have left of them.

How single images become a filter and an object is DOLPHOT's way, found from its own catalogues
(version 2.0, WFC3/UVIS, 272 and 655 stars of S/N above 5 in each filter, flags 0): what follows
from its columns of images by these rules is what its other columns have.

- A filter's rate is the mean of its images' with weight one over the variance of the counts per
  second; images of a flag of 8 and more, or one in ``FlagMask``, are left out. Its flag holds the
  bits of the images that count. (As in its source; `hst_assets.photometry.catalog.combining`.)
- Chi is the root of the mean square over images (agrees within 0.005 RMS), sharpness and roundness
  are means with the S/N as weight (0.002 and 0.01), a filter's crowding is a mean with the weights
  of the rates (0.0003); that of the object, with the S/N (0.006).
- The object's S/N is the root of the sum of the images' squares (0.4 %).

The object's figures are over all images that it was measured on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.photometry.catalog.columns import CatalogColumns, CatalogFilter, CatalogImage
from hst_assets.photometry.catalog.combining import MAG_PER_RELATIVE_ERROR
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.quantities import MISSING_MAG, MISSING_MAG_ERROR, OFF_IMAGE
from hst_assets.photometry.catalog.run_info import ChipInfo, InfoImage, InstrumentLine, RunInfo
from hst_assets.photometry.catalog.run_records import ChipRecords, chips_text
from hst_assets.photometry.catalog.writing import write_catalog
from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets.workdir import write_atomically

__all__ = [
    "CatalogedImage",
    "catalog_of_stars",
    "counts_of_magnitudes",
    "run_info",
    "write_files",
]

Floats = NDArray[np.float64]

#: The only extension and chip of a reference that was split.
_EXTENSION, _CHIP = 0, 1
#: X and Y of a catalogue are the 0-based numpy index plus this, pixels.
_PIXEL_OFFSET = 0.5
_FIRST_EXTREME_FLAG = 8
#: What DOLPHOT writes for the error of a rate where nothing was measured.
_NO_RATE_ERROR = 9999.0
#: Shapes have three digits before the point in a file; DOLPHOT's are within these limits, too.
_WIDEST = 9.999
_INSTRUMENTS = ("WFPC2", "ACS", "WFC3")
_NOT_IN_LABELS = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True)
class CatalogedImage:
    """What is said of an image, beside what was measured on it.

    Attributes
    ----------
    alias : str
        Its name in the files, that of its file without ``.fits``.
    detector : Detector
        The registry's row.
    filter : str
        Name of the filter.
    exptime_s, mjd : float
        Exposure time, and the middle of the exposure.
    gain : float
        Electrons in a count: the counts of the catalogue are those of the exposure, as DOLPHOT's.
    chip_code : int
        See `hst_assets.photometry.psf.chips_in.ChipFile`.
    zero_point_mag : float
        Vega magnitude of one count per second of all of a star's light; NaN if it is not known.
    ab_zero_point_mag : float
        The same of the AB system; NaN where the header has no zero point of this filter.
    to_infinity_mag : float
        From the aperture of the aperture corrections to all light: 0 or below.
    alignment : tuple of float
        From the reference: shift in X and Y (pixels), scale, distortion, rotation (degrees).
    """

    alias: str
    detector: Detector
    filter: str
    exptime_s: float
    mjd: float
    gain: float
    chip_code: int
    zero_point_mag: float
    ab_zero_point_mag: float = math.nan
    to_infinity_mag: float = 0.0
    alignment: tuple[float, float, float, float, float] = (0.0, 0.0, 1.0, 0.0, 0.0)

    @property
    def filter_name(self) -> str:
        """The filter in capitals and digits: what a list of columns can hold."""
        return _NOT_IN_LABELS.sub("", self.filter.upper())

    @property
    def filter_label(self) -> str:
        """Instrument and filter, as DOLPHOT 3 has them."""
        return f"{self.detector.instrument}_{self.filter_name}"


@dataclass(frozen=True, eq=False)
class _OfImages:
    """What of every image was measured, arrays of shape (k, n), in counts of the exposure."""

    known: NDArray[np.bool_]
    counts: Floats
    sigma: Floats
    sky: Floats
    #: Normalized rate of one count per second, by image and star.
    factor: Floats
    chi: Floats
    sharpness: Floats
    roundness: Floats
    crowding: Floats
    flag: NDArray[np.int32]
    exptime_s: Floats

    @property
    def snr(self) -> Floats:
        return np.where(self.known, self.counts / self.sigma, 0.0)


# --------------------------------------------------------------------------- the catalogue


def catalog_of_stars(
    measured: MeasuredStars,
    images: Sequence[CatalogedImage],
    *,
    flag_mask: int,
    transfer_mag: Floats | None = None,
) -> Catalog:
    """The catalogue of what was measured.

    Parameters
    ----------
    measured : MeasuredStars
        On k images.
    images : sequence of CatalogedImage
        The k images in the same order.
    flag_mask : int
        Flags whose images are left out of a filter's columns.
    transfer_mag : ndarray, shape (k, n), optional
        Added to magnitudes for lost charge (WFPC2); 0 or below. A star of which it is not known
        counts as not measured on that image.

    Returns
    -------
    Catalog
        Filters with two images or more have columns of their own, in the order of instruments and
        wavelengths. Without a zero point, magnitudes are 99.999 and rates 0.
    """
    columns = _columns(images)
    parts = _of_images(measured, images, transfer_mag)
    data: dict[str, NDArray[Any]] = {}
    for key, values in _object_columns(measured, parts).items():
        data[columns.find(key).name] = values
    for each in columns.filters:
        label = f"{each.instrument}_{each.name}"
        rows = np.array([image.filter_label == label for image in images])
        for key, values in _filter_columns(parts, rows, flag_mask).items():
            data[columns.find(key, filter_name=label).name] = values
    for at, image in enumerate(columns.images):
        for key, values in _image_columns(parts, at).items():
            data[columns.find(key, image=image.number).name] = values
    plain = {
        column.name: np.asarray(data[column.name], column.quantity.dtype) for column in columns
    }
    return Catalog(columns, plain)


def counts_of_magnitudes(
    mag: Floats, images: Sequence[CatalogedImage], aperture_correction_mag: Floats
) -> Floats:
    """Electrons under the PSF that the catalogue would give these magnitudes: its own way back.

    Parameters
    ----------
    mag : ndarray, shape (k, n)
        Vega magnitudes, with what lost charge adds to them (`transfer_mag`) taken off.
    images : sequence of CatalogedImage
        The k images.
    aperture_correction_mag : ndarray, shape (k,)
        As of `MeasuredStars`.

    Returns
    -------
    ndarray, shape (k, n)
        Electrons of the whole exposure; NaN without a zero point.
    """
    rows = [
        10 ** (-0.4 * (magnitude - image.zero_point_mag - image.to_infinity_mag - correction))
        * image.exptime_s
        * image.gain
        for magnitude, image, correction in zip(mag, images, aperture_correction_mag, strict=True)
    ]
    return np.array(rows).reshape(np.shape(mag))


def _columns(images: Sequence[CatalogedImage]) -> CatalogColumns:
    of_filter: dict[str, list[CatalogedImage]] = {}
    for image in images:
        of_filter.setdefault(image.filter_label, []).append(image)
    with_block = sorted((each[0] for each in of_filter.values() if len(each) > 1), key=_order)
    return CatalogColumns(
        tuple(CatalogFilter(each.filter_label, each.detector.instrument) for each in with_block),
        tuple(
            CatalogImage(
                number,
                image.alias,
                image.filter_label,
                round(image.exptime_s, 1),
                image.detector.instrument,
            )
            for number, image in enumerate(images, 1)
        ),
    )


def _order(image: CatalogedImage) -> tuple[int, int, str]:
    """Instruments in DOLPHOT's order, filters by the number in their names (WFC3/IR: tens)."""
    number = int("".join(re.findall(r"\d+", image.filter_name)[:1]) or 0)
    tens = image.detector.is_infrared
    instrument = _INSTRUMENTS.index(image.detector.instrument)
    return instrument, number * 10 if tens else number, image.filter_name


def _of_images(
    measured: MeasuredStars, images: Sequence[CatalogedImage], transfer_mag: Floats | None
) -> _OfImages:
    known = np.isfinite(measured.counts_error_e) & (measured.counts_error_e > 0)
    known &= np.isfinite(measured.counts_e) & (measured.flag != OFF_IMAGE)
    gain = np.array([image.gain for image in images])[:, None]
    added = np.array([image.to_infinity_mag + image.zero_point_mag for image in images])
    added = (added + measured.aperture_correction_mag)[:, None]
    lost = np.zeros(known.shape) if transfer_mag is None else transfer_mag
    known &= np.isfinite(lost)

    def of_known(values: NDArray[Any]) -> Floats:
        return np.where(known & np.isfinite(values), values, 0.0)

    return _OfImages(
        known=known,
        counts=of_known(measured.counts_e / gain),
        sigma=np.where(known, measured.counts_error_e / gain, np.inf),
        sky=of_known(measured.sky_e / gain),
        factor=10.0 ** (-0.4 * (added + np.where(known, lost, 0.0))),
        chi=of_known(measured.chi),
        sharpness=np.clip(of_known(measured.sharpness), -_WIDEST, _WIDEST),
        roundness=np.clip(of_known(measured.roundness), -_WIDEST, _WIDEST),
        crowding=np.clip(of_known(measured.crowding_mag), -_WIDEST, _WIDEST),
        flag=np.where(known | (measured.flag != 0), measured.flag, OFF_IMAGE).astype(np.int32),
        exptime_s=np.array([image.exptime_s for image in images])[:, None],
    )


def _object_columns(measured: MeasuredStars, parts: _OfImages) -> dict[str, NDArray[Any]]:
    n = len(measured)
    weight = np.maximum(parts.snr, 0.0)
    strongest = np.argmax(parts.snr, axis=0) if n else np.zeros(0, int)
    angle = np.nan_to_num(measured.position_angle_deg[strongest, np.arange(n)])
    return {
        "extension": np.full(n, _EXTENSION),
        "chip": np.full(n, _CHIP),
        "x": measured.x + _PIXEL_OFFSET,
        "y": measured.y + _PIXEL_OFFSET,
        "chi": _root_mean_square(parts.chi, parts.known),
        "snr": np.sqrt((weight**2).sum(axis=0)),
        "sharpness": _mean(parts.sharpness, weight),
        "roundness": _mean(parts.roundness, weight),
        "position_angle": np.rint(angle),
        "crowding": _mean(parts.crowding, weight),
        "object_type": measured.object_type,
    }


def _image_columns(parts: _OfImages, at: int) -> dict[str, NDArray[Any]]:
    known = parts.known[at]
    rate = parts.counts[at] / parts.exptime_s[at] * parts.factor[at]
    error = parts.sigma[at] / parts.exptime_s[at] * parts.factor[at]
    return {
        "counts": parts.counts[at],
        "sky": parts.sky[at],
        **_magnitudes(rate, np.where(known, error, np.inf), parts.snr[at]),
        "chi": parts.chi[at],
        "snr": parts.snr[at],
        "sharpness": parts.sharpness[at],
        "roundness": parts.roundness[at],
        "crowding": parts.crowding[at],
        "flag": parts.flag[at],
    }


def _filter_columns(
    parts: _OfImages, rows: NDArray[np.bool_], flag_mask: int
) -> dict[str, NDArray[Any]]:
    flag = parts.flag[rows]
    counting = parts.known[rows] & (flag < _FIRST_EXTREME_FLAG) & (flag & flag_mask == 0)
    exptime_s, factor = parts.exptime_s[rows], parts.factor[rows]
    variance = np.where(counting, (parts.sigma[rows] / exptime_s) ** 2, np.inf)
    weight = 1.0 / variance
    total = weight.sum(axis=0)
    per_s = parts.counts[rows] / exptime_s
    mean_per_s = _mean(per_s, weight)
    error = _divided(np.sqrt((factor**2 * weight).sum(axis=0)), total, np.inf)
    snr = mean_per_s * np.sqrt(total)
    weight_of_shape = np.where(counting, np.maximum(parts.snr[rows], 0.0), 0.0)
    return {
        "counts": mean_per_s * exptime_s.sum(),
        "sky": _mean(parts.sky[rows] / exptime_s, weight) * exptime_s.sum(),
        **_magnitudes(_mean(per_s * factor, weight), error, snr),
        "chi": _root_mean_square(parts.chi[rows], counting),
        "snr": snr,
        "sharpness": _mean(parts.sharpness[rows], weight_of_shape),
        "roundness": _mean(parts.roundness[rows], weight_of_shape),
        "crowding": _mean(parts.crowding[rows], weight),
        "flag": np.bitwise_or.reduce(np.where(counting, flag, 0), axis=0),
    }


def _magnitudes(rate: Floats, error: Floats, snr: Floats) -> dict[str, NDArray[Any]]:
    """Rate, magnitude and their errors, with DOLPHOT's figures for what was not measured."""
    known = np.isfinite(rate) & np.isfinite(error)
    positive = known & (rate > 0) & (snr > 0)
    mag = np.where(positive, -2.5 * np.log10(np.where(positive, rate, 1.0)), MISSING_MAG)
    relative = _divided(np.full(snr.shape, MAG_PER_RELATIVE_ERROR), np.abs(snr), np.inf)
    return {
        "rate": np.where(known, rate, 0.0),
        "rate_error": np.where(known, error, _NO_RATE_ERROR),
        "vega_mag": mag,
        "ubvri_mag": np.full(rate.shape, MISSING_MAG),
        "mag_error": np.where(known, np.minimum(relative, MISSING_MAG_ERROR), MISSING_MAG_ERROR),
    }


def _mean(values: Floats, weight: Floats) -> Floats:
    """Weighted mean over images; 0 where none has a weight."""
    known = np.where(weight > 0, values, 0.0)
    return _divided((known * weight).sum(axis=0), weight.sum(axis=0), 0.0)


def _root_mean_square(values: Floats, counting: NDArray[np.bool_]) -> Floats:
    squares = np.where(counting, values**2, 0.0).sum(axis=0)
    return np.sqrt(_divided(squares, counting.sum(axis=0).astype(float), 0.0))


def _divided(above: Floats, below: Floats, otherwise: float) -> Floats:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), otherwise)


# --------------------------------------------------------------------------------- the files


def run_info(
    measured: MeasuredStars, images: Sequence[CatalogedImage], *, shape: tuple[int, int]
) -> RunInfo:
    """The ``.info`` file: images, instruments, alignment and aperture corrections.

    Parameters
    ----------
    measured : MeasuredStars
        For the aperture corrections.
    images : sequence of CatalogedImage
        The images.
    shape : tuple of int
        (ny, nx) of the reference.
    """
    sections = []
    for instrument in _INSTRUMENTS:
        lines = tuple(
            InstrumentLine(
                instrument, number, each.filter_name, (f"{each.chip_code}", f"{each.exptime_s:.6f}")
            )
            for number, each in enumerate(images, 1)
            if each.detector.instrument == instrument
        )
        if lines:
            sections.append((instrument, lines))
    chip = ChipInfo(
        _EXTENSION,
        _CHIP,
        (0, shape[1], 0, shape[0]),
        tuple(sections),
        np.array([each.alignment for each in images]),
        None,
        np.asarray(measured.aperture_correction_mag, dtype=float),
    )
    return RunInfo(tuple(InfoImage(each.alias, each.mjd) for each in images), (chip,))


def write_files(
    catalog: Catalog,
    info: RunInfo,
    path: Path,
    *,
    parameters: str,
    warnings: Sequence[str] = (),
    figures: Sequence[ChipRecords] = (ChipRecords(_EXTENSION, _CHIP, ()),),
) -> tuple[Path, ...]:
    """Write a catalogue and the files beside it, the catalogue last.

    Parameters
    ----------
    catalog : Catalog
        The stars.
    info : RunInfo
        Of the same images.
    path : `~pathlib.Path`
        The catalogue.
    parameters : str
        Text of the ``.param`` file.
    warnings : sequence of str, optional
        Lines of the ``.warnings`` file; those that DOLPHOT has in its words
        (`hst_assets.photometry.catalog.run_records`) are known by kind.
    figures : sequence of ChipRecords, optional
        Content of the ``.data`` file; by default one chip without figures.

    Returns
    -------
    tuple of `~pathlib.Path`
        All files, the catalogue first.
    """
    texts: Mapping[str, str] = {
        ".param": parameters,
        ".info": info.text(),
        ".data": chips_text(figures),
        ".warnings": "".join(f"{_line(text)}\n" for text in warnings),
    }
    beside = []
    for ending, text in texts.items():
        file = path.with_name(f"{path.name}{ending}")
        with write_atomically(file) as part:
            part.write_text(text)
        beside.append(file)
    return (*write_catalog(catalog, path), *beside)


def _line(text: str) -> str:
    return " ".join(text.split())

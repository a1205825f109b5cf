"""What runs in a child process: fluxes at places, by the embedded photometer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.light_curve.flux_scale import FluxScale, scale_of_header
from hst_assets.photometry.light_curve.measured_places import MeasuredPlaces
from hst_assets.photometry.psf.chips_in import ChipFile, open_images
from hst_assets.photometry.psf.forced import ForcedFluxes, forced_photometry
from hst_assets.photometry.psf.lost_charge import lost_on_chip_mag
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.settings import DolphotInputsSettings
from hst_assets.workdir import WorkDir

__all__ = ["chips_of", "measure"]

Floats = NDArray[np.float64]

#: Pixels of sky whose noise a fitted star has: 8 to 20 on HST's cameras.
_NOISE_PIX = 14.0
#: Fainter stars may have been found so far from their place as a source is looked for.
_FAINT_SNR = 8.0


def measure(
    root: str,
    target: str,
    *,
    kept: str,
    dolphot_inputs: Mapping[str, Any],
    wfpc2_cte: bool,
    x: Sequence[float],
    y: Sequence[float],
    n_sources: int,
    own_within_pix: float,
    measured: str,
    folder: str,
) -> int:
    """Measure fluxes at places of the reference, and leave them in a file.

    Parameters
    ----------
    root, target : str
        Of the work directory.
    kept : str
        What a measurement keeps.
    dolphot_inputs : mapping
        Settings by which the images were prepared.
    wfpc2_cte : bool
        Whether fluxes are corrected for charge that WFPC2 lost.
    x, y : sequence of float
        Places on the reference, 0-based pixels.
    n_sources : int
        So many of them, the first, may be sources that the catalogue has, too.
    own_within_pix : float
        A faint star of the catalogue so near to one of them is that source: its place was found
        among noise. Pixels of the reference.
    measured : str
        Name that the result gets in `folder`.
    folder : str
        Where it is left.

    Returns
    -------
    int
        Fluxes that were measured.
    """
    measurement = MeasurementFile.load(Path(kept))
    workdir = WorkDir(Path(root), target)
    chips = chips_of(workdir, measurement, DolphotInputsSettings(**dolphot_inputs))
    places = np.array(x, float), np.array(y, float)
    of_others = _without_own(
        measurement, chips, places[0][:n_sources], places[1][:n_sources], own_within_pix
    )
    fluxes = forced_photometry(chips, of_others, *places)
    found = _in_microjansky(fluxes, chips, measurement, wfpc2_cte=wfpc2_cte)
    found.save(Path(folder) / measured)
    return int(np.isfinite(found.flux_ujy).sum())


def chips_of(
    workdir: WorkDir, measurement: MeasurementFile, choices: DolphotInputsSettings
) -> list[ChipFile]:
    """The chips of a measurement, which may be of a part of the field."""
    names = {image.name for image in measurement.images}
    images = read_input_images(workdir)
    own = [image for image in images[1:] if image.label in names]
    return open_images(workdir, [images[0], *own], choices)


def _without_own(
    measurement: MeasurementFile, chips: Sequence[ChipFile], x: Floats, y: Floats, within: float
) -> MeasurementFile:
    """The measurement without faint stars that are the sources themselves.

    Fitted beside its source, such a star would have a part of its light: sources of S/N 4 in all
    had lost 1.3 standard errors where theirs was 0.5 to 1.5 pixels off.
    """
    sources = np.column_stack([x, y])[np.isfinite(x) & np.isfinite(y)]
    if len(sources) == 0 or len(measurement.x) == 0:
        return measurement
    distance, _ = KDTree(sources).query(np.column_stack([measurement.x, measurement.y]))
    near = np.flatnonzero(distance <= within)
    faint = near[_snr(measurement, chips, near) < _FAINT_SNR]
    left = np.setdiff1d(np.arange(len(measurement.x)), faint)
    return replace(
        measurement,
        x=measurement.x[left],
        y=measurement.y[left],
        counts_e=measurement.counts_e[:, left],
    )


def _snr(
    measurement: MeasurementFile, chips: Sequence[ChipFile], stars: NDArray[np.int64]
) -> Floats:
    """Roughly, the signal-to-noise ratio of stars in all images."""
    total = np.zeros(len(stars))
    for chip, counts in zip(chips, measurement.counts_e[:, stars], strict=True):
        ny, nx = chip.shape
        part = chip.cut(*(slice(n // 2 - n // 8, n // 2 + n // 8) for n in (ny, nx)))
        sky_e2 = _NOISE_PIX * (max(float(np.median(part.sky_e)), 0.0) + chip.read_noise_e**2)
        light = np.maximum(counts, 0.0)
        total += light**2 / (sky_e2 + light)
    return np.sqrt(total)


def _in_microjansky(
    fluxes: ForcedFluxes,
    chips: Sequence[ChipFile],
    measurement: MeasurementFile,
    *,
    wfpc2_cte: bool,
) -> MeasuredPlaces:
    radius = measurement.parameters.aperture_radius_arcsec
    scales = [
        scale_of_header(
            chip.photometry, detector=chip.image.detector.key, filter_name=chip.image.filter
        )
        for chip in chips
    ]
    transfer = _transfer_mag(fluxes, chips) if wfpc2_cte else np.zeros(fluxes.counts_e.shape)
    # Of the band's aperture correction, all light; of lost charge, what it takes back.
    factor = np.array(
        [scale.ujy_per_count_s / chip.gain for scale, chip in zip(scales, chips, strict=True)]
    )[:, None] * 10 ** (-0.4 * transfer)
    known = np.isfinite(fluxes.rate_e_s) & np.isfinite(factor)
    errors = np.array([image.aperture_correction_error_mag for image in measurement.images])
    return MeasuredPlaces(
        exposures=np.array([chip.image.exposure for chip in chips]),
        detectors=np.array([chip.image.detector.key for chip in chips]),
        filters=np.array([chip.image.filter.upper() for chip in chips]),
        exptime_s=np.array([chip.exptime_s for chip in chips]),
        mjd=np.array([chip.mjd for chip in chips]),
        st_minus_ab_mag=np.array([scale.st_minus_ab_mag for scale in scales]),
        vega_minus_ab_mag=np.array([scale.vega_minus_ab_mag for scale in scales]),
        scale_error_mag=errors,
        remarks=np.array(
            [
                _remark(chip, scale, error, radius)
                for chip, scale, error in zip(chips, scales, errors, strict=True)
            ]
        ),
        flux_ujy=np.where(known, fluxes.rate_e_s * factor, np.nan),
        flux_error_ujy=np.where(known, fluxes.rate_error_e_s * factor, np.inf),
        transfer_mag=transfer,
        sky_e=fluxes.sky_e + fluxes.local_sky_e,
        flag=fluxes.flag,
        beyond_edge_pix=np.array(
            [
                _beyond_edge_pix(chip, fluxes.x, fluxes.y, image.shift_pix)
                for chip, image in zip(chips, measurement.images, strict=True)
            ]
        ),
    )


def _transfer_mag(fluxes: ForcedFluxes, chips: Sequence[ChipFile]) -> Floats:
    """What lost charge cost on WFPC2's chips, as of the catalogue's stars; 0 of other detectors.

    By the electrons that are expected, not by a faint source's own noisy ones, of which the mean
    loss is wrong.
    """
    lost = np.zeros(fluxes.counts_e.shape)
    for k, chip in enumerate(chips):
        if chip.image.detector.key == "wfpc2":
            lost[k] = lost_on_chip_mag(
                fluxes.expected_e[k],
                fluxes.sky_e[k],
                x=fluxes.chip_x[k],
                y=fluxes.chip_y[k],
                mjd=chip.mjd,
            )
    return lost


def _remark(chip: ChipFile, scale: FluxScale, error_mag: float, radius_arcsec: float) -> str:
    """What is to be said of all fluxes of a chip."""
    remarks = []
    if scale.fault:
        remarks.append(scale.fault)
    if not math.isfinite(error_mag):
        remarks.append("the aperture correction was not measured")
    if not math.isfinite(chip.encircled(radius_arcsec)):
        remarks.append(f"of the light within {radius_arcsec:g} arcsec: no table of what is beyond")
    return "; ".join(remarks)


def _beyond_edge_pix(
    chip: ChipFile, x: Floats, y: Floats, shift_pix: tuple[float, float]
) -> Floats:
    """How far off a chip places lie; 0 of those on it, infinite of those that are nowhere."""
    far = np.full(len(x), np.inf)
    somewhere = np.isfinite(x) & np.isfinite(y)
    if not somewhere.any():
        return far
    at_x, at_y = chip.pixel_map(x[somewhere], y[somewhere])
    ny, nx = chip.shape
    off = [
        np.maximum(np.maximum(-0.5 - place, place - (size - 0.5)), 0.0)
        for place, size in ((at_x + shift_pix[0], nx), (at_y + shift_pix[1], ny))
    ]
    far[somewhere] = np.hypot(*off)
    return far

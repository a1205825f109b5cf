"""What runs in a child process: fluxes at places, by the embedded photometer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def measure(
    root: str,
    target: str,
    *,
    kept: str,
    dolphot_inputs: Mapping[str, Any],
    wfpc2_cte: bool,
    x: Sequence[float],
    y: Sequence[float],
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
    fluxes = forced_photometry(chips, measurement, np.array(x, float), np.array(y, float))
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

"""What runs in a child process: fluxes at places, by the embedded photometer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from hst_assets.photometry.catalog.quantities import OFF_IMAGE
from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.light_curve.flux_scale import FluxScale, scale_of_header
from hst_assets.photometry.light_curve.measured_places import (
    CANNOT_BE_TOLD_APART,
    FIRST_EXTREME_FLAG,
    MeasuredPlaces,
)
from hst_assets.photometry.light_curve.separate_fits import Plan, planned_fits
from hst_assets.photometry.psf.chips_in import ChipFile, open_images
from hst_assets.photometry.psf.forced import ForcedFluxes, forced_photometry
from hst_assets.photometry.psf.lost_charge import lost_on_chip_mag, mean_rates
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.settings import DolphotInputsSettings
from hst_assets.workdir import WorkDir

__all__ = ["chips_of", "measure"]

Floats = NDArray[np.float64]

#: Pixels of sky whose noise a fitted star has: 8 to 20 on HST's cameras.
_NOISE_PIX = 14.0
#: Fainter stars may have been found so far from their place as a source is looked for.
_FAINT_SNR = 8.0
#: A faint star of the catalogue so near to a source is the source itself, pixels of the finest
#: detector.
_OWN_WITHIN_PIX = 1.5
#: Two sources so many pixels of a detector apart, or other places so many of the finest's, are told
#: from each other: PSFs are 1.1 (WFC3/IR) to 2.2 (ACS/HRC) pixels wide.
_APART_PIX = 2.5
#: Planes of `ForcedFluxes` of shape (k, n).
_OF_IMAGES = (
    "counts_e", "counts_error_e", "width_error_e", "rate_e_s", "rate_error_e_s", "local_sky_e",
    "sky_e", "expected_e", "chip_x", "chip_y", "chi", "flag",
)  # fmt: skip


def measure(
    root: str,
    target: str,
    *,
    kept: str,
    dolphot_inputs: Mapping[str, Any],
    wfpc2_cte: bool,
    x: Sequence[float],
    y: Sequence[float],
    source_of: Sequence[int],
    finest_pix: float,
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
    source_of : sequence of int
        For each place, the source that it is about; for a source, which the catalogue may have,
        too, its own number.
    finest_pix : float
        A pixel of the finest detector, in pixels of the reference.
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
    fluxes = _forced(
        chips, measurement, np.array(x, float), np.array(y, float), source_of, finest_pix
    )
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


def _forced(
    chips: Sequence[ChipFile],
    measurement: MeasurementFile,
    x: Floats,
    y: Floats,
    source_of: Sequence[int],
    finest_pix: float,
) -> ForcedFluxes:
    """Fluxes of all places, of those that are too near to each other in separate fits.

    How near that is depends on the detector: of each, the fluxes are those of its own fits.
    """
    sides = np.array([chip.image.detector.pixel_scale_arcsec for chip in chips])
    images_of: dict[Plan, list[int]] = {}
    for side in np.unique(sides).tolist():
        plan = planned_fits(
            x,
            y,
            source_of,
            sources_apart_pix=_APART_PIX * finest_pix * side / sides.min(),
            apart_pix=_APART_PIX * finest_pix,
        )
        images_of.setdefault(plan, []).extend(np.flatnonzero(sides == side).tolist())
    found = _nothing(x, y, chips)
    for plan, images in images_of.items():
        for fit in plan.fits:
            rows = np.array([*fit.measured, *fit.beside], dtype=np.int64)
            sources = rows[[source_of[row] == row for row in rows.tolist()]]
            of_others = _without_own(
                measurement, chips, x[sources], y[sources], _OWN_WITHIN_PIX * finest_pix
            )
            fluxes = forced_photometry(chips, of_others, x[rows], y[rows])
            _into(found, fluxes, images, np.array(fit.measured, dtype=np.int64))
        for image in images:
            found.flag[image, list(plan.hidden)] = CANNOT_BE_TOLD_APART
        _into(found, found, images, np.arange(len(x)), list(plan.same_as))
    lost = np.isnan(found.counts_e) & np.isfinite(found.chi) & (found.flag == FIRST_EXTREME_FLAG)
    found.flag[lost] = CANNOT_BE_TOLD_APART
    return found


def _nothing(x: Floats, y: Floats, chips: Sequence[ChipFile]) -> ForcedFluxes:
    def plane(value: float) -> Floats:
        return np.full((len(chips), len(x)), value)

    return ForcedFluxes(
        x=x,
        y=y,
        counts_e=plane(np.nan),
        counts_error_e=plane(np.inf),
        width_error_e=plane(0.0),
        rate_e_s=plane(np.nan),
        rate_error_e_s=plane(np.inf),
        local_sky_e=plane(np.nan),
        sky_e=plane(np.nan),
        expected_e=plane(np.nan),
        chip_x=plane(np.nan),
        chip_y=plane(np.nan),
        chi=plane(np.nan),
        flag=np.full((len(chips), len(x)), OFF_IMAGE, dtype=np.int32),
        replaced=np.full(len(x), -1, dtype=np.int64),
        image_names=tuple(chip.name for chip in chips),
    )


def _into(
    found: ForcedFluxes,
    fluxes: ForcedFluxes,
    images: Sequence[int],
    rows: NDArray[np.int64],
    columns: Sequence[int] | None = None,
) -> None:
    """Put what was measured of places, by default the first, where it belongs."""
    taken = np.array(range(len(rows)) if columns is None else columns, dtype=np.int64)
    at = np.array(images, dtype=np.int64)
    for name in _OF_IMAGES:
        getattr(found, name)[np.ix_(at, rows)] = getattr(fluxes, name)[np.ix_(at, taken)]
    found.replaced[rows] = fluxes.replaced[taken]


def _without_own(
    measurement: MeasurementFile, chips: Sequence[ChipFile], x: Floats, y: Floats, within: float
) -> MeasurementFile:
    """The measurement without faint stars that are the fitted sources themselves.

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
    return measurement.of(left)


def _snr(
    measurement: MeasurementFile, chips: Sequence[ChipFile], rows: NDArray[np.int64]
) -> Floats:
    """Roughly, the signal-to-noise ratio of the stars of some rows in all images."""
    star = measurement.star_of_row
    # One that moves has a row for each image: all of them are asked.
    of_stars = np.flatnonzero(np.isin(star, star[rows]))
    total = np.zeros(len(of_stars))
    for chip, counts in zip(chips, measurement.counts_e[:, of_stars], strict=True):
        ny, nx = chip.shape
        part = chip.cut(*(slice(n // 2 - n // 8, n // 2 + n // 8) for n in (ny, nx)))
        sky_e2 = _NOISE_PIX * (max(float(np.median(part.sky_e)), 0.0) + chip.read_noise_e**2)
        light = np.maximum(counts, 0.0)
        total += light**2 / (sky_e2 + light)
    return np.sqrt(np.bincount(star[of_stars], weights=total)[star[rows]])


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
    by_width = fluxes.width_error_e / fluxes.counts_error_e  # 0 where nothing was measured
    corrections = np.array([image.aperture_correction_mag for image in measurement.images])
    exptime_s = np.array([chip.exptime_s for chip in chips])
    per_electron = factor * (10 ** (-0.4 * corrections) / exptime_s)[:, None]
    errors = np.array([image.aperture_correction_error_mag for image in measurement.images])
    return MeasuredPlaces(
        exposures=np.array([chip.image.exposure for chip in chips]),
        detectors=np.array([chip.image.detector.key for chip in chips]),
        filters=np.array([chip.image.filter.upper() for chip in chips]),
        exptime_s=exptime_s,
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
        width_error_ujy=np.where(known, by_width * fluxes.rate_error_e_s * factor, 0.0),
        ujy_per_electron=np.where(known, per_electron, np.nan),
        expected_ujy=np.where(known, fluxes.expected_e * per_electron, np.nan),
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
    loss is wrong; and by two standard errors of the mean of the band, if they are more. NaN, and so
    no flux, where the sky is not known.
    """
    lost = np.zeros(fluxes.counts_e.shape)
    rates = mean_rates(fluxes.counts_e, fluxes.counts_error_e, chips)
    for k, chip in enumerate(chips):
        if chip.image.detector.key == "wfpc2":
            lost[k] = lost_on_chip_mag(
                fluxes.expected_e[k],
                fluxes.sky_e[k],
                expected_error_e=rates[chip.band][1] * chip.exptime_s,
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

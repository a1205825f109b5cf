"""Fluxes at places of the reference on every chip of a measurement, in microjansky.

Forced photometry (`hst_assets.photometry.psf.forced`) needs pixels, PSFs and compiled code; it runs
in a child process, which leaves what it measured in a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.detection.image_planes import read_wcs
from hst_assets.isolation import run_isolated
from hst_assets.photometry.dolphot.input_images import InputImage
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = [
    "CANNOT_BE_TOLD_APART",
    "FIRST_EXTREME_FLAG",
    "MeasuredPlaces",
    "measure_places",
    "reference_wcs",
]

Floats = NDArray[np.float64]

_TASK = "hst_assets.photometry.light_curve.forced_task:measure"
#: Name of its scratch folders and logs.
_STAGE = "forced_photometry"
#: Name of the time limit.
_LIMIT = "embedded"
_NAME = "places.npz"
#: Flags from 8 on are worthless (`hst_assets.photometry.catalog.quantities`).
FIRST_EXTREME_FLAG = 8
#: Flag of a place whose light cannot be told from that of another star or source.
CANNOT_BE_TOLD_APART = 16


@dataclass(frozen=True, eq=False)
class MeasuredPlaces:
    """Fluxes of n places on k chips; NaN, with an infinite error, where none was measured.

    Attributes
    ----------
    exposures, detectors, filters, bands : ndarray of str, shape (k,)
        Rootname, key of the detector and filter of each chip; images of one band are fitted with
        one mean light.
    exptime_s, mjd : ndarray, shape (k,)
        Exposure time, and middle of the exposure.
    st_minus_ab_mag, vega_minus_ab_mag : ndarray, shape (k,)
        What leads from AB magnitudes to the others.
    scale_error_mag : ndarray, shape (k,)
        Error of the aperture correction, which all fluxes of the chip share; infinite: it was not
        measured.
    remarks : ndarray of str, shape (k,)
        What is to be said of a chip's fluxes; empty if nothing.
    flux_ujy, flux_error_ujy : ndarray, shape (k, n)
        Microjansky of all light.
    width_error_ujy : ndarray, shape (k, n)
        The part of the error that the PSF's width makes, which the fluxes of a band have in common.
    ujy_per_electron, expected_ujy : ndarray, shape (k, n)
        Flux of one detected electron, and the flux whose photon noise the error holds: that of the
        band's mean, or the image's own where that is another.
    transfer_mag : ndarray, shape (k, n)
        What was added to magnitudes for lost charge: 0 or below.
    sky_e : ndarray, shape (k, n)
        Sky under the place with what was left of it, electrons a pixel.
    flag : ndarray of int, shape (k, n)
        As of `hst_assets.photometry.psf.forced.ForcedFluxes`; 16 of a place whose light cannot be
        told from that of another star or source.
    beyond_edge_pix : ndarray, shape (k, n)
        How far off the chip the place lies; 0 on it.
    """

    exposures: NDArray[np.str_]
    detectors: NDArray[np.str_]
    filters: NDArray[np.str_]
    exptime_s: Floats
    mjd: Floats
    st_minus_ab_mag: Floats
    vega_minus_ab_mag: Floats
    scale_error_mag: Floats
    remarks: NDArray[np.str_]
    flux_ujy: Floats
    flux_error_ujy: Floats
    width_error_ujy: Floats
    ujy_per_electron: Floats
    expected_ujy: Floats
    transfer_mag: Floats
    sky_e: Floats
    flag: NDArray[np.int32]
    beyond_edge_pix: Floats

    @property
    def bands(self) -> NDArray[np.str_]:
        """Detector and filter of each chip: ``wfc3_uvis F814W``."""
        return np.array(
            [f"{key} {name}" for key, name in zip(self.detectors, self.filters, strict=True)]
        )

    def means(
        self, chips: NDArray[np.int64], places: slice, flag_mask: int
    ) -> tuple[Floats, Floats]:
        """Mean fluxes on some chips and their errors, weighted by the inverse variance.

        Parameters
        ----------
        chips : ndarray of int
            Which chips.
        places : slice
            Which places; those that count on none of the chips are left out.
        flag_mask : int
            Fluxes with any of these flags do not count, nor do those with 8 or more.
        """
        flux, error = self.flux_ujy[chips, places], self.flux_error_ujy[chips, places]
        flag = self.flag[chips, places]
        counts = np.isfinite(flux) & np.isfinite(error)
        counts &= (flag < FIRST_EXTREME_FLAG) & (flag & flag_mask == 0)
        weight = np.where(counts, 1 / np.where(counts, error, 1.0) ** 2, 0.0)
        total = weight.sum(axis=0)
        known = total > 0
        mean = (np.where(counts, flux, 0.0) * weight).sum(axis=0)[known] / total[known]
        return mean, total[known] ** -0.5

    def save(self, path: Path) -> None:
        """Leave it for the parent."""
        planes: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        np.savez(path, **planes)

    @classmethod
    def load(cls, path: Path) -> MeasuredPlaces:
        """What the child left."""
        with np.load(path) as planes:
            return cls(**{each.name: planes[each.name] for each in fields(cls)})


def reference_wcs(images: Sequence[InputImage]) -> WCS:
    """The frame of a measurement: that of the prepared reference, which is the first image."""
    with fits.open(images[0].path) as hdus:
        return read_wcs(hdus[0].header, hdus)


def measure_places(
    workdir: WorkDir,
    settings: Settings,
    kept: Path,
    x: Floats,
    y: Floats,
    *,
    source_of: Sequence[int],
    finest_pix: float,
) -> MeasuredPlaces:
    """Measure fluxes at places, those of the catalogue's stars about them being free.

    Sources within half a pixel of each other are measured once. Those nearer than 2.5 pixels of a
    detector are taken for readings of one light: each is measured on it without the others.

    Parameters
    ----------
    workdir : WorkDir
        With the inputs of the photometry and the aligned exposures.
    settings : Settings
        Sections dolphot_inputs, embedded (whether lost charge is corrected) and machine.
    kept : `~pathlib.Path`
        What a measurement of these images keeps.
    x, y : ndarray, shape (n,)
        Places on the reference, 0-based pixels.
    source_of : sequence of int
        For each place, the source that it is about; sources come first, and have their own
        numbers. The catalogue may have them: its faint stars within 1.5 pixels of them are not
        fitted beside them.
    finest_pix : float
        A pixel of the finest detector, in pixels of the reference.

    Raises
    ------
    MissingProduct, UnusableInput
        If what is needed is missing or damaged, or not of this measurement.
    MachineFailure
        If the child process did not get to its end.
    """
    with workdir.scratch(_STAGE) as scratch:
        run_isolated(
            _TASK,
            {
                "root": str(workdir.root.absolute()),
                "target": workdir.target,
                "kept": str(kept.absolute()),
                "dolphot_inputs": settings.dolphot_inputs.as_recipe(),
                "wfpc2_cte": settings.embedded.wfpc2_cte,
                "x": np.asarray(x, float).tolist(),
                "y": np.asarray(y, float).tolist(),
                "source_of": [int(source) for source in source_of],
                "finest_pix": finest_pix,
                "measured": _NAME,
                "folder": str(scratch.absolute()),
            },
            scratch=scratch,
            log_path=workdir.log(_STAGE, "places"),
            timeout_s=settings.machine.timeout_s(_LIMIT),
        )
        return MeasuredPlaces.load(scratch / _NAME)

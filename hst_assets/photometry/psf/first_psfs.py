"""The PSFs before any star is seen: models, or the user's grids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hst_assets.exposures.keywords import number
from hst_assets.failures import BadConfiguration
from hst_assets.photometry.catalog.vega import vega_band
from hst_assets.photometry.psf.chips_in import ChipFile
from hst_assets.photometry.psf.prior_psf import prior_psf
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.photometry.psf.stdpsf import read_stdpsf
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["first_psfs", "grids_of_settings"]

_ANGSTROM_PER_UM = 1e4


def first_psfs(
    chips: Sequence[ChipFile],
    grids: Mapping[str, Path],
    *,
    psf_radius_pix: int,
    aperture_radius_arcsec: float,
) -> dict[str, SplinePsf]:
    """PSFs to begin with, by the key of those that share one.

    Parameters
    ----------
    chips : sequence of ChipFile
        The images.
    grids : mapping of str to Path
        The user's grids, by band (`grids_of_settings`).
    psf_radius_pix : int
        Least radius of all of them, pixels.
    aperture_radius_arcsec : float
        Radius of the aperture corrections: they reach beyond it on the finest chip.

    Raises
    ------
    UnusableInput
        If a grid is damaged, or a filter is not known.
    """
    finest = min(chip.pixel_scale_arcsec for chip in chips)
    reach = max(psf_radius_pix, math.ceil(aperture_radius_arcsec / finest) + 2)
    return {chip.psf_key: _prior(chip, grids, reach) for chip in _one_of_each(chips)}


def grids_of_settings(workdir: WorkDir, settings: Settings) -> dict[str, Path]:
    """The user's grids of PSFs by band.

    Raises
    ------
    BadConfiguration
        If one of the files does not exist.
    """
    paths = {name: workdir.base / path for name, path in settings.embedded.psf_grids.items()}
    for name, path in paths.items():
        if not path.is_file():
            raise BadConfiguration(
                "embedded.psf_grids names a file that does not exist",
                where=path,
                next_step=f"Correct it, or leave {name} out: the PSF then begins with a model",
            )
    return paths


def _one_of_each(chips: Sequence[ChipFile]) -> list[ChipFile]:
    """The first chip of each PSF."""
    return list({chip.psf_key: chip for chip in reversed(chips)}.values())


def _prior(chip: ChipFile, grids: Mapping[str, Path], radius_pix: int) -> SplinePsf:
    """The PSF of a chip before any star is seen: a model, or that of the user's grid."""
    detector, filter_name = chip.image.detector, chip.image.filter
    pivot = chip.photometry.plam
    if not math.isfinite(pivot):
        pivot = vega_band(detector.key, filter_name).pivot_angstrom
    number_of_chip = max(chip.chip_code + (detector.key == "wfpc2"), 1)
    model = prior_psf(
        detector.key,
        pivot_um=pivot / _ANGSTROM_PER_UM,
        bandwidth_um=number(chip.header, "PHOTBW", 0.0) / _ANGSTROM_PER_UM,
        radius_pix=radius_pix,
        chip=number_of_chip,
        pixel_arcsec=chip.pixel_arcsec,
    )
    grid = grids.get(f"{detector.key}.{filter_name.lower()}")
    if grid is None:
        return model
    shape = detector.full_shape
    whole = read_stdpsf(grid, detector=detector.key, chip=number_of_chip, shape=shape, prior=model)
    return whole if chip.shape == shape else _at_middle(whole, chip)


def _at_middle(psf: SplinePsf, chip: ChipFile) -> SplinePsf:
    """The PSF of a full chip where a subarray's middle is."""
    x, y = chip.subarray_offset
    cell = psf.cell_of(x + chip.shape[1] / 2, y + chip.shape[0] / 2)
    return replace(psf, coefficients=psf.coefficients[cell][None, None], cell_pix=(1e6, 1e6))

"""What runs in child processes: a list of artificial stars, measured by the embedded photometer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput
from hst_assets.photometry.catalog.artificial_stars import (
    ArtificialStars,
    StarsPutIn,
    read_stars_put_in,
    write_artificial_stars,
)
from hst_assets.photometry.catalog.bands import bands_of
from hst_assets.photometry.catalog.reading import catalog_columns
from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.psf.artificial_stars import measure_artificial_stars
from hst_assets.photometry.psf.catalog_files import (
    CatalogedImage,
    catalog_of_stars,
    counts_of_magnitudes,
)
from hst_assets.photometry.psf.catalog_run import KEPT
from hst_assets.photometry.psf.cataloged_images import cataloged_images
from hst_assets.photometry.psf.chips_in import ChipFile, open_images
from hst_assets.photometry.psf.lost_charge import transfer_mag
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.photometry.wfpc2_cte import wfpc2_cte_mag
from hst_assets.settings import DolphotInputsSettings
from hst_assets.workdir import WorkDir

__all__ = ["measure_list"]

Floats = NDArray[np.float64]

#: X and Y of a list are the 0-based numpy index plus this, pixels.
_PIXEL_OFFSET = 0.5
#: Lost charge depends on what is left of it: so many times from the one to the other.
_N_TRANSFER = 8


def measure_list(
    root: str,
    target: str,
    *,
    catalog: str,
    stars: str,
    labels: Sequence[str],
    dolphot_inputs: Mapping[str, Any],
    flag_mask: int,
    wfpc2_cte: bool,
    seed: Sequence[int],
    measured: str,
    folder: str,
) -> int:
    """Measure a list of artificial stars, and leave it in DOLPHOT's format.

    Parameters
    ----------
    root, target : str
        Of the work directory.
    catalog : str
        The catalogue; what its measurement keeps lies beside it.
    stars : str
        Name of the list in `folder`.
    labels : sequence of str
        Bands of its magnitudes, by name (`hst_assets.photometry.catalog.bands.bands_of`).
    dolphot_inputs : mapping
        Settings by which the images were prepared.
    flag_mask : int
        As of `hst_assets.photometry.psf.catalog_files.catalog_of_stars`.
    wfpc2_cte : bool
        Whether the catalogue is corrected for charge that WFPC2 lost.
    seed : sequence of int
        Of the photon noise.
    measured : str
        Name that the result gets in `folder`.
    folder : str
        Where list and result lie.

    Returns
    -------
    int
        Stars that are on an image, found or not.

    Raises
    ------
    MissingProduct, UnusableInput
        If what is needed is missing or damaged, or not of this measurement.
    """
    here, path = Path(folder), Path(catalog)
    workdir = WorkDir(Path(root), target)
    chips = open_images(
        workdir, read_input_images(workdir), DolphotInputsSettings(**dolphot_inputs)
    )
    kept = MeasurementFile.load(path.with_name(f"{path.name}{KEPT}"))
    images, _ = cataloged_images(chips, kept.parameters.aperture_radius_arcsec)
    put_in = read_stars_put_in(here / stars, labels)
    mags = _magnitudes(put_in, path)
    counts = _counts(put_in, mags, kept, chips, images, wfpc2_cte=wfpc2_cte)
    found = measure_artificial_stars(
        chips,
        kept,
        put_in.x - _PIXEL_OFFSET,
        put_in.y - _PIXEL_OFFSET,
        counts,
        seed=seed,
        saturation_e=np.array([chip.saturated_e for chip in chips]),
    )
    rows = np.flatnonzero(found.on_image.any(axis=0))
    measured_stars = found.stars.of(rows)
    cataloged = catalog_of_stars(
        measured_stars,
        images,
        flag_mask=flag_mask,
        transfer_mag=transfer_mag(measured_stars, chips) if wfpc2_cte else None,
    )
    gain = np.array([image.gain for image in images])
    result = ArtificialStars(
        put_in.extension[rows],
        put_in.chip[rows],
        put_in.x[rows],
        put_in.y[rows],
        (counts[:, rows] / gain[:, None]).T,
        mags[:, rows].T,
        cataloged,
    )
    write_artificial_stars(result, here / measured)
    return len(rows)


def _magnitudes(put_in: StarsPutIn, catalog: Path) -> Floats:
    """The magnitude of each star in each image, shape (k, n)."""
    columns = catalog_columns(catalog)
    mags = np.full((len(columns.images), len(put_in)), np.nan)
    for band in bands_of(columns):
        for image in band.images:
            mags[image.number - 1] = put_in.brightness[:, put_in.labels.index(band.name)]
    return mags


def _counts(
    put_in: StarsPutIn,
    mags: Floats,
    kept: MeasurementFile,
    chips: Sequence[ChipFile],
    images: Sequence[CatalogedImage],
    *,
    wfpc2_cte: bool,
) -> Floats:
    """Electrons under the PSF, what lost charge leaves of them, shape (k, n)."""
    corrections = np.array([image.aperture_correction_mag for image in kept.images])
    counts = counts_of_magnitudes(mags, images, corrections)
    if not np.isfinite(counts).all():
        bad = int(np.argmin(np.isfinite(counts).all(axis=1)))
        raise UnusableInput(
            "it has no Vega zero point: no star of a magnitude can be put in",
            where=images[bad].alias,
        )
    for k, (source, chip) in enumerate(zip(kept.moved(chips), chips, strict=True)):
        if chip.image.detector.key != "wfpc2" or not wfpc2_cte:
            continue
        x, y = source.pixel_map(put_in.x - _PIXEL_OFFSET, put_in.y - _PIXEL_OFFSET)
        sky = _sky_at(kept, k, chip, x, y)
        whole = counts[k]
        for _ in range(_N_TRANSFER):
            lost = np.nan_to_num(wfpc2_cte_mag(counts[k], sky, x=x, y=y, mjd=chip.mjd))
            counts[k] = whole * 10 ** (0.4 * lost)
    return counts


def _sky_at(kept: MeasurementFile, k: int, chip: ChipFile, x: Floats, y: Floats) -> Floats:
    """Sky of a chip at places, electrons a pixel; of places off it, that of its edge."""
    ny, nx = chip.shape
    whole = kept.images[k].restored(chip.cut(slice(0, ny), slice(0, nx))).sky_e
    column, row = (
        np.clip(np.rint(values), 0, size - 1).astype(np.int64)
        for values, size in ((x, nx), (y, ny))
    )
    return np.asarray(whole[row, column], dtype=float)

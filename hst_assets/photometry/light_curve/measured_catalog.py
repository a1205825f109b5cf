"""The catalogue of a target with what a light curve needs of its images: bands, epochs, times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from numpy.typing import NDArray

from hst_assets.detection.image_planes import read_wcs
from hst_assets.detectors import DETECTORS
from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.catalog.columns import CatalogImage
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.reading import read_catalog
from hst_assets.photometry.catalog.vega import vega_band
from hst_assets.photometry.dolphot.input_images import InputImage, read_input_images
from hst_assets.photometry.light_curve.points import AB_ZERO_POINT_UJY
from hst_assets.photometry.psf.catalog_run import KEPT
from hst_assets.photometry.psf.catalog_run import STAGE as EMBEDDED
from hst_assets.photometry.psf.measurement_file import moving_stars_of
from hst_assets.products.columns import read_table
from hst_assets.provenance import read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = [
    "Alignment",
    "ExposureTimes",
    "MeasuredCatalog",
    "MeasuredImage",
    "open_measured_catalog",
    "read_alignment_error",
]

_OF_ALIGNMENT = ("rms_ra", "rms_dec", "held_out_offset_x", "held_out_offset_y", "fwhm")
_FWHM_PER_SIGMA = math.sqrt(8.0 * math.log(2.0))


@dataclass(frozen=True)
class ExposureTimes:
    """When an exposure was made: its epoch, start, middle and end (MJD, UTC), and for how long."""

    epoch: int
    mjd_start: float
    mjd_mid: float
    mjd_end: float
    exptime_s: float


@dataclass(frozen=True)
class MeasuredImage:
    """An image of the catalogue.

    Attributes
    ----------
    image : CatalogImage
        Its columns.
    exposure : str
        Rootname of its exposure.
    detector, filter_name : str
        Its band.
    ujy_per_rate : float
        Microjansky of a normalized count rate of 1, which is Vega's.
    st_minus_ab_mag, vega_minus_ab_mag : float
        What leads from AB magnitudes to the others.
    gain : float
        Electrons in one count of the image.
    """

    image: CatalogImage
    exposure: str
    detector: str
    filter_name: str
    ujy_per_rate: float
    st_minus_ab_mag: float
    vega_minus_ab_mag: float
    gain: float


@dataclass(frozen=True)
class Alignment:
    """How well positions of the catalogue's stars are known.

    Attributes
    ----------
    error_arcsec : float
        Of the alignment, on each axis; 0 where it is not known.
    fwhm_arcsec : float
        Of the stars.
    note : str
        What is not known; empty if all is.
    """

    error_arcsec: float
    fwhm_arcsec: float
    note: str = ""

    def star_error_arcsec(self, snr: NDArray[np.float64]) -> NDArray[np.float64]:
        """Error of stars' positions on each axis by their signal-to-noise ratios.

        The width of the star over its S/N (King 1983, PASP 95, 163).
        """
        sigma_arcsec = self.fwhm_arcsec / _FWHM_PER_SIGMA
        return np.asarray(sigma_arcsec / np.maximum(snr, 1.0))


@dataclass(frozen=True, eq=False)
class MeasuredCatalog:
    """A catalogue and its images.

    Attributes
    ----------
    catalog : Catalog
        With positions (``ra``, ``dec``).
    images : tuple of MeasuredImage
        Those whose fluxes can be told in microjansky.
    exposures : mapping
        Times by rootname.
    flag_mask : int
        Flags that exclude an image from a mean, as of the catalogue itself.
    alignment : Alignment
        Errors of positions.
    errors_hold_own_light : bool
        Whether the error of a flux follows that flux, as DOLPHOT's; the embedded photometer's
        follow the mean of the band.
    notes : tuple of str
        What could not be converted, and what is not known.
    moving : frozenset of int
        Rows of stars that the embedded photometer found to move between epochs.
    """

    catalog: Catalog
    images: tuple[MeasuredImage, ...]
    exposures: Mapping[str, ExposureTimes]
    flag_mask: int
    alignment: Alignment
    errors_hold_own_light: bool
    notes: tuple[str, ...] = ()
    moving: frozenset[int] = frozenset()


def open_measured_catalog(workdir: WorkDir, settings: Settings) -> MeasuredCatalog:
    """Read the catalogue of a target and what belongs to its images.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its catalogue, the table of inputs and that of exposures must exist.
    settings : Settings
        Sections dolphot and embedded.

    Raises
    ------
    MissingProduct
        If one of them does not.
    UnusableInput
        If a file is damaged, or the inputs are not those of the catalogue.
    """
    path = workdir.dolphot_catalog(settings.dolphot.base)
    record = read_record(path)
    if record is None:
        raise MissingProduct(
            "there is no catalogue yet", where=path, next_step="Materialize dolphot_catalog"
        )
    reference, *inputs = read_input_images(workdir)
    with fits.open(reference.path) as hdus:
        catalog = read_catalog(path).with_positions(read_wcs(hdus[0].header, hdus))
    images, notes = _images(catalog, inputs, path)
    exposures = _exposures(workdir)
    if unknown := sorted({each.exposure for each in images} - set(exposures)):
        raise UnusableInput(
            f"the table of exposures lacks {', '.join(unknown)}",
            where=workdir.target_exposures,
            next_step="Materialize target_exposures, then the photometry",
        )
    embedded = record.recipe.get("stage") == EMBEDDED
    # DOLPHOT knows of no motion: its catalogues have such a star once for each place.
    moving = moving_stars_of(path.with_name(f"{path.name}{KEPT}")) if embedded else None
    if embedded and moving is None:
        notes.append("whether stars move: not checked: the measurement did not keep it")
    alignment = read_alignment_error(
        workdir, {image.exposure: image.detector.key for image in inputs}
    )
    return MeasuredCatalog(
        catalog,
        tuple(images),
        exposures,
        settings.embedded.flag_mask if embedded else settings.dolphot.FlagMask,
        alignment,
        not embedded,
        tuple(filter(None, (*notes, alignment.note))),
        frozenset(() if moving is None else moving.tolist()),
    )


def _images(
    catalog: Catalog, inputs: Sequence[InputImage], path: Path
) -> tuple[list[MeasuredImage], list[str]]:
    by_name = {each.alias: each for each in inputs}
    images, notes = [], []
    for image in catalog.columns.images:
        of = by_name.get(image.name)
        if of is None:
            raise UnusableInput(
                f"no input is called {image.name}",
                where=path,
                next_step="Materialize dolphot_catalog again: its inputs have changed",
            )
        band = f"{of.filter.upper()} of {of.detector.key}"
        try:
            vega = vega_band(of.detector.key, of.filter)
        except UnusableInput as error:
            notes.append(f"{band}: not measured: {error.what}")
            continue
        if not image.filter_label:
            notes.append(f"{band}: not measured: the catalogue has no Vega magnitudes of it")
            continue
        images.append(
            MeasuredImage(
                image,
                of.exposure,
                of.detector.key,
                of.filter.upper(),
                float(10 ** (0.4 * (AB_ZERO_POINT_UJY - vega.ab_mag()))),
                vega.st_mag() - vega.ab_mag(),
                -vega.ab_mag(),
                float(fits.getval(of.path, "GAIN")),
            )
        )
    return images, list(dict.fromkeys(notes))


def _exposures(workdir: WorkDir) -> dict[str, ExposureTimes]:
    table = read_table(workdir.target_exposures)
    return {
        str(row["rootname"]): ExposureTimes(
            int(row["epoch"]),
            float(row["mjd_start"].to_value(u.day)),
            float(row["mjd_mid"].to_value(u.day)),
            float(row["mjd_end"].to_value(u.day)),
            float(row["exptime"].to_value(u.s)),
        )
        for row in table
    }


def read_alignment_error(workdir: WorkDir, detectors: Mapping[str, str]) -> Alignment:
    """The error of the alignment of exposures, from the target's table.

    Of each exposure, the RMS of the fit over the root of its stars, and what fits without some of
    the stars leave in these, in quadrature; of all, the root of the mean square: what is common to
    them does not average out.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    detectors : mapping
        Detector of each exposure by its rootname.

    Returns
    -------
    Alignment
        What the table does not tell is in its note.

    Raises
    ------
    MissingProduct
        If there is a table that cannot be read.
    """
    squares, widths = [], []
    for row in _alignment_rows(workdir.target_alignment):
        rootname = str(np.asarray(row["rootname"]).astype(str))
        if rootname not in detectors:
            continue
        pixel_arcsec = DETECTORS[detectors[rootname]].pixel_scale_arcsec
        rms_arcsec = np.hypot(*(row[name].to_value(u.arcsec) for name in ("rms_ra", "rms_dec")))
        left_pix = np.hypot(
            *(row[f"held_out_offset_{axis}"].to_value(u.pix) for axis in ("x", "y"))
        )
        of_fit = rms_arcsec**2 / max(int(row["n_matches"]), 1)
        squares.append((of_fit + np.nan_to_num(left_pix * pixel_arcsec) ** 2) / 2)
        widths.append(float(row["fwhm"].to_value(u.pix)) * pixel_arcsec)
    known = [each for each in squares if np.isfinite(each)]
    fwhm = [each for each in widths if np.isfinite(each)]
    notes = [] if known else ["the error of the alignment is not known, and taken as 0"]
    if not fwhm:
        notes.append("the width of the stars was not measured: that of their detectors is taken")
        rows = [DETECTORS[key] for key in detectors.values()]
        fwhm = [row.fwhm_pix * row.pixel_scale_arcsec for row in rows]
    error_arcsec = float(np.sqrt(np.mean(known))) if known else 0.0
    return Alignment(error_arcsec, float(np.median(fwhm)), "; ".join(notes))


def _alignment_rows(path: Path) -> QTable:
    if not path.is_file():
        return QTable()
    try:
        table = QTable.read(path, path="exposures", format="hdf5")
    except (OSError, KeyError) as error:
        raise MissingProduct(
            f"the alignment cannot be read: {error}",
            where=path,
            next_step="Materialize target_alignment",
        ) from error
    # A table without these numbers tells no errors.
    return table if set(_OF_ALIGNMENT) <= set(table.colnames) else QTable()

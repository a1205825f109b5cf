"""The chips that are measured, from what was prepared for DOLPHOT: described, then read by parts.

Pixels are those of ``dolphot/inputs.ecsv``: counts times pixel areas, with bad pixels below BADPIX
and saturated ones above SATURATE. They become electrons here. Places are not by the WCS of these
files, which lacks the look-up tables, but by the full one of the aligned exposure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.detection.image_planes import read_wcs
from hst_assets.exposures.keywords import number
from hst_assets.exposures.photometry import Photometry, photometry_of
from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.dolphot.detector_rules import RULES
from hst_assets.photometry.dolphot.input_images import InputImage
from hst_assets.photometry.dolphot.pixel_area import map_of_file, pixel_areas, subarray_offset
from hst_assets.photometry.encircled_energy import encircled_energy
from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.pixel_map import KNOT_STEP_PIX, PixelMap, map_between
from hst_assets.photometry.psf.tiles import Box
from hst_assets.settings import DolphotInputsSettings
from hst_assets.workdir import WorkDir

__all__ = ["ChipFile", "open_images", "reference_shape"]

Floats = NDArray[np.float64]

#: Points along each side of a chip: between them a side is straight to well below a pixel.
_POINTS_A_SIDE = 33
#: Cards of the WCS that an alignment changes.
_PLACE = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
#: They went through a text: relative difference that is none.
_SAME = 1e-9
_ARCSEC_PER_DEG = 3600.0
_REMAKE = "Materialize dolphot_inputs again"


@dataclass(frozen=True, eq=False)
class ChipFile:
    """One chip of an aligned exposure by its headers; `cut` reads its pixels.

    It is an `hst_assets.photometry.psf.tiles.ImageSource`.

    Attributes
    ----------
    image : InputImage
        Its files.
    shape : tuple of int
        (ny, nx).
    gain : float
        Electrons in one count of the exposure.
    electrons_per_value : float
        Of the prepared file: the gain, and DOLPHOT's own scale of fluxes taken back
        (`hst_assets.photometry.dolphot.detector_rules.MaskRules.flux_scale`).
    read_noise_e, exptime_s, mjd : float
        Electrons RMS, seconds, and the middle of the exposure.
    bad_value, saturated_value : float
        BADPIX and SATURATE: good pixels lie between.
    photometry : Photometry
        The zero point in its header.
    chip_code : int
        Number by which DOLPHOT knows the chip: WFC3/IR and ACS/HRC 0, others 1 and 2, WFPC2 0 to 3.
    header : Header
        Of its SCI extension in the aligned exposure.
    area_map : `~pathlib.Path` or None
        The user's map of pixel areas.
    pixel_map : PixelMap
        From the reference to the chip, by all of its distortion.
    box : Box
        The rectangle about it on the reference.
    pixel_arcsec : ndarray, shape (2, 2)
        Arcseconds on the sky (rows) by a pixel in X and in Y (columns), at CRPIX.
    """

    image: InputImage
    shape: tuple[int, int]
    gain: float
    electrons_per_value: float
    read_noise_e: float
    exptime_s: float
    mjd: float
    bad_value: float
    saturated_value: float
    photometry: Photometry
    chip_code: int
    header: fits.Header
    area_map: Path | None
    pixel_map: PixelMap
    box: Box
    pixel_arcsec: Floats

    @property
    def name(self) -> str:
        """How messages call it: ``idxy01abq.chip2``."""
        return self.image.label

    @property
    def band(self) -> str:
        """Detector and filter: ``wfc3_uvis F814W``."""
        return f"{self.image.detector.key} {self.image.filter}"

    @property
    def psf_key(self) -> str:
        """Images of one band and chip have one PSF: ``wfc3_uvis F814W chip 2``.

        So have subarrays of one place, whose pixels are counted from their own first one.
        """
        x, y = self.subarray_offset
        return f"{self.band} chip {self.chip_code}" + (f" from {x}, {y}" if x or y else "")

    @property
    def subarray_offset(self) -> tuple[int, int]:
        """Columns and rows of the full chip before its first pixel."""
        return subarray_offset(self.header)

    @property
    def saturated_e(self) -> float:
        """A pixel with so much is saturated, in the unit of `ChipImage.data_e`."""
        return self.saturated_value * self.electrons_per_value

    @property
    def pixel_scale_arcsec(self) -> float:
        """Side of a pixel at CRPIX, by the matrix CD."""
        a, b, c, d = self.pixel_arcsec.ravel()
        return math.sqrt(abs(a * d - b * c))

    def encircled(self, radius_arcsec: float) -> float:
        """Share of a star's light within a radius, by published tables; NaN if not known."""
        return encircled_energy(self.image.detector.key, self.image.filter, radius_arcsec)

    def cut(self, rows: slice, columns: slice) -> ChipImage:
        """Read some rows and columns; the others stay on the disk.

        Bad pixels have the value of the sky.

        Parameters
        ----------
        rows, columns : slice
            Within the chip.

        Raises
        ------
        MissingProduct, UnusableInput
            If a file is not there, or damaged.
        BadConfiguration
            If the user's map of pixel areas is none.
        """
        factor = np.float32(self.electrons_per_value)
        values, sky = (
            _section(path, rows, columns) * factor
            for path in (self.image.path, self.image.sky_path)
        )
        low, high = (np.float32(limit) * factor for limit in (self.bad_value, self.saturated_value))
        saturated = values >= high
        good = (values > low) & ~saturated
        return ChipImage(
            name=self.name,
            band=self.band,
            data_e=np.where(good | saturated, values, sky),
            good=good,
            saturated=saturated,
            sky_e=sky,
            area=_areas(self, rows, columns).astype(np.float32),
            read_noise_e=self.read_noise_e,
            exptime_s=self.exptime_s,
            mjd=self.mjd,
            pixel_map=self.pixel_map.moved(-columns.start, -rows.start),
            origin=(columns.start, rows.start),
        )


def reference_shape(images: Sequence[InputImage]) -> tuple[int, int]:
    """(ny, nx) of the prepared reference, which is the first of the images."""
    header = fits.getheader(images[0].path)
    return int(header["NAXIS2"]), int(header["NAXIS1"])


def open_images(
    workdir: WorkDir, images: Sequence[InputImage], choices: DolphotInputsSettings
) -> list[ChipFile]:
    """Describe the chips of a run.

    Parameters
    ----------
    workdir : WorkDir
        With the aligned exposures.
    images : sequence of InputImage
        The reference first, as `hst_assets.photometry.dolphot.input_images.read_input_images`
        gives them.
    choices : DolphotInputsSettings
        By which they were prepared.

    Returns
    -------
    list of ChipFile
        In the order of the images; the reference is not among them.

    Raises
    ------
    MissingProduct
        If an aligned exposure is not there.
    UnusableInput
        If a chip is not that of the aligned exposure, a card is missing, or the distortion cannot
        be inverted.
    """
    reference, *chips = images
    with fits.open(reference.path) as hdus:
        frame = read_wcs(hdus[0].header, hdus)
    return [_described(image, frame, workdir, choices) for image in chips]


def _described(
    image: InputImage, frame: WCS, workdir: WorkDir, choices: DolphotInputsSettings
) -> ChipFile:
    prepared = fits.getheader(image.path)
    shape = int(prepared["NAXIS2"]), int(prepared["NAXIS1"])
    science, wcs = _aligned(image, workdir, prepared, shape)
    rules = RULES[image.detector.key]
    gain = number(prepared, "GAIN")
    # Of any camera's image, as tests have them, there is no tag and no scale to take back.
    tagged = rules.tag in prepared
    code = int(number(prepared, rules.tag, 0))
    named = choices.pixel_area_maps
    box = _box_about(_outline(wcs, frame, shape))
    area_map = named.get(f"{image.detector.key}.{code}") or named.get(image.detector.key)
    return ChipFile(
        image=image,
        shape=shape,
        gain=gain,
        electrons_per_value=gain * (rules.flux_scale if tagged else 1.0),
        read_noise_e=number(prepared, "RDNOISE"),
        exptime_s=number(prepared, "EXPTIME"),
        mjd=number(prepared, "MJD-OBS"),
        bad_value=number(prepared, "BADPIX"),
        saturated_value=number(prepared, "SATURATE"),
        photometry=photometry_of(prepared, prepared, image.detector),
        chip_code=code,
        header=science,
        area_map=None if area_map is None else workdir.base / area_map,
        pixel_map=map_between(frame, wcs, box=box),
        box=box,
        pixel_arcsec=np.asarray(wcs.pixel_scale_matrix) * _ARCSEC_PER_DEG,
    )


def _aligned(
    image: InputImage, workdir: WorkDir, prepared: fits.Header, shape: tuple[int, int]
) -> tuple[fits.Header, WCS]:
    """Header and full WCS of a chip in the aligned exposure, which must be that of the pixels."""
    stem = image.path.name.removesuffix(f".chip{image.chip}.fits")
    path = workdir.aligned(f"{stem}.fits")
    if not path.is_file():
        raise MissingProduct(
            "the aligned exposure is missing, which has the full distortion",
            where=path,
            next_step="Materialize aligned_exposures for its visit",
        )
    with fits.open(path) as hdus:
        planes = [hdu for hdu in hdus if hdu.name == "SCI"]
        found = planes[image.chip - 1] if image.chip <= len(planes) else None
        if found is None or found.shape != shape or not _same_place(prepared, found.header):
            raise UnusableInput(
                f"the prepared chip {image.chip} is not that of the aligned exposure",
                where=path,
                next_step=_REMAKE,
            )
        return found.header.copy(), read_wcs(found.header, hdus)


def _same_place(prepared: fits.Header, aligned: fits.Header) -> bool:
    """Whether both have one WCS, as far as both have its cards."""
    both = [card for card in _PLACE if card in prepared and card in aligned]
    return all(
        np.isclose(float(prepared[card]), float(aligned[card]), rtol=_SAME, atol=0) for card in both
    )


def _outline(wcs: WCS, frame: WCS, shape: tuple[int, int]) -> Floats:
    """The border of a chip on the reference, by the outer edges of its pixels."""
    ny, nx = shape
    along = np.linspace(0, 1, _POINTS_A_SIDE)[:-1]
    zero, one = np.zeros_like(along), np.ones_like(along)
    x = np.concatenate([along, one, 1 - along, zero]) * nx - 0.5
    y = np.concatenate([zero, along, one, 1 - along]) * ny - 0.5
    return np.column_stack(frame.all_world2pix(*wcs.all_pix2world(x, y, 0), 0))


def _box_about(outline: Floats) -> Box:
    """The rectangle about an outline, with a knot of the map to spare."""
    (x_first, y_first), (x_last, y_last) = outline.min(axis=0), outline.max(axis=0)
    return (
        float(x_first) - KNOT_STEP_PIX,
        float(x_last) + KNOT_STEP_PIX,
        float(y_first) - KNOT_STEP_PIX,
        float(y_last) + KNOT_STEP_PIX,
    )


def _section(path: Path, rows: slice, columns: slice) -> NDArray[np.float32]:
    """Some rows and columns of a prepared file; the others are not read."""
    try:
        with fits.open(path, memmap=True) as hdus:
            plane: Any = hdus[0].section[rows, columns]
            return np.asarray(plane, dtype=np.float32)
    except FileNotFoundError as error:
        raise MissingProduct("the file is missing", where=path, next_step=_REMAKE) from error
    except (OSError, TypeError, ValueError) as error:
        raise UnusableInput(
            f"the image cannot be read: {error}", where=path, next_step=_REMAKE
        ) from error


def _areas(chip: ChipFile, rows: slice, columns: slice) -> Floats:
    """Pixel areas of a part of a chip, as `dolphot_inputs` had them."""
    shape = rows.stop - rows.start, columns.stop - columns.start
    if chip.area_map is not None:
        x, y = chip.subarray_offset
        return map_of_file(chip.area_map, shape, offset=(x + columns.start, y + rows.start))
    detector = chip.image.detector
    if RULES[detector.key].unit_at_centre:
        return pixel_areas(chip.header, chip.shape)[rows, columns]
    moved = chip.header.copy()
    moved["CRPIX1"] = number(moved, "CRPIX1") - columns.start
    moved["CRPIX2"] = number(moved, "CRPIX2") - rows.start
    return pixel_areas(moved, shape, unit_arcsec=detector.flat_scale_arcsec(chip.header))

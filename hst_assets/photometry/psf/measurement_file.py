"""What a finished measurement keeps, so that more can be measured later exactly as it was.

Artificial stars and forced photometry need the PSFs, the shifts, the sky, the pixels that were left
out, the aperture corrections, the parameters, and the stars with the digits that a catalogue lacks.
They are one HDF5 file beside the catalogue, ``dp0000.psf.h5``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.fitted_stars import FitParameters
from hst_assets.photometry.psf.measure_parameters import MeasureParameters
from hst_assets.photometry.psf.moved_image import moved
from hst_assets.photometry.psf.ray_pixels import rays_on
from hst_assets.photometry.psf.sky_mesh import SkyMesh
from hst_assets.photometry.psf.spline_psf import SplinePsf
from hst_assets.photometry.psf.tiles import ImageSource
from hst_assets.workdir import write_atomically

__all__ = ["KeptImage", "MeasurementFile", "moving_stars_of"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Number of this layout.
_LAYOUT = 1
_REMAKE = "Materialize dolphot_catalog again"
_SQUEEZED: Mapping[str, Any] = {"compression": "gzip", "shuffle": True}


@dataclass(frozen=True, eq=False)
class KeptImage:
    """What is kept of an image.

    Attributes
    ----------
    name, psf_key : str
        As of `hst_assets.photometry.psf.tiles.ImageSource`.
    shape : tuple of int
        (ny, nx) of the whole chip.
    shift_pix : tuple of float
        Added to X and Y on the chip that the WCS gives.
    aperture_correction_mag, aperture_correction_error_mag : float
        Added to a magnitude by the PSF.
    sky : SkyMesh
        What was added to the first estimate of the sky.
    rays : ndarray of int
        Pixels that cosmic rays hit, or that the fit left out
        (`hst_assets.photometry.psf.ray_pixels`).
    """

    name: str
    psf_key: str
    shape: tuple[int, int]
    shift_pix: tuple[float, float]
    aperture_correction_mag: float
    aperture_correction_error_mag: float
    sky: SkyMesh
    rays: NDArray[np.int64]

    def restored(self, image: ChipImage) -> ChipImage:
        """A part of the chip with the sky and the good pixels of the measurement."""
        ny, nx = image.shape
        x, y = image.origin
        sky = image.sky_e + self.sky.at(slice(y, y + ny), slice(x, x + nx))
        return replace(image, sky_e=sky, good=image.good & ~rays_on(image, self.rays))


@dataclass(frozen=True, eq=False)
class MeasurementFile:
    """What is kept of a measurement of n stars on k images.

    Attributes
    ----------
    images : tuple of KeptImage
        The k images.
    psfs : mapping of SplinePsf
        By `KeptImage.psf_key`.
    parameters : MeasureParameters
        How it was measured.
    x, y : ndarray, shape (n,)
        Places of the stars on the reference, 0-based pixels. One that moves has a row for each
        image, at its place there.
    counts_e : ndarray, shape (k, n)
        Electrons of the stars under the PSF; 0 where they were not measured.
    remarks : tuple of str
        What was said of it.
    engine : str
        Which version measured.
    only_on : ndarray of int, shape (n,), or None
        The only image on which the row shines, of a star that moves; -1 of stars at rest. None (of
        earlier files): all are at rest.
    star : ndarray of int, shape (n,), or None
        Number of the row's star in the order of the catalogue, from 0. None: each row's own.
    """

    images: tuple[KeptImage, ...]
    psfs: Mapping[str, SplinePsf]
    parameters: MeasureParameters
    x: Floats
    y: Floats
    counts_e: Floats
    remarks: tuple[str, ...] = ()
    engine: str = ""
    only_on: Integers | None = None
    star: Integers | None = None

    @property
    def image_of_row(self) -> Integers:
        """The only image on which a row shines; -1: all may."""
        at_rest = np.full(len(self.x), -1, dtype=np.int64)
        return at_rest if self.only_on is None else self.only_on

    @property
    def star_of_row(self) -> Integers:
        """Number of each row's star, from 0."""
        return np.arange(len(self.x)) if self.star is None else self.star

    def of(self, rows: NDArray[np.bool_] | Integers) -> MeasurementFile:
        """The same with some of the rows."""
        return replace(
            self,
            x=self.x[rows],
            y=self.y[rows],
            counts_e=self.counts_e[:, rows],
            only_on=self.image_of_row[rows],
            star=self.star_of_row[rows],
        )

    def moved(self, sources: Sequence[ImageSource]) -> list[ImageSource]:
        """The images of the measurement with its shifts.

        Raises
        ------
        UnusableInput
            If they are not the images that were measured, in the same order.
        """
        told = [(source.name, source.psf_key, tuple(source.shape)) for source in sources]
        known = [(image.name, image.psf_key, image.shape) for image in self.images]
        if told != known:
            other = next((a[0] for a, b in zip(told, known, strict=False) if a != b), "one more")
            raise UnusableInput(
                "the images are not those of the measurement", where=other, next_step=_REMAKE
            )
        return [
            moved(source, *image.shift_pix)
            for source, image in zip(sources, self.images, strict=True)
        ]

    def save(self, path: Path) -> Path:
        """Write it in one step."""
        with write_atomically(path) as part, h5py.File(part, "w") as file:
            attributes = file.attrs
            attributes["layout"] = _LAYOUT
            attributes["engine"] = self.engine
            attributes["parameters"] = json.dumps(asdict(self.parameters))
            attributes["remarks"] = json.dumps(self.remarks)
            for name in ("x", "y"):
                file.create_dataset(f"stars/{name}", data=getattr(self, name), **_SQUEEZED)
            counts = self.counts_e.astype(np.float32)
            file.create_dataset("stars/counts_e", data=counts, **_SQUEEZED)
            file.create_dataset("stars/only_on", data=self.image_of_row, **_SQUEEZED)
            file.create_dataset("stars/star", data=self.star_of_row, **_SQUEEZED)
            for number, (key, psf) in enumerate(self.psfs.items()):
                _save_psf(file.create_group(f"psfs/{number:04d}"), key, psf)
            for number, image in enumerate(self.images):
                _save_image(file.create_group(f"images/{number:04d}"), image)
        return path

    @classmethod
    def load(cls, path: Path) -> MeasurementFile:
        """Read it.

        Raises
        ------
        MissingProduct
            If it is not there.
        UnusableInput
            If it is damaged, or of another layout.
        """
        if not path.is_file():
            raise MissingProduct(
                "what the measurement keeps is missing", where=path, next_step=_REMAKE
            )
        try:
            with h5py.File(path) as file:
                if file.attrs["layout"] != _LAYOUT:
                    raise UnusableInput(
                        "it was written by another version", where=path, next_step=_REMAKE
                    )
                return _loaded(file)
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise UnusableInput(
                f"what the measurement keeps is damaged: {error}", where=path, next_step=_REMAKE
            ) from error


def moving_stars_of(path: Path) -> Integers | None:
    """Which stars of a measurement move between epochs, without reading the rest of its file.

    Returns
    -------
    ndarray of int or None
        Their numbers in the order of the catalogue, from 0; None if there is no file, or one of a
        version that does not tell.

    Raises
    ------
    UnusableInput
        If it is damaged.
    """
    if not path.is_file():
        return None
    try:
        with h5py.File(path) as file:
            if "stars/only_on" not in file:
                return None
            moving = file["stars/only_on"][()] >= 0
            return np.unique(file["stars/star"][()][moving].astype(np.int64))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UnusableInput(
            f"what the measurement keeps is damaged: {error}", where=path, next_step=_REMAKE
        ) from error


def _save_psf(group: h5py.Group, key: str, psf: SplinePsf) -> None:
    group.attrs["key"] = key
    group.attrs["cell_pix"] = psf.cell_pix
    group.attrs["radius_pix"] = psf.radius_pix
    group.attrs["width_error_pix2"] = psf.width_error_pix2
    group.create_dataset("coefficients", data=psf.coefficients, **_SQUEEZED)


def _save_image(group: h5py.Group, image: KeptImage) -> None:
    for name in (
        "name", "psf_key", "shape", "shift_pix", "aperture_correction_mag",
        "aperture_correction_error_mag",
    ):  # fmt: skip
        group.attrs[name] = getattr(image, name)
    group.create_dataset("sky_total_e", data=image.sky.total_e, **_SQUEEZED)
    group.create_dataset("sky_n_pixels", data=image.sky.n_pixels, **_SQUEEZED)
    group.create_dataset("rays", data=image.rays, **_SQUEEZED)


def _loaded(file: h5py.File) -> MeasurementFile:
    told = json.loads(file.attrs["parameters"])
    parameters = MeasureParameters(**{**told, "fit": FitParameters(**told["fit"])})
    images = tuple(_load_image(group) for group in file["images"].values())
    psfs = {group.attrs["key"]: _load_psf(group) for group in file["psfs"].values()}
    x, y, counts = (
        file[f"stars/{name}"][()].astype(float) for name in ("x", "y", "counts_e")
    )  # fmt: skip
    rows = {
        name: file[f"stars/{name}"][()].astype(np.int64) if f"stars/{name}" in file else None
        for name in ("only_on", "star")
    }
    if any(each is not None and each.shape != x.shape for each in rows.values()):
        raise ValueError("its stars and their images do not fit each other")
    if not x.shape == y.shape or counts.shape != (len(images), len(x)):
        raise ValueError("its stars and images do not fit each other")
    if missing := {image.psf_key for image in images} - set(psfs):
        raise ValueError(f"no PSF of {', '.join(sorted(missing))}")
    remarks = tuple(json.loads(file.attrs["remarks"]))
    return MeasurementFile(
        images, psfs, parameters, x, y, counts, remarks, str(file.attrs["engine"]), **rows
    )


def _load_psf(group: h5py.Group) -> SplinePsf:
    width, height = (float(each) for each in group.attrs["cell_pix"])
    return SplinePsf(
        group["coefficients"][()],
        (width, height),
        int(group.attrs["radius_pix"]),
        float(group.attrs.get("width_error_pix2", 0.0)),  # not there: of an earlier version
    )


def _load_image(group: h5py.Group) -> KeptImage:
    told = group.attrs
    ny, nx = (int(each) for each in told["shape"])
    dx, dy = (float(each) for each in told["shift_pix"])
    return KeptImage(
        name=str(told["name"]),
        psf_key=str(told["psf_key"]),
        shape=(ny, nx),
        shift_pix=(dx, dy),
        aperture_correction_mag=float(told["aperture_correction_mag"]),
        aperture_correction_error_mag=float(told["aperture_correction_error_mag"]),
        sky=SkyMesh(group["sky_total_e"][()], group["sky_n_pixels"][()]),
        rays=group["rays"][()],
    )

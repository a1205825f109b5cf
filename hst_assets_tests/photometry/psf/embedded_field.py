"""A small field ready for the embedded photometer, and an engine that knows where its stars are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from hst_assets.photometry.psf.chips_in import ChipFile
from hst_assets.photometry.psf.measured_stars import MeasuredStars
from hst_assets.photometry.psf.residual_images import part_of_tile, write_parts
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.dolphot import small_field as field
from hst_assets_tests.photometry.psf.measured_stars import measured_stars

#: Of one count a second, 25.13 in AB and 24.71 of Vega (WFC3 Instrument Handbook: 25.13, 24.70).
PHOTOMETRY = {
    "PHOTMODE": "WFC3 UVIS2 F814W",
    "PHOTFLAM": 1.4994e-19,
    "PHOTPLAM": 8039.0,
    "PHOTBW": 666.0,
    "PCTECORR": "COMPLETE",
    "CCDCHIP": 2,
    "DOL_WFC3": 2,
    "INSTRUME": "WFC3",
    "DETECTOR": "UVIS",
    "FILTER": "F814W",
}
SETTINGS = '[photometry]\nmake = true\nphotometer = "embedded"\n'
_RADIUS_PIX = 4.0


def embedded_field(root: Path, settings: str = SETTINGS) -> WorkDir:
    """The field of `small_field` with zero points, and the aligned exposures."""
    workdir = field.small_field(root, settings)
    workdir.workspace.mkdir(parents=True, exist_ok=True)
    for path in sorted((workdir.dolphot / "inputs").glob("*.fits")):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header.update(PHOTOMETRY)
            data, header = hdus[0].data.copy(), hdus[0].header.copy()
        if path.name.endswith("_flc.chip1.fits"):
            science = fits.ImageHDU(data, header, name="SCI")
            aligned = workdir.aligned(path.name.replace(".chip1", ""))
            fits.HDUList([fits.PrimaryHDU(), science]).writeto(aligned)
    return workdir


class KnowingEngine:
    """Stands in for `hst_assets.photometry.psf.measurement.measure_target`.

    Aperture photometry at the true places; what it was given is in `calls`. It fails as often as
    `fails` says, and then has left a file of one tile.
    """

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.fails: list[Exception] = []
        self.remarks: tuple[str, ...] = ("wfc3_uvis F814W chip 2: PSF of 9 stamps, constant",)

    def __call__(
        self,
        sources: Sequence[ChipFile],
        priors: Mapping[str, Any],
        *,
        folder: Path,
        progress: Callable[[str, float], None],
        **more: Any,
    ) -> MeasuredStars:
        there = sorted(path.name for path in folder.iterdir())
        self.calls.append({"priors": priors, "folder": folder, "there": there, **more})
        (folder / "0.tile0").write_text("done")
        progress("measuring stars", 0.5)
        if self.fails:
            raise self.fails.pop(0)
        x, y, _ = field.truth()
        images = [chip.cut(slice(0, chip.shape[0]), slice(0, chip.shape[1])) for chip in sources]
        counts = np.array([_aperture(image, x, y) for image in images])
        parts = [part_of_tile(each, each.data_e - each.sky_e, (0, 99, 0, 99)) for each in images]
        write_parts(parts, folder / "tile0.residuals.npz")
        zero = np.zeros(len(x))
        return measured_stars(
            counts,
            np.sqrt(np.abs(counts) + 1000),
            x=x,
            y=y,
            x_error=zero,
            y_error=zero,
            object_type=np.ones(len(x), np.int32),
            image_names=tuple(chip.name for chip in sources),
            remarks=self.remarks,
        )


def _aperture(image: Any, x: np.ndarray, y: np.ndarray) -> list[float]:
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    light = np.where(image.good, image.data_e - image.sky_e, 0)
    places = zip(*image.pixel_map(x, y), strict=True)
    return [float(light[np.hypot(columns - a, rows - b) < _RADIUS_PIX].sum()) for a, b in places]

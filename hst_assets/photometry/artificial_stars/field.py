"""Where artificial stars may be put: pixels of the reference that some exposure covers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.detection.image_planes import read_wcs
from hst_assets.failures import UnusableInput
from hst_assets.photometry.dolphot.input_images import InputImage
from hst_assets.sky_geometry import pixel_scale_arcsec

__all__ = ["StarField", "star_field"]

#: Points along each side of a chip: between them a side is straight to well below a pixel.
_POINTS_A_SIDE = 65


class StarField:
    """The field of a run.

    Parameters
    ----------
    covered : ndarray of bool of shape (ny, nx)
        Pixels of the reference image that are good and lie on at least one chip.
    wcs : `~astropy.wcs.WCS`
        Of the reference image.
    """

    def __init__(self, covered: NDArray[np.bool_], wcs: WCS) -> None:
        self.covered = covered
        self.wcs = wcs

    @property
    def scale_arcsec(self) -> float:
        """Arcseconds a pixel of the reference image."""
        return pixel_scale_arcsec(self.wcs)

    def position(self, ra_deg: float, dec_deg: float) -> tuple[float, float]:
        """DOLPHOT's X, Y (numpy index + 0.5) of a place on the sky."""
        x, y = self.wcs.all_world2pix(ra_deg, dec_deg, 0)
        return float(x) + 0.5, float(y) + 0.5


def star_field(images: Sequence[InputImage]) -> StarField:
    """The field of a run's images.

    Parameters
    ----------
    images : sequence of InputImage
        The reference first.

    Raises
    ------
    UnusableInput
        If no chip covers a good pixel of the reference.
    """
    reference, *chips = images
    with fits.open(reference.path) as hdus:
        header = hdus[0].header
        data = np.asarray(hdus[0].data)
        # Masked pixels are at or below BADPIX (`hst_assets.photometry.dolphot.masks`).
        good = np.isfinite(data) & (data > float(header["BADPIX"]))
        wcs = read_wcs(header, hdus)
    covered = np.zeros(good.shape, dtype=bool)
    for chip in chips:
        covered |= _inside(_outline(chip, wcs), good.shape)
    covered &= good
    if not covered.any():
        raise UnusableInput("no chip covers a good pixel of the reference", where=reference.path)
    return StarField(covered, wcs)


def _outline(chip: InputImage, wcs: WCS) -> NDArray[np.float64]:
    """The border of a chip in numpy's pixels of the reference, shape (n, 2)."""
    with fits.open(chip.path) as hdus:
        own = read_wcs(hdus[0].header, hdus)
        ny, nx = hdus[0].shape
    along = np.linspace(0, 1, _POINTS_A_SIDE)[:-1]
    zero, one = np.zeros_like(along), np.ones_like(along)
    x = np.concatenate([along, one, 1 - along, zero]) * nx - 0.5
    y = np.concatenate([zero, along, one, 1 - along]) * ny - 0.5
    return np.column_stack(wcs.all_world2pix(*own.all_pix2world(x, y, 0), 0))


def _inside(outline: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose middle lies within a polygon."""
    from regions import PixCoord, PolygonPixelRegion

    region = PolygonPixelRegion(PixCoord(*outline.T))
    image = region.to_mask(mode="center").to_image(shape)
    return np.zeros(shape, dtype=bool) if image is None else np.asarray(image, dtype=bool)

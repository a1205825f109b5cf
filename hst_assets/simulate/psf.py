"""Point spread functions: an obscured aperture with spider vanes, blurred by the pixel.

The pupil (2.4 m, 0.33 central obscuration, four vanes) has some defocus and spherical
aberration; its diffraction pattern is averaged over the band, then convolved with charge
diffusion, jitter and the pixel. Close enough to HST's for anything that finds, centres and
measures stars without knowing the PSF.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hst_assets.simulate.bands import Band

__all__ = ["PsfModel", "psf_model"]

OVERSAMPLING = 8
HALF_SIZE_PIX = 58
_GRID = 1024
_APERTURE_RADIUS_M = 1.2
_OBSCURATION = 0.33
_VANE_HALF_WIDTH_M = 0.0132
_DEFOCUS_RMS_M = 15e-9
_SPHERICAL_RMS_M = 12e-9
_JITTER_ARCSEC = 0.007
_WAVELENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0)

#: Charge diffusion or inter-pixel capacitance as the sigma of a Gaussian (pixels).
DIFFUSION_PIX = {
    "wfc3_uvis": 0.36,
    "wfc3_ir": 0.25,
    "acs_wfc": 0.40,
    "acs_hrc": 0.42,
    "wfpc2": 0.45,
}


@dataclass(frozen=True, eq=False)
class PsfModel:
    """A pixel-integrated PSF on a fine grid.

    Attributes
    ----------
    grid : ndarray
        Share of a star's light that a pixel centred there receives; `OVERSAMPLING` samples to
        a pixel, the star at the middle.
    pixel_arcsec : tuple of float
        Width and height of a pixel.
    """

    grid: NDArray[np.float64]
    pixel_arcsec: tuple[float, float]

    def stamp(self, x: float, y: float, half: int) -> tuple[NDArray[np.float64], int, int]:
        """A star of unit flux at pixel (x, y), 0-based.

        Returns
        -------
        stamp : ndarray, shape (2 half + 1, 2 half + 1)
            Share of the light in each pixel.
        x0, y0 : int
            Pixel of the image where ``stamp[0, 0]`` belongs.
        """
        half = min(half, HALF_SIZE_PIX)
        x0, y0 = int(np.floor(x + 0.5)) - half, int(np.floor(y + 0.5)) - half
        middle = self.grid.shape[0] // 2
        gx, gy = middle + (x0 - x) * OVERSAMPLING, middle + (y0 - y) * OVERSAMPLING
        jx, jy = int(np.floor(gx)), int(np.floor(gy))
        fx, fy = gx - jx, gy - jy
        span = 2 * half * OVERSAMPLING + 1

        def phase(row: int, column: int) -> NDArray[np.float64]:
            return self.grid[row : row + span : OVERSAMPLING, column : column + span : OVERSAMPLING]

        stamp = (1 - fy) * ((1 - fx) * phase(jy, jx) + fx * phase(jy, jx + 1))
        stamp += fy * ((1 - fx) * phase(jy + 1, jx) + fx * phase(jy + 1, jx + 1))
        return stamp, x0, y0

    @property
    def peak(self) -> float:
        """Share of the light in the pixel on which a star is centred."""
        return float(self.grid.max())

    def net_encircled(self, radius_arcsec: float, annulus_arcsec: tuple[float, float]) -> float:
        """Share of a star's light that aperture photometry measures.

        What the aperture holds, less what the median of the sky annulus takes away.
        """
        ny, nx = self.grid.shape
        steps = (self.pixel_arcsec[0] / OVERSAMPLING, self.pixel_arcsec[1] / OVERSAMPLING)
        dx = (np.arange(nx) - nx // 2) * steps[0]
        dy = (np.arange(ny) - ny // 2) * steps[1]
        radius = np.hypot(dx[None, :], dy[:, None])
        inside = radius <= radius_arcsec
        ring = (radius >= annulus_arcsec[0]) & (radius <= annulus_arcsec[1])
        background = float(np.median(self.grid[ring])) if ring.any() else 0.0
        return float((self.grid[inside] - background).sum()) / OVERSAMPLING**2


@lru_cache(maxsize=32)
def psf_model(detector_key: str, band: Band, pixel_arcsec: tuple[float, float]) -> PsfModel:
    """The PSF of a detector in a band.

    Parameters
    ----------
    detector_key : str
        Key of `hst_assets.detectors.DETECTORS`.
    band : Band
        Wavelength and width.
    pixel_arcsec : tuple of float
        Width and height of a pixel: the PSF is round on the sky, not in pixels.
    """
    pattern = sum(
        _diffraction(1e-10 * (band.photplam + step * band.photbw), pixel_arcsec)
        for step in _WAVELENGTHS
    )
    pattern = np.asarray(pattern) / len(_WAVELENGTHS)
    frequency = np.fft.fftfreq(_GRID)
    blur = []
    for width in pixel_arcsec:
        sigma = np.hypot(DIFFUSION_PIX[detector_key], _JITTER_ARCSEC / width) * OVERSAMPLING
        blur.append(
            np.sinc(frequency * OVERSAMPLING) * np.exp(-2 * (np.pi * sigma * frequency) ** 2)
        )
    transform = np.fft.fft2(np.fft.ifftshift(pattern)) * np.outer(blur[1], blur[0])
    image = np.fft.fftshift(np.fft.ifft2(transform).real) * OVERSAMPLING**2
    middle, half = _GRID // 2, HALF_SIZE_PIX * OVERSAMPLING + OVERSAMPLING
    cut = slice(middle - half, middle + half + 1)
    return PsfModel(np.ascontiguousarray(image[cut, cut]), pixel_arcsec)


def _diffraction(wavelength_m: float, pixel_arcsec: tuple[float, float]) -> NDArray[np.float64]:
    """Diffraction pattern at one wavelength, sum 1, on the oversampled grid."""
    axes = [
        (np.arange(_GRID) - _GRID // 2)
        * (wavelength_m / (_GRID * np.radians(width / OVERSAMPLING / 3600.0)))
        for width in pixel_arcsec
    ]
    # The pupil is a hundredth of the grid: what lies about it is not computed.
    across_x, across_y = (np.flatnonzero(np.abs(axis) <= _APERTURE_RADIUS_M) for axis in axes)
    wave = np.zeros((_GRID, _GRID), complex)
    wave[np.ix_(across_y, across_x)] = _pupil(axes[0][across_x], axes[1][across_y], wavelength_m)
    power = np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(wave)))) ** 2
    normalised: NDArray[np.float64] = power / power.sum()
    return normalised


def _pupil(
    x_m: NDArray[np.float64], y_m: NDArray[np.float64], wavelength_m: float
) -> NDArray[np.complex128]:
    """The wave in the pupil, at places of a grid: rows are of `y_m`, columns of `x_m`."""
    x, y = x_m[None, :], y_m[:, None]
    radius = np.hypot(x, y)
    inner = _APERTURE_RADIUS_M * _OBSCURATION
    pupil = (radius <= _APERTURE_RADIUS_M) & (radius >= inner)
    for vane in range(4):
        angle = np.pi / 4 + vane * np.pi / 2
        across = np.abs(np.cos(angle) * y - np.sin(angle) * x)
        along = np.cos(angle) * x + np.sin(angle) * y
        pupil &= ~((across < _VANE_HALF_WIDTH_M) & (along > 0))
    scaled = (radius / _APERTURE_RADIUS_M) ** 2
    path_m = _SPHERICAL_RMS_M * np.sqrt(5.0) * (6 * scaled**2 - 6 * scaled + 1)
    path_m += _DEFOCUS_RMS_M * np.sqrt(3.0) * (2 * scaled - 1)
    return np.asarray(pupil * np.exp(2j * np.pi * path_m / wavelength_m))

"""The noise of a drizzled image, pixel by pixel, from its header, weights and context.

A product's pixel holds the mean rate of the native pixels dropped on it. With source ``S``, sky
``B`` and dark current ``D`` in electrons per second and product pixel, read noise ``r`` of each of
``n`` exposures of together ``T`` seconds, and ``a`` the area of a product's pixel over that of a
native one, its variance in (electrons per second) squared is ::

    ERR**2 = (S + B + D) / t + a * (n / T) * r**2 / t

where ``t`` is the exposure time that reached the pixel. With ``EXP`` weights that is ``WHT / a``;
with others the time of the exposures whose bits are set in ``CTX``.

This is the error that adds up in quadrature: neighbouring pixels share native pixels, so that
their scatter is smaller than ``ERR`` by the ratio of `correlation_ratio`, and that of a sum over a
small aperture by `aperture_factor` (Casertano et al. 2000, AJ 120, 2747, appendix A; Fruchter &
Hook 2002, PASP 114, 144, section 7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput

__all__ = [
    "Exposed",
    "NoiseModel",
    "aperture_factor",
    "correlation_ratio",
    "drop_ratio",
    "error_plane",
    "exposed",
    "noise_model",
]

Image = NDArray[np.float32]

#: A pixel this many times above the noise of the background tells its own photons; fainter ones
#: are taken from the mean of 3 x 3, which hardly follows the noise.
_SOURCE_SIGMA = 3.0
#: Kernels for whose drops Casertano's formula holds, and the one without any overlap.
_SQUARE_DROPS = ("square", "turbo")


@dataclass(frozen=True)
class NoiseModel:
    """What of a product's header decides its noise.

    Attributes
    ----------
    gain_e : float
        Electrons in one count of SCI.
    read_noise_e : float
        Of one exposure, in electrons.
    dark_e_per_s : float
        In a native pixel.
    sky_per_s : float
        Sky that was subtracted, in counts per second and native pixel.
    scale_arcsec, pixfrac : float
        The product's pixel, and the drop over the native pixel.
    kernel, weight_type : str
        As in `DrizzleSettings`.
    exptimes_s, native_scales_arcsec : tuple of float
        Of the chip behind each bit of CTX.
    exptime_s : float
        Of all exposures together.
    rate : bool
        Whether SCI is per second, or counts of the whole exposure time.
    """

    gain_e: float
    read_noise_e: float
    dark_e_per_s: float
    sky_per_s: float
    scale_arcsec: float
    pixfrac: float
    kernel: str
    weight_type: str
    exptimes_s: tuple[float, ...]
    native_scales_arcsec: tuple[float, ...]
    exptime_s: float
    rate: bool

    @property
    def native_scale_arcsec(self) -> float:
        """Typical native pixel: the median over chips."""
        return float(np.median(self.native_scales_arcsec))

    @property
    def drop_ratio(self) -> float:
        """Side of the drop over that of the product's pixel."""
        return drop_ratio(self.pixfrac, self.scale_arcsec, self.native_scale_arcsec)


def noise_model(primary: fits.Header, *, where: Path | None = None) -> NoiseModel:
    """Read the model from the primary header of a drizzled product.

    Raises
    ------
    UnusableInput
        If a card is missing.
    """
    try:
        n_bits = sum(1 for key in primary if key.startswith("D") and key.endswith("DEXP"))
        bits = range(1, n_bits + 1)
        return NoiseModel(
            gain_e=float(primary["GAIN"]),
            read_noise_e=float(primary["RDNOISE"]),
            dark_e_per_s=float(primary["DARKCUR"]),
            sky_per_s=float(primary["SKYMEAN"]),
            scale_arcsec=float(primary["D_SCALE"]),
            pixfrac=float(primary["D_PIXFRC"]),
            kernel=str(primary["D_KERNEL"]),
            weight_type=str(primary["D_WTTYPE"]),
            exptimes_s=tuple(float(primary[f"D{bit:03d}DEXP"]) for bit in bits),
            native_scales_arcsec=tuple(float(primary[f"D{bit:03d}ISCL"]) for bit in bits),
            exptime_s=float(primary["EXPTIME"]),
            rate=str(primary["D_UNITS"]) == "cps",
        )
    except KeyError as error:
        raise UnusableInput(
            f"its header does not give the noise: {error}",
            where=where,
            next_step="Drizzle it again",
        ) from error


# ------------------------------------------------------------------------ what reached a pixel


@dataclass(frozen=True)
class Exposed:
    """What reached each pixel of a product; all arrays are (ny, nx), 0 where nothing did.

    Attributes
    ----------
    time_s : ndarray
        Effective exposure time.
    number : ndarray
        Chips that reached it.
    reads_per_s : ndarray
        Their number over their exposure time: each was read once.
    area : ndarray
        Area of the product's pixel over that of the native pixels that fell on it.
    """

    time_s: Image
    number: Image
    reads_per_s: Image
    area: Image


def exposed(model: NoiseModel, wht: Image, ctx: NDArray[np.int32]) -> Exposed:
    """Exposure time and reads of each pixel.

    Parameters
    ----------
    model : NoiseModel
        Of the product.
    wht : ndarray (ny, nx)
        Weights.
    ctx : ndarray (ny, nx) or (n, ny, nx)
        Context: one bit a chip, 32 chips a plane.
    """
    planes = ctx if ctx.ndim == 3 else ctx[None]
    time, number, scales = (np.zeros(wht.shape, np.float32) for _ in range(3))
    for index, (exptime, native) in enumerate(
        zip(model.exptimes_s, model.native_scales_arcsec, strict=True)
    ):
        plane, bit = divmod(index, 32)
        if plane < len(planes):
            # Bit 32 is the sign of a 32-bit integer.
            hit = (planes[plane].astype(np.uint32) >> np.uint32(bit)) & np.uint32(1) > 0
            time[hit] += exptime
            number[hit] += 1.0
            scales[hit] += native
    reached = (number > 0) & (wht > 0)
    many = np.maximum(number, 1.0)
    area = np.where(reached, (model.scale_arcsec * many / np.maximum(scales, 1e-9)) ** 2, 0.0)
    effective = time
    if model.weight_type == "EXP":
        effective = np.where(reached, wht / np.where(area > 0, area, 1.0), 0.0)
    return Exposed(
        time_s=np.where(reached, effective, 0.0).astype(np.float32),
        number=np.where(reached, number, 0.0).astype(np.float32),
        reads_per_s=np.where(reached, number / np.maximum(time, 1e-9), 0.0).astype(np.float32),
        area=area.astype(np.float32),
    )


def error_plane(rate: Image, reached: Exposed, model: NoiseModel) -> Image:
    """One-sigma errors of a product's pixels, in counts per second, NaN where nothing reached.

    Parameters
    ----------
    rate : ndarray (ny, nx)
        SCI in counts per second.
    reached : Exposed
        What reached its pixels.
    model : NoiseModel
        Of the product.
    """
    time, area = reached.time_s, reached.area
    covered = time > 0
    seconds = np.where(covered, time, 1.0)
    native_area = float(np.mean(np.square(model.native_scales_arcsec)))
    sky = model.gain_e * model.sky_per_s * model.scale_arcsec**2 / native_area
    background = sky + model.dark_e_per_s * area
    reads = area * reached.reads_per_s * model.read_noise_e**2
    quiet = np.sqrt((np.maximum(background, 0.0) + reads) / seconds)
    electrons = _source_e_per_s(rate * model.gain_e, quiet, covered)
    photons = np.maximum(electrons + background, 0.0)
    error = np.sqrt((photons + reads) / seconds) / model.gain_e
    return np.where(covered, error, np.nan).astype(np.float32)


def _source_e_per_s(electrons: Image, quiet: Image, covered: NDArray[np.bool_]) -> Image:
    """Light above the subtracted sky, without following the noise where there is little."""
    from scipy.ndimage import uniform_filter

    usable = covered & np.isfinite(electrons)
    filled = np.where(usable, electrons, 0.0).astype(np.float32)
    share = uniform_filter(usable.astype(np.float32), 3)
    smooth = uniform_filter(filled, 3) / np.maximum(share, 1.0 / 18.0)
    chosen: Image = np.where(filled > _SOURCE_SIGMA * quiet, filled, smooth)
    return chosen


# ------------------------------------------------------------------------------- correlation


def drop_ratio(pixfrac: float, scale_arcsec: float, native_scale_arcsec: float) -> float:
    """Side of the drop over that of the product's pixel."""
    return pixfrac * native_scale_arcsec / scale_arcsec


def correlation_ratio(ratio: float, kernel: str = "square") -> float | None:
    """``R``: the error that adds up over the scatter of single pixels.

    Parameters
    ----------
    ratio : float
        Of drop and product pixel (`drop_ratio`).
    kernel : str, optional
        The drop's shape. A point shares nothing; for gaussian and lanczos3 there is no formula.

    Returns
    -------
    float or None
        ``1 / (1 - r/3)`` up to r = 1, ``r / (1 - 1/(3 r))`` above, for exposures at many
        sub-pixel positions.
    """
    return _over_block(ratio, 1.0, kernel)


def aperture_factor(ratio: float, n_pixels: float, kernel: str = "square") -> float | None:
    """By what the quadratic sum of ERR over an aperture of so many pixels is to be multiplied.

    ``1 - r / (3 sqrt(n))`` for apertures wider than a drop: 1 for large ones.
    """
    over = _over_block(ratio, math.sqrt(n_pixels), kernel)
    return None if over is None else 1.0 / over


def _over_block(ratio: float, side_pix: float, kernel: str) -> float | None:
    if kernel == "point":
        return 1.0
    if kernel not in _SQUARE_DROPS:
        return None
    relative = ratio / side_pix
    if relative <= 1.0:
        return 1.0 / (1.0 - relative / 3.0)
    return relative / (1.0 - 1.0 / (3.0 * relative))

"""A first PSF of any detector and filter, from optics: before stars of the exposures say better.

Its transfer function is the product of

- that of an annular aperture (O'Neill 1956, J. Opt. Soc. Am. 46, 285), averaged over the band;
- that of small errors of the wavefront, random with a Gaussian correlation (as Hufnagel & Stanley
  1964, J. Opt. Soc. Am. 54, 52, have it): exp(-k**2 (1 - exp(-(rho / l)**2))), where
  k = 2 pi error / wavelength and rho is the frequency over the cut-off;
- a Gaussian for what blurs: charge diffusion, crosstalk, jitter, focus;
- the pixel's;
- and a share of the light in far wings, of surface brightness (r**2 + a**2)**-1.5, whose transfer
  function is exp(-2 pi a f).

The sum over all pixels is 1. Spiders, focus and the place on the chip are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft2

from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.photometry.psf.spline_psf import OVERSAMPLING, SplinePsf, spline_psf

__all__ = ["prior_psf"]

Floats = NDArray[np.float64]

_APERTURE_M = 2.4
_ARCSEC = np.pi / 648000.0
#: Errors of the wavefront, micron RMS, and their correlation as a share of the cut-off: what the
#: published encircled energy of ACS/HRC asks for. (From memory: the polishing errors of the primary
#: mirror are 18 nm, Krist & Burrows 1995, Appl. Opt. 34, 4951.)
_WAVEFRONT_UM, _CORRELATION = 0.018, 0.07
#: Wavelengths at which a band is evaluated.
_IN_BAND = 7
#: Frequencies beyond which less than 1e-3 of the blurred light is left are not sampled.
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class _Optics:
    """What is known of a camera: at some wavelengths, linear between them.

    Attributes
    ----------
    obscuration : float
        Radius of the central obscuration over that of the aperture.
    wavelengths_um : tuple of float
        For which the following are given.
    blur_pix : tuple of float
        Standard deviation of the Gaussian, native pixels.
    wing_share : tuple of float
        Share of the light in the far wings.
    wing_arcsec : float
        Their core radius, a.
    """

    obscuration: float
    wavelengths_um: tuple[float, ...]
    blur_pix: tuple[float, ...]
    wing_share: tuple[float, ...]
    wing_arcsec: float


#: By camera. Share and core radius of the wings are those that agree best with the published
#: encircled energy (`hst_assets.photometry.encircled_energy`): within 0.012 at 0.4 arcsec in every
#: filter, within 0.03 at other radii from 0.15 arcsec on (UVIS: 0.045 at 1 arcsec in the
#: ultraviolet). Blur:
#:
#: wfc3_uvis, wfc3_ir
#:     For the FWHM before pixelation of the WFC3 Instrument Handbook, tables 6.7 and 7.5. The real
#:     exposures at hand have one faint star in F350LP (0.6 pixel; 0.52 here) and GJ 1214 in F130N
#:     (0.22; 0.305 here).
#: acs_hrc
#:     Measured on 90 isolated stars of three exposures of 47 Tuc in F555W and F606W: 0.41 pixel,
#:     68 % of them from 0.38 to 0.46. More at 400 nm in the proportion of the diffusion kernels of
#:     the ACS Instrument Handbook, section 5.6.1; below 330 nm and beyond 700 nm it is a guess.
#: acs_wfc
#:     No real exposure was at hand: from the encircled energy within 0.1 arcsec, less the variance
#:     by which that is too wide for HRC (0.13 pixel squared: drizzling). The handbook's kernel at
#:     400 nm has 0.62 pixel. Its FWHM of stars in F550M (section 5.6.6: 0.10 to 0.13 arcsec; HRC
#:     0.060 to 0.073) are a fifth above those of both, which leaves WFC as wide to HRC as here.
#: wfpc2
#:     Measured on 60 isolated stars a chip of an exposure of omega Centauri in F555W: medians of
#:     0.32 in PC, 0.32 to 0.36 in WF, single stars +-0.06; taken for all wavelengths. Wings: for
#:     1/1.096 within 0.5 arcsec in F555W, which is by definition.
#:
#: Obscurations of ACS and WFPC2 are those of TinyTim's tables of the pupil; that of WFC3 is taken
#: to be the telescope's.
_OPTICS = {
    "wfc3_uvis": _Optics(
        obscuration=0.33,
        wavelengths_um=(0.22, 0.30, 0.45, 0.65, 0.95),
        blur_pix=(0.76, 0.68, 0.58, 0.485, 0.25),
        wing_share=(0.229, 0.152, 0.090, 0.073, 0.066),
        wing_arcsec=0.33,
    ),
    "wfc3_ir": _Optics(
        obscuration=0.33,
        wavelengths_um=(0.98, 1.30, 1.60),
        blur_pix=(0.33, 0.305, 0.27),
        wing_share=(0.110, 0.125, 0.136),
        wing_arcsec=0.29,
    ),
    "acs_wfc": _Optics(
        obscuration=0.33,
        wavelengths_um=(0.43, 0.60, 0.78, 0.91),
        blur_pix=(0.62, 0.58, 0.46, 0.50),
        wing_share=(0.119, 0.090, 0.074, 0.133),
        wing_arcsec=0.286,
    ),
    "acs_hrc": _Optics(
        obscuration=0.33,
        wavelengths_um=(0.22, 0.33, 0.50, 0.70, 0.81, 0.91),
        blur_pix=(0.45, 0.44, 0.42, 0.41, 0.41, 0.41),
        wing_share=(0.197, 0.126, 0.077, 0.061, 0.129, 0.279),
        wing_arcsec=0.476,
    ),
    "wfpc2 PC": _Optics(
        obscuration=0.425,
        wavelengths_um=(0.55,),
        blur_pix=(0.33,),
        wing_share=(0.09,),
        wing_arcsec=0.4,
    ),
    "wfpc2 WF": _Optics(
        obscuration=0.425,
        wavelengths_um=(0.55,),
        blur_pix=(0.33,),
        wing_share=(0.09,),
        wing_arcsec=0.4,
    ),
}


def prior_psf(
    detector: str,
    *,
    pivot_um: float,
    bandwidth_um: float,
    radius_pix: int,
    chip: int = 1,
    pixel_arcsec: ArrayLike | None = None,
) -> SplinePsf:
    """The PSF of a detector and filter before any star is seen.

    Parameters
    ----------
    detector : str
        Key of `hst_assets.detectors.DETECTORS`.
    pivot_um, bandwidth_um : float
        Pivot wavelength and RMS width of the band, micron: PHOTPLAM and PHOTBW of headers, which
        are in Angstrom. The band is taken as a rectangle of this RMS width, not below 0.4 and not
        beyond 1.6 times the pivot.
    radius_pix : int
        As of `SplinePsf`.
    chip : int, optional
        Number of the chip; it tells the PC of WFPC2 (1) from its WF (2, 3, 4).
    pixel_arcsec : array_like, shape (2, 2), optional
        Arcseconds on the sky (rows) by a pixel in X and in Y (columns), as 3600 times the matrix CD
        of a header: pixels of ACS are not square, and the PSF is not round on them. By default
        square pixels of the detector's nominal scale.

    Returns
    -------
    SplinePsf
        One for the whole chip, symmetric about the star. The sum within its radius is the share of
        light there; it would be 1 over all pixels.

    Raises
    ------
    UnusableInput
        If there is no such detector, or the band is not between 0.1 and 2.5 micron.
    """
    if detector not in DETECTORS:
        raise UnusableInput(f"no detector is called {detector!r}")
    if not (0.1 <= pivot_um <= 2.5 and bandwidth_um >= 0):
        raise UnusableInput(f"no band of {pivot_um} micron, {bandwidth_um} wide, is known")
    wfpc2 = "wfpc2 PC" if chip == 1 else "wfpc2 WF"
    optics = _OPTICS[wfpc2 if detector == "wfpc2" else detector]
    if pixel_arcsec is None:
        row = DETECTORS[detector]
        scale = row.flat_scales_arcsec[chip - 1] if detector == "wfpc2" else row.pixel_scale_arcsec
        pixel_arcsec = scale * np.eye(2)
    values = _values(
        optics,
        np.asarray(pixel_arcsec, dtype=float),
        _wavelengths_um(pivot_um, bandwidth_um),
        half=(radius_pix + 2) * OVERSAMPLING,
    )
    return spline_psf(values, radius_pix=radius_pix)


def _wavelengths_um(pivot_um: float, bandwidth_um: float) -> Floats:
    half_width = np.sqrt(3.0) * bandwidth_um
    first = max(pivot_um - half_width, 0.4 * pivot_um)
    last = min(pivot_um + half_width, 1.6 * pivot_um)
    steps = (np.arange(_IN_BAND) + 0.5) / _IN_BAND
    return np.asarray(first + (last - first) * steps)


def _values(optics: _Optics, pixel_arcsec: Floats, wavelengths_um: Floats, *, half: int) -> Floats:
    """Share of light in a pixel at steps of 1/`OVERSAMPLING`, `half` steps to each side.

    The transform is of a field large enough that what comes round its edges is negligible.
    """
    finer = _finer(optics, pixel_arcsec, wavelengths_um)
    per_pixel = OVERSAMPLING * finer
    n_pix = max(128, 1 << int(np.ceil(np.log2(3 * half / OVERSAMPLING))))
    n = n_pix * per_pixel
    fx = np.fft.rfftfreq(n, 1 / per_pixel)
    fy = np.fft.fftfreq(n, 1 / per_pixel)[:, None]
    to_sky = np.linalg.inv(pixel_arcsec).T
    on_sky = np.hypot(to_sky[0, 0] * fx + to_sky[0, 1] * fy, to_sky[1, 0] * fx + to_sky[1, 1] * fy)
    transfer = _radial(optics, on_sky, wavelengths_um)
    transfer *= np.exp(-2 * (np.pi * _blur_pix(optics, wavelengths_um)) ** 2 * (fx**2 + fy**2))
    transfer *= np.sinc(fx) * np.sinc(fy)
    shares = irfft2(transfer, s=(n, n)) * per_pixel**2
    middle = np.roll(shares, (half * finer, half * finer), axis=(0, 1))
    return np.asarray(middle[: 2 * half * finer + 1 : finer, : 2 * half * finer + 1 : finer])


def _finer(optics: _Optics, pixel_arcsec: Floats, wavelengths_um: Floats) -> int:
    """By how much the lattice must be finer than the spline's for the frequencies there are."""
    smallest = np.linalg.svd(pixel_arcsec, compute_uv=True)[1].max()
    cut_off = _APERTURE_M / (wavelengths_um.min() * 1e-6) * _ARCSEC * smallest
    blurred_away = np.sqrt(-np.log(_NEGLIGIBLE) / 2) / (np.pi * _blur_pix(optics, wavelengths_um))
    return int(np.clip(np.ceil(2 * min(cut_off, blurred_away) / OVERSAMPLING), 1, 4))


def _blur_pix(optics: _Optics, wavelengths_um: Floats) -> float:
    return float(np.interp(wavelengths_um.mean(), optics.wavelengths_um, optics.blur_pix))


def _radial(optics: _Optics, frequency: Floats, wavelengths_um: Floats) -> Floats:
    """Transfer by optics and wings at frequencies of the sky, cycles an arcsecond."""
    knots = np.linspace(0.0, float(frequency.max()), 4000)
    mean = np.zeros_like(knots)
    for wavelength_um in wavelengths_um:
        rho = np.minimum(wavelength_um * 1e-6 / _APERTURE_M / _ARCSEC * knots, 1.0)
        phase = (2 * np.pi * _WAVEFRONT_UM / wavelength_um) ** 2
        errors = np.exp(-phase * -np.expm1(-((rho / _CORRELATION) ** 2)))
        share = np.interp(wavelength_um, optics.wavelengths_um, optics.wing_share)
        wings = 1 - share * -np.expm1(-2 * np.pi * optics.wing_arcsec * knots)
        mean += _annular_transfer(rho, optics.obscuration) * errors * wings
    return np.asarray(np.interp(frequency, knots, mean / len(wavelengths_um)))


def _annular_transfer(rho: Floats, obscuration: float) -> Floats:
    """O'Neill's transfer function: overlap of an annulus with itself, shifted by rho diameters."""
    outer = _overlap(rho, 1.0, 1.0)
    inner = _overlap(rho, obscuration, obscuration)
    both = _overlap(rho, 1.0, obscuration)
    return np.asarray((outer + inner - 2 * both) / (np.pi * (1 - obscuration**2)))


def _overlap(rho: Floats, large: float, small: float) -> Floats:
    """Area common to circles of two radii whose centres are 2 rho apart."""
    distance = np.maximum(2 * rho, 1e-12)
    within = np.clip(distance, large - small, large + small)
    within = np.maximum(within, 1e-12)
    to_large = np.clip((within**2 + large**2 - small**2) / (2 * within * large), -1, 1)
    to_small = np.clip((within**2 + small**2 - large**2) / (2 * within * small), -1, 1)
    angle_large, angle_small = np.arccos(to_large), np.arccos(to_small)
    area = large**2 * (angle_large - to_large * np.sqrt(1 - to_large**2)) + small**2 * (
        angle_small - to_small * np.sqrt(1 - to_small**2)
    )
    return np.asarray(area)

"""How a target is measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from hst_assets.photometry.psf.fitted_stars import FitParameters

__all__ = ["MeasureParameters"]


@dataclass(frozen=True)
class MeasureParameters:
    """How a target is measured.

    Attributes
    ----------
    fit : FitParameters
        How stars are found and fitted.
    tile_pix : int
        Largest side of a tile, pixels of the reference.
    tile_memory_gb : float
        A tile whose images need more is divided.
    max_psf_stars : int
        Stamps that make a PSF, at most; 0: PSFs are taken as they are.
    cosmic_rays : bool
        Whether images are searched for cosmic rays.
    noise_mult : float
        Error of the PSF, a share of a star's light: it goes into chi.
    aperture_radius_arcsec : float
        Radius of the aperture to which fluxes by the PSF are corrected.
    residuals : bool
        Whether what is left of each image is kept.
    """

    fit: FitParameters = field(default_factory=FitParameters)
    tile_pix: int = 1024
    tile_memory_gb: float = 1.0
    max_psf_stars: int = 150
    cosmic_rays: bool = True
    noise_mult: float = 0.03
    aperture_radius_arcsec: float = 0.4
    residuals: bool = False

"""What is on the sky of a simulated star field, and how it is exposed.

The figures of the cameras are round ones of the size of the real detectors', from memory; no test
may take them for the detectors' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["CAMERAS", "DITHERS", "Camera", "Scene", "Shot", "camera_of", "shots"]

#: Dithers of a study whose DOLPHOT runs are at hand (the first four), and four more; pixels.
DITHERS = (
    (0.0, 0.0),
    (3.33, 2.67),
    (-5.25, 4.52),
    (2.61, -6.41),
    (-2.27, -3.38),
    (6.46, -1.82),
    (-6.71, -5.14),
    (1.19, 7.55),
)


@dataclass(frozen=True)
class Camera:
    """A detector and filter.

    Attributes
    ----------
    band : str
        As of `ChipImage`.
    fwhm_pix : float
        Of the PSF before the pixel.
    pixel_arcsec : float
    read_noise_e, full_well_e : float
    bleeds : bool
        Charge beyond the full well runs along columns (CCDs); else it is lost.
    skew : float
        Linear distortion: X changes by so much of Y.
    """

    band: str
    fwhm_pix: float
    pixel_arcsec: float
    read_noise_e: float
    full_well_e: float
    bleeds: bool = True
    skew: float = 0.0


CAMERAS = {
    "wfc3_uvis": Camera("wfc3_uvis F814W", 1.80, 0.04, 3.1, 70_000.0, skew=0.06),
    "wfc3_uvis_blue": Camera("wfc3_uvis F606W", 1.70, 0.04, 3.1, 70_000.0, skew=0.06),
    "acs_wfc": Camera("acs_wfc F814W", 1.90, 0.05, 4.0, 80_000.0, skew=0.08),
    "acs_hrc": Camera("acs_hrc F606W", 2.40, 0.026, 4.7, 140_000.0, skew=0.1),
    "wfc3_ir": Camera("wfc3_ir F160W", 1.15, 0.128, 14.0, 75_000.0, bleeds=False, skew=0.0),
    "wfpc2": Camera("wfpc2 F555W", 1.50, 0.10, 5.5, 55_000.0),
}


def camera_of(band: str) -> Camera:
    """The camera of a band."""
    return next(camera for camera in CAMERAS.values() if camera.band == band)


@dataclass(frozen=True)
class Shot:
    """One exposure.

    Attributes
    ----------
    camera : str
        Key of `CAMERAS`.
    exptime_s, mjd : float
    dither : tuple of float
        Added to X and Y on the chip, pixels.
    turn_deg : float
        Rotation about the middle.
    """

    camera: str = "wfc3_uvis"
    exptime_s: float = 500.0
    mjd: float = 58000.0
    dither: tuple[float, float] = (0.0, 0.0)
    turn_deg: float = 0.0


def shots(
    n: int, camera: str = "wfc3_uvis", *, exptime_s: float = 500.0, turn_deg: float = 0.0
) -> tuple[Shot, ...]:
    """So many dithered exposures; each is turned by so much against the one before it."""
    return tuple(
        Shot(camera, exptime_s, 58000.0 + 0.01 * k, DITHERS[k], turn_deg * k) for k in range(n)
    )


@dataclass(frozen=True)
class Scene:
    """What is on the sky and how it is exposed.

    Attributes
    ----------
    n_stars : int
        On the reference.
    shots : sequence of Shot
    shape : tuple of int
        (ny, nx) of the reference; chips are as large on the sky.
    reference : str
        Camera whose pixels the reference has.
    nominal_s : float
        Exposure time of the luminosity function.
    faintest_e, brightest_e, slope : float
        Power law: the number of stars goes as 10**(slope mag).
    colour_scatter_mag : float
        Gaussian scatter of the colour between bands.
    sky_e : float
        A pixel in the nominal time.
    family : str
        Of the PSF: `moffat` (a mixture of three) or `airy` (rings of an obscured aperture).
    varying : bool
        Over the chip, FWHM grows by 10 % along X and ellipticity along Y.
    distorted : bool
        Skew, quadratic (6e-6 a pixel) and cubic terms; pixel areas follow.
    cosmic_rays : float
        Hits of an exposure over stars on it.
    hot_pixels : int
        Of each detector; one in four is in the mask.
    galaxies : int
    nebula : float
        Peak of the nebulosity over the sky.
    gap_pix : int
        If positive, a camera has two chips with such a gap between them.
    moving : float
        Share of the stars that moves.
    motion_pix_yr : float
        How fast these do.
    """

    n_stars: int
    shots: Sequence[Shot] = field(default_factory=lambda: shots(4))
    shape: tuple[int, int] = (1024, 1025)
    reference: str = "wfc3_uvis"
    nominal_s: float = 500.0
    faintest_e: float = 60.0
    brightest_e: float = 2e5
    slope: float = 0.30
    colour_scatter_mag: float = 0.3
    sky_e: float = 60.0
    family: str = "moffat"
    varying: bool = False
    distorted: bool = False
    cosmic_rays: float = 0.0
    hot_pixels: int = 0
    galaxies: int = 0
    nebula: float = 0.0
    gap_pix: int = 0
    moving: float = 0.0
    motion_pix_yr: float = 0.0

"""Whether a drizzled product is what it should be: weights, coverage, conservation of flux.

These functions take arrays and return numbers; what is wrong comes as sentences, so that a
product that is merely poor is kept and shown as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.detectors import Detector
from hst_assets.imaging.frames import Frame, Outline
from hst_assets.imaging.star_photometry import (
    FEWEST_STARS,
    MAX_STARS,
    Aperture,
    aperture_flux,
    isolated_stars,
)
from hst_assets.settings import DrizzleSettings
from hst_assets.sky_geometry import pixel_area_arcsec2

__all__ = [
    "Chip",
    "Flux",
    "bad_fraction",
    "cosmic_ray_problems",
    "flux_ratio",
    "footprint_mask",
    "judge",
    "lost_star_problems",
    "not_compared",
    "weight_problems",
]

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]

#: With so many stars on the exposures, a product that has too few to compare has lost them.
_MANY_STARS = 10
#: Peaks of so many chips, so many of each, are looked at for these stars; two exposures show a
#: star alike to this factor, and a cosmic ray does not come back.
_MAX_CHIPS, _PEAKS_A_CHIP = 8, 100
_ALIKE = 1.5
#: Share of the pixels that cosmic rays may have hit.
_MOST_COSMIC_RAYS = 0.15
#: Stars of an exposure that tell whether it shows what the product does, and the factor by which
#: their fluxes differ where it does not.
_FEWEST_OF_AN_EXPOSURE = 5
_STRANGE = 2.0
#: Drizzle's weights are exposure time times the overlap, which rounding and distortion change.
_WEIGHT_TOLERANCE = 1.15


@dataclass(frozen=True)
class Chip:
    """One chip of one exposure, for comparison with the product.

    Attributes
    ----------
    rate : ndarray (ny, nx)
        Native units per second and native pixel.
    good : ndarray (ny, nx) of bool
        Pixels that are not flagged by the calibration.
    wcs : `~astropy.wcs.WCS`
        With distortion.
    nominal_area_arcsec2 : float
        Area of the pixel that the flat field's photometric scale refers to (see
        `hst_assets.detectors.Detector.flat_scales_arcsec`), squared.
    rootname : str, optional
        Of its exposure.
    """

    rate: Image
    good: Mask
    wcs: WCS
    nominal_area_arcsec2: float
    rootname: str = ""


@dataclass(frozen=True)
class Flux:
    """Comparison of star fluxes on a product with those on its exposures.

    Attributes
    ----------
    ratio : float or None
        Median over stars; None with fewer than 3.
    scatter : float or None
        Robust standard deviation of the stars' ratios.
    n_stars : int
        Stars compared.
    strangers : tuple of str
        Exposures on which most stars have less than half or more than twice the flux that they
        have on the product: they are not where their WCS says, or show something else.
    """

    ratio: float | None
    scatter: float | None
    n_stars: int
    strangers: tuple[str, ...] = ()


def judge(bad: float, ratio: float | None, settings: DrizzleSettings) -> list[str]:
    """Which of a product's figures are beyond the limits in the settings, in words.

    Parameters
    ----------
    bad : float
        Share of the footprint without weight or value.
    ratio : float or None
        Star fluxes on the product over those on the exposures.
    settings : DrizzleSettings
        Has the limits.
    """
    problems = []
    if bad > settings.max_bad_fraction:
        problems.append(f"{bad:.1%} of the footprint has no weight")
    if ratio is not None and abs(ratio - 1.0) > settings.max_flux_error:
        problems.append(f"stars have {ratio:.3f} times their flux on the exposures")
    return problems


def cosmic_ray_problems(fraction: float) -> list[str]:
    """What is wrong if so large a share of the pixels was rejected as cosmic rays.

    Half an hour's exposure has up to 5 %; more is an exposure that does not fit the others.
    """
    if fraction <= _MOST_COSMIC_RAYS:
        return []
    return [f"{fraction:.0%} of the pixels were rejected as cosmic rays"]


def not_compared(ratio: float | None, n_stars: int) -> list[str]:
    """Which of a product's checks had nothing to compare, in words.

    Parameters
    ----------
    ratio : float or None
        Star fluxes on the product over those on the exposures.
    n_stars : int
        Stars that could be compared.
    """
    if ratio is not None:
        return []
    return [f"star fluxes: {n_stars} stars can be compared, {FEWEST_STARS} are needed"]


def footprint_mask(frame: Frame, outlines: Sequence[Outline]) -> Mask:
    """Pixels of the frame (ny, nx) whose centres lie inside any of the outlines."""
    from PIL import Image as PillowImage
    from PIL import ImageDraw

    canvas = PillowImage.new("1", (frame.nx, frame.ny))
    draw = ImageDraw.Draw(canvas)
    for outline in outlines:
        x, y = frame.wcs.wcs_world2pix(outline[:, 0], outline[:, 1], 0)
        if np.all(np.isfinite([x, y])):
            draw.polygon(list(zip(x.tolist(), y.tolist(), strict=True)), fill=1)
    return np.array(canvas, dtype=bool)


def bad_fraction(sci: Image, wht: Image, inside: Mask) -> float:
    """Share of the pixels `inside` that have no weight or no finite value; 1 if there are none."""
    total = int(np.count_nonzero(inside))
    if total == 0:
        return 1.0
    usable = (wht > 0) & np.isfinite(sci)
    return 1.0 - float(np.count_nonzero(usable & inside)) / total


def weight_problems(
    wht: Image,
    inside: Mask,
    *,
    exptime_s: float,
    area_ratio: float,
    pixfrac: float,
    weight_type: str,
    kernel: str = "square",
) -> list[str]:
    """What is wrong with a weight map.

    Parameters
    ----------
    wht : ndarray (ny, nx)
        Weight map.
    inside : ndarray (ny, nx) of bool
        The exposures' footprint.
    exptime_s : float
        Total exposure time: the limit of EXP weights, on average.
    area_ratio : float
        Area of a product's pixel over that of a native pixel.
    pixfrac : float
        Side of the drop in native pixels: smaller drops pile weight up between gaps.
    weight_type : str
        EXP, ERR or IVM; only EXP has a known upper limit.
    kernel : str, optional
        The drop's shape; lanczos3 reaches three native pixels far and overshoots.
    """
    problems = []
    if not np.all(np.isfinite(wht)):
        problems.append("the weight map has values that are not finite")
    if np.any(wht < 0):
        problems.append("the weight map has negative values")
    if weight_type == "EXP":
        limit = exptime_s * max(area_ratio, 1.0) * _WEIGHT_TOLERANCE
        # Beside pixels that are left out its lobes add up to anything.
        sharpest = np.inf if kernel == "lanczos3" else limit / pixfrac**2
        for what, value, most in (
            ("are", float(np.mean(wht[inside])) if inside.any() else 0.0, limit),
            ("reach", float(np.nanmax(wht, initial=0.0)), sharpest),
        ):
            if value > most:
                problems.append(f"weights {what} {value:.0f} s, exposed were {exptime_s:.0f} s")
    reach_pix = 3
    if kernel == "lanczos3":
        reach_pix += int(np.ceil(3.0 * np.sqrt(2.0 / area_ratio)))
    near = _grown(inside, reach_pix)
    if np.any(wht[~near] > 0):
        problems.append("there is weight outside the exposures' footprints")
    return problems


def _grown(mask: Mask, by_pix: int) -> Mask:
    from scipy.ndimage import binary_dilation

    grown: Mask = binary_dilation(mask, np.ones((3, 3), bool), iterations=by_pix)
    return grown


def flux_ratio(
    rate: Image, wht: Image, frame: Frame, chips: Sequence[Chip], *, detector: Detector
) -> Flux:
    """Star fluxes on the product over those on the exposures.

    Each star is measured in the same aperture on the product and, through the WCS, on every
    exposure where its aperture holds no bad pixel; counts on an exposure are multiplied by the true
    area of the pixel (the pixel area map), since flat fields conserve surface brightness. Pixels
    that AstroDrizzle took for cosmic rays count as good here: otherwise a star whose core it
    rejected would not be compared, and its loss would not be noticed. Real cosmic rays do not
    change the lower median over exposures.

    Parameters
    ----------
    rate, wht : ndarray (ny, nx)
        Product in native units per second, and its weights.
    frame : Frame
        The product's pixels.
    chips : sequence of Chip
        All chips of all exposures that went in.
    detector : Detector
        Gives the width of a star.
    """
    aperture = Aperture.for_stars(detector)
    usable = (wht > 0) & np.isfinite(rate)
    ratios = []
    shown: list[list[tuple[str, float]]] = []
    for x, y in isolated_stars(rate, usable, aperture, frame.scale_arcsec)[:MAX_STARS]:
        on_product = aperture_flux(rate, usable, (x, y), aperture, frame.scale_arcsec)
        ra, dec = frame.wcs.wcs_pix2world(x, y, 0)
        on_chips = [(chip, _flux_on_chip(chip, float(ra), float(dec), aperture)) for chip in chips]
        on_exposures = [flux for _, flux in on_chips if flux and flux > 0]
        if on_product is not None:
            shown.append([(chip.rootname, f / on_product) for chip, f in on_chips if f is not None])
        if on_product is not None and on_exposures:
            ratios.append(on_product / sorted(on_exposures)[(len(on_exposures) - 1) // 2])
    if len(ratios) < FEWEST_STARS:
        return Flux(None, None, len(ratios))
    median = float(np.median(ratios))
    scatter = 1.4826 * float(np.median(np.abs(np.array(ratios) - median)))
    return Flux(median, scatter, len(ratios), _strangers(shown))


def _strangers(shown: Sequence[Sequence[tuple[str, float]]]) -> tuple[str, ...]:
    """The exposures whose stars are not those of the product.

    Only stars count that two other exposures show as the product does: what else stands out on it
    may be a cosmic ray of one.

    Parameters
    ----------
    shown : sequence
        Of each star, rootnames and their fluxes over that on the product.
    """
    ratios: dict[str, list[float]] = {}
    for star in shown:
        alike = {rootname for rootname, ratio in star if 1.0 / _ALIKE < ratio < _ALIKE}
        for rootname, ratio in star:
            if len(alike - {rootname}) >= 2:
                ratios.setdefault(rootname, []).append(ratio)
    return tuple(
        rootname
        for rootname, found in sorted(ratios.items())
        if len(found) >= _FEWEST_OF_AN_EXPOSURE
        and not 1.0 / _STRANGE < float(np.median(found)) < _STRANGE
    )


def lost_star_problems(
    flux: Flux, wht: Image, frame: Frame, chips: Sequence[Chip], *, detector: Detector
) -> list[str]:
    """What is wrong with a product's stars beyond their median flux.

    An exposure may not agree with the others, or the product have too few stars for `flux_ratio`.

    Fields without stars are no fault. A star is known by two exposures that show it alike, for
    most of the isolated peaks of one are cosmic rays; a single exposure tells nothing.

    Parameters
    ----------
    flux : Flux
        What `flux_ratio` found.
    wht, frame, chips, detector
        As for `flux_ratio`.
    """
    if flux.ratio is not None:
        return [
            f"{rootname} shows other fluxes than the product at most of its stars"
            for rootname in flux.strangers
        ]
    n_stars = 0
    for chip in chips[:_MAX_CHIPS]:
        n_stars = max(n_stars, _confirmed_stars(chip, wht, frame, chips, detector))
        if n_stars >= _MANY_STARS:
            few = f"{flux.n_stars} stars can be compared with those on the exposures"
            return [f"{few}, which show {n_stars} or more"]
    return []


def _confirmed_stars(
    chip: Chip, wht: Image, frame: Frame, chips: Sequence[Chip], detector: Detector
) -> int:
    """Stars of a chip that another one shows too, where the product has weight; counted to 10."""
    aperture = Aperture.for_stars(detector)
    scale = float(np.sqrt(chip.nominal_area_arcsec2))
    good = chip.good & np.isfinite(chip.rate)
    peaks = isolated_stars(chip.rate, good, aperture, scale)[:_PEAKS_A_CHIP]
    n_stars = 0
    for x, y in peaks:
        ra, dec = (float(value) for value in chip.wcs.all_pix2world(x, y, 0))
        if not _has_weight(wht, frame, ra, dec, aperture):
            continue
        here = _flux_on_chip(chip, ra, dec, aperture)
        others = (_flux_on_chip(each, ra, dec, aperture) for each in chips if each is not chip)
        n_stars += here is not None and any(
            there and here < _ALIKE * there < _ALIKE**2 * here for there in others
        )
        if n_stars == _MANY_STARS:
            break
    return n_stars


def _has_weight(wht: Image, frame: Frame, ra: float, dec: float, aperture: Aperture) -> bool:
    """Whether most of the surroundings of a place have weight on the product."""
    x, y = (float(value) for value in frame.wcs.wcs_world2pix(ra, dec, 0))
    reach = aperture.outer / frame.scale_arcsec
    if not (reach < x < frame.nx - reach and reach < y < frame.ny - reach):  # False where NaN
        return False
    window = np.s_[int(y - reach) : int(y + reach) + 1, int(x - reach) : int(x + reach) + 1]
    return bool(np.mean(wht[window] > 0) > 0.5)


def _flux_on_chip(chip: Chip, ra: float, dec: float, aperture: Aperture) -> float | None:
    """Flux of a star on one chip, per second, corrected for the pixel's area."""
    ny, nx = chip.rate.shape
    x, y = chip.wcs.wcs_world2pix(ra, dec, 0)  # near enough to tell whether it is on the chip
    if not (-100 < x < nx + 100 and -100 < y < ny + 100):
        return None
    x, y = (float(value) for value in chip.wcs.all_world2pix(ra, dec, 0, quiet=True))
    if not (0 < x < nx and 0 < y < ny):
        return None
    area = pixel_area_arcsec2(chip.wcs, x, y)
    flux = aperture_flux(chip.rate, chip.good, (x, y), aperture, float(np.sqrt(area)))
    return None if flux is None else flux * area / chip.nominal_area_arcsec2

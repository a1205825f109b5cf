"""How wide and how round the stars of an exposure are.

Stars are taken as they come: every peak that is no cosmic ray and stands alone, whatever its
shape. The finder that alignments use (`hst_assets.detection.sources`) looks for round stars of the
expected width; of an exposure that trails it would show the few that look good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from hst_assets.detection.centroids import windowed_centroids
from hst_assets.detection.common_shape import (
    along_y_of,
    angle_deg_of,
    elongation_of,
    fwhm_of,
    variance_of,
    with_error,
)
from hst_assets.detection.image_planes import Plane
from hst_assets.detection.sources import Prepared, core_is_clean
from hst_assets.detection.star_locus import star_locus
from hst_assets.detection.star_or_cosmic_ray import aperture_sums, survives_cleaning
from hst_assets.detectors import Detector
from hst_assets.sky_geometry import TangentPlane, pixel_scale_arcsec

__all__ = ["FEWEST_STARS", "StarShapes", "measure_shapes"]

#: Shapes of fewer stars are not judged.
FEWEST_STARS = 10
#: So many of a plane are measured, of the most significant so many peaks: of all brightnesses
#: alike, for the brightest may have bled without a flag.
_MOST_STARS, _MOST_PEAKS = 100, 4000
#: Peaks above this share of the full well are left out, flagged or not.
_UNSATURATED = 0.7
#: A peak stands so many standard deviations above the sky, is the highest within so many pixels,
#: and has no neighbour within so many that has more than such a share of its flux.
_LEAST_SIGMA, _PEAK_PIX, _ALONE_PIX, _NEIGHBOUR_SHARE = 15.0, 3, 8, 0.1
#: Of an undersampled star on its pixel's centre, WFC3/IR's at 1.1 micron, the peak has 0.4 of the
#: flux within `_PEAK_PIX`. What has more is one pixel's.
_MOST_IN_PEAK = 0.7
#: Sigma of the Gaussian window of the moments: wide enough for a second image at 2.5 pixels, which
#: it sees at a quarter of its weight, and narrow enough for the neighbours of crowded fields.
_WINDOW_PIX = 1.5
_HALF_PIX = 7
#: What fills the window to this share of its own variance, even along its minor axis (5.4 pixels
#: FWHM), is a galaxy or nothing at all.
_RESOLVED = 0.7
#: The mean of the positive part of Gaussian noise, over that of the weight by which it is taken off
#: again: 1 / sqrt(2 pi) over (1 + 1 / sqrt(2)) / 2.
_LEFT_BY_NOISE = 2.0 / (math.sqrt(2.0 * math.pi) * (1.0 + math.sqrt(0.5)))
#: Variances are not told from each other beyond this share of the window's.
_MOST_OF_WINDOW = 0.95
#: Nothing below this share of the detector's FWHM is a star: those of real and simulated exposures
#: begin at 0.92 (WFC3/UVIS in F275W).
_NARROWEST = 0.75
#: Chips whose pixels are not the detector's within this factor (WFPC2's PC) are not measured.
_SAME_SCALE = 1.2

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StarShapes:
    """The shape that the stars of an exposure have in common.

    Attributes
    ----------
    n_stars : int
        Stars measured.
    fwhm_pix, fwhm_error_pix : float
        Full width at half maximum of the Gaussian with their moments, geometric mean of its two
        axes, in the detector's nominal pixels; its standard error. NaN where not measured.
    elongation, elongation_error : float
        Its major over its minor axis, on the sky; its standard error. NaN where not measured.
    angle_deg : float
        From y, the axis along which a CCD's rows are moved to the register, to the major axis of
        stars in the axes of their own chips: 0 to 90. NaN where not measured.
    along_y, along_y_error : float
        In these axes, width along y over width along x, both on the sky; its standard error. NaN
        where not measured.
    near_register, near_register_error : float
        The same of the half of the stars that is nearest to the register: of the halves of lower
        and higher rows, that which is less elongated along y.
    reason : str
        Why they could not be measured; empty where they were.
    """

    n_stars: int = 0
    fwhm_pix: float = math.nan
    fwhm_error_pix: float = math.nan
    elongation: float = math.nan
    elongation_error: float = math.nan
    angle_deg: float = math.nan
    along_y: float = math.nan
    along_y_error: float = math.nan
    near_register: float = math.nan
    near_register_error: float = math.nan
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """For records: NaN becomes None."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> StarShapes:
        """The inverse of `as_json`."""
        filled: dict[str, Any] = {
            name: math.nan if value is None else value for name, value in values.items()
        }
        return cls(**filled)


def measure_shapes(
    planes: Sequence[Plane],
    prepared: Sequence[Prepared | None],
    detector: Detector,
    *,
    fwhm_pix: float,
) -> StarShapes:
    """Measure the shape that most stars of an exposure share.

    Second moments of each star under a Gaussian window of 1.5 pixels, on the sky, where the point
    spread function is round and the detector's pixels are not. Of the stars of the commonest size
    (`hst_assets.detection.star_locus`), the median of each moment is that of the exposure: noise
    and neighbours, which point anywhere, do not elongate it, as they do every single star.

    Parameters
    ----------
    planes : sequence of Plane
        The chips, with their WCS.
    prepared : sequence of Prepared or None
        The same after `hst_assets.detection.sources.prepare`.
    detector : Detector
        Whose they are.
    fwhm_pix : float
        FWHM of a star in native pixels, for telling stars from cosmic rays.
    """
    found = [
        _stars_of(plane, ready, detector, fwhm_pix)
        for plane, ready in zip(planes, prepared, strict=True)
        if ready is not None and _has_scale_of(plane.wcs, detector)
    ]
    return _common_shape(_Stars.together(found), detector)


def _has_scale_of(wcs: WCS, detector: Detector) -> bool:
    ratio = pixel_scale_arcsec(wcs) / detector.pixel_scale_arcsec
    return 1 / _SAME_SCALE < ratio < _SAME_SCALE


# ------------------------------------------------------------------------------ single stars


@dataclass(frozen=True)
class _Stars:
    """Moments of stars, in squares of the detector's nominal pixel.

    Attributes
    ----------
    sky : ndarray, shape (n, 2, 2)
        Along the directions of x and y to the west and north.
    chip : ndarray, shape (n, 2, 2)
        The same, turned so that y on the sky is the direction of the chip's y axis.
    rows : ndarray, shape (n,)
        The row of each star over the number of rows, from the same side of the register.
    """

    sky: Floats
    chip: Floats
    rows: Floats

    @classmethod
    def together(cls, some: Sequence[_Stars]) -> _Stars:
        """The stars of several chips whose moments are finite."""
        none = np.zeros((0, 2, 2))
        all_stars = cls(
            np.concatenate([none, *(each.sky for each in some)]),
            np.concatenate([none, *(each.chip for each in some)]),
            np.concatenate([np.zeros(0), *(each.rows for each in some)]),
        )
        return all_stars.of(np.flatnonzero(np.isfinite(all_stars.sky).all(axis=(1, 2))))

    def of(self, which: NDArray[np.intp]) -> _Stars:
        """Some of them."""
        return _Stars(self.sky[which], self.chip[which], self.rows[which])


def _stars_of(plane: Plane, ready: Prepared, detector: Detector, fwhm_pix: float) -> _Stars:
    """The stars of a plane that stand alone."""
    x, y = _some_stars(ready, *_alone(ready, _highest_peak(detector)), fwhm_pix)
    if len(x) == 0:
        return _Stars(np.zeros((0, 2, 2)), np.zeros((0, 2, 2)), np.zeros(0))
    # The centre under this very window: `windowed_centroids` takes 0.425 FWHM for sigma.
    centre = windowed_centroids(ready.flux, x, y, fwhm_pix=_WINDOW_PIX / 0.425)
    noise = ready.noise[y.astype(np.intp), x.astype(np.intp)]
    native = _deconvolved(_windowed_moments(ready.flux, centre, noise))
    jacobian = _jacobian(plane.wcs, centre, detector.pixel_scale_arcsec)
    sky = np.asarray(jacobian @ native @ np.swapaxes(jacobian, 1, 2))
    turn = _turn_to_chip(jacobian)
    chip = np.asarray(turn @ sky @ np.swapaxes(turn, 1, 2))
    return _Stars(sky, chip, _rows(y, plane, detector))


def _turn_to_chip(jacobian: Floats) -> Floats:
    """Rotations, shape (n, 2, 2), of the sky that bring each chip's y direction onto y."""
    along = jacobian[:, :, 1] / np.linalg.norm(jacobian[:, :, 1], axis=1, keepdims=True)
    across = np.stack([along[:, 1], -along[:, 0]], axis=-1)
    return np.stack([across, along], axis=1)


def _rows(y: Floats, plane: Plane, detector: Detector) -> Floats:
    """The rows of stars over the number of rows, in both of two chips from the register.

    The registers of two chips are at their outer sides, the first row of the lower one and the last
    of the upper one, which is the second SCI plane.
    """
    share: Floats = y / plane.data.shape[0]
    return 1 - share if detector.n_chips == 2 and plane.extver == 2 else share


def _highest_peak(detector: Detector) -> float:
    """Above this, in the unit of the SCI plane, a pixel may have bled; WFC3/IR's do not."""
    if not detector.clean_cosmic_rays:
        return math.inf
    return _UNSATURATED * detector.saturation_e / detector.gain_e_per_dn


def _some_stars(
    ready: Prepared, x: Floats, y: Floats, flux: Floats, fwhm_pix: float
) -> tuple[Floats, Floats]:
    """At most `_MOST_STARS` of the sources, of all brightnesses, that are no cosmic rays."""
    order = np.argsort(-flux, kind="stable")
    if ready.struck is None or ready.detector is None:
        kept = order[_spread(len(order), _MOST_STARS)]
        return x[kept], y[kept]
    kept = order[:0]
    # Parts of all brightnesses alike, until there are enough.
    n_parts = max(1, math.ceil(len(order) / (2 * _MOST_STARS)))
    for part in range(n_parts):
        some = order[part::n_parts]
        star = survives_cleaning(
            ready.struck, ready.ignored, ready.detector,
            x[some], y[some], flux[some], radius=fwhm_pix,
        )  # fmt: skip
        kept = np.append(kept, some[star])
        if len(kept) >= _MOST_STARS:
            break
    kept = kept[_spread(len(kept), _MOST_STARS)]
    return x[kept], y[kept]


def _spread(n: int, most: int) -> NDArray[np.intp]:
    """Indices of at most so many of n, evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.intp)) if n else np.arange(0)


def _alone(ready: Prepared, highest: float) -> tuple[Floats, Floats, Floats]:
    """Position and flux of peaks with clean cores and without neighbours."""
    x, y = _peaks(ready)
    flux = aperture_sums(ready.flux, x, y, radius=float(_PEAK_PIX))
    height = ready.flux[y.astype(np.intp), x.astype(np.intp)]
    clean = core_is_clean(x, y, ready.spoilt) & (flux > 0)
    clean &= (height < _MOST_IN_PEAK * flux) & (height < highest)
    keep = np.flatnonzero(clean & _without_neighbours(x, y, flux))
    return x[keep], y[keep], flux[keep]


def _peaks(ready: Prepared) -> tuple[Floats, Floats]:
    """Pixels that are the highest within `_PEAK_PIX`, the most significant `_MOST_PEAKS`."""
    ny, nx = ready.flux.shape
    bright = (ready.flux > _LEAST_SIGMA * ready.noise) & ~ready.hidden
    bright[: _HALF_PIX + 1] = bright[ny - _HALF_PIX - 1 :] = False
    bright[:, : _HALF_PIX + 1] = bright[:, nx - _HALF_PIX - 1 :] = False
    y, x = np.nonzero(bright)
    height = ready.flux[y, x]
    highest = np.ones(len(x), dtype=bool)
    for dy in range(-_PEAK_PIX, _PEAK_PIX + 1):
        for dx in range(-_PEAK_PIX, _PEAK_PIX + 1):
            highest &= ready.flux[y + dy, x + dx] <= height
    y, x, height = y[highest], x[highest], height[highest]
    most = np.argsort(-height / ready.noise[y, x], kind="stable")[:_MOST_PEAKS]
    return x[most].astype(float), y[most].astype(float)


def _without_neighbours(x: Floats, y: Floats, flux: Floats) -> NDArray[np.bool_]:
    from scipy.spatial import cKDTree

    alone = np.ones(len(x), dtype=bool)
    if len(x) > 1:
        tree = cKDTree(np.column_stack([x, y]))
        first, second = tree.query_pairs(_ALONE_PIX, output_type="ndarray").T
        for one, other in ((first, second), (second, first)):
            alone[one[flux[other] > _NEIGHBOUR_SHARE * flux[one]]] = False
    return alone


def _windowed_moments(image: Floats, centre: Floats, noise: Floats) -> Floats:
    """Central second moments under the window, shape (n, 2, 2), in native pixels.

    Negative pixels would let moments of single stars be anything, and count as none. What the noise
    of an empty sky then leaves on the average, 0.40 of its standard deviation, would widen a star
    of 1.3 pixel FWHM and a peak of 17 sigma to 2.1 pixel; it is taken off again where a pixel is
    no more than noise (which leaves 4 per cent of the width at 17 sigma, simulated Gaussian stars).
    """
    offset = np.arange(-_HALF_PIX, _HALF_PIX + 1)
    columns = np.rint(centre[:, 0]).astype(int)[:, None] + offset
    rows = np.rint(centre[:, 1]).astype(int)[:, None] + offset
    ny, nx = image.shape
    pixels = image[rows.clip(0, ny - 1)[:, :, None], columns.clip(0, nx - 1)[:, None, :]]
    dx = np.broadcast_to((columns - centre[:, :1])[:, None, :], pixels.shape)
    dy = np.broadcast_to((rows - centre[:, 1:])[:, :, None], pixels.shape)
    light = np.maximum(pixels, 0.0)
    sigma = noise[:, None, None]
    light = light - _LEFT_BY_NOISE * sigma * np.exp(-0.5 * (light / sigma) ** 2)
    weight = light * np.exp(-0.5 * (dx**2 + dy**2) / _WINDOW_PIX**2)
    total = weight.sum(axis=(1, 2))

    def mean(values: Floats) -> Floats:
        return np.asarray((weight * values).sum(axis=(1, 2)) / total)

    mx, my = mean(dx), mean(dy)
    xx, yy, xy = mean(dx**2) - mx**2, mean(dy**2) - my**2, mean(dx * dy) - mx * my
    return np.stack([np.stack([xx, xy], axis=-1), np.stack([xy, yy], axis=-1)], axis=-2)


def _deconvolved(moments: Floats) -> Floats:
    """The moments that Gaussian stars have without the window: 1 / (1 / m - 1 / w^2) on each axis.

    An axis that fills the window gets the most that can be told; what fills it on both is taken
    out, as not finite.
    """
    variance, axes = np.linalg.eigh(moments)
    share = np.clip(variance / _WINDOW_PIX**2, 1e-3, _MOST_OF_WINDOW)
    free = _WINDOW_PIX**2 * share / (1 - share)
    free[share[:, 0] > _RESOLVED] = np.nan
    return np.asarray((axes * free[:, None, :]) @ np.swapaxes(axes, 1, 2))


def _jacobian(wcs: WCS, centre: Floats, unit_arcsec: float) -> Floats:
    """How the sky moves with the pixel, shape (n, 2, 2), in units of so many arcsec."""

    def sky(dx: float, dy: float) -> Floats:
        return np.column_stack(wcs.all_pix2world(centre[:, 0] + dx, centre[:, 1] + dy, 0))

    plane = TangentPlane.about(sky(0.0, 0.0), unit_arcsec)
    along_x = plane.project(sky(0.5, 0.0)) - plane.project(sky(-0.5, 0.0))
    along_y = plane.project(sky(0.0, 0.5)) - plane.project(sky(0.0, -0.5))
    return np.stack([along_x, along_y], axis=-1)


# ------------------------------------------------------------------------------ all together


def _common_shape(stars: _Stars, detector: Detector) -> StarShapes:
    """The shape that the stars among some sources have in common, with its errors."""
    locus = star_locus(
        stars.sky,
        stars.chip,
        narrowest=variance_of(_NARROWEST * detector.fwhm_pix),
        widest=variance_of(detector.widest_star_pix),
        fewest=FEWEST_STARS,
    )
    if locus.reason:
        return StarShapes(len(locus.chosen), reason=locus.reason)
    stars = stars.of(locus.chosen)
    order = np.argsort(stars.rows, kind="stable")
    halves = [with_error(along_y_of, stars.chip[some]) for some in np.array_split(order, 2)]
    fwhm, elongation = with_error(fwhm_of, stars.sky), with_error(elongation_of, stars.sky)
    return StarShapes(
        len(stars.sky),
        *fwhm,
        *elongation,
        angle_deg_of(np.median(stars.chip, axis=0)),
        *with_error(along_y_of, stars.chip),
        *min(halves),
    )

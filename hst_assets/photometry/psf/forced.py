"""Fluxes at given places, detected or not, on every image of a finished measurement.

Places are taken as they are. On each image all fluxes are fitted at once: those of the places and
those of the catalogue's stars about them, all free and all allowed to be negative. What is left of
the sky is measured in a ring about each place and taken off. Errors are marginal: of the weighted
least-squares solution with the neighbours free, of the ring's mean, and of the PSF's width; places
have none.

A star that moves is another on each image: there it is fitted where it was then. So a place at
which it was in one epoch has its light in that epoch alone.

A catalogue's faint fluxes are too large because the best place was looked for
(`hst_assets.photometry.psf.field_fit`); these are not, and nothing is taken off them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, diags_array
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree

from hst_assets.photometry.catalog.quantities import FIRST_EXTREME_FLAG, OFF_IMAGE
from hst_assets.photometry.psf.field_fit import finest_scale
from hst_assets.photometry.psf.image_stack import ImageStack
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.photometry.psf.psf_error import width_share
from hst_assets.photometry.psf.restored_field import RestoredTile, restored_tile, starlight
from hst_assets.photometry.psf.ring_sky import ring_sky
from hst_assets.photometry.psf.star_light import places_on_images, star_stamp
from hst_assets.photometry.psf.star_quality import star_quality
from hst_assets.photometry.psf.tiles import ImageSource, plan_tiles

__all__ = [
    "ForcedFluxes",
    "forced_photometry",
    "places_of",
]

Floats = NDArray[np.float64]
Planes = NDArray[np.float32]

#: Pieces of the field that are solved at once, pixels of the reference.
_PIECE_PIX = 256
#: Catalogue stars within so many fit radii of a place are fitted with it: they share pixels with it
#: or with a star that does.
_RADII_FITTED = 4
#: Solutions; the light beyond the fit radius and the pixels' errors follow from the one before.
_N_SOLUTIONS = 4
#: An image whose flux differs so many standard errors from the mean of its band has photon noise by
#: its own flux; others, by the mean, so that a faint flux does not weigh itself.
_OWN_NOISE_SIGMA = 5.0
#: Share that is added to each star's own term, so that two of one place can be solved.
_RIDGE = 1e-9
#: Errors so many times that with all else known tell of a place that cannot be told from another's.
_HOPELESS = 1e3


@dataclass(frozen=True, eq=False)
class ForcedFluxes:
    """Fluxes of n places on k images; NaN, with an infinite error, where none was measured.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        The places on the reference, 0-based pixels.
    counts_e, counts_error_e : ndarray, shape (k, n)
        Electrons of the whole exposure under the PSF.
    width_error_e : ndarray, shape (k, n)
        The part of `counts_error_e` that is the PSF's width, which images of a band have in common
        (`hst_assets.photometry.psf.psf_error`).
    rate_e_s, rate_error_e_s : ndarray, shape (k, n)
        Electrons a second with the aperture correction.
    local_sky_e : ndarray, shape (k, n)
        What was left of the sky about the place and was taken off, electrons a pixel.
    sky_e : ndarray, shape (k, n)
        Sky under the place by the measurement, electrons a pixel.
    expected_e : ndarray, shape (k, n)
        Electrons by which the photon noise was reckoned: those of the mean of the band, unless the
        image's own differ from it by more than five standard errors.
    chip_x, chip_y : ndarray, shape (k, n)
        The place on the chip, 0-based pixels.
    chi : ndarray, shape (k, n)
        As of `hst_assets.photometry.psf.star_quality.StarQuality`.
    flag : ndarray of int, shape (k, n)
        Sum of 1 (edge), 2 (bad pixels), 4 (saturated), 8 (too little is left); 9 off the image.
    replaced : ndarray of int, shape (n,)
        The star of the measurement in whose stead a place stands; -1: none.
    image_names : tuple of str
        The k images.
    """

    x: Floats
    y: Floats
    counts_e: Floats
    counts_error_e: Floats
    width_error_e: Floats
    rate_e_s: Floats
    rate_error_e_s: Floats
    local_sky_e: Floats
    sky_e: Floats
    expected_e: Floats
    chip_x: Floats
    chip_y: Floats
    chi: Floats
    flag: NDArray[np.int32]
    replaced: NDArray[np.int64]
    image_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.x)


def places_of(ra_deg: Floats, dec_deg: Floats, wcs: WCS) -> tuple[Floats, Floats]:
    """Places on the reference, 0-based pixels, by its WCS."""
    x, y = wcs.all_world2pix(np.asarray(ra_deg, float), np.asarray(dec_deg, float), 0)
    return np.asarray(x, dtype=float), np.asarray(y, dtype=float)


def forced_photometry(
    sources: Sequence[ImageSource],
    kept: MeasurementFile,
    x: Floats,
    y: Floats,
    *,
    local_sky: bool = True,
    one_star_pix: float = 0.5,
) -> ForcedFluxes:
    """Measure fluxes at places.

    Parameters
    ----------
    sources : sequence of ImageSource
        The k images of the measurement, unshifted.
    kept : MeasurementFile
        What it kept: PSFs, shifts, sky, masks and stars.
    x, y : ndarray, shape (n,)
        Places on the reference, 0-based pixels; at one that is not finite nothing is measured.
    local_sky : bool, optional
        Whether the mean of what is left, in a ring from a pixel beyond the fit radius to the radius
        of the PSF, clipped at 3.5 standard deviations, is taken off as sky. Its error, which is
        some 2 % of the flux's own, is added in quadrature.
    one_star_pix : float, optional
        A catalogue star this near to a place is the same: it is not fitted beside it. Pixels of
        the reference. A faint one may have been found farther off: fitted beside its true place,
        it has a part of the light, and the flux there is too low by more than its error. Who knows
        which it is leaves it out of `kept`.

    Returns
    -------
    ForcedFluxes
        In the order of the places.

    Raises
    ------
    UnusableInput
        If the images are not those of the measurement.
    """
    moved = kept.moved(sources)
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    coinciding = _coinciding(kept, x, y, one_star_pix)
    replaced = np.full(len(x), -1)
    replaced[coinciding >= 0] = kept.star_of_row[coinciding[coinciding >= 0]]
    found = _nothing(x, y, replaced, kept)
    radius = max(psf.radius_pix for psf in kept.psfs.values())
    others = _without(kept, coinciding, x, y, one_star_pix)
    for piece in plan_tiles(moved, tile_pix=_PIECE_PIX):
        rows = np.flatnonzero(piece.holds(x, y))
        if rows.size == 0:
            continue
        restored = restored_tile(moved, others, piece, least_reach_pix=2.0 * radius)
        if restored is not None:
            _measure_piece(restored, others, rows, found, local_sky=local_sky)
    return _with_rates(found, kept, np.array([source.exptime_s for source in sources]))


# ------------------------------------------------------------------------------- which stars


def _coinciding(kept: MeasurementFile, x: Floats, y: Floats, limit: float) -> NDArray[np.int64]:
    """The row of the measurement at each place; -1 where there is none."""
    found = np.full(len(x), -1, dtype=np.int64)
    somewhere = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(kept.x) and len(somewhere):
        tree = KDTree(np.column_stack([kept.x, kept.y]))
        distance, star = tree.query(np.column_stack([x[somewhere], y[somewhere]]))
        found[somewhere] = np.where(distance <= limit, star, -1)
    return found


def _without(
    kept: MeasurementFile, coinciding: NDArray[np.int64], x: Floats, y: Floats, limit: float
) -> MeasurementFile:
    """The measurement without the rows at places: of stars that move, on all images."""
    left = np.ones(len(kept.x), dtype=bool)
    left[coinciding[coinciding >= 0]] = False
    moving = np.flatnonzero(kept.image_of_row >= 0)
    somewhere = np.isfinite(x) & np.isfinite(y)
    if len(moving) and somewhere.any():
        places = KDTree(np.column_stack([x[somewhere], y[somewhere]]))
        distance, _ = places.query(np.column_stack([kept.x[moving], kept.y[moving]]))
        left[moving[distance <= limit]] = False
    return kept.of(left)


def _nothing(
    x: Floats, y: Floats, replaced: NDArray[np.int64], kept: MeasurementFile
) -> ForcedFluxes:
    shape = len(kept.images), len(x)
    return ForcedFluxes(
        x=x,
        y=y,
        counts_e=np.full(shape, np.nan),
        counts_error_e=np.full(shape, np.inf),
        width_error_e=np.zeros(shape),
        rate_e_s=np.full(shape, np.nan),
        rate_error_e_s=np.full(shape, np.inf),
        local_sky_e=np.full(shape, np.nan),
        sky_e=np.full(shape, np.nan),
        expected_e=np.full(shape, np.nan),
        chip_x=np.full(shape, np.nan),
        chip_y=np.full(shape, np.nan),
        chi=np.full(shape, np.nan),
        flag=np.full(shape, OFF_IMAGE, dtype=np.int32),
        replaced=replaced,
        image_names=tuple(image.name for image in kept.images),
    )


def _with_rates(found: ForcedFluxes, kept: MeasurementFile, exptime_s: Floats) -> ForcedFluxes:
    corrections = np.array([image.aperture_correction_mag for image in kept.images])
    factor = (10 ** (-0.4 * corrections) / exptime_s)[:, None]
    return replace(
        found, rate_e_s=found.counts_e * factor, rate_error_e_s=found.counts_error_e * factor
    )


# ------------------------------------------------------------------------------- one piece


@dataclass(frozen=True, eq=False)
class _Problem:
    """The stars of a piece that are fitted: the places first, then the catalogue's about them.

    `only_on` is -1 of the places and of stars at rest.
    """

    stack: ImageStack
    x: Floats
    y: Floats
    only_on: NDArray[np.int64]
    n_places: int
    sky_e: Planes
    radius: int


def _measure_piece(
    restored: RestoredTile,
    others: MeasurementFile,
    rows: NDArray[np.int64],
    found: ForcedFluxes,
    *,
    local_sky: bool,
) -> None:
    stack, n = restored.stack, len(rows)
    radius = others.parameters.fit.fit_radius_pix
    x, y = found.x[rows], found.y[rows]
    near = _near(restored, x, y, _RADII_FITTED * radius / finest_scale(stack))
    beyond = starlight(
        stack, restored.x[~near], restored.y[~near], restored.counts_e[:, ~near]
    )  # their light is sky here
    problem = _Problem(
        stack=stack,
        x=np.concatenate([x, restored.x[near]]),
        y=np.concatenate([y, restored.y[near]]),
        only_on=np.concatenate([np.full(n, -1), restored.only_on[near]]),
        n_places=n,
        sky_e=stack.sky_e + beyond,
        radius=radius,
    )
    start = np.concatenate([np.zeros((len(stack), n)), restored.counts_e[:, near]], axis=1)
    _into(found, restored, others, rows, problem, _solved(problem, start), local_sky=local_sky)


def _near(restored: RestoredTile, x: Floats, y: Floats, reach: float) -> NDArray[np.bool_]:
    if len(restored.x) == 0:
        return np.zeros(0, dtype=bool)
    places = KDTree(np.column_stack([x, y]))
    distance, _ = places.query(np.column_stack([restored.x, restored.y]))
    near: NDArray[np.bool_] = distance <= reach
    return near


@dataclass(frozen=True, eq=False)
class _Solution:
    """What was fitted: of all stars `counts`, of pixels `residual` and `noise`, else of places."""

    counts: Floats
    variance: Floats
    response: Floats
    expected: Floats
    residual: Planes
    noise: Planes


def _solved(problem: _Problem, counts: Floats) -> _Solution:
    stack, n = problem.stack, problem.n_places
    designs = [_design(problem, k) for k in range(len(stack))]
    variance = np.full((len(stack), n), np.inf)
    response = np.zeros((len(stack), n))
    shine = counts.copy()
    for _ in range(_N_SOLUTIONS):
        residual = stack.data_e - problem.sky_e - starlight(stack, problem.x, problem.y, counts)
        light = starlight(stack, problem.x, problem.y, np.maximum(shine, 0))
        noise = stack.variance_e2(problem.sky_e, light)
        weight = np.where(stack.good, 1 / noise, np.float32(0))
        for k, design in enumerate(designs):
            step, variance[k], response[k] = _step(design, weight[k], residual[k], n)
            counts[k] += step
        shine = counts.copy()
        shine[:, :n] = _believed(counts[:, :n], variance, stack)
    residual = stack.data_e - problem.sky_e - starlight(stack, problem.x, problem.y, counts)
    residual[~stack.good] = 0
    return _Solution(counts, variance, response, shine[:, :n], residual, noise)


def _design(problem: _Problem, k: int) -> csr_array:
    """The PSFs of all stars on image k within the fit radius, shape (stars, pixels)."""
    stack, optics, radius = problem.stack, problem.stack.optics, problem.radius
    _, ny_whole, nx_whole = stack.data_e.shape
    ny, nx = stack.shapes[k]
    side = 2 * radius + 1
    offset = np.arange(side) - radius
    disc = np.hypot(*np.meshgrid(offset, offset)) <= radius + 0.5
    dy, dx = np.nonzero(disc)
    stamp, work = np.empty((3, side, side), dtype=np.float32), np.empty((4, 4))
    corner = np.zeros(2, dtype=np.int64)
    values, columns, starts = [], [], [0]
    for x, y, only_on in zip(problem.x, problem.y, problem.only_on, strict=True):
        if only_on not in (-1, k):  # an empty row, whose flux stays as it is
            starts.append(starts[-1])
            continue
        star_stamp(
            k, optics.lattice, optics.knots, optics.splines, optics.cells, optics.cell_pix,
            optics.origin, optics.middle, x, y, radius, stamp, corner, work,
        )  # fmt: skip
        column, row = corner[0] + dx, corner[1] + dy
        inside = (column >= 0) & (row >= 0) & (column < nx) & (row < ny)
        values.append(stamp[0, dy, dx][inside].astype(float))
        columns.append((row * nx_whole + column)[inside])
        starts.append(starts[-1] + int(inside.sum()))
    return csr_array(
        (np.concatenate(values), np.concatenate(columns), starts),
        shape=(len(problem.x), ny_whole * nx_whole),
    )


def _step(
    design: csr_array, weight: Planes, residual: Planes, n_places: int
) -> tuple[Floats, Floats, Floats]:
    """What is to be added to all fluxes; variance and response to sky of the places."""
    weights = weight.ravel().astype(float)
    weighted = csr_array(
        (design.data * weights[design.indices], design.indices, design.indptr), shape=design.shape
    )
    normal = csr_array(weighted @ design.T)
    own = normal.diagonal()
    seen = own > 0
    step, variance, response = np.zeros(len(own)), np.full(len(own), np.inf), np.zeros(len(own))
    if seen.any():
        known = np.flatnonzero(seen)
        matrix = normal[known][:, known] + diags_array(_RIDGE * own[known])
        factors = splu(csc_array(matrix))
        right = np.stack([weighted @ residual.ravel().astype(float), weighted.sum(axis=1)], axis=1)
        step[known], response[known] = factors.solve(right[known]).T
        places = known[known < n_places]
        if len(places):
            units = np.zeros((len(known), len(places)))
            units[np.arange(len(places)), np.arange(len(places))] = 1  # places are the first
            of_places = np.diag(factors.solve(units)[: len(places)])
            hopeless = of_places * own[places] > _HOPELESS**2
            variance[places] = np.where(hopeless, np.inf, of_places)
    return step, variance[:n_places], response[:n_places]


def _believed(counts: Floats, variance: Floats, stack: ImageStack) -> Floats:
    """Electrons of the places for the photon noise: by the mean of the band, if that may be."""
    believed = counts.copy()
    t = stack.exptime_s[:, None]
    weight = np.where(np.isfinite(variance), t**2 / variance, 0)
    for band in range(len(stack.bands)):
        rows = stack.band_of == band
        total = weight[rows].sum(axis=0)
        mean = (counts / t * weight)[rows].sum(axis=0) / np.where(total > 0, total, 1)
        expected = mean * t[rows]
        alike = abs(counts[rows] - expected) <= _OWN_NOISE_SIGMA * np.sqrt(variance[rows])
        believed[rows] = np.where(alike, expected, counts[rows])
    return believed


def _into(
    found: ForcedFluxes,
    restored: RestoredTile,
    others: MeasurementFile,
    rows: NDArray[np.int64],
    problem: _Problem,
    solved: _Solution,
    *,
    local_sky: bool,
) -> None:
    """Put fluxes, sky and flags of a piece where they belong."""
    stack, n, optics = problem.stack, problem.n_places, problem.stack.optics
    counts, variance, response = solved.counts, solved.variance, solved.response
    residual, noise = solved.residual, solved.noise
    xs, ys = places_on_images(optics.lattice, optics.knots, problem.x[:n], problem.y[:n])
    model = stack.data_e - problem.sky_e - residual
    # By the electrons of the photon noise: a faint flux's own noise is no light.
    light = np.maximum(solved.expected, 0.0)
    width_error = light * width_share(
        stack, problem.sky_e, restored.psfs, light, fit_radius_pix=problem.radius
    )
    for k, image in enumerate(restored.tile.images):
        ny, nx = stack.shapes[k]
        part = slice(0, ny), slice(0, nx)
        quality = star_quality(
            residual[k][part], noise[k][part], stack.good[k][part], stack.saturated[k][part],
            restored.psfs[k], xs[k], ys[k], counts[k, :n], model_e=model[k][part],
            noise_mult=others.parameters.noise_mult,
            origin=(int(optics.origin[k, 0]), int(optics.origin[k, 1])),
        )  # fmt: skip
        sky, sky_error = np.zeros(n), np.zeros(n)
        if local_sky:
            rings = problem.radius + 1.0, float(max(optics.radius_pix, problem.radius + 4))
            for at in range(n):
                sky[at], sky_error[at] = ring_sky(
                    residual[k][part], stack.good[k][part], xs[k, at], ys[k, at], *rings
                )
        measured = np.isfinite(variance[k]) & (quality.flag != OFF_IMAGE)
        into = image, rows
        flux = counts[k, :n] - sky * response[k]
        squares = (sky_error * response[k]) ** 2 + width_error[k] ** 2
        error = np.sqrt(np.where(measured, variance[k], 0) + squares)
        found.counts_e[into] = np.where(measured, flux, np.nan)
        found.counts_error_e[into] = np.where(measured, error, np.inf)
        found.width_error_e[into] = np.where(measured, width_error[k], 0)
        found.local_sky_e[into] = np.where(measured, sky, np.nan)
        found.sky_e[into] = np.where(measured, _at(stack.sky_e[k][part], xs[k], ys[k]), np.nan)
        found.expected_e[into] = np.where(measured, solved.expected[k], np.nan)
        found.chip_x[into] = xs[k] + optics.origin[k, 0]
        found.chip_y[into] = ys[k] + optics.origin[k, 1]
        found.chi[into] = quality.chi
        lost = ~measured & (quality.flag < FIRST_EXTREME_FLAG)
        found.flag[into] = np.where(lost, FIRST_EXTREME_FLAG, quality.flag)


def _at(plane: Planes, x: Floats, y: Floats) -> Floats:
    """Pixels of an image at places; of those off it, the nearest."""
    ny, nx = plane.shape
    rows, columns = (
        np.clip(np.rint(values), 0, size - 1).astype(np.int64)
        for values, size in ((y, ny), (x, nx))
    )
    return plane[rows, columns].astype(float)

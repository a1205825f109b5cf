"""Geometry of two star lists on one tangent plane: pairs, offsets, and what chance would give.

All lists are (n, 2) arrays in pixels of the plane (see `hst_assets.sky_geometry.TangentPlane`);
nothing here knows of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import UnusableInput

__all__ = [
    "Geometry",
    "Motion",
    "chance_pairs",
    "contrast",
    "find_motion",
    "fit_linear",
    "fit_motion",
    "nearest",
    "offset_peak",
    "rigid_motion",
    "scrambled",
    "uniqueness",
]

Points = NDArray[np.float64]
Geometry = Literal["shift", "rshift", "rscale", "general"]

#: Pairs that a fit of each geometry needs.
_FEWEST_PAIRS: dict[Geometry, int] = {"shift": 1, "rshift": 2, "rscale": 2, "general": 3}
#: Rounds of pairing and fitting, and of clipping, after which a fit is final.
_PAIRINGS, _CLIPPINGS = 8, 3
_CLIP_SIGMA = 3.0


def nearest(first: Points, second: Points, radius: float) -> tuple[NDArray[np.intp], ...]:
    """Mutual nearest neighbours closer than `radius`: indices into `first` and `second`."""
    from scipy.spatial import cKDTree

    none = np.zeros(0, dtype=np.intp)
    if len(first) == 0 or len(second) == 0:
        return none, none
    distance, partner = cKDTree(second).query(first, distance_upper_bound=radius)
    found = np.flatnonzero(np.isfinite(distance))
    _, back = cKDTree(first).query(second[partner[found]])
    mutual = back == found
    return found[mutual], partner[found[mutual]]


def _offsets(image: Points, reference: Points, radius: float) -> Points:
    """Reference minus image of all pairs closer than `radius` on both axes."""
    from scipy.spatial import cKDTree

    if len(image) == 0 or len(reference) == 0:
        return np.zeros((0, 2))
    pairs = cKDTree(image).sparse_distance_matrix(
        cKDTree(reference), radius * 1.4143, output_type="coo_matrix"
    )
    out: Points = reference[pairs.col] - image[pairs.row]
    near: Points = out[np.all(np.abs(out) <= radius, axis=1)]
    return near


def offset_peak(
    image: Points, reference: Points, *, search: float, radius: float, avoid: float = 0.0
) -> tuple[int, Points]:
    """The offset that the most pairs share.

    Parameters
    ----------
    image, reference : ndarray, shape (n, 2)
        The two lists.
    search : float
        Largest offset on either axis.
    radius : float
        Pairs agree when their offsets lie within this distance of each other's mean.
    avoid : float, optional
        Offsets closer to zero than this do not count.

    Returns
    -------
    n_pairs : int
        How many pairs share it.
    offset : ndarray, shape (2,)
        Reference minus image.
    """
    from scipy.ndimage import convolve

    offsets = _offsets(image, reference, search + radius)
    if avoid > 0 and len(offsets):
        offsets = offsets[np.hypot(offsets[:, 0], offsets[:, 1]) > avoid]
    if len(offsets) == 0:
        return 0, np.zeros(2)
    step = radius / 2
    half = int(np.ceil((search + radius) / step))
    edges = (np.arange(2 * half + 2) - half - 0.5) * step
    counts, _, _ = np.histogram2d(offsets[:, 0], offsets[:, 1], bins=(edges, edges))
    grid = np.arange(-2, 3)
    # Peaked in the middle, so that of the bins that see one clump its own wins.
    kernel = np.exp(-0.5 * np.add.outer(grid**2, grid**2))
    smooth = convolve(counts, kernel, mode="constant")
    ix, iy = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    centre = np.array([(ix - half) * step, (iy - half) * step])
    for _ in range(3):
        near = np.hypot(*(offsets - centre).T) <= radius
        if not near.any():
            break
        centre = offsets[near].mean(axis=0)
    n_pairs = int(np.count_nonzero(np.hypot(*(offsets - centre).T) <= radius))
    return n_pairs, centre


def scrambled(image: Points, *, search: float) -> list[Points]:
    """Copies of a list whose pairs with anything are chance.

    Moved bodily by more than the search radius in eight directions (which keeps the clustering
    that raises chance peaks), mirrored on both axes and turned by half a turn (which keeps the
    overlap).
    """
    if len(image) == 0:
        return []
    centre = np.median(image, axis=0)
    copies = [
        image + 2.5 * (search + 5.0) * np.array([np.cos(angle), np.sin(angle)])
        for angle in np.arange(8) * (np.pi / 4)
    ]
    copies += [centre + (image - centre) * sign for sign in ([-1, 1], [1, -1], [-1, -1])]
    return copies


def contrast(
    fitted: Points, reference: Points, *, search: float, radius: float
) -> tuple[float, int, int]:
    """How the number of pairs at the fit compares with the best that chance offers.

    Parameters
    ----------
    fitted : ndarray, shape (n, 2)
        Image stars after the fit: true pairs have offset zero.
    reference : ndarray, shape (n, 2)
        Reference stars.
    search, radius : float
        As the fit was searched.

    Returns
    -------
    ratio : float
        Pairs at offset zero over the largest number found elsewhere: at any other offset of the
        same lists, or at any offset of `scrambled` ones (counted as at least 1).
    n_pairs, n_chance : int
        The two numbers.
    """
    first, _ = nearest(fitted, reference, radius)
    rivals = [offset_peak(fitted, reference, search=search, radius=radius, avoid=3 * radius)[0]]
    rivals += [
        offset_peak(copy, reference, search=search, radius=radius)[0]
        for copy in scrambled(fitted, search=search)
    ]
    n_chance = max(rivals)
    return len(first) / max(n_chance, 1), len(first), n_chance


def uniqueness(fitted: Points, reference: Points, *, radius: float, reach: float) -> float:
    """Pairs at the fit over those at the next best offset of the same lists.

    Where the reference holds a second population of stars (of another proper motion, another
    epoch, or each star twice), or the stars lie on a lattice, there are two places for a fit.

    Parameters
    ----------
    fitted : ndarray, shape (n, 2)
        Image stars after the fit: true pairs have offset zero.
    reference : ndarray, shape (n, 2)
        Reference stars.
    radius : float
        What counts as one place: pairs that agree within this distance.
    reach : float
        Largest offset that counts as another place, on either axis.
    """
    here, _ = nearest(fitted, reference, radius)
    there, _ = offset_peak(fitted, reference, search=reach, radius=radius, avoid=radius)
    return len(here) / max(there, 1)


def chance_pairs(image: Points, reference: Points, *, radius: float, search: float) -> float:
    """Expected number of image stars with an unrelated reference star within `radius`.

    Counted on displaced copies of the list itself, so that crowding and overlap are those of
    the data.
    """
    if len(image) == 0 or len(reference) == 0:
        return 0.0
    counts = [
        len(nearest(copy, reference, radius)[0]) for copy in scrambled(image, search=search)[:8]
    ]
    return float(np.mean(counts))


@dataclass(frozen=True)
class Motion:
    """A linear map of the plane: points (n, 2) times `matrix`, plus `offset`."""

    matrix: Points
    offset: Points

    def __call__(self, points: Points) -> Points:
        """The points moved."""
        moved: Points = points @ self.matrix + self.offset
        return moved


def fit_motion(image: Points, reference: Points, geometry: Geometry) -> Motion:
    """The motion that carries `image` onto `reference`, pair by pair (least squares).

    Notes
    -----
    tweakwcs' fits agree with it to 5e-12 pixel on lists of 5 to 300 stars (500 of each geometry).
    Of two pairs, however, they make a mirror image in 110 cases of 500, of stars on a line or in
    one place nothing, and take two to seven times as long (0.2 to 0.4 ms for 20 stars).
    """
    matrix = np.eye(2)
    if geometry == "general":
        centred = image - image.mean(axis=0)
        matrix, *_ = np.linalg.lstsq(centred, reference - reference.mean(axis=0), rcond=None)
    elif geometry != "shift":
        _, turn_deg, scale = rigid_motion(image, reference)
        cos, sin = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
        matrix = np.array([[cos, sin], [-sin, cos]]) * (scale if geometry == "rscale" else 1.0)
    return Motion(matrix, reference.mean(axis=0) - image.mean(axis=0) @ matrix)


def find_motion(
    image: Points, reference: Points, geometry: Geometry, *, search: float, radius: float
) -> Motion | None:
    """Find the motion between two lists whose pairs are not known; None if there is none.

    From the offset that most pairs share, stars are paired and fitted in turn until no more
    pairs come: those far out are reached once the rotation is known.

    Parameters
    ----------
    image, reference : ndarray, shape (n, 2)
        The two lists.
    geometry : {"shift", "rshift", "rscale", "general"}
        What the motion may be.
    search, radius : float
        As of `offset_peak`.
    """
    motion = Motion(np.eye(2), offset_peak(image, reference, search=search, radius=radius)[1])
    n_pairs = 0
    for _ in range(_PAIRINGS):
        a, b = nearest(motion(image), reference, radius)
        if len(a) < _FEWEST_PAIRS[geometry]:
            return None
        motion = _clipped_fit(image[a], reference[b], geometry)
        if len(a) <= n_pairs:
            break
        n_pairs = len(a)
    return motion


def _clipped_fit(image: Points, reference: Points, geometry: Geometry) -> Motion:
    """The motion without the pairs that are far off on either axis, round by round.

    As `fit_linear` with tweakwcs, which clips by the distance on both axes together.
    """
    for _ in range(_CLIPPINGS):
        motion = fit_motion(image, reference, geometry)
        residual = reference - motion(image)
        limit = _CLIP_SIGMA * np.sqrt(np.mean(residual**2, axis=0))
        good = np.all(np.abs(residual) <= limit, axis=1)
        if good.all() or np.count_nonzero(good) < _FEWEST_PAIRS[geometry]:
            break
        image, reference = image[good], reference[good]
    return fit_motion(image, reference, geometry)


def rigid_motion(before: Points, after: Points) -> tuple[Points, float, float]:
    """Shift, rotation and scale that carry `before` to `after` (least squares).

    Returns
    -------
    shift : ndarray, shape (2,)
        Motion of the mean position, in pixels.
    rotation_deg : float
        Counter-clockwise in x, y.
    scale : float
        Size after over size before.

    Notes
    -----
    The similarity transformation of Umeyama (1991, IEEE PAMI 13, 376), in complex form.
    """
    shift = after.mean(axis=0) - before.mean(axis=0)
    u = (before - before.mean(axis=0)) @ np.array([1, 1j])
    v = (after - after.mean(axis=0)) @ np.array([1, 1j])
    norm = float(np.sum(np.abs(u) ** 2))
    if norm == 0:
        return shift, 0.0, 1.0
    factor = complex(np.sum(np.conj(u) * v) / norm)
    return shift, float(np.degrees(np.angle(factor))), float(abs(factor))


def fit_linear(
    image: Points, reference: Points, geometry: Geometry, *, name: str
) -> tuple[Points, Points, NDArray[np.bool_]]:
    """Fit the linear map that carries one list to the other with tweakwcs, clipped.

    For child processes: this is the fit that is written.

    Parameters
    ----------
    image, reference : ndarray, shape (n, 2)
        The pairs, in pixels.
    geometry : {"shift", "rshift", "rscale", "general"}
        What the map may be.
    name : str
        What is fitted, for the error.

    Returns
    -------
    matrix : ndarray, shape (2, 2)
    shift : ndarray, shape (2,)
        An image position p goes to ``matrix @ p + shift``.
    used : ndarray of bool, shape (n,)
        Which pairs were not clipped.

    Raises
    ------
    UnusableInput
        If there is no such map, or it is not finite.
    """
    from tweakwcs.linearfit import NotEnoughPointsError, SingularMatrixError, iter_linear_fit

    try:
        fit = iter_linear_fit(
            reference,
            image,
            fitgeom=geometry,
            nclip=_CLIPPINGS,
            sigma=(_CLIP_SIGMA, "rmse"),
            # Else each round takes back what the last one left out: with one pair in ten wrong by
            # up to 1.5 pixel, of 20 to 300 whose scatter is 0.05, the stars were off three times
            # as far.
            clip_accum=True,
        )
    except (ArithmeticError, ValueError, NotEnoughPointsError, SingularMatrixError) as error:
        raise UnusableInput(
            f"there is no fit: {type(error).__name__}: {error}", where=name
        ) from error
    matrix = np.asarray(fit["matrix"], dtype=float)
    # tweakwcs turns about the middle of the stars: here about the origin.
    centre = np.asarray(fit["center"], dtype=float)
    shift = np.asarray(fit["shift"], dtype=float) + centre - matrix @ centre
    if not (np.all(np.isfinite(matrix)) and np.all(np.isfinite(shift))):
        raise UnusableInput("there is no fit: it is not finite", where=name)
    return matrix, shift, np.asarray(fit["fitmask"], dtype=bool)

"""What runs in child processes: the steps of the hierarchical alignment.

Called through `hst_assets.isolation` only.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The modules below import these where they use them; the nursery has them before it forks.
import astroscrappy  # noqa: F401
import drizzlepac.updatehdr  # noqa: F401
import numpy as np
import photutils.aperture
import photutils.background
import photutils.detection  # noqa: F401
import tweakwcs.linearfit  # noqa: F401
from numpy.typing import NDArray

from hst_assets.astrometry import matching
from hst_assets.astrometry.exposure_field import Field, exposure_stars, read_field
from hst_assets.astrometry.gate import chance_probability
from hst_assets.astrometry.hierarchical.epoch_fit import as_exposure, fit_epoch, motion_between
from hst_assets.astrometry.hierarchical.visit_wcs import restore_solution
from hst_assets.astrometry.methods.attempts import LOWEST_THRESHOLD_SIGMA, align_requested
from hst_assets.astrometry.methods.linear_terms import move_linear_terms
from hst_assets.astrometry.working_copy import WorkingCopy, make_working_copy
from hst_assets.detection import image_planes
from hst_assets.detectors import DETECTORS
from hst_assets.medians import median_error
from hst_assets.settings import AlignmentSettings, GateSettings

WCS_NAME = "EPOCH-HST_ASSETS"
#: Stars that may shift an exposure, or speak against its WCS from elsewhere.
FEWEST_STARS = 5
#: So many times the pairs at an exposure's WCS, found at another offset, speak against it.
ELSEWHERE_FACTOR = 2.0
#: Pairs that chance gives with more than this probability say nothing.
MAX_CHANCE = 1e-3
#: The median of a few stars may be off by so many standard errors.
STANDARD_ERRORS = 3.0


def align_epoch(product: str, *, name: str, **request: Any) -> dict[str, Any]:
    """Fit a drizzled epoch to a catalogue, in the current directory.

    Parameters
    ----------
    product : str
        The drizzled image.
    name : str
        Seed of the held-out choice.
    **request
        detector, catalogue, alignment and gate of
        `hst_assets.astrometry.methods.attempts.align_requested`.

    Returns
    -------
    answer : dict
        See `hst_assets.astrometry.methods.attempts.align_copy`; and, if the fit is believed,
        ``before`` and ``after`` (files with the WCS of the epoch), ``shift_ra_arcsec``,
        ``shift_dec_arcsec``, ``rotation_deg``.
    """
    path = as_exposure(Path(product), Path("epoch.fits").absolute())
    before = Path(shutil.copyfile(path, path.with_name("before.fits")))
    answer = align_requested(
        WorkingCopy(path, path), fit_epoch, rootname=name, of_stars=False, **request
    )
    if answer["status"] != "FAIL":
        _, shift_ra, shift_dec, rotation = motion_between(before, path)
        answer |= {"before": str(before), "after": str(path), "rotation_deg": rotation}
        answer |= {"shift_ra_arcsec": shift_ra, "shift_dec_arcsec": shift_dec}
    return answer


def restore(raw: str, *, name: str) -> list[str]:
    """Copy an exposure into the current directory with its solution `name` in use."""
    copy = make_working_copy(Path(raw), Path.cwd())
    restore_solution(copy.science, name)
    return [str(path.absolute()) for path in copy.files]


def move_exposure(raw: str, *, before: str, after: str) -> list[str]:
    """Copy an exposure into the current directory, moved as its epoch was.

    Parameters
    ----------
    raw : str
        The exposure, only read.
    before, after : str
        Of `align_epoch`.
    """
    copy = make_working_copy(Path(raw), Path.cwd())
    motion, *_ = motion_between(Path(before), Path(after))
    move_linear_terms(copy.science, motion, wcs_name=WCS_NAME)
    return [str(path.absolute()) for path in copy.files]


def settle_exposure(
    raw: str,
    *,
    detector: str,
    rootname: str,
    catalogue: str,
    alignment: Mapping[str, Any],
    gate: Mapping[str, Any],
) -> dict[str, Any]:
    """Copy an exposure that has its epoch's WCS, and let its own few stars correct or refuse it.

    The pointing of exposures of a visit differs by hundredths of an arcsecond. Where `FEWEST_STARS`
    or more of its stars are found beside their reference stars, more than chance allows and with
    a mean that is certain enough, the exposure is shifted onto them.

    Parameters
    ----------
    raw, detector, rootname, catalogue, alignment, gate
        As for an alignment: see `hst_assets.astrometry.methods.attempts.align_requested`.

    Returns
    -------
    dict
        ``files`` of the copy; ``n_near``, how many stars were found so; ``offset_pix``, how far
        their median is from their reference stars; ``shifted``, whether the copy was moved by
        that; ``against``, why this cannot be the exposure's WCS, or an empty text.
    """
    how, limits = AlignmentSettings.model_validate(alignment), GateSettings.model_validate(gate)
    row = DETECTORS[detector]
    copy = make_working_copy(Path(raw), Path.cwd())
    field = read_field(copy, row, rootname, Path(catalogue), how)
    lowest = how.threshold_sigma * how.threshold_factor ** (how.max_tries - 1)
    threshold = max(lowest, min(how.threshold_sigma, LOWEST_THRESHOLD_SIGMA))
    stars = exposure_stars(field.prepared, row, how, threshold)
    here = field.plane.project(image_planes.sky_positions(stars, field.wcs_of))
    reference = field.plane.project(field.reference_sky)
    seen = _compare(here, reference, _Reach.of(field, how))
    shifted = seen.certain_enough(limits)
    if shifted:
        move_linear_terms(
            copy.science, _shift(seen.offset, field.plane.scale_arcsec), wcs_name=WCS_NAME
        )
    return {
        "files": [str(path.absolute()) for path in copy.files],
        "n_near": seen.n_near,
        "offset_pix": float(np.max(np.abs(seen.offset))),
        "shifted": shifted,
        "against": seen.against(limits),
    }


@dataclass(frozen=True)
class _Reach:
    """How far pairs are looked for, in native pixels."""

    tolerance: float
    search: int

    @classmethod
    def of(cls, field: Field, how: AlignmentSettings) -> _Reach:
        row = field.detector
        tolerance = how.tolerance_pix.get(row.key, row.match_tolerance_pix)
        return cls(tolerance, math.ceil(how.search_radius_arcsec / field.plane.scale_arcsec))


@dataclass(frozen=True)
class _Seen:
    """An exposure's own stars against the reference: lengths in native pixels."""

    n_near: int
    n_chance: float
    n_elsewhere: int
    offset: NDArray[np.float64]
    error: float

    @property
    def is_elsewhere(self) -> bool:
        return self.n_elsewhere >= max(FEWEST_STARS, ELSEWHERE_FACTOR * self.n_near)

    @property
    def is_chance(self) -> bool:
        return chance_probability(self.n_near, self.n_chance) > MAX_CHANCE

    def certain_enough(self, limits: GateSettings) -> bool:
        """Whether they can carry a shift."""
        many = self.n_near >= FEWEST_STARS and not self.is_chance and not self.is_elsewhere
        return many and self.error <= limits.max_held_out_offset_pix / 2

    def against(self, limits: GateSettings) -> str:
        """Why the WCS cannot be the exposure's, as far as they can tell."""
        if self.is_elsewhere:
            return f"{self.n_elsewhere} of its own stars agree elsewhere, {self.n_near} there"
        off = float(np.max(np.abs(self.offset)))
        if self.is_chance or self.certain_enough(limits):
            return ""
        if off <= max(limits.max_held_out_offset_pix, STANDARD_ERRORS * self.error):
            return ""
        return f"{self.n_near} stars of its own are off by {off:.2f} px"


def _compare(here: NDArray[np.float64], reference: NDArray[np.float64], reach: _Reach) -> _Seen:
    near, partner = matching.nearest(here, reference, reach.tolerance)
    residual = reference[partner] - here[near]
    n_elsewhere, _ = matching.offset_peak(
        here, reference, search=reach.search, radius=reach.tolerance, avoid=3 * reach.tolerance
    )
    scatter = float(np.max(np.std(residual, axis=0, ddof=1))) if len(near) > 1 else math.inf
    return _Seen(
        n_near=len(near),
        n_chance=matching.chance_pairs(
            here, reference, radius=reach.tolerance, search=reach.search
        ),
        n_elsewhere=n_elsewhere,
        offset=np.median(residual, axis=0) if len(near) else np.zeros(2),
        error=median_error(scatter, max(len(near), 1)),
    )


def _shift(
    offset: NDArray[np.float64], scale_arcsec: float
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """The motion of the sky that a shift of the tangent plane (x to the west) stands for."""
    west_deg, north_deg = offset * scale_arcsec / 3600

    def motion(sky: NDArray[np.float64]) -> NDArray[np.float64]:
        east = -west_deg / np.cos(np.radians(sky[:, 1]))
        return np.column_stack([(sky[:, 0] + east) % 360, sky[:, 1] + north_deg])

    return motion

"""What runs in child processes: the steps of the hierarchical alignment.

Called through `hst_assets.isolation` only.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
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

from hst_assets.astrometry import matching, sources
from hst_assets.astrometry.attempts import LOWEST_THRESHOLD_SIGMA, align_copy
from hst_assets.astrometry.epoch_fit import as_exposure, fit_epoch, motion_between
from hst_assets.astrometry.field import exposure_stars, read_field
from hst_assets.astrometry.linear_terms import move_linear_terms
from hst_assets.astrometry.visit_wcs import restore_solution
from hst_assets.astrometry.working_copy import WorkingCopy, make_working_copy
from hst_assets.detectors import DETECTORS
from hst_assets.settings import AlignmentSettings, GateSettings

WCS_NAME = "EPOCH-HST_ASSETS"


def align_epoch(
    product: str,
    *,
    detector: str,
    name: str,
    catalogue: str,
    alignment: Mapping[str, Any],
    gate: Mapping[str, Any],
) -> dict[str, Any]:
    """Fit a drizzled epoch to a catalogue, in the current directory.

    Parameters
    ----------
    product : str
        The drizzled image.
    detector, name : str
        Key of the registry; seed of the held-out choice.
    catalogue : str
        ECSV with columns ra, dec (deg), brightest first.
    alignment, gate : mapping
        The settings' sections.

    Returns
    -------
    outcome : dict
        See `hst_assets.astrometry.attempts.align_copy`; and, if the fit is believed, ``before``
        and ``after`` (files with the epoch's WCS), ``shift_ra_arcsec``, ``shift_dec_arcsec``,
        ``rotation_deg``.
    """
    path = as_exposure(Path(product), Path("epoch.fits").absolute())
    before = Path(shutil.copyfile(path, path.with_name("before.fits")))
    outcome = align_copy(
        WorkingCopy(path, path),
        fit_epoch,
        detector=detector,
        rootname=name,
        catalogue=Path(catalogue),
        how=AlignmentSettings.model_validate(alignment),
        limits=GateSettings.model_validate(gate),
    )
    if outcome["status"] != "FAIL":
        _, shift_ra, shift_dec, rotation = motion_between(before, path)
        outcome |= {"before": str(before), "after": str(path), "rotation_deg": rotation}
        outcome |= {"shift_ra_arcsec": shift_ra, "shift_dec_arcsec": shift_dec}
    return outcome


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


def look_at_stars(
    exposure: str,
    *,
    detector: str,
    rootname: str,
    catalogue: str,
    alignment: Mapping[str, Any],
) -> dict[str, Any]:
    """What an exposure's own stars, none of them fitted, say of its WCS.

    Parameters
    ----------
    exposure, detector, rootname, catalogue, alignment
        As for an alignment; the exposure is only read.

    Returns
    -------
    dict
        ``n_near`` of its stars have a reference star within the tolerance, where chance gives
        ``n_chance``; their median residuals ``dx``, ``dy`` and the scatter ``rms`` on the worse
        axis are in native pixels (0 without stars). ``n_elsewhere`` is the most pairs at any
        other offset within the search radius.
    """
    how = AlignmentSettings.model_validate(alignment)
    row = DETECTORS[detector]
    field = read_field(WorkingCopy.at(Path(exposure)), row, rootname, Path(catalogue), how)
    lowest = how.threshold_sigma * how.threshold_factor ** (how.max_tries - 1)
    threshold = max(lowest, min(how.threshold_sigma, LOWEST_THRESHOLD_SIGMA))
    stars = exposure_stars(field.prepared, row, how, threshold)
    tolerance = how.tolerance_pix.get(row.key, row.match_tolerance_pix)
    search = math.ceil(how.search_radius_arcsec / field.plane.scale_arcsec)
    here = field.plane.project(sources.sky_positions(stars, field.wcs_of))
    reference = field.plane.project(field.reference_sky)
    near, partner = matching.nearest(here, reference, tolerance)
    residual = reference[partner] - here[near]
    dx, dy = np.median(residual, axis=0) if len(near) else (0.0, 0.0)
    n_elsewhere, _ = matching.offset_peak(
        here, reference, search=search, radius=tolerance, avoid=3 * tolerance
    )
    return {
        "n_near": len(near),
        "n_chance": matching.chance_pairs(here, reference, radius=tolerance, search=search),
        "dx": float(dx),
        "dy": float(dy),
        "rms": float(np.max(np.std(residual, axis=0))) if len(near) else 0.0,
        "n_elsewhere": n_elsewhere,
    }

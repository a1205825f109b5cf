"""Whether a reference's frame is that of the absolute catalogue: a property of the reference.

There is one frame a target. Where the method ``catalog`` is in use, the frame is the catalogue's if
the anchor of the reference, or the user's image, agrees with it; exposures may then be aligned to
the catalogue or to the reference's stars alike. Otherwise the frame is the anchor's own, the reason
is kept, and no exposure is aligned to the catalogue: that would be another frame.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from numpy.typing import NDArray

from hst_assets.astrometry import matching
from hst_assets.astrometry.absolute.stars import julian_year, stars_at
from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign
from hst_assets.astrometry.measurement import remaining_tilt
from hst_assets.astrometry.methods.registry import METHODS
from hst_assets.detection import image_planes
from hst_assets.settings import Settings
from hst_assets.sky_geometry import TangentPlane, pixel_scale_arcsec
from hst_assets.workdir import WorkDir

__all__ = ["Tie", "image_tie", "through_wcs", "tie_anchor"]

#: Stars of an image and of the catalogue belong together within this (pixels of the image).
_RADIUS_PIX = 1.0


@dataclass(frozen=True)
class Tie:
    """How a reference's frame is tied to the sky.

    Attributes
    ----------
    catalogue : str
        Name of the catalogue.
    reason : str
        What the frame stands on; or why it is not the catalogue's.
    absolute : bool
        Whether the frame is that of the catalogue.
    """

    catalogue: str
    reason: str
    absolute: bool = False

    def as_json(self) -> dict[str, Any]:
        """For the note on the reference; the inverse of ``Tie(**values)``."""
        return asdict(self)


def tie_anchor(
    anchor: ExposureToAlign,
    catalogue: str,
    *,
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
    stage: str,
) -> tuple[Tie, AlignmentResult]:
    """Bring the anchor of a reference onto the absolute catalogue.

    Only a fit that passes makes the frame absolute; a compromised one would compromise all that
    is aligned to it.

    Parameters
    ----------
    anchor : ExposureToAlign
        The exposure.
    catalogue : str
        Name of the catalogue in ``workspace/absolute_catalog.ecsv``.
    settings, workdir, scratch, stage
        See `hst_assets.astrometry.methods.registry.Method.align`.

    Returns
    -------
    tie : Tie
        What follows for the frame.
    result : AlignmentResult
        The anchor's: with the catalogue's WCS if the tie is absolute.
    """
    (result,) = METHODS["catalog"].align(
        [anchor],
        workdir.absolute_catalog,
        settings=settings,
        workdir=workdir,
        scratch=scratch,
        stage=stage,
    )
    if result.status == "PASS" and result.numbers is not None:
        n_matches = result.numbers.n_matches
        reason = f"{anchor.rootname} on {n_matches} stars"
        return Tie(catalogue, reason, absolute=True), result
    reason = f"{anchor.rootname} could not be aligned to {catalogue}: {result.reason}"
    return Tie(catalogue, reason), result


def through_wcs(catalogue: Path, exposure: Path) -> None:
    """Rewrite the star catalogue of an exposure (x, y, extver) with RA and Dec by its WCS now."""
    stars = Table.read(catalogue, format="ascii.ecsv")
    sky = image_planes.sky_positions(stars, image_planes.wcs_by_extver(exposure))
    stars["ra"][:], stars["dec"][:] = sky.T
    stars.write(catalogue, format="ascii.ecsv", overwrite=True)


# ------------------------------------------------------------------------- the user's image


def image_tie(
    image: Path, image_stars: Path, absolute: Table, catalogue: str, settings: Settings
) -> Tie:
    """Whether the stars of a user's reference image agree with the absolute catalogue.

    The image is not moved: its WCS defines the frame. This is the catalogue's frame if the median
    offset of its stars is within the gate's limit for held-out stars, and so is the median
    displacement by the rotation and scale that remain. These turn and stretch about the middle of
    the stars, so that the median offset does not show them.

    Parameters
    ----------
    image : `~pathlib.Path`
        Only read.
    image_stars : `~pathlib.Path`
        Its star catalogue (ECSV: ra, dec in deg).
    absolute : `~astropy.table.Table`
        The absolute catalogue.
    catalogue : str
        Its name.
    settings : Settings
        Sections alignment, gate and catalog.
    """

    def no(reason: str) -> Tie:
        return Tie(catalogue, f"the reference image, {reason}")

    year = _year_of(image)
    if year is None:
        return no("whose header has no date, cannot be compared with stars that move")
    stars = Table.read(image_stars, format="ascii.ecsv")
    there = stars_at(absolute, year, max_error_mas=settings.catalog.max_position_error_mas)
    here, there = _sky(stars), _sky(there)
    scale = pixel_scale_arcsec(image_planes.reference_plane(image).wcs)
    if len(here) == 0 or len(there) == 0:
        return no(f"with {len(here)} stars, has none in common with {catalogue} ({len(there)})")
    plane = TangentPlane.about(here, scale)
    seen = plane.project(there)
    seen = seen[np.isfinite(seen[:, 0])]  # not those of another hemisphere
    return _agreement(plane.project(here), seen, scale, catalogue, settings)


def _agreement(
    here: NDArray[np.float64],
    there: NDArray[np.float64],
    scale_arcsec: float,
    catalogue: str,
    settings: Settings,
) -> Tie:
    """The verdict on two lists on a plane whose pixels are the image's."""
    limits = settings.gate
    search = math.ceil(settings.alignment.search_radius_arcsec / scale_arcsec)
    _, offset = matching.offset_peak(here, there, search=search, radius=_RADIUS_PIX)
    ratio, n_pairs, _ = matching.contrast(here + offset, there, search=search, radius=_RADIUS_PIX)
    paired, partner = matching.nearest(here + offset, there, _RADIUS_PIX)
    if n_pairs < limits.min_matches or ratio < limits.min_contrast:
        return Tie(
            catalogue,
            f"the reference image has {n_pairs} stars in common with {catalogue}, "
            f"{ratio:.1f} times as many as by chance: {limits.min_matches} and "
            f"(minimum {limits.min_contrast:g})",
        )
    x, y = np.median(there[partner] - here[paired], axis=0)
    worst = max(abs(x), abs(y))
    tilt, _ = remaining_tilt(here + offset, there, _RADIUS_PIX)
    text = (
        f"{n_pairs} stars of the reference image are off {catalogue} by {worst:.2f} px, and by "
        f"{tilt:.2f} px for rotation and scale"
    )
    # Written so that NaN does not agree.
    if worst <= limits.max_held_out_offset_pix and tilt <= limits.max_held_out_offset_pix:
        return Tie(catalogue, text, absolute=True)
    return Tie(catalogue, f"{text}, limit {limits.max_held_out_offset_pix:g}")


def _sky(table: Table) -> NDArray[np.float64]:
    columns = (np.asarray(table[name], dtype=float) for name in ("ra", "dec"))
    return np.column_stack(list(columns)).reshape(-1, 2)


def _year_of(image: Path) -> float | None:
    """Julian year of the middle of an image, if a header of it says when it was taken."""
    with fits.open(image, memmap=False) as hdus:
        headers = [hdu.header for hdu in hdus]
    for header in headers:
        ends = [header.get(key) for key in ("EXPSTART", "EXPEND")]
        if all(isinstance(end, float) for end in ends):
            return julian_year(sum(ends) / 2)
        mjd = header.get("MJD-AVG", header.get("MJD-OBS"))
        if isinstance(mjd, float):
            return julian_year(mjd)
        try:
            return julian_year(Time(str(header["DATE-OBS"]), scale="utc").mjd)
        except (KeyError, ValueError):
            continue
    return None

"""A local archive tree, ``INST/DET/round(ra)/name``: where a file lies in it, and what lies near.

The folder named by the rounded right ascension only tells where not to look: fields straddle
degrees, and degrees shrink towards the poles. What lies near is decided by the headers.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from pathlib import Path, PurePath

import numpy as np
from astropy.io import fits

from hst_assets.detectors import Detector
from hst_assets.exposures.limits import LARGEST_BYTES
from hst_assets.exposures.raw import suffix_of
from hst_assets.exposures.sources import fits_files_in, is_packed, unpacked_name
from hst_assets.exposures.verification import EXPOSURE_SUFFIXES
from hst_assets.failures import BadConfiguration
from hst_assets.sky_geometry import separation_deg

__all__ = ["exposures_near", "folder_in_tree"]

logger = logging.getLogger(__name__)

_DEGREE_FOLDER = re.compile(r"\d{1,3}")


def folder_in_tree(detector: Detector, ra_deg: float) -> PurePath:
    """The folder of an exposure, below the tree's root, as hst123 names it.

    Parameters
    ----------
    detector : Detector
        That took it; WFPC2 is ``WFPC2/WFPC2``.
    ra_deg : float
        Right ascension of the pointing, degrees; halves are rounded to the even neighbour.
    """
    return PurePath(detector.instrument, detector.detector, str(round(ra_deg)))


def exposures_near(
    archive: Path, ra_deg: float, dec_deg: float, *, radius_arcsec: float = 300.0
) -> list[Path]:
    """The exposures of an archive tree whose pointing is near a position.

    Parameters
    ----------
    archive : `~pathlib.Path`
        The tree's root.
    ra_deg, dec_deg : float
        The target (ICRS).
    radius_arcsec : float, optional
        Largest distance from the target to the reference position of a chip (CRVAL) or to the
        proposal's target (RA_TARG, DEC_TARG). The default is wider than any field of view.

    Returns
    -------
    list of path
        Sorted. Companions (c1m) are not listed: `~hst_assets.exposures.ingest.ingest` finds
        them beside their exposure. Files that cannot be read *are* listed, so that ingest
        rejects them with their reason.

    Raises
    ------
    BadConfiguration
        If `archive` is not a folder.
    """
    if not archive.is_dir():
        raise BadConfiguration("no such archive folder", where=archive)
    radius_deg = radius_arcsec / 3600.0
    near = [
        path
        for path in fits_files_in(archive)
        if suffix_of(unpacked_name(path)) in EXPOSURE_SUFFIXES
        and _may_hold(path.parent.name, ra_deg, dec_deg, radius_deg)
        and _is_near(path, ra_deg, dec_deg, radius_deg)
    ]
    logger.info("%d exposures near RA %.5f Dec %.5f in %s", len(near), ra_deg, dec_deg, archive)
    return near


def _may_hold(folder: str, ra_deg: float, dec_deg: float, radius_deg: float) -> bool:
    """Whether the folder of a rounded RA may hold a field near the target."""
    if not _DEGREE_FOLDER.fullmatch(folder):
        return True  # not laid out by RA: look into every file
    offset = abs((float(folder) - ra_deg + 180.0) % 360.0 - 180.0)
    # One degree for the rounding, and for pointings that are off the requested coordinates.
    farthest_dec = min(abs(dec_deg) + radius_deg, 90.0)
    shrink = math.cos(math.radians(farthest_dec))
    return offset <= 1.0 + (radius_deg / shrink if shrink > radius_deg / 180.0 else 360.0)


def _is_near(path: Path, ra_deg: float, dec_deg: float, radius_deg: float) -> bool:
    """Whether an exposure is near the target; where that cannot be told, ingest has to say why."""
    if _is_odd(path):
        return True
    try:
        positions = np.array(_positions(path))
    except Exception:  # noqa: BLE001 - no header is trusted yet: it may make astropy raise anything
        return True
    if not np.all(np.isfinite(positions)) or np.any(np.abs(positions) > 360.0):
        return True
    if not len(positions):
        return True
    return bool(np.any(separation_deg(positions, (ra_deg, dec_deg)) <= radius_deg))


def _is_odd(path: Path) -> bool:
    """Whether a file is none that headers are read from here: no file, packed, or too large."""
    try:
        return not path.is_file() or is_packed(path) or path.stat().st_size > LARGEST_BYTES
    except OSError:
        return True


def _positions(path: Path) -> list[tuple[float, float]]:
    """RA and Dec of the target and of each chip's reference pixel; only headers are read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            path.open("rb") as handle,
            fits.open(
                handle, memmap=False, lazy_load_hdus=True, disable_image_compression=True
            ) as hdus,
        ):
            headers = [(hdus[0].header, "RA_TARG", "DEC_TARG")]
            headers += [(hdu.header, "CRVAL1", "CRVAL2") for hdu in hdus[1:] if hdu.name == "SCI"]
            return [
                (float(header[ra]), float(header[dec]))
                for header, ra, dec in headers
                if ra in header and dec in header
            ]

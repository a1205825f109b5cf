"""What runs in child processes: fits of one exposure to the absolute catalogue.

Called through `hst_assets.isolation` only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Imported here, the nursery has them before it forks, and not each of its children again.
import astroscrappy  # noqa: F401
import drizzlepac.updatehdr  # noqa: F401
import photutils.aperture
import photutils.background
import photutils.detection  # noqa: F401
import tweakwcs.correctors  # noqa: F401
from astropy.io import fits

from hst_assets.astrometry.absolute.stars import julian_year, read_stars, stars_at
from hst_assets.astrometry.methods.attempts import align_requested
from hst_assets.astrometry.methods.catalog_fit import fit_to_catalog
from hst_assets.astrometry.working_copy import make_working_copy
from hst_assets.exposures.header import exposure_times


def align_exposure(
    raw: str, *, catalogue: str, max_position_error_mas: float, **request: Any
) -> dict[str, Any]:
    """Align one exposure to stars where they were in the middle of it, in the current directory.

    Parameters
    ----------
    raw : str
        The exposure in raw/, only read.
    catalogue : str
        The absolute catalogue.
    max_position_error_mas : float
        Stars less certain than this at that moment are left out.
    **request
        See `hst_assets.astrometry.methods.tweakreg_task.align_exposure`.

    Returns
    -------
    answer : dict
        See `hst_assets.astrometry.methods.attempts.align_copy`.
    """
    copy = make_working_copy(Path(raw), Path.cwd())
    start, end, _ = exposure_times(fits.getheader(copy.science, 0))
    year = julian_year(0.5 * (start + end))
    stars = stars_at(read_stars(Path(catalogue)), year, max_error_mas=max_position_error_mas)
    then = Path("stars_then.ecsv")
    stars.write(then, format="ascii.ecsv")
    return align_requested(copy, fit_to_catalog, catalogue=str(then), **request)

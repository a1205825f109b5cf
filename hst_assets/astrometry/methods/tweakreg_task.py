"""What runs in child processes: TweakReg's tries on one exposure.

Called through `hst_assets.isolation` only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

# The modules below import these where they use them. Imported here, the nursery has them before it
# forks, and not each of its children again (drizzlepac: 5 s).
import astroscrappy  # noqa: F401
import drizzlepac.tweakreg  # noqa: F401
import photutils.aperture
import photutils.background
import photutils.detection  # noqa: F401

from hst_assets.astrometry.methods.attempts import align_requested
from hst_assets.astrometry.methods.tweakreg_fit import run_tweakreg
from hst_assets.astrometry.working_copy import make_working_copy


def align_exposure(raw: str, **request: Any) -> dict[str, Any]:
    """Align one exposure to a catalogue of sky positions, in the current directory.

    Parameters
    ----------
    raw : str
        The exposure in raw/, only read.
    **request
        detector, rootname, catalogue, alignment and gate of
        `hst_assets.astrometry.methods.attempts.align_requested`.

    Returns
    -------
    answer : dict
        See `hst_assets.astrometry.methods.attempts.align_copy`.
    """
    copy = make_working_copy(Path(raw), Path.cwd())
    return align_requested(copy, run_tweakreg, **request)

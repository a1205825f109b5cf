"""What runs in child processes: TweakReg's tries on one exposure.

Called through `hst_assets.isolation` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

# The modules below import these where they use them. Imported here, the nursery has them before it
# forks, and not each of its children again (drizzlepac: 5 s).
import astroscrappy  # noqa: F401
import drizzlepac.tweakreg  # noqa: F401
import photutils.aperture
import photutils.background
import photutils.detection  # noqa: F401

from hst_assets.astrometry.methods.attempts import align_copy
from hst_assets.astrometry.methods.tweakreg_fit import run_tweakreg
from hst_assets.astrometry.working_copy import make_working_copy
from hst_assets.settings import AlignmentSettings, GateSettings


def align_exposure(
    raw: str,
    *,
    detector: str,
    rootname: str,
    catalogue: str,
    alignment: Mapping[str, Any],
    gate: Mapping[str, Any],
) -> dict[str, Any]:
    """Align one exposure to a catalogue of sky positions, in the current directory.

    Parameters
    ----------
    raw : str
        The exposure in raw/, only read.
    detector, rootname : str
        Key of the registry; seed of the held-out choice.
    catalogue : str
        ECSV with columns ra, dec (deg), brightest first.
    alignment, gate : mapping
        The settings' sections.

    Returns
    -------
    outcome : dict
        See `hst_assets.astrometry.methods.attempts.align_copy`.
    """
    return align_copy(
        make_working_copy(Path(raw), Path.cwd()),
        run_tweakreg,
        detector=detector,
        rootname=rootname,
        catalogue=Path(catalogue),
        how=AlignmentSettings.model_validate(alignment),
        limits=GateSettings.model_validate(gate),
    )

"""What runs in child processes: JHAT's tries on one exposure.

Called through `hst_assets.isolation` only: importing this module takes the process off the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hst_assets.astrometry.methods.loopback_only import refuse_the_network

# Importing JHAT asks github.com for its instrument tables' version and gea.esac.esa.int for the
# Gaia archive's messages: minutes of waiting where they do not answer, and nothing that is used.
refuse_the_network()

# Imported here, the nursery has them before it forks, and not each of its children again (JHAT:
# 3 s). The log handlers and the Gaia client that JHAT makes stay in these processes.
import astroscrappy  # noqa: E402, F401
import drizzlepac.updatehdr  # noqa: E402, F401
import jhat  # noqa: E402, F401
import photutils.aperture  # noqa: E402
import photutils.background  # noqa: E402
import photutils.detection  # noqa: E402, F401

from hst_assets.astrometry.methods.attempts import align_requested  # noqa: E402
from hst_assets.astrometry.methods.jhat_fit import run_jhat  # noqa: E402
from hst_assets.astrometry.working_copy import make_working_copy  # noqa: E402
from hst_assets.settings import GateSettings  # noqa: E402


def align_exposure(raw: str, *, gate: Mapping[str, Any], **request: Any) -> dict[str, Any]:
    """Align one exposure to a catalogue of sky positions, in the current directory.

    Parameters
    ----------
    raw, gate, **request
        See `hst_assets.astrometry.methods.tweakreg_task.align_exposure`.

    Returns
    -------
    answer : dict
        See `hst_assets.astrometry.methods.attempts.align_copy`.
    """
    copy = make_working_copy(Path(raw), Path.cwd())
    most = GateSettings.model_validate(gate).max_rotation_deg
    return align_requested(copy, partial(run_jhat, max_rotation_deg=most), gate=gate, **request)

"""The note on a reference image that a test has put in place itself."""

from pathlib import Path
from typing import Any

from hst_assets.astrometry.reference.frame import write_note
from hst_assets.workdir import WorkDir


def note_reference(workdir: WorkDir, image: Path, **more: Any) -> None:
    """Write the note as if the image had been made of no exposures."""
    note = {
        "image": workdir.relative(image),
        "user": False,
        "choice": {"detector_key": "wfc3_uvis", "filter": "F606W", "epoch": 1, "exposures": {}},
        "settings": {},
        "inputs": {},
    }
    write_note(workdir, note | more)

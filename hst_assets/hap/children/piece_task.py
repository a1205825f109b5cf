"""The child's side of `hst_assets.hap.pieces`: one piece in a process and a folder of its own.

HAP's code works in the current directory and on bare names, changes its inputs in place and ends
the process where it gives up. So a piece gets copies of what it changes and links to what it reads,
and the way it ended is reported as a number.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from astropy.io.fits.verify import VerifyWarning
from astropy.wcs import FITSFixedWarning

from hst_assets.failures import ToolFailed
from hst_assets.hap.children import catalog_task, image_task, parameter_task, quality_task
from hst_assets.hap.quicker import shortcuts
from hst_assets.nursery import REPLY_NAME

__all__ = ["run_piece"]

# Here, that is before the nursery forks.
shortcuts.load_compiled()

STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "plan": image_task.plan,
    "parameters": parameter_task.tell,
    "align": image_task.align,
    "filter": image_task.drizzle_filter,
    "total": image_task.drizzle_total,
    "headers": image_task.finish_header,
    "detect": catalog_task.detect,
    "measure": catalog_task.measure,
    "combine": catalog_task.combine,
    "quality": quality_task.assess,
}
#: What drizzlepac leaves beside its products.
_LEAVINGS = (
    "*_header_hap.rules",
    "*_staticMask.fits",
    "*_skymatch_mask_*.fits",
    "astrodrizzle.log",
    "footprint.reg",
    "ref_cat.ecsv",
    "temp_*",
)


def run_piece(
    step: str,
    folder: str,
    reads: Sequence[str],
    changes: Sequence[str],
    spoils: Sequence[str],
    arguments: Mapping[str, Any],
    cores: int | None = None,
) -> dict[str, Any]:
    """Run one step in the current directory.

    Parameters
    ----------
    step : str
        Name in `STEPS`.
    folder : str
        Absolute path of the visit's folder.
    reads, changes, spoils : sequence of str
        Names in that folder: what the step reads, what it changes, and what it also changes, but
        whose changed copies are thrown away.
    arguments : mapping
        Keyword arguments of the step.
    cores : int, optional
        Processes that it may have at a time, of a step that shares its work out.

    Returns
    -------
    dict
        ``value``: what the step told; ``exit``: the number with which drizzlepac ended it, or
        None; ``files``: names of the products in the current directory.

    Raises
    ------
    ToolFailed
        If the step changed a file that it was to read only.
    """
    warnings.simplefilter("ignore", VerifyWarning)
    warnings.simplefilter("ignore", FITSFixedWarning)
    here = Path.cwd()
    links = [_linked(Path(folder) / name, here / name) for name in reads]
    before = [_state(link) for link in links]
    for name in (*changes, *spoils):
        shutil.copyfile((Path(folder) / name).resolve(), here / name)
    value, ended = {}, None
    shared_out = {} if cores is None else {"cores": cores}
    try:
        with shortcuts.in_force():
            value = STEPS[step](**arguments, **shared_out)
    except SystemExit as end:
        ended = end.code if isinstance(end.code, int) else 1
    for link, state in zip(links, before, strict=True):
        if _state(link) != state:
            raise ToolFailed(
                f"the piece {step!r} changed a file that it was to read",
                where=link.resolve(),
                next_step="Fetch or make that file again, and report this",
            )
    for pattern in _LEAVINGS:
        for path in here.glob(pattern):
            path.unlink()
    files = [name for name in _products(here) if name not in spoils]
    return {"value": value, "exit": ended, "files": files}


def _linked(target: Path, link: Path) -> Path:
    link.symlink_to(target.resolve())
    return link


def _state(path: Path) -> tuple[int, int]:
    """What changes when a file is written to."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _products(folder: Path) -> list[str]:
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and not path.is_symlink() and not path.name.startswith(REPLY_NAME)
    )

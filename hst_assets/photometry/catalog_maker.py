"""Who measures the stars of a target: DOLPHOT, or the embedded photometer."""

from __future__ import annotations

from collections.abc import Callable

from hst_assets.failures import MissingTool
from hst_assets.photometry.dolphot.catalog_run import (
    make_dolphot_catalog,
    standing_without_program,
)
from hst_assets.photometry.dolphot.program import find_program
from hst_assets.photometry.psf.catalog_run import make_embedded_catalog
from hst_assets.progress import Progress
from hst_assets.provenance import Made
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["make_catalog"]


def make_catalog(
    workdir: WorkDir,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Made:
    """Measure the stars of a target with the photometer that the settings name.

    Parameters
    ----------
    workdir : WorkDir
        The target's; what the photometer reads must exist.
    settings : Settings
        Sections photometry, dolphot, embedded, dolphot_inputs and machine.
    redo : bool, optional
        Make again what is up to date, too.
    progress : callable, optional
        Is told how far the run is; by default the log is, now and then.

    Returns
    -------
    Made
        Product: the catalogue ``dolphot/dp0000``. One by the other photometer is made again, and
        the reason says so; with ``auto``, one by DOLPHOT that is up to date stays where DOLPHOT is
        not installed.

    Raises
    ------
    HstAssetsError
        See `hst_assets.photometry.dolphot.catalog_run.make_dolphot_catalog` and
        `hst_assets.photometry.psf.catalog_run.make_embedded_catalog`. `MissingTool` if DOLPHOT is
        asked for, by ``dolphot`` or by ``dolphot.program``, and is not there.
    """
    by_dolphot = _is_dolphots(workdir, settings, redo=redo)
    maker = make_dolphot_catalog if by_dolphot else make_embedded_catalog
    return maker(workdir, settings, redo=redo, progress=progress)


def _is_dolphots(workdir: WorkDir, settings: Settings, *, redo: bool) -> bool:
    chosen = settings.photometry.photometer
    if chosen != "auto":
        return chosen == "dolphot"
    if settings.dolphot.program is not None:  # who names it wants it
        return True
    try:
        find_program(settings.dolphot, workdir)
    except MissingTool:
        return not redo and standing_without_program(workdir, settings) is not None
    return True

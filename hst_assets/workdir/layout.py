"""The one class through which all paths of a work directory are named."""

from __future__ import annotations

from dataclasses import dataclass

from hst_assets.workdir.alignment import AlignmentPaths
from hst_assets.workdir.exposures import ExposurePaths
from hst_assets.workdir.images import ImagePaths
from hst_assets.workdir.locks import Locks
from hst_assets.workdir.photometry import PhotometryPaths

__all__ = ["WorkDir"]


@dataclass(frozen=True)
class WorkDir(ExposurePaths, AlignmentPaths, ImagePaths, PhotometryPaths, Locks):
    """Paths of one target's work directory; each branch of the layout has its class.

    Parameters
    ----------
    root : `~pathlib.Path`
        The folder of work directories.
    target : str
        The target's name, which is its folder's name.
    looked_at : bool
        Nothing is made in it: what would be is told instead (`hst_assets.provenance.WouldBeMade`).
    """

"""The one class through which all paths of a work directory are named.

The folders and names are those of the hst123 user guide, so that an existing hst123 work
directory can be adopted. Nobody else in the project joins path strings.

::

    <root>/settings.toml            settings for every target (optional)
    <root>/.reference_files/        distortion files fetched from CRDS
    <root>/.catalogs/               answers of catalogue services
    <root>/<target>/                one work directory
        target.toml                 coordinates and settings of this target
        overrides.ecsv              human decisions on exposures (optional)
        raw/                        verified exposures, read-only
        workspace/                  exposure tables, aligned exposures, visit-level drizzles
        drizzle/                    consolidated stacks
        logs/                       session logs and the tools' own output
        .mast_download_staging/     downloads under way
        .hst123_runfiles/           scratch folders of tool calls, locks
        <obj.><inst>.<filt>.ref_<epoch>.drc.fits    the reference image
        dolphot/                    DOLPHOT's catalogue; what it reads is in dolphot/inputs/
        light_curve/                light curves of the target and of other places
        counterpart/                candidates for the counterpart of a transient
        report.html                 everything about the target on one page
        hap/                        Hubble Advanced Products, one folder a visit
        published.json              what of it was published, and where
"""

from __future__ import annotations

from dataclasses import dataclass

from hst_assets.workdir.alignment import AlignmentPaths
from hst_assets.workdir.counterpart import CounterpartPaths
from hst_assets.workdir.exposures import ExposurePaths
from hst_assets.workdir.hap import HapPaths
from hst_assets.workdir.images import ImagePaths
from hst_assets.workdir.light_curves import LightCurvePaths
from hst_assets.workdir.locks import Locks
from hst_assets.workdir.photometry import PhotometryPaths
from hst_assets.workdir.publication import PublicationPaths
from hst_assets.workdir.report import ReportPaths

__all__ = ["WorkDir"]


@dataclass(frozen=True)
class WorkDir(
    ExposurePaths,
    AlignmentPaths,
    ImagePaths,
    PhotometryPaths,
    LightCurvePaths,
    CounterpartPaths,
    HapPaths,
    ReportPaths,
    PublicationPaths,
    Locks,
):
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

"""The work directory of one target: every path of the layout, in one class.

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
        hap/                        later stages
"""

from hst_assets.workdir.folders import (
    ROOT_VARIABLE,
    default_root,
    set_position_step,
    targets_in,
)
from hst_assets.workdir.layout import WorkDir
from hst_assets.workdir.publishing import publish, write_atomically

__all__ = [
    "ROOT_VARIABLE",
    "WorkDir",
    "default_root",
    "publish",
    "set_position_step",
    "targets_in",
    "write_atomically",
]

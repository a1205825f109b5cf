"""The work directory of one target: every path in one class, `WorkDir`; atomic files, locks."""

from hst_assets.workdir.atomic_files import (
    file_stamp,
    fresh_stamp,
    move_into_place,
    stamp_if_there,
    time_in,
    write_atomically,
)
from hst_assets.workdir.folders import (
    CONSOLE_LOG_PREFIX,
    ROOT_VARIABLE,
    default_root,
    set_position_step,
    targets_in,
)
from hst_assets.workdir.layout import WorkDir

__all__ = [
    "CONSOLE_LOG_PREFIX",
    "ROOT_VARIABLE",
    "WorkDir",
    "default_root",
    "file_stamp",
    "fresh_stamp",
    "move_into_place",
    "set_position_step",
    "stamp_if_there",
    "targets_in",
    "time_in",
    "write_atomically",
]

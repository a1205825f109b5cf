"""The files and folders that settings name, of which a product may be made.

A setting stays as it is when the file behind its path changes. What remembers that nothing has
changed looks at these as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hst_assets.settings.sections import Settings
from hst_assets.workdir import WorkDir

__all__ = ["files_in", "inputs_named", "paths_named"]

#: Folders to which runs write: that they change is no news for another run.
_WRITTEN_BY_RUNS = frozenset({"archive.tree", "catalog.cache", "reference_files.cache"})
#: Of folders with more files than this, such as a whole tree of the archive, no file is looked at.
_MAX_FILES = 5000


def paths_named(settings: Settings, workdir: WorkDir) -> dict[str, Path]:
    """Every path of the settings, by its key.

    Parameters
    ----------
    settings : Settings
        Of all sections.
    workdir : WorkDir
        The target's; relative paths start there.

    Returns
    -------
    paths : dict
        Absolute paths by keys such as ``reference_files.iref`` or, in a table or list,
        ``embedded.psf_grids.wfc3_uvis.f814w``. There may be nothing at a path.
    """
    return {key: workdir.base / path for key, path in _paths("", settings.model_dump())}


def inputs_named(settings: Settings, workdir: WorkDir) -> dict[str, Path]:
    """The same without folders to which runs write."""
    found = paths_named(settings, workdir)
    return {key: path for key, path in found.items() if key not in _WRITTEN_BY_RUNS}


def files_in(path: Path) -> list[Path]:
    """What lies directly in a folder, sorted; nothing of a file, or of a folder of very many."""
    try:
        found = sorted(path.iterdir())
    except OSError:
        return []
    return found if len(found) <= _MAX_FILES else []


def _paths(key: str, value: Any) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _paths(f"{key}.{name}" if key else str(name), each)
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from _paths(f"{key}.{number}", each)

"""DOLPHOT's executable: where it is, which version, and which files it reads beside the images."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from hst_assets.digests import sha256_of_file
from hst_assets.failures import MissingTool
from hst_assets.settings import DolphotSettings
from hst_assets.workdir import WorkDir

__all__ = ["Program", "find_program"]

NAME = "dolphot"
_ROOT_VARIABLE = "HST123_DOLPHOT_ROOT"
_INSTALL = (
    "Build it from http://americano.dolphinsim.com/dolphot/ with the modules and PSF libraries of "
    "your instruments, then put it on the PATH or name it in dolphot.program"
)
_ELF = b"\x7fELF"
_MACH_O = (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
#: A name that only DOLPHOT 3 has.
_OF_VERSION_3 = "InterpPSFlib"
_FILTER = re.compile(r"F[QR]?\d{3,4}[A-Z]{1,2}")
#: Longest path in an executable that is looked at.
_PATHS = re.compile(rb"(?<=\0)/[ -~]{1,200}(?=\0)")


@dataclass(frozen=True)
class Program:
    """An executable of DOLPHOT.

    Attributes
    ----------
    path : `~pathlib.Path`
        The executable itself, links followed.
    sha256 : str
        Of its bytes.
    version : {"2", "3", "not known"}
        DOLPHOT does not tell its version; names of parameters in the executable do. It is not
        known of a script.
    root : `~pathlib.Path` or None
        The folder with its data (``param``, ``acs``, ``wfc3``, ``wfpc2``); None if not found.
    """

    path: Path
    sha256: str
    version: Literal["2", "3", "not known"]
    root: Path | None

    @property
    def identity(self) -> str:
        """What decides the result, in one text."""
        return f"DOLPHOT {self.version} ({self.sha256})"

    def data_files(self, needed: Iterable[tuple[str, str]]) -> dict[str, Path | None]:
        """Files outside the executable that decide the result.

        Parameters
        ----------
        needed : iterable of (str, str)
            Instrument and filter of the images; no filter: any, whose library is not looked for.

        Returns
        -------
        dict
            Path by a name relative to the root: default parameters, passbands, distortion and PSF
            libraries. None for a library that was not found where they lie in DOLPHOT 2 and 3
            (``wfc3/data/F814W.uvis1.psf``); nothing if the root is not known.
        """
        if self.root is None:
            return {}
        patterns = ["param/dolphot.param", "param/fits.param"]
        found: dict[str, Path | None] = {}
        for instrument, filter_name in sorted(set(needed)):
            folder = f"{instrument.lower()}/data"
            patterns += [f"{folder}/filters.dat", f"{folder}/*idctab*.dat"]
            if not filter_name:
                continue
            library = f"{folder}/*{filter_name.upper()}*.psf"
            if not any(self.root.glob(library)):
                found[library] = None
            patterns.append(library)
        for pattern in patterns:
            for path in sorted(self.root.glob(pattern)):
                found[path.relative_to(self.root).as_posix()] = path
        return found

    def filters(self, instrument: str) -> tuple[str, ...]:
        """The filters of an instrument (``WFC3``) in the order of DOLPHOT's list of them.

        Returns
        -------
        tuple of str
            Names without the instrument, with which lines of ``filters.dat`` begin; none if the
            list was not found.
        """
        path = None if self.root is None else self.root / f"{instrument.lower()}/data/filters.dat"
        if path is None or not path.is_file():
            return ()
        lines = path.read_text(errors="replace").splitlines()
        words = [line.split()[0].removeprefix(f"{instrument}_") for line in lines if line.strip()]
        return tuple(word for word in words if _FILTER.fullmatch(word))


def find_program(settings: DolphotSettings, workdir: WorkDir) -> Program:
    """The executable that the settings name, or the one on the PATH.

    Raises
    ------
    MissingTool
        If there is none; the message says how it is installed.
    """
    if settings.program is None:
        found = shutil.which(NAME)
        if found is None:
            raise MissingTool(
                "DOLPHOT is not installed: there is no dolphot on the PATH", next_step=_INSTALL
            )
        path = Path(found)
    else:
        path = workdir.base / settings.program
        if not os.access(path, os.X_OK) or not path.is_file():
            raise MissingTool(
                "dolphot.program is no executable file", where=path, next_step=_INSTALL
            )
    path = path.resolve()
    root = None if settings.root is None else workdir.base / settings.root
    if root is not None and not root.is_dir():
        raise MissingTool("dolphot.root is no folder", where=root, next_step=_INSTALL)
    status = path.stat()
    sha256, version, named = _examined(path, status.st_mtime_ns, status.st_size)
    return Program(path, sha256, version, root or named)


@lru_cache(maxsize=8)
def _examined(
    path: Path, mtime_ns: int, size: int
) -> tuple[str, Literal["2", "3", "not known"], Path | None]:
    """Checksum, version and folder of data of an executable; they are read once."""
    del mtime_ns, size  # they tell one state of the file from another
    content = path.read_bytes()
    version: Literal["2", "3", "not known"] = "not known"
    if content.startswith((_ELF, *_MACH_O)):
        version = "3" if f"{_OF_VERSION_3}\0".encode() in content else "2"
    compiled_in = [Path(each.decode()) for each in dict.fromkeys(_PATHS.findall(content))]
    of_environment = os.environ.get(_ROOT_VARIABLE)
    candidates = [
        *compiled_in,
        *([Path(of_environment)] if of_environment else []),
        path.parents[1],
    ]
    roots = (each for each in candidates if (each / "param" / "dolphot.param").is_file())
    return sha256_of_file(path), version, next(roots, None)

"""Resolution of the detectors' distortion files that headers name: from folders, a cache, or CRDS.

A header's value (``iref$w3m18525i_idc.fits``) is taken for a name and never for a path. A file is
looked for in the folder that the settings give for the variable, in the folder that the
environment variable of that name gives, in the cache, and last on the CRDS server. Three failures
are kept apart: *missing* (nobody has it: `MissingProduct`), *unreachable* (nobody answered:
`TransientFailure`) and *refused* (what is there is not what was asked for: `UnusableInput`; the
service denies it: `AccessRefused`).
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from hst_assets.failures import HstAssetsError, MissingProduct, NothingFound, UnusableInput
from hst_assets.imaging.frames import opened
from hst_assets.provenance import sha256_of_file
from hst_assets.settings import ReferenceFileSettings
from hst_assets.transfer import discard, in_tries, transfer
from hst_assets.workdir import WorkDir, move_into_place

__all__ = ["VARIABLES", "ReferenceFile", "ReferenceFiles", "reference_name", "verify"]

logger = logging.getLogger(__name__)

#: The variable under which each instrument's reference files are filed.
VARIABLES = {"WFC3": "iref", "ACS": "jref", "WFPC2": "uref"}
#: What a header says where there is no file.
_BLANK = frozenset({"", "N/A", "NONE", "INDEF"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}\.fits")
#: Columns without which stwcs cannot read a table.
_COLUMNS = {
    "IDCTAB": {"DETCHIP", "DIRECTION", "XREF", "YREF", "SCALE", "CX10", "CX11", "CY10", "CY11"},
    "OFFTAB": {"DETCHIP", "OBSDATE", "V2REF", "V3REF"},
}
#: Wait before the second try, doubled before each further one, seconds.
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0


@dataclass(frozen=True)
class ReferenceFile:
    """A reference file at hand.

    Attributes
    ----------
    name : str
        Its name in CRDS.
    path : `~pathlib.Path`
        Where it lies on this machine.
    sha256 : str
        Digest of its bytes.
    """

    name: str
    path: Path
    sha256: str


def reference_name(value: object) -> str | None:
    """The file that a header's value names; None where it names none.

    Parameters
    ----------
    value : object
        Such as ``iref$w3m18525i_idc.fits``, an absolute path of another machine, ``N/A``, or
        what a missing keyword gives. Only the last component counts.

    Raises
    ------
    UnusableInput
        If it is not the name of a FITS file, or climbs (``../``).
    """
    text = "" if value is None else str(value).strip()
    if text.upper() in _BLANK:
        return None
    name = re.split(r"[$/\\]", text)[-1]
    if ".." in text or not _NAME.fullmatch(name):
        raise UnusableInput(f"the header does not name a reference file but {text!r}")
    return name


def verify(path: Path, keyword: str) -> None:
    """Refuse a file that is not the kind of reference file asked for.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    keyword : str
        IDCTAB or OFFTAB, which are tables; NPOLFILE, D2IMFILE or DGEOFILE, which are images.

    Raises
    ------
    UnusableInput
        If it is not FITS, is truncated, or has not the columns or images.
    """
    with opened(path) as hdus:
        wanted = _COLUMNS.get(keyword)
        if wanted is None:
            if not any(isinstance(hdu, fits.ImageHDU) and hdu.header["NAXIS"] for hdu in hdus):
                raise UnusableInput(f"is no {keyword}: it holds no image", where=path)
            return
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
        if not any(wanted <= {name.upper() for name in table.columns.names} for table in tables):
            raise UnusableInput(
                f"is no {keyword}: no table with the columns {', '.join(sorted(wanted))}",
                where=path,
            )


class ReferenceFiles:
    """Where reference files are found for one run; each name is looked for once.

    Parameters
    ----------
    settings : ReferenceFileSettings
        Folders, cache and service.
    workdir : WorkDir
        Relative folders are from its base; the cache is beside it unless set.
    environment : mapping, optional
        Where iref, jref and uref are looked up; the process's own by default.
    """

    def __init__(
        self,
        settings: ReferenceFileSettings,
        workdir: WorkDir,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._base = workdir.base
        self._cache = workdir.base / (settings.cache or workdir.reference_files)
        self._environment = os.environ if environment is None else environment
        self._fetches = settings.fetch and not workdir.looked_at
        self._answers: dict[tuple[str, str, str], ReferenceFile | HstAssetsError] = {}

    def find(self, name: str, keyword: str, variable: str) -> ReferenceFile:
        """The reference file of this name.

        Parameters
        ----------
        name : str
            As `reference_name` gives it.
        keyword : str
            The header keyword that names it, which decides how it is verified.
        variable : str
            iref, jref or uref.

        Raises
        ------
        MissingProduct
            If it is in none of the places, or CRDS does not know it.
        TransientFailure
            If CRDS was needed and did not answer.
        AccessRefused
            If CRDS refused.
        UnusableInput
            If what was found or sent is not such a file.
        """
        key = (name, keyword, variable)
        if key not in self._answers:
            try:
                path = self._look_for(name, keyword, variable)
                self._answers[key] = ReferenceFile(name, path, sha256_of_file(path))
            except HstAssetsError as error:
                self._answers[key] = error
        answer = self._answers[key]
        if isinstance(answer, HstAssetsError):
            raise answer
        return answer

    def _look_for(self, name: str, keyword: str, variable: str) -> Path:
        looked = []
        for label, folder in self._folders(variable):
            path = folder / name
            if path.is_file():
                verify(path, keyword)
                return path
            looked.append(f"{label} ({folder})")
        cached = self._cache / name
        if cached.is_file() and _is_sound(cached, keyword):
            return cached
        looked.append(f"the cache ({self._cache})")
        if not self._fetches:
            raise _missing(name, keyword, looked, "reference_files.fetch is false")
        with _locked(self._cache, name):
            if cached.is_file() and _is_sound(cached, keyword):
                return cached  # another process fetched it meanwhile
            return self._fetch(name, keyword, cached, looked)

    def _folders(self, variable: str) -> Iterator[tuple[str, Path]]:
        """The local folders to look into, in order, with what gave them."""
        given: Path | None = getattr(self._settings, variable)
        if given is not None:
            yield f"reference_files.{variable}", self._base / given.expanduser()
        named = self._environment.get(variable)
        if named:
            yield f"${variable}", Path(named)

    def _fetch(self, name: str, keyword: str, destination: Path, looked: list[str]) -> Path:
        """Fetch the file, trying again where it may help; it appears whole or not at all."""
        url = f"{self._settings.crds_url.rstrip('/')}/{name}"
        part = destination.with_name(f".{name}.part")
        try:
            in_tries(
                lambda: transfer(url, part, timeout_s=self._settings.timeout_s),
                label=name,
                max_tries=self._settings.max_tries,
                first_wait_s=_FIRST_WAIT_S,
                longest_wait_s=_LONGEST_WAIT_S,
            )
            verify(part, keyword)
        except NothingFound:
            why = "CRDS does not have it"
            raise _missing(name, keyword, [*looked, url], why) from None
        except UnusableInput as error:
            discard(part)
            raise UnusableInput(
                f"the file sent by {url} was rejected: {error.what}",
                where=name,
                next_step="A proxy may have answered instead of CRDS; or put "
                "the file into the cache by hand",
            ) from error
        move_into_place(part, destination)
        discard(part)
        logger.info("fetched %s", url)
        return destination


def _missing(name: str, keyword: str, looked: list[str], why: str) -> MissingProduct:
    return MissingProduct(
        f"the {keyword} was not found in {', '.join(looked)}; {why}",
        where=name,
        next_step="Put it into one of these folders, or see [reference_files] in the settings",
    )


def _is_sound(path: Path, keyword: str) -> bool:
    """Whether a cached file is what it should be; one that is not is fetched again."""
    try:
        verify(path, keyword)
    except UnusableInput as error:
        logger.warning("the cached reference file is not used: %s", error)
        return False
    return True


@contextmanager
def _locked(cache: Path, name: str) -> Iterator[None]:
    """Let one process at a time fetch a file; the lock dies with its process."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield

"""Working copies of raw exposures: what the tools may write to, with headers they survive.

A raw file is only ever read. Nothing here fetches reference files or runs ``updatewcs``: an
exposure from the archive carries its distortion (SIP, NPOL, D2IM) in the file, and that is used.
"""

from __future__ import annotations

import math
import shutil
import stat
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.planes import repair_planes
from hst_assets.failures import UnusableInput

__all__ = ["WorkingCopy", "make_working_copy"]

_BLANK = frozenset({"", "N/A", "NONE", "INDEF"})


@dataclass(frozen=True)
class WorkingCopy:
    """A scratch copy of one exposure.

    Attributes
    ----------
    science : `~pathlib.Path`
        The file that holds the SCI planes and their WCS.
    quality : `~pathlib.Path`
        The file that holds the DQ planes: the same one, or WFPC2's c1m.
    """

    science: Path
    quality: Path

    @classmethod
    def at(cls, science: Path) -> WorkingCopy:
        """The copy whose science file is `science`, its companion beside it."""
        return cls(science, quality_file(science))

    @property
    def files(self) -> tuple[Path, ...]:
        """The one or two files."""
        return tuple(dict.fromkeys((self.science, self.quality)))


def make_working_copy(raw: Path, folder: Path) -> WorkingCopy:
    """Copy an exposure (WFPC2: with its c1m) from raw/ into `folder` and mend its header.

    Parameters
    ----------
    raw : `~pathlib.Path`
        The exposure in raw/; its c1m is looked for beside it.
    folder : `~pathlib.Path`
        An existing scratch folder.

    Raises
    ------
    UnusableInput
        If the file or its companion is not there, or not a complete FITS file.
    """
    copy = WorkingCopy.at(folder / raw.name)
    for path in copy.files:
        source = raw.with_name(path.name)
        if not source.is_file():
            raise UnusableInput("the file is missing", where=source)
        shutil.copyfile(source, path)
        path.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
        _check_whole(path, source)
    _repair(copy)
    _settle_corrections(copy.science)
    _give_scale(copy.science)
    return copy


def _check_whole(path: Path, source: Path) -> None:
    """Walk through all headers: astropy opens a file that was cut short with a mere warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="File may have been truncated")
        try:
            # Opened here: astropy leaves a file open that it can make nothing of.
            with path.open("rb") as file, fits.open(file, memmap=False) as hdus:
                len(hdus)
        except (OSError, AstropyUserWarning) as error:
            if getattr(error, "errno", None) is not None:
                raise  # the disk's word, not that of the FITS reader
            raise UnusableInput(f"not a complete FITS file: {error}", where=source) from error


def _repair(copy: WorkingCopy) -> None:
    """Write out planes that only a header stands for, and flag chips that hold nothing."""
    with ExitStack() as stack:
        hdus = stack.enter_context(fits.open(copy.science, memmap=False))
        quality = hdus
        if copy.quality != copy.science:
            quality = stack.enter_context(fits.open(copy.quality, memmap=False))
        if not repair_planes(hdus, quality):
            return
        for path, each in {copy.quality: quality, copy.science: hdus}.items():
            part = path.with_name(f"{path.name}.part")
            each.writeto(part, output_verify="silentfix", overwrite=True)
            part.replace(path)


def _settle_corrections(path: Path) -> None:
    """Settle header states in which drizzlepac would stop and ask.

    A DGEOFILE without NPOLFILE makes AstroDrizzle prompt for a decision: the distortion that is
    in the file is what is used, so both newer corrections are declared absent.
    """
    header = fits.getheader(path, 0)
    if _blank(header.get("DGEOFILE")) or not _blank(header.get("NPOLFILE"), explicit=True):
        return
    with fits.open(path, mode="update", memmap=False) as hdus:
        for key in ("NPOLFILE", "D2IMFILE"):
            if _blank(hdus[0].header.get(key)):
                hdus[0].header[key] = "N/A"


def _give_scale(path: Path) -> None:
    """Write the IDCSCALE that stwcs needs where a plane has SIP terms and no scale of them.

    It is the scale of the plane on which a tool undistorts the chips; the size of a pixel by the
    CD matrix is within 0.5 % of the tables' own.
    """
    with fits.open(path, mode="update", memmap=False) as hdus:
        for header in [hdu.header for hdu in hdus if hdu.name == "SCI"]:
            if "A_ORDER" in header and "CD1_1" in header and "IDCSCALE" not in header:
                cd = [header.get(f"CD{i}_{j}", 0.0) for i, j in ((1, 1), (2, 2), (1, 2), (2, 1))]
                area = abs(cd[0] * cd[1] - cd[2] * cd[3])
                header["IDCSCALE"] = (3600 * math.sqrt(area), "arcsec, of the CD matrix")


def _blank(value: object, *, explicit: bool = False) -> bool:
    """Whether a header names no file; with `explicit`, ``N/A`` counts as a decision made."""
    text = "" if value is None else str(value).strip().upper()
    return text in (_BLANK - {"N/A"} if explicit else _BLANK)

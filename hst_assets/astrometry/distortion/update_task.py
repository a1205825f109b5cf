"""What runs in child processes: ``stwcs.updatewcs`` on one exposure.

Called through `hst_assets.isolation` only. The reference files are laid under their names into a
folder of this call that iref, jref or uref then means, so that the headers keep the archive's form
(``iref$w3m18525i_idc.fits``) and no path of this machine gets into a product.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from astropy.io import fits
from stwcs import updatewcs

from hst_assets.astrometry.distortion.reference_files import VARIABLES, reference_name
from hst_assets.astrometry.working_copy import make_working_copy
from hst_assets.failures import UnusableInput

#: Keywords that updatewcs reads; those that name no file it stumbles over unless they say N/A.
_KEYWORDS = ("IDCTAB", "OFFTAB", "NPOLFILE", "D2IMFILE")
#: What SCI headers say of an earlier update; stwcs compares them with the files of this one.
_TRACES = ("NPOLEXT", "D2IMEXT")


def update_wcs(raw: str, *, files: Mapping[str, str]) -> str:
    """Compute the WCS of a copy of an exposure anew, in the current directory.

    Parameters
    ----------
    raw : str
        The exposure in raw/, only read.
    files : mapping
        Paths of the reference files by header keyword.

    Returns
    -------
    str
        Name of the copy.

    Raises
    ------
    UnusableInput
        If stwcs cannot make a WCS of this exposure and these files.
    """
    copy = make_working_copy(Path(raw), Path.cwd())
    name = copy.science.name
    variable = _prepare(copy.science, {key: Path(path).name for key, path in files.items()})
    folder = Path("reference_files").absolute()
    folder.mkdir()
    for path in files.values():
        (folder / Path(path).name).symlink_to(path)
    os.environ[variable] = f"{folder}{os.sep}"
    try:
        # By its bare name: for WFPC2 a name derived from it is written into the header.
        updatewcs.updatewcs(name, use_db=False, checkfiles=False)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the disk's word, not that of stwcs
        raise UnusableInput(f"updatewcs failed: {type(error).__name__}: {error}") from error
    _make_reproducible(copy.science)
    return name


def _prepare(path: Path, names: Mapping[str, str]) -> str:
    """Let the headers name the reference files and nothing else; return their variable."""
    with fits.open(path, mode="update", memmap=False) as hdus:
        primary = hdus[0].header
        instrument = str(primary["INSTRUME"]).strip()
        variable = VARIABLES[instrument]
        for keyword in _KEYWORDS:
            if keyword in names:
                primary[keyword] = f"{variable}${names[keyword]}"
            elif keyword in primary:
                primary[keyword] = "N/A"
        if instrument == "WFPC2":
            # stwcs turns the DGEOFILE into a look-up table and remembers it as ODGEOFIL.
            primary.remove("ODGEOFIL", ignore_missing=True)
            primary["DGEOFILE"] = (
                f"{variable}${names['DGEOFILE']}" if "DGEOFILE" in names else "N/A"
            )
        for hdu in hdus[1:]:
            if hdu.name == "SCI":
                _forget(hdu.header, variable)
    return variable


def _forget(header: fits.Header, variable: str) -> None:
    """Let an extension say of earlier updates only what stwcs can read.

    A variable that is not defined here would end it. Another IDCTAB than today's makes it drop
    the solutions that were made with that one.
    """
    for keyword in _TRACES:
        header.remove(keyword, ignore_missing=True)
    if "IDCTAB" in header:
        try:
            former = reference_name(header["IDCTAB"])
        except UnusableInput:
            former = None
        header["IDCTAB"] = "N/A" if former is None else f"{variable}${former}"


def _make_reproducible(path: Path) -> None:
    """Take out what depends on the moment: the date of the table made for WFPC2."""
    with fits.open(path, mode="update", memmap=False) as hdus:
        for hdu in hdus:
            if hdu.name in ("D2IMARR", "WCSDVARR"):
                hdu.header.remove("DATE", ignore_missing=True)

"""Poller files: the exposures of one visit, one a line, as HAP's programs take them.

A line has 1, 2, 8 or 10 columns (drizzlepac 3.11, ``poller_utils``):

- the file name; the rest is read from the header;
- the file name and the aperture that its header should have (WFPC2);
- file name, proposal, program (PPP), visit (SS), exposure time (s), filters of the wheels joined by
  ``;``, detector, path in the archive;
- the same with the sky cell and ``NEW`` or ``OLD`` before the path (multi-visit mosaics).

Columns are separated by commas or white space; values may be quoted; ``#`` begins a comment.
"""

from __future__ import annotations

import csv
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from astropy.table import Table

from hst_assets.failures import BadConfiguration, MissingProduct, UnusableInput
from hst_assets.filter_names import without_wavelength
from hst_assets.hap.wfpc2_exposures import HAP_DETECTOR, flt_name
from hst_assets.workdir import write_atomically

__all__ = [
    "INSTRUMENTS",
    "PollerRow",
    "poller_of_visit",
    "poller_text",
    "read_poller",
    "write_poller",
]

#: The instrument that the first letter of a rootname stands for, of those that HAP combines.
INSTRUMENTS = {"i": "WFC3", "j": "ACS", "u": "WFPC2"}
_DETECTORS = {
    "WFC3": frozenset({"UVIS", "IR"}),
    "ACS": frozenset({"WFC", "HRC", "SBC"}),
    "WFPC2": frozenset({"WFPC2", "PC"}),
}
_COLUMNS = (1, 2, 8, 10)
_EXPOSURE = re.compile(r"([iju][a-z0-9]{3}[a-z0-9]{2}[a-z0-9]{3})_(flt|flc)\.fits")
#: The exposures of a multi-visit poller are those that the single visit has left.
_VISITS_EXPOSURE = re.compile(r"hst_[\w-]+_([iju][a-z0-9]{7})_(flt|flc)\.fits")
_SKYCELL = re.compile(r"skycell-p\d{4}x\d{2}y\d{2}")
_PROGRAM = re.compile(r"[A-Za-z0-9]{3}")
_VISIT = re.compile(r"[A-Za-z0-9]{2}")
_FILTERS = re.compile(r"[A-Za-z0-9/;_-]+")


@dataclass(frozen=True)
class PollerRow:
    """One exposure of a poller; what its line does not tell is None.

    Attributes
    ----------
    file : str
        File name, without a folder.
    line : int
        Line of the poller, from 1.
    aperture : str or None
        APERTURE that the products shall have.
    proposal_id : int or None
        Number of the proposal.
    program_id, obset_id : str or None
        PPP and SS of the rootname, upper case as a rule.
    exptime_s : float or None
        Exposure time, seconds.
    filters : str or None
        Elements of the filter wheels, joined by ``;``.
    detector : str or None
        Detector.
    skycell_id : str or None
        Sky cell of a multi-visit mosaic.
    is_new : bool or None
        Whether the sky cell has not had the exposure before.
    path : Path or None
        Where the archive has the file.
    """

    file: str
    line: int
    aperture: str | None = None
    proposal_id: int | None = None
    program_id: str | None = None
    obset_id: str | None = None
    exptime_s: float | None = None
    filters: str | None = None
    detector: str | None = None
    skycell_id: str | None = None
    is_new: bool | None = None
    path: Path | None = None

    @property
    def instrument(self) -> str:
        """WFC3, ACS or WFPC2."""
        return INSTRUMENTS[self.file.split("_")[-2][0]]


def read_poller(path: Path) -> tuple[PollerRow, ...]:
    """Read and check a poller file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    tuple of PollerRow
        In the order of the file.

    Raises
    ------
    MissingProduct
        If there is no such file.
    UnusableInput
        If it has no exposure, or a line is wrong; the line's number is told.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingProduct(
            "no such poller file", where=path, next_step="Give the file that lists the exposures"
        ) from None
    except OSError as error:
        raise UnusableInput(
            f"the poller cannot be read: {error.strerror}", where=path, next_step="Give a file"
        ) from error
    except UnicodeDecodeError:
        raise UnusableInput(
            "a poller is a text file", where=path, next_step="Is this a FITS file?"
        ) from None
    rows: list[PollerRow] = []
    n_columns = 0
    for number, line in enumerate(text.splitlines(), start=1):
        values = _values(line, path, number)
        if not values:
            continue
        n_columns = n_columns or len(values)
        _check_width(values, n_columns, path, number)
        row = _row(values, path, number)
        _check_beside(row, rows, path)
        rows.append(row)
    if not rows:
        raise UnusableInput(
            "the poller lists no exposure", where=path, next_step="Write one exposure a line"
        )
    return tuple(rows)


def _values(line: str, path: Path, number: int) -> list[str]:
    """The columns of a line; none of an empty line or a comment."""
    stripped = line.strip().lstrip("\ufeff")
    if not stripped or stripped.startswith("#"):
        return []
    if "," in stripped:
        (values,) = csv.reader([stripped], skipinitialspace=True)
        return [value.strip() for value in values]
    try:
        return shlex.split(stripped, comments=True)
    except ValueError as error:
        raise _wrong(path, number, f"cannot be read: {error}") from None


def _wrong(path: Path, number: int, what: str, step: str = "Correct the line") -> UnusableInput:
    return UnusableInput(f"line {number} {what}", where=path, next_step=step)


def _check_width(values: Sequence[str], expected: int, path: Path, number: int) -> None:
    if len(values) not in _COLUMNS:
        raise _wrong(path, number, f"has {len(values)} columns, not 1, 2, 8 or 10")
    if len(values) != expected:
        raise _wrong(path, number, f"has {len(values)} columns, those before have {expected}")


def _row(values: Sequence[str], path: Path, number: int) -> PollerRow:
    file, *rest = values
    pattern = _VISITS_EXPOSURE if len(values) == _COLUMNS[-1] else _EXPOSURE
    if not pattern.fullmatch(file):
        step = "Expected IPPPSSOOT_flt.fits or _flc.fits"
        if file.endswith("_asn.fits"):
            step = "Give the exposures of the association, not the association"
        elif pattern is _VISITS_EXPOSURE:
            step = "Expected hst_..._flt.fits, as a single visit leaves them"
        raise _wrong(path, number, f"begins with {file!r}, which names no exposure", step)
    if not rest:
        return PollerRow(file, number)
    if len(rest) == 1:
        return PollerRow(file, number, aperture=rest[0])
    proposal, program, obset, exptime, filters, detector, *cell, archived = rest
    instrument = INSTRUMENTS[file.split("_")[-2][0]]
    faults = {
        f"has proposal {proposal!r}, which is no number": not proposal.isdecimal(),
        f"has program {program!r}, not three characters": not _PROGRAM.fullmatch(program),
        f"has visit {obset!r}, not two characters": not _VISIT.fullmatch(obset),
        f"has exposure time {exptime!r}": not _is_time(exptime),
        f"has filters {filters!r}": not _FILTERS.fullmatch(filters),
        f"has detector {detector!r}, not of {instrument}": (
            detector.upper() not in _DETECTORS[instrument]
        ),
        "has no path": not archived,
    }
    if cell:
        faults[f"has sky cell {cell[0]!r}"] = not _SKYCELL.fullmatch(cell[0])
        faults[f"has {cell[1]!r}, neither NEW nor OLD"] = cell[1].upper() not in ("NEW", "OLD")
    for what, is_fault in faults.items():
        if is_fault:
            raise _wrong(path, number, what)
    return PollerRow(
        file,
        number,
        proposal_id=int(proposal),
        program_id=program,
        obset_id=obset,
        exptime_s=float(exptime),
        filters=filters,
        detector=detector,
        skycell_id=cell[0] if cell else None,
        is_new=cell[1].upper() == "NEW" if cell else None,
        path=Path(archived),
    )


def _is_time(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and value >= 0


def _check_beside(row: PollerRow, before: Sequence[PollerRow], path: Path) -> None:
    """An exposure is listed once (in each sky cell), in a visit beside others of its instrument."""
    for other in before:
        if other.file == row.file and other.skycell_id == row.skycell_id:
            raise _wrong(path, row.line, f"lists {row.file}, as line {other.line} does")
    of_visit = row.skycell_id is None
    if of_visit and before and before[0].instrument != row.instrument:
        raise _wrong(
            path,
            row.line,
            f"is of {row.instrument}, line {before[0].line} of {before[0].instrument}",
            "A visit has one instrument; write a poller for each",
        )


# ------------------------------------------------------------------------------------- writing


def poller_text(rows: Iterable[PollerRow]) -> str:
    """The lines of a poller.

    Parameters
    ----------
    rows : iterable of PollerRow
        All with the same columns.
    """
    return "".join(",".join(_written(row)) + "\n" for row in rows)


def _written(row: PollerRow) -> list[str]:
    if row.proposal_id is None:
        return [row.file] if row.aperture is None else [row.file, row.aperture]
    cell = [] if row.skycell_id is None else [row.skycell_id, "NEW" if row.is_new else "OLD"]
    known = (row.program_id, row.obset_id, row.exptime_s, row.filters, row.detector)
    return [row.file, str(row.proposal_id), *map(str, known), *cell, str(row.path)]


def write_poller(rows: Iterable[PollerRow], path: Path) -> None:
    """Write a poller file.

    Parameters
    ----------
    rows : iterable of PollerRow
        All with the same columns.
    path : Path
        The file.
    """
    with write_atomically(path) as part:
        part.write_text(poller_text(rows), encoding="utf-8")


def poller_of_visit(
    exposures: Table,
    visit: str,
    *,
    proposal_id: int,
    folder: Path,
    flt_folder: Path | None = None,
) -> tuple[PollerRow, ...]:
    """The poller of a visit from its exposure table: the exposures in use, in order of time.

    Parameters
    ----------
    exposures : Table
        With the columns of `hst_assets.exposures.columns.EXPOSURE_COLUMNS`.
    visit : str
        Visit id, IPPPSS.
    proposal_id : int
        PROPOSID, which the table does not have.
    folder : Path
        Where the files are.
    flt_folder : Path, optional
        Where `hst_assets.hap.wfpc2_exposures.write_flt` puts WFPC2's exposures.

    Raises
    ------
    UnusableInput
        If no exposure of the visit is used.
    BadConfiguration
        If an exposure is one that HAP does not take: WFPC2's without `flt_folder`.
    """
    rows = sorted(
        (row for row in exposures if row["visit"] == visit and row["used"]),
        key=lambda row: (row["mjd_start"], row["rootname"]),
    )
    if not rows:
        raise UnusableInput(
            "no exposure of the visit is used", where=visit, next_step="See its exposure table"
        )
    poller = []
    for number, row in enumerate(rows, start=1):
        file, detector, place = str(row["file"]), str(row["detector"]), folder
        if flt_folder is not None and file.endswith("_c0m.fits"):
            file, detector, place = flt_name(file), HAP_DETECTOR, flt_folder
        if not _EXPOSURE.fullmatch(file):
            raise BadConfiguration(
                "HAP takes flt and flc files only",
                where=file,
                next_step="Convert WFPC2's c0m files to flt first",
            )
        poller.append(
            PollerRow(
                file,
                number,
                proposal_id=proposal_id,
                program_id=visit[1:4].upper(),
                obset_id=visit[4:6].upper(),
                exptime_s=float(row["exptime"]),
                filters=without_wavelength(str(row["filter"])).replace("-", ";"),
                detector=detector,
                path=place / file,
            )
        )
    return tuple(poller)

"""Whether a run of DOLPHOT made a catalogue, and if not, whose fault it was.

The exit status says little: it is 0 after a parameter out of range, a truncated image or a file
that is no FITS (measured with version 2.0). A run is accepted if it exits with 0, reports for
each chip how many stars it wrote, the catalogue has exactly those, and each row has as many
columns as the list of columns has lines. Otherwise its last lines say what went wrong.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hst_assets.failures import (
    BadConfiguration,
    DiskFull,
    HstAssetsError,
    MachineFailure,
    MissingTool,
    NoReply,
    OutOfMemory,
    TimedOut,
    ToolFailed,
    UnusableInput,
)
from hst_assets.machine.failures import (
    DISK_STEP,
    FAULT_SIGNALS,
    MEMORY_STEP,
    death_in_words,
    is_disk_full,
)
from hst_assets.photometry.dolphot.program_run import Ended

__all__ = ["Counted", "Verdict", "judge", "judge_artificial_stars"]

_TAIL_LINES = 15
_WRITTEN = re.compile(r"^(\d+) stars written; (\d+) stars deleted$", re.MULTILINE)
_CHIP = re.compile(r"^\*\* (?:Extension \d+, )?Chip \d+ \*\*$", re.MULTILINE)
_UNKNOWN_NAME = re.compile(r"^Cannot match parameter name:\n(?:img\d*_)?(\S+)", re.MULTILINE)
_BAD_LINE = re.compile(r"^Cannot parse parameter line:\n(.*)$", re.MULTILINE)
_NOT_A_NUMBER = re.compile(rb"(?:^|\s)[-+]?(?:nan|inf)(?=\s|$)", re.IGNORECASE)
_READING = "Reading FITS file"
_REAL_STARS = re.compile(r"^Read \d+ real stars$", re.MULTILINE)

_PSF = (
    "Install the PSF libraries of this filter (http://americano.dolphinsim.com/dolphot/) into the "
    "folder that DOLPHOT was built in"
)
_INPUTS = "Materialize dolphot_inputs again"
_FEWER = "Raise dolphot.SigFind, or measure a part of the image (dolphot.photsec)"
_PARAMETER = "Change it in the section dolphot of the settings"

#: What the program says before it ends (its sources, version 2.0), whose fault that is, and what to
#: do. The first that fits counts.
_WORDS: tuple[tuple[str, type[HstAssetsError], str | None], ...] = (
    (r"Memory allocation error|Memory error in .*", OutOfMemory, MEMORY_STEP),
    (r".*: (?:Exec format error|No such file or directory|Permission denied)", MissingTool, None),
    (r"\*\*\*\*Error opening .*", MachineFailure, None),
    (r"Error writing to .*", MachineFailure, None),
    (r"Cannot open .*\.psf", MissingTool, _PSF),
    (r"Could not find .*", MissingTool, _PSF),
    (r"Illegal filter .*", UnusableInput, _INPUTS),
    (r"Error reading .*", UnusableInput, _INPUTS),
    (r"\*\*\*\*Sky does not match the image", UnusableInput, _INPUTS),
    (r"\*\*\*\*Number of (?:extensions|chips) are not the same.*", UnusableInput, _INPUTS),
    (r"\*\*\*\*Number of chips are not the same size", UnusableInput, _INPUTS),
    (r"\*\*Image \d+.*(?:drizzled|identified).*", UnusableInput, _INPUTS),
    (r"\*\*Format error.*", UnusableInput, _INPUTS),
    (r"Error: CTYPE\d of .* not understood", UnusableInput, "Set dolphot.UseWCS = 0"),
    (r"ERROR: determinant of .*", UnusableInput, "Set dolphot.UseWCS = 0"),
    (r"ERROR: R(?:PSF|Aper) must be .*", BadConfiguration, _PARAMETER),
    (r"\*\*\*\*Too many stars|\*\*\*\*NSTACK .*", ToolFailed, _FEWER),
    (r"Error: unknown DiagPlotType .*", BadConfiguration, _PARAMETER),
    (r"Mismatch in RPSF", BadConfiguration, _PARAMETER),
    (r"\*\*.* not found", BadConfiguration, "See dolphot.psfstars"),
    (r"Cannot open .*", BadConfiguration, "See dolphot.xytfile and dolphot.xytpsf"),
    (r"Numerical Recipes run-time error.*", ToolFailed, None),
    (r"\*\*Fatal Math error.*|Math error in .*", ToolFailed, None),
)
#: Remarks after which the program goes on, and which are shown.
_REMARKS = re.compile(
    r"^(?:(?:Increasing|Reducing|Lowering) R\w+ to .*|Poorly converging PSF"
    r"|\*\*Aperture corrections failed to converge!|gaussj: Singular Matrix!"
    r"|PSF Step size is zero.*|Error: FITS card .*|ERROR: All .* gain of 1"
    r"|No parameter file .*|.*-?\bnan\b.*)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Counted:
    """What is in the files of a catalogue.

    Attributes
    ----------
    n_rows, n_columns : int
        Rows of the catalogue, lines of the list of columns.
    n_not_finite : int
        Rows with a value that is not finite.
    """

    n_rows: int
    n_columns: int
    n_not_finite: int


@dataclass(frozen=True)
class Verdict:
    """A run that is accepted.

    Attributes
    ----------
    n_stars, n_deleted : int
        Stars in the catalogue; objects that were found and left out.
    n_columns : int
        Columns of the catalogue.
    unknown_parameters : tuple of str
        Names that this version of DOLPHOT does not know.
    remarks : tuple of str
        Other remarks of the program that are shown.
    """

    n_stars: int
    n_deleted: int
    n_columns: int
    unknown_parameters: tuple[str, ...]
    remarks: tuple[str, ...]


def judge(
    ended: Ended,
    catalog: Path,
    *,
    n_images: int,
    align_only: bool = False,
    limits: Mapping[str, str] | None = None,
    where: object = None,
) -> Verdict:
    """Judge a run by its output and its files.

    Parameters
    ----------
    ended : Ended
        How it ended.
    catalog : `~pathlib.Path`
        Its catalogue, where it was written; the other files begin with this name.
    n_images : int
        Images that are measured.
    align_only : bool, optional
        The run ends after the alignment: then its file ``.info`` must hold that of every image.
    limits : mapping, optional
        By kind of limit, the setting to raise.
    where : object, optional
        Where its words can be read; by default the catalogue's name.

    Raises
    ------
    MachineFailure
        If the machine ended it: time (`TimedOut`), memory (`OutOfMemory`), disk (`DiskFull`), a
        signal from outside (`NoReply`).
    UnusableInput
        If DOLPHOT cannot use an image, or found no star.
    BadConfiguration
        If it refused a parameter.
    MissingTool
        If the program cannot be run, or a PSF library is missing.
    ToolFailed
        If it crashed, or its files are inconsistent.
    """
    failure = _machines(ended, catalog, limits or {})
    if failure is None:
        counted = _counted(catalog)
        wrong = _wrong(ended, catalog, counted, n_images=n_images, align_only=align_only)
        if wrong is None:
            return _believed(ended, counted)
        failure = _said(ended) or _refused(ended) or wrong
    raise _with_words(failure, ended, catalog.name if where is None else where)


def judge_artificial_stars(
    ended: Ended,
    fake: Path,
    *,
    limits: Mapping[str, str] | None = None,
    where: object = None,
) -> None:
    """Judge a run on artificial stars by what it said; its rows are for the reader of `fake`.

    Parameters
    ----------
    ended : Ended
        How it ended.
    fake : `~pathlib.Path`
        What it measured, where it was written.
    limits : mapping, optional
        By kind of limit, the setting to raise.
    where : object, optional
        Where its words can be read; by default the file's name.

    Raises
    ------
    MachineFailure, UnusableInput, BadConfiguration, MissingTool, ToolFailed
        As `judge`; `ToolFailed` also if it did not come to read the catalogue's stars.
    """
    failure = _machines(ended, fake, limits or {})
    if failure is None:
        wrong = _wrong_end(ended)
        if wrong is None and not _REAL_STARS.search(ended.output):
            wrong = ToolFailed("DOLPHOT ended before the artificial stars")
        if wrong is None and not fake.is_file():
            wrong = ToolFailed("DOLPHOT left no file of artificial stars")
        if wrong is None:
            return
        failure = _said(ended) or _refused(ended) or wrong
    raise _with_words(failure, ended, fake.name if where is None else where)


def _with_words(failure: HstAssetsError, ended: Ended, where: object) -> HstAssetsError:
    """The failure with the last words of the program."""
    return type(failure)(
        failure.what,
        where=where,
        next_step=failure.next_step,
        log_tail=ended.output.splitlines()[-_TAIL_LINES:],
    )


def _believed(ended: Ended, counted: Counted) -> Verdict:
    pairs = _WRITTEN.findall(ended.output)
    return Verdict(
        n_stars=counted.n_rows,
        n_deleted=sum(int(deleted) for _, deleted in pairs),
        n_columns=counted.n_columns,
        unknown_parameters=tuple(dict.fromkeys(_UNKNOWN_NAME.findall(ended.output))),
        remarks=(
            *dict.fromkeys(match.strip() for match in _REMARKS.findall(ended.output)),
            *_of_values(counted),
        ),
    )


def _of_values(counted: Counted) -> Sequence[str]:
    n = counted.n_not_finite
    return (f"{n} rows of the catalogue have values that are not finite",) if n else ()


# ---------------------------------------------------------------------- the machine's share


def _machines(ended: Ended, catalog: Path, limits: Mapping[str, str]) -> HstAssetsError | None:
    if ended.stopped:
        word = "took too long" if ended.stopped == "time" else "printed nothing for too long"
        setting = limits.get(ended.stopped)
        return TimedOut(
            f"DOLPHOT {word} and was stopped after {ended.seconds:.0f} s",
            next_step=f"Raise {setting} if the data really need more time" if setting else None,
        )
    if ended.code != 0 and is_disk_full(catalog.parent):
        return DiskFull("the disk is full", next_step=DISK_STEP)
    if ended.code >= 0:
        return None
    number = -ended.code
    if number == signal.SIGKILL:
        return OutOfMemory(f"DOLPHOT {death_in_words(number)}", next_step=MEMORY_STEP)
    if number == signal.SIGXFSZ:
        what = "a file of DOLPHOT reached this system's limit on file sizes"
        return DiskFull(what, next_step=DISK_STEP)
    if number not in FAULT_SIGNALS:
        return NoReply(f"DOLPHOT {death_in_words(number)}", next_step="Rerun")
    return None


# ------------------------------------------------------------------------- what is wrong


def _wrong(
    ended: Ended, catalog: Path, counted: Counted, *, n_images: int, align_only: bool
) -> HstAssetsError | None:
    """Why the run is not believed; None if it is."""
    if wrong := _wrong_end(ended):
        return wrong
    n_chips = len(_CHIP.findall(ended.output))
    if not n_chips:
        return UnusableInput("DOLPHOT found no chip to measure")
    if align_only:
        return _wrong_alignment(catalog, n_chips * n_images)
    return _wrong_catalog(ended, counted, n_chips)


def _wrong_end(ended: Ended) -> HstAssetsError | None:
    """A crash, an exit status, a line of parameters that it could not read."""
    if ended.code < 0:
        return ToolFailed(
            f"DOLPHOT {death_in_words(-ended.code)}",
            next_step="Possible causes: a diverging analytic PSF (dolphot.PSFsol), damaged images",
        )
    if ended.code > 0:
        return ToolFailed(f"DOLPHOT ended with status {ended.code}")
    if bad := _BAD_LINE.findall(ended.output):
        return ToolFailed(f"DOLPHOT cannot read its parameters: {bad[0]!r}")
    return None


def _wrong_catalog(ended: Ended, counted: Counted, n_chips: int) -> HstAssetsError | None:
    written = [int(n) for n, _ in _WRITTEN.findall(ended.output)]
    if len(written) != n_chips:
        return ToolFailed(
            f"DOLPHOT ended before its catalogue was written ({len(written)} of {n_chips} chips)",
        )
    if counted.n_rows != sum(written):
        return ToolFailed(
            f"the catalogue has {counted.n_rows} rows, DOLPHOT wrote {sum(written)}",
        )
    if not counted.n_columns:
        return ToolFailed("the list of columns is missing")
    if not counted.n_rows:
        return UnusableInput(
            "DOLPHOT found no star",
            next_step="Lower dolphot.SigFinal, or check dolphot_inputs",
        )
    return None


def _wrong_alignment(catalog: Path, n_expected: int) -> HstAssetsError | None:
    """Whether the alignment of every image is in the file ``.info``."""
    info = catalog.with_name(f"{catalog.name}.info")
    n_found, within = 0, False
    for line in info.read_text(errors="replace").splitlines() if info.is_file() else ():
        within = line.strip() == "Alignment" or (within and line.startswith(" "))
        n_found += within and line.startswith(" ")
    if n_found == n_expected:
        return None
    return ToolFailed(f"the alignment of {n_found} of {n_expected} images was written")


def _counted(catalog: Path) -> Counted:
    """Look through a catalogue; rows with another number of columns are not counted."""
    columns = catalog.with_name(f"{catalog.name}.columns")
    n_columns = len(columns.read_bytes().splitlines()) if columns.is_file() else 0
    n_rows = n_strange = 0
    if catalog.is_file():
        with catalog.open("rb") as rows:
            for row in rows:
                n_rows += row.endswith(b"\n") and len(row.split()) == n_columns
                n_strange += bool(_NOT_A_NUMBER.search(row))
    return Counted(n_rows, n_columns, n_strange)


# -------------------------------------------------------------------------- its last words


def _said(ended: Ended) -> HstAssetsError | None:
    """The failure that the program itself names."""
    for pattern, kind, step in _WORDS:
        match = re.search(rf"^(?:{pattern})$", ended.output, re.MULTILINE)
        if match:
            return kind(f"DOLPHOT: {match[0].strip()}", next_step=step)
    return None


def _refused(ended: Ended) -> HstAssetsError | None:
    """A parameter out of range: the program prints the range and exits with status 0."""
    lines = [line for line in ended.output.splitlines() if line.strip()]
    begun = _READING in ended.output or _CHIP.search(ended.output)
    if ended.code != 0 or begun or not lines:
        return None
    return BadConfiguration(
        f"DOLPHOT refuses a parameter: {lines[-1].strip()}",
        next_step=_PARAMETER,
    )

"""What a run tells of itself: its figures (``.data``) and its warnings (``.warnings``)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from astropy.table import Table

from hst_assets.failures import MissingProduct, UnusableInput

__all__ = [
    "RECORD_FIGURES",
    "ChipRecords",
    "RunRecord",
    "RunWarning",
    "chips_text",
    "parse_run_records",
    "parse_warnings",
    "read_run_records",
    "read_warnings",
]

_APERTURE = tuple(
    f"{name}_{figure}"
    for name in ("psf_to_small", "small_to_large", "psf_outside")
    for figure in ("n_used", "mag", "mean", "scatter", "error")
)
#: The figures of each kind of record. Lengths in pixels of the image, angles in degrees, aperture
#: corrections in magnitudes; ``n_`` counts stars.
RECORD_FIGURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "wcs": ("x_shift", "y_shift", "scale", "rotation_deg"),
        "alignment_stars": ("n_stars",),
        "coarse_alignment": ("x_shift", "y_shift"),
        "alignment": (
            "n_matched",
            "n_used",
            "x_shift",
            "y_shift",
            "scale",
            "distortion",
            "rotation_deg",
            "scatter_pix",
        ),
        "cubic_alignment": ("n_matched", "n_used", "scatter_pix", "reverse_scatter_pix"),
        "psf_stars": ("n_stars", "n_neighbours"),
        "psf": ("n_stars", "central_residual"),
        "psf_solution": tuple(
            f"{parameter}_{term}"
            for parameter in "abc"
            for term in ("0", "x", "y", "xx", "yy", "xy")
        ),
        "aperture": ("n_stars", *_APERTURE),
    }
)
#: How a line begins, and which kinds of records it may be.
_STARTS: tuple[tuple[str, re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (start, re.compile(start.replace("#", r"(\d+)") + r" *"), kinds)
    for start, kinds in (
        ("WCS image #:", ("wcs",)),
        ("Align:", ("alignment_stars",)),
        ("Coarse align image #:", ("coarse_alignment",)),
        ("Align image #:", ("alignment", "cubic_alignment")),
        ("PSF:", ("psf_stars",)),
        ("PSF image #:", ("psf", "psf_solution")),
        ("Apcor image #:", ("aperture",)),
    )
)
_EXTENSION = re.compile(r"EXTENSION (\d+) CHIP (\d+)")
_COUNT = re.compile(r"(?:^|_)n_")
_WHOLE = re.compile(r"-?\d+")


@dataclass(frozen=True)
class RunRecord:
    """One line of the figures of a run.

    Attributes
    ----------
    kind : str
        One of `RECORD_FIGURES`, which names its figures.
    image : int or None
        The image's number, from 1; None: of all.
    figures : tuple of float
        In the order of `RECORD_FIGURES`; counts are whole numbers.
    """

    kind: str
    image: int | None
    figures: tuple[int | float, ...]

    def __getitem__(self, name: str) -> int | float:
        """A figure by its name."""
        return self.figures[RECORD_FIGURES[self.kind].index(name)]

    def line(self) -> str:
        """Its line."""
        start = next(start for start, _, kinds in _STARTS if self.kind in kinds)
        head = start.replace("#", str(self.image))
        return " ".join((head, *(_written(figure) for figure in self.figures)))


@dataclass(frozen=True)
class ChipRecords:
    """The figures of one chip of the reference, in the order in which they were found."""

    extension: int
    chip: int
    records: tuple[RunRecord, ...]

    def of(self, kind: str) -> list[RunRecord]:
        """The records of a kind."""
        return [record for record in self.records if record.kind == kind]

    def table(self, kind: str) -> Table:
        """The records of a kind as a table, one row an image."""
        records = self.of(kind)
        table = Table({"image": [record.image or 0 for record in records]})
        for at, name in enumerate(RECORD_FIGURES[kind]):
            table[name] = [record.figures[at] for record in records]
        return table


def read_run_records(path: Path) -> tuple[ChipRecords, ...]:
    """Read a ``.data`` file.

    Raises
    ------
    MissingProduct
        If it is not there.
    UnusableInput
        If a line is of no known kind or cut off; the failure names it.
    """
    return parse_run_records(_text(path), path)


def parse_run_records(text: str, where: object) -> tuple[ChipRecords, ...]:
    """Parse the text of a ``.data`` file; `where` names it in failures.

    Raises
    ------
    UnusableInput
        If a line is of no known kind or cut off; the failure names it.
    """
    chips: list[tuple[int, int, list[RunRecord]]] = []
    for number, line in enumerate(_complete_lines(text, where), start=1):
        if match := _EXTENSION.fullmatch(line):
            chips.append((int(match[1]), int(match[2]), []))
            continue
        record = _record(line)
        if record is None or not chips:
            raise UnusableInput(
                f"not a record of a run: {line[:60]!r}", where=f"{where}, line {number}"
            )
        chips[-1][2].append(record)
    return tuple(ChipRecords(extension, chip, tuple(found)) for extension, chip, found in chips)


def chips_text(chips: Sequence[ChipRecords]) -> str:
    """The ``.data`` file of these chips."""

    def lines() -> Iterator[str]:
        for chip in chips:
            yield f"EXTENSION {chip.extension} CHIP {chip.chip}\n"
            yield from (f"{record.line()}\n" for record in chip.records)

    return "".join(lines())


def _record(line: str) -> RunRecord | None:
    for _, pattern, kinds in _STARTS:
        match = pattern.match(line)
        if match is None:
            continue
        try:
            figures = tuple(_read(word) for word in line[match.end() :].split())
        except ValueError:
            return None
        image = int(match[1]) if pattern.groups else None
        for kind in kinds:
            names = RECORD_FIGURES[kind]
            if len(figures) == len(names) and _counts_are_whole(names, figures):
                return RunRecord(kind, image, figures)
    return None


def _counts_are_whole(names: Sequence[str], figures: Sequence[int | float]) -> bool:
    return all(
        isinstance(figure, int) == (_COUNT.search(name) is not None)
        for name, figure in zip(names, figures, strict=True)
    )


def _read(word: str) -> int | float:
    return int(word) if _WHOLE.fullmatch(word) else float(word)


def _written(figure: float) -> str:
    if isinstance(figure, int):
        return str(figure)
    if math.isnan(figure):  # C writes the sign of a NaN, Python does not.
        return "-nan" if math.copysign(1.0, figure) < 0 else "nan"
    return f"{figure:f}"


# -------------------------------------------------------------------------------- warnings


@dataclass(frozen=True)
class RunWarning:
    """A warning of a run.

    Attributes
    ----------
    kind : str
        ``few_alignment_stars``, ``few_psf_stars``, ``few_aperture_stars``, ``few_stars_aligned``,
        ``not_aligned``, ``not_trimmed``, ``alignment_scatter``, or ``other`` of a text that is not
        known.
    image : int or None
        The image's number, from 1; None: of all.
    figure : float or None
        The number of stars, or the scatter in pixels; None where there is none.
    text : str
        The line as it stands there.
    """

    kind: str
    image: int | None
    figure: float | None
    text: str

    @property
    def is_problem(self) -> bool:
        """Whether positions or magnitudes of an image are in doubt.

        Few stars for the search of the alignment, the PSF or the aperture corrections make a
        catalogue less exact; what is not known is a problem.
        """
        return self.kind not in _LESS_EXACT


_LESS_EXACT = frozenset({"few_alignment_stars", "few_psf_stars", "few_aperture_stars"})
_OF_IMAGE = r"(?: (?:in|for) image (?P<image>\d+), .*)?"
_WARNINGS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern + _OF_IMAGE))
    for kind, pattern in (
        ("few_alignment_stars", r"Only (?P<figure>\d+) stars for alignment"),
        ("few_stars_aligned", r"Only (?P<figure>\d+) alignment stars used"),
        ("few_psf_stars", r"Only (?P<figure>\d+) stars for PSF measurement"),
        ("few_aperture_stars", r"Only (?P<figure>\d+) aperture stars"),
        ("not_aligned", r"No alignment stars matched"),
        ("not_trimmed", r"No alignment stars trimmed"),
        ("alignment_scatter", r"Large alignment scatter \( *(?P<figure>[\d.]+|-?nan|inf) pix\)"),
    )
)


def read_warnings(path: Path) -> tuple[RunWarning, ...]:
    """Read a ``.warnings`` file; it is empty if there was nothing to warn of.

    Raises
    ------
    MissingProduct
        If it is not there.
    UnusableInput
        If it is cut off or no text.
    """
    return parse_warnings(_text(path), path)


def parse_warnings(text: str, where: object) -> tuple[RunWarning, ...]:
    """Parse the text of a ``.warnings`` file; the texts, line by line, are the file again.

    Raises
    ------
    UnusableInput
        If it is cut off.
    """
    return tuple(_warning(line) for line in _complete_lines(text, where))


def _warning(line: str) -> RunWarning:
    for kind, pattern in _WARNINGS:
        if match := pattern.fullmatch(line):
            found = match.groupdict()
            image = int(found["image"]) if found.get("image") else None
            figure = float(found.get("figure") or "nan")
            return RunWarning(kind, image, figure if math.isfinite(figure) else None, line)
    return RunWarning("other", None, None, line)


def _complete_lines(text: str, where: object) -> list[str]:
    lines = text.split("\n")
    if lines.pop():
        raise UnusableInput("the last line is cut off", where=f"{where}, line {len(lines) + 1}")
    return lines


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError as error:
        raise MissingProduct("the file is missing", where=path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInput(f"the file cannot be read: {error}", where=path) from error

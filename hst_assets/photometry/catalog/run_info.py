"""What the ``.info`` file says of a run: images, limits, alignment, aperture corrections.

DOLPHOT reads it again for artificial stars, so that it is written as it was read, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hst_assets.failures import MissingProduct, UnusableInput

__all__ = ["ChipInfo", "InfoImage", "InstrumentLine", "RunInfo", "parse_run_info", "read_run_info"]

_INSTRUMENT = re.compile(r"\* (\w+)-specific info")
_IMAGE = re.compile(r"\* image (\d+): (\S+)((?: \S+)*)")
_SHORT_ALIGNMENT = 5
_PSF_TERMS = 6
_PSF_ROWS = 3


@dataclass(frozen=True)
class InfoImage:
    """An image of the run: its path without ``.fits``, and the middle of its exposure (MJD)."""

    path: str
    mjd: float


@dataclass(frozen=True)
class InstrumentLine:
    """What an instrument notes of an image.

    Attributes
    ----------
    instrument : str
        WFPC2, ACS or WFC3.
    image : int
        The image's number, from 1.
    filter_label : str
        Its filter.
    figures : tuple of str
        As they stand there: the chip's code first, the exposure time (seconds) last.
    """

    instrument: str
    image: int
    filter_label: str
    figures: tuple[str, ...]

    @property
    def chip_code(self) -> int:
        """Which chip: WFC3 0 IR, 1 and 2 UVIS; ACS 0 HRC, 1 and 2 WFC; WFPC2 0 PC, 1 to 3 WF."""
        return int(self.figures[0])

    @property
    def exptime_s(self) -> float:
        """Exposure time, seconds."""
        return float(self.figures[-1])

    @property
    def detector_key(self) -> str:
        """The detector as `hst_assets.detectors.DETECTORS` has it; empty of other instruments."""
        first, others = {
            "WFPC2": ("wfpc2", "wfpc2"),
            "ACS": ("acs_hrc", "acs_wfc"),
            "WFC3": ("wfc3_ir", "wfc3_uvis"),
        }.get(self.instrument, ("", ""))
        return first if self.chip_code == 0 else others

    def line(self) -> str:
        """Its line."""
        return " ".join((f"* image {self.image}: {self.filter_label}", *self.figures))


@dataclass(frozen=True)
class ChipInfo:
    """One chip of the reference.

    Attributes
    ----------
    extension, chip : int
        As in the catalogue.
    limits : tuple of int
        First and last X, first and last Y of the region that was measured, pixels of the reference.
    instruments : tuple of (str, tuple of InstrumentLine)
        Each instrument's section, as it stands there; it may be empty.
    alignment : ndarray, shape (n_images, k)
        From the reference to the image. Of five terms: shift in X and Y (pixels), scale, cubic
        distortion, rotation (degrees). Other widths are those of higher orders.
    psf_solution : ndarray, shape (3 n_images, 6), or None
        Of analytic PSFs, the polynomials of its three parameters.
    aperture_corrections_mag : ndarray, shape (n_images,)
        Added to a magnitude by its PSF; negative where the PSF misses light.
    """

    extension: int
    chip: int
    limits: tuple[int, int, int, int]
    instruments: tuple[tuple[str, tuple[InstrumentLine, ...]], ...]
    alignment: NDArray[np.float64]
    psf_solution: NDArray[np.float64] | None
    aperture_corrections_mag: NDArray[np.float64]

    @property
    def image_lines(self) -> dict[int, InstrumentLine]:
        """What is noted of each image, by its number."""
        return {line.image: line for _, lines in self.instruments for line in lines}

    def lines(self) -> Iterator[str]:
        """Its lines."""
        yield f"EXTENSION {self.extension} CHIP {self.chip}"
        yield "Limits"
        yield " " + " ".join(str(limit) for limit in self.limits)
        for instrument, lines in self.instruments:
            yield f"* {instrument}-specific info"
            yield from (line.line() for line in lines)
        yield "Alignment"
        for row in self.alignment:
            plain = _SHORT_ALIGNMENT if row.size in _PLAIN_WIDTHS else 0
            yield "".join(
                f" {value:f}" if at < plain else f" {value:12.6e}" for at, value in enumerate(row)
            )
        if self.psf_solution is not None:
            yield "PSF solution"
            for row in self.psf_solution:
                yield "".join(f" {value:f}" for value in row)
        yield "Aperture corrections"
        yield from (f"  {value:f}" for value in self.aperture_corrections_mag)
        yield ""


#: Terms of an alignment by shift, scale, distortion and rotation, alone and with the WCS's 84.
_PLAIN_WIDTHS = (5, 89)
#: The same of the third-order polynomials.
_CUBIC_WIDTHS = (40, 124)


@dataclass(frozen=True)
class RunInfo:
    """The whole file.

    Attributes
    ----------
    images : tuple of InfoImage
        In their order; numbers of images count from 1.
    chips : tuple of ChipInfo
        Each chip of the reference that was measured.
    """

    images: tuple[InfoImage, ...]
    chips: tuple[ChipInfo, ...]

    @property
    def instruments(self) -> dict[int, str]:
        """Instrument of each image, by its number; one that DOLPHOT does not know is left out."""
        return {number: line.instrument for number, line in self._image_lines().items()}

    @property
    def detector_keys(self) -> dict[int, str]:
        """Detector of each image, by its number."""
        return {number: line.detector_key for number, line in self._image_lines().items()}

    def _image_lines(self) -> dict[int, InstrumentLine]:
        return self.chips[0].image_lines if self.chips else {}

    def text(self) -> str:
        """The file."""
        lines = [f"{len(self.images)} sets of output data"]
        for image in self.images:
            lines += [image.path, f"{image.mjd:16.8f}"]
        lines.append("")
        for chip in self.chips:
            lines += chip.lines()
        return "".join(f"{line}\n" for line in lines)


def read_run_info(path: Path) -> RunInfo:
    """Read an ``.info`` file.

    Raises
    ------
    MissingProduct
        If it is not there.
    UnusableInput
        If it is damaged or ends too early; the failure names the line.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError as error:
        raise MissingProduct("the file is missing", where=path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInput(f"the file cannot be read: {error}", where=path) from error
    return parse_run_info(text, path)


def parse_run_info(text: str, where: object) -> RunInfo:
    """Parse the text of an ``.info`` file; `where` names it in failures.

    Raises
    ------
    UnusableInput
        If it is damaged or ends too early; the failure names the line.
    """
    if text and not text.endswith("\n"):
        number = text.count("\n") + 1
        raise UnusableInput("the last line is cut off", where=f"{where}, line {number}")
    lines = _Lines(text.split("\n")[:-1], where)
    (count,) = lines.matching(r"(\d+) sets of output data").groups()
    images = tuple(
        InfoImage(lines.next("the path of an image"), lines.numbers(1)[0])
        for _ in range(int(count))
    )
    lines.matching(r"()")
    chips = []
    while not lines.at_end:
        chips.append(_chip(lines, len(images)))
    return RunInfo(images, tuple(chips))


def _chip(lines: _Lines, n_images: int) -> ChipInfo:
    extension, chip = lines.matching(r"EXTENSION (\d+) CHIP (\d+)").groups()
    lines.matching(r"Limits()")
    limits = tuple(int(limit) for limit in lines.matching(r" (-?\d+)" * 4).groups())
    instruments = tuple(_instruments(lines))
    lines.matching(r"Alignment()")
    rows = [lines.numbers(*_PLAIN_WIDTHS, *_CUBIC_WIDTHS) for _ in range(n_images)]
    if len({len(row) for row in rows}) > 1:
        raise lines.failure("alignments of different lengths")
    solution = None
    if lines.peek() == "PSF solution":
        lines.next("")
        solution = np.array([lines.numbers(_PSF_TERMS) for _ in range(_PSF_ROWS * n_images)])
    lines.matching(r"Aperture corrections()")
    corrections = np.array([lines.numbers(1)[0] for _ in range(n_images)])
    lines.matching(r"()")
    return ChipInfo(
        int(extension),
        int(chip),
        (limits[0], limits[1], limits[2], limits[3]),
        instruments,
        np.array(rows).reshape(n_images, -1),
        solution,
        corrections,
    )


def _instruments(lines: _Lines) -> Iterator[tuple[str, tuple[InstrumentLine, ...]]]:
    while match := _INSTRUMENT.fullmatch(lines.peek()):
        lines.next("")
        of_images = []
        while (image := _IMAGE.fullmatch(lines.peek())) is not None:
            figures = tuple(image[3].split())
            if len(figures) < 2 or not figures[0].isdigit() or not _is_number(figures[-1]):
                raise lines.failure("no chip and exposure time of an image")
            of_images.append(InstrumentLine(match[1], int(image[1]), image[2], figures))
            lines.next("")
        yield match[1], tuple(of_images)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None


class _Lines:
    """Lines one after the other, with the number of the one that is wrong."""

    def __init__(self, lines: Sequence[str], where: object) -> None:
        self._lines, self._where, self._at = lines, where, 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._lines)

    def peek(self) -> str:
        return "" if self.at_end else self._lines[self._at]

    def next(self, what: str) -> str:
        if self.at_end:
            raise self.failure(f"the file ends where {what or 'more'} was expected")
        self._at += 1
        return self._lines[self._at - 1]

    def matching(self, pattern: str) -> re.Match[str]:
        match = re.fullmatch(pattern, self.next(repr(pattern.removesuffix("()"))))
        if match is None:
            self._at -= 1
            expected = pattern.removesuffix("()")
            raise self.failure(f"{self.peek()[:60]!r} stands where {expected!r} was expected")
        return match

    def numbers(self, *widths: int) -> list[float]:
        words = self.next("numbers").split()
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) not in widths:
            self._at -= 1
            raise self.failure(
                f"{self.peek()[:60]!r} is not {' or '.join(map(str, widths))} numbers"
            )
        return values

    def failure(self, what: str) -> UnusableInput:
        return UnusableInput(
            what, where=f"{self._where}, line {self._at + 1}", next_step="Make the catalogue again"
        )

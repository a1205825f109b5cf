"""Is this a complete FITS file? Every HDU is visited and its bytes are read.

What the format itself allows to be checked, without making headers and arrays of it, so that
it takes milliseconds and may run in any thread:

- the file begins as FITS does, and ends where its headers say, save padding;
- headers hold printable ASCII only and say of what size their data are;
- DATASUM and CHECKSUM hold wherever there are any;
- there are as many extensions as NEXTEND says.

Pixels that changed in a file without checksums look like any others.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from hst_assets.failures import UnusableInput

__all__ = ["FitsStructure", "Hdu", "fits_structure"]

_BLOCK_BYTES = 2880
_CARD_BYTES = 80
_END = b"END".ljust(_CARD_BYTES)
_PRINTABLE = bytes(range(32, 127))
_BITPIX = frozenset({8, 16, 32, 64, -32, -64})
#: No header of an exposure is near to this long.
_LONGEST_HEADER_BLOCKS = 4000
_ALL_ONES = 0xFFFFFFFF
#: Keywords as they stand in a card, eight characters each.
_WORDS = frozenset(
    word.ljust(8)
    for word in (
        b"BITPIX",
        b"PCOUNT",
        b"GCOUNT",
        b"GROUPS",
        b"DATASUM",
        b"CHECKSUM",
        b"NEXTEND",
        b"ROOTNAME",
        b"EXTNAME",
        b"EXTVER",
        b"ZIMAGE",
    )
)
_STRING = re.compile(r"\s*'((?:[^']|'')*)'")


@dataclass(frozen=True)
class Hdu:
    """Where an HDU lies, and what decides about its size and sums.

    Attributes
    ----------
    start, data_start, stop : int
        Bytes from the beginning of the file.
    words : mapping
        Values of the keywords that were looked at, as text.
    """

    start: int
    data_start: int
    stop: int
    words: Mapping[str, str]


@dataclass(frozen=True)
class FitsStructure:
    """A complete FITS file.

    Attributes
    ----------
    hdus : tuple of Hdu
        In order.
    is_counted : bool
        Whether NEXTEND tells how many extensions there are, so that none can be missing.
    n_sums : int
        How many DATASUM and CHECKSUM were there, and held.
    """

    hdus: tuple[Hdu, ...]
    is_counted: bool
    n_sums: int

    @property
    def rootname(self) -> str | None:
        """ROOTNAME of the primary header, lower case; None without."""
        return self.hdus[0].words.get("ROOTNAME", "").lower() or None


def fits_structure(path: Path) -> FitsStructure:
    """Walk through a FITS file.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Raises
    ------
    UnusableInput
        If it is no FITS file, is truncated or damaged, or cannot be read.
    """
    try:
        with path.open("rb") as handle:
            if handle.read(9) != b"SIMPLE  =":
                raise UnusableInput("not a FITS file", where=path)
            with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _walked(content, path)
    except OSError as error:
        raise UnusableInput(f"cannot be read: {error.strerror}", where=path) from error


def _walked(content: mmap.mmap, path: Path) -> FitsStructure:
    hdus: list[Hdu] = []
    n_sums = 0
    size = len(content)
    if size < _BLOCK_BYTES:
        raise UnusableInput("corrupt FITS: shorter than a header", where=path)
    at = 0
    while at < size:
        if hdus and content[at : at + 8] != b"XTENSION":
            _check_padding(content, at, path)
            break
        hdu = _hdu(content, at, f"HDU {len(hdus)}", path)
        n_sums += _check_sums(content, hdu, _label(hdu, len(hdus)), path)
        hdus.append(hdu)
        at = hdu.stop
    announced = hdus[0].words.get("NEXTEND", "")
    if announced.isdigit() and len(hdus) - 1 < int(announced):
        raise UnusableInput(
            f"truncated: {len(hdus) - 1} of the {announced} extensions of its NEXTEND", where=path
        )
    return FitsStructure(tuple(hdus), announced.isdigit(), n_sums)


def _check_padding(content: mmap.mmap, start: int, path: Path) -> None:
    if content[start:].strip(b"\0 "):
        raise UnusableInput(
            f"corrupt FITS: what follows byte {start} is not an extension", where=path
        )


def _hdu(content: mmap.mmap, start: int, label: str, path: Path) -> Hdu:
    words, data_start = _header(content, start, label, path)
    try:
        data_bytes = _data_bytes(words)
    except (KeyError, ValueError) as error:
        raise UnusableInput(
            f"corrupt: the header of {label} does not give the size of its data", where=path
        ) from error
    stop = data_start + -(-data_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
    if stop > len(content):
        raise UnusableInput(
            f"truncated: {len(content)} bytes, but its headers announce {stop}", where=path
        )
    return Hdu(start, data_start, stop, words)


def _header(content: mmap.mmap, start: int, label: str, path: Path) -> tuple[dict[str, str], int]:
    """The keywords of interest, and where the data begin."""
    words: dict[str, str] = {}
    for at in range(start, start + _LONGEST_HEADER_BLOCKS * _BLOCK_BYTES, _BLOCK_BYTES):
        block = content[at : at + _BLOCK_BYTES]
        if len(block) < _BLOCK_BYTES:
            raise UnusableInput(f"truncated within the header of {label}", where=path)
        if block.translate(None, _PRINTABLE):
            raise UnusableInput(
                f"corrupt: the header of {label} holds bytes that are not text", where=path
            )
        for position in range(0, _BLOCK_BYTES, _CARD_BYTES):
            card = block[position : position + _CARD_BYTES]
            if card == _END:
                return words, at + _BLOCK_BYTES
            word = card[:8]
            if (word in _WORDS or word.startswith(b"NAXIS")) and card[8:10] == b"= ":
                words.setdefault(word.decode().strip(), _value(card[10:].decode()))
    raise UnusableInput(f"corrupt: the header of {label} does not end", where=path)


def _value(text: str) -> str:
    if match := _STRING.match(text):
        return match[1].replace("''", "'").strip()
    return text.partition("/")[0].strip()


def _data_bytes(words: Mapping[str, str]) -> int:
    """Bytes of the data without padding (FITS standard 4.0, equations 1, 2 and 4)."""
    bitpix = int(words["BITPIX"])
    axes = [int(words[f"NAXIS{axis}"]) for axis in range(1, int(words["NAXIS"]) + 1)]
    if bitpix not in _BITPIX or any(axis < 0 for axis in axes):
        raise ValueError("no such size")
    if not axes:
        return 0
    if axes[0] == 0 and words.get("GROUPS") == "T":
        axes = axes[1:]
    n_groups, n_more = int(words.get("GCOUNT", "1")), int(words.get("PCOUNT", "0"))
    if n_groups < 0 or n_more < 0:
        raise ValueError("no such size")
    return abs(bitpix) // 8 * n_groups * (n_more + prod(axes))


def _label(hdu: Hdu, index: int) -> str:
    name = hdu.words.get("EXTNAME") or ("PRIMARY" if index == 0 else "unnamed")
    return f"HDU {index} ({name},{hdu.words.get('EXTVER', '1')})"


def _check_sums(content: mmap.mmap, hdu: Hdu, label: str, path: Path) -> int:
    """Check DATASUM and CHECKSUM; return how many there are."""
    datasum, checksum = hdu.words.get("DATASUM", ""), hdu.words.get("CHECKSUM", "")
    if not (datasum or checksum):
        return 0
    of_data = _sum(content, hdu.data_start, hdu.stop)
    if datasum and datasum != str(of_data):
        raise UnusableInput(
            f"corrupt: DATASUM of {label} does not agree with its bytes", where=path
        )
    total = _folded(of_data + _sum(content, hdu.start, hdu.data_start))
    if checksum and total not in (0, _ALL_ONES):
        raise UnusableInput(
            f"corrupt: CHECKSUM of {label} does not agree with its bytes", where=path
        )
    return bool(datasum) + bool(checksum)


def _sum(content: mmap.mmap, start: int, stop: int) -> int:
    """The ones' complement sum of 32-bit words (FITS standard 4.0, appendix J)."""
    if stop <= start:
        return 0
    words = np.frombuffer(content, dtype=">u4", offset=start, count=(stop - start) // 4)
    return _folded(int(words.sum(dtype=np.uint64)))


def _folded(total: int) -> int:
    while total > _ALL_ONES:
        total = (total & _ALL_ONES) + (total >> 32)
    return total

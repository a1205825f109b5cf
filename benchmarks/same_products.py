"""In what the products of two runs differ, file by file: for benchmarks that disturb runs.

- FITS: each pixel, and each card that is no date, sum of a file, or comment; headerlets within;
- tables (ECSV): each column's name, unit and type, each row, bit for bit; other comments have
  versions and dates;
- HDF5 (alignment, catalogue of stars, PSFs): each data set, bit for bit, and each attribute;
- everything else (the photometer's catalogue and its files, lists of artificial stars, light curves
  for other programs, HAP's tests and lists, pictures, pages): byte for byte, but for dates, times
  and the folder of the target.

Not compared: ``raw/`` (it is the input), ``logs/`` and HAP's trailer files (what was said when),
provenance records (dates, durations and processes), hidden files, which are no products, and
settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

__all__ = ["compared", "everything_of"]

#: Moments and dates of today, ISO 8601 and as HAP writes them; exposures are of earlier years.
_TIMES = re.compile(
    rb"20(?:2[6-9]|[3-9]\d)-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:\d\d)?"
    rb"|\d\d/\d\d/20(?:2[6-9]|[3-9]\d)"
    rb"|\"generation time\": \"[\d:]+\"|\"seconds since epoch\": [\d.]+"
)
_NO_PRODUCTS = ("raw", "logs")
_SAID = ("_trl.txt", ".provenance.json", "target.toml")


def everything_of(root: Path, target: str) -> dict[str, Path]:
    """All products of a target, of whatever kind."""
    base = root / target
    found = {path.relative_to(base): path for path in base.rglob("*") if path.is_file()}
    return {
        str(name): path
        for name, path in sorted(found.items())
        if name.parts[0] not in _NO_PRODUCTS
        and not any(part.startswith(".") for part in name.parts)
        and not name.name.endswith(_SAID)
    }


def compared(expected: Mapping[str, Path], found: Mapping[str, Path]) -> list[str]:
    """In what products differ."""
    differences = [f"{name} is missing" for name in expected.keys() - found.keys()]
    differences += [f"{name} is extra" for name in found.keys() - expected.keys()]
    for name in sorted(expected.keys() & found.keys()):
        if why := _difference(name, expected[name], found[name]):
            differences.append(f"{name} {why}")
    return differences


def _difference(name: str, expected: Path, found: Path) -> str:
    if name.endswith(".fits"):
        return _of_fits(expected, found)
    if name.endswith(".ecsv"):
        alike = _rows(expected, name) == _rows(found, name)
        return "" if alike else "has other rows or columns"
    if name.endswith(".h5"):
        one, other = _contents(expected), _contents(found)
        other_names = one.keys() ^ other.keys()
        other_names |= {key for key in one.keys() & other.keys() if one[key] != other[key]}
        return f"has another {', '.join(sorted(other_names)[:3])}" if other_names else ""
    one, other = (_timeless(path, name) for path in (expected, found))
    return f"differs: {_first_difference(one, other)}" if one != other else ""


def _of_fits(expected: Path, found: Path) -> str:
    with fits.open(expected) as one, fits.open(found) as other:
        if _headerlets(one) != _headerlets(other):
            return "has another headerlet"
        difference = fits.FITSDiff(
            one, other, ignore_keywords=["DATE", "CHECKSUM", "DATASUM"], ignore_comments=["*"]
        )
        if not difference.identical:
            return f"differs: {_end_of(difference.report())}"
        # To FITSDiff what is not a number is the same as what is infinite.
        pairs = zip(_floats(one), _floats(other), strict=True)
        alike = all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)
        return "" if alike else "differs: what is not a number, or infinite"


def _floats(hdus: fits.HDUList) -> Iterator[NDArray[np.floating]]:
    """Planes and columns of numbers that may be none."""
    for hdu in hdus:
        if hdu.data is None:
            continue
        names = hdu.data.dtype.names
        planes = [hdu.data[name] for name in names] if names else [hdu.data]
        yield from (plane for plane in planes if plane.dtype.kind == "f")


def _headerlets(hdus: fits.HDUList) -> list[bytes]:
    """Files within a file, without their dates; they are taken out of the list."""
    kind = fits.hdu.nonstandard.NonstandardExtHDU
    own = [hdu for hdu in hdus if isinstance(hdu, kind)]
    contents = [_TIMES.sub(b"", hdu.data.tobytes()) for hdu in own]
    for hdu in own:
        hdus.remove(hdu)
    return contents


def _rows(table: Path, name: str) -> list[str]:
    """The lines of a table that are rows or declare a column, without the folder of the target."""
    lines = table.read_text().replace(_base(table, name), "").splitlines()
    return [line for line in lines if not line.startswith("#") or line.startswith("# - {name:")]


def _contents(path: Path) -> dict[str, bytes]:
    """Data sets and attributes of a file, by name, as bytes without dates."""
    found: dict[str, bytes] = {}

    def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
        found.update({f"{name}@{key}": _as_bytes(value) for key, value in item.attrs.items()})
        if isinstance(item, h5py.Dataset):
            found[name] = _as_bytes(item[()])

    with h5py.File(path) as file:
        note("/", file)
        file.visititems(note)
    return found


def _as_bytes(value: object) -> bytes:
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        return _TIMES.sub(b"", repr(array.tolist()).encode())
    return array.dtype.str.encode() + repr(array.shape).encode() + array.tobytes()


def _timeless(path: Path, name: str) -> bytes:
    """The content without moments, and without the folder of the target."""
    return _TIMES.sub(b"", path.read_bytes().replace(_base(path, name).encode(), b""))


def _base(path: Path, name: str) -> str:
    """The folder of the target."""
    return str(path).removesuffix(f"/{name}")


def _first_difference(one: bytes, other: bytes) -> str:
    lines = zip(one.splitlines(), other.splitlines(), strict=False)
    pair = next(((a, b) for a, b in lines if a != b), (b"the end", b"more"))
    return " / ".join(_around(*pair))


def _around(one: bytes, other: bytes) -> tuple[str, str]:
    """The places at which two lines begin to differ."""
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    start = max(0, same - 20)
    return repr(one[start : same + 30]), repr(other[start : same + 30])


def _end_of(report: str) -> str:
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    return " / ".join(lines[-6:])

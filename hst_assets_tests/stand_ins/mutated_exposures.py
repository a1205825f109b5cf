"""Mutated exposures through the verification of ingest: what came of them, and what they cost.

Small exposures of each detector are damaged in one to three ways each (`MUTATIONS`), at random by
a seed, and verified as ingest does it. Nothing else than a verdict may come of any: no other
exception, no file that takes more than 5 s, none for which the verifying process takes more than
1 GB. What is accepted is read again as later steps read it, in this process.
"""

from __future__ import annotations

import io
import os
import resource
import struct
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits

from hst_assets.exposures import bounded_verification
from hst_assets.exposures.bounded_verification import begin_verification
from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.header import read_exposure
from hst_assets.failures import HstAssetsError, TransientFailure, UnusableInput
from hst_assets.imaging.frames import exposure_outlines
from hst_assets_tests.stand_ins.tiny_exposures import tiny_exposure

MOST_SECONDS, MOST_BYTES = 5.0, 1_000_000_000

Content = bytearray
Mutation = Callable[[Content, np.random.Generator], Content]
MUTATIONS: list[Mutation] = []

_BLOCK, _CARD = 2880, 80
#: Values that headers are not expected to have.
_VALUES = (
    *("0", "-1", "1", "2", "7", "5000", "99999", "2147483647", "4294967296", "1000000000"),
    *("9223372036854775808", "1E300", "-1E300", "1E400", "-1E400", "1E-300", "-0.0", "0.5"),
    *("T", "F", "''", "'N/A'", "'1'", "'RA---TAB'", "'DEC--TPV'", "'LOOKUP'", "'NaN'", ""),
    *("(1.0, 2.0)", "'unterminated", "+-3", "0x10", "1.5D400", "'&'"),
)
#: Keywords that decide about sizes, tables, or the WCS, added where they are not.
_KEYWORDS = (
    *("A_ORDER", "B_ORDER", "AP_ORDER", "A_9_9", "WCSAXES", "CPDIS1", "DP1", "D2IMDIS1", "D2IM1"),
    *("CTYPE1", "CTYPE2", "CUNIT1", "PV1_1", "PV2_3", "PS1_0", "LONPOLE", "LATPOLE", "EQUINOX"),
    *("RADESYS", "MJD-OBS", "DATE-OBS", "TIMESYS", "CD1_1", "CD2_2", "PC1_1", "CDELT1", "CROTA2"),
    *("NPIX1", "NPIX2", "PIXVALUE", "BSCALE", "BZERO", "BLANK", "ZIMAGE", "ZTILE1", "THEAP"),
    *("EXTEND", "NAXIS3", "NAXIS", "NAXIS1", "NAXIS2", "BITPIX", "PCOUNT", "GCOUNT", "GROUPS"),
    *("INHERIT", "XTENSION", "EXTNAME", "EXTVER", "EXTLEVEL", "TFIELDS", "TFORM1", "CONTINUE"),
    *("EXPTIME", "EXPSTART", "EXPEND", "RA_TARG", "DEC_TARG", "CRVAL1", "CRPIX1", "ROOTNAME"),
)


def mutation(function: Mutation) -> Mutation:
    """A way to damage a file."""
    MUTATIONS.append(function)
    return function


def _cards(content: Content) -> list[int]:
    """Where cards begin: in blocks that hold nothing but text."""
    found = []
    for start in range(0, len(content) - _BLOCK + 1, _BLOCK):
        block = content[start : start + _BLOCK]
        if all(32 <= byte < 127 for byte in block[:: _CARD // 4]):
            found += range(start, start + _BLOCK, _CARD)
    return found


def _some_card(content: Content, rng: np.random.Generator) -> int:
    cards = _cards(content)
    return int(rng.choice(cards)) if cards else 0


def _text(card: str) -> bytes:
    return card[:_CARD].ljust(_CARD).encode("ascii", "replace")


@mutation
def change_a_value(content: Content, rng: np.random.Generator) -> Content:
    """Another value for a keyword that is there."""
    at = _some_card(content, rng)
    keyword = content[at : at + 8].decode("ascii", "replace")
    content[at : at + _CARD] = _text(f"{keyword}= {rng.choice(_VALUES)!s:>20}")
    return content


@mutation
def put_a_keyword(content: Content, rng: np.random.Generator) -> Content:
    """A keyword that matters, with any value, in place of another."""
    at = _some_card(content, rng)
    content[at : at + _CARD] = _text(f"{rng.choice(_KEYWORDS):8}= {rng.choice(_VALUES)!s:>20}")
    return content


@mutation
def put_a_record(content: Content, rng: np.random.Generator) -> Content:
    """A record-valued card of a distortion, or a card of ESO's kind."""
    at = _some_card(content, rng)
    record = rng.choice(["DP1", "DP2", "D2IM1", "HIERARCH X", "DQ1"])
    field_name = rng.choice(["EXTVER", "NAXES", "AXIS.1", "AXIS.2", "NAXES.9", "OFFSET.1"])
    content[at : at + _CARD] = _text(f"{record} = '{field_name}: {rng.choice(_VALUES)}'")
    return content


@mutation
def drop_a_card(content: Content, rng: np.random.Generator) -> Content:
    """A card less; END may be the one."""
    at = _some_card(content, rng)
    content[at : at + _CARD] = b" " * _CARD
    return content


@mutation
def swap_cards(content: Content, rng: np.random.Generator) -> Content:
    """Two cards in each other's place, of different headers too."""
    one, other = _some_card(content, rng), _some_card(content, rng)
    first, second = content[one : one + _CARD], content[other : other + _CARD]
    content[one : one + _CARD], content[other : other + _CARD] = second, first
    return content


@mutation
def flip_bits(content: Content, rng: np.random.Generator) -> Content:
    """Single bits anywhere."""
    for at in rng.integers(0, len(content), int(rng.integers(1, 60))):
        content[at] ^= 1 << int(rng.integers(0, 8))
    return content


@mutation
def overwrite(content: Content, rng: np.random.Generator) -> Content:
    """A stretch of random bytes, or of one byte."""
    length = int(rng.integers(1, 4000))
    at = int(rng.integers(0, len(content)))
    filled = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
    content[at : at + length] = filled if rng.random() < 0.5 else bytes([filled[0]]) * length
    return content


@mutation
def cut(content: Content, rng: np.random.Generator) -> Content:
    """The end is missing."""
    return content[: int(rng.integers(1, len(content)))]


@mutation
def repeat_blocks(content: Content, rng: np.random.Generator) -> Content:
    """Some blocks twice, or moved."""
    n_blocks = max(len(content) // _BLOCK, 1)
    start = int(rng.integers(0, n_blocks)) * _BLOCK
    part = content[start : start + int(rng.integers(1, 6)) * _BLOCK]
    at = int(rng.integers(0, n_blocks + 1)) * _BLOCK
    return content[:at] + part + content[at:]


@mutation
def append_a_table(content: Content, rng: np.random.Generator) -> Content:
    """A table of few bytes that announces many: rows of nothing, or rows that share a heap."""
    n_rows = int(rng.choice([1, 1000, 100_000, 10**9]))
    n_heap = int(rng.choice([0, 100, 40_000]))
    width = 8 if n_rows <= 1000 else int(rng.choice([0, 8]))
    format_ = rng.choice([f"PB({n_heap})", f"{n_heap}A", "0A", "PJ(9)", "QD(1)", "8X", "1PE()"])
    cards = {
        "XTENSION": "BINTABLE",
        "BITPIX": 8,
        "NAXIS": 2,
        "NAXIS1": width,
        "NAXIS2": n_rows,
        "PCOUNT": n_heap,
        "GCOUNT": 1,
        "TFIELDS": 1,
        "TTYPE1": "X",
        "TFORM1": str(format_),
    }
    header = fits.Header(cards).tostring().encode()
    if width * n_rows <= 1_000_000:
        data = struct.pack(">ii", n_heap, 0) * n_rows if width else b""
        data += bytes(n_heap)
        header += data + bytes(-len(data) % _BLOCK)
    return content + header


@mutation
def append_a_compressed_image(content: Content, rng: np.random.Generator) -> Content:
    """An image of many pixels, compressed to few bytes, possibly damaged."""
    side = int(rng.choice([64, 512]))
    hdu = fits.CompImageHDU(np.zeros((side, side), np.int16), compression_type="GZIP_1")
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(stream)
    tail = bytearray(stream.getvalue()[_BLOCK:])
    for keyword in rng.choice(["ZTILE1", "ZNAXIS1", "ZNAXIS2", "ZBITPIX", "ZCMPTYPE"], 2):
        at = tail.find(f"{keyword:8}=".encode())
        if at >= 0:
            tail[at : at + _CARD] = _text(f"{keyword:8}= {rng.choice(_VALUES)!s:>20}")
    return content + tail


@dataclass
class Tally:
    """What became of the files.

    Attributes
    ----------
    n_files, n_accepted : int
        Verified, and accepted.
    seconds, n_bytes : float, int
        The most that one file took: CPU time and peak memory of the process that verifies.
    kinds : Counter
        Of the reasons, by their first words.
    wrong : list of str
        What must not be.
    """

    n_files: int = 0
    n_accepted: int = 0
    seconds: float = 0.0
    n_bytes: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def seeds_of(folder: Path) -> list[Path]:
    """Whole small exposures of each detector, with SIP and look-up tables, to be damaged."""
    folder.mkdir(exist_ok=True)
    found = []
    for key, rootname in (
        ("wfc3_uvis", "iaaa01aaq"),
        ("wfc3_ir", "iaaa02aaq"),
        ("acs_wfc", "jaaa01aaq"),
        ("acs_hrc", "jaaa02aaq"),
        ("wfpc2", "uaaa01aam"),
    ):
        for name, content in tiny_exposure(rootname, key, 150.1, 2.2).items():
            path = folder / name
            path.write_bytes(content)
            if "_c1m" not in name:
                found.append(path)
    _add_distortion(found[0])
    return found


def _add_distortion(path: Path) -> None:
    """SIP polynomials and a look-up table, as exposures of the archive have them."""
    with fits.open(path, memmap=False) as hdus:
        header = hdus["SCI", 1].header
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
        header.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6, "B_0_2": -1e-6})
        header.update({"CPDIS1": "LOOKUP", "CPDIS2": "LOOKUP"})
        for axis in (1, 2):
            for name, value in (("EXTVER", 1.0), ("NAXES", 2.0), ("AXIS.1", 1.0), ("AXIS.2", 2.0)):
                header.append((f"DP{axis}", f"{name}: {value}"), end=True)
            table = fits.ImageHDU(np.zeros((4, 4), np.float32), name="WCSDVARR", ver=axis)
            table.header.update({"CRPIX1": 1.0, "CRPIX2": 1.0, "CRVAL1": 1.0, "CRVAL2": 1.0})
            table.header.update({"CDELT1": 12.0, "CDELT2": 12.0})
            hdus.append(table)
        hdus[0].header["NEXTEND"] = len(hdus) - 1
        hdus.writeto(path, overwrite=True, output_verify="silentfix")


def fuzz(folder: Path, n_files: int, seed: int) -> Tally:
    """Damage and verify so many files.

    Parameters
    ----------
    folder : `~pathlib.Path`
        For the files.
    n_files : int
        How many.
    seed : int
        Of the damage: the same number makes the same files.
    """
    tally = Tally()
    seeds = seeds_of(folder / "seeds")
    originals = {path: path.read_bytes() for path in seeds}
    damaged = folder / "damaged"
    damaged.mkdir(exist_ok=True)
    for number in range(n_files):
        rng = np.random.default_rng([seed, number])
        source = seeds[number % len(seeds)]
        path = damaged / source.name
        companion = quality_file(source)
        if companion != source:
            quality_file(path).write_bytes(companion.read_bytes())
        content = bytearray(originals[source])
        ways = [MUTATIONS[int(rng.integers(len(MUTATIONS)))] for _ in range(rng.integers(1, 4))]
        for way in ways:
            content = way(content, rng) or bytearray(b" ")
        if companion != source and rng.random() < 0.3:
            path.write_bytes(originals[source])
            quality_file(path).write_bytes(content)
        else:
            path.write_bytes(content)
        _verify(path, tally, f"seed {seed} number {number} ({', '.join(w.__name__ for w in ways)})")
    return tally


def _verify(path: Path, tally: Tally, label: str) -> None:
    tally.n_files += 1
    companion = quality_file(path)
    before, started = _seconds_of_ended(), _cpu_seconds()
    try:
        begin_verification(path, companion if companion != path else None)()
        tally.n_accepted += 1
        said = "accepted"
    except UnusableInput as error:
        said = " ".join(error.what.split()[:3])
    except TransientFailure as error:
        said = f"TRANSIENT {error.what}"
        tally.wrong.append(f"{label}: {error}")
    except Exception:  # noqa: BLE001 - this is what is looked for
        said = "TRACEBACK"
        tally.wrong.append(f"{label}: {traceback.format_exc()}")
    # A busy machine is not a slow verification. One that took too long was ended, and replaced.
    (_, at_first), (_, at_last) = (each or (0, 0.0) for each in (started, _cpu_seconds()))
    seconds = _seconds_of_ended() - before + at_last - at_first
    tally.kinds[said] += 1
    tally.seconds = max(tally.seconds, seconds)
    if seconds > MOST_SECONDS:
        tally.wrong.append(f"{label}: {seconds:.1f} s ({said})")
    n_bytes = _peak_bytes()
    tally.n_bytes = max(tally.n_bytes, n_bytes)
    if n_bytes > MOST_BYTES:
        tally.wrong.append(f"{label}: {n_bytes / 1e9:.2f} GB ({said})")
    if said == "accepted":
        _read_again(path, tally, label)


def _seconds_of_ended() -> float:
    """CPU time of child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_seconds() -> tuple[int, float] | None:
    """The process that verifies, and its CPU time so far; None where there is none."""
    child = bounded_verification.process_of_this_thread()
    if child is None:
        return None
    with suppress(OSError):
        # The name in parentheses may hold spaces; user and system time are the 14th and 15th.
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        return child, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return None


def _peak_bytes() -> int:
    """Peak memory of the process that verifies; 0 where it has just ended."""
    child = bounded_verification.process_of_this_thread()
    if child is None:
        return 0
    with suppress(OSError):
        for line in Path(f"/proc/{child}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return 0


def _read_again(path: Path, tally: Tally, label: str) -> None:
    """What later steps do in their own process, with what was let in."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_exposure(path, quality_file(path))
            exposure_outlines(path)
    except HstAssetsError as error:
        tally.kinds[f"accepted, then {error.what[:40]}"] += 1
    except Exception:  # noqa: BLE001 - this is what is looked for
        tally.wrong.append(f"{label}: accepted, then {traceback.format_exc()}")

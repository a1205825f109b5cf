"""Damaged texts through every parser of text: files of users, of programs, of archives, our own.

    PYTHONPATH=. python benchmarks/parser_fuzz.py [PARSER ...] [--inputs 60000] [--seed 1]

Each input is a valid text with one to four damages (bytes taken out, doubled, replaced; words
exchanged for hostile ones; lines swapped, cut or repeated). A parser may read it, or refuse it with
a failure of the project's vocabulary. Anything else - another exception, a warning of a library,
more than 5 s - is printed, and the exit status is 1. FITS files have a benchmark of their own,
`ingest_fuzz.py`; faults of the network `archive_faults.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hst_assets.archive.listing import read_listing, write_listing
from hst_assets.archive.query import ask_archive
from hst_assets.exposures.footprint import parse_footprint
from hst_assets.exposures.overrides import read_overrides
from hst_assets.exposures.raw import RawFile, parse_ledger, raw_ledger, write_ledger
from hst_assets.failures import HstAssetsError
from hst_assets.hap.poller import read_poller
from hst_assets.identifiers import VisitKey
from hst_assets.photometry.catalog.columns import read_columns
from hst_assets.photometry.catalog.reading import read_catalog
from hst_assets.photometry.catalog.run_info import read_run_info
from hst_assets.photometry.catalog.run_records import read_run_records, read_warnings
from hst_assets.photometry.catalog.writing import write_catalog
from hst_assets.photometry.light_curve.places import read_positions
from hst_assets.provenance import Recipe, Result, make, read_record
from hst_assets.settings import Settings, load_settings, write_settings
from hst_assets.settings.dolphot_file import read_parameters_file
from hst_assets.sky_position import parse_position
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.catalog.made_catalogs import made_catalog
from hst_assets_tests.photometry.catalog.test_run_info import TWO_CHIPS
from hst_assets_tests.photometry.catalog.test_run_records import DATA
from hst_assets_tests.stand_ins.archive_services import PLACE, ArchiveServices

MOST_SECONDS = 5.0
Read = Callable[[bytes], object]

_WORDS: tuple[bytes, ...] = (
    *(b"nan", b"inf", b"-inf", b"1e400", b"-1", b"0", b"99999999999999999999", b"1e-400", b"0x10"),
    *(
        b"null",
        b"true",
        b"{}",
        b"[]",
        b'""',
        b"''",
        b"\x00",
        b"\xff\xfe",
        b"\xc3\xa9",
        b"\xe2\x80\xae",
    ),
    *(
        b"../../etc/passwd",
        b"/",
        b".",
        b"",
        b" ",
        b"\t",
        b"\r\n",
        b"\n\n",
        b"<b>",
        b"[red]",
        b"%s",
        b"$HOME",
    ),
    *(b"a" * 300, b"9" * 400, b"[" * 200, b"{" * 200),
)


@dataclass(frozen=True)
class Parser:
    """A valid text, what reads one like it, and the failures that its docstring names."""

    valid: bytes
    read: Read
    refusals: tuple[type[Exception], ...] = (HstAssetsError,)


def in_file(path: Path, read: Callable[[Path], object]) -> Read:
    """What reads a file, as what reads its content."""

    def written_and_read(content: bytes) -> object:
        path.write_bytes(content)
        return read(path)

    return written_and_read


def of_text(read: Callable[[str], object]) -> Read:
    """What reads a text that came from elsewhere: bytes that are no text never get there."""
    return lambda content: read(content.decode(errors="replace"))


# ------------------------------------------------------------------------------- what is read


def parsers(folder: Path) -> dict[str, Parser]:
    """Every parser with a valid text."""
    return {**of_users(folder), **of_programs(folder), **of_records(folder), **of_archives(folder)}


def of_users(folder: Path) -> dict[str, Parser]:
    """What people write."""
    workdir = WorkDir(folder, "users").create()
    write_settings(workdir, {"alignment": {"max_tries": 3}, "drizzle": {"pixfrac": 0.8}})
    decisions = (
        "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: rootname, datatype: string}\n"
        "# - {name: use, datatype: bool}\n# - {name: reason, datatype: string}\n"
        'rootname use reason\nj8bt06nyq False "trailed"\nj8bt06o6q True "sharp after all"\n'
    )
    places = "name,ra,dec,error\nsn1,150.1,2.2,0.1\nother,150.2,2.3,\n"
    poller = (
        "iaaa01a0q_flt.fits,12345,AAA,01,100.0,F160W,IR,/archive/iaaa01a0q_flt.fits\n"
        "iaaa01a1q_flt.fits,12345,AAA,01,100.0,F110W,IR,/archive/iaaa01a1q_flt.fits\n"
    )
    parameters = "SigFind = 2.5\nSigFinal=3.5 # least\nFitSky = 2\nimg_RAper = 4\nUseWCS=1\n"
    overrides = folder / "overrides.ecsv"
    return {
        "target.toml": Parser(
            workdir.settings_file.read_bytes(),
            in_file(workdir.settings_file, lambda _: load_settings(workdir)),
        ),
        "overrides": Parser(decisions.encode(), in_file(overrides, read_overrides)),
        "positions": Parser(places.encode(), in_file(folder / "places.csv", read_positions)),
        "poller": Parser(poller.encode(), in_file(folder / "wfc3_aaa_01_input.out", read_poller)),
        "dolphot parameters": Parser(
            parameters.encode(), in_file(folder / "my.param", read_parameters_file)
        ),
        "position": Parser(b"10:00:24.0 +02:12:00", of_text(parse_position), (ValueError,)),
        "visit key": Parser(b"sn1/j8bt06", of_text(VisitKey.parse)),
    }


def of_programs(folder: Path) -> dict[str, Parser]:
    """What DOLPHOT, or the embedded photometer in its place, leaves."""
    catalog, columns = write_catalog(made_catalog(6), folder / "dp0000")
    warned = b"image /a/iaaa01n1q_flc.chip1: no PSF stars\n"
    damaged = folder / "damaged"
    return {
        ".columns": Parser(
            columns.read_bytes(), in_file(damaged.with_suffix(".columns"), read_columns)
        ),
        "catalogue": Parser(
            catalog.read_bytes(),
            in_file(damaged, lambda path: read_catalog(path, columns=read_columns(columns))),
        ),
        ".info": Parser(TWO_CHIPS.encode(), in_file(damaged.with_suffix(".info"), read_run_info)),
        ".data": Parser(DATA.encode(), in_file(damaged.with_suffix(".data"), read_run_records)),
        ".warnings": Parser(warned, in_file(damaged.with_suffix(".warnings"), read_warnings)),
    }


def of_records(folder: Path) -> dict[str, Parser]:
    """What we leave ourselves."""
    workdir = WorkDir(folder, "records").create()
    files = [
        RawFile(f"j8bt06n{n}q_flc.fits", f"j8bt06n{n}q", "j8bt06", "flc", 1, 1, "0" * 64)
        for n in range(3)
    ]
    write_ledger(workdir, files)
    product = folder / "records" / "product.txt"
    product.write_text("made")
    make(Recipe("text", "1"), product, workdir, lambda: Result((product,), {"n": 1}), redo=True)
    record = product.with_name(f"{product.name}.provenance.json")
    return {
        "ledger": Parser(
            workdir.checksums.read_bytes(),
            in_file(workdir.checksums, lambda _: raw_ledger(workdir)),
        ),
        "ledger text": Parser(workdir.checksums.read_bytes(), of_text(parse_ledger)),
        "record": Parser(record.read_bytes(), in_file(record, lambda _: read_record(product))),
    }


def of_archives(folder: Path) -> dict[str, Parser]:
    """What MAST answers, and what is kept of it."""
    services = ArchiveServices()
    for n in range(3):
        services.add(f"J8BT06N{n}Q")
    settings = Settings.model_validate({"target": {"ra_deg": PLACE[0], "dec_deg": PLACE[1]}})
    workdir = WorkDir(folder, "archives").create()
    write_listing(workdir, ask_archive(settings, services=services, now_mjd=60000.0))
    replies = {"rows": services.rows, "files": services.files, "sets": services.sets}

    class Damaged(ArchiveServices):
        def products(self, obsids: object) -> list[dict[str, object]]:
            del obsids  # a service may answer anything
            return self.files

    def answered(text: str) -> object:
        damaged = Damaged()
        try:
            reply = json.loads(text)
        except ValueError:
            return None  # the client's verdict: see archive_faults.py
        for name in replies:
            found = reply.get(name) if isinstance(reply, dict) else None
            if isinstance(found, list) and all(isinstance(row, dict) for row in found):
                setattr(damaged, name, found)
        return ask_archive(settings, services=damaged, now_mjd=60000.0)

    square = b"POLYGON ICRS 150.09 2.19 150.11 2.19 150.11 2.21 150.09 2.21"
    return {
        "replies of MAST": Parser(json.dumps(replies, indent=0).encode(), of_text(answered)),
        "listing": Parser(
            workdir.archive_listing.read_bytes(),
            in_file(workdir.archive_listing, lambda _: read_listing(workdir)),
        ),
        "footprint": Parser(square, of_text(parse_footprint)),
    }


# ---------------------------------------------------------------------------- what is done to it


def damaged(valid: bytes, rng: np.random.Generator) -> bytes:
    """A text with one to four damages."""
    content = valid
    for _ in range(min(int(rng.geometric(0.6)), 4)):
        content = _DAMAGES[rng.integers(len(_DAMAGES))](content, rng)
    return content


def _span(content: bytes, rng: np.random.Generator, longest: int) -> tuple[int, int]:
    start = int(rng.integers(len(content) + 1))
    return start, min(len(content), start + int(rng.integers(longest)))


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(content, rng, 80)
    return content[:start] + content[end:]


def _end(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def _double(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(content, rng, 200)
    return content[:end] + content[start:]


def _noise(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(content, rng, 6)
    return content[:start] + rng.bytes(int(rng.integers(1, 6))) + content[end:]


def _word(content: bytes, rng: np.random.Generator) -> bytes:
    """A hostile word in the place of one that is there."""
    words = [(at, part) for at, part in _words_of(content) if part]
    if not words:
        return content
    at, part = words[rng.integers(len(words))]
    return content[:at] + _WORDS[rng.integers(len(_WORDS))] + content[at + len(part) :]


def _words_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    for byte in range(len(content) + 1):
        if byte == len(content) or content[byte : byte + 1] in b" \t\n,=:;\"'[]{}":
            yield at, content[at:byte]
            at = byte + 1


def _lines(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return content
    first, second = rng.integers(len(lines), size=2)
    lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines[:first] + lines[second:] if rng.random() < 0.3 else lines)


_DAMAGES = (_cut, _end, _double, _noise, _word, _word, _word, _lines)


# ----------------------------------------------------------------------------------- what comes


@dataclass
class Tally:
    """What came of the inputs of a parser."""

    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


def fuzz(parser: Parser, n_inputs: int, rng: np.random.Generator) -> Tally:
    """Give a parser so many damaged texts."""
    tally = Tally()
    parser.read(parser.valid)  # else nothing that follows would mean anything
    for _ in range(n_inputs):
        content = damaged(parser.valid, rng)
        started = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                parser.read(content)
            tally.read += 1
        except parser.refusals as failure:
            tally.refused[type(failure).__name__] += 1
            if not str(failure).strip():
                tally.wrong.append(f"a failure without words for {content!r}")
        except Exception as error:  # noqa: BLE001 - whatever comes is what is looked for
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            tally.wrong.append(f"{type(error).__name__} at {where}: {error} | {content[:300]!r}")
        took = time.monotonic() - started
        tally.seconds = max(tally.seconds, took)
        if took > MOST_SECONDS:
            tally.wrong.append(f"{took:.1f} s for {content!r}")
    return tally


def main() -> int:
    """Fuzz and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parsers", nargs="*", metavar="PARSER")
    parser.add_argument("--inputs", type=int, default=60_000, help="of all parsers together")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        every = parsers(Path(folder))
        chosen = {name: every[name] for name in options.parsers or every}
        share = -(-options.inputs // len(chosen))
        n_wrong = 0
        print(f"{'parser':20}{'inputs':>8}{'read':>8}{'refused':>9}{'wrong':>7}{'worst s':>9}")
        for name, each in chosen.items():
            tally = fuzz(each, share, rng)
            n_wrong += len(tally.wrong)
            print(
                f"{name:20}{share:8d}{tally.read:8d}{tally.refused.total():9d}"
                f"{len(tally.wrong):7d}{tally.seconds:9.2f}",
                flush=True,
            )
            kinds = {
                wrong.split(":")[0] + wrong.split(" at ")[-1].split(":")[0]: wrong
                for wrong in tally.wrong
            }
            for wrong in list(kinds.values())[:10]:
                print(f"    {wrong[:600]}")
    print(f"{share * len(chosen)} inputs, {n_wrong} wrong")
    return int(n_wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

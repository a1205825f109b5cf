"""Work directories from before records had a format are adopted: their digests are kept.

A product of that time is known by its digest downstream, in headers and in Dagster. The first look
at its work directory writes its record anew in today's format, and the digest that it keeps into a
file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from hst_assets.digests import digest_of
from hst_assets.failures import MissingProduct
from hst_assets.provenance.former_records import is_former
from hst_assets.provenance.record import FORMAT, Record, content_of, read_record, write_record
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["former_digests"]

logger = logging.getLogger(__name__)


def former_digests(workdir: WorkDir) -> Mapping[str, str]:
    """By the digest of a recipe, the one that it had before records had a format.

    They are gathered once for each work directory, while all its records are there: a product
    whose record is lost later is still known by its digest downstream.
    """
    ledger = workdir.former_digests
    try:
        status = ledger.stat()
    except FileNotFoundError:
        if workdir.looked_at:
            return _former_as_they_are(workdir, tuple(_moments_of_records(workdir)))
        _adopt(workdir)
        status = ledger.stat()
    return _read_former_digests(ledger, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _former_as_they_are(
    workdir: WorkDir, moments: tuple[tuple[Path, int], ...]
) -> Mapping[str, str]:
    """The same where nothing may be written: read once, and not for each recipe."""
    del moments  # they tell one state of the records from another
    return _former(workdir)[0]


@lru_cache(maxsize=16)
def _read_former_digests(ledger: Path, mtime_ns: int, size: int) -> Mapping[str, str]:
    del mtime_ns, size  # they tell one state of the file from another
    try:
        found: dict[str, str] = json.loads(ledger.read_text())["digests"]
    except (ValueError, KeyError, TypeError) as error:
        raise MissingProduct(
            f"the digests of former records cannot be read: {error}",
            where=ledger,
            next_step="Remove this file; it is written again from the records",
        ) from error
    return found


def _adopt(workdir: WorkDir) -> None:
    """Write all records of the former format anew, and note the digests that they keep."""
    with workdir.lock("records"):
        if workdir.former_digests.is_file():
            return  # another process was faster
        digests, renewed = _former(workdir)
        for product, record in renewed.items():
            write_record(record, product)
        if digests:
            logger.info("%s: %d records of the former format are adopted", workdir, len(digests))
        with write_atomically(workdir.former_digests) as part:
            part.write_text(json.dumps({"format": FORMAT, "digests": digests}, indent=1))


def _former(workdir: WorkDir) -> tuple[dict[str, str], dict[Path, Record]]:
    """The digests that former records keep, and the records that are to be written anew."""
    records = {product: read_record(product) for product in _recorded_products(workdir)}
    former = {product: _written_digest(product) for product, each in records.items() if each}
    # A digest that also stands for what cannot be known to be right is kept by nothing.
    doubtful = {
        former[product]
        for product, each in records.items()
        if each and each.digest != former[product]
    }
    digests: dict[str, str] = {}
    renewed: dict[Path, Record] = {}
    for product, record in records.items():
        if record is None:
            continue
        current = digest_of(record.recipe)
        digest = current if former[product] in doubtful else record.digest
        if digest != current:
            digests[current] = digest
        if digest != former[product] or is_former(content_of(product)):
            renewed[product] = record.model_copy(update={"digest": digest})
    return digests, renewed


def _written_digest(product: Path) -> str:
    return str(content_of(product)["digest"])


def _moments_of_records(workdir: WorkDir) -> Iterator[tuple[Path, int]]:
    """When the record of each product was written."""
    for product in _recorded_products(workdir):
        with suppress(FileNotFoundError):  # a run is about to make it anew
            yield product, WorkDir.record(product).stat().st_mtime_ns


def _recorded_products(workdir: WorkDir) -> Iterable[Path]:
    ending = WorkDir.record(Path("x")).name.removeprefix("x")
    for folder in (workdir.base, workdir.workspace, workdir.drizzle):
        for note in sorted(folder.glob(f"*{ending}")):
            yield note.with_name(note.name.removesuffix(ending))

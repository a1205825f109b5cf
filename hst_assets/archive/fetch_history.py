"""Where fetched files of raw/ came from, and what the archive gave that could not be used.

``raw/.origins.json`` has two lists. An entry of ``files`` belongs to *bytes*: it says where a file
of this SHA-256 came from, and speaks of a file of raw/ only as long as the ledger has the same
SHA-256. So it may be written before the file has its name, and a file that was replaced by hand is
not taken for the archive's. An entry of ``refused`` belongs to a version of a product.

The file is replaced as a whole, under the work directory's lock ``origins``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hst_assets.archive.holdings import Product
from hst_assets.archive.receipts import Fetched
from hst_assets.exposures.raw import RawFile, exposure_key
from hst_assets.failures import BadConfiguration
from hst_assets.workdir import WorkDir, write_atomically

__all__ = [
    "FetchHistory",
    "FetchRecord",
    "ProductKey",
    "Refusal",
    "change_fetch_history",
    "fetch_record_of",
    "key_of",
    "read_fetch_history",
]

_LOCK = "origins"

#: What makes two files the same product of the same exposure: `RawFile.key`.
ProductKey = tuple[str, str]


def key_of(product: Product) -> ProductKey:
    """What a product has in common with its file in raw/, whatever that is called there."""
    return exposure_key(product.rootname), product.suffix


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FetchRecord(_Entry):
    """Where bytes came from.

    Attributes
    ----------
    rootname, suffix : str
        Of the product.
    sha256 : str
        Of the bytes.
    size : int
        Their number.
    uri : str
        Of the archive.
    route : str
        Which service gave it; validators of one service mean nothing to another.
    etag, last_modified : str or None
        Validators, as that service said them.
    version : str
        `Product.version` at that time: what the listing said of it.
    release_mjd : float
        Release that the listing gave (MJD, UTC).
    fetched, checked : datetime
        When it was fetched; when the archive last confirmed that it is unchanged.
    superseded : bool
        The archive said that it has other bytes by now.
    """

    rootname: str
    suffix: str
    sha256: str
    size: int
    uri: str
    route: str
    etag: str | None = None
    last_modified: str | None = None
    version: str
    release_mjd: float
    fetched: datetime
    checked: datetime
    superseded: bool = False

    @property
    def key(self) -> ProductKey:
        """The product that the bytes are of."""
        return exposure_key(self.rootname), self.suffix


def fetch_record_of(fetched: Fetched, now: datetime) -> FetchRecord:
    """Where the bytes of a file that came just now are from."""
    product = fetched.product
    return FetchRecord(
        rootname=product.rootname,
        suffix=product.suffix,
        sha256=fetched.sha256,
        size=fetched.size,
        uri=product.uri,
        route=fetched.route,
        etag=fetched.etag,
        last_modified=fetched.last_modified,
        version=product.version,
        release_mjd=product.release_mjd,
        fetched=now,
        checked=now,
    )


class Refusal(_Entry):
    """A version of a product that came and could not be used.

    Attributes
    ----------
    name : str
        Of the product.
    version : str
        `Product.version` that was refused.
    reason : str
        Why.
    refused, again : datetime
        When, and from when on it is fetched once more.
    """

    name: str
    version: str
    reason: str
    refused: datetime
    again: datetime

    def holds(self, product: Product, now: datetime | None = None) -> bool:
        """Whether it speaks of this version, and it is too early for another try."""
        now = now or datetime.now(UTC)
        return self.version == product.version and now < self.again


class _File(_Entry):
    format: Literal[1]
    files: list[FetchRecord]
    refused: list[Refusal]


@dataclass
class FetchHistory:
    """The content of ``raw/.origins.json``.

    Attributes
    ----------
    files : dict
        `FetchRecord` by product and SHA-256.
    refused : dict
        `Refusal` by the product's name.
    """

    files: dict[tuple[ProductKey, str], FetchRecord] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)

    def of(self, file: RawFile) -> FetchRecord | None:
        """Where a file of raw/ came from; None if it was ingested by hand."""
        return self.files.get((file.key, file.sha256))

    def add(self, origin: FetchRecord) -> None:
        """Note, or note again, where a file came from."""
        self.files[origin.key, origin.sha256] = origin

    def forget(self, origin: FetchRecord) -> None:
        """Drop what is known of bytes that are not there any more."""
        self.files.pop((origin.key, origin.sha256), None)


def read_fetch_history(workdir: WorkDir) -> FetchHistory:
    """What is known of the fetched files of a target; empty where nothing was fetched.

    Raises
    ------
    BadConfiguration
        If the file is damaged.
    """
    try:
        found = _File.model_validate_json(workdir.origins.read_bytes())
    except FileNotFoundError:
        return FetchHistory()
    except ValidationError as error:
        raise BadConfiguration(
            f"cannot be read: {error.error_count()} faults, the first {error.errors()[0]['msg']}",
            where=workdir.origins,
            next_step="Remove it: the files of raw/ then count as ingested by hand",
        ) from error
    return FetchHistory(
        {(origin.key, origin.sha256): origin for origin in found.files},
        {refusal.name: refusal for refusal in found.refused},
    )


@contextmanager
def change_fetch_history(workdir: WorkDir) -> Iterator[FetchHistory]:
    """Yield what is known, to be changed; it is written at the end, unless something is raised.

    Raises
    ------
    BadConfiguration
        If the file is damaged.
    """
    with workdir.lock(_LOCK):
        origins = read_fetch_history(workdir)
        before = _text(origins)
        yield origins
        after = _text(origins)
        if after != before:
            with write_atomically(workdir.origins) as part:
                part.write_text(after, encoding="utf-8")


def _text(origins: FetchHistory) -> str:
    content = _File(
        format=1,
        files=[origins.files[key] for key in sorted(origins.files)],
        refused=[origins.refused[name] for name in sorted(origins.refused)],
    )
    return json.dumps(content.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"

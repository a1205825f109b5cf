"""Checksums of a file, in one pass: SHA-256, and what S3 would call its ETag."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["Checksums", "checksums_of", "part_size", "sha256_of_stream"]

_BLOCK = 1 << 20
#: S3 takes at most 10,000 parts.
_MOST_PARTS = 9_000


@dataclass(frozen=True)
class Checksums:
    """Of one file.

    Attributes
    ----------
    sha256 : str
        Of all bytes.
    size : int
        Bytes.
    md5 : str
        Of all bytes: what S3 calls the ETag of what was sent in one piece, unless it encrypts with
        KMS [1]_.
    md5_of_parts : str
        The same of what was sent in parts: the MD5 of the parts' MD5s, with their number.

    References
    ----------
    .. [1] https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """

    sha256: str
    size: int
    md5: str
    md5_of_parts: str


def part_size(size: int, part_bytes: int) -> int:
    """Bytes of each part of a file that is sent in parts: more than wished if there were too many.

    Parameters
    ----------
    size, part_bytes : int
        Of the file, and the wish.
    """
    least = -(-size // _MOST_PARTS)
    return max(part_bytes, -(-least // _BLOCK) * _BLOCK)


def checksums_of(path: Path, part_bytes: int) -> Checksums:
    """Read a file once.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    part_bytes : int
        Of one part.
    """
    sha256 = hashlib.sha256()
    md5, parts = hashlib.md5(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
    size = n_parts = 0
    with path.open("rb") as handle:
        while part := _part(handle, part_bytes, (sha256, md5)):
            read, digest = part
            size += read
            n_parts += 1
            parts.update(digest)
    return Checksums(sha256.hexdigest(), size, md5.hexdigest(), f"{parts.hexdigest()}-{n_parts}")


def _part(
    handle: IO[bytes], part_bytes: int, of_all: tuple[hashlib._Hash, ...]
) -> tuple[int, bytes] | None:
    """Read one part; its length and MD5, or None at the end."""
    own = hashlib.md5(usedforsecurity=False)
    read = 0
    while read < part_bytes and (block := handle.read(min(_BLOCK, part_bytes - read))):
        read += len(block)
        for digest in (own, *of_all):
            digest.update(block)
    return (read, own.digest()) if read else None


def sha256_of_stream(handle: IO[bytes]) -> tuple[str, int]:
    """SHA-256 of what is read to the end, and how many bytes that were."""
    digest, size = hashlib.sha256(), 0
    while block := handle.read(_BLOCK):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size

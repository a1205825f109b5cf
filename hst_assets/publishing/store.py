"""A folder of a store: objects get their names when they are complete, and are compared afterwards.

S3 shows an object whole or not at all. On what is like a file system, it is written under another
name, compared, and renamed.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hst_assets.failures import (
    BadConfiguration,
    HstAssetsError,
    MissingTool,
    TransientFailure,
)
from hst_assets.publishing.checksums import (
    Checksums,
    checksums_of,
    part_size,
    sha256_of_stream,
)
from hst_assets.publishing.manifest import Verified
from hst_assets.publishing.store_failures import as_failures
from hst_assets.transfer import in_tries
from hst_assets.workdir import stamp_if_there

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["FIRST_WAIT_S", "PART_BYTES", "ChangedFile", "Store", "is_unfinished"]

#: What is sent at a time: S3 takes parts of 5 MiB to 5 GiB; a few of them are in memory.
PART_BYTES = 32 << 20
_PARTS_AT_A_TIME = 4
#: Wait before the second try after a temporary failure, seconds; doubled before each further try.
FIRST_WAIT_S = 2.0
_CONNECT_S = 15.0
_SILENCE_S = 60.0
_S3 = frozenset({"s3", "s3a"})
#: How the name begins under which something is written that is to be renamed.
_UNFINISHED = re.compile(r"(?:.*/)?part\.[0-9a-f]{32}\.[^/]+")

_T = TypeVar("_T")


def is_unfinished(key: str) -> bool:
    """Whether a name is one under which a killed run was writing something."""
    return _UNFINISHED.fullmatch(key) is not None


class ChangedFile(Exception):
    """A file is not what was recorded of it."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"file changed: {path}")


class Store:
    """A folder at a destination.

    Parameters
    ----------
    url : str
        Of the folder, such as ``s3://bucket/prefix/target``.
    read_back : bool, optional
        Whether an object is read where the store tells no checksum of it.
    max_tries : int, optional
        Largest number of tries, if failures are temporary.
    part_bytes : int, optional
        What is sent at a time; `PART_BYTES` if not given.

    Raises
    ------
    MissingTool
        If the package for such a URL is not installed.
    BadConfiguration
        If it cannot be an address.
    """

    def __init__(
        self,
        url: str,
        *,
        read_back: bool = True,
        max_tries: int = 4,
        part_bytes: int | None = None,
    ) -> None:
        self.url = url
        self._read_back = read_back
        self._max_tries = max_tries
        self._part_bytes = part_bytes or PART_BYTES
        self._fs, self._base = _opened(url)
        self._is_s3 = not _S3.isdisjoint(_protocols(self._fs))

    def address(self, key: str) -> str:
        """The address of an object."""
        return f"{self.url}/{key}"

    def sizes(self) -> dict[str, int]:
        """Every object of the folder by its name in it, with its size in bytes.

        Raises
        ------
        HstAssetsError
            If the store cannot be asked.
        """

        def listed() -> dict[str, int]:
            with as_failures(self.url):
                self._fs.invalidate_cache()
                try:
                    found = self._fs.find(self._base, detail=True)
                except FileNotFoundError:
                    return {}
                return {self._key(path): int(info["size"] or 0) for path, info in found.items()}

        return self._in_tries(listed, "list")

    def read(self, key: str) -> bytes | None:
        """An object's content; None where there is none.

        Raises
        ------
        HstAssetsError
            If the store cannot be asked.
        """

        def content() -> bytes | None:
            with as_failures(self.address(key)):
                try:
                    found: bytes = self._fs.cat_file(self._path(key))
                except FileNotFoundError:
                    return None
                return found

        return self._in_tries(content, key)

    def write(self, key: str, content: bytes) -> None:
        """Put a small object into its place, in one step, and compare it.

        Raises
        ------
        HstAssetsError
            If it cannot be written, or is not what was sent.
        """

        def written() -> None:
            with as_failures(self.address(key)):
                if self._is_s3:
                    self._fs.pipe_file(self._path(key), content)
                else:
                    part = self._part(key)
                    self._fs.pipe_file(part, content)
                    self._take_name(part, key)
            if self.read(key) != content:
                raise TransientFailure("it is not what was sent", where=self.address(key))

        self._in_tries(written, key)

    def send(self, local: Path, key: str, sha256: str) -> Verified:
        """Send a file, and compare it.

        Parameters
        ----------
        local : `~pathlib.Path`
            The file.
        key : str
            The object's name.
        sha256 : str
            Of the file as it was recorded.

        Returns
        -------
        str
            How it was compared.

        Raises
        ------
        FileNotFoundError, ChangedFile
            If the file is gone, or not what was recorded.
        HstAssetsError
            If it cannot be sent, or something else has come.
        """
        stamp = stamp_if_there(local)
        checksums = self._checksums(local, sha256)
        send = self._to_s3 if self._is_s3 else self._to_file

        def sent() -> Verified:
            try:
                return send(local, key, checksums)
            except Exception:
                if stamp_if_there(local) != stamp:
                    self._checksums(local, sha256)  # the file, not the store, may be the reason
                raise

        return self._in_tries(sent, key)

    def verified(self, local: Path, key: str, sha256: str) -> Verified | None:
        """How an object was compared with a file; None if it differs from it, or does not exist.

        Parameters
        ----------
        local, key, sha256
            As `send` takes them.

        Raises
        ------
        FileNotFoundError, ChangedFile
            If the file is gone, or not what was recorded.
        HstAssetsError
            If the store cannot be asked.
        """
        checksums = self._checksums(local, sha256)

        def compared() -> Verified | None:
            with as_failures(self.address(key)):
                return self._compared(self._path(key), checksums)

        return self._in_tries(compared, key)

    def remove(self, keys: Iterable[str]) -> list[str]:
        """Remove objects; return why some of them could not be removed.

        Returns
        -------
        list of str
            A sentence for each object that is still there.
        """
        problems = []
        for key in keys:
            try:
                with as_failures(self.address(key)):
                    self._remove(key)
            except HstAssetsError as failure:
                problems.append(failure.brief)
        return problems

    def forget_unfinished(self, prefix: str) -> list[str]:
        """Take back what a killed run has sent in part: a store keeps such parts, unseen.

        Parameters
        ----------
        prefix : str
            Only of objects whose names begin so.

        Returns
        -------
        list of str
            Why it could not be done, in words; empty if it was, or the store has no such thing.
        """
        if not self._is_s3:
            return []
        bucket, key, _ = self._fs.split_path(self._path(prefix))
        try:
            with as_failures(self.address(prefix)):
                answer = self._fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
                for each in answer.get("Uploads") or ():
                    self._fs.abort_mpu(bucket, each["Key"], each["UploadId"])
        except HstAssetsError as failure:
            return [failure.brief]
        return []

    # -------------------------------------------------------------------------- sending

    def _checksums(self, local: Path, sha256: str) -> Checksums:
        found = checksums_of(local, part_size(local.stat().st_size, self._part_bytes))
        if found.sha256 != sha256:
            raise ChangedFile(local)
        return found

    def _to_s3(self, local: Path, key: str, checksums: Checksums) -> Verified:
        path = self._path(key)
        with as_failures(self.address(key)):
            self._fs.put_file(
                str(local),
                path,
                chunksize=part_size(checksums.size, self._part_bytes),
                max_concurrency=_PARTS_AT_A_TIME,
                Metadata={"sha256": checksums.sha256},
            )
            verified = self._compared(path, checksums)
            if verified is None:
                self._fs.rm_file(path)
        return _as_sent(verified, self.address(key))

    def _to_file(self, local: Path, key: str, checksums: Checksums) -> Verified:
        part = self._part(key)
        with as_failures(self.address(key)):
            try:
                self._fs.put_file(str(local), part)
                verified = self._compared(part, checksums)
                if verified is not None:
                    self._take_name(part, key)
            finally:
                with suppress(FileNotFoundError):  # it has its name by now
                    self._fs.rm_file(part)
        return _as_sent(verified, self.address(key))

    def _part(self, key: str) -> str:
        """A name beside that of an object, for what is not whole yet."""
        folder, _, name = self._path(key).rpartition("/")
        self._fs.makedirs(folder, exist_ok=True)
        return f"{folder}/part.{uuid.uuid4().hex}.{name}"

    def _take_name(self, part: str, key: str) -> None:
        if "file" in _protocols(self._fs):
            with Path(part).open("rb") as handle:
                os.fsync(handle.fileno())
            Path(part).replace(self._path(key))
        else:
            self._fs.mv(part, self._path(key))

    # ------------------------------------------------------------------------ comparing

    def _compared(self, path: str, checksums: Checksums) -> Verified | None:
        """Compare an object with a file; None if it is another, or there is none."""
        try:
            size, etag = self._told(path)
            if size != checksums.size:
                return None
            if etag in (checksums.md5, checksums.md5_of_parts):
                return "by checksum"
            if not self._read_back:
                return "by size"
            with self._fs.open(path, "rb") as handle:
                same = sha256_of_stream(handle) == (checksums.sha256, checksums.size)
        except FileNotFoundError:
            return None
        return "by checksum" if same else None

    def _told(self, path: str) -> tuple[int, str]:
        """What the store itself tells of an object: its size, and S3's ETag."""
        if not self._is_s3:
            return int(self._fs.info(path)["size"]), ""
        bucket, key, _ = self._fs.split_path(path)
        head = self._fs.call_s3("head_object", Bucket=bucket, Key=key)
        return int(head["ContentLength"]), str(head.get("ETag", "")).strip('"')

    # ------------------------------------------------------------------------ addresses

    def _path(self, key: str) -> str:
        return f"{self._base}/{key}"

    def _key(self, path: str) -> str:
        return path.removeprefix(self._base).lstrip("/")

    def _remove(self, key: str) -> None:
        path = self._path(key)
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            return
        if "file" in _protocols(self._fs):
            _remove_empty(Path(path).parent, Path(self._base))

    def _in_tries(self, action: Callable[[], _T], label: str) -> _T:
        return in_tries(
            action,
            label=self.address(label),
            max_tries=self._max_tries,
            first_wait_s=FIRST_WAIT_S,
        )


def _as_sent(verified: Verified | None, where: str) -> Verified:
    if verified is None:
        raise TransientFailure("what has come is not what was sent; it was removed", where=where)
    return verified


def _opened(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL, and the path in it."""
    options: dict[str, Any] = {}
    if url.partition("://")[0] in _S3:
        # What may pass is tried again here, not at three levels one above the other.
        options["config_kwargs"] = {
            "connect_timeout": _CONNECT_S,
            "read_timeout": _SILENCE_S,
            "retries": {"max_attempts": 0},
        }
    try:
        from upath import UPath

        # Anew: keys and endpoint are those that the environment has now.
        path = UPath(url, skip_instance_cache=True, **options)
        system, inside = path.fs, path.path
    except ImportError as error:
        raise MissingTool(
            f"a package for such an address is not installed ({error})",
            where=url,
            next_step="For S3: pip install 'hst_assets[s3]'",
        ) from error
    except ValueError as error:
        raise BadConfiguration(
            f"this cannot be an address ({error})",
            where=url,
            next_step="Correct publish.destination, such as s3://BUCKET/PREFIX",
        ) from error
    if "s3" in _protocols(system):
        system.retries = 1
    return system, inside.rstrip("/")


def _protocols(system: AbstractFileSystem) -> tuple[str, ...]:
    named = system.protocol
    return (named,) if isinstance(named, str) else tuple(named)


def _remove_empty(folder: Path, base: Path) -> None:
    """Remove a folder that is empty, and those above it below the base."""
    while folder != base and base in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return  # something is in it
        folder = folder.parent

"""One URL into one file: what came is kept and continued.

A transfer writes into a ``.part`` and keeps beside it, in ``.part.json``, what it is a part of:
address, validator (ETag or Last-Modified), announced size, and the caller's own word for the
content. The next transfer into it asks for the rest:

- with a validator, by ``Range`` and ``If-Range``: a file that changed comes whole;
- without one, and if the service said that it gives ranges, the start of the file (where a FITS
  file tells its release) is fetched again and compared first;
- in both cases the last bytes of the part come once more and must be the same.

A service that ignores the range, answers 416, or sends another range than requested makes it
begin anew. Whether the file is *right* is for the caller to find out.

A service may be silent for ``timeout_s``, before it answers and between two bytes, and over any
span of that length must send `SLOWEST_BYTES_PER_S` on average. So a transfer takes no longer than
``size / SLOWEST_BYTES_PER_S`` and a few timeouts.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from hst_assets.failures import AccessRefused, TransientFailure, UnusableInput
from hst_assets.transfer.answers import length_of, shown
from hst_assets.transfer.halt import Halt
from hst_assets.transfer.requests import Asking, Signer, shielded

if TYPE_CHECKING:
    from requests import Response, Session

__all__ = ["SLOWEST_BYTES_PER_S", "Transferred", "discard", "transfer"]

#: Below this rate a transfer is given up (the largest HST exposures, 170 MB, take half a day).
SLOWEST_BYTES_PER_S = 4096.0
_CHUNK_BYTES = 1 << 18
#: What comes a second time at the end of a part, with a validator and without.
_OVERLAP_BYTES = 1 << 10
_BLIND_OVERLAP_BYTES = 1 << 16
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")


@dataclass(frozen=True)
class Transferred:
    """A transfer that came to its end.

    Attributes
    ----------
    size : int
        Bytes of the part.
    announced : int or None
        The size that the service announced.
    resumed_bytes : int
        How many of them had been there before.
    etag, last_modified : str or None
        As the service says.
    """

    size: int
    announced: int | None
    resumed_bytes: int
    etag: str | None
    last_modified: str | None


def discard(part: Path) -> None:
    """Remove a part and what is known of it."""
    part.unlink(missing_ok=True)
    _state_file(part).unlink(missing_ok=True)


def transfer(
    url: str,
    part: Path,
    *,
    timeout_s: float,
    session: Session | None = None,
    identity: str = "",
    sign: Signer | None = None,
    halt: Halt | None = None,
    on_bytes: Callable[[int], None] | None = None,
    slowest_bytes_per_s: float = SLOWEST_BYTES_PER_S,
) -> Transferred:
    """Bring what `url` serves into `part`, beginning where an earlier transfer broke off.

    Parameters
    ----------
    url : str
        Over http or https.
    part : `~pathlib.Path`
        Written as bytes come; kept on failure, with its state beside it. One process at a time.
    timeout_s : float
        How long the service may be silent, seconds.
    session : `requests.Session`, optional
        Of this thread.
    identity : str, optional
        What the caller knows of the content; a part with another identity is not continued.
    sign : callable, optional
        Adds credentials to a prepared request, or not, by its address. Asked anew at every
        redirection.
    halt : Halt, optional
        Stops the transfer from another thread.
    on_bytes : callable, optional
        Told how many bytes the part has.
    slowest_bytes_per_s : float, optional
        A slower service is given up, bytes per second.

    Returns
    -------
    Transferred
        The part is as long as was announced, if a length was announced.

    Raises
    ------
    TransientFailure
        If nobody answered, the service was busy, too slow, or broke off.
    AccessRefused
        If it refused.
    NothingFound
        If it has no such file.
    UnusableInput
        If what it answered is no file.
    """

    def run(ours: Session) -> Transferred:
        asking = Asking(ours, timeout_s, sign, halt or Halt())
        job = _Transfer(asking, part, on_bytes or _nobody, slowest_bytes_per_s)
        return job.run(_State(shown(url), identity), url)

    return shielded(run, session, url, halt)


def _nobody(_: int) -> None:
    return None


@dataclass(frozen=True)
class _State:
    """What a part is a part of."""

    address: str
    identity: str
    etag: str | None = None
    last_modified: str | None = None
    size: int | None = None
    has_ranges: bool = False

    @property
    def validator(self) -> str | None:
        """What If-Range may name: a weak ETag may not."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def contradicts(self, reply: Response) -> bool:
        """Whether a reply is about other content."""
        said = (reply.headers.get("ETag"), reply.headers.get("Last-Modified"))
        known = (self.etag, self.last_modified)
        return any(a and b and a != b for a, b in zip(said, known, strict=True))


def _state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_state(part: Path) -> _State | None:
    """What is known of a part; None where it is unknown or unreadable."""
    try:
        return _State(**json.loads(_state_file(part).read_text()))
    except (OSError, ValueError, TypeError):
        return None


@dataclass(frozen=True)
class _Transfer:
    asking: Asking
    part: Path
    on_bytes: Callable[[int], None]
    slowest_bytes_per_s: float

    def run(self, wanted: _State, url: str) -> Transferred:
        state = _read_state(self.part)
        have = self.part.stat().st_size if self.part.is_file() else 0
        if have and state and (state.address, state.identity) == (wanted.address, wanted.identity):
            done = self._continue(url, state, have)
            if done is not None:
                return done
        discard(self.part)
        with self.asking.reply(url, {}) as reply:
            return self._whole(reply, wanted)

    def _continue(self, url: str, state: _State, have: int) -> Transferred | None:
        """Fetch the rest of a part; None if it cannot be continued."""
        if state.validator is None and not self._starts_alike(url, state, have):
            return None
        overlap = min(have, _OVERLAP_BYTES if state.validator else _BLIND_OVERLAP_BYTES)
        with self.asking.reply(url, _range(have - overlap, state.validator)) as reply:
            if reply.status_code == HTTPStatus.OK:
                return self._whole(reply, state)
            same = _of_rest(reply, have - overlap, state)
            return None if same is None else self._append(reply, same, have, overlap)

    def _starts_alike(self, url: str, state: _State, have: int) -> bool:
        """Whether the service's file begins as the part does and is as long as it was."""
        if not state.has_ranges:
            return False
        stop = min(have, _BLIND_OVERLAP_BYTES)
        with self.asking.reply(url, {"Range": f"bytes=0-{stop - 1}"}) as reply:
            said = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
            if reply.status_code != HTTPStatus.PARTIAL_CONTENT or not said:
                return False
            if said.groups() != ("0", str(stop - 1), str(state.size)):
                return False
            came = b"".join(self._chunks(reply))
        with self.part.open("rb") as part:
            return part.read(stop) == came

    def _append(
        self, reply: Response, state: _State, have: int, overlap: int
    ) -> Transferred | None:
        again = b""
        with self.part.open("r+b", buffering=0) as part:
            part.seek(have - overlap)
            known = part.read(overlap)
            for chunk in self._chunks(reply):
                if len(again) < overlap:
                    again += chunk
                    if again[:overlap] != known[: len(again)]:
                        return None
                    _put(part, again[overlap:])
                else:
                    _put(part, chunk)
                self.on_bytes(part.tell())
        return self._finished(state, have)

    def _whole(self, reply: Response, wanted: _State) -> Transferred:
        """Take the file from its beginning."""
        if reply.status_code != HTTPStatus.OK:
            said = f"the service answers {reply.status_code} where no range was requested"
            raise AccessRefused(said, where=wanted.address)
        state = _State(
            wanted.address,
            wanted.identity,
            reply.headers.get("ETag"),
            reply.headers.get("Last-Modified"),
            length_of(reply),
            reply.headers.get("Accept-Ranges", "").lower() == "bytes",
        )
        discard(self.part)
        _state_file(self.part).write_text(json.dumps(asdict(state)))
        with self.part.open("wb", buffering=0) as part:
            for chunk in self._chunks(reply):
                _put(part, chunk)
                self.on_bytes(part.tell())
        return self._finished(state, 0)

    def _finished(self, state: _State, resumed: int) -> Transferred:
        size = self.part.stat().st_size
        if state.size is not None and size < state.size:
            raise TransientFailure(f"received {size} of {state.size} bytes", where=state.address)
        if state.size is not None and size > state.size:
            discard(self.part)
            raise UnusableInput(
                f"received {size} bytes, {state.size} were announced", where=state.address
            )
        return Transferred(size, state.size, resumed, state.etag, state.last_modified)

    def _chunks(self, reply: Response) -> Iterator[bytes]:
        """The body as it comes, watched for slowness."""
        begin, came = time.monotonic(), 0
        # read1 gives what is there; read would wait for a full chunk, and lose it with the line.
        while chunk := reply.raw.read1(_CHUNK_BYTES, decode_content=False):
            self.asking.halt.check()
            yield chunk
            came += len(chunk)
            span = time.monotonic() - begin
            if span > self.asking.timeout_s:
                if came < span * self.slowest_bytes_per_s:
                    raise TransientFailure(
                        f"too slow: {came} bytes in {span:.0f} s", where=shown(reply.url)
                    )
                begin, came = time.monotonic(), 0
        self.asking.halt.check()


def _put(part: FileIO, chunk: bytes) -> None:
    """Write all of it: what the disk has no room for must not be missing in the middle."""
    while chunk:
        chunk = chunk[part.write(chunk) :]


def _range(start: int, validator: str | None) -> dict[str, str]:
    condition = {"If-Range": validator} if validator else {}
    return {"Range": f"bytes={start}-", **condition}


def _of_rest(reply: Response, start: int, state: _State) -> _State | None:
    """What is known of the file, if this is the rest of it from `start` on; otherwise None."""
    said = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
    if reply.status_code != HTTPStatus.PARTIAL_CONTENT or not said or state.contradicts(reply):
        return None
    size = state.size if said[3] == "*" else int(said[3])
    if int(said[1]) != start or state.size not in (None, size):
        return None
    return replace(state, size=size)

"""What a level's sensor has requested: kept outside Dagster's ticks, which only say where.

Dagster writes a sensor's cursor into each of its ticks, and keeps these for days: of ten thousand
visits a megabyte each half minute. So the cursor is a note of a hundred bytes, and what it names is
in the instance's store of values, written only when it has changed. There are two places for it,
which take turns. A tick that dies leaves the note of the one before, and what that names.
"""

from __future__ import annotations

import hashlib
import json
import uuid

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["LevelCursor", "read_cursor", "write_cursor", "written_at"]

_KEY = "hst_assets/asked_by/"


class LevelCursor(BaseModel):
    """What a level's sensor has seen.

    Attributes
    ----------
    asked : dict
        Partition to the version of its inputs that was asked for last.
    standing : dict
        Partition to what was seen at the last tick of new inputs, with everything upstream settled:
        the version, and what had been asked for upstream (`orchestration.settled.Upstream.seen`).
    n_asked : dict
        Partition to how often it was asked for.
    next_target : str
        The target at which a tick stopped that had no more time; empty if it came to the end.
    """

    model_config = ConfigDict(extra="forbid")

    asked: dict[str, str] = {}
    standing: dict[str, str] = {}
    n_asked: dict[str, int] = {}
    next_target: str = ""


class _Note(BaseModel):
    """Where what a sensor has seen is, when it looked last (s), and what tells a change."""

    model_config = ConfigDict(extra="forbid")

    store: str
    place: int
    digest: str
    written_at: float

    def key(self) -> str:
        return f"{_KEY}{self.store}/{self.place}"


def read_cursor(instance: dg.DagsterInstance, text: str | None) -> LevelCursor:
    """What a sensor has seen, by the cursor of its last tick.

    Cursors of earlier versions hold it themselves; that of the earliest was `asked` alone. Where
    what it names is not kept (an instance that was restored in part; a preview of a tick in the UI
    with an old cursor, which wrote in its place), it is as for a new sensor.
    """
    if not text:
        return LevelCursor()
    if note := _note(text):
        kept = instance.daemon_cursor_storage.get_cursor_values({note.key()}).get(note.key())
        is_named = kept is not None and _digest(kept) == note.digest
        return LevelCursor.model_validate_json(kept) if kept and is_named else LevelCursor()
    content = json.loads(text)
    try:
        return LevelCursor.model_validate({k: v for k, v in content.items() if k != "written_at"})
    except ValidationError:
        return LevelCursor(asked=content)


def write_cursor(
    instance: dg.DagsterInstance, cursor: LevelCursor, before: str | None, now: float
) -> str:
    """Keep what a sensor has seen; the cursor of this tick.

    Parameters
    ----------
    instance : DagsterInstance
        Where it is kept.
    cursor : LevelCursor
        What was seen.
    before : str or None
        The cursor of the last tick. What it names stays as it is.
    now : float
        Seconds since 1970.
    """
    content = cursor.model_dump_json()
    digest = _digest(content)
    last = _note(before) if before else None
    if last is None:
        last = _Note(store=uuid.uuid4().hex[:12], place=1, digest="", written_at=0.0)
    if last.digest == digest:
        return last.model_copy(update={"written_at": now}).model_dump_json()
    note = _Note(store=last.store, place=1 - last.place, digest=digest, written_at=now)
    instance.daemon_cursor_storage.set_cursor_values({note.key(): content})
    return note.model_dump_json()


def written_at(text: str | None) -> float:
    """When a cursor was written (s); 0 for one of the earliest versions of hst_assets."""
    try:
        return float(json.loads(text or "{}").get("written_at", 0.0))
    except (TypeError, ValueError):
        return 0.0


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _note(text: str) -> _Note | None:
    """The note that a cursor is; None for one of an earlier version."""
    try:
        return _Note.model_validate_json(text)
    except ValidationError:
        return None

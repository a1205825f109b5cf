"""Keys of the two sets of partitions: how a target and its visits get into a Dagster instance.

Nothing here imports Dagster: a command that only registers a target need not wait for it (1.2 s).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from hst_assets.failures import BadConfiguration
from hst_assets.identifiers import VisitKey, validate_target

__all__ = [
    "TARGET",
    "VISIT",
    "Cursors",
    "Registry",
    "invalid_keys_of",
    "register",
    "targets_of",
    "visits_of",
]

TARGET = "hst_target"
VISIT = "hst_visit"


class Cursors(Protocol):
    """Short texts that an instance keeps by name."""

    def get_cursor_values(self, keys: set[str]) -> Mapping[str, str]:
        """Those that there are."""

    def set_cursor_values(self, pairs: Mapping[str, str]) -> None:
        """Keep them."""


class Registry(Protocol):
    """What keeps partition keys: a Dagster instance, or its SQLite files (`plain_instance`)."""

    @property
    def daemon_cursor_storage(self) -> Cursors:
        """Where the root of each target is kept."""

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Keys of a set."""

    def add_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> None:
        """Add keys to a set; those that are in it stay."""


def register(registry: Registry, target: str, visits: Iterable[str]) -> list[VisitKey]:
    """Make a target and its visits known to a Dagster instance; return the visits' keys.

    Raises
    ------
    BadConfiguration
        If a name is not valid; nothing is then registered.
    """
    validate_target(target)
    keys = [VisitKey(target, visit) for visit in sorted(visits)]
    registry.add_dynamic_partitions(TARGET, [target])
    registry.add_dynamic_partitions(VISIT, [str(key) for key in keys])
    return keys


def visits_of(registry: Registry, target: str) -> list[VisitKey]:
    """The registered visits of one target, sorted. Keys that are not valid are left out."""
    return sorted(VisitKey.parse(key) for key in _keys_of(registry, target) if _is_visit(key))


def invalid_keys_of(registry: Registry, target: str) -> list[str]:
    """Registered keys that begin as those of a target's visits do, and are none."""
    return sorted(key for key in _keys_of(registry, target) if not _is_visit(key))


def targets_of(partitions: Iterable[str]) -> set[str]:
    """The targets that partition keys (of targets or of visits) belong to."""
    return {key.partition("/")[0] for key in partitions}


def _keys_of(registry: Registry, target: str) -> list[str]:
    prefix = f"{validate_target(target)}/"
    return [key for key in registry.get_dynamic_partitions(VISIT) if key.startswith(prefix)]


def _is_visit(key: str) -> bool:
    try:
        VisitKey.parse(key)
    except BadConfiguration:
        return False
    return True

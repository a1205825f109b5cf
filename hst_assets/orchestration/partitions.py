"""The two sets of partitions, and how keys get into them.

Targets (``ngc104``) and visits (``ngc104/j8bt06``) are two dynamic sets; the reasons, measured,
are in docs/decisions/0002-partitions.md. No asset or sensor belongs here.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from hst_assets.failures import BadConfiguration
from hst_assets.identifiers import VisitKey, validate_target

__all__ = [
    "TARGET",
    "VISIT",
    "hst_target",
    "hst_visit",
    "invalid_keys_of",
    "register",
    "registrations",
    "visits_of",
]

TARGET = "hst_target"
VISIT = "hst_visit"

hst_target = dg.DynamicPartitionsDefinition(name=TARGET)
hst_visit = dg.DynamicPartitionsDefinition(name=VISIT)


def register(instance: dg.DagsterInstance, target: str, visits: Iterable[str]) -> list[VisitKey]:
    """Make a target and its visits known to a Dagster instance; return the visits' keys.

    Raises
    ------
    BadConfiguration
        If a name is not valid; nothing is then registered.
    """
    validate_target(target)
    keys = [VisitKey(target, visit) for visit in sorted(visits)]
    instance.add_dynamic_partitions(TARGET, [target])
    instance.add_dynamic_partitions(VISIT, [str(key) for key in keys])
    return keys


def visits_of(instance: dg.DagsterInstance, target: str) -> list[VisitKey]:
    """The registered visits of one target, sorted. Keys that are not valid are left out."""
    return sorted(VisitKey.parse(key) for key in _keys_of(instance, target) if _is_visit(key))


def invalid_keys_of(instance: dg.DagsterInstance, target: str) -> list[str]:
    """Registered keys that begin as those of a target's visits do, and are none."""
    return sorted(key for key in _keys_of(instance, target) if not _is_visit(key))


def _keys_of(instance: dg.DagsterInstance, target: str) -> list[str]:
    prefix = f"{validate_target(target)}/"
    return [key for key in instance.get_dynamic_partitions(VISIT) if key.startswith(prefix)]


def _is_visit(key: str) -> bool:
    try:
        VisitKey.parse(key)
    except BadConfiguration:
        return False
    return True


def registrations(keys: Iterable[str]) -> list[dg.AddDynamicPartitionsRequest]:
    """What a sensor asks for so that these keys, of targets or visits, are known."""
    wanted = list(keys)
    visits = [key for key in wanted if "/" in key]
    targets = sorted({key.partition("/")[0] for key in wanted})
    added = []
    if targets:
        added.append(dg.AddDynamicPartitionsRequest(TARGET, targets))
    if visits:
        added.append(dg.AddDynamicPartitionsRequest(VISIT, visits))
    return added

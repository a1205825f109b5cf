"""The two sets of partitions, and how sensors add keys to them.

Targets (``ngc104``) and visits (``ngc104/j8bt06``) are two dynamic sets; the reasons, measured,
are in docs/decisions/0002-partitions.md. No asset or sensor belongs here.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from hst_assets.orchestration.partition_keys import TARGET, VISIT, targets_of

__all__ = ["hst_target", "hst_visit", "registrations"]

hst_target = dg.DynamicPartitionsDefinition(name=TARGET)
hst_visit = dg.DynamicPartitionsDefinition(name=VISIT)


def registrations(keys: Iterable[str]) -> list[dg.AddDynamicPartitionsRequest]:
    """What a sensor asks for so that these keys, of targets or visits, are known."""
    wanted = list(keys)
    visits = [key for key in wanted if "/" in key]
    targets = sorted(targets_of(wanted))
    added = []
    if targets:
        added.append(dg.AddDynamicPartitionsRequest(TARGET, targets))
    if visits:
        added.append(dg.AddDynamicPartitionsRequest(VISIT, visits))
    return added

"""Whether a step needs more of the machine than this process may have."""

from __future__ import annotations

from hst_assets.machine.limits import memory_limit_bytes, usable_cores
from hst_assets.orchestration.asset_row import Resources

__all__ = ["shortage"]

_GB = 1e9


def shortage(needs: Resources, *, memory_bytes: int | None = None, cores: int | None = None) -> str:
    """What a step needs and this process may not have, in a sentence; empty if it has enough.

    It is no reason not to try: a target with few exposures needs less than a row says.

    Parameters
    ----------
    needs : Resources
        Of its row.
    memory_bytes : int, optional
        That this process may have in all, bytes; by default of its control group or the node. 0 is
        not known.
    cores : int, optional
        That it may use.
    """
    memory_gb = (memory_limit_bytes() if memory_bytes is None else memory_bytes) / _GB
    n_cores = usable_cores() if cores is None else cores
    told = []
    lacks_memory = 0 < memory_gb < needs.memory_gb
    if lacks_memory:
        told.append(f"{needs.memory_gb:.1f} GB of memory, and {memory_gb:.1f} GB is the limit here")
    if n_cores < needs.cores:
        told.append(f"{needs.cores} cores, and {n_cores} may be used here: it takes longer")
    if not told:
        return ""
    step = ". Should memory run out, lower machine.max_cores, or run it where there is more"
    return f"it may need {'; '.join(told)}{step if lacks_memory else ''}"

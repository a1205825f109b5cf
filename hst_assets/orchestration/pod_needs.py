"""What the pod of a run is given on Kubernetes, by what its steps need.

The steps of a run follow each other in one process, so that a pod needs what the largest of them
does. dagster-k8s reads it in a tag of the run; elsewhere that is a tag and no more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from hst_assets.orchestration.asset_row import LIGHT, AssetRow, Resources

__all__ = ["POD_TAG", "pod_config"]

#: The tag of a run by which dagster-k8s makes the pod.
POD_TAG = "dagster-k8s/config"


def pod_config(rows: Iterable[AssetRow]) -> str:
    """The value of `POD_TAG` for a run that makes these assets.

    What is asked for is also the limit: the memory is there when a step needs it, and the cores are
    those that tools may count on (`hst_assets.machine.limits`).

    Parameters
    ----------
    rows : iterable of AssetRow
        Rows of the assets; without any, the run consists of checks alone, which need little.
    """
    needs = _largest(row.resources for row in rows)
    # M is 10^6 bytes, as GB is 10^9.
    told = {"cpu": str(needs.cores), "memory": f"{round(needs.memory_gb * 1000)}M"}
    return json.dumps({"container_config": {"resources": {"requests": told, "limits": told}}})


def _largest(needs: Iterable[Resources]) -> Resources:
    wanted = (LIGHT, *needs)
    return Resources(
        memory_gb=max(each.memory_gb for each in wanted),
        cores=max(each.cores for each in wanted),
    )

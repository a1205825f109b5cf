"""Names of Dagster that are not part of its public interface, and why each is needed.

Dagster may move or change them in any release. All private imports are here, so that an upgrade
breaks in one place; pyproject.toml admits one minor version at a time.

``DagsterAssetCheckFailedError``
    The error with which Dagster fails a step whose blocking check did not pass. Its name tells
    such a step from one whose own body failed; `dagster` exports no public counterpart.
``StepFailureData``
    The type of ``DagsterEvent.step_failure_data``. The attribute is public, its type is not.
``InstigatorType``, ``SensorInstigatorData``
    Select the sensors among ``DagsterInstance.all_instigator_state`` and hold a sensor's cursor.
    One sensor waits for what another has announced in its cursor, and Dagster gives a sensor no
    public way to read another's.
"""

from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.scheduler.instigation import InstigatorType, SensorInstigatorData

__all__ = [
    "DagsterAssetCheckFailedError",
    "InstigatorType",
    "SensorInstigatorData",
    "StepFailureData",
]

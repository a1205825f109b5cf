"""Failures of the vocabulary as Dagster is told of them."""

import dagster as dg
import pytest

from hst_assets.failures import ToolFailed
from hst_assets.orchestration.resources import as_dagster_failure

TAIL = ("Traceback (most recent call last):", '  File "x.py", line 3, in f', "OSError: no room")


def test_the_log_of_a_tool_is_beside_the_message_and_not_within_it():
    with pytest.raises(dg.Failure) as raised, as_dagster_failure():
        raise ToolFailed("drizzle: raised", where="a.log", log_tail=TAIL)
    told = raised.value.description
    assert told == "ToolFailed: a.log: drizzle: raised; its log ends: OSError: no room"
    assert raised.value.metadata["log_tail"].value == "\n".join(TAIL)

"""Again, where it may help."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from hst_assets.failures import TransientFailure
from hst_assets.transfer.halt import Halt

__all__ = ["in_tries"]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


def in_tries(
    action: Callable[[], _T],
    *,
    label: str,
    max_tries: int,
    first_wait_s: float,
    longest_wait_s: float = 30.0,
    halt: Halt | None = None,
) -> _T:
    """Do something that may fail in passing, again where it may help.

    Parameters
    ----------
    action : callable
        Repeated after a `TransientFailure`, and after no other.
    label : str
        Name of the file, for the log.
    max_tries : int
        How often in all.
    first_wait_s, longest_wait_s : float
        Wait before the second try, doubled before each further one up to the longest, with chance
        in it, seconds. A service's Retry-After is obeyed if it is longer, up to two minutes.
    halt : Halt, optional
        Ends the waiting.

    Raises
    ------
    TransientFailure
        The last one.
    """
    import tenacity

    doubled = tenacity.wait_exponential(first_wait_s, longest_wait_s)
    chance = tenacity.wait_random(0, first_wait_s)

    def wait(state: tenacity.RetryCallState) -> float:
        asked = getattr(_failure_in(state), "retry_after_s", None)
        return max(min(doubled(state) + chance(state), longest_wait_s), asked or 0.0)

    def log(state: tenacity.RetryCallState) -> None:
        logger.warning("%s: trying again (%s)", label, _failure_in(state))

    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientFailure),
        stop=tenacity.stop_after_attempt(max_tries),
        wait=wait,
        sleep=(halt or Halt()).wait,
        before_sleep=log,
        reraise=True,
    )
    return tries(action)


def _failure_in(state: Any) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()

"""What may help is tried again, and waits grow."""

import pytest

from hst_assets.failures import (
    AccessRefused,
    NothingFound,
    TransientFailure,
    UnusableInput,
)
from hst_assets.transfer import Halt, in_tries


def failing(*failures):
    left = list(failures)

    def action():
        if left:
            raise left.pop(0)
        return "done"

    return action


def tried(action, **options):
    return in_tries(action, label="x", **{"max_tries": 3, "first_wait_s": 0.001, **options})


def test_what_may_help_is_tried_again(caplog):
    assert tried(failing(TransientFailure("busy"), TransientFailure("cut"))) == "done"
    assert [record.getMessage() for record in caplog.records] == [
        "x: trying again (busy)", "x: trying again (cut)"
    ]  # fmt: skip
    with pytest.raises(TransientFailure, match="three"):
        tried(failing(*map(TransientFailure, ("one", "two", "three", "four"))))


@pytest.mark.parametrize("kind", [AccessRefused, NothingFound, UnusableInput])
def test_what_does_not_help_is_not_tried_again(kind):
    action = failing(kind("no"))
    with pytest.raises(kind):
        tried(action)
    assert action() == "done"


def test_waits_grow_and_obey_the_service():
    class Watched(Halt):
        waits: list[float] = []  # noqa: RUF012

        def wait(self, seconds):
            self.waits.append(seconds)

    busy = TransientFailure("busy")
    busy.retry_after_s = 50.0
    plain = [TransientFailure("cut") for _ in range(8)]
    halt = Watched()
    tried(failing(*plain, busy), max_tries=10, first_wait_s=1.0, halt=halt)
    *grown, asked = halt.waits
    for number, wait in enumerate(grown):
        assert min(2.0**number, 30) <= wait <= min(2.0**number + 1, 30)
    assert asked == 50.0


def test_waiting_is_stopped():
    halt = Halt()
    halt.stop()
    with pytest.raises(TransientFailure, match="stopped"):
        tried(failing(TransientFailure("busy")), halt=halt, first_wait_s=100)

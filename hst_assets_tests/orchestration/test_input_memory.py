"""When what was read at an earlier tick is read again."""

import os
import time

import pytest

from hst_assets.orchestration.input_memory import InputMemory
from hst_assets.workdir import WorkDir


class Ticks:
    """A file, its readings through a memory, and a clock that the test sets."""

    def __init__(self, folder):
        self.path = folder / "index.txt"
        self.workdir = WorkDir(folder, "sn1")
        self.now_s = 1000.0
        self.n_read = 0
        self._memory = InputMemory(clock=lambda: self.now_s)

    def write(self, text, *, at_ns):
        """Write in place, at a time of the server of files."""
        self.path.write_text(text)
        os.utime(self.path, ns=(at_ns, at_ns))

    def tick(self, *, after_s=30.0):
        """What the memory says, so long after the last tick."""
        self.now_s += after_s
        return self._memory.versions(self.workdir, "level", self._read)["sn1"]

    def _read(self):
        self.n_read += 1
        return {"sn1": self.path.read_text()}, [self.path]


@pytest.fixture
def ticks(tmp_path):
    return Ticks(tmp_path)


HOUR_NS = 3_600_000_000_000


@pytest.mark.parametrize("server_is_ahead_ns", [0, HOUR_NS, -HOUR_NS])
def test_what_stays_as_it_is_is_read_twice_and_then_no_more(ticks, server_is_ahead_ns):
    ticks.write("a", at_ns=time.time_ns() + server_is_ahead_ns)
    assert [ticks.tick() for _ in range(5)] == ["a"] * 5
    assert ticks.n_read == 2


@pytest.mark.parametrize("server_is_ahead_ns", [0, HOUR_NS, -HOUR_NS])
def test_a_change_within_one_step_of_the_servers_clock_is_seen(ticks, server_is_ahead_ns):
    """Neither time nor size nor inode tells it from what was read before."""
    at_ns = time.time_ns() + server_is_ahead_ns
    ticks.write("a", at_ns=at_ns)
    assert ticks.tick() == "a"
    ticks.write("b", at_ns=at_ns)
    assert ticks.tick(after_s=1.0) == "b"
    assert ticks.tick() == "b"


def test_a_later_change_is_seen_at_the_next_tick(ticks):
    at_ns = time.time_ns()
    ticks.write("a", at_ns=at_ns)
    assert [ticks.tick() for _ in range(3)] == ["a"] * 3
    ticks.write("b", at_ns=at_ns + 1)
    assert ticks.tick() == "b"
    assert ticks.tick() == "b"
    ticks.path.unlink()
    with pytest.raises(FileNotFoundError):
        ticks.tick()

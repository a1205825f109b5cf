"""What holds of every command."""

from pathlib import Path

import pytest


def n_open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")
def test_a_command_leaves_no_file_open(cli):
    cli("--version")
    before = n_open_files()
    for _ in range(3):
        cli("--version")
    assert n_open_files() == before


def test_a_failure_begins_with_the_word_error(cli):
    result = cli("run")
    assert result.code == 2
    assert result.err.startswith("error: no target")

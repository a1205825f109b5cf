"""The session log: on a disk that takes nothing more, and behind an error."""

import logging

import pytest

from hst_assets.failures import UnusableInput
from hst_assets.session import _SessionFile, session_log
from hst_assets.workdir import WorkDir


def test_a_full_disk_costs_the_log_alone(capfd):
    handler = _SessionFile("/dev/full")
    handler.emit(logging.makeLogRecord({"msg": "not fetched"}))
    handler.close()
    assert capfd.readouterr().err == ""


def ended_by(workdir, work):
    """What the log of a session says that an error ended; None if there is none."""
    with pytest.raises((OSError, UnusableInput)), session_log(workdir, "exposure_table") as path:
        work(workdir)
    return path.read_text() if path.is_file() else None


def test_an_error_of_the_system_is_kept_with_its_traceback(tmp_path):
    def read_a_folder(workdir):
        workdir.logs.read_text()

    text = ended_by(WorkDir(tmp_path, "sn1").create(), read_a_folder)
    assert "Traceback" in text
    assert "in read_a_folder" in text
    assert "IsADirectoryError" in text


def test_so_is_one_that_a_failure_was_raised_from(tmp_path):
    def convert(_workdir):
        try:
            int("no number")
        except ValueError as error:
            raise UnusableInput("a header that is none") from error

    assert "ValueError" in ended_by(WorkDir(tmp_path, "sn1").create(), convert)


def test_a_failure_that_says_it_all_leaves_no_traceback(tmp_path):
    def refuse(_workdir):
        raise UnusableInput("too small")

    assert ended_by(WorkDir(tmp_path, "sn1").create(), refuse) is None

"""The session log on a disk that takes nothing more."""

import logging

from hst_assets.session import _SessionFile


def test_a_full_disk_costs_the_log_alone(capfd):
    handler = _SessionFile("/dev/full")
    handler.emit(logging.makeLogRecord({"msg": "not fetched"}))
    handler.close()
    assert capfd.readouterr().err == ""

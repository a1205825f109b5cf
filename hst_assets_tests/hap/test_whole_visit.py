"""What ends a visit that is made in one go, and with which code."""

import pytest

from hst_assets.failures import OutOfMemory, ToolFailed
from hst_assets.hap import whole_visit
from hst_assets.hap.piece_runs import Left, Piece, VisitFolder
from hst_assets.hap.result import ReturnCode
from hst_assets.hap.whole_visit import WholeVisit
from hst_assets.settings import HapSettings, MachineSettings

MADE = Left({}, ())
FAILED = ToolFailed("failed", where="x")


@pytest.mark.parametrize(
    ("total", "header", "code"),
    [
        (MADE, FAILED, ReturnCode.HEADERS_FAILED),
        (FAILED, MADE, ReturnCode.DONE),  # `make_advanced_products` makes it FAILED
        (FAILED, FAILED, ReturnCode.DONE),  # an image that is not there comes first
        (MADE, OutOfMemory("no memory", where="x"), ReturnCode.DONE),  # no verdict on the headers
    ],
)
def test_headers_that_fail_beside_a_total_have_a_code(monkeypatch, tmp_path, total, header, code):
    monkeypatch.setattr(whole_visit, "outcomes_of", lambda *_: [total, header])
    visit = WholeVisit((), VisitFolder(tmp_path), HapSettings(), MachineSettings(), {})
    with pytest.raises((ToolFailed, OutOfMemory)):
        visit._run_with_headers([Piece("total", "total")], [Piece("a.header", "headers")])
    assert visit.code is code


def test_pieces_that_succeed_leave_the_code(monkeypatch, tmp_path):
    monkeypatch.setattr(whole_visit, "outcomes_of", lambda *_: [MADE, MADE])
    visit = WholeVisit((), VisitFolder(tmp_path), HapSettings(), MachineSettings(), {})
    visit._run_with_headers([Piece("total", "total")], [Piece("a.header", "headers")])
    assert visit.code is ReturnCode.DONE

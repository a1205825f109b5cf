"""The words of a delivery that did not bring everything."""

from datetime import UTC, datetime
from unittest.mock import create_autospec

import pytest

from hst_assets.archive.comparison import Case, Compared
from hst_assets.archive.fetch_history import Refusal
from hst_assets.archive.receipts import NotFetched
from hst_assets.archive.sync_report import came_before, waits_for
from hst_assets.exposures.raw import RawFile
from hst_assets.failures import AccessRefused
from hst_assets_tests.archive.small_archive import product

A = product("jddd04ghq_flt.fits", 2880, "acs_hrc", 59000.0, "PUBLIC")
B = product("jddd04giq_flt.fits", 2880, "acs_hrc", 59000.0, "PUBLIC")


@pytest.mark.parametrize(
    ("case", "kept"), [(Case.CHANGED, True), (Case.DAMAGED, False), (Case.MISSING, False)]
)
def test_what_was_refused_says_whether_the_old_file_stays(case, kept):
    moment = datetime(2024, 2, 29, tzinfo=UTC)
    refusal = Refusal(
        name=A.name, version=A.version, reason="no counts", refused=moment, again=moment
    )
    file = None if case is Case.MISSING else create_autospec(RawFile, instance=True)
    told = str(came_before(refusal, Compared(A, case, file)))
    assert "was fetched on 2024-02-29 and is unusable: no counts" in told
    assert ("stays" in told) is kept
    assert "its companion" not in told
    assert f"its companion {A.name}" in str(came_before(refusal, Compared(B, case)))


def test_what_waits_for_another_fails_as_that_one():
    lost = NotFetched(B, AccessRefused("401", next_step="give a token"))
    failure = waits_for(A, lost)
    assert type(failure) is AccessRefused
    assert B.name in failure.what
    assert (failure.where, failure.next_step) == (A.name, "give a token")

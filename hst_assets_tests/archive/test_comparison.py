"""What of a listing stands in raw/, told from the disk alone."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from hst_assets.archive.comparison import Case, compare, outstanding, withdrawn
from hst_assets.archive.fetch_history import Refusal, change_fetch_history
from hst_assets.exposures.ingest import ingest
from hst_assets_tests.archive.small_archive import SmallArchive

A, B = "jddd04ghq_flt.fits", "jddd04giq_flt.fits"


@pytest.fixture
def archive(tmp_path):
    with SmallArchive(tmp_path).running() as archive:
        archive.add("jddd04ghq")
        archive.add("jddd04giq")
        yield archive


@pytest.fixture
def delivered(archive):
    archive.sync_visit()
    archive.asked()
    return archive


def cases(archive, **options):
    compared = compare(archive.workdir, archive.listing().products, **options)
    return {each.product.name: each.case for each in compared}


def lacking(archive):
    found = outstanding(archive.workdir, archive.listing())
    return [each.name for products in found.values() for each in products]


def test_what_was_not_fetched_is_missing(archive):
    assert set(cases(archive).values()) == {Case.MISSING}
    assert lacking(archive) == [A, B]


def test_what_was_fetched_stands_and_nothing_is_asked(delivered):
    assert set(cases(delivered).values()) == {Case.STANDS}
    assert lacking(delivered) == []
    assert delivered.files.requests == []


@pytest.mark.parametrize("quick", [False, True])
def test_a_file_that_is_gone_or_cut_is_damaged(delivered, quick):
    (delivered.workdir.raw / A).unlink()
    path = delivered.workdir.raw / B
    path.chmod(0o644)
    os.truncate(path, 2880)
    assert set(cases(delivered, quick=quick).values()) == {Case.DAMAGED}
    assert lacking(delivered) == [A, B]


def test_other_bytes_of_the_same_size_are_seen_by_reading(delivered):
    path = delivered.workdir.raw / A
    path.chmod(0o644)
    with path.open("r+b") as handle:
        handle.seek(9000)
        handle.write(b"junk")
    assert cases(delivered, quick=True)[A] is Case.STANDS
    assert cases(delivered)[A] is Case.DAMAGED


@pytest.mark.parametrize("said", [{"release_mjd": 59001.0}, {"size": 1}, {"size": None}])
def test_what_the_listing_says_otherwise_has_changed(delivered, said):
    delivered.change(A, **said)
    assert cases(delivered) == {A: Case.CHANGED, B: Case.STANDS}


@pytest.mark.parametrize(
    "said", [{"filter": "F814W"}, {"exptime_s": 1.0}, {"data_rights": "RESTRICTED"}]
)
def test_what_does_not_concern_the_bytes_changes_nothing(delivered, said):
    delivered.change(A, **said)
    assert set(cases(delivered).values()) == {Case.STANDS}


def test_a_file_by_hand_stands_and_another_size_is_told(archive):
    path = archive.folder / A
    path.write_bytes(archive.content(A))
    ingest([path], archive.workdir)
    [same] = compare(archive.workdir, [archive.products[A]])
    assert (same.case, same.differs) == (Case.BY_HAND, False)
    for size, differs in ((1, True), (None, False)):
        archive.change(A, size=size)
        [other] = compare(archive.workdir, [archive.products[A]])
        assert (other.case, other.differs) == (Case.BY_HAND, differs)


def test_only_what_came_from_the_archive_can_be_withdrawn(delivered):
    path = delivered.folder / "jddd04gjq_flt.fits"
    delivered.add("jddd04gjq")
    path.write_bytes(delivered.content(path.name))
    ingest([path], delivered.workdir)
    found = withdrawn(delivered.workdir, [delivered.products[B]], "jddd04")
    assert [file.name for file in found] == [A]
    assert withdrawn(delivered.workdir, [], "jddd05") == []


def test_what_was_refused_once_says_nothing_of_a_file_that_stands(delivered):
    now = datetime.now(UTC)
    with change_fetch_history(delivered.workdir) as origins:
        for each in delivered.products.values():
            origins.refused[each.name] = Refusal(
                name=each.name,
                version=each.version,
                reason="no counts",
                refused=now,
                again=now + timedelta(days=1),
            )
    (delivered.workdir.raw / B).unlink()
    compared = compare(delivered.workdir, delivered.listing().products)
    assert {each.product.name: each.refusal is None for each in compared} == {A: True, B: False}

"""One HEAD a file tells whether the archive still has what was fetched."""

import pytest

from hst_assets.archive import revalidation
from hst_assets.archive.comparison import outstanding
from hst_assets.archive.credentials import Token
from hst_assets.archive.fetch_history import read_fetch_history
from hst_assets.archive.revalidation import is_same, revalidate
from hst_assets.failures import TransientFailure
from hst_assets.transfer import Announced
from hst_assets_tests.archive.small_archive import SmallArchive
from hst_assets_tests.archive.test_fetch_history import origin

A, B = "jddd04ghq_flt.fits", "jddd04giq_flt.fits"


@pytest.fixture
def archive(tmp_path):
    with SmallArchive(tmp_path).running() as archive:
        archive.add("jddd04ghq")
        archive.add("jddd04giq")
        archive.sync_visit()
        archive.asked()
        archive.archive_settings["recheck_after_days"] = 0
        yield archive


def ask(archive, **options):
    listed = archive.listing().products
    return revalidate(archive.workdir, listed, archive.settings().archive, **options)


def lacking(archive):
    found = outstanding(archive.workdir, archive.listing())
    return [each.name for each in found.get("jddd04", ())]


@pytest.mark.parametrize(
    ("known", "said", "same"),
    [
        (('"a"', "Monday"), (2880, '"a"', "Tuesday"), True),
        (('"a"', "Monday"), (2880, '"b"', "Monday"), False),
        (('"a"', "Monday"), (None, None, "Monday"), True),
        ((None, "Monday"), (None, '"a"', "Tuesday"), False),
        (('"a"', None), (2880, None, "Monday"), None),
        ((None, None), (None, None, None), None),
        (('"a"', "Monday"), (5760, '"a"', "Monday"), False),
    ],
)
def test_what_the_validators_say(known, said, same):
    assert is_same(origin(etag=known[0], last_modified=known[1]), Announced(*said)) is same


def test_what_changed_is_outstanding_from_then_on(archive):
    archive.add("jddd04ghq", salt=1)
    assert lacking(archive) == []
    assert ask(archive) == {B}
    assert lacking(archive) == [A]
    archive.asked("HEAD")
    assert ask(archive) == {B}
    assert archive.asked("HEAD") == [B]  # of the other one it is known


def test_an_answer_serves_for_its_time(archive):
    archive.archive_settings["recheck_after_days"] = 1
    assert ask(archive) == frozenset()
    assert archive.files.requests == []
    assert ask(archive, all_of_them=True) == {A, B}


def test_an_answer_is_written_down(archive):
    before = read_fetch_history(archive.workdir)
    archive.change(A, release_mjd=59500.0)
    ask(archive)
    after = read_fetch_history(archive.workdir)
    versions = {each.version for each in after.files.values()}
    assert versions == {each.version for each in archive.listing().products}
    assert before.files.keys() == after.files.keys()


def test_no_answer_changes_nothing(archive):
    before = archive.workdir.origins.read_text()
    archive.add("jddd04ghq", salt=1)
    archive.archive_settings["mast_url"] = "http://127.0.0.1:9"  # discard: nobody listens
    assert ask(archive) == frozenset()
    assert archive.workdir.origins.read_text() == before


def test_in_an_outage_few_files_are_asked_for(archive, monkeypatch):
    archive.archive_settings["n_workers"] = 1
    for number in range(2, 8):
        archive.add(f"jddd04g{number}q")
    archive.sync_visit()
    asked = []

    def nobody(url, **options):
        asked.append(url)
        raise TransientFailure("no answer", where=url)

    with monkeypatch.context() as patch:
        patch.setattr(revalidation, "announced", nobody)
        assert ask(archive, all_of_them=True) == frozenset()
    assert len(asked) == 3
    assert len(ask(archive, all_of_them=True)) == 8


def test_a_refusal_changes_nothing(archive):
    archive.add("jddd04ghq", rights="EXCLUSIVE_ACCESS")
    archive.change(A, data_rights="PUBLIC")
    assert ask(archive) == {B}
    assert lacking(archive) == []
    assert ask(archive, token=Token("good")) == {A, B}


def test_the_service_that_gave_a_file_is_asked(archive):
    archive.archive_settings["s3"] = True
    archive.add("jddd05ghq")
    archive.sync_visit("jddd05")
    archive.files.requests.clear()
    ask(archive)
    routes = {request.name[:6]: request.route for request in archive.files.requests}
    assert routes == {"jddd04": "mast", "jddd05": "s3"}


def test_files_by_hand_are_not_asked_for(archive):
    archive.workdir.origins.unlink()
    assert ask(archive, all_of_them=True) == frozenset()
    assert archive.files.requests == []

"""Where fetched files came from is written down whole, and speaks of bytes, not of names."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.archive.fetch_history import (
    FetchRecord,
    Refusal,
    change_fetch_history,
    key_of,
    read_fetch_history,
)
from hst_assets.exposures.raw import RawFile
from hst_assets.failures import BadConfiguration
from hst_assets.workdir import WorkDir
from hst_assets_tests.archive.small_archive import product

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAME = "jddd04ghq_flt.fits"
SHA256 = "0" * 64


def origin(sha256=SHA256, rootname="jddd04ghq", **fields):
    known = {
        "rootname": rootname,
        "suffix": "flt",
        "sha256": sha256,
        "size": 2880,
        "uri": f"mast:HST/product/{rootname}_flt.fits",
        "route": "mast",
        "etag": '"abc"',
        "version": "1",
        "release_mjd": 59000.0,
        "fetched": NOW,
        "checked": NOW,
    }
    return FetchRecord(**{**known, **fields})


def refusal(**fields):
    known = {
        "name": NAME,
        "version": "1",
        "reason": "zero everywhere",
        "refused": NOW,
        "again": NOW + timedelta(days=7),
    }
    return Refusal(**{**known, **fields})


def raw_file(sha256=SHA256, rootname="jddd04ghq"):
    return RawFile(NAME, rootname, "jddd04", "flt", 2880, 1, sha256)


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path, "field").create()


def test_nothing_is_known_of_a_new_target(workdir):
    assert read_fetch_history(workdir).files == {}


def test_what_is_written_is_read(workdir):
    with change_fetch_history(workdir) as origins:
        origins.add(origin())
        origins.refused[NAME] = refusal()
    found = read_fetch_history(workdir)
    assert list(found.files.values()) == [origin()]
    assert found.refused == {NAME: refusal()}


def test_an_origin_speaks_of_bytes(workdir):
    with change_fetch_history(workdir) as origins:
        origins.add(origin())
        assert origins.of(raw_file()) == origin()
        assert origins.of(raw_file(sha256="1" * 64)) is None
        assert origins.of(raw_file(rootname="jddd04gjq")) is None


def test_the_ninth_character_of_a_rootname_does_not_count(workdir):
    with change_fetch_history(workdir) as origins:
        origins.add(origin(rootname="jddd04ghs"))
        assert origins.of(raw_file()) is not None


def test_old_and_new_bytes_of_a_product_are_known_side_by_side(workdir):
    with change_fetch_history(workdir) as origins:
        origins.add(origin())
        origins.add(origin(sha256="1" * 64))
        origins.forget(origin())
    assert [each.sha256 for each in read_fetch_history(workdir).files.values()] == ["1" * 64]


def test_nothing_is_written_where_nothing_changed(workdir):
    with change_fetch_history(workdir):
        pass
    assert not workdir.origins.exists()


def test_a_change_that_fails_leaves_what_was(workdir):
    with change_fetch_history(workdir) as origins:
        origins.add(origin())
    before = workdir.origins.read_bytes()

    def fail():
        with change_fetch_history(workdir) as origins:
            origins.files.clear()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert workdir.origins.read_bytes() == before


def test_changes_at_once_are_all_kept(workdir):
    def add(number):
        with change_fetch_history(workdir) as origins:
            origins.add(origin(sha256=f"{number:064x}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_fetch_history(workdir).files) == 12


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2, "files": [], "refused": []}', "{", "\0"])
def test_a_damaged_file_is_told(workdir, text):
    workdir.origins.write_text(text)
    with pytest.raises(BadConfiguration, match="Remove it"):
        read_fetch_history(workdir)


def test_a_refusal_holds_for_its_version_and_for_its_time():
    listed = product(NAME, 2880, "acs_hrc", 59000.0, "PUBLIC")
    ours = refusal(version=listed.version)
    assert ours.holds(listed, NOW)
    assert not ours.holds(listed, NOW + timedelta(days=7))
    assert not refusal(version="another").holds(listed, NOW)


def test_a_product_and_its_file_have_one_key():
    assert key_of(product(NAME, 1, "acs_hrc", 59000.0, "PUBLIC")) == raw_file().key


@given(
    st.lists(
        st.builds(
            refusal,
            name=st.text(max_size=20),
            reason=st.text(max_size=20),
            version=st.text(max_size=5),
        ),
        max_size=4,
    ),
    st.none() | st.text(max_size=10),
)
def test_any_text_survives(tmp_path_factory, refusals, etag):
    workdir = WorkDir(tmp_path_factory.mktemp("origins"), "field").create()
    with change_fetch_history(workdir) as origins:
        origins.add(origin(etag=etag))
        origins.refused.update({each.name: each for each in refusals})
        wanted = dict(origins.refused)
    found = read_fetch_history(workdir)
    assert found.refused == wanted
    assert found.of(raw_file()).etag == etag

"""A root that several machines share is known by its mark."""

import pytest

from hst_assets.failures import MachineFailure
from hst_assets.workdir.shared_root import MARK_VARIABLE, is_lost, kept_root, mark_of, mark_root


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The mark of a shared root, of which this process was told."""
    mark = mark_root(tmp_path / "root")
    monkeypatch.setenv(MARK_VARIABLE, mark)
    return mark


def test_a_root_keeps_its_mark_and_no_other_has_it(tmp_path):
    first = mark_root(tmp_path / "a")
    assert mark_root(tmp_path / "a") == first == mark_of(tmp_path / "a")
    assert mark_root(tmp_path / "b") != first


def test_a_root_without_a_mark_is_never_lost_where_nothing_is_shared(tmp_path, monkeypatch):
    monkeypatch.delenv(MARK_VARIABLE, raising=False)
    assert not is_lost(tmp_path / "nowhere")
    with kept_root(tmp_path / "nowhere"):
        pass


def test_an_empty_folder_in_its_place_is_a_lost_root(tmp_path, told):
    assert not is_lost(tmp_path / "root")
    assert is_lost(tmp_path / "empty")


def test_nothing_is_begun_in_a_lost_root(tmp_path, told):
    begun = []
    with pytest.raises(MachineFailure, match="is not there"), kept_root(tmp_path / "empty"):
        begun.append(True)
    assert begun == []


@pytest.mark.parametrize("failure", [None, FileNotFoundError("raw/a.fits")])
def test_what_happened_while_it_was_lost_is_the_machines_failure(tmp_path, told, failure):
    def work():
        with kept_root(tmp_path / "root"):
            (tmp_path / "root").rename(tmp_path / "unmounted")
            if failure:
                raise failure

    with pytest.raises(MachineFailure, match="is not there"):
        work()

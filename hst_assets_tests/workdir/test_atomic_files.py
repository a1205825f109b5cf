from pathlib import Path

import pytest

from hst_assets.failures import MissingProduct
from hst_assets.workdir import file_stamp, fresh_stamp, move_into_place, write_atomically


def test_moving_into_place_moves_a_file(tmp_path):
    source = tmp_path / "a"
    source.write_text("new")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_text("old")
    assert move_into_place(source, tmp_path / "sub" / "b").read_text() == "new"
    assert not source.exists()


def test_moving_what_is_not_there_is_an_error(tmp_path):
    with pytest.raises(MissingProduct, match="did not write this file"):
        move_into_place(tmp_path / "nothing", tmp_path / "b")


def test_a_file_written_atomically_appears_whole(tmp_path):
    with write_atomically(tmp_path / "deep" / "x.ecsv") as part:
        part.write_text("content")
        assert part.suffix == ".ecsv"
        assert not (tmp_path / "deep" / "x.ecsv").exists()
    assert (tmp_path / "deep" / "x.ecsv").read_text() == "content"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")

    def fail():
        with write_atomically(path) as part:
            part.write_text("half")
            raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        fail()
    assert path.read_text() == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["x"]


def test_on_a_local_disk_a_fresh_stamp_is_the_stamp_of_the_file(tmp_path):
    path = tmp_path / "a"
    path.write_text("one")
    assert fresh_stamp(path) == file_stamp(path)


def test_a_fresh_stamp_is_that_of_the_file_where_a_names_attributes_are_old(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("one")
    old = path.stat()
    path.write_text("another")
    monkeypatch.setattr(Path, "stat", lambda *_, **__: old)
    assert fresh_stamp(path)[-1] == len("another")


def test_without_a_file_there_is_no_fresh_stamp(tmp_path):
    with pytest.raises(FileNotFoundError):
        fresh_stamp(tmp_path / "a")

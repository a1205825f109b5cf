"""Stamps of files of which a name's attributes are out of date, as on NFS."""

from pathlib import Path

import pytest

from hst_assets.workdir import file_stamp
from hst_assets.workdir.fresh_stamps import fresh_stamp


def test_on_a_local_disk_it_is_the_stamp_of_the_file(tmp_path):
    path = tmp_path / "a"
    path.write_text("one")
    assert fresh_stamp(path) == file_stamp(path)


def test_it_is_that_of_the_file_where_a_names_attributes_are_old(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("one")
    old = path.stat()
    path.write_text("another")
    monkeypatch.setattr(Path, "stat", lambda *_, **__: old)
    assert fresh_stamp(path)[-1] == len("another")


def test_without_a_file_there_is_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        fresh_stamp(tmp_path / "a")

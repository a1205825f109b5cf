import os

import pytest

from hst_assets.provenance import FileStamp, read_record
from hst_assets.workdir import WorkDir


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff\xfe\x00", b'{"digest": 3}', b"null"]
)
def test_a_damaged_record_means_making_it_again(kitchen, content):
    kitchen.cook()
    WorkDir.record(kitchen.product).write_bytes(content)
    assert read_record(kitchen.product) is None
    assert kitchen.cook().ran


def test_a_record_survives_the_move_of_the_work_directory(kitchen, workdir, tmp_path):
    kitchen.cook()
    moved = WorkDir(tmp_path / "elsewhere", "field")
    moved.root.mkdir()
    workdir.base.rename(moved.base)
    record = read_record(moved.workspace / "product.txt")
    assert record.whole(moved)
    assert record.paths(moved) == [moved.workspace / "product.txt"]


def test_a_stamp_believes_size_and_time(tmp_path):
    path = tmp_path / "x"
    path.write_text("one")
    stamp = FileStamp.of(path)
    path.write_text("two")
    os.utime(path, ns=(stamp.mtime_ns, stamp.mtime_ns))
    assert stamp.matches(path)  # the price of not reading every byte, known and accepted
    assert not stamp.matches(tmp_path / "gone")

import hashlib
import io

import pytest

from hst_assets.publishing.checksums import checksums_of, part_size, sha256_of_stream

MEBIBYTE = 1 << 20


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 30])
def test_one_pass_gives_what_single_passes_give(tmp_path, size):
    content = bytes(range(size))
    path = tmp_path / "file"
    path.write_bytes(content)
    found = checksums_of(path, 10)
    assert (found.size, found.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert found.md5 == hashlib.md5(content).hexdigest()
    parts = [hashlib.md5(content[i : i + 10]).digest() for i in range(0, size, 10)]
    assert found.md5_of_parts == f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"


@pytest.mark.parametrize("size", [1, 32 * MEBIBYTE, 10**12, 5 * 10**12])
def test_no_file_has_more_parts_than_s3_takes(size):
    part = part_size(size, 32 * MEBIBYTE)
    assert part >= 32 * MEBIBYTE
    assert -(-size // part) <= 10_000
    assert part % MEBIBYTE == 0


def test_a_stream_is_read_to_its_end():
    content = b"x" * (2 * MEBIBYTE + 1)
    expected = hashlib.sha256(content).hexdigest(), len(content)
    assert sha256_of_stream(io.BytesIO(content)) == expected

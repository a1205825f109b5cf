"""The same on a real server of S3: moto's, on this machine."""

import logging
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from hst_assets.failures import AccessRefused, BadConfiguration, TransientFailure
from hst_assets.publishing.manifest import Manifest
from hst_assets.publishing.product import make_published
from hst_assets.publishing.store import Store
from hst_assets.settings import write_settings
from hst_assets_tests.publishing.finished_target import STACKS, FinishedTarget

PROJECT = Path(__file__).parents[2]
MEBIBYTE = 1 << 20
#: The least that S3 takes as a part.
PART_BYTES = 5 * MEBIBYTE


@pytest.fixture
def bucket(store):
    name = store.new_bucket()
    store.asked.clear()
    return name


@pytest.fixture
def target(tmp_path, bucket):
    target = FinishedTarget(tmp_path / "root", destination=f"s3://{bucket}/prefix")
    write_settings(target.workdir, {"publish": {"max_tries": 2}})
    return target


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr("hst_assets.publishing.store.PART_BYTES", PART_BYTES)


def publish(target, **options):
    return make_published(target.workdir, target.settings, **options)


def there(target):
    return store_at(f"{target.settings.publish.destination}/{target.workdir.target}")


#: One for each address: a client of S3 takes half a second.
store_at = cache(Store)


def manifest_of(target):
    content = there(target).read("manifest.json")
    return content and Manifest.parse(content, "here")


def test_objects_are_there_as_the_manifest_says_and_it_is_written_last(target, store):
    made = publish(target)
    manifest = manifest_of(target)
    for path, file in manifest.all_files():
        assert there(target).read(file.key) == target.workdir.absolute(path).read_bytes()
        assert file.verified == "by checksum"
    assert {*manifest.objects(), "manifest.json"} == there(target).sizes().keys()
    assert store.sent()[-1] == "prefix/sn1/manifest.json"
    assert made.facts["n_sent"] == len(store.sent()) - 1


def test_checksums_that_the_store_tells_are_compared_without_reading_back(target, store):
    publish(target)
    read = [path for method, path in store.asked if method == "GET" and "/files/" in path]
    assert read == []


def test_where_the_store_tells_no_checksum_objects_are_read_back(target, store):
    store.kms = True
    made = publish(target)
    read = [path for method, path in store.asked if method == "GET" and "/files/" in path]
    assert len(read) == made.facts["n_files"] == made.facts["n_by_checksum"]


def test_or_they_are_verified_by_size_and_it_is_said(target, store):
    write_settings(target.workdir, {"publish": {"read_back": False}})
    store.kms = True
    made = publish(target)
    assert made.facts["n_by_size"] == made.facts["n_files"]
    assert {file.verified for _, file in manifest_of(target).all_files()} == {"by size"}


def test_an_unchanged_check_sends_nothing_and_one_changed_product_that_one(target, store):
    publish(target)
    store.asked.clear()
    publish(target, redo=True)
    assert store.sent() == []
    target.make("target_report", target.workdir.report, version="2")
    publish(target)
    assert [name.rpartition("/")[2] for name in store.sent()] == [
        "report.html",
        "report.html.provenance.json",
        "manifest.json",
    ]
    assert {*manifest_of(target).objects(), "manifest.json"} == there(target).sizes().keys()


def test_a_file_in_parts_is_verified_by_the_checksum_of_its_parts(target, store, small_parts):
    target.make_stacks(STACKS[:1], version="2", content=os.urandom(10 * MEBIBYTE + 1))
    made = publish(target)
    parts = [path for method, path in store.asked if method == "PUT" and "partNumber=" in path]
    assert len(parts) == 3
    assert made.facts["n_by_size"] == 0
    assert not any(method == "GET" and "/files/" in path for method, path in store.asked)


def test_a_store_that_fails_in_passing_is_asked_again(target, store):
    failed = []

    def once(method, path):
        if method == "PUT" and path not in failed:
            failed.append(path)
            return 500 if len(failed) % 2 else 503
        return None

    store.fault = once
    made = publish(target)
    assert len(failed) == made.facts["n_files"] + 1
    assert manifest_of(target) is not None


def test_a_store_that_stays_down_is_a_passing_failure_and_the_next_run_goes_on(target, store):
    store.fault = lambda method, path: 503 if method == "PUT" and "report.html" in path else None
    with pytest.raises(TransientFailure, match="the store answered 503"):
        publish(target)
    assert manifest_of(target) is None
    before = set(store.sent())
    store.fault = lambda _method, _path: None
    store.asked.clear()
    publish(target)
    assert not {name for name in store.sent() if "report.html" not in name} & before


def test_nobody_there_is_a_passing_failure(target, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(TransientFailure, match="no answer") as caught:
        publish(target)
    assert caught.value.where.startswith("s3://")


def test_denied_access_says_what_is_needed_and_is_not_tried_again(target, store):
    store.fault = lambda method, _path: 403 if method == "PUT" else None
    with pytest.raises(AccessRefused, match=r"denied.*s3:PutObject.*s3:ListBucketMultipartUploads"):
        publish(target)
    assert len([path for method, path in store.asked if method == "PUT"]) == 1


def test_a_store_that_may_not_be_cleared_keeps_what_is_superseded_and_says_so(target, store):
    publish(target)
    target.make("target_report", target.workdir.report, version="2")
    store.fault = lambda method, _path: 403 if method == "DELETE" else None
    made = publish(target)
    (note,) = made.facts["notes"]
    assert note.startswith("2 superseded objects are still there: ")
    assert manifest_of(target).products["target_report"].recipe


def test_without_keys_it_says_which_variables_to_set(target, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessRefused, match=r"there are no keys.*AWS_ACCESS_KEY_ID"):
        publish(target)


def test_a_bucket_that_is_not_there_is_told(target):
    destination = "s3://bucket-that-nobody-made/prefix"
    write_settings(target.workdir, {"publish": {"destination": destination}})
    with pytest.raises(BadConfiguration, match="Make the bucket"):
        publish(target)


def test_what_has_come_damaged_is_taken_back_and_sent_again(target, store, monkeypatch):
    """The store's checksum is another the first time, and what is read back as well."""
    real, damaged = Store._compared, []

    def once(self, path, checksums):
        if path not in damaged:
            damaged.append(path)
            self._fs.pipe_file(path, b"x" * checksums.size)
        return real(self, path, checksums)

    monkeypatch.setattr(Store, "_compared", once)
    publish(target)
    for path, file in manifest_of(target).all_files():
        assert there(target).read(file.key) == target.workdir.absolute(path).read_bytes()


def test_keys_are_in_no_record_no_file_and_no_log(target, store, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    publish(target)
    secrets = ("secret-of-a-test", "KEYOFATEST")
    for path in target.workdir.base.rglob("*"):
        if path.is_file():
            assert not any(secret.encode() in path.read_bytes() for secret in secrets), path
    ours = [record.getMessage() for record in caplog.records if "hst_assets" in record.name]
    assert not any(secret in text for secret in secrets for text in ours)
    assert b"KEYOFATEST" not in there(target).read("manifest.json")


@pytest.mark.parametrize("big", [False, True], ids=["between objects", "in the middle of one"])
def test_a_publication_that_was_killed_goes_on_where_it_was(
    target, store, bucket, small_parts, big
):
    """The third object, or the second part of one, is held up on its way, and SIGKILL comes."""
    publish(target)
    before = manifest_of(target)
    content = os.urandom(10 * MEBIBYTE) if big else b""
    target.make_stacks(version="2", content=content)
    is_awaited = "partNumber=2" if big else f"{STACKS[1]}.provenance.json"
    came, go_on = threading.Event(), threading.Event()

    def hold_up(method, path):
        if method == "PUT" and is_awaited in path:
            came.set()
            go_on.wait(60)
            return 500
        return None

    store.fault = hold_up
    store.asked.clear()
    with killed_in_the_end(target):
        assert came.wait(60)
    sent = {name for name in store.sent() if is_awaited not in name}
    go_on.set()
    assert manifest_of(target) == before
    assert before.objects() <= there(target).sizes().keys()
    assert sent  # before that

    store.fault = lambda _method, _path: None
    store.asked.clear()
    made = publish(target)
    assert not {name for name in store.sent() if is_awaited not in name} & sent
    assert made.facts["n_by_checksum"] == made.facts["n_files"]
    after = manifest_of(target)
    assert {*after.objects(), "manifest.json"} == there(target).sizes().keys()
    for path, file in after.all_files():
        assert there(target).read(file.key) == target.workdir.absolute(path).read_bytes()
    assert unfinished(target, bucket) == []


@contextmanager
def killed_in_the_end(target):
    """A process that publishes."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from hst_assets.publishing import store\n"
        "from hst_assets.publishing.product import make_published\n"
        "from hst_assets.settings import load_settings\n"
        "from hst_assets.workdir import WorkDir\n"
        f"store.PART_BYTES = {PART_BYTES}\n"
        "workdir = WorkDir(Path(sys.argv[1]), sys.argv[2])\n"
        "make_published(workdir, load_settings(workdir))\n"
    )
    command = [sys.executable, "-c", program, target.workdir.root, target.workdir.target]
    with subprocess.Popen(command, cwd=PROJECT) as process:
        try:
            yield
        finally:
            process.kill()


def unfinished(target, bucket):
    fs = there(target)._fs
    return fs.call_s3("list_multipart_uploads", Bucket=bucket).get("Uploads", [])

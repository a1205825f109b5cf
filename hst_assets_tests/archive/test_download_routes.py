"""Two services that hold a file, and the token that goes to one of them only."""

import logging
import traceback

import pytest

from hst_assets.archive.credentials import Token
from hst_assets.archive.download import Fetched, fetch
from hst_assets.failures import AccessRefused
from hst_assets_tests.archive.served_files import (
    CONTENT,
    LASTING,
    NAME,
    ROOTS,
    SECRET,
    bring,
    product,
    settings,
)
from hst_assets_tests.stand_ins.file_service import FileService
from hst_assets_tests.stand_ins.tiny_fits import tiny_fits

# ------------------------------------------------------------------------------------- two routes


def test_public_files_come_from_s3_first_if_asked(files, tmp_path):
    assert bring(files, tmp_path, s3=True).route == "s3"
    assert [request.route for request in files.requests] == ["s3"]


@pytest.mark.parametrize(
    "fault", ["404", "403", "503", "wrong_bytes:20000", "html", "stall:100", "truncate"]
)
def test_what_s3_does_not_give_comes_from_mast(files, tmp_path, fault):
    files.always[f"s3/{NAME}"] = fault
    answer = bring(files, tmp_path, s3=True)
    assert answer.route == "mast"
    assert answer.path.read_bytes() == CONTENT


def test_the_md5_of_s3_tells_wrong_pixels_without_checksums(files, tmp_path):
    plain = tiny_fits(ROOTS[0])
    files.hold(NAME, plain)
    files.always[f"s3/{NAME}"] = "wrong_bytes"
    answer = bring(files, tmp_path, product(size=len(plain)), s3=True)
    assert (answer.route, answer.path.read_bytes()) == ("mast", plain)


def test_exclusive_files_are_not_looked_for_on_s3(files, tmp_path):
    files.hold(NAME, CONTENT, rights="EXCLUSIVE_ACCESS")
    wanted = product(data_rights="EXCLUSIVE_ACCESS")
    assert bring(files, tmp_path, wanted, token=Token(SECRET), s3=True).route == "mast"
    assert [request.route for request in files.requests] == ["mast"]


# -------------------------------------------------------------------------------------- the token


def test_exclusive_files_need_the_token(files, tmp_path):
    files.hold(NAME, CONTENT, rights="EXCLUSIVE_ACCESS")
    wanted = product(data_rights="EXCLUSIVE_ACCESS")
    for token in (None, Token("another")):
        failure = bring(files, tmp_path, wanted, token=token).failure
        assert isinstance(failure, AccessRefused)
        assert "MAST_API_TOKEN" in failure.next_step
    assert bring(files, tmp_path, wanted, token=Token(SECRET)).path.read_bytes() == CONTENT


def test_no_token_is_asked_for_where_none_would_help(files, tmp_path):
    files.always[NAME] = "403"
    failure = bring(files, tmp_path).failure
    assert isinstance(failure, AccessRefused)
    assert "MAST_API_TOKEN" not in str(failure)


def test_the_token_does_not_travel_with_a_redirection(files, tmp_path):
    with FileService().running() as other:
        other.hold(NAME, CONTENT)
        files.always[NAME] = f"redirect:{other.url}"
        assert isinstance(bring(files, tmp_path, token=Token(SECRET)), Fetched)
        assert files.requests[0].headers["authorization"] == f"token {SECRET}"
        assert "authorization" not in other.requests[0].headers


def test_the_token_does_not_go_to_s3(files, tmp_path):
    with FileService().running() as bucket:
        bucket.always[NAME] = "404"
        where = settings(files, s3=True).model_copy(update={"s3_url": bucket.url})
        [answer] = fetch([product()], tmp_path, where, token=Token(SECRET))
        assert answer.route == "mast"
        assert "authorization" not in bucket.requests[0].headers


def everything_about(error, seen=()):
    """All that anyone could print of an exception and those behind it."""
    if error is None or error in seen:
        return ""
    texts = [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
    frames = traceback.walk_tb(error.__traceback__)
    texts += [repr(frame.f_locals) for frame, _ in frames]
    behind = (error.__cause__, error.__context__)
    return "".join(texts) + "".join(everything_about(each, (*seen, error)) for each in behind)


@pytest.mark.parametrize("fault", [*LASTING, "redirect:http://127.0.0.1:9"])
def test_the_token_is_nowhere_to_be_read(files, tmp_path, fault, caplog):
    secret = "s3cr3ts3cr3t"
    caplog.set_level(logging.DEBUG)
    files.tokens = {secret}
    files.always[NAME] = fault
    failure = bring(files, tmp_path, token=Token(secret), max_tries=2).failure
    assert files.requests[0].headers["authorization"] == f"token {secret}"
    assert secret not in everything_about(failure)
    assert not [record for record in caplog.records if secret in repr(vars(record))]
    assert not [path for path in tmp_path.iterdir() if secret.encode() in path.read_bytes()]

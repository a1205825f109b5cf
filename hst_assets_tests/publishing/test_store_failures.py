"""What an error of fsspec, s3fs or botocore means."""

import errno

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from s3fs.errors import translate_boto_error

from hst_assets.failures import AccessRefused, BadConfiguration, DiskFull, TransientFailure
from hst_assets.publishing.store_failures import as_failures, failure_of_store


def answered(code, status):
    answer = {
        "Error": {"Code": code, "Message": f"{code} it said"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return translate_boto_error(ClientError(answer, "PutObject"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answered("SlowDown", 503), TransientFailure),
        (answered("InternalError", 500), TransientFailure),
        (answered("RequestTimeout", 400), TransientFailure),
        (answered("BadDigest", 400), TransientFailure),
        (answered("IncompleteBody", 400), TransientFailure),
        (answered("OperationAborted", 409), TransientFailure),
        (answered("NoSuchUpload", 404), TransientFailure),
        (answered("SlowDown", 400), TransientFailure),
        (answered("InternalError", 400), TransientFailure),
        (answered("SomethingNew", 502), TransientFailure),
        (answered("AccessDenied", 403), AccessRefused),
        (answered("InvalidAccessKeyId", 403), AccessRefused),
        (answered("SignatureDoesNotMatch", 403), AccessRefused),
        (answered("ExpiredToken", 400), AccessRefused),
        (answered("NoSuchBucket", 404), BadConfiguration),
        (answered("PermanentRedirect", 301), BadConfiguration),
        (answered("InvalidBucketName", 400), BadConfiguration),
        (NoCredentialsError(), AccessRefused),
        (EndpointConnectionError(endpoint_url="http://here"), TransientFailure),
        (ReadTimeoutError(endpoint_url="http://here"), TransientFailure),
        (ParamValidationError(report="no bucket"), BadConfiguration),
        (TimeoutError(), TransientFailure),
        (ConnectionResetError(errno.ECONNRESET, "reset"), TransientFailure),
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:40]),
)
def test_each_error_has_its_failure(error, kind):
    failure = failure_of_store(error, "s3://bucket/key")
    assert type(failure) is kind
    assert failure.where in ("s3://bucket/key", None) or kind is DiskFull


def test_an_error_that_nobody_foresaw_stays_what_it_is():
    with pytest.raises(ZeroDivisionError), as_failures("s3://bucket"):
        raise ZeroDivisionError


def test_one_line_of_what_was_said_is_told():
    failure = failure_of_store(PermissionError("no\nnot at all"), "s3://bucket")
    assert failure.what == "access was denied: no"

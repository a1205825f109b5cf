"""What an error of a store means, in the vocabulary of this project.

fsspec raises what its file systems do: for S3, errors of botocore, most of them translated by s3fs
to those of the system with the answer behind them.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from hst_assets.failures import (
    AccessRefused,
    BadConfiguration,
    HstAssetsError,
    TransientFailure,
)
from hst_assets.machine.failures import machine_failure
from hst_assets.transfer import may_pass

__all__ = ["as_failures", "failure_of_store"]

_KEYS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), and AWS_ENDPOINT_URL for a "
    "store that is not Amazon's, where the command or the daemon runs"
)
_RIGHTS = (
    "The keys need the right to list, read, write and delete there (s3:ListBucket, s3:GetObject, "
    "s3:PutObject, s3:DeleteObject, and for what killed runs left s3:ListBucketMultipartUploads "
    "and s3:AbortMultipartUpload); or set publish.destination to where they have it"
)
_PLACE = "Make the bucket, or correct publish.destination or AWS_ENDPOINT_URL"
#: Classes of botocore and fsspec by name: neither is imported to look at an error.
_WITHOUT_KEYS = frozenset(
    {
        "CredentialRetrievalError",
        "InvalidConfigError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }
)
_OF_THE_NET = frozenset(
    {
        "ClientError",  # of aiohttp; botocore's has an answer
        "ConnectionError",
        "FSTimeoutError",
        "HTTPClientError",
        "IncompleteReadError",
        "ResponseParserError",
        "ResponseStreamingError",
    }
)
#: Of S3, by its word for it: their HTTP status (mostly 400, 404 or 409) says less.
_PASSING_CODES = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "InternalError",
        "NoSuchUpload",  # the store has dropped the parts: they are sent again
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
    }
)
_INVALID = frozenset({"InvalidEndpointURLError", "ParamValidationError", "UnknownEndpointError"})
#: What the system says of a store that is mounted, or s3fs of one that is busy.
_PASSING = frozenset(
    {
        errno.EBUSY,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EPIPE,
        errno.ETIMEDOUT,
        getattr(errno, "EREMOTEIO", errno.EIO),
    }
)


@contextmanager
def as_failures(where: str) -> Iterator[None]:
    """Raise errors of a store as failures of the vocabulary.

    Parameters
    ----------
    where : str
        The address concerned.

    Raises
    ------
    HstAssetsError
        See `failure_of_store`. What it does not know is raised as it is.
    """
    try:
        yield
    except HstAssetsError:
        raise
    except Exception as error:
        failure = failure_of_store(error, where)
        if failure is None:
            raise
        raise failure from error


def failure_of_store(error: Exception, where: str) -> HstAssetsError | None:
    """The failure behind an error of a store; None if nothing is known of such an error.

    Parameters
    ----------
    error : Exception
        As it was raised.
    where : str
        The address concerned.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    said = _said(error)
    if names & _WITHOUT_KEYS:
        return AccessRefused(f"there are no keys: {said}", where=where, next_step=_KEYS)
    status, code = _answered(error)
    if code in _PASSING_CODES or (status is not None and may_pass(status)):
        return TransientFailure(f"the store answered {status or code}: {said}", where=where)
    if isinstance(error, PermissionError) or status in (401, 403):
        return AccessRefused(f"access was denied: {said}", where=where, next_step=_RIGHTS)
    if isinstance(error, FileNotFoundError):
        return BadConfiguration(f"there is no such place: {said}", where=where, next_step=_PLACE)
    if names & _INVALID or (status is not None and status >= 300):
        return BadConfiguration(f"the store rejected it: {said}", where=where, next_step=_PLACE)
    if names & _OF_THE_NET or _is_passing(error):
        return TransientFailure(f"no answer, or the connection broke off: {said}", where=where)
    return machine_failure(error, where=where)


def _is_passing(error: Exception) -> bool:
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and error.errno in _PASSING


def _said(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    lines = text.strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _answered(error: BaseException) -> tuple[int | None, str]:
    """The HTTP status and S3's code of the answer behind an error; None and "" without one."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        answer = getattr(each, "response", None)
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
            code = answer.get("Error", {}).get("Code")
            return status if isinstance(status, int) else None, str(code or "")
        each = each.__cause__
    return None, ""

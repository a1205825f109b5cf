"""Settings of the publication of finished products."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from hst_assets.settings.fields import NOT_REPEATED, Section

__all__ = ["PublishSettings"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII)
_S3 = frozenset({"s3", "s3a"})
#: Of folders on this machine, in the words of fsspec.
_FILE = frozenset({"file", "local"})


def _a_destination(value: str) -> str:
    """A URL without keys in it: it is shown, and written to records."""
    url = value.strip()
    if not url:
        return ""
    if not _SCHEME.match(url) or "::" in url:
        raise _refused("not a URL such as s3://bucket/prefix or file:///folder")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _refused("not a URL") from None
    # A secret may have a slash in it: what is behind that would be read as a path.
    has_keys = "@" in url or (parts.scheme in _S3 and ":" in parts.netloc)
    if has_keys or parts.query or parts.fragment:
        raise _refused("user, keys and options do not belong into a URL; set AWS_... variables")
    if parts.scheme in _S3 and not parts.netloc:
        raise _refused("it names no bucket: s3://bucket/prefix has two slashes")
    if parts.scheme in _FILE and parts.netloc:
        raise _refused("a folder has three slashes: file:///folder")
    if not url.isprintable() or any(part in (".", "..") for part in parts.path.split("/")):
        raise _refused("its path has steps (. or ..) or characters that cannot be printed")
    return url.rstrip("/") if parts.path.strip("/") or parts.netloc else url


def _refused(why: str) -> PydanticCustomError:
    """Why it is none; not what it was, in which there may be keys."""
    return PydanticCustomError(NOT_REPEATED, why)


class PublishSettings(Section):
    """Where finished products are published, and how that is verified."""

    destination: Annotated[str, AfterValidator(_a_destination)] = ""
    """Where finished products are published: a URL such as ``s3://bucket/prefix``; empty: nowhere.

    Each target has a folder of its name there. ``file:///folder`` and any other kind of URL that
    fsspec knows do as well. Endpoint and keys of S3 are those of the environment
    (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_PROFILE``).
    """
    read_back: bool = True
    """Read an object back to compare its SHA-256 where the store tells no checksum to compare with.

    Otherwise such objects are verified by their size alone, and the manifest says so. S3 without
    encryption by KMS tells a checksum.
    """
    max_tries: Annotated[int, Field(ge=1)] = 4
    """Maximum number of tries of each transfer, with longer pauses in between."""

    def as_recipe(self) -> dict[str, Any]:
        """Where to; how it is verified changes nothing of what is there."""
        return self.model_dump(mode="json", include={"destination"})

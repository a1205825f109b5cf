"""The manifest of a target: which objects are the files of its products, and how each was verified.

It is written last, in one step, and is what readers trust. A file's object is named by what is in
it and never changes, so that the manifest of yesterday stays true until that of today stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hst_assets.failures import UnusableInput

__all__ = [
    "FORMAT",
    "MANIFEST_NAME",
    "OBJECTS",
    "Manifest",
    "PublishedFile",
    "PublishedProduct",
    "Verified",
    "is_object",
    "object_key",
]

FORMAT: Literal[1] = 1
MANIFEST_NAME = "manifest.json"
#: The folder of all objects but the manifest.
OBJECTS = "files"

Verified = Literal["by checksum", "by size"]

#: Digits of a file's SHA-256 in the name of its object: 64 bit tell the files of a target apart.
_DIGITS = 16
_PLAIN = re.compile(r"[^A-Za-z0-9._+-]")
#: Object stores and file systems allow at least so many bytes of a name.
_LONGEST = 180
_PART = "[A-Za-z0-9_+-][A-Za-z0-9._+-]*"
_OBJECT = re.compile(rf"{OBJECTS}/(?:{_PART}/)*[0-9a-f]{{{_DIGITS}}}/{_PART}")


def object_key(path: str, sha256: str) -> str:
    """The name of a file's object below the target's folder.

    Parameters
    ----------
    path : str
        Relative to the work directory; characters that mean something in a URL or a shell are
        replaced, so that the name may be used as it is.
    sha256 : str
        Of the file.
    """
    *folders, name = [_PLAIN.sub("_", part)[-_LONGEST:] for part in path.split("/")]
    plain = [folder.lstrip(".") or "_" for folder in folders]
    return "/".join([OBJECTS, *plain, sha256[:_DIGITS], name.lstrip(".") or "_"])


def is_object(key: str) -> bool:
    """Whether a name below the target's folder is one that `object_key` gives."""
    return _OBJECT.fullmatch(key) is not None


class PublishedFile(BaseModel):
    """A file of a product, and its object.

    Attributes
    ----------
    key : str
        The object, below the folder of the manifest.
    sha256 : str
        Of the content.
    size : int
        Bytes.
    recipe : str
        Digest of the recipe that made it.
    made_by : str
        Version of hst_assets that made it.
    verified : {"by checksum", "by size"}
        How it was compared after it was sent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    recipe: str
    made_by: str
    verified: Verified

    @field_validator("key")
    @classmethod
    def _own_object(cls, value: str) -> str:
        if not is_object(value):
            raise ValueError("not the name of an object of a publication")
        return value


class PublishedProduct(BaseModel):
    """One product with all its files.

    Attributes
    ----------
    recipe : str
        Digest of its recipe: the data version in Dagster.
    made, published : str
        When it was made, and when it was published so (ISO 8601, UTC).
    made_by : str
        Version of hst_assets that made it.
    files : dict
        By path, as in the work directory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    made: str
    published: str
    made_by: str
    files: dict[str, PublishedFile]

    @property
    def contents(self) -> dict[str, str]:
        """SHA-256 by path, without records: what distinguishes versions of a product."""
        return {
            path: file.sha256
            for path, file in sorted(self.files.items())
            if not path.endswith(".provenance.json")
        }


class Manifest(BaseModel):
    """All that is published of one target.

    Attributes
    ----------
    format : int
        Number of this format of manifests.
    target : str
        Its name.
    written : str
        When it was written (ISO 8601, UTC).
    hst_assets : str
        The version that wrote it.
    products : dict
        By asset; of a visit's, ``asset/visit``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    target: str
    written: str
    hst_assets: str
    products: dict[str, PublishedProduct]

    def objects(self) -> frozenset[str]:
        """The objects that it names."""
        return frozenset(file.key for _, file in self.all_files())

    def all_files(self) -> Iterator[tuple[str, PublishedFile]]:
        """Every file with its path, product by product."""
        for product in self.products.values():
            yield from product.files.items()

    def as_json(self) -> bytes:
        """As it is written."""
        text = json.dumps(self.model_dump(), indent=1, allow_nan=False)
        return text.encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes, where: object) -> Manifest:
        """The manifest that was written.

        Raises
        ------
        UnusableInput
            If it is none, or of a later format: what others put there is not overwritten.
        """
        try:
            parsed: Any = json.loads(content)
            return cls.model_validate(parsed)
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except ValueError as error:
            reason = str(error)
        raise UnusableInput(
            f"this is no manifest that this version of hst_assets can read ({reason})",
            where=where,
            next_step="Publish to another prefix, or use the version that wrote it. If it is "
            "damaged, remove it and run 'hst-assets publish TARGET --check': it is written again "
            "from the receipt in the work directory",
        )

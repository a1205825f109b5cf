"""The receipt of a publication in the work directory, and what of the target is published by it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hst_assets.failures import UnusableInput
from hst_assets.publishing.manifest import Manifest, is_object
from hst_assets.publishing.selection import LocalProduct, local_products
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["Publication", "objects_left", "publications", "read_receipt", "write_receipt"]

#: How a product is published: in the local version; in another version; not at all; or it is not
#: published now because the local one is damaged or not finished.
Publication = Literal["published", "out of date", "not published", "not fit"]


def write_receipt(
    workdir: WorkDir, manifest: Manifest, destination: str, *, left: Sequence[str] = ()
) -> None:
    """Note what was published, where, and which superseded objects could not be removed there."""
    content = {"destination": destination, "manifest": manifest.model_dump(), "left": list(left)}
    with write_atomically(workdir.published) as part:
        part.write_text(json.dumps(content, indent=1, allow_nan=False))


def read_receipt(workdir: WorkDir, destination: str) -> Manifest | None:
    """What was published at a destination last; None if nothing was, or it cannot be read.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    destination : str
        As the settings name it.
    """
    try:
        manifest = _content(workdir, destination)["manifest"]
        return Manifest.parse(json.dumps(manifest).encode(), workdir.published)
    except (KeyError, UnusableInput):
        return None  # the next publication writes it again


def objects_left(workdir: WorkDir, destination: str) -> frozenset[str]:
    """Superseded objects that the last publication could not remove there."""
    left = _content(workdir, destination).get("left")
    return frozenset(filter(is_object, left)) if isinstance(left, list) else frozenset()


def _content(workdir: WorkDir, destination: str) -> dict[str, Any]:
    """The receipt for a destination; empty where there is none that can be read."""
    try:
        content = json.loads(workdir.published.read_bytes())
    except (OSError, ValueError):
        return {}
    is_of_it = isinstance(content, dict) and content.get("destination") == destination
    return content if is_of_it else {}


def publications(workdir: WorkDir, settings: Settings) -> Mapping[str, Publication]:
    """How each product of a target is published, by the last receipt; the store is not asked.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    settings : Settings
        Section publish.

    Returns
    -------
    mapping
        By asset; of a visit's, ``asset/visit``. Products that were neither made nor published are
        left out, and all are where no destination is set.

    Raises
    ------
    MissingProduct
        If the choice of the reference cannot be read.
    """
    if not settings.publish.destination:
        return {}
    receipt = read_receipt(workdir, settings.publish.destination)
    found = {each.key: _of_one(each, receipt) for each in local_products(workdir)}
    return {key: state for key, state in found.items() if state is not None}


def _of_one(product: LocalProduct, receipt: Manifest | None) -> Publication | None:
    sent = receipt.products.get(product.key) if receipt else None
    if product.problem:
        return "not fit"
    if product.record is None:
        return "out of date" if sent else None
    if sent is None:
        return "not published"
    same = sent.recipe == product.record.digest and sent.contents == product.contents
    return "published" if same else "out of date"

"""The publication of a target: its products are sent, and the manifest that names them written.

It is made by recipe like any other product. What is there already with the right checksum is not
sent again, so that a run that was killed is continued by the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hst_assets.digests import digest_of
from hst_assets.failures import BadConfiguration, MissingProduct
from hst_assets.progress import Progress
from hst_assets.provenance import (
    Made,
    Recipe,
    Result,
    make,
    read_record,
    tool_version,
    why_make,
)
from hst_assets.publishing.manifest import (
    MANIFEST_NAME,
    OBJECTS,
    Manifest,
    PublishedFile,
    PublishedProduct,
    Verified,
    is_object,
    object_key,
)
from hst_assets.publishing.receipt import objects_left, read_receipt, write_receipt
from hst_assets.publishing.selection import LocalFile, LocalProduct, local_products
from hst_assets.publishing.store import ChangedFile, Store, is_unfinished
from hst_assets.reasons import RETRIED
from hst_assets.settings import PublishSettings, Settings
from hst_assets.workdir import WorkDir

__all__ = ["STAGE", "destination_of", "make_published"]

logger = logging.getLogger(__name__)

STAGE = "published_products"
#: Of a digest of contents, enough to tell one from another.
_DIGITS = 16
_MEGABYTE = 1e6


def make_published(
    workdir: WorkDir,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Made:
    """Publish the finished products of a target.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its table of exposures must exist, the rest is published where it does.
    settings : Settings
        Section publish.
    redo : bool, optional
        Compare every object with what is here although nothing has changed, and send again what is
        not the same. Otherwise what the manifest calls verified is believed, if its size is right.
    progress : callable, optional
        Told how far it is.

    Returns
    -------
    Made
        Product: ``published.json``, the manifest as it was published. Facts: where, numbers of
        files and how they were verified, ``not_sent``, products that are not fit, with why, and
        ``lost``, those that are neither here nor there any more.

    Raises
    ------
    BadConfiguration
        If no destination is set, or there is no such place.
    MissingProduct
        If there is no table of exposures; if the manifest of the last publication is gone there,
        unless `redo`.
    AccessRefused, TransientFailure
        If the store denies access, or does not answer.
    UnusableInput
        If something else is where the manifest would be.
    """
    destination_of(workdir, settings)
    products = local_products(workdir)
    if not any(each.key == "target_exposures" and each.record for each in products):
        raise MissingProduct(
            "there is no table of exposures yet",
            where=workdir.target,
            next_step="Materialize target_exposures first",
        )
    recipe = Recipe(
        stage=STAGE,
        inputs={each.key: each.record.digest for each in products if each.record and each.is_fit},
        settings={
            "publish": settings.publish.as_recipe(),
            "files": {
                each.key: digest_of(each.contents)[:_DIGITS] for each in products if each.is_fit
            },
            "not_sent": {each.key: each.problem for each in products if each.problem},
        },
        defaults={"publish": PublishSettings().as_recipe()},
    )
    why = why_make(recipe, workdir.published, workdir, redo=redo)
    if not why and _is_incomplete(recipe, workdir):
        why = (RETRIED,)
    return make(
        recipe,
        workdir.published,
        workdir,
        lambda: _published(workdir, settings.publish, products, progress, anew=redo),
        reasons=why,
    )


def _is_incomplete(recipe: Recipe, workdir: WorkDir) -> bool:
    """Whether a product seemed fit, and was not when it came to sending it."""
    record = read_record(workdir.published)
    failures = record.facts.get("failures", {}) if record else {}
    return not failures.keys() <= recipe.settings["not_sent"].keys()


def destination_of(workdir: WorkDir, settings: Settings) -> str:
    """Where a target is published.

    Raises
    ------
    BadConfiguration
        If no destination is set.
    """
    if not settings.publish.destination:
        raise BadConfiguration(
            "no destination is set",
            where=workdir.target,
            next_step="Set it with 'hst-assets settings "
            f"{workdir.target} publish.destination=s3://BUCKET/PREFIX'",
        )
    return settings.publish.destination


def _published(
    workdir: WorkDir,
    settings: PublishSettings,
    products: Sequence[LocalProduct],
    progress: Callable[[Progress], None],
    *,
    anew: bool,
) -> Result:
    store = Store(
        f"{settings.destination.rstrip('/')}/{workdir.target}",
        read_back=settings.read_back,
        max_tries=settings.max_tries,
    )
    stored = _stored(store)
    receipt = read_receipt(workdir, settings.destination)
    if stored is None and receipt is not None and not anew:
        raise _lost(store)
    before = stored or receipt
    left = objects_left(workdir, settings.destination)
    sending = _Sending(workdir, store, before, store.sizes(), anew)
    total = sum(_size(each) for each in products if each.is_fit)
    for each in products:
        if each.is_fit:
            progress(Progress(each.key, sending.n_bytes_done / max(total, 1), "publishing"))
            sending.publish(each)
        elif each.problem:
            sending.not_sent[each.key] = each.problem
    for each in products:
        sending.take_back_if_remade(each)
    manifest = _manifest(workdir, sending)
    if stored is None or manifest.products != stored.products:
        store.write(MANIFEST_NAME, manifest.as_json())
    else:
        manifest = stored
    # A run that was killed after its manifest stood had a receipt of the one before.
    superseded = left | _superseded(manifest, before, receipt) | sending.new
    still_there, notes = _cleared(store, manifest, superseded)
    write_receipt(workdir, manifest, settings.destination, left=still_there)
    facts = _facts(store, manifest, sending)
    return Result(
        (workdir.published,), {**facts, "lost": _withdrawn(manifest, before), "notes": notes}
    )


def _stored(store: Store) -> Manifest | None:
    """The manifest that stands; None where there is none."""
    content = store.read(MANIFEST_NAME)
    return None if content is None else Manifest.parse(content, store.address(MANIFEST_NAME))


def _lost(store: Store) -> MissingProduct:
    """What is raised where something was published, and its manifest is gone."""
    return MissingProduct(
        "the manifest that was published here is gone, and with it what tells readers, and the "
        "next publication, which objects belong to it",
        where=store.address(MANIFEST_NAME),
        next_step="Run 'hst-assets publish TARGET --check' (or redo_publishing): it is written "
        "again from the receipt in the work directory, and every object is compared",
    )


def _size(product: LocalProduct) -> int:
    """Bytes of the files that a product was recorded with."""
    records = (product.record, *product.parts.values())
    return sum(stamp.size for each in records if each for stamp in each.outputs.values())


@dataclass
class _Sending:
    """One publication: what the store has, and what came of each product."""

    workdir: WorkDir
    store: Store
    before: Manifest | None
    sizes: Mapping[str, int]
    #: Whether objects that the manifest calls verified are compared once more.
    anew: bool
    published: dict[str, PublishedProduct] = field(default_factory=dict)
    not_sent: dict[str, str] = field(default_factory=dict)
    outside: list[str] = field(default_factory=list)
    #: Objects that were not there and were sent.
    new: set[str] = field(default_factory=set)
    n_sent: int = 0
    n_bytes_sent: int = 0
    n_bytes_done: int = 0

    def __post_init__(self) -> None:
        self._known = {file.key: file for _, file in self.before.all_files()} if self.before else {}

    def has(self, product: PublishedProduct) -> bool:
        """Whether every object of a product that was published is there, by its size."""
        return all(self.sizes.get(file.key) == file.size for file in product.files.values())

    def publish(self, product: LocalProduct) -> None:
        """Send the files of a product that the store lacks; one that has changed is not sent."""
        assert product.record is not None
        try:
            files = {each.path: self._file(each) for each in product.files(self.workdir)}
        except (ChangedFile, FileNotFoundError) as error:
            told = str(error) if isinstance(error, ChangedFile) else f"file gone: {error.filename}"
            self._leave(product, told)
            return
        self.outside += [f"{product.key}: {name}" for name in product.outside]
        self.n_bytes_done += _size(product)
        made = PublishedProduct(
            recipe=product.record.digest,
            made=product.record.created,
            published=_now(),
            made_by=product.record.hst_assets,
            files=files,
        )
        former = self.before.products.get(product.key) if self.before else None
        if former and former.model_copy(update={"published": made.published}) == made:
            made = former
        self.published[product.key] = made

    def take_back_if_remade(self, product: LocalProduct) -> None:
        """Leave a product out that was made again meanwhile: its record fits the files no more."""
        if product.key in self.published and (record := product.remade(self.workdir)):
            del self.published[product.key]
            self._leave(product, f"made again while it was sent: {record}")

    def _leave(self, product: LocalProduct, why: str) -> None:
        logger.warning("%s is not published: %s", product.key, why)
        self.not_sent[product.key] = why

    def _file(self, local: LocalFile) -> PublishedFile:
        key = object_key(local.path, local.stamp.sha256)
        return PublishedFile(
            key=key,
            sha256=local.stamp.sha256,
            size=local.stamp.size,
            recipe=local.recipe,
            made_by=local.made_by,
            verified=self._there(local, key) or self._sent(local, key),
        )

    def _there(self, local: LocalFile, key: str) -> Verified | None:
        """How an object that is there already was verified; None if it is to be sent."""
        if self.sizes.get(key) != local.stamp.size:
            return None
        known = None if self.anew else self._known.get(key)
        if known and known.sha256 == local.stamp.sha256 and known.size == local.stamp.size:
            return known.verified
        path = self.workdir.absolute(local.path)
        return self.store.verified(path, key, local.stamp.sha256)

    def _sent(self, local: LocalFile, key: str) -> Verified:
        path = self.workdir.absolute(local.path)
        verified = self.store.send(path, key, local.stamp.sha256)
        self.n_sent += 1
        if key not in self.sizes:
            self.new.add(key)
        self.n_bytes_sent += local.stamp.size
        return verified


def _manifest(workdir: WorkDir, sending: _Sending) -> Manifest:
    """What is published now.

    A product that is gone here, or not fit, stays as it was published, if all of it is still there.
    """
    before = sending.before.products if sending.before else {}
    kept = {key: product for key, product in before.items() if sending.has(product)}
    return Manifest(
        target=workdir.target,
        written=_now(),
        hst_assets=tool_version("hst_assets"),
        products=dict(sorted({**kept, **sending.published}.items())),
    )


def _withdrawn(manifest: Manifest, before: Manifest | None) -> list[str]:
    """Products that are in the manifest no more: the store has lost them, and here they are not."""
    lost = before.products.keys() - manifest.products.keys() if before else ()
    return [
        f"{key}: the store has lost objects of it, and here it is gone or not fit: it is in the "
        "manifest no more"
        for key in sorted(lost)
    ]


def _superseded(manifest: Manifest, *former: Manifest | None) -> frozenset[str]:
    """The objects of products that are published in another version now.

    Of a product that the manifest no longer has, because some of its objects were lost, the others
    may be the only copies: they stay.
    """
    return frozenset(
        file.key
        for each in former
        if each is not None
        for product in manifest.products.keys() & each.products.keys()
        for file in each.products[product].files.values()
    ) - frozenset(manifest.objects())


def _cleared(store: Store, manifest: Manifest, superseded: Set[str]) -> tuple[list[str], list[str]]:
    """Remove what was published and is not any more, now that the new manifest stands.

    What no manifest of ours has named is not touched, but for what a killed run was writing.

    Returns
    -------
    left, notes : list of str
        Objects that could not be removed, and what is to be said.
    """
    named = manifest.objects()
    there = store.sizes().keys() - named
    problems = store.remove(sorted(key for key in there if key in superseded or is_unfinished(key)))
    notes = store.forget_unfinished(f"{OBJECTS}/")
    left = sorted(superseded & store.sizes().keys() - named) if problems else []
    if problems:
        notes.append(f"{len(problems)} superseded objects are still there: {problems[0]}")
    unknown = sorted(key for key in there - superseded if is_object(key))
    if unknown:
        notes.append(f"{len(unknown)} objects that no manifest names were left: {unknown[0]}")
    return left, notes


def _facts(store: Store, manifest: Manifest, sending: _Sending) -> dict[str, Any]:
    files = [file for _, file in manifest.all_files()]
    kept = sorted(manifest.products.keys() - sending.published.keys())
    return {
        "destination": store.url,
        "n_products": len(manifest.products),
        "n_files": len(files),
        "size_mb": round(sum(file.size for file in files) / _MEGABYTE, 3),
        "n_sent": sending.n_sent,
        "sent_mb": round(sending.n_bytes_sent / _MEGABYTE, 3),
        "n_by_checksum": sum(file.verified == "by checksum" for file in files),
        "n_by_size": sum(file.verified == "by size" for file in files),
        "not_sent": [f"{key}: {why}" for key, why in sorted(sending.not_sent.items())],
        # To sweeps: a product that was missing or had changed may be mended by now.
        "failures": dict.fromkeys(sorted(sending.not_sent), MissingProduct.__name__),
        "kept": kept,
        "outside": sending.outside,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""Digests of inputs, settings and code; the record beside each product; skip or run.

A product is skipped only if the recorded digest of *all* its inputs, settings, detector figures,
tools and code versions equals today's and its files are still the ones that were recorded. The
record is written last, after the products have their final names, so that a killed run leaves no
record and is done again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from hst_assets.detectors import Detector
from hst_assets.digests import digest_of, sha256_of_file
from hst_assets.failures import MissingProduct
from hst_assets.former_records import is_former, translated
from hst_assets.reasons import (
    FIRST,
    REDO,
    is_of_input,
    reasons_to_remake,
    shared_reasons,
    shortened,
)
from hst_assets.stages import code_versions, figures_read_by
from hst_assets.workdir import WorkDir, write_atomically

__all__ = [
    "FileStamp",
    "Made",
    "Recipe",
    "Record",
    "Result",
    "WouldBeMade",
    "digest_of",
    "former_digests",
    "make",
    "read_record",
    "reasons_of_parts",
    "sha256_of_file",
    "standing_record",
    "tool_version",
    "why_make",
    "why_without_record",
    "without_defaults",
]

logger = logging.getLogger(__name__)

#: Format of the records that are written; those of format 1 had no number.
FORMAT = 2


@cache
def tool_version(distribution: str) -> str:
    """The installed version of `distribution`, or ``"absent"``."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


def without_defaults(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from the defaults, table by table; empty tables are left out."""
    kept: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            known = defaults.get(key)
            inner = without_defaults(value, known if isinstance(known, Mapping) else {})
            if inner:
                kept[key] = inner
        elif key not in defaults or _as_json(value) != _as_json(defaults[key]):
            kept[key] = value
    return kept


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)  # 1, 1.0 and true are equal in Python only


@dataclass(frozen=True)
class Recipe:
    """All that decides what a product will be.

    Parameters
    ----------
    stage : str
        The step, such as ``"aligned_exposures"``.
    code_version : str
        Version of the step's own code; by default that of `hst_assets.stages.STAGES`.
    inputs : mapping
        Digest of each input by name. An input made by this project is named by its own recipe's
        digest, a foreign file by its SHA-256.
    settings : mapping
        The settings in force that matter to this step, as JSON; no others.
    tools : iterable of str
        Distributions whose version matters.
    defaults : mapping
        The same settings as they are by default. Values that are the default are not part of the
        digest, so that a new setting makes nothing again; a changed default is a change of code.
    detectors : sequence of Detector
        The detectors of the exposures; of each, the figures matter that this step reads
        (`hst_assets.stages.Stage.figures`).
    uses : tuple of str
        Other stages whose code works inside this one.
    former : str
        The digest by which a work directory from before format 2 knows this recipe; see
        `known_in`.
    """

    stage: str
    code_version: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    detectors: tuple[Detector, ...] = ()
    uses: tuple[str, ...] = ()
    former: str = ""

    def as_json(self) -> dict[str, Any]:
        """The recipe as a JSON object, tool versions resolved, defaults left out."""
        own = {self.stage: self.code_version} if self.code_version else code_versions([self.stage])
        return {
            "stage": self.stage,
            "code": {**own, **code_versions(self.uses)},
            "inputs": dict(self.inputs),
            "settings": without_defaults(self.settings, self.defaults),
            "detectors": {key: row for key, row in self._figures() if row},
            "tools": {name: tool_version(name) for name in sorted(self.tools)},
        }

    def _figures(self) -> Iterator[tuple[str, dict[str, Any]]]:
        names = figures_read_by((self.stage, *self.uses))
        for row in sorted(self.detectors, key=lambda row: row.key):
            yield row.key, row.figures(names)

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe, or the digest by which the work directory knows it."""
        return self.former or digest_of(self.as_json())

    def known_in(self, workdir: WorkDir) -> Recipe:
        """The recipe under the digest that this work directory knows it by.

        A product that was made before records had a format keeps its digest, in the names of
        inputs downstream, in headers and in Dagster, also when it is made again.
        """
        if self.former:
            return self
        return replace(self, former=former_digests(workdir).get(self.digest, ""))


class FileStamp(BaseModel):
    """What a file was when it was recorded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """Stamp a file as it is now."""
        status = path.stat()
        return cls(sha256=sha256_of_file(path), size=status.st_size, mtime_ns=status.st_mtime_ns)

    def matches(self, path: Path) -> bool:
        """Whether `path` still holds the recorded bytes.

        Size and modification time are believed when both agree; otherwise (a copied or restored
        work directory) the bytes are read.
        """
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        if status.st_size != self.size:
            return False
        return status.st_mtime_ns == self.mtime_ns or sha256_of_file(path) == self.sha256


class Record(BaseModel):
    """The provenance record that lies beside a product."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    digest: str
    recipe: dict[str, Any]
    #: All settings in force, those that the recipe leaves out because they are the defaults too.
    settings: dict[str, Any] = {}
    outputs: dict[str, FileStamp]
    facts: dict[str, Any]
    #: Why the product was made.
    reasons: tuple[str, ...] = ()
    created: str
    hst_assets: str

    @property
    def inputs(self) -> frozenset[str]:
        """The digests of the inputs."""
        return frozenset(self.recipe.get("inputs", {}).values())

    def whole(self, workdir: WorkDir) -> bool:
        """Whether every recorded file is still there, unchanged."""
        return not self.lost(workdir)

    def lost(self, workdir: WorkDir) -> tuple[str, ...]:
        """The recorded files that are gone or changed, in words."""
        return tuple(
            f"file {'changed' if workdir.absolute(name).is_file() else 'gone'}: {name}"
            for name, stamp in self.outputs.items()
            if not stamp.matches(workdir.absolute(name))
        )

    def paths(self, workdir: WorkDir) -> list[Path]:
        """The recorded files."""
        return [workdir.absolute(name) for name in self.outputs]


@dataclass(frozen=True)
class Result:
    """What a step made: files under their final names, and facts worth showing.

    `facts` must be JSON without NaN; a skipped step shows the facts of the run that made it.
    `parts` tells, of a step that makes many products and an index of them, why those were made
    that were made now.
    """

    outputs: tuple[Path, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """An existing product: its record, whether it was made just now, and why."""

    record: Record
    ran: bool
    reasons: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The recipe's digest: the data version."""
        return self.record.digest

    @property
    def facts(self) -> dict[str, Any]:
        """What the step reported when it ran."""
        return self.record.facts

    @property
    def why(self) -> str:
        """Why it was made, as one text; empty if it was not."""
        return shortened(self.reasons) if self.ran else ""


class WouldBeMade(Exception):
    """The answer of a work directory that is only looked at: a product would be made, and why.

    Attributes
    ----------
    stage : str
        Of the product.
    reasons : tuple of str
        Why it would be made.
    is_new : bool
        Whether it would be another version than the one that is there.
    digest : str
        Of its recipe.
    replaced : frozenset of str
        Digests in the record that is there, its own and those of its inputs, that the new one
        would not have: what names one of them would be made again as well.
    """

    def __init__(
        self,
        recipe: Recipe,
        reasons: Sequence[str],
        record: Record | None,
        *,
        retried: bool = False,
    ) -> None:
        stage = recipe.stage
        self.stage = stage
        self.reasons = tuple(reasons)
        self.digest = recipe.digest
        self.is_new = retried or record is None or record.digest != recipe.digest
        named = {record.digest, *record.inputs} if record else set()
        self.replaced = frozenset(named - {recipe.digest, *recipe.inputs.values()})
        super().__init__(f"{stage} would be made: {shortened(self.reasons)}")


def read_record(product: Path) -> Record | None:
    """The record beside `product`; None where there is none or it cannot be read.

    A record of the former format is translated; it keeps its digest, unless it cannot be known
    to be of today's code.
    """
    try:
        content = _content(product)
        if is_former(content):
            content = translated(content, product)
        return Record.model_validate(content)
    except (FileNotFoundError, ValueError):
        return None  # ValueError: what pydantic, json and UnicodeDecodeError derive from


def why_make(
    recipe: Recipe, product: Path, workdir: WorkDir, *, redo: bool = False
) -> tuple[str, ...]:
    """Why `product` is not what `recipe` makes; empty if it is, and its files are whole.

    Parameters
    ----------
    recipe : Recipe
        What the product is to be made from.
    product : `~pathlib.Path`
        The file beside which the record lies.
    workdir : WorkDir
        Where both lie.
    redo : bool, optional
        The user wants it made again.
    """
    recipe = recipe.known_in(workdir)
    record = read_record(product)
    if record is None:
        return (why_without_record(product, workdir),)
    changed: tuple[str, ...] = ()
    if record.digest != recipe.digest:
        changed = reasons_to_remake(
            record.recipe,
            recipe.as_json(),
            in_force_before=record.settings,
            in_force_now=recipe.settings,
        ) or ("its recipe has another form",)
    return (*changed, *record.lost(workdir), *((REDO,) if redo else ()))


def why_without_record(product: Path, workdir: WorkDir) -> str:
    """Why a product that `read_record` finds no record of is made."""
    record = WorkDir.record(product)
    if record.is_file():
        return f"record unreadable: {workdir.relative(record)}; it is made again"
    return "it has no record: it was not finished" if product.is_file() else FIRST


def standing_record(recipe: Recipe, product: Path, workdir: WorkDir) -> Record | None:
    """The record of `product` if it says that this recipe made it and its files are whole."""
    return None if why_make(recipe, product, workdir) else read_record(product)


def make(
    recipe: Recipe,
    product: Path,
    workdir: WorkDir,
    run: Callable[[], Result],
    *,
    redo: bool = False,
    reasons: Sequence[str] | None = None,
) -> Made:
    """Return `product` as it stands if its record says it is what `recipe` makes, else run.

    Parameters
    ----------
    recipe : Recipe
        What the product is to be made from.
    product : `~pathlib.Path`
        The file beside which the record lies.
    workdir : WorkDir
        Where both lie.
    run : callable
        Makes the product; called only when needed.
    redo : bool, optional
        Run whatever the record says.
    reasons : sequence of str, optional
        Why it is made, where that was found out before (`why_make`): it is made whatever the
        record says, unless there is no reason. By default the record is asked.

    Raises
    ------
    MissingProduct
        If `run` names an output that is not there.
    WouldBeMade
        Instead of running, if the work directory is only looked at.
    """
    recipe = recipe.known_in(workdir)
    why = why_make(recipe, product, workdir, redo=redo) if reasons is None else tuple(reasons)
    if not why and not redo:
        standing = read_record(product)
        if standing is not None:
            return Made(standing, ran=False)
    if workdir.looked_at:
        raise WouldBeMade(recipe, why, read_record(product))
    WorkDir.record(product).unlink(missing_ok=True)
    result = run()
    why = reasons_of_parts(result.parts, why)
    logger.info("%s: made (%s)", product.name, shortened(why))
    return Made(_commit(recipe, product, workdir, result, why), ran=True, reasons=why)


def reasons_of_parts(parts: Mapping[str, Sequence[str]], own: Sequence[str]) -> tuple[str, ...]:
    """Why an index was made: what made its parts, in place of "input changed".

    Parameters
    ----------
    parts : mapping
        Why each part was made, of those that were made now.
    own : sequence of str
        Why the index itself was made.
    """
    if not parts:
        return tuple(own)
    of_parts = shared_reasons(parts)
    mine = [
        reason
        for reason in own
        if reason not in (*of_parts, REDO) and not is_of_input(reason) and not _is_of_file(reason)
    ]
    return (*of_parts, *mine)


def _is_of_file(reason: str) -> bool:
    return reason.startswith(("file gone: ", "file changed: "))


def _commit(
    recipe: Recipe, product: Path, workdir: WorkDir, result: Result, reasons: tuple[str, ...]
) -> Record:
    record = Record(
        digest=recipe.digest,
        recipe=recipe.as_json(),
        settings=dict(recipe.settings),
        outputs=_stamps(result.outputs, workdir),
        facts=dict(result.facts),
        reasons=reasons,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        hst_assets=tool_version("hst_assets"),
    )
    _write_record(record, product)
    return record


def _write_record(record: Record, product: Path) -> None:
    with write_atomically(WorkDir.record(product)) as part:
        part.write_text(json.dumps(record.model_dump(), indent=1, allow_nan=False))


def _stamps(outputs: Iterable[Path], workdir: WorkDir) -> dict[str, FileStamp]:
    stamps = {}
    for path in outputs:
        if not path.is_file():
            raise MissingProduct("the step reported this file but did not leave it", where=path)
        stamps[workdir.relative(path)] = FileStamp.of(path)
    return stamps


# --------------------------------------------------------------------------- former records


def former_digests(workdir: WorkDir) -> Mapping[str, str]:
    """By the digest of a recipe, the one that it had before records had a format.

    They are gathered once for each work directory, while all its records are there: a product
    whose record is lost later is still known by its digest downstream.
    """
    ledger = workdir.former_digests
    try:
        status = ledger.stat()
    except FileNotFoundError:
        if workdir.looked_at:
            return _former_as_they_are(workdir, tuple(_moments_of_records(workdir)))
        _adopt(workdir)
        status = ledger.stat()
    return _read_former_digests(ledger, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _former_as_they_are(
    workdir: WorkDir, moments: tuple[tuple[Path, int], ...]
) -> Mapping[str, str]:
    """The same where nothing may be written: read once, and not for each recipe."""
    del moments  # they tell one state of the records from another
    return _former(workdir)[0]


@lru_cache(maxsize=16)
def _read_former_digests(ledger: Path, mtime_ns: int, size: int) -> Mapping[str, str]:
    del mtime_ns, size  # they tell one state of the file from another
    try:
        found: dict[str, str] = json.loads(ledger.read_text())["digests"]
    except (ValueError, KeyError, TypeError) as error:
        raise MissingProduct(
            f"the digests of former records cannot be read: {error}",
            where=ledger,
            next_step="Remove this file; it is written again from the records",
        ) from error
    return found


def _adopt(workdir: WorkDir) -> None:
    """Write all records of the former format anew, and note the digests that they keep."""
    with workdir.lock("records"):
        if workdir.former_digests.is_file():
            return  # another process was faster
        digests, renewed = _former(workdir)
        for product, record in renewed.items():
            _write_record(record, product)
        if digests:
            logger.info("%s: %d records of the former format are adopted", workdir, len(digests))
        with write_atomically(workdir.former_digests) as part:
            part.write_text(json.dumps({"format": FORMAT, "digests": digests}, indent=1))


def _former(workdir: WorkDir) -> tuple[dict[str, str], dict[Path, Record]]:
    """The digests that former records keep, and the records that are to be written anew."""
    records = {product: read_record(product) for product in _recorded_products(workdir)}
    former = {product: _written_digest(product) for product, each in records.items() if each}
    # A digest that also stands for what cannot be known to be right is kept by nothing.
    doubtful = {
        former[product]
        for product, each in records.items()
        if each and each.digest != former[product]
    }
    digests: dict[str, str] = {}
    renewed: dict[Path, Record] = {}
    for product, record in records.items():
        if record is None:
            continue
        current = digest_of(record.recipe)
        digest = current if former[product] in doubtful else record.digest
        if digest != current:
            digests[current] = digest
        if digest != former[product] or is_former(_content(product)):
            renewed[product] = record.model_copy(update={"digest": digest})
    return digests, renewed


def _content(product: Path) -> Any:
    return json.loads(WorkDir.record(product).read_bytes())


def _written_digest(product: Path) -> str:
    return str(_content(product)["digest"])


def _moments_of_records(workdir: WorkDir) -> Iterator[tuple[Path, int]]:
    """When the record of each product was written."""
    for product in _recorded_products(workdir):
        with suppress(FileNotFoundError):  # a run is about to make it anew
            yield product, WorkDir.record(product).stat().st_mtime_ns


def _recorded_products(workdir: WorkDir) -> Iterable[Path]:
    ending = WorkDir.record(Path("x")).name.removeprefix("x")
    for folder in (workdir.base, workdir.workspace, workdir.drizzle):
        for note in sorted(folder.glob(f"*{ending}")):
            yield note.with_name(note.name.removesuffix(ending))

"""What a product was made from: exposures, settings, tools, stages and verdicts, down to raw files.

Records name their inputs by digest. Followed through the records of the work directory, they lead
from any product to the verified exposures and their checksums. Nothing is decided here, and nothing
compared with today's settings: that is what ``hst-assets status`` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hst_assets.exposures.raw import RawFile, fault_of, raw_ledger
from hst_assets.failures import BadConfiguration
from hst_assets.provenance import Record, read_record, without_defaults
from hst_assets.workdir import WorkDir

__all__ = ["Lineage", "Origin", "lineage_of", "verdict_of"]

Kind = Literal["product", "raw file", "unknown"]

_RECORD_SUFFIX = WorkDir.record(Path("x")).name.removeprefix("x")
#: Facts of a record that are a verdict, with the words for it; told where they are not empty.
_VERDICTS = {
    "failed": "failed",
    "problems": "problems",
    "complaints": "complaints",
    "not_checked": "not checked",
    "not_passed": "did not pass",
    "unusual_stars": "unusual stars",
    "left_out": "left out",
    "refusals": "rejected",
    "rejected": "rejected",
    "not_scaled": "not scaled",
}
_COUNTS = ("n_used", "n_exposures")
_UNKNOWN = (
    "no record and no raw file of this work directory has this digest: it was remade since, or "
    "comes from elsewhere"
)


@dataclass(frozen=True)
class Origin:
    """One thing that a product was made from, or the product itself.

    Attributes
    ----------
    kind : str
        A product with a record, a verified exposure, or neither.
    name : str
        Its file, relative to the work directory; of what is unknown, as the record calls it.
    digest : str
        Of its recipe; of a raw file, its SHA-256.
    stage : str
        The step that made it.
    code, tools : mapping
        Versions of the stages' code, and of the tools.
    settings : mapping
        What was set for it and is not the default.
    verdict : str
        What the step said of it; empty if nothing.
    fault : str
        Why its files are not as recorded; empty if they are.
    made_at, made_by : str
        When, and by which version of this package.
    inputs : mapping
        Name to the key, in `Lineage.origins`, of what it was made from.
    """

    kind: Kind
    name: str
    digest: str
    stage: str = ""
    code: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    verdict: str = ""
    fault: str = ""
    made_at: str = ""
    made_by: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lineage:
    """A product with everything that it was made from.

    Attributes
    ----------
    root : str
        Key of the product.
    origins : mapping
        All of them by key, the product first; each once, however often it is used.
    """

    root: str
    origins: Mapping[str, Origin]

    @property
    def raw_files(self) -> tuple[Origin, ...]:
        """The verified files at its ends, by name."""
        found = [each for each in self.origins.values() if each.kind == "raw file"]
        return tuple(sorted(found, key=lambda each: each.name))

    def as_json(self) -> dict[str, Any]:
        """The whole as plain values."""
        return {
            "product": self.root,
            "raw_files": {each.name: each.digest for each in self.raw_files},
            "origins": {
                key: {name: value for name, value in vars(each).items() if value}
                for key, each in self.origins.items()
            },
        }


def lineage_of(path: Path) -> Lineage:
    """Follow the records from a file to the exposures.

    Parameters
    ----------
    path : `~pathlib.Path`
        A product, its record, another file that a record names (a preview, a picture), or a raw
        exposure; of a symbolic link, what it names itself.

    Raises
    ------
    BadConfiguration
        If it is in no work directory, is not there, or no record names it.
    """
    path = path.parent.resolve() / path.name
    workdir = _workdir_of(path)
    known = _Known(workdir)
    name = workdir.relative(path.with_name(path.name.removesuffix(_RECORD_SUFFIX)))
    product = known.product_that_has(name)
    if product is not None:
        return _followed(known, known.product(product))
    for file in known.raw:
        if name == workdir.relative(workdir.raw / file.name):
            origin = known.raw_file(file)
            return Lineage(origin.name, {origin.name: origin})
    if not path.exists():
        raise BadConfiguration(
            "there is no such file, and no record names it",
            where=path,
            next_step=f"'hst-assets status {workdir.target}' lists the products",
        )
    raise BadConfiguration(
        "this is no product: no record names it",
        where=path,
        next_step="It was written by hand or by a tool, or its step was not finished; "
        f"'hst-assets status {workdir.target}' lists the products",
    )


def _workdir_of(path: Path) -> WorkDir:
    for folder in path.parents:
        workdir = (
            WorkDir(folder.parent, folder.name) if (folder / "target.toml").is_file() else None
        )
        if workdir is not None:
            return workdir
    raise BadConfiguration(
        "this is in no work directory of a target",
        where=path,
        next_step="Name a file below <root>/<target>/",
    )


def verdict_of(record: Record) -> str:
    """What a step said of its product, in a line."""
    facts = record.facts
    parts = []
    if isinstance(status := facts.get("status"), str):
        parts.append(": ".join(filter(None, (status, str(facts.get("reason") or "")))))
        numbers = facts.get("numbers") or {}
        if numbers.get("n_matches"):
            known = (numbers.get(axis) for axis in ("rms_x", "rms_y"))
            rms = ", ".join("-" if one is None else f"{one:.3f}" for one in known)
            parts.append(f"{numbers['n_matches']} stars, RMS {rms} px")
    used, total = (facts.get(name) for name in _COUNTS)
    if isinstance(used, int) and isinstance(total, int):
        parts.append(f"{used} of {total} exposures used")
    parts += [
        f"{words}: {_listed(facts[key])}" for key, words in _VERDICTS.items() if facts.get(key)
    ]
    return "; ".join(parts)


def _listed(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {each}" for key, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value)


class _Known:
    """What a work directory has: records by their products and digests, and verified files."""

    def __init__(self, workdir: WorkDir) -> None:
        self.workdir = workdir
        self.records = dict(_records(workdir))
        self.raw = raw_ledger(workdir)
        self._by_digest: dict[str, list[str]] = {}
        for name, record in self.records.items():
            self._by_digest.setdefault(record.digest, []).append(name)

    def product_that_has(self, name: str) -> str | None:
        """The product of this name, or that of whose files it is one."""
        if name in self.records:
            return name
        # Indexes name the files of their parts as well: the part's own record comes first.
        owners = [each for each, record in self.records.items() if name in record.outputs]
        return min(owners, key=lambda each: len(self.records[each].outputs), default=None)

    def named(self, name: str, digest: str) -> Origin:
        """What a record calls `name` and knows by its digest."""
        if products := self._by_digest.get(digest):
            namesakes = [each for each in products if Path(each).name == name]
            return self.product((namesakes or sorted(products))[0])
        if files := [file for file in self.raw if file.sha256 == digest]:
            wanted = name.removeprefix("raw:")  # of two copies, the one that the record means
            alike = [file for file in files if wanted in (file.name, file.rootname)]
            return self.raw_file((alike or files)[0])
        return Origin("unknown", name, digest, fault=_UNKNOWN)

    def product(self, name: str) -> Origin:
        record = self.records[name]
        return Origin(
            "product",
            name,
            record.digest,
            stage=str(record.recipe["stage"]),
            code=record.recipe.get("code", {}),
            tools=record.recipe.get("tools", {}),
            settings=without_defaults(record.recipe.get("settings", {}), {}),
            verdict=verdict_of(record),
            fault="; ".join(record.lost(self.workdir)),
            made_at=record.created,
            made_by=record.hst_assets,
            inputs=record.recipe.get("inputs", {}),
        )

    def raw_file(self, file: RawFile) -> Origin:
        path = self.workdir.raw / file.name
        return Origin(
            "raw file",
            self.workdir.relative(path),
            file.sha256,
            fault=fault_of(path, file) or "",
        )


def _records(workdir: WorkDir) -> Iterator[tuple[str, Record]]:
    for note in sorted(workdir.base.rglob(f"*{_RECORD_SUFFIX}")):
        product = note.with_name(note.name.removesuffix(_RECORD_SUFFIX))
        record = None if workdir.runfiles in note.parents else read_record(product)
        if record is not None:
            yield workdir.relative(product), record


def _followed(known: _Known, root: Origin) -> Lineage:
    origins: dict[str, Origin] = {}

    def take(origin: Origin) -> str:
        key = origin.name if origin.kind != "unknown" else f"{origin.name} ({origin.digest[:12]})"
        if key not in origins:
            origins[key] = origin  # its place; records cannot name each other in a circle
            named = {
                name: take(known.named(name, digest)) for name, digest in origin.inputs.items()
            }
            origins[key] = replace(origin, inputs=named)
        return key

    return Lineage(take(root), origins)

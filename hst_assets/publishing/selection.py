"""Which products of a target are published, and whether each of them is fit for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from hst_assets.provenance import FileStamp, Record, read_record
from hst_assets.workdir import WorkDir

__all__ = [
    "PUBLISHED_OF_TARGET",
    "PUBLISHED_OF_VISIT",
    "LocalFile",
    "LocalProduct",
    "local_products",
    "product_key",
]

#: Asset to the property of `WorkDir` that is its product, of what a target has once.
PUBLISHED_OF_TARGET: Mapping[str, str] = MappingProxyType(
    {
        "target_exposures": "target_exposures",
        "target_alignment": "target_alignment",
        "reference_image": "reference_product",
        "drizzled_stacks": "stack_products",
        "epoch_differences": "difference_products",
        "colour_images": "colour_images",
        "dolphot_catalog": "star_catalog",
        "artificial_stars": "completeness",
        "light_curve": "light_curve",
        "counterpart": "counterpart",
        "hap_mosaics": "hap_mosaics",
        "target_report": "report",
    }
)
#: The same for the methods of what each visit has.
PUBLISHED_OF_VISIT: Mapping[str, str] = MappingProxyType(
    {
        "hap_filter_products": "hap_filter_products",
        "hap_exposure_products": "hap_exposure_products",
        "hap_total_products": "hap_total_products",
        "hap_point_catalogs": "hap_point_catalogs",
        "hap_segment_catalogs": "hap_segment_catalogs",
        "hap_quality": "hap_quality",
        "hap_manifest": "hap_manifest",
        "hap_page": "hap_page",
    }
)


@dataclass(frozen=True)
class LocalFile:
    """A file of a product.

    Attributes
    ----------
    path : str
        Relative to the work directory.
    stamp : FileStamp
        What it was when it was recorded; of a record itself, what it is.
    recipe : str
        Digest of the recipe that made it; of an index's part, the part's own.
    made_by : str
        Version of hst_assets that made it.
    """

    path: str
    stamp: FileStamp
    recipe: str
    made_by: str


@dataclass(frozen=True)
class LocalProduct:
    """A product of the work directory as it is.

    Attributes
    ----------
    key : str
        The asset's name; of a visit's, ``asset/visit``.
    path : `~pathlib.Path`
        The product itself; its record lies beside it.
    record : Record or None
        None if it was not made, or not finished.
    problem : str
        Why it is not published, in words; empty if it is, or was not made.
    outside : tuple of str
        Files of it that are outside of the work directory: the user's own, not published.
    parts : mapping
        The records of the products that it lists, by path.
    notes : mapping
        What the files of these records and its own were when they were read, by path.
    """

    key: str
    path: Path
    record: Record | None = None
    problem: str = ""
    outside: tuple[str, ...] = ()
    parts: Mapping[str, Record] = field(default_factory=dict)
    notes: Mapping[str, FileStamp] = field(default_factory=dict)

    @property
    def is_fit(self) -> bool:
        """Whether it was made, and its files are as they were recorded."""
        return self.record is not None and not self.problem

    @property
    def contents(self) -> dict[str, str]:
        """SHA-256 of each file that is published, records left out, by path."""
        return {path: stamp.sha256 for path, (stamp, _) in sorted(self._recorded().items())}

    def files(self, workdir: WorkDir) -> Iterator[LocalFile]:
        """Its files, and behind them their records: all as they were when it was looked at."""
        assert self.record is not None
        for path, (stamp, owner) in sorted(self._recorded().items()):
            yield LocalFile(path, stamp, owner.digest, owner.hst_assets)
        records = {workdir.relative(self.path): self.record, **self.parts}
        for product, owner in sorted(records.items()):
            note = workdir.relative(WorkDir.record(workdir.absolute(product)))
            yield LocalFile(note, self.notes[note], owner.digest, owner.hst_assets)

    def remade(self, workdir: WorkDir) -> str:
        """A record that is another by now, or gone; empty if it is as it was looked at."""
        return next(
            (
                name
                for name, stamp in sorted(self.notes.items())
                if not stamp.matches(workdir.absolute(name))
            ),
            "",
        )

    def _recorded(self) -> dict[str, tuple[FileStamp, Record]]:
        """The recorded files; one of a part belongs to the part."""
        assert self.record is not None
        found: dict[str, tuple[FileStamp, Record]] = {}
        for owner in (self.record, *self.parts.values()):
            found |= {path: (stamp, owner) for path, stamp in owner.outputs.items()}
        return {path: each for path, each in found.items() if path not in self.outside}


def product_key(asset: str, visit: str | None = None) -> str:
    """How a product is named in manifests: by its asset, with the visit if it is of one."""
    return f"{asset}/{visit}" if visit else asset


def local_products(workdir: WorkDir) -> list[LocalProduct]:
    """Every product that is published if it is there, whether it is or not.

    Parameters
    ----------
    workdir : WorkDir
        The target's.

    Raises
    ------
    MissingProduct
        If the choice of the reference cannot be read.
    """
    from hst_assets.exposures.raw import visits_in

    paths = {asset: getattr(workdir, name) for asset, name in PUBLISHED_OF_TARGET.items()}
    for visit in visits_in(workdir):
        for asset, name in PUBLISHED_OF_VISIT.items():
            paths[product_key(asset, visit)] = getattr(workdir, name)(visit)
    return [_looked_at(key, path, workdir) for key, path in paths.items()]


def _looked_at(key: str, path: Path, workdir: WorkDir) -> LocalProduct:
    own = _noted(path)
    if own is None:
        problem = "it was not finished" if _is_left(path) else ""
        return LocalProduct(key, path, problem=problem)
    record, stamp = own
    parts = {
        name: part
        for name in record.outputs
        if workdir.absolute(name) != path and (part := _noted(workdir.absolute(name))) is not None
    }
    records = [record, *(part for part, _ in parts.values())]
    lost = [text for each in records for text in each.lost(workdir)]
    named = [name for each in records for name in each.outputs]
    stamps = {path: stamp, **{workdir.absolute(name): each for name, (_, each) in parts.items()}}
    return LocalProduct(
        key,
        path,
        record,
        problem="; ".join(dict.fromkeys(lost)),
        outside=tuple(name for name in named if not _is_inside(name)),
        parts={name: part for name, (part, _) in parts.items()},
        notes={workdir.relative(WorkDir.record(product)): each for product, each in stamps.items()},
    )


def _noted(product: Path) -> tuple[Record, FileStamp] | None:
    """The record of a product, and what its file is; None where there is none."""
    try:
        # Before it is read: of one that is replaced in between, the stamp does not fit.
        stamp = FileStamp.of(WorkDir.record(product))
    except FileNotFoundError:
        return None
    record = read_record(product)
    return (record, stamp) if record else None


def _is_left(path: Path) -> bool:
    """Whether a product without a record that can be read has left something all the same."""
    # Of the reference, the choice stands before the image is made.
    return (path.is_file() and path.suffix != ".json") or WorkDir.record(path).is_file()


def _is_inside(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts

"""IO managers: which file of the work directory is which asset.

The tools write files, so most assets hand over the path of a product that stands already; the IO
manager then makes sure that it is the right path and that the file is whole. An asset may also
hand over a table, which is written atomically. On loading, a product that Dagster believes in but
that is gone from disk is an error that names the file.

No science and no layout belongs here: the layout is `hst_assets.workdir.WorkDir`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from hst_assets.failures import MissingProduct
from hst_assets.identifiers import VisitKey
from hst_assets.orchestration.resources import as_dagster_failure
from hst_assets.orchestration.target_roots import refuse_other_root
from hst_assets.orchestration.unchanged import leave_unrecorded
from hst_assets.provenance import read_record
from hst_assets.workdir import WorkDir, default_root, write_atomically

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["PRODUCTS", "WorkDirIOManager", "product_path"]


def _reference_image(workdir: WorkDir) -> Path:
    """The image that the recorded choice names.

    The choice itself stands for an image of the user's own, beside which nothing is written, and
    while nothing has been chosen.
    """
    try:
        choice = json.loads(workdir.reference_choice.read_text())
    except FileNotFoundError:
        return workdir.reference_choice
    return workdir.reference_choice if choice.get("user") else workdir.absolute(choice["image"])


_VISIT_PRODUCTS: dict[str, Callable[[WorkDir, str], Path]] = {
    "raw_exposures": WorkDir.raw_manifest,
    "exposure_table": WorkDir.visit_exposures,
    "aligned_exposures": WorkDir.visit_alignment,
    "epoch_drizzles": WorkDir.visit_products,
}
_TARGET_PRODUCTS: dict[str, Callable[[WorkDir], Path]] = {
    "archive_exposures": lambda workdir: workdir.archive_listing,
    "target_exposures": lambda workdir: workdir.target_exposures,
    "reference_image": _reference_image,
    "target_alignment": lambda workdir: workdir.target_alignment,
    "drizzled_stacks": lambda workdir: workdir.stack_products,
    "epoch_differences": lambda workdir: workdir.difference_products,
}

#: Every asset that is a file of the work directory.
PRODUCTS = frozenset(_VISIT_PRODUCTS) | frozenset(_TARGET_PRODUCTS)


def product_path(root: Path, asset: str, partition: str) -> Path:
    """The file of the work directory that is `asset` for `partition`."""
    if asset in _TARGET_PRODUCTS:
        return _TARGET_PRODUCTS[asset](WorkDir(root, partition))
    key = VisitKey.parse(partition)
    return _VISIT_PRODUCTS[asset](WorkDir(root, key.target), key.visit)


class WorkDirIOManager(dg.ConfigurableIOManagerFactory):
    """Makes the IO manager for one format.

    Parameters
    ----------
    root : str
        The folder of work directories; empty: ``$HST_ASSETS_ROOT``, or data/.
    format : {"ecsv", "hdf5", "fits"}
        How products are read and written. FITS products are passed by path.
    """

    root: str = Field(default="", description="Folder of work directories.")
    format: str = Field(description="ecsv, hdf5 or fits")

    def create_io_manager(self, context: dg.InitResourceContext) -> dg.IOManager:  # noqa: ARG002
        """Build the manager (called by Dagster)."""
        return _build(Path(self.root).absolute() if self.root else default_root(), self.format)


def _build(root: Path, file_format: str) -> dg.IOManager:
    # UPath is imported here: it is not needed to load the definitions.
    from upath import UPath

    return _FileManager(UPath(root), root, _FORMATS[file_format])


class _Format:
    """How one kind of file is read from and written to a path."""

    def __init__(
        self, read: Callable[[Path], Any], write: Callable[[Any, Path], None] | None
    ) -> None:
        self.read = read
        self.write = write


def _read_ecsv(path: Path) -> Any:
    from astropy.table import QTable

    return QTable.read(path, format="ascii.ecsv")


def _write_ecsv(table: Any, path: Path) -> None:
    table.write(path, format="ascii.ecsv")


def _read_hdf5(path: Path) -> Mapping[str, Any]:
    """All tables of the file, by name."""
    import h5py
    from astropy.table import QTable

    with h5py.File(path) as file:
        names: list[str] = []
        file.visititems(
            lambda name, node: (
                names.append(name)
                if isinstance(node, h5py.Dataset) and not name.endswith("__table_column_meta__")
                else None
            )
        )
    return {name: QTable.read(path, format="hdf5", path=name) for name in names}


def _write_hdf5(tables: Mapping[str, Any], path: Path) -> None:
    for number, (name, table) in enumerate(tables.items()):
        table.write(path, format="hdf5", path=name, serialize_meta=True, append=number > 0)


_FORMATS = {
    "ecsv": _Format(_read_ecsv, _write_ecsv),
    "hdf5": _Format(_read_hdf5, _write_hdf5),
    "fits": _Format(lambda path: path, None),
}


class _FileManager(dg.UPathIOManager):
    """Maps assets onto the work directory; see the module's docstring."""

    def __init__(self, base_path: UPath, root: Path, file_format: _Format) -> None:
        super().__init__(base_path)
        self._root = root
        self._format = file_format

    def get_path_for_partition(
        self,
        context: dg.InputContext | dg.OutputContext,
        path: UPath,  # noqa: ARG002 - Dagster's own guess at a path
        partition: str,
    ) -> UPath:
        """The asset's file in the work directory."""
        from upath import UPath

        with as_dagster_failure():
            return UPath(product_path(self._root, context.asset_key.path[-1], partition))

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store as `dump_to_path` does; what the instance knows already is not recorded anew."""
        super().handle_output(context, obj)
        leave_unrecorded(context)

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:
        """Accept a standing product, or write a table atomically."""
        destination = Path(str(path))
        with as_dagster_failure():
            if not isinstance(obj, Path):
                self._write(obj, destination)
            elif obj != destination:
                raise MissingProduct(f"{context.asset_key} belongs at {destination}", where=obj)
            _require_whole(destination)

    def _write(self, obj: Any, destination: Path) -> None:
        if self._format.write is None:
            raise MissingProduct("this asset is handed over by path", where=destination)
        with write_atomically(destination) as part:
            self._format.write(obj, part)

    def load_from_path(self, context: dg.InputContext, path: UPath) -> Any:
        """The product's path where the asset asks for a `~pathlib.Path`, else its content."""
        source = Path(str(path))
        with as_dagster_failure():
            workdir = WorkDir(self._root, _target_of(context))
            if not source.is_file():
                _refuse_other_root(context, workdir)
            _require_whole(source)
            _require_recorded_files(source, workdir)
            wants_path = context.dagster_type.typing_type is Path
            return source if wants_path else self._format.read(source)


def _target_of(context: dg.InputContext) -> str:
    return context.asset_partition_keys[0].partition("/")[0]


def _refuse_other_root(context: dg.InputContext, workdir: WorkDir) -> None:
    """A file that is "gone" may stand in another root."""
    try:
        instance = context.step_context.instance
    except dg.DagsterInvariantViolationError:
        return  # loaded outside a run
    refuse_other_root(instance, workdir)


def _require_whole(path: Path) -> None:
    if not path.is_file() or path.stat().st_size == 0:
        raise MissingProduct(
            "this product was materialized, but the file is gone",
            where=path,
            next_step="Materialize it again; everything before it that stands is kept",
        )


def _require_recorded_files(path: Path, workdir: WorkDir) -> None:
    """A table of products is worth nothing without the files that its record names."""
    record = read_record(path)
    for recorded in record.paths(workdir) if record else []:
        _require_whole(recorded)

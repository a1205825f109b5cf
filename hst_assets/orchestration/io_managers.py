"""The IO manager: which file of the work directory is which asset.

The tools write files, so an asset returns the path of a product that exists already; the IO manager
checks that it is the right path and that the file is complete. When it loads a product that was
never made, or that was made and is gone, it raises an error that says which of the two. An asset
gets the path. A caller that asks for another type (``defs.load_asset_value``) gets the content of a
table. A caller that asks for several partitions, such as a user's own asset over all visits, gets a
dict by partition key.

No science and no layout belongs here: the layout is `hst_assets.workdir.WorkDir`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import dagster as dg

from hst_assets.failures import MissingProduct
from hst_assets.orchestration.levels import AssetTable
from hst_assets.orchestration.resources import HstRoot, as_dagster_failure
from hst_assets.orchestration.target_roots import refuse_other_root
from hst_assets.orchestration.unchanged import leave_unrecorded
from hst_assets.provenance import read_record
from hst_assets.workdir import WorkDir

__all__ = ["WorkDirIOManager"]


class WorkDirIOManager(dg.IOManager):
    """Maps assets onto the work directories; see the module's docstring.

    Parameters
    ----------
    root : HstRoot
        The folder of work directories.
    table : AssetTable
        Which file is which asset.
    """

    def __init__(self, root: HstRoot, table: AssetTable) -> None:
        self._root = root
        self._table = table

    def handle_output(self, context: dg.OutputContext, obj: Path) -> None:
        """Accept a product that is there.

        Raises
        ------
        Failure
            If it has another path than the asset's, or is not complete (`as_dagster_failure`).
        """
        with as_dagster_failure():
            asset = context.asset_key.path[-1]
            destination = self._table.product_path(self._root.path, asset, context.partition_key)
            if obj != destination:
                raise MissingProduct(f"{asset} belongs at {destination}", where=obj)
            _require_whole(destination, otherwise="the step did not leave this product")
        context.add_output_metadata({"path": dg.MetadataValue.path(destination)})
        leave_unrecorded(context)

    def load_input(self, context: dg.InputContext) -> Any:
        """The product's path, or the content of a table where another type is asked for.

        Of several partitions (or none), a dict from partition key to that.
        """
        asked = context.dagster_type.typing_type
        wants_path = Path in (asked, *get_args(asked))
        asset = context.asset_key.path[-1]
        with as_dagster_failure():
            loaded = {
                key: self._loaded(context, asset, key, wants_path=wants_path)
                for key in context.asset_partition_keys
            }
        return next(iter(loaded.values())) if len(loaded) == 1 else loaded

    def _loaded(self, context: dg.InputContext, asset: str, key: str, *, wants_path: bool) -> Any:
        source = self._table.product_path(self._root.path, asset, key)
        workdir = WorkDir(self._root.path, key.partition("/")[0])
        if not source.is_file():
            _refuse_other_root(context, workdir)
            _refuse_never_made(asset, key, source)
        _require_whole(source)
        _require_recorded_files(source, workdir)
        return source if wants_path else _READERS.get(source.suffix, Path)(source)


def _read_ecsv(path: Path) -> Any:
    from astropy.table import QTable

    return QTable.read(path, format="ascii.ecsv")


def _read_hdf5(path: Path) -> Any:
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


_READERS: dict[str, Callable[[Path], Any]] = {".ecsv": _read_ecsv, ".h5": _read_hdf5}


def _refuse_other_root(context: dg.InputContext, workdir: WorkDir) -> None:
    """A file that is "gone" may stand in another root."""
    try:
        instance = context.step_context.instance
    except dg.DagsterInvariantViolationError:
        return  # loaded outside a run
    refuse_other_root(instance, workdir)


def _refuse_never_made(asset: str, key: str, path: Path) -> None:
    """A file that is not there may never have been: then it has no record."""
    if not WorkDir.record(path).is_file():
        target, _, visit = key.partition("/")
        of_visit = f" --visit {visit}" if visit else ""
        raise MissingProduct(
            f"never made: make {asset} first",
            where=key,
            next_step=f"Run 'hst-assets materialize {target} --select {asset}{of_visit}', or "
            "without --select, which makes all that is missing",
        )


def _require_whole(
    path: Path, *, otherwise: str = "this product was materialized, but the file is gone"
) -> None:
    if not path.is_file() or path.stat().st_size == 0:
        raise MissingProduct(
            otherwise,
            where=path,
            next_step="Materialize it again; everything before it that is up to date is kept",
        )


def _require_recorded_files(path: Path, workdir: WorkDir) -> None:
    """A table of products is worth nothing without the files that its record names."""
    record = read_record(path)
    for recorded in record.paths(workdir) if record else []:
        _require_whole(recorded)

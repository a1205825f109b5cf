"""Pictures and pages of the work directories, served by Dagster's web server itself.

Dagster's web server sends the files that the instance's compute log manager names, under
``/logs/``. That of an instance of hst_assets (``compute_logs`` in its ``dagster.yaml``) names
pictures and pages of targets as well: ``/logs/products/<target>/<path>/<ending>``. A link with
such an address works in any browser that shows the UI, through a tunnel too, and costs Dagster's
database nothing. It leads to the file as it is now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg

from hst_assets.failures import HstAssetsError
from hst_assets.identifiers import validate_target
from hst_assets.orchestration.dagster_private import LocalComputeLogManager
from hst_assets.orchestration.target_roots import root_of
from hst_assets.workdir import WorkDir

__all__ = ["ProductFiles", "address_of", "serves_products"]

_PRODUCTS = "products"
#: What a browser shows; nothing else of a work directory is sent.
_ENDINGS = frozenset({"png", "html"})
_MADE_IN_HOME = ""


class ProductFiles(LocalComputeLogManager):
    """Dagster's logs on the local disk, and pictures and pages of the work directories.

    Parameters
    ----------
    base_dir : str, optional
        Where Dagster's logs are; by default where Dagster has them by itself, in the instance's
        folder.
    **more : Any
        As `LocalComputeLogManager` takes them.
    """

    def __init__(self, base_dir: str = _MADE_IN_HOME, **more: Any) -> None:
        super().__init__(base_dir, **more)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The configuration of Dagster's own, without what it must have."""
        return {
            "base_dir": dg.Field(dg.StringSource, is_required=False),
            "polling_timeout": dg.Field(float, is_required=False),
        }

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> ProductFiles:
        """As Dagster makes it from ``dagster.yaml``."""
        return cls(inst_data=inst_data, **config_value)

    def register_instance(self, instance: dg.DagsterInstance) -> None:
        """Learn of the instance, whose folder has the logs if nothing else is configured."""
        super().register_instance(instance)
        if self._base_dir == _MADE_IN_HOME:
            self._base_dir = instance.storage_directory()

    def get_captured_local_path(
        self,
        log_key: Sequence[str],
        extension: str,
        partial: bool = False,  # noqa: FBT001, FBT002 - as Dagster calls it
    ) -> str:
        """The file of a log or of a work directory; empty for one that is not sent."""
        if log_key[0] == _PRODUCTS and len(log_key) > 2:
            path = self._product(log_key[1], log_key[2:], extension)
            return str(path) if path else ""
        found: str = super().get_captured_local_path(log_key, extension, partial)
        return found

    def _product(self, target: str, parts: Sequence[str], extension: str) -> Path | None:
        try:
            root = root_of(self._instance, validate_target(target))
        except HstAssetsError:
            return None
        if root is None or extension not in _ENDINGS:
            return None
        base = WorkDir(root, target).base.resolve()
        # After links and dots are followed: nothing outside the work directory is sent.
        path = base.joinpath(*parts[:-1], f"{parts[-1]}.{extension}").resolve()
        return path if base in path.parents and path.suffix == f".{extension}" else None


def serves_products(instance: dg.DagsterInstance) -> bool:
    """Whether the web server of an instance sends files of the work directories."""
    return isinstance(instance.compute_log_manager, ProductFiles)


def address_of(path: Path, workdir: WorkDir) -> str | None:
    """The address of a file below that of the UI; None for what is not sent.

    Parameters
    ----------
    path : `~pathlib.Path`
        A picture or page.
    workdir : WorkDir
        In which it is.
    """
    ending = path.suffix.removeprefix(".")
    if ending not in _ENDINGS or not path.is_relative_to(workdir.base):
        return None
    parts = [workdir.target, *path.relative_to(workdir.base).with_suffix("").parts, ending]
    return f"/logs/{_PRODUCTS}/" + "/".join(quote(part, safe="") for part in parts)

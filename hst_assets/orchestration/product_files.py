"""Pictures and pages of the work directories, served by Dagster's web server itself.

Dagster's web server sends the files that the instance's compute log manager names, under
``/logs/``. That of an instance of hst_assets (``compute_logs`` in its ``dagster.yaml``) names
pictures and pages of targets as well: ``/logs/products/<target>/<path>/<ending>``. A link with
such an address works in any browser that shows the UI, through a tunnel too, and costs Dagster's
database nothing. It leads to the file as it is now. A server that is called with ``--path-prefix``
has all its addresses below that: the instance says so by ``path_prefix``, for nothing else knows it
where a link is written.
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

__all__ = ["ProductFiles", "address_of", "prefix_of_products"]

_PRODUCTS = "products"
#: What a browser shows; nothing else of a work directory is sent.
_ENDINGS = frozenset({"png", "html"})
_MADE_IN_HOME = ""
#: What is sent in place of a report that is not made yet: links to it are written before.
_NO_REPORT = Path(__file__).with_name("no_report.html")


class ProductFiles(LocalComputeLogManager):
    """Dagster's logs on the local disk, and pictures and pages of the work directories.

    Parameters
    ----------
    base_dir : str, optional
        Where Dagster's logs are; by default where Dagster has them by itself, in the instance's
        folder.
    path_prefix : str, optional
        That of the web server (``dagster-webserver --path-prefix``); by default it has none.
    **more : Any
        As `LocalComputeLogManager` takes them.

    Attributes
    ----------
    path_prefix : str
        With a slash before it and none behind it; empty if there is none.
    """

    def __init__(self, base_dir: str = _MADE_IN_HOME, path_prefix: str = "", **more: Any) -> None:
        super().__init__(base_dir, **more)
        within = path_prefix.strip("/")
        self.path_prefix = f"/{within}" if within else ""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The configuration of Dagster's own, without what it must have."""
        return {
            "base_dir": dg.Field(dg.StringSource, is_required=False),
            "path_prefix": dg.Field(dg.StringSource, is_required=False),
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
        if path == base / WorkDir(root, target).report.name and not path.exists():
            return _NO_REPORT
        return path if base in path.parents and path.suffix == f".{extension}" else None


def prefix_of_products(instance: dg.DagsterInstance) -> str | None:
    """Below which address an instance's web server sends files of the work directories.

    Returns
    -------
    prefix : str or None
        Empty for a server without a prefix; None if it sends none of them.
    """
    manager = instance.compute_log_manager
    return manager.path_prefix if isinstance(manager, ProductFiles) else None


def address_of(path: Path, workdir: WorkDir, prefix: str = "") -> str | None:
    """The address of a file on the host of the UI; None for what is not sent.

    Parameters
    ----------
    path : `~pathlib.Path`
        A picture or page.
    workdir : WorkDir
        In which it is.
    prefix : str, optional
        Of all the server's addresses (`prefix_of_products`).
    """
    ending = path.suffix.removeprefix(".")
    if ending not in _ENDINGS or not path.is_relative_to(workdir.base):
        return None
    parts = [workdir.target, *path.relative_to(workdir.base).with_suffix("").parts, ending]
    return f"{prefix}/logs/{_PRODUCTS}/" + "/".join(quote(part, safe="") for part in parts)

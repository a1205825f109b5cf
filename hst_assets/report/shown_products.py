"""Which products a report shows, and why it lacks the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hst_assets.exposures.raw import visits_in
from hst_assets.provenance import Record, read_record
from hst_assets.workdir import WorkDir

__all__ = ["ShownProduct", "shown_products"]

_ABSENT = "not made: no run has made {name} yet ('hst-assets materialize {target}{more}')"
#: What runs make only where a setting wants it, or where it is asked for by name.
_BY_NAME = frozenset({"dolphot_catalog", "artificial_stars", "light_curve", "counterpart"})
_PATHS: dict[str, Callable[[WorkDir], Path]] = {
    "target_exposures": lambda workdir: workdir.target_exposures,
    "reference_image": lambda workdir: workdir.reference_product,
    "target_alignment": lambda workdir: workdir.target_alignment,
    "drizzled_stacks": lambda workdir: workdir.stack_products,
    "epoch_differences": lambda workdir: workdir.difference_products,
    "colour_images": lambda workdir: workdir.colour_images,
    "dolphot_catalog": lambda workdir: workdir.star_catalog,
    "artificial_stars": lambda workdir: workdir.completeness,
    "light_curve": lambda workdir: workdir.light_curve,
    "counterpart": lambda workdir: workdir.counterpart,
}


@dataclass(frozen=True)
class ShownProduct:
    """A product as it is.

    Attributes
    ----------
    name : str
        Of its asset; of a visit's, the visit follows.
    path : `~pathlib.Path`
        Its file.
    record : Record or None
        None if it was not made, or not finished.
    why_not : str
        Why it cannot be shown, in words; empty if it can.
    """

    name: str
    path: Path
    record: Record | None
    why_not: str


def shown_products(workdir: WorkDir) -> dict[str, ShownProduct]:
    """The products that a report shows, by the asset's name.

    Parameters
    ----------
    workdir : WorkDir
        The target's.

    Raises
    ------
    MissingProduct
        If the choice of the reference cannot be read.
    """
    paths = {name: path(workdir) for name, path in _PATHS.items()}
    for visit in visits_in(workdir):
        paths[f"aligned_exposures {visit}"] = workdir.visit_alignment(visit)
    return {name: _shown(name, path, workdir) for name, path in paths.items()}


def _shown(name: str, path: Path, workdir: WorkDir) -> ShownProduct:
    record = read_record(path)
    if record is None:
        if path.is_file():
            return ShownProduct(name, path, None, "not shown: it was not finished; rerun")
        more = f" --select {name}" if name in _BY_NAME else ""
        told = _ABSENT.format(name=name, target=workdir.target, more=more)
        return ShownProduct(name, path, None, told)
    lost = record.lost(workdir)
    told = f"not shown: {'; '.join(lost)}; rerun" if lost else ""
    return ShownProduct(name, path, record, told)

"""The tables of a visit's drizzled images, and what is looked at before one counts as made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits

from hst_assets.failures import HstAssetsError, ToolFailed
from hst_assets.hap.product_tree import ExposureNode, FilterNode, TotalNode
from hst_assets.products.columns import ColumnSpec, build_table, no_numbers, write_table
from hst_assets.provenance import Made, Result
from hst_assets.workdir import WorkDir

__all__ = ["IMAGE_COLUMNS", "Node", "image_facts", "write_image_index"]

Node = TotalNode | FilterNode | ExposureNode

IMAGE_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "Drizzled image; empty if it could not be made"),
    ColumnSpec("haplevel", "int64", "HAPLEVEL of its header"),
    ColumnSpec("detector", "str", "Detector, as file names have it"),
    ColumnSpec("filter", "str", "HAP's name of the filter; total: all filters"),
    ColumnSpec("n_exposures", "int64", "Exposures that were drizzled"),
    ColumnSpec("exptime", "float64", "EXPTIME of its header", u.s),
    ColumnSpec("n_x", "int64", "Columns of the image"),
    ColumnSpec("n_y", "int64", "Rows of the image"),
    ColumnSpec("covered", "float64", "Part of the pixels with a weight above 0"),
    ColumnSpec("wcsname", "str", "WCSNAME of the exposures"),
    ColumnSpec("footprint", "str", "Outline on the sky (S_REGION): POLYGON ICRS ra dec ..."),
    ColumnSpec("status", "str", "OK or FAIL"),
    ColumnSpec("reason", "str", "Why it failed"),
)
_EXTENSIONS = ("SCI", "WHT", "CTX")


def image_facts(path: Path, node: Node) -> dict[str, Any]:
    """What a drizzled image is, as far as its file tells.

    Parameters
    ----------
    path : Path
        The image.
    node : TotalNode or FilterNode or ExposureNode
        What it is to be.

    Raises
    ------
    ToolFailed
        If it lacks an extension, has another HAPLEVEL, or no pixel was exposed.
    """
    try:
        with fits.open(path) as hdus:
            lacking = [name for name in _EXTENSIONS if name not in hdus]
            if lacking:
                raise _not_whole(path, f"no extension {', '.join(lacking)}")
            header = hdus[0].header
            if header.get("HAPLEVEL") != node.haplevel:
                raise _not_whole(path, f"HAPLEVEL is {header.get('HAPLEVEL')}, not {node.haplevel}")
            covered = np.asarray(hdus["WHT"].data) > 0
            if not np.any(covered & np.isfinite(hdus["SCI"].data)):
                raise _not_whole(path, "no pixel was exposed")
            return {
                "file": path.name,
                "haplevel": int(header["HAPLEVEL"]),
                "n_exposures": int(header.get("NUMEXP", 0)),
                "exptime": float(header["EXPTIME"]),
                "n_x": covered.shape[1],
                "n_y": covered.shape[0],
                "covered": round(float(covered.mean()), 4),
                "wcsname": str(hdus["SCI"].header.get("WCSNAME", "")),
                "footprint": str(hdus["SCI"].header.get("S_REGION", "")),
            }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _not_whole(path, str(error)) from error


def _not_whole(path: Path, what: str) -> ToolFailed:
    return ToolFailed(
        f"drizzlepac left an image that is not whole: {what}",
        where=path.name,
        next_step="See the log of its piece",
    )


def write_image_index(
    index: Path,
    rows: Sequence[tuple[Node, dict[str, str], Made | HstAssetsError]],
    workdir: WorkDir,
    visit: str,
    *,
    is_empty: bool,
    **more: Any,
) -> Result:
    """Write the table of the images of a kind.

    Parameters
    ----------
    index : Path
        The table.
    rows : sequence of tuple
        Of each image what it is, its detector and filter, and the image or why it failed.
    workdir : WorkDir
        Of the target.
    visit : str
        The visit.
    is_empty : bool
        Whether no exposure of the visit is drizzled by plan.
    **more : object
        Further facts.
    """
    told: list[dict[str, Any]] = []
    outputs: list[Path] = []
    previews: list[str] = []
    for node, names, outcome in rows:
        if isinstance(outcome, HstAssetsError):
            told.append(_failed_row(node, names, outcome))
            continue
        told.append({**outcome.facts["image"], **names, "status": "OK", "reason": ""})
        outputs += outcome.record.paths(workdir)
        previews += outcome.facts.get("previews", [])
    meta = {"target": workdir.target, "visit": visit}
    write_table(build_table(IMAGE_COLUMNS, told, meta), index)
    failed = [
        f"{row['detector']} {row['filter']}: {row['reason']}" for row in told if row["reason"]
    ]
    facts: dict[str, Any] = {
        "n_products": len(told) - len(failed),
        "images": [_shown(row) for row in told if not row["reason"]],
        "failed": failed,
        "previews": previews,
        **more,
    }
    if is_empty:
        facts["note"] = "no exposure of the visit can be drizzled"
    return Result((index, *outputs), facts)


def _failed_row(node: Node, names: dict[str, str], error: HstAssetsError) -> dict[str, Any]:
    return {
        **no_numbers(IMAGE_COLUMNS),
        **names,
        "file": "",
        "haplevel": node.haplevel,
        "n_exposures": 0,
        "n_x": 0,
        "n_y": 0,
        "wcsname": "",
        "footprint": "",
        "status": "FAIL",
        "reason": error.brief,
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("file", "n_exposures", "exptime", "covered", "wcsname")}

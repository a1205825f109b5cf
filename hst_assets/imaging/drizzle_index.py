"""The table that lists the products of a visit or of a target, and what is shown of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u

from hst_assets.imaging.drizzle_batch import Failure
from hst_assets.imaging.index_table import IndexColumns
from hst_assets.imaging.plan import Product
from hst_assets.imaging.quality import judge
from hst_assets.provenance import Made
from hst_assets.settings import DrizzleSettings
from hst_assets.workdir import WorkDir

__all__ = ["facts_of", "row_of", "write_index"]


def row_of(
    product: Product, outcome: Made | Failure, workdir: WorkDir, choices: DrizzleSettings
) -> dict[str, Any]:
    """A product's row: what was made, or why it failed."""
    log = workdir.log("drizzle", product.label)
    row: dict[str, Any] = {
        "file": "",
        "band": product.band,
        "epoch": product.epoch,
        "status": "FAIL",
        "reason": "",
        "kind": "",
        "n_exposures": len(product.exposures),
        "digest": product.recipe.digest,
        "problems": "",
        "same_as": "",
        "log": workdir.relative(log) if log.is_file() else "",
    }
    if isinstance(outcome, Failure):
        return {**row, "reason": outcome.reason, "kind": outcome.kind}
    facts = outcome.facts
    problems = [*facts["complaints"], *judge(facts["bad_fraction"], facts["flux_ratio"], choices)]
    return {
        **row,
        **{name: facts.get(name) for name, _, _, _ in _COLUMNS.numbers},
        "n_exposures": len(facts["inputs"]),
        "file": workdir.relative(product.path),
        "status": "PROBLEM" if problems else "OK",
        "problems": "; ".join(problems),
        "same_as": facts.get("same_as", ""),
    }


_COLUMNS = IndexColumns(
    names=(
        ("file", "Product, relative to the work directory; empty if it failed"),
        ("band", "Detector and filter"),
    ),
    counts=(
        ("epoch", "Number of the epoch; 0: of a visit, or all epochs"),
        ("n_exposures", "Exposures combined"),
    ),
    numbers=(
        ("exptime_s", "exptime", u.s, "Total exposure time"),
        ("mjd_start", "mjd_start", u.day, "Start of the first exposure, MJD UTC"),
        ("mjd_end", "mjd_end", u.day, "End of the last exposure, MJD UTC"),
        ("ra_deg", "ra", u.deg, "Right ascension of the tangent point"),
        ("dec_deg", "dec", u.deg, "Declination of the tangent point"),
        ("scale_arcsec", "scale", u.arcsec, "Pixel scale"),
        ("nx", "nx", u.pix, "Width"),
        ("ny", "ny", u.pix, "Height"),
        ("sky_per_s", "sky", None, "Mean sky subtracted: native units per second and native pixel"),
        (
            "cosmic_ray_fraction",
            "cosmic_rays",
            None,
            "Share of native pixels rejected as cosmic rays",
        ),
        ("bad_fraction", "bad_fraction", None, "Share of the footprint without weight or value"),
        (
            "flux_ratio",
            "flux_ratio",
            None,
            "Star fluxes on the product over those on the exposures",
        ),
        ("n_flux_stars", "n_stars", None, "Stars that this ratio is from"),
    ),
    texts=(
        ("status", "OK, PROBLEM (a check failed; the product stands) or FAIL"),
        ("reason", "Why it failed"),
        ("problems", "Which checks failed"),
        ("same_as", "Product of the same exposures, of which this one is a link"),
        ("digest", "Digest of the recipe"),
        ("log", "What AstroDrizzle said; empty if it was never run for this product itself"),
    ),
)


def write_index(rows: Sequence[Mapping[str, Any]], path: Path, workdir: WorkDir) -> None:
    """Write the rows as ECSV; without rows, a table that describes its columns."""
    _COLUMNS.write(rows, path, {"target": workdir.target})


def facts_of(
    rows: Sequence[Mapping[str, Any]],
    previews: Sequence[Path],
    products: Sequence[Product],
    workdir: WorkDir,
) -> dict[str, Any]:
    """What is recorded and shown of all products: those that stand, and those that failed."""
    failed = [row for row in rows if row["status"] == "FAIL"]
    logs = [row["log"] for row in (*failed, *rows) if row["log"]]
    rootnames = {item.rootname for product in products for item in product.exposures}
    return {
        "n_products": len(rows) - len(failed),
        "n_exposures": len(rootnames),
        "products": [
            {
                "product": Path(row["file"]).name,
                "exposures": row["n_exposures"],
                "exptime_s": row["exptime_s"],
                "scale_arcsec": row["scale_arcsec"],
                "size": f"{row['nx']}\N{MULTIPLICATION SIGN}{row['ny']}",
                "sky": row["sky_per_s"],
                "flux_ratio": row["flux_ratio"],
                "problems": row["problems"],
            }
            for row in rows
            if row["status"] != "FAIL"
        ],
        "failed": [f"{_title(row)}: {row['reason']}" for row in failed],
        "failure_kinds": sorted({row["kind"] for row in failed}),
        "problems": [
            f"{Path(row['file']).name}: {row['problems']}" for row in rows if row["problems"]
        ],
        "previews": [workdir.relative(path) for path in previews],
        **({"log": logs[0]} if logs else {}),
    }


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['band']} epoch {row['epoch']}" if row["epoch"] else str(row["band"])

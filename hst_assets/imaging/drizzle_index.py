"""The table that lists the products of a visit or of a target, and what is shown of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u

from hst_assets.failures import HstAssetsError
from hst_assets.imaging.plan import Product
from hst_assets.imaging.quality import judge, not_compared
from hst_assets.products.columns import ColumnSpec, no_numbers
from hst_assets.provenance import Made
from hst_assets.settings import DrizzleSettings
from hst_assets.workdir import WorkDir

__all__ = ["DRIZZLE_COLUMNS", "facts_of", "row_of"]


DRIZZLE_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "Product, relative to the work directory; empty if it failed"),
    ColumnSpec("band", "str", "Detector and filter"),
    ColumnSpec("epoch", "int64", "Number of the epoch; 0: of a visit, or all epochs"),
    ColumnSpec("n_exposures", "int64", "Exposures combined"),
    ColumnSpec("exptime", "float64", "Total exposure time", u.s, "exptime_s"),
    ColumnSpec("mjd_start", "float64", "Start of the first exposure, MJD UTC", u.day),
    ColumnSpec("mjd_end", "float64", "End of the last exposure, MJD UTC", u.day),
    ColumnSpec("ra", "float64", "Right ascension of the tangent point", u.deg, "ra_deg"),
    ColumnSpec("dec", "float64", "Declination of the tangent point", u.deg, "dec_deg"),
    ColumnSpec("scale", "float64", "Pixel scale", u.arcsec, "scale_arcsec"),
    ColumnSpec("nx", "float64", "Width", u.pix),
    ColumnSpec("ny", "float64", "Height", u.pix),
    ColumnSpec(
        "sky",
        "float64",
        "Mean sky subtracted: native units per second and native pixel",
        key="sky_per_s",
    ),
    ColumnSpec(
        "cosmic_rays",
        "float64",
        "Share of native pixels rejected as cosmic rays",
        key="cosmic_ray_fraction",
    ),
    ColumnSpec("bad_fraction", "float64", "Share of the footprint without weight or value"),
    ColumnSpec("flux_ratio", "float64", "Star fluxes on the product over those on the exposures"),
    ColumnSpec("n_stars", "float64", "Stars that this ratio is from", key="n_flux_stars"),
    ColumnSpec(
        "status",
        "str",
        "OK, UNCHECKED (no check failed, one had nothing to compare), PROBLEM (a check failed; the "
        "product is kept) or FAIL",
    ),
    ColumnSpec("reason", "str", "Why it failed"),
    ColumnSpec("problems", "str", "Which checks failed"),
    ColumnSpec("not_checked", "str", "Which checks had nothing to compare, and why"),
    ColumnSpec("same_as", "str", "Product of the same exposures, of which this one is a link"),
    ColumnSpec("digest", "str", "Digest of the recipe"),
    ColumnSpec(
        "log",
        "str",
        "What AstroDrizzle said; empty if it was never run for this product itself",
    ),
)


def row_of(
    product: Product, outcome: Made | HstAssetsError, workdir: WorkDir, choices: DrizzleSettings
) -> dict[str, Any]:
    """A product's row: what was made, or why it failed."""
    log = workdir.log("drizzle", product.label)
    row: dict[str, Any] = {
        **no_numbers(DRIZZLE_COLUMNS),
        "file": "",
        "band": product.band,
        "epoch": product.epoch,
        "status": "FAIL",
        "reason": "",
        "n_exposures": len(product.exposures),
        "digest": product.recipe.digest,
        "problems": "",
        "not_checked": "",
        "same_as": "",
        "log": workdir.relative(log) if log.is_file() else "",
    }
    if isinstance(outcome, HstAssetsError):
        return {**row, "reason": outcome.brief}
    facts = outcome.facts
    problems = [*facts["complaints"], *judge(facts["bad_fraction"], facts["flux_ratio"], choices)]
    lacking = not_compared(facts["flux_ratio"], facts["n_flux_stars"])
    return {
        **row,
        **{name: facts.get(name) for name in no_numbers(DRIZZLE_COLUMNS)},
        "n_exposures": len(facts["inputs"]),
        "file": workdir.relative(product.path),
        "status": "PROBLEM" if problems else "UNCHECKED" if lacking else "OK",
        "problems": "; ".join(problems),
        "not_checked": "; ".join(lacking),
        "same_as": facts.get("same_as", ""),
    }


def facts_of(
    rows: Sequence[Mapping[str, Any]],
    previews: Sequence[Path],
    products: Sequence[Product],
    workdir: WorkDir,
) -> dict[str, Any]:
    """What is recorded and shown of all products: those that were made, and those that failed."""
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
                "not_checked": row["not_checked"],
            }
            for row in rows
            if row["status"] != "FAIL"
        ],
        "failed": [f"{_title(row)}: {row['reason']}" for row in failed],
        "problems": [
            f"{Path(row['file']).name}: {row['problems']}" for row in rows if row["problems"]
        ],
        "not_checked": [
            f"{Path(row['file']).name}: {row['not_checked']}" for row in rows if row["not_checked"]
        ],
        "previews": [workdir.relative(path) for path in previews],
        **({"log": logs[0]} if logs else {}),
    }


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['band']} epoch {row['epoch']}" if row["epoch"] else str(row["band"])

"""The light curve of a target as an asset: measured, averaged, written in every format.

The product is the table ``light_curve/light_curve.ecsv``. Beside it lie the same as Parquet, the
means of epochs as bins in time, and the plot; beside the catalogue, ``.phot`` and ``.snana``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from hst_assets.detectors import DETECTORS
from hst_assets.digests import sha256_of_file
from hst_assets.failures import BadConfiguration
from hst_assets.photometry.light_curve.agreement import Comparison, compared
from hst_assets.photometry.light_curve.gathering import Gathered, gather
from hst_assets.photometry.light_curve.interactive_plot import write_interactive_plot
from hst_assets.photometry.light_curve.kept_measurement import SURROUNDINGS_STAGE
from hst_assets.photometry.light_curve.phot_files import write_light_curve_texts
from hst_assets.photometry.light_curve.places import target_place
from hst_assets.photometry.light_curve.static_plot import write_static_plot
from hst_assets.photometry.light_curve.table import light_curve_table, time_series
from hst_assets.photometry.light_curve.upstream import digests_of
from hst_assets.photometry.quality_cuts import cuts_of
from hst_assets.products.columns import write_table
from hst_assets.provenance import Made, Recipe, Result, make
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["STAGE", "make_light_curve"]

STAGE = "light_curve"

_TOOLS = ("astropy", "numba", "numpy", "photutils", "scipy")
_HAS_PARQUET = importlib.util.find_spec("pyarrow") is not None
_NO_PARQUET = (
    "no Parquet file: pyarrow is not installed (pip install 'hst_assets[parquet]', then --clobber)"
)
#: Places with ``.phot`` and ``.snana`` files of their own: more are in the tables alone.
_MOST_TEXTS = 500
#: Means that the web UI shows.
_MOST_SHOWN = 24


def make_light_curve(workdir: WorkDir, settings: Settings, *, redo: bool = False) -> Made:
    """Make the light curves of a target's place, of a user's places and of stars around.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its catalogue of stars and its table of exposures must exist.
    settings : Settings
        Section light_curve, the target's position, and the sections of what is measured.
    redo : bool, optional
        Make again what is up to date, too.

    Returns
    -------
    Made
        Product: the table ``light_curve/light_curve.ecsv``
        (`hst_assets.photometry.light_curve.table.LIGHT_CURVE_COLUMNS`). What could not be measured
        is named in its metadata and in the facts, with the reason.

    Raises
    ------
    BadConfiguration
        If the place is not known, or the user's table of places cannot be read.
    MissingProduct
        If there is no catalogue of stars, or no table of exposures.
    """
    place = target_place(workdir, settings)
    recipe = Recipe(
        stage=STAGE,
        inputs=_inputs(workdir, settings),
        settings={
            "light_curve": settings.light_curve.as_recipe(),
            "place": {"ra_deg": place.ra_deg, "dec_deg": place.dec_deg, "name": place.name},
            "base": settings.dolphot.base,
            "embedded": settings.embedded.as_recipe(),
            "artificial_stars": settings.artificial_stars.as_recipe(),
            "quality_cuts": cuts_of(settings.quality_cuts).as_recipe(),
            "dolphot_inputs": settings.dolphot_inputs.as_recipe(),
            "flag_mask": settings.dolphot.FlagMask,
        },
        defaults={
            name: getattr(Settings(), name).as_recipe()
            for name in ("light_curve", "embedded", "artificial_stars")
        },
        detectors=tuple(DETECTORS.values()),
        tools=_TOOLS,
        # Of a catalogue by DOLPHOT, the surroundings of the places are measured on the way.
        uses=(SURROUNDINGS_STAGE,),
    )
    return make(
        recipe, workdir.light_curve, workdir, lambda: _written(workdir, settings), redo=redo
    )


def _inputs(workdir: WorkDir, settings: Settings) -> dict[str, str]:
    """Digests of what is measured on; what a target need not have is left out where it has none."""
    inputs = digests_of(
        workdir,
        ("dolphot_catalog", "target_exposures"),
        ("target_alignment", "epoch_differences", "artificial_stars"),
    )
    if settings.light_curve.positions is not None:
        table = workdir.base / settings.light_curve.positions
        if not table.is_file():
            raise BadConfiguration(
                "light_curve.positions names a file that does not exist", where=table
            )
        inputs["positions"] = sha256_of_file(table)
    return inputs


# ------------------------------------------------------------------------------- writing


def _written(workdir: WorkDir, settings: Settings) -> Result:
    gathered = gather(workdir, settings)
    meta = {
        "target": workdir.target,
        "not_measured": list(gathered.not_measured),
        "notes": list(gathered.notes),
    }
    table = light_curve_table(gathered.points, gathered.places, gathered.limits, meta)
    product = workdir.light_curve
    product.parent.mkdir(parents=True, exist_ok=True)
    base = workdir.dolphot_catalog(settings.dolphot.base)
    notes = [*gathered.notes, *(() if _HAS_PARQUET else (_NO_PARQUET,))]
    for earlier in _earlier(product, base):  # of places that are no more
        earlier.unlink()
    chosen = settings.light_curve.magnitudes
    sources = [place.source for place in gathered.places[:_MOST_TEXTS]]
    beside = write_light_curve_texts(table, base, chosen, sources)
    beside += _other_formats(table, product)
    picture = write_static_plot(table, product.with_suffix(".png"))
    if len(table):
        page = product.with_suffix(".html")
        beside.append(write_interactive_plot(table, page, magnitudes=chosen))
    write_table(table, product)
    facts = _facts(gathered, table) | {"previews": [workdir.relative(picture)], "notes": notes}
    return Result((product, picture, *beside), facts)


def _earlier(product: Path, base: Path) -> Iterator[Path]:
    for suffix in (".phot", ".snana"):
        yield from base.parent.glob(f"{base.name}{suffix}")
        yield from base.parent.glob(f"{base.name}_[0-9]*{suffix}")
    yield from (
        product.with_suffix(suffix)
        for suffix in (".html", ".parquet")
        if product.with_suffix(suffix).exists()
    )


def _other_formats(table: QTable, product: Path) -> Iterator[Path]:
    """The means of epochs as bins in time and, where it can be written, the table as Parquet."""
    epochs = table[np.asarray(table["level"]) == "epoch"]
    series = product.with_suffix(".series.ecsv")
    with write_atomically(series) as part:
        time_series(epochs).write(part, format="ascii.ecsv", overwrite=True)
    yield series
    if not _HAS_PARQUET:
        return
    parquet = product.with_suffix(".parquet")
    frame = _plain(table).to_pandas()
    frame.attrs["units"] = {
        name: str(table[name].unit) for name in table.colnames if table[name].unit is not None
    }
    frame.attrs["meta"] = dict(table.meta)
    with write_atomically(parquet) as part:
        frame.to_parquet(part, engine="pyarrow", index=False)
    yield parquet


def _plain(table: QTable) -> QTable:
    """The table without units: a frame has none."""
    bare = QTable(meta=dict(table.meta))
    for name in table.colnames:
        column = table[name]
        bare[name] = column.value if isinstance(column, u.Quantity) else np.asarray(column)
    return bare


# --------------------------------------------------------------------------------- facts


def _facts(gathered: Gathered, table: QTable) -> dict[str, Any]:
    match = gathered.match
    rows = table[(np.asarray(table["source"]) == 0) & (np.asarray(table["level"]) != "exposure")]
    shown = rows[np.asarray(rows["n_images"]) > 0][:_MOST_SHOWN]
    return {
        "n_places": len(gathered.places),
        "n_points": len(table),
        "star": None if match is None else match.row + 1,
        "offset_arcsec": None if match is None else _rounded(match.offset_arcsec),
        "offset_sigma": None if match is None else _rounded(match.offset_sigma),
        "star_note": "" if match is None else match.note,
        "not_measured": list(gathered.not_measured),
        "compared": [_compared(each) for each in compared(gathered.points) if each.source == 0],
        "light_curve": [_shown(row) for row in shown],
    }


def _compared(each: Comparison) -> dict[str, Any]:
    return {
        "methods": each.what,
        "band": f"{each.detector}.{each.filter_name.lower()}",
        "epoch": each.epoch,
        "difference_ujy": _rounded(each.difference_ujy, 5),
        "sigma": _rounded(each.sigma, 2),
    }


def _shown(row: Any) -> dict[str, Any]:
    return {
        "method": str(row["method"]),
        "band": f"{row['detector']}.{str(row['filter_name']).lower()}",
        "epoch": "all" if row["level"] == "filter" else int(row["epoch"]),
        "mjd": _rounded(row["mjd"].to_value(u.day)),
        "flux_ujy": _rounded(row["flux_ujy"].to_value(u.uJy), 5),
        "flux_error_ujy": _rounded(row["flux_error_ujy"].to_value(u.uJy), 5),
        "ab_mag": _rounded(row["ab_mag"].to_value(u.mag)),
        "ab_mag_error": _rounded(row["ab_mag_error"].to_value(u.mag)),
        "limit_3sigma_ab_mag": _rounded(row["limit_3sigma_ab_mag"].to_value(u.mag)),
    }


def _rounded(value: float, digits: int = 3) -> float | None:
    """A number as JSON has it; None where there is none."""
    return round(float(value), digits) if np.isfinite(value) else None

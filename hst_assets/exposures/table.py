"""Exposure tables: the verified files of a visit, their table, and the target's with its epochs."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable, vstack

from hst_assets.detectors import DETECTORS, Detector, detector_of_file
from hst_assets.exposures.columns import EXPOSURE_COLUMNS, MANIFEST_COLUMNS
from hst_assets.exposures.epochs import NO_EPOCH, number_epochs
from hst_assets.exposures.footprint import format_footprint, signed_distance_arcsec
from hst_assets.exposures.header import Exposure, read_exposure
from hst_assets.exposures.overrides import (
    Override,
    overrides_of_visit,
    read_overrides,
    refuse_unknown,
)
from hst_assets.exposures.photometry import odd_ones_out
from hst_assets.exposures.raw import RawFile, check_raw, exposure_key, files_of_visit, raw_ledger
from hst_assets.exposures.selection import reasons_to_reject
from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.products.columns import build_table, read_table, write_table
from hst_assets.provenance import Made, Recipe, Record, Result, make, read_record
from hst_assets.settings import EpochSettings, Settings, TargetSettings
from hst_assets.workdir import WorkDir

__all__ = ["make_raw_manifest", "make_target_table", "make_visit_table"]

logger = logging.getLogger(__name__)

_NOTHING: dict[str, Any] = {"str": "", "bool": False, "int64": 0, "float64": math.nan}
#: At most so many refusals are listed in a step's facts; the table has them all.
_LISTED_REFUSALS = 12


# ------------------------------------------------------------------------------ the manifest


def make_raw_manifest(
    workdir: WorkDir, visit: str, settings: Settings | None = None, *, redo: bool = False
) -> Made:
    """Write down which verified files a visit has: ``workspace/<visit>_raw.ecsv``.

    Nothing of the settings changes it; it takes them as all that makes assets does.

    Raises
    ------
    MissingProduct
        If there is none, or one is gone or changed.
    """
    del settings
    files = check_raw(workdir, visit)
    product = workdir.raw_manifest(visit)
    recipe = Recipe(stage="raw_exposures", inputs={file.name: file.sha256 for file in files})

    def run() -> Result:
        rows = [_manifest_row(file) for file in files]
        write_table(build_table(MANIFEST_COLUMNS, rows, {"visit": visit}), product)
        return Result((product,), _manifest_facts(files))

    return make(recipe, product, workdir, run, redo=redo)


def _manifest_row(file: RawFile) -> dict[str, Any]:
    return {
        "file": file.name,
        "rootname": file.rootname,
        "visit": file.visit,
        "suffix": file.suffix,
        "size": file.size,
        "sha256": file.sha256,
    }


def _manifest_facts(files: Sequence[RawFile]) -> dict[str, Any]:
    kinds = Counter(file.suffix for file in files)
    return {
        "n_exposures": sum(not file.is_companion for file in files),
        "n_files": len(files),
        "size_mb": round(sum(file.size for file in files) / 1e6, 3),
        "kinds": dict(sorted(kinds.items())),
    }


# --------------------------------------------------------------------------- the visit table


def make_visit_table(
    workdir: WorkDir, visit: str, settings: Settings, *, redo: bool = False
) -> Made:
    """Read the headers of a visit's exposures and decide on each.

    The table ``workspace/<visit>_exposures.ecsv`` depends on the visit's manifest, the selection
    settings, the target's position and the human overrides of this visit's exposures, and on
    nothing else. Its rows are in time order; epochs are not numbered yet.

    Raises
    ------
    MissingProduct
        If the manifest was not made, or a raw file is gone or changed.
    BadConfiguration
        If overrides.ecsv is malformed, or decides on an exposure of this visit that raw/ does
        not hold.
    """
    overrides = overrides_of_visit(read_overrides(workdir.overrides), visit)
    held = [file.rootname for file in files_of_visit(workdir, visit)]
    refuse_unknown(overrides, held, workdir.overrides)
    manifest = _standing(workdir.raw_manifest(visit), "raw_exposures", visit)
    check_raw(workdir, visit)
    product = workdir.visit_exposures(visit)
    recipe = Recipe(
        stage="exposure_table",
        inputs={"raw_exposures": manifest.digest},
        settings={
            **_decisive(settings),
            "overrides": [overrides[key].as_json() for key in sorted(overrides)],
        },
        defaults={**_decisive(Settings()), "overrides": []},
        # The manifest's inputs are its files: to read it for their names takes a hundredfold.
        detectors=_detectors_of(manifest.recipe["inputs"]),
    )

    def run() -> Result:
        files = read_table(workdir.raw_manifest(visit))
        rows = _visit_rows(workdir, files, settings, overrides)
        meta = {"target": workdir.target, "visit": visit, **_position(settings.target)}
        table = build_table(EXPOSURE_COLUMNS, rows, meta)
        write_table(table, product)
        return Result((product,), table_facts(table))

    return make(recipe, product, workdir, run, redo=redo)


def _decisive(settings: Settings) -> dict[str, Any]:
    """The settings that decide a visit's table."""
    return {"selection": settings.selection.as_recipe(), "target": settings.target.as_recipe()}


def _detectors_of(names: Iterable[str]) -> tuple[Detector, ...]:
    """The detectors of some files; all there are, if one does not tell by its name."""
    found = [detector_of_file(name) for name in names]
    rows = {row.key: row for row in found if row is not None}
    return tuple(DETECTORS.values() if None in found else rows.values())


def _visit_rows(
    workdir: WorkDir, files: QTable, settings: Settings, overrides: Mapping[str, Override]
) -> list[dict[str, Any]]:
    companions = {row["rootname"]: row["file"] for row in files if row["suffix"] == "c1m"}
    exposures: dict[str, Exposure] = {}
    rows = []
    for row in files:
        if row["suffix"] == "c1m":
            continue
        dq_file = str(companions.get(row["rootname"], ""))
        dq_path = workdir.raw / dq_file if dq_file else None
        try:
            exposure = read_exposure(workdir.raw / str(row["file"]), dq_path)
        except UnusableInput as error:
            rows.append({**_unreadable_row(row, error), "dq_file": dq_file})
            continue
        exposures[exposure.rootname] = exposure
        override = overrides.get(exposure_key(exposure.rootname))
        rows.append(
            {
                **_header_row(exposure, settings.target),
                **_decision(exposure, settings, override),
                "dq_file": dq_file,
                "sha256": str(row["sha256"]),
            }
        )
    _note_calibrations(rows, exposures)
    return sorted(
        rows, key=lambda row: (math.isnan(row["mjd_start"]), row["mjd_start"], row["rootname"])
    )


def _unreadable_row(row: Any, error: UnusableInput) -> dict[str, Any]:
    """An exposure whose headers are good for nothing costs itself, whoever let it in."""
    logger.warning("%s is left out: %s", row["file"], error.what)
    return {
        **{spec.name: _NOTHING[spec.dtype] for spec in EXPOSURE_COLUMNS},
        "file": str(row["file"]),
        "rootname": str(row["rootname"]),
        "visit": str(row["visit"]),
        "epoch": NO_EPOCH,
        "reason": f"its headers cannot be used: {error.what}",
        "sha256": str(row["sha256"]),
    }


def _note_calibrations(rows: Sequence[dict[str, Any]], exposures: Mapping[str, Exposure]) -> None:
    """Note which of a detector's exposures were calibrated otherwise than most of them."""
    for key in {exposure.detector.key for exposure in exposures.values()}:
        members = [row for row in rows if row["detector_key"] == key]
        notes = odd_ones_out([exposures[row["rootname"]].calibration for row in members])
        for row, note in zip(members, notes, strict=True):
            row["note"] = "; ".join(filter(None, (row["note"], note)))


def _header_row(exposure: Exposure, target: TargetSettings) -> dict[str, Any]:
    ra, dec = exposure.field_centre_deg
    depth = np.nan
    behind = exposure.passband_polygons
    if target.ra_deg is not None and target.dec_deg is not None and behind:
        depth = signed_distance_arcsec(behind, target.ra_deg, target.dec_deg)
    return {
        "file": exposure.name,
        "rootname": exposure.rootname,
        "visit": exposure.visit,
        "epoch": NO_EPOCH,
        "note": "; ".join(exposure.notes),
        "instrument": exposure.detector.instrument,
        "detector": exposure.detector.detector,
        "detector_key": exposure.detector.key,
        "subarray": exposure.subarray,
        "n_chips": len(exposure.chips),
        "filter": exposure.filter,
        "filter_elements": ",".join(exposure.filter_elements),
        "exptime": exposure.exptime_s,
        "mjd_start": exposure.mjd_start,
        "mjd_mid": exposure.mjd_mid,
        "mjd_end": exposure.mjd_end,
        "expflag": exposure.expflag,
        "quality": exposure.quality,
        "fgslock": exposure.fgslock,
        "pa": exposure.pa_deg,
        "ra": ra,
        "dec": dec,
        "target_depth": depth,
        "footprint": format_footprint(exposure.polygons),
        "wcsname": exposure.wcsname,
        **_zero_points(exposure),
    }


def _zero_points(exposure: Exposure) -> dict[str, float]:
    """Of each chip that was read; NaN for the others."""
    values = {
        spec.name: np.nan for spec in EXPOSURE_COLUMNS if spec.name.startswith(("zp_ab_", "zp_st_"))
    }
    for chip in exposure.chips:
        values[f"zp_ab_{chip.number}"] = chip.zp_ab
        values[f"zp_st_{chip.number}"] = chip.zp_st
    return values


def _decision(exposure: Exposure, settings: Settings, override: Override | None) -> dict[str, Any]:
    """What the rules say, and what the astronomer says, who has the last word."""
    reason = "; ".join(reasons_to_reject(exposure, settings.selection, settings.target))
    if override is None:
        return {"used": not reason, "reason": reason, "override": ""}
    verb = "used" if override.use else "rejected"
    machine = f"rejected: {reason}" if reason else "used"
    return {
        "used": override.use,
        "reason": "" if override.use else f"by hand: {override.reason}",
        "override": f"{verb} by hand: {override.reason} (automatic selection: {machine})",
    }


def _position(target: TargetSettings) -> dict[str, float]:
    return {key: value for key, value in target.position().items() if value is not None}


# -------------------------------------------------------------------------- the target table


def make_target_table(
    workdir: WorkDir, visits: Sequence[str], settings: Settings, *, redo: bool = False
) -> Made:
    """Gather the tables of all visits and number the epochs: ``workspace/exposures.ecsv``.

    Rows are in time order. Epochs are numbered over the used exposures (see
    `hst_assets.exposures.epochs`).

    Raises
    ------
    MissingProduct
        If the table of a visit was not made.
    BadConfiguration
        If overrides.ecsv decides on an exposure that raw/ does not hold.
    UnusableInput
        If no exposure at all is used; the table is on disk then and tells why.
    """
    refuse_unknown(
        read_overrides(workdir.overrides),
        [file.rootname for file in raw_ledger(workdir)],
        workdir.overrides,
    )
    names = sorted(set(visits))
    if not names:
        raise UnusableInput(
            "no visit to gather",
            where=workdir.target,
            next_step=f"Run 'hst-assets ingest FOLDER --target {workdir.target}'",
        )
    tables = {
        visit: _standing(workdir.visit_exposures(visit), "exposure_table", visit) for visit in names
    }
    product = workdir.target_exposures
    recipe = Recipe(
        stage="target_exposures",
        inputs={visit: record.digest for visit, record in tables.items()},
        settings={"epochs": settings.epochs.as_recipe()},
        defaults={"epochs": EpochSettings().as_recipe()},
    )

    def run() -> Result:
        gathered = [read_table(workdir.visit_exposures(visit)) for visit in names]
        table = _gather(gathered, settings.epochs.max_gap_days)
        table.meta = {"target": workdir.target, **_position(settings.target)}
        write_table(table, product)
        return Result((product,), {"n_visits": len(names), **table_facts(table)})

    made = make(recipe, product, workdir, run, redo=redo)
    if not made.facts["n_used"]:
        raise UnusableInput(
            f"none of the {made.facts['n_exposures']} exposures of {workdir.target} is used: "
            + "; ".join(made.facts["refusals"]),
            where=product,
            next_step="Change the selection settings or the target's position "
            f"({_place(settings)}), or decide by hand in overrides.ecsv",
        )
    return made


def _place(settings: Settings) -> str:
    target = settings.target
    if target.ra_deg is None or target.dec_deg is None:
        return "none is set"
    return f"now ra_deg={target.ra_deg:.6f}, dec_deg={target.dec_deg:.6f}"


def _gather(tables: Sequence[QTable], max_gap_days: float) -> QTable:
    table = vstack(list(tables), metadata_conflicts="silent")
    table = table[np.lexsort((table["rootname"], table["mjd_start"].value))]
    used = np.asarray(table["used"], dtype=bool)
    epoch = np.full(len(table), NO_EPOCH, dtype=np.int64)
    epoch[used] = number_epochs(
        table["detector_key"][used],
        table["filter"][used],
        table["mjd_start"][used].value,
        max_gap_days=max_gap_days,
    )
    table["epoch"][:] = epoch
    return table


# --------------------------------------------------------------------------------- facts


def _standing(product: Path, stage: str, visit: str) -> Record:
    record = read_record(product)
    if record is None or not product.is_file():
        raise MissingProduct(
            f"{stage} of visit {visit} has not been made", where=product, next_step="Make it first"
        )
    return record


def table_facts(table: QTable) -> dict[str, Any]:
    """What an astronomer looks at first, as JSON."""
    used = np.asarray(table["used"], dtype=bool)
    refusals = [f"{row['rootname']}: {row['reason']}" for row in table[~used][:_LISTED_REFUSALS]]
    n_more = int(np.count_nonzero(~used)) - len(refusals)
    if n_more > 0:
        refusals.append(f"and {n_more} more")
    filters = {f"{row['detector_key']} {row['filter']}" for row in table[used]}
    epochs = np.asarray(table["epoch"])
    facts = {
        "n_exposures": len(table),
        "n_used": int(np.count_nonzero(used)),
        "n_refused": int(np.count_nonzero(~used)),
        "n_overrides": int(np.count_nonzero(np.asarray(table["override"]) != "")),
        "filters": sorted(filters),
        "exptime_used_s": round(float(table["exptime"][used].value.sum()), 3),
        "refusals": refusals,
    }
    if np.any(epochs != NO_EPOCH):
        facts["n_epochs"] = len(set(epochs[epochs != NO_EPOCH].tolist()))
    return facts

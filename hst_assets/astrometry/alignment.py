"""Exposures onto the reference frame: one record an exposure, one table a visit, one file a target.

Each exposure that passes the gate is written to workspace/ with its new WCS; one that fails keeps
the WCS it came with, bit for bit, and is left out of products unless
``alignment.on_failure = "keep_a_priori"``. A bad exposure costs itself only.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable, vstack

from hst_assets.astrometry.cards import ANCHOR, alignment_cards, write_cards
from hst_assets.astrometry.recipes import CODE_VERSION, TOOLS
from hst_assets.astrometry.reference_frame import ReferenceFrame, read_reference
from hst_assets.astrometry.tweakreg import Outcome, Target, align, untouched
from hst_assets.astrometry.working_copy import companion_name
from hst_assets.exposures.raw import raw_ledger
from hst_assets.exposures.table import read_table
from hst_assets.failures import MissingProduct
from hst_assets.provenance import Made, Recipe, Result, make, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, publish, write_atomically

__all__ = [
    "ALIGNMENT_COLUMNS",
    "make_aligned_visit",
    "make_target_alignment",
    "read_alignment",
]

logger = logging.getLogger(__name__)

STAGE = "aligned_exposures"
TARGET_STAGE = "target_alignment"

#: Name, unit (None: a plain number or text) and meaning of the alignment table's columns.
ALIGNMENT_COLUMNS: dict[str, tuple[u.UnitBase | None, str]] = {
    "rootname": (None, "Rootname of the exposure"),
    "file": (None, "File in workspace/"),
    "status": (None, "PASS, COMPROMISED, FAIL or SKIPPED"),
    "method": (None, "Which method gave the WCS; none: it is the archive's"),
    "used": (None, "Whether the exposure goes into products"),
    "reason": (None, "Why not PASS, or why not used"),
    "n_matches": (None, "Stars in the fit"),
    "rms_x": (u.pix, "RMS of the fit along the detector's x axis"),
    "rms_y": (u.pix, "RMS of the fit along the detector's y axis"),
    "rms_ra": (u.mas, "RMS of the fit in right ascension"),
    "rms_dec": (u.mas, "RMS of the fit in declination"),
    "shift_ra": (u.arcsec, "Motion of the exposure in right ascension times cos Dec"),
    "shift_dec": (u.arcsec, "Motion of the exposure in declination"),
    "rotation": (u.deg, "Rotation of the exposure, x (west) to y (north)"),
    "scale": (None, "Scale of the new WCS over that of the old one"),
    "held_out_offset_x": (u.pix, "Median residual in x of stars kept out of the fit"),
    "held_out_offset_y": (u.pix, "Median residual in y of stars kept out of the fit"),
    "n_held_out": (None, "Stars kept out of the fit that were found again"),
    "contrast": (None, "Pairs at the fit over the most that scrambled lists give"),
    "tries": (None, "Rungs of the ladder that were tried"),
    "digest": (None, "Recipe of this exposure's alignment"),
}

_FROM_NUMBERS = {
    "rms_x": "rms_x",
    "rms_y": "rms_y",
    "rms_ra": "rms_ra_mas",
    "rms_dec": "rms_dec_mas",
    "shift_ra": "shift_ra_arcsec",
    "shift_dec": "shift_dec_arcsec",
    "rotation": "rotation_deg",
    "scale": "scale",
    "held_out_offset_x": "held_out_x",
    "held_out_offset_y": "held_out_y",
    "contrast": "contrast",
}

_MATCH_UNITS = {
    "x": u.pix,
    "y": u.pix,
    "dx": u.pix,
    "dy": u.pix,
    "dra": u.mas,
    "ddec": u.mas,
    "ra": u.deg,
    "dec": u.deg,
}


@dataclass(frozen=True)
class _Job:
    """One exposure, what its aligned copy is to be made from, and where it goes."""

    target: Target
    recipe: Recipe
    product: Path

    def stands(self, workdir: WorkDir) -> bool:
        record = read_record(self.product)
        return bool(record and record.digest == self.recipe.digest and record.whole(workdir))


def make_aligned_visit(
    workdir: WorkDir, visit: str, settings: Settings, *, redo: bool = False
) -> Made:
    """Align the exposures of one visit that are in use.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; its reference and the visit's exposure table must stand.
    visit : str
        Visit id.
    settings : Settings
        Sections alignment, gate and machine.
    redo : bool, optional
        Align every exposure again.

    Returns
    -------
    Made
        Its product is the visit's alignment table (see `ALIGNMENT_COLUMNS`); the aligned copies
        have records of their own, so that a new exposure aligns only itself.

    Raises
    ------
    MissingProduct
        If the reference or the exposure table is not there.
    """
    table = read_table(workdir.visit_exposures(visit))
    rows = table[np.asarray(table["used"], dtype=bool)]
    frame = None if settings.alignment.skip_tweakreg else read_reference(workdir)
    digests = {file.name: file.sha256 for file in raw_ledger(workdir)}
    jobs = [_job(workdir, settings, row, frame, digests) for row in rows]
    made = _make_exposures(workdir, settings, jobs, frame, redo=redo)
    recipe = Recipe(
        stage=STAGE,
        code_version=CODE_VERSION,
        inputs={job.target.raw.name: each.digest for job, each in zip(jobs, made, strict=True)},
        settings={"on_failure": settings.alignment.on_failure},
    )
    ran_any = any(each.ran for each in made)
    return make(
        recipe,
        workdir.visit_alignment(visit),
        workdir,
        lambda: _write_visit(workdir, visit, settings, jobs, made),
        redo=redo or ran_any,
    )


def _job(
    workdir: WorkDir,
    settings: Settings,
    row: Any,
    frame: ReferenceFrame | None,
    digests: Mapping[str, str],
) -> _Job:
    name = str(row["file"])
    inputs = {}
    for each in filter(None, (name, companion_name(name))):
        if each not in digests:
            raise MissingProduct(
                "the exposure is not in the ledger of raw/",
                where=workdir.raw / each,
                next_step="Ingest it again",
            )
        inputs[f"raw:{each}"] = digests[each]
    # What becomes of a failure is decided in the table: it must not run the tool again.
    how: dict[str, Any] = {"skip_tweakreg": True}
    if frame is not None:
        inputs["reference"] = frame.digest
        how = settings.alignment.model_dump(mode="json", exclude={"on_failure"})
        how["gate"] = settings.gate.as_recipe()
    recipe = Recipe("aligned_exposure", CODE_VERSION, inputs, how, TOOLS)
    target = Target(workdir.raw / name, str(row["rootname"]), str(row["detector_key"]))
    return _Job(target, recipe, workdir.aligned(name))


def _make_exposures(
    workdir: WorkDir,
    settings: Settings,
    jobs: Sequence[_Job],
    frame: ReferenceFrame | None,
    *,
    redo: bool,
) -> list[Made]:
    """Run what does not stand, all in one batch, then record each exposure by itself."""
    due = [job for job in jobs if redo or not job.stands(workdir)]
    outcomes: dict[str, Outcome] = {}
    with ExitStack() as stack:
        if due:
            scratch = stack.enter_context(workdir.scratch(STAGE))
            outcomes = _outcomes(workdir, settings, due, frame, scratch)
        return [_record(workdir, job, outcomes.get(job.target.rootname), frame) for job in jobs]


def _outcomes(
    workdir: WorkDir,
    settings: Settings,
    jobs: Sequence[_Job],
    frame: ReferenceFrame | None,
    scratch: Path,
) -> dict[str, Outcome]:
    targets = [job.target for job in jobs]
    if frame is not None:
        results = align(
            targets,
            frame.catalogue,
            settings=settings,
            workdir=workdir,
            scratch=scratch,
            stage=STAGE,
        )
    else:
        results = []
        for target in targets:
            folder = scratch / target.rootname
            folder.mkdir()
            reason = "alignment skipped by alignment.skip_tweakreg: the archive's WCS"
            results.append(
                untouched(target, folder, status="SKIPPED", method="none", reason=reason)
            )
    return {
        target.rootname: _unless_anchor(target, outcome, frame)
        for target, outcome in zip(targets, results, strict=True)
    }


def _unless_anchor(target: Target, outcome: Outcome, frame: ReferenceFrame | None) -> Outcome:
    """The outcome; but an anchor without a fit is on the frame all the same: it defines it."""
    if (
        frame is None
        or target.raw.name != frame.anchor
        or outcome.status != "FAIL"
        or not outcome.files
    ):
        return outcome
    reason = f"its own WCS is the reference frame; a fit to it failed: {outcome.reason}"
    return replace(
        outcome, status="COMPROMISED", method=ANCHOR, reason=reason, numbers=None, matches=None
    )


def _record(
    workdir: WorkDir, job: _Job, outcome: Outcome | None, frame: ReferenceFrame | None
) -> Made:
    """The exposure's record: as it stands, or of the outcome just obtained."""

    def run() -> Result:
        assert outcome is not None
        return _publish(workdir, job, outcome, frame)

    return make(job.recipe, job.product, workdir, run, redo=outcome is not None)


def _publish(workdir: WorkDir, job: _Job, outcome: Outcome, frame: ReferenceFrame | None) -> Result:
    """Give the working copy its cards and its name in workspace/."""
    published = []
    if not outcome.files:
        workdir.aligned(job.target.raw.name).unlink(missing_ok=True)  # of an earlier run
    else:
        write_cards(
            outcome.files[0],
            alignment_cards(
                status=outcome.status,
                method=outcome.method,
                reference="none" if frame is None else frame.digest,
                recipe=job.recipe.digest,
                numbers=outcome.numbers,
            ),
        )
        published = [publish(path, workdir.aligned(path.name)) for path in outcome.files]
    matches = workdir.exposure_matches(job.target.rootname)
    matches.unlink(missing_ok=True)
    if outcome.matches is not None and outcome.aligned:
        published.append(publish(outcome.matches, matches))
    facts = {
        "rootname": job.target.rootname,
        "status": outcome.status,
        "method": outcome.method,
        "reason": outcome.reason,
        "usable": bool(outcome.files),
        "numbers": None if outcome.numbers is None else outcome.numbers.as_json(),
        "tries": list(outcome.tries),
    }
    return Result(tuple(published), facts)


# ----------------------------------------------------------------------------------- tables


def _write_visit(
    workdir: WorkDir, visit: str, settings: Settings, jobs: Sequence[_Job], made: Sequence[Made]
) -> Result:
    keep = settings.alignment.on_failure == "keep_a_priori"
    rows = [_row(job, each, keep=keep) for job, each in zip(jobs, made, strict=True)]
    product = workdir.visit_alignment(visit)
    with write_atomically(product) as part:
        _table(rows).write(part, format="ascii.ecsv", overwrite=True)
    return Result((product,), _facts(workdir, visit, rows, made))


def _row(job: _Job, made: Made, *, keep: bool) -> dict[str, Any]:
    facts = made.facts
    numbers = facts["numbers"] or {}
    status, reason = facts["status"], facts["reason"]
    used = status != "FAIL"
    if status == "FAIL" and keep and facts["usable"]:
        used, reason = True, f"kept with the archive's WCS although: {reason}"
    row = {
        "rootname": job.target.rootname,
        "file": job.target.raw.name,
        "status": status,
        "method": facts["method"],
        "used": used,
        "reason": reason,
        "n_matches": numbers.get("n_matches", 0),
        "n_held_out": numbers.get("n_held_out", 0),
        "tries": len(facts["tries"]),
        "digest": made.digest,
    }
    for column, name in _FROM_NUMBERS.items():
        value = numbers.get(name)
        row[column] = math.nan if value is None else value
    return row


def _table(rows: Sequence[Mapping[str, Any]]) -> QTable:
    table = QTable()
    for name, (unit, description) in ALIGNMENT_COLUMNS.items():
        values = np.array([row[name] for row in rows], dtype=_dtype(name))
        column = Column(values) if unit is None else u.Quantity(values, unit)
        table[name] = column
        table[name].info.description = description
    return table


def _dtype(name: str) -> str:
    if name in ("n_matches", "n_held_out", "tries"):
        return "int64"
    if name == "used":
        return "bool"
    return "float64" if name in _FROM_NUMBERS else "str"


def read_alignment(path: Path) -> QTable:
    """Read a visit's alignment table.

    Raises
    ------
    MissingProduct
        If it is not there.
    """
    if not path.is_file():
        raise MissingProduct(
            "no alignment table", where=path, next_step="Materialize aligned_exposures"
        )
    table = QTable.read(path, format="ascii.ecsv")
    for name in ALIGNMENT_COLUMNS:
        # An empty text is read as masked.
        if hasattr(table[name], "filled") and table[name].dtype.kind == "U":
            table[name] = table[name].filled("")
    return table


def _facts(
    workdir: WorkDir, visit: str, rows: Sequence[Mapping[str, Any]], made: Sequence[Made]
) -> dict[str, Any]:
    count = dict.fromkeys(("PASS", "COMPROMISED", "FAIL", "SKIPPED"), 0)
    for row in rows:
        count[row["status"]] += 1
    good = [row for row in rows if row["status"] in ("PASS", "COMPROMISED")]
    rms = [max(r["rms_x"], r["rms_y"]) for r in good if math.isfinite(r["rms_x"])]
    return {
        "n_exposures": len(rows),
        "n_used": sum(row["used"] for row in rows),
        "n_pass": count["PASS"],
        "n_compromised": count["COMPROMISED"],
        "n_fail": count["FAIL"],
        "n_skipped": count["SKIPPED"],
        "median_rms_pix": round(float(np.median(rms)), 4) if rms else None,
        "shifts": [_shift_row(row) for row in rows[:10]],
        "tries": {
            str(each.facts["rootname"]): each.facts["tries"] for each in made if each.facts["tries"]
        },
        "log": workdir.relative(workdir.log(STAGE, f"{visit}*")),
    }


def _shift_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an astronomer looks at first, rounded; None for what there is not."""
    digits = {"shift_ra": 4, "shift_dec": 4, "rotation": 5, "rms_x": 3, "rms_y": 3}
    rounded = {
        name: round(float(row[name]), n) if math.isfinite(row[name]) else None
        for name, n in digits.items()
    }
    return {
        "rootname": row["rootname"],
        "status": row["status"],
        "n_matches": int(row["n_matches"]),
        "shift_ra_arcsec": rounded["shift_ra"],
        "shift_dec_arcsec": rounded["shift_dec"],
        "rotation_deg": rounded["rotation"],
        "rms_x_pix": rounded["rms_x"],
        "rms_y_pix": rounded["rms_y"],
        "reason": row["reason"],
    }


# ----------------------------------------------------------------------------------- target


def make_target_alignment(
    workdir: WorkDir, visits: Sequence[str], settings: Settings, *, redo: bool = False
) -> Made:
    """Gather the alignment of all visits with the star residuals behind it.

    Parameters
    ----------
    workdir : WorkDir
        Of the target.
    visits : sequence of str
        Visits to gather; each must have its alignment table.
    settings : Settings
        Nothing of it changes the product.
    redo : bool, optional
        Gather again.

    Returns
    -------
    Made
        Its product is an HDF5 file with the tables ``exposures`` (see `ALIGNMENT_COLUMNS`) and
        ``matches`` (one row a star of a fit or held out of it).

    Raises
    ------
    MissingProduct
        If a visit has no alignment.
    """
    del settings
    inputs = {}
    for visit in sorted(visits):
        record = read_record(workdir.visit_alignment(visit))
        if record is None:
            raise MissingProduct(
                "the visit has no alignment",
                where=workdir.visit_alignment(visit),
                next_step="Materialize aligned_exposures for it",
            )
        inputs[visit] = record.digest
    recipe = Recipe(TARGET_STAGE, CODE_VERSION, inputs, tools=("h5py",))
    return make(
        recipe,
        workdir.target_alignment,
        workdir,
        lambda: _gather(workdir, sorted(visits)),
        redo=redo,
    )


def _gather(workdir: WorkDir, visits: Sequence[str]) -> Result:
    tables = [read_alignment(workdir.visit_alignment(visit)) for visit in visits]
    exposures = vstack(tables, metadata_conflicts="silent") if tables else _table([])
    matches = _all_matches(workdir, exposures)
    product = workdir.target_alignment
    with write_atomically(product) as part:
        for name, table in (("exposures", exposures), ("matches", matches)):
            table.write(part, path=name, format="hdf5", serialize_meta=True, append=True)
    status = np.asarray(exposures["status"], dtype=str)
    worst = np.fmax(exposures["rms_x"].value, exposures["rms_y"].value)
    good = np.isin(status, ["PASS", "COMPROMISED"]) & np.isfinite(worst)
    return Result(
        (product,),
        {
            "n_exposures": len(exposures),
            "n_used": int(np.count_nonzero(exposures["used"])),
            "n_pass": int(np.count_nonzero(status == "PASS")),
            "n_compromised": int(np.count_nonzero(status == "COMPROMISED")),
            "n_fail": int(np.count_nonzero(status == "FAIL")),
            "n_skipped": int(np.count_nonzero(status == "SKIPPED")),
            "n_matches": len(matches),
            "median_rms_pix": round(float(np.median(worst[good])), 4) if good.any() else None,
        },
    )


def _all_matches(workdir: WorkDir, exposures: QTable) -> QTable:
    parts = []
    for rootname in np.asarray(exposures["rootname"], dtype=str):
        path = workdir.exposure_matches(rootname)
        if path.is_file():
            part = QTable.read(path, format="ascii.ecsv")
            part.add_column(Column([rootname] * len(part), name="rootname", dtype="U9"), index=0)
            parts.append(part)
    if not parts:
        return QTable(
            {"rootname": np.zeros(0, "U9"), **{k: np.zeros(0) * v for k, v in _MATCH_UNITS.items()}}
        )
    table = vstack(parts, metadata_conflicts="silent")
    for name, unit in _MATCH_UNITS.items():
        table[name] = u.Quantity(np.asarray(table[name]), unit)
    return table

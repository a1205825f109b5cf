"""Exposures onto the reference frame: one record an exposure, one table a visit, one file a target.

Each exposure that passes the gate is written to workspace/ with its new WCS; one that fails keeps
the WCS it came with, bit for bit, and is left out of products unless
``alignment.on_failure = "keep_a_priori"``. A bad exposure costs itself only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, QTable, vstack

from hst_assets.astrometry.alignment_result import (
    AlignmentResult,
    ExposureToAlign,
    failed_on_few,
    joint_failure,
    left_out,
    untouched,
)
from hst_assets.astrometry.alignment_table import (
    alignment_row,
    alignment_summary,
    alignment_table,
    first_look,
    read_alignment,
    shapes_of_facts,
    unusual_stars,
)
from hst_assets.astrometry.cards import ANCHOR, alignment_cards, write_cards
from hst_assets.astrometry.distortion.update import Correction, correct, plan_corrections
from hst_assets.astrometry.gate import judge_anchor
from hst_assets.astrometry.hierarchical import epochs as hierarchical
from hst_assets.astrometry.measurement import MATCH_UNITS
from hst_assets.astrometry.methods.ladder import Onto, align_in_turn, with_methods
from hst_assets.astrometry.recipes import (
    alignment_tools,
    decisive_alignment,
    default_alignment,
    ledger_digests,
    raw_inputs,
)
from hst_assets.astrometry.reference.frame import ReferenceFrame, read_reference
from hst_assets.astrometry.shape_limits import wide_in_their_bands
from hst_assets.astrometry.working_copy import WorkingCopy
from hst_assets.detectors import DETECTORS
from hst_assets.failures import HstAssetsError, MissingProduct
from hst_assets.products.batch import Batch, Step
from hst_assets.products.columns import read_table, write_table
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.provenance import Made, Recipe, Result, make, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, move_into_place, write_atomically

__all__ = ["make_aligned_visit", "make_target_alignment"]

logger = logging.getLogger(__name__)


STAGE = "aligned_exposures"
EXPOSURE_STAGE = "aligned_exposure"
TARGET_STAGE = "target_alignment"


@dataclass(frozen=True)
class _Job:
    """One exposure, what its aligned copy is to be made from, and where it goes."""

    target: ExposureToAlign
    recipe: Recipe
    path: Path
    correction: Correction
    band: str
    together: frozenset[str]


def make_aligned_visit(
    workdir: WorkDir, visit: str, settings: Settings, *, redo: bool = False
) -> Made:
    """Align the exposures of one visit that are in use.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; its reference and the visit's exposure table must exist.
    visit : str
        Visit id.
    settings : Settings
        Sections alignment, gate, reference_files and machine.
    redo : bool, optional
        Align every exposure again.

    Returns
    -------
    Made
        Its product is the visit's alignment table (see `ALIGNMENT_COLUMNS`); the aligned copies
        have records of their own, so that a new exposure aligns only itself. Copies of exposures
        that are no longer in use are taken away.

    Raises
    ------
    MissingProduct
        If the reference or the exposure table is not there.
    ToolFailed
        If the tool fails on every exposure. One that it fails on while it answers on others is
        left out, with its reason in the table.
    TimedOut, OutOfMemory
        If it took too long, or had no memory: nothing is concluded from that, and it is tried
        again.
    TransientFailure
        If a reference file that an exposure needs could not be fetched. That, too, is no
        property of the exposure and is not recorded; the others are done and kept, and the next
        run tries only what is missing.
    """
    table = read_table(workdir.visit_exposures(visit))
    rows = table[np.asarray(table["used"], dtype=bool)]
    frame = None if settings.alignment.skip_tweakreg else read_reference(workdir)
    digests = ledger_digests(workdir)
    corrections = plan_corrections(workdir, [str(row["file"]) for row in rows], settings)
    jobs = [
        _job(workdir, settings, row, frame, digests, corrections, _together(row, rows, settings))
        for row in rows
    ]
    recipe = Recipe(
        stage=STAGE,
        inputs={job.target.raw.name: job.recipe.digest for job in jobs},
        settings={
            "alignment": {"on_failure": settings.alignment.on_failure},
            "gate": {"max_fwhm_ratio": settings.gate.max_fwhm_ratio},
        },
        defaults=default_alignment(),
    )
    not_in_use = table["file"][~np.asarray(table["used"], dtype=bool)]
    batch = replace(
        _batch(workdir, settings, jobs, frame),
        candidates=tuple(workdir.aligned(str(name)) for name in not_in_use),
    )

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        failures = {
            job.target.rootname: outcome
            for job, outcome in zip(jobs, outcomes, strict=True)
            if isinstance(outcome, HstAssetsError)
        }
        if failures and not failed_on_few(failures, len(jobs)):
            raise joint_failure(failures, where=f"visit {visit}")
        return _write_visit(workdir, visit, settings, jobs, outcomes)

    return make_indexed(batch, recipe, workdir.visit_alignment(visit), workdir, write, redo=redo)


def _together(row: Any, rows: QTable, settings: Settings) -> list[str]:
    """Files that decide the alignment of one exposure: itself, or all of its drizzled epoch."""
    if not settings.alignment.hierarchical or settings.alignment.skip_tweakreg:
        return [str(row["file"])]
    same = np.asarray(rows["detector_key"]) == row["detector_key"]
    same &= np.asarray(rows["filter"]) == row["filter"]
    return [str(name) for name in rows["file"][same]]


def _job(
    workdir: WorkDir,
    settings: Settings,
    row: Any,
    frame: ReferenceFrame | None,
    digests: Mapping[str, str],
    corrections: Mapping[str, Correction],
    together: Sequence[str],
) -> _Job:
    name = str(row["file"])
    inputs = raw_inputs(workdir, together, digests)
    for each in together:
        inputs |= corrections[each].inputs
    # What becomes of a failure is decided in the table: it must not run the tool again.
    how: dict[str, Any] = {"alignment": {"skip_tweakreg": True}}
    tools = alignment_tools(settings)
    uses: tuple[str, ...] = ()
    if frame is not None:
        # It has the absolute catalogue among its own inputs.
        inputs["reference"] = frame.digest
        how = decisive_alignment(settings, str(row["detector_key"]))
        del how["alignment"]["on_failure"]
        del how["gate"]["max_fwhm_ratio"]  # likewise: it compares the exposures of a visit
        if settings.alignment.hierarchical:
            uses = (hierarchical.DRIZZLE_STAGE,)
            tools += hierarchical.TOOLS
    recipe = Recipe(
        stage=EXPOSURE_STAGE,
        inputs=inputs,
        settings=how,
        defaults=default_alignment(),
        detectors=(DETECTORS[str(row["detector_key"])],),
        tools=tools,
        uses=uses,
    ).known_in(workdir)
    target = ExposureToAlign(workdir.raw / name, str(row["rootname"]), str(row["detector_key"]))
    band = DETECTORS[target.detector_key].band(str(row["filter"]))
    return _Job(target, recipe, workdir.aligned(name), corrections[name], band, frozenset(together))


def _batch(
    workdir: WorkDir, settings: Settings, jobs: Sequence[_Job], frame: ReferenceFrame | None
) -> Batch[_Job]:
    return Batch(
        stage=EXPOSURE_STAGE,
        planned=jobs,
        run=partial(_align, workdir=workdir, settings=settings, frame=frame),
        together=lambda job: job.together,  # a drizzled epoch is made of all of it
        keeps=(HstAssetsError,),  # of the tool, not of the exposure
    )


def _align(
    due: Sequence[_Job], *, workdir: WorkDir, settings: Settings, frame: ReferenceFrame | None
) -> Iterator[tuple[_Job, Step | HstAssetsError]]:
    """Align exposures all in one batch; of each, how it is published, or the tool's failure.

    Such a failure is not recorded: what was there before stays.
    """
    with workdir.scratch(STAGE) as scratch:
        targets, outcomes = correct(
            [job.target for job in due],
            {job.target.raw.name: job.correction for job in due},
            settings=settings,
            workdir=workdir,
            scratch=scratch,
            stage=STAGE,
        )
        outcomes |= _outcomes(settings, workdir, targets, frame, scratch)
        for job in due:
            outcome = outcomes[job.target.rootname]
            if outcome.failure is not None:
                yield job, outcome.failure
            else:
                yield job, partial(_publish, workdir, job, outcome, frame)


def _outcomes(
    settings: Settings,
    workdir: WorkDir,
    targets: Sequence[ExposureToAlign],
    frame: ReferenceFrame | None,
    scratch: Path,
) -> dict[str, AlignmentResult]:
    """The outcome of each exposure by rootname."""
    if frame is None:
        reason = "alignment skipped (alignment.skip_tweakreg): the archive's WCS"
        return {
            target.rootname: untouched(
                target, scratch, status="SKIPPED", method="none", reason=reason
            )
            for target in targets
        }
    outcomes = {
        target.rootname: _alone(target, frame, settings, workdir, scratch)
        for target in targets
        if frame.is_alone(target.raw.name)
    }
    others = [target for target in targets if target.rootname not in outcomes]
    in_epochs = settings.alignment.hierarchical
    align = hierarchical.align_hierarchically if in_epochs else align_in_turn
    results = align(
        others,
        Onto(frame.catalogue, frame.absolute, frame.not_absolute),
        settings=settings,
        workdir=workdir,
        scratch=scratch,
        stage=STAGE,
    )
    for target, outcome in zip(others, results, strict=True):
        outcomes[target.rootname] = _unless_anchor(target, outcome, frame)
    return outcomes


def _alone(
    target: ExposureToAlign,
    frame: ReferenceFrame,
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
) -> AlignmentResult:
    """The exposure that alone is the reference: matched with itself, it would always be right.

    On an absolute frame, it is brought there as it was for the reference.
    """
    if frame.absolute is not None:
        folder = scratch / "alone"
        folder.mkdir()
        (outcome,) = align_in_turn(
            [target],
            Onto(frame.catalogue, frame.absolute),
            settings=with_methods(settings, ("catalog",)),
            workdir=workdir,
            scratch=folder,
            stage=STAGE,
        )
        return outcome
    verdict = judge_anchor(frame.n_stars, frame.n_failed, settings.gate)
    if frame.anchor_shapes is not None:
        verdict = verdict.doubted(frame.anchor_shapes.doubts)
    reason = "; ".join(("defines the frame: the reference is made from it alone", *verdict.reasons))
    result = untouched(target, scratch, status=verdict.status, method=ANCHOR, reason=reason)
    return replace(result, shapes=frame.anchor_shapes)


def _unless_anchor(
    target: ExposureToAlign, outcome: AlignmentResult, frame: ReferenceFrame
) -> AlignmentResult:
    """The outcome; but an anchor without a fit is on the frame all the same: it defines it.

    Not so an absolute frame, which its own WCS is not on.
    """
    failed = outcome.status == "FAIL" and outcome.files and outcome.failure is None
    failed = failed and not outcome.is_misshapen
    if target.raw.name != frame.anchor or not failed or frame.absolute is not None:
        return outcome
    reason = f"defines the frame: its own WCS is the reference's; a fit failed: {outcome.reason}"
    return replace(
        outcome, status="COMPROMISED", method=ANCHOR, reason=reason, numbers=None, matches=None
    )


def _publish(
    workdir: WorkDir, job: _Job, outcome: AlignmentResult, frame: ReferenceFrame | None
) -> Result:
    """Give the working copy its cards and its name in workspace/."""
    published = []
    if not outcome.files:
        for path in WorkingCopy.at(job.path).files:
            path.unlink(missing_ok=True)  # of an earlier run
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
        published = [move_into_place(path, workdir.aligned(path.name)) for path in outcome.files]
    matches = workdir.exposure_matches(job.target.rootname)
    matches.unlink(missing_ok=True)
    if outcome.matches is not None and outcome.aligned:
        published.append(move_into_place(outcome.matches, matches))
    for path in workdir.star_lists(job.target.rootname):
        path.unlink()  # of an earlier run
    published += [
        move_into_place(path, workdir.star_list(path.name)) for path in outcome.star_lists
    ]
    return Result(tuple(published), _facts(job, outcome))


def _facts(job: _Job, outcome: AlignmentResult) -> dict[str, Any]:
    return {
        "rootname": job.target.rootname,
        "status": outcome.status,
        "method": outcome.method,
        "reason": outcome.reason,
        "usable": bool(outcome.files),
        "distortion": job.correction.note,
        "numbers": None if outcome.numbers is None else outcome.numbers.as_json(),
        "shapes": None if outcome.shapes is None else outcome.shapes.as_json(),
        "tries": list(outcome.tries),
    }


# ----------------------------------------------------------------------------------- tables


def _write_visit(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    jobs: Sequence[_Job],
    outcomes: Sequence[Made | HstAssetsError],
) -> Result:
    keep = settings.alignment.on_failure == "keep_a_priori"
    told = []
    for job, each in zip(jobs, outcomes, strict=True):
        if isinstance(each, Made):
            told.append((job, each.facts, each.digest))
        else:
            told.append((job, _facts(job, left_out(each)), job.recipe.digest))
            logger.warning("%s: %s", job.target.rootname, told[-1][1]["reason"])
    wide = wide_in_their_bands(
        {job.target.rootname: (job.band, shapes_of_facts(facts)) for job, facts, _ in told},
        settings.gate,
    )
    rows = [
        alignment_row(facts, file=job.target.raw.name, digest=digest, keep=keep, wide=why)
        for (job, facts, digest), why in zip(told, wide.values(), strict=True)
    ]
    made = [each for each in outcomes if isinstance(each, Made)]
    table = alignment_table(rows)
    product = workdir.visit_alignment(visit)
    write_table(table, product)
    facts = {
        **alignment_summary(table),
        "shifts": first_look(rows),
        "unusual_stars": unusual_stars(rows),
        "tries": {
            str(each.facts["rootname"]): each.facts["tries"] for each in made if each.facts["tries"]
        },
        "log": workdir.relative(workdir.log(STAGE, f"{visit}*")),
    }
    return Result((product,), facts)


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
        If a visit has no alignment, or the matches of an aligned exposure are gone.
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
    recipe = Recipe(stage=TARGET_STAGE, inputs=inputs, tools=("h5py",))
    return make(
        recipe,
        workdir.target_alignment,
        workdir,
        lambda: _gather(workdir, sorted(visits)),
        redo=redo,
    )


def _gather(workdir: WorkDir, visits: Sequence[str]) -> Result:
    tables = [read_alignment(workdir.visit_alignment(visit)) for visit in visits]
    exposures = vstack(tables, metadata_conflicts="silent") if tables else alignment_table([])
    matches = _all_matches(workdir, exposures)
    product = workdir.target_alignment
    with write_atomically(product) as part:
        for name, table in (("exposures", exposures), ("matches", matches)):
            table.write(part, path=name, format="hdf5", serialize_meta=True, append=True)
    return Result((product,), {**alignment_summary(exposures), "n_matches": len(matches)})


def _all_matches(workdir: WorkDir, exposures: QTable) -> QTable:
    parts = []
    has_matches = np.asarray(exposures["n_matches"]) > 0
    has_matches &= np.isin(np.asarray(exposures["status"]), ("PASS", "COMPROMISED"))
    # These have the numbers of their epoch's fit, and no matches of their own.
    has_matches &= np.asarray(exposures["method"]) != hierarchical.METHOD
    for rootname in np.asarray(exposures["rootname"], dtype=str)[has_matches]:
        path = workdir.exposure_matches(rootname)
        if not path.is_file():
            raise MissingProduct(
                "the matches of an aligned exposure are missing",
                where=path,
                next_step="Materialize aligned_exposures for its visit",
            )
        part = QTable.read(path, format="ascii.ecsv")
        part.add_column(Column([rootname] * len(part), name="rootname", dtype="U9"), index=0)
        parts.append(part)
    if not parts:
        empty = {name: np.zeros(0) * unit for name, unit in MATCH_UNITS.items()}
        return QTable({"rootname": np.zeros(0, "U9"), **empty})
    return vstack(parts, metadata_conflicts="silent")

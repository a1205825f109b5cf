"""The aligned exposures of a visit: one fit to Gaia for all exposures of a detector.

They are kept as the alignment leaves them, in a folder of their own: drizzling flags cosmic rays in
copies, which come with the images of the filters. Exposures that are not drizzled (ramps, quads,
grisms) are finished here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from hst_assets.digests import digest_of
from hst_assets.failures import HstAssetsError, ToolFailed, TransientFailure
from hst_assets.hap import pieces
from hst_assets.hap.listed import FITTED
from hst_assets.hap.objects import PARAMETERS
from hst_assets.hap.piece_runs import Left, VisitFolder
from hst_assets.hap.product_tree import ExposureNode, TotalNode, check_planned
from hst_assets.hap.switches import CATALOGUE_SERVICE, catalogue_service
from hst_assets.hap.visits.plan import run_plan
from hst_assets.hap.visits.planned import VisitPlan, read_plan
from hst_assets.hap.visits.work import TOOLS, Listener, PlannedFile, VisitWork, linked
from hst_assets.products.batch import Batch, Step
from hst_assets.products.columns import ColumnSpec, build_table, no_numbers, write_table
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.provenance import Made, Recipe, Result
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = [
    "ALIGNED_COLUMNS",
    "STAGE",
    "AlignedTotal",
    "aligned_totals",
    "make_hap_aligned_exposures",
]

STAGE = "hap_alignment"
_MAS = 3.6e6

ALIGNED_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "Exposure, in the folder aligned/; empty if the alignment failed"),
    ColumnSpec("rootname", "str", "ROOTNAME (IPPPSSOOT)"),
    ColumnSpec("detector", "str", "Detector, as file names have it"),
    ColumnSpec("filter", "str", "HAP's name of the filter"),
    ColumnSpec("wcsname", "str", "WCSNAME after the alignment"),
    ColumnSpec("fitted", "bool", "Whether that is a fit to stars of the catalogue (-FIT_)"),
    ColumnSpec("headerlet", "str", "Headerlet with the new WCS; empty without a fit"),
    ColumnSpec("n_matches", "float64", "Stars of the fit (NMATCHES); NaN without a fit"),
    ColumnSpec("rms_ra", "float64", "Scatter of the fit in RA (RMS_RA)", u.mas),
    ColumnSpec("rms_dec", "float64", "Scatter of the fit in declination (RMS_DEC)", u.mas),
    ColumnSpec("shift", "float64", "How far the middle of the first chip moved", u.mas),
    ColumnSpec("status", "str", "OK or FAIL"),
    ColumnSpec("reason", "str", "Why it failed"),
)


@dataclass(frozen=True)
class AlignedTotal(PlannedFile):
    """All exposures of a detector, aligned in one go.

    Attributes
    ----------
    path : Path
        What the alignment leaves for the drizzling; the record lies beside it.
    recipe : Recipe
        What they are made from.
    number : int
        Of the total product.
    total : TotalNode
        The product.
    """

    number: int
    total: TotalNode

    @property
    def digest(self) -> str:
        """Of the alignment that there is; of the one that is planned where there is none."""
        record = self.record()
        return record.digest if record else self.recipe.digest

    def not_fitted(self) -> tuple[str, ...]:
        """The drizzled exposures that keep the WCS that they came with."""
        record = self.record()
        told = {row["file"]: row for row in record.facts["exposures"]} if record else {}
        names = [
            one.exposure_file for each in self.total.drizzled_filters for one in each.exposures
        ]
        return tuple(name for name in names if name not in told or not told[name]["fitted"])


def aligned_totals(work: VisitWork, plan: VisitPlan) -> list[AlignedTotal]:
    """What is to be aligned.

    Parameters
    ----------
    work : VisitWork
        The visit.
    plan : VisitPlan
        Its plan.
    """
    sums = work.exposure_digests()
    return [
        AlignedTotal(work.state("aligned", number), _recipe(work, plan, total, sums), number, total)
        for number, total in plan.totals.items()
        if total.exposures
    ]


def _recipe(work: VisitWork, plan: VisitPlan, total: TotalNode, sums: dict[str, str]) -> Recipe:
    members = (*total.exposures, *total.dispersed, *total.beside)
    return Recipe(
        stage=STAGE,
        inputs={
            **{one.source.file: sums[one.source.file] for one in members},
            "poller": digest_of([asdict(one.source) for one in members]),
        },
        settings={
            "hap": {"diagnostic_mode": work.settings.hap.diagnostic_mode},
            "catalogue_service": catalogue_service(os.environ),
            "parameters": plan.changed_for([total.basename], "alignment"),
        },
        defaults={
            "hap": {"diagnostic_mode": False},
            "catalogue_service": CATALOGUE_SERVICE,
            "parameters": {},
        },
        tools=TOOLS,
    ).known_in(work.workdir)


def make_hap_aligned_exposures(
    workdir: WorkDir,
    visit: str,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Listener | None = None,
) -> Made:
    """Align the exposures of a visit to Gaia.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit must be planned.
    visit : str
        The visit.
    settings : Settings
        Sections hap and machine.
    redo : bool, optional
        Align again what is up to date, too.
    progress : callable, optional
        Told what is done.

    Returns
    -------
    Made
        Product: the table ``hap/<visit>/aligned_exposures.ecsv`` (`ALIGNED_COLUMNS`). A detector
        whose alignment ended early has rows with the reason; one that could not be fitted has its
        exposures, with the WCS that they came with.

    Raises
    ------
    MissingProduct
        If there is no plan, or a raw file is gone.
    """
    work = VisitWork(workdir, visit, settings, progress)
    plan = read_plan(workdir, visit)
    planned = aligned_totals(work, plan)
    accepts = {"accept_a_priori_wcs": settings.hap.accept_a_priori_wcs}
    recipe = Recipe(
        stage="hap_aligned_exposures",
        inputs={part.total.basename: part.recipe.digest for part in planned},
        settings={"hap": accepts},
        defaults={"hap": {"accept_a_priori_wcs": False}},
    )
    batch = Batch(
        stage=STAGE,
        planned=planned,
        run=partial(_align, work=work, plan=plan),
        candidates=tuple(workdir.hap_pieces(visit).glob("aligned*")),
    )

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        return _index(work, planned, outcomes)

    index = workdir.hap_aligned_exposures(visit)
    return make_indexed(batch, recipe, index, workdir, write, redo=redo)


# ---------------------------------------------------------------------------- the alignment


def _align(
    due: Sequence[AlignedTotal], *, work: VisitWork, plan: VisitPlan
) -> Iterator[tuple[AlignedTotal, Step | HstAssetsError]]:
    """Copy the exposures under their new names, and align those of each detector."""
    taken = [work.exposure_folder / row.file for row in plan.rows]
    # The parameters are those that were planned, whatever the user's file has by now.
    with work.working("align", [work.place(PARAMETERS), *taken]) as folder:
        copied = run_plan(work, folder, plan.rows)
        failure = copied if isinstance(copied, HstAssetsError) else _otherwise(plan, copied)
        if failure is not None:
            yield from ((part, failure) for part in due)
            return
        arguments = {
            "log_level": work.log_level,
            "diagnostic_mode": work.settings.hap.diagnostic_mode,
        }
        made = [pieces.align_piece(part.number, part.total, arguments) for part in due]
        for part, outcome in zip(due, work.run(made, folder, done=0.2), strict=True):
            if isinstance(outcome, HstAssetsError):
                yield part, outcome
            elif outage := outcome.value["outage"]:
                # That there is no fit says nothing of the exposures.
                yield part, _no_answer(outage)
            else:
                yield part, partial(_settle, part, outcome, folder, work)


def _otherwise(plan: VisitPlan, copied: Left) -> HstAssetsError | None:
    """How what drizzlepac plans now differs from what was planned."""
    try:
        check_planned(plan.tree, copied.value)
    except ToolFailed as error:
        return error
    return None


def _no_answer(outage: str) -> TransientFailure:
    return TransientFailure(
        outage,
        next_step="Rerun when the service is back, or let $ASTROMETRIC_CATALOG_URL name another",
    )


def _settle(part: AlignedTotal, left: Left, folder: VisitFolder, work: VisitWork) -> Result:
    """Publish what the alignment of a detector left."""
    rows = [_measured(one, part.total, left, folder) for one in _members(part.total)]
    own = {one.exposure_file for one in _members(part.total)}
    kept = [name for name in left.files if name in own]
    state = part.path.name
    others = [name for name in left.files if name not in own and name != state]
    beside = [one.exposure_file for one in part.total.beside]
    exposures = work.published(folder, kept, work.aligned)
    files = work.published(folder, [*others, *beside])
    drizzled = {one.exposure_file for each in part.total.drizzled_filters for one in each.exposures}
    finished = [
        linked(path, work.place(path.name)) for path in exposures if path.name not in drizzled
    ]
    states = work.published(folder, [state])
    told = {
        "exposures": rows,
        "headerlets": left.value["headerlets"],
        "beside": [*left.value["aligned_only"], *left.value["dispersed"]],
    }
    return Result((*states, *exposures, *files, *finished), told)


def _members(total: TotalNode) -> tuple[ExposureNode, ...]:
    return (*total.exposures, *total.dispersed)


def _measured(
    one: ExposureNode, total: TotalNode, left: Left, folder: VisitFolder
) -> dict[str, Any]:
    """What the header of an aligned exposure tells, as a row of the table without NaN."""
    path = folder.files / one.exposure_file
    with fits.open(path) as hdus, fits.open((folder.files / one.source.file).resolve()) as before:
        header = hdus["SCI", 1].header
        name = str(header["WCSNAME"])
        fitted = FITTED in name
        figures = {
            "n_matches": _number(header, "NMATCHES") if fitted else None,
            "rms_ra": _number(header, "RMS_RA") if fitted else None,
            "rms_dec": _number(header, "RMS_DEC") if fitted else None,
            "shift": _shift_mas(before["SCI", 1].header, header),
        }
    headerlet = one.headerlet_file if one.headerlet_file in left.files else ""
    return {
        "file": one.exposure_file,
        "rootname": one.rootname,
        "detector": total.detector,
        "filter": one.filter,
        "wcsname": name,
        "fitted": fitted,
        "headerlet": headerlet,
        **figures,
    }


def _number(header: fits.Header, keyword: str) -> float | None:
    value = header.get(keyword)
    return None if isinstance(value, str | type(None)) else round(float(value), 4)


def _shift_mas(before: fits.Header, after: fits.Header) -> float | None:
    """How far the middle of the first chip moved on the sky.

    Distortion is left out: it is the same in both headers, and moves a point alike.
    """
    middle = [[0.5 * (after["NAXIS1"] + 1), 0.5 * (after["NAXIS2"] + 1)]]
    try:
        old, new = (_linear(header).wcs_pix2world(middle, 1)[0] for header in (before, after))
    except (KeyError, ValueError) as error:
        raise ToolFailed(f"its WCS cannot be read: {error}", where=after.get("ROOTNAME")) from error
    east = (new[0] - old[0]) * np.cos(np.radians(new[1]))
    return round(float(np.hypot(east, new[1] - old[1])) * _MAS, 3)


def _linear(header: fits.Header) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    for name in ("crpix", "crval"):
        setattr(wcs.wcs, name, [header[f"{name}{axis}"] for axis in (1, 2)])
    wcs.wcs.cd = [[header[f"CD{row}_{column}"] for column in (1, 2)] for row in (1, 2)]
    return wcs


# -------------------------------------------------------------------------------- the index


def _index(
    work: VisitWork, planned: Sequence[AlignedTotal], outcomes: Sequence[Made | HstAssetsError]
) -> Result:
    rows: list[dict[str, Any]] = []
    outputs: list[Path] = []
    failed: list[str] = []
    for part, outcome in zip(planned, outcomes, strict=True):
        if isinstance(outcome, HstAssetsError):
            failed.append(f"{part.total.detector}: {outcome.brief}")
            rows += [_failed_row(one, part.total, outcome) for one in _members(part.total)]
        else:
            found = [{**row, "status": "OK", "reason": ""} for row in outcome.facts["exposures"]]
            rows += found
            outputs += outcome.record.paths(work.workdir)
    index = work.workdir.hap_aligned_exposures(work.visit)
    meta = {"target": work.workdir.target, "visit": work.visit}
    write_table(build_table(ALIGNED_COLUMNS, rows, meta), index)
    accepts = work.settings.hap.accept_a_priori_wcs
    usable = [
        part
        for part, outcome in zip(planned, outcomes, strict=True)
        if isinstance(outcome, Made) and (accepts or not part.not_fitted())
    ]
    facts = {
        "n_exposures": len(rows),
        "n_fitted": sum(row["fitted"] for row in rows),
        "n_detectors": len(planned),
        "n_detectors_usable": len(usable),
        "accepts_a_priori_wcs": accepts,
        "not_fitted": [
            f"{row['file']}: {row['wcsname']}"
            for row in rows
            if row["status"] == "OK" and not row["fitted"]
        ],
        "failed": failed,
        "alignment": [_shown(row) for row in rows],
    }
    if not planned:
        facts["note"] = "HAP takes no exposure of the visit"
    return Result((index, *outputs), facts)


def _failed_row(one: ExposureNode, total: TotalNode, error: HstAssetsError) -> dict[str, Any]:
    return {
        **no_numbers(ALIGNED_COLUMNS),
        "file": "",
        "rootname": one.rootname,
        "detector": total.detector,
        "filter": one.filter,
        "wcsname": "",
        "fitted": False,
        "headerlet": "",
        "status": "FAIL",
        "reason": error.brief,
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    names = ("rootname", "filter", "wcsname", "n_matches", "rms_ra", "rms_dec", "shift")
    return {f"{name}_mas" if name[:3] in ("rms", "shi") else name: row[name] for name in names}

"""What DOLPHOT reads: chips of the aligned exposures and the reference, with their sky.

One exposure costs itself: what is damaged, or does not fit together, is rejected with its reason
before DOLPHOT runs. Exposures and reference are only read; each has a record of its own, so that a
new exposure makes its own chips only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from hst_assets.astrometry.reference.frame import read_reference
from hst_assets.detectors import DETECTORS
from hst_assets.exposures.dq_files import quality_file
from hst_assets.failures import HstAssetsError, MissingProduct
from hst_assets.identifiers import visit_of_rootname
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.photometry.dolphot import c_tools
from hst_assets.photometry.dolphot.detector_rules import RULES
from hst_assets.products.batch import Batch, Step
from hst_assets.products.columns import ColumnSpec, build_table, read_table, write_table
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.provenance import Made, Recipe, Result, sha256_of_file
from hst_assets.settings import DolphotInputsSettings, Settings
from hst_assets.workdir import WorkDir, move_into_place

__all__ = ["INPUT_COLUMNS", "STAGE", "make_dolphot_inputs"]

logger = logging.getLogger(__name__)

#: Stage name in the record of each exposure's chips.
STAGE = "dolphot_chips"
INDEX_STAGE = "dolphot_inputs"
#: Name of its time limit.
TOOL = "dolphot_inputs"

_TASK = "hst_assets.photometry.dolphot.inputs_task:prepare"
_TOOLS = ("astropy", "numpy")
#: Exposures a core between two publications: what a killed run has published is kept.
_IN_ONE_GO = 2

INPUT_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("role", "str", "reference or exposure; the reference comes first"),
    ColumnSpec("exposure", "str", "Rootname; of the reference, its name"),
    ColumnSpec("visit", "str", "Visit of the exposure"),
    ColumnSpec("chip", "int64", "Number in the file, from 1; 0: of all chips"),
    ColumnSpec("file", "str", "File of the chip, relative to dolphot/; empty if it is not used"),
    ColumnSpec("sky_file", "str", "File of its sky, likewise"),
    ColumnSpec("instrument", "str", "Instrument"),
    ColumnSpec("detector", "str", "Detector"),
    ColumnSpec("filter", "str", "Filter"),
    ColumnSpec("exptime", "float64", "Exposure time", u.s, "exptime_s"),
    ColumnSpec("mjd", "float64", "Middle of the exposure (MJD, UTC)", u.day),
    ColumnSpec("x", "float64", "Target on the chip, 0-based", u.pix),
    ColumnSpec("y", "float64", "Target on the chip, 0-based", u.pix),
    ColumnSpec("contains_target", "bool", "Whether a pixel of the chip contains the target"),
    ColumnSpec("used", "bool", "Whether DOLPHOT is to read it"),
    ColumnSpec("reason", "str", "Why not"),
    ColumnSpec("note", "str", "What was taken for granted"),
    ColumnSpec("n_bad", "int64", "Bad pixels; -1: not counted"),
    ColumnSpec("n_saturated", "int64", "Saturated pixels; -1: not counted"),
    ColumnSpec("n_cosmic_ray", "int64", "Pixels with a cosmic ray; -1: not counted, or bad"),
    ColumnSpec("sky_median", "float64", "Median of the sky, counts"),
    ColumnSpec("min_value", "float64", "BADPIX: good pixels are above, counts"),
    ColumnSpec("max_value", "float64", "SATURATE: good pixels are below, counts"),
    ColumnSpec("read_noise", "float64", "Read noise (electrons)", u.electron, "read_noise_e"),
    ColumnSpec("gain", "float64", "Electrons in one count"),
)


@dataclass(frozen=True)
class _Chips:
    """The planned chips of one exposure or of the reference.

    `path` is the table of them, beside which the record lies; `shared` what all rows say of it.
    """

    path: Path
    source: Path
    recipe: Recipe
    shared: Mapping[str, Any]
    detector_key: str = ""

    @property
    def is_reference(self) -> bool:
        return not self.detector_key


def make_dolphot_inputs(workdir: WorkDir, settings: Settings, *, redo: bool = False) -> Made:
    """Make the aligned exposures of a target and its reference ready for DOLPHOT.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its exposure table, alignment and reference must exist.
    settings : Settings
        Sections dolphot_inputs, target and machine.
    redo : bool, optional
        Make again what is up to date, too.

    Returns
    -------
    Made
        Product: the table ``dolphot/inputs.ecsv`` (see `INPUT_COLUMNS`), the reference first, then
        the chips in order of time. Exposures that are not in products, as their alignment failed,
        and those that were rejected here have one row, with the reason.

    Raises
    ------
    MissingProduct
        If a table or the reference is not there.
    MissingTool
        If DOLPHOT's programs are asked for and one is not on PATH.
    """
    choices = _with_absolute_maps(settings.dolphot_inputs, workdir)
    told = _exposures(workdir)
    aligned = [row for row in told if row["used"]]
    shared = _shared_inputs(choices, {str(row["detector_key"]) for row in aligned})
    planned = [_reference(workdir, choices, shared)]
    planned += [_exposure(workdir, row, choices, settings, shared) for row in aligned]
    left_out = [_left_out(row) for row in told if not row["used"]]
    recipe = Recipe(
        stage=INDEX_STAGE,
        inputs={each.path.name: each.recipe.digest for each in planned},
        settings={"left_out": {row["exposure"]: row["reason"] for row in left_out}},
    )
    batch = Batch(
        stage=STAGE,
        planned=planned,
        run=partial(_prepared, workdir=workdir, settings=settings, choices=choices),
        candidates=tuple(workdir.dolphot_inputs.parent.glob("inputs/*.chips.ecsv")),
    )

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        rows: list[dict[str, Any]] = []
        for each, outcome in zip(planned, outcomes, strict=True):
            rows += _rows(each, outcome)
        rows += left_out
        index = workdir.dolphot_inputs
        write_table(build_table(INPUT_COLUMNS, rows, {"target": workdir.target}), index)
        return Result((index,), _facts(rows))

    return make_indexed(batch, recipe, workdir.dolphot_inputs, workdir, write, redo=redo)


# ------------------------------------------------------------------------------ the plan


def _exposures(workdir: WorkDir) -> list[dict[str, Any]]:
    """The exposures in use with what their alignment says, in order of time."""
    table = read_table(workdir.target_exposures)
    if not workdir.target_alignment.is_file():
        raise MissingProduct(
            "the target has no alignment",
            where=workdir.target_alignment,
            next_step="Materialize target_alignment",
        )
    alignment = QTable.read(workdir.target_alignment, path="exposures", format="hdf5")
    verdicts = {_text(row["rootname"]): row for row in alignment}
    told = []
    for row in table[np.asarray(table["used"], dtype=bool)]:
        verdict = verdicts.get(str(row["rootname"]))
        told.append(
            {
                **{key: str(row[key]) for key in ("rootname", "file", "detector_key", "filter")},
                "exptime_s": float(row["exptime"].to_value(u.s)),
                "mjd_start": float(row["mjd_start"].to_value(u.day)),
                "used": verdict is not None and bool(verdict["used"]),
                "digest": "" if verdict is None else _text(verdict["digest"]),
                "reason": "not aligned" if verdict is None else _verdict(verdict),
            }
        )
    return sorted(told, key=lambda row: (row["mjd_start"], row["rootname"]))


def _verdict(row: Any) -> str:
    reason = _text(row["reason"])
    return f"alignment {_text(row['status'])}" + (f": {reason}" if reason else "")


def _text(value: Any) -> str:
    """Of a table in HDF5, where texts are bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _with_absolute_maps(choices: DolphotInputsSettings, workdir: WorkDir) -> DolphotInputsSettings:
    maps = {name: workdir.base / path for name, path in choices.pixel_area_maps.items()}
    return choices.model_copy(update={"pixel_area_maps": maps})


def _shared_inputs(choices: DolphotInputsSettings, detectors: set[str]) -> dict[str, str]:
    """Digests of the user's maps and of DOLPHOT's programs, by what reads them."""
    inputs = {f"map {name}": sha256_of_file(path) for name, path in choices.pixel_area_maps.items()}
    if choices.programs == "dolphot":
        names = {c_tools.SPLIT, c_tools.SKY, *(RULES[key].program for key in detectors)}
        for name, path in c_tools.located(names).items():
            inputs[f"program {name}"] = sha256_of_file(path)
    return inputs


def _of_detector(inputs: Mapping[str, str], key: str) -> dict[str, str]:
    """Of shared inputs those that decide chips of a detector; of the reference, all programs."""
    kept = {}
    for name, digest in inputs.items():
        kind, _, what = name.partition(" ")
        if kind == "map" and what.partition(".")[0] != key:
            continue
        if key and what.endswith("mask") and what != RULES[key].program:
            continue
        kept[name] = digest
    return kept


def _reference(
    workdir: WorkDir, choices: DolphotInputsSettings, shared: Mapping[str, str]
) -> _Chips:
    frame = read_reference(workdir)
    recipe = Recipe(
        stage=STAGE,
        inputs={"reference": frame.digest, **_of_detector(shared, "")},
        settings={"dolphot_inputs": {"programs": choices.programs, "sky": choices.sky}},
        defaults={"dolphot_inputs": DolphotInputsSettings().as_recipe()},
        tools=_TOOLS,
    ).known_in(workdir)
    told = {"role": "reference", "exposure": frame.name, "visit": "", "filter": ""}
    return _Chips(workdir.dolphot_chips(frame.image.name), frame.image, recipe, told)


def _exposure(
    workdir: WorkDir,
    row: Mapping[str, Any],
    choices: DolphotInputsSettings,
    settings: Settings,
    shared: Mapping[str, str],
) -> _Chips:
    key = str(row["detector_key"])
    decisive = choices.as_recipe()
    del decisive["pixel_area_maps"]  # their content is among the inputs
    decisive["sky"] = {key: decisive["sky"][key]}
    recipe = Recipe(
        stage=STAGE,
        inputs={str(row["rootname"]): str(row["digest"]), **_of_detector(shared, key)},
        settings={"dolphot_inputs": decisive, "target": settings.target.as_recipe()},
        defaults={"dolphot_inputs": DolphotInputsSettings().as_recipe()},
        detectors=(DETECTORS[key],),
        tools=(*_TOOLS, *(("astroscrappy",) if choices.add_crmask else ())),
    ).known_in(workdir)
    told = _of_exposure(row)
    source = workdir.aligned(str(row["file"]))
    return _Chips(workdir.dolphot_chips(source.name), source, recipe, told, detector_key=key)


def _of_exposure(row: Mapping[str, Any]) -> dict[str, Any]:
    rootname = str(row["rootname"])
    return {
        "role": "exposure",
        "exposure": rootname,
        "visit": visit_of_rootname(rootname),
        "filter": str(row["filter"]),
    }


# ----------------------------------------------------------------------------- the batch


def _prepared(
    due: Sequence[_Chips], *, workdir: WorkDir, settings: Settings, choices: DolphotInputsSettings
) -> Iterator[tuple[_Chips, Step | HstAssetsError]]:
    """Make chips in child processes, a few exposures at a time; how each is published."""
    cores = settings.machine.cores
    at_once = _IN_ONE_GO * cores
    whole = []
    for each in due:
        if gone := _missing(each):
            yield each, gone
        else:
            whole.append(each)
    # The reference has the largest image: it begins.
    whole.sort(key=lambda each: not each.is_reference)
    for start in range(0, len(whole), at_once):
        with workdir.scratch(STAGE) as scratch:
            some = [
                (each, _call(each, scratch, workdir)) for each in whole[start : start + at_once]
            ]
            answers = run_many_isolated(
                _TASK,
                [
                    replace(call, arguments=_told(each, call, settings, choices))
                    for each, call in some
                ],
                timeout_s=settings.machine.timeout_s(TOOL),
                max_cores=cores,
            )
            for (each, call), answer in zip(some, answers, strict=True):
                if isinstance(answer, HstAssetsError):
                    logger.warning("%s: %s", each.source.name, answer.brief)
                    yield each, answer
                else:
                    yield each, partial(_publish, each, call.scratch, answer, workdir)


def _missing(chips: _Chips) -> MissingProduct | None:
    for path in (chips.source, quality_file(chips.source)):
        if not path.is_file():
            return MissingProduct(
                "the aligned exposure is missing",
                where=path,
                next_step="Materialize aligned_exposures for its visit",
            )
    return None


def _call(chips: _Chips, scratch: Path, workdir: WorkDir) -> Call:
    folder = scratch / chips.path.name.removesuffix(".chips.ecsv")
    folder.mkdir()
    return Call({}, folder, workdir.log(STAGE, chips.shared["exposure"]))


def _told(
    chips: _Chips, call: Call, settings: Settings, choices: DolphotInputsSettings
) -> dict[str, Any]:
    """What the child process is told."""
    position = settings.target.position()
    return {
        "image": str(chips.source),
        "output": str(call.scratch),
        "detector": chips.detector_key,
        "position": None if position["ra_deg"] is None else list(position.values()),
        "settings": choices.as_recipe(),
    }


def _publish(
    chips: _Chips, folder: Path, answer: Sequence[Mapping[str, Any]], workdir: WorkDir
) -> Result:
    """Bring the chips of one exposure under their names, and take away those of an earlier run."""
    stem = chips.path.name.removesuffix(".chips.ecsv")
    for old in chips.path.parent.glob(f"{stem}.chip*"):
        if old != chips.path and old.suffix == ".fits":
            old.unlink()
    published, rows = [], []
    for told in answer:
        row = {**chips.shared, **told, "file": "", "sky_file": ""}
        if told["used"]:
            made = folder / f"{stem}.chip{told['chip']}.fits"
            path = workdir.dolphot_chip(chips.source.name, told["chip"])
            published.append(move_into_place(made, path))
            sky = workdir.dolphot_sky(path)
            published.append(move_into_place(workdir.dolphot_sky(made), sky))
            row["file"], row["sky_file"] = (
                str(each.relative_to(workdir.dolphot)) for each in (path, sky)
            )
        rows.append(row)
    write_table(build_table(INPUT_COLUMNS, rows), chips.path)
    return Result((chips.path, *published), {"chips": rows})


# ----------------------------------------------------------------------------- the index


def _rows(chips: _Chips, outcome: Made | HstAssetsError) -> list[dict[str, Any]]:
    if isinstance(outcome, Made):
        return [dict(row) for row in outcome.facts["chips"]]
    detector = DETECTORS.get(chips.detector_key)
    return [
        {
            **_nothing(outcome.brief),
            **chips.shared,
            "instrument": "" if detector is None else detector.instrument,
            "detector": "" if detector is None else detector.detector,
        }
    ]


def _left_out(row: Mapping[str, Any]) -> dict[str, Any]:
    detector = DETECTORS[str(row["detector_key"])]
    return {
        **_nothing(str(row["reason"])),
        **_of_exposure(row),
        "instrument": detector.instrument,
        "detector": detector.detector,
        "exptime_s": row["exptime_s"],
    }


def _nothing(reason: str) -> dict[str, Any]:
    """A row of what is not used."""
    values: dict[str, Any] = {}
    for spec in INPUT_COLUMNS:
        empty: dict[str, Any] = {"str": "", "int64": -1, "float64": None, "bool": False}
        values[spec.key or spec.name] = empty[spec.dtype]
    return {**values, "chip": 0, "reason": reason}


def _facts(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    used = [row for row in rows if row["used"] and row["role"] == "exposure"]
    whole = [row for row in rows if not row["used"] and row["chip"] == 0]
    facts: dict[str, Any] = {
        "n_exposures": len({row["exposure"] for row in used}),
        "n_chips": len(used),
        "reference": next(
            (row["file"] for row in rows if row["used"] and row["role"] == "reference"), ""
        ),
        "rejected": [f"{row['exposure']}: {row['reason']}" for row in whole],
        "chips_left_out": sum(not row["used"] and row["chip"] > 0 for row in rows),
        "notes": [
            f"{row['exposure']} chip {row['chip']}: {row['note']}" for row in rows if row["note"]
        ],
    }
    if not used:
        facts["note"] = "no chip of any exposure is left for DOLPHOT"
    return facts

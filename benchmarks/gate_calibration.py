"""How often the gate believes a wrong fit, and how often it refuses a right one.

    python benchmarks/gate_calibration.py --trials 1000 [--method tweakreg|catalog]
                                          [--kind KIND] [--results FILE] [--minutes M]

Each trial draws the star lists of an exposure and of its reference (easy, hard or treacherous,
see KINDS), gives them to the pipeline in the place of source finding, and lets its ladder of
tries, with the real tool, the written headers and the gate, run to the end. A fit is wrong if the
written WCS puts the true stars more than 0.5 pixel from their true places (median distance).

A trial is decided by its number alone. Results are appended to FILE, and what stands there is not
run again: a long run may be done in pieces. `--trials 0` only prints.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("ASTROMETRY_STEP_CONTROL", "OFF")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.stats import beta

from hst_assets.astrometry.exposure_field import Field
from hst_assets.astrometry.methods import attempts
from hst_assets.astrometry.methods.fit import FitTool
from hst_assets.astrometry.working_copy import WorkingCopy
from hst_assets.detection import image_planes
from hst_assets.detectors import DETECTORS
from hst_assets.settings import AlignmentSettings, GateSettings
from hst_assets.simulate.geometry import Subarray, chip_views
from hst_assets.simulate.star_lists import (
    ListPlan,
    StarLists,
    make_star_lists,
    median_error_pix,
    write_headers,
)
from hst_assets.sky_geometry import TangentPlane

SIZES = (5, 10, 15, 20, 30, 50, 100, 300, 1000, 5000)
WRONG_PIX = 0.5
CHIP_PART = Subarray(1000, 500, 1024, 1024)

#: How often each detector is drawn: a WFPC2 trial costs as much as four of the others.
DETECTOR_SHARES = {
    "wfc3_uvis": 0.22,
    "wfc3_ir": 0.22,
    "acs_wfc": 0.22,
    "acs_hrc": 0.22,
    "wfpc2": 0.12,
}

#: The kinds of fields, how often each is drawn, and whether a right fit exists to be believed.
KINDS = {
    "plain": (2, True),
    "cosmic rays": (3, True),
    "deeper reference": (2, True),
    "deeper exposure": (2, True),
    "clustered": (2, True),
    "one corner": (2, True),
    "rotated 0.05-0.1 deg": (2, True),
    "shift of 1-3 arcsec": (2, True),
    "all at once": (3, True),
    "fit without rotation, none needed": (1, True),
    "unrelated": (5, False),
    "unrelated, clustered": (3, False),
    "lattice": (2, False),
    "unrelated on one lattice": (1, False),
    "second population": (5, False),
    "second population, clustered": (4, False),
    "doubled reference": (3, False),
    "fit without rotation, 0.01-0.1 deg needed": (3, False),
}


def main() -> int:
    options = _options()
    warnings.simplefilter("ignore")
    results = options.results or Path(tempfile.mkdtemp(prefix="gate-")) / "trials.jsonl"
    done = _read(results)
    if options.trials:
        _run(options, results, {row["index"] for row in done})
        done = _read(results)
    false = report([row for row in done if row["method"] == options.method])
    return int(false > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200, help="number of the last trial")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--method", choices=["tweakreg", "catalog"], default="tweakreg")
    parser.add_argument("--kind", choices=list(KINDS), help="only trials of this kind")
    parser.add_argument("--min-matches", type=int, help="gate.min_matches, min_objects")
    parser.add_argument("--results", type=Path, help="file of results to go on with")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long")
    return parser.parse_args()


# ------------------------------------------------------------------------------------ trials


def _run(options: argparse.Namespace, results: Path, done: set[int]) -> None:
    end = time.monotonic() + 60 * options.minutes
    limits, how = GateSettings(), AlignmentSettings()
    if options.min_matches:
        limits = limits.model_copy(update={"min_matches": options.min_matches})
        how = how.model_copy(update={"min_objects": options.min_matches})
    headers = results.with_suffix(".headers")
    headers.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gate-trials-") as folder:
        fields = _Fields(Path(folder), headers)
        for index in range(options.first, options.trials):
            kind, plan, geometry = draw(index)
            if index in done or (options.kind and kind != options.kind):
                continue
            if time.monotonic() > end:
                break
            asked = how.model_copy(update={"fit_geometry": geometry})
            row = _trial(fields, plan, asked, limits, options.method)
            row = {"index": index, "kind": kind, "method": options.method, **row}
            with results.open("a") as file:
                file.write(json.dumps(row) + "\n")


def draw(index: int) -> tuple[str, ListPlan, str]:
    """The field of a trial: its kind, its plan, and what the fit may change."""
    rng = np.random.default_rng([index, 11])
    names, weights = list(KINDS), np.array([weight for weight, _ in KINDS.values()], dtype=float)
    kind = str(rng.choice(names, p=weights / weights.sum()))
    n = int(rng.choice(SIZES, p=np.array([1, 2, 2, 3, 3, 3, 2, 1.5, 0.5, 0.1]) / 18.1))
    key = str(rng.choice(list(DETECTOR_SHARES), p=list(DETECTOR_SHARES.values())))
    in_part = key in ("wfc3_uvis", "acs_wfc") and rng.random() < 0.6
    angle, size = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.9)
    plan = ListPlan(
        detector_key=key,
        n_common=n,
        n_spurious=int(n * rng.uniform(0, 0.3)),
        n_exposure_only=int(n * rng.uniform(0, 0.5)),
        n_reference_only=int(n * rng.uniform(0, 2)),
        faintest_snr=float(np.exp(rng.uniform(np.log(4.5), np.log(20)))),
        error_arcsec=(size * np.cos(angle), size * np.sin(angle)),
        roll_error_deg=float(rng.normal(0, 0.004)),
        subarray=CHIP_PART if in_part else None,
        seed=index,
    )
    geometry = "shift" if kind.startswith("fit without") else "rshift"
    return kind, _made_so(plan, kind, rng), geometry


def _made_so(plan: ListPlan, kind: str, rng: np.random.Generator) -> ListPlan:
    """The plan with what its kind is about."""
    n = plan.n_common
    sign = float(rng.choice([-1, 1]))
    angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(1, 2.9)
    big_shift = (far * np.cos(angle), far * np.sin(angle))
    apart = rng.uniform(0.5, 3.0)
    second = {
        "second_share": rng.uniform(0.25, 0.5),
        "second_offset_pix": (apart * np.cos(angle), apart * np.sin(angle)),
    }
    crowd = max(n, 30)  # too few to be drawn into a trap are no trap
    changes: dict[str, dict[str, Any]] = {
        "cosmic rays": {"n_spurious": int(n * rng.uniform(1, 5))},
        "deeper reference": {"n_reference_only": int(n * rng.uniform(2, 8))},
        "deeper exposure": {"n_exposure_only": int(n * rng.uniform(1, 4))},
        "clustered": {"layout": "cluster", "n_spurious": int(n * rng.uniform(0, 2))},
        "one corner": {"layout": "corner", "n_spurious": int(n * rng.uniform(0, 2))},
        "rotated 0.05-0.1 deg": {"roll_error_deg": sign * rng.uniform(0.05, 0.097)},
        "shift of 1-3 arcsec": {"error_arcsec": big_shift},
        "all at once": {
            "n_spurious": int(n * rng.uniform(1, 3)),
            "n_reference_only": int(n * rng.uniform(1, 4)),
            "n_exposure_only": int(n * rng.uniform(0, 1)),
            "error_arcsec": big_shift,
            "roll_error_deg": sign * rng.uniform(0, 0.097),
        },
        "fit without rotation, none needed": {"roll_error_deg": sign * rng.uniform(0, 0.001)},
        "unrelated": {
            "related": False,
            "n_spurious": int(n * rng.uniform(0, 5)),
            "n_reference_only": int(n * rng.uniform(0, 8)),
        },
        "unrelated, clustered": {
            "related": False,
            "layout": "cluster",
            "n_spurious": int(n * rng.uniform(0, 1)),
        },
        "lattice": {"layout": "lattice", "n_common": crowd, "lattice_pix": rng.uniform(8, 95)},
        "unrelated on one lattice": {
            "layout": "lattice",
            "related": False,
            "n_common": crowd,
            "lattice_pix": rng.uniform(8, 95),
        },
        "second population": second,
        "second population, clustered": {**second, "second_clustered": True},
        "doubled reference": {
            **second,
            "second": "doubled",
            "second_share": rng.uniform(0.5, 1.0),
        },
        "fit without rotation, 0.01-0.1 deg needed": {
            "roll_error_deg": sign * rng.uniform(0.01, 0.1)
        },
    }
    return replace(plan, **changes.get(kind, {}))


class _Fields:
    """Exposures of headers alone, one a detector and readout, made once and kept."""

    def __init__(self, folder: Path, headers: Path) -> None:
        self.folder, self.headers = folder, headers

    def path(self, plan: ListPlan) -> Path:
        folder = self.headers / f"{plan.detector_key}{'-part' if plan.subarray else ''}"
        if not folder.is_dir():
            new = Path(tempfile.mkdtemp(dir=self.headers))
            write_headers(plan.detector_key, new, subarray=plan.subarray)
            new.replace(folder)
        return next(folder.glob("*.fits"))

    def field(self, plan: ListPlan, folder: Path) -> tuple[Field, StarLists]:
        """What the ladder starts from, and the lists that stand for the pixels."""
        science = folder / self.path(plan).name
        shutil.copyfile(self.path(plan), science)
        wcs_of = image_planes.wcs_by_extver(science)
        lists = make_star_lists(plan, wcs_of)
        nothing = np.zeros((1, 1))
        planes = [
            image_planes.Plane(nothing, nothing > 0, nothing > 0, nothing > 0, wcs, extver)
            for extver, wcs in wcs_of.items()
        ]
        corners = np.vstack(
            [
                wcs_of[view.extver].all_pix2world([[0, 0], [view.nx, view.ny]], 0)
                for view in chip_views(plan.detector_key, plan.subarray)
            ]
        )
        detector = DETECTORS[plan.detector_key]
        plane = TangentPlane.about(corners, detector.pixel_scale_arcsec)
        copy = WorkingCopy(science, science)
        none = [None] * len(planes)
        name = f"trial{plan.seed}"
        return Field(copy, detector, planes, none, plane, lists.reference_sky, name), lists


def _trial(
    fields: _Fields, plan: ListPlan, how: AlignmentSettings, limits: GateSettings, method: str
) -> dict[str, Any]:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=fields.folder) as scratch, contextlib.chdir(scratch):
        field, lists = fields.field(plan, Path(scratch))
        with _silent(fields.folder / "tool.log"), _given(field, lists):
            answer = attempts.align_copy(
                field.copy,
                _tool(method),
                detector=plan.detector_key,
                rootname=field.rootname,
                catalogue=Path("unread"),
                how=how,
                limits=limits,
            )
        error = None
        if answer["status"] != "FAIL":
            after = image_planes.wcs_by_extver(field.copy.science)
            error = median_error_pix(after, lists.truth, field.detector.pixel_scale_arcsec)
    return {
        "detector": plan.detector_key,
        "n": plan.n_common,
        "status": answer["status"],
        "error_pix": error,
        "reason": answer["reason"],
        "n_tries": len(answer["tries"]),
        "seconds": round(time.monotonic() - started, 2),
        "numbers": answer["numbers"],
    }


def _tool(method: str) -> FitTool:
    """What the method's own task fits with."""
    if method == "catalog":
        from hst_assets.astrometry.methods.catalog_fit import fit_to_catalog

        return fit_to_catalog
    from hst_assets.astrometry.methods.tweakreg_fit import run_tweakreg

    return run_tweakreg


@contextlib.contextmanager
def _given(field: Field, lists: StarLists) -> Iterator[None]:
    """The pipeline's tries with the lists in the place of reading and source finding."""
    with (
        mock.patch.object(attempts, "read_field", return_value=field),
        mock.patch.object(
            attempts,
            "exposure_stars",
            lambda *asked: lists.above(asked[3], asked[2].n_brightest),
        ),
    ):
        yield


@contextlib.contextmanager
def _silent(log: Path) -> Iterator[None]:
    """What the tools print goes to a file."""
    import logging

    logging.disable(logging.CRITICAL)
    sys.stdout.flush()
    kept = os.dup(1), os.dup(2)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for each in (target, *kept):
            os.close(each)


# ------------------------------------------------------------------------------------ report


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def upper_limit(count: int, trials: int) -> float:
    """95 % upper limit of a rate (Clopper and Pearson 1934)."""
    return 1.0 if count >= trials else float(beta.ppf(0.95, count + 1, trials - count))


def _is_false(row: dict[str, Any]) -> bool:
    return row["status"] != "FAIL" and not row["error_pix"] <= WRONG_PIX


def report(rows: list[dict[str, Any]]) -> int:
    """Print both tables; return the number of wrong fits believed."""
    print("| kind | trials | believed and right | believed and wrong | 95 % limit | refused |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in KINDS:
        _print_kind(kind, [row for row in rows if row["kind"] == kind])
    _print_kind("all", rows)
    print()
    print("| common stars | trials | right fits refused | COMPROMISED |")
    print("| --- | --- | --- | --- |")
    right = [row for row in rows if KINDS[row["kind"]][1]]
    for low, high in zip(SIZES, [*SIZES[1:], None], strict=True):
        of_size = [row for row in right if low <= row["n"] and (high is None or row["n"] < high)]
        _print_size(str(low), of_size)
    _print_size("more than 20", [row for row in right if row["n"] > 20])
    return sum(map(_is_false, rows))


def _print_kind(kind: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    false = sum(map(_is_false, rows))
    refused = sum(row["status"] == "FAIL" for row in rows)
    limit = upper_limit(false, len(rows))
    print(
        f"| {kind} | {len(rows)} | {len(rows) - false - refused} | {false} "
        f"| {100 * limit:.2f} % | {refused} |"
    )


def _print_size(name: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    refused = sum(row["status"] == "FAIL" for row in rows)
    doubted = sum(row["status"] == "COMPROMISED" for row in rows)
    share = 100 * refused / len(rows)
    print(f"| {name} | {len(rows)} | {refused} ({share:.1f} %) | {doubted} |")


if __name__ == "__main__":
    sys.exit(main())

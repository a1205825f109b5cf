"""Differences between the epochs of a target, and the table that lists them.

For each detector and filter with two epochs or more, each epoch minus the template epoch. If one
difference fails, the others are made all the same; its row in the table says why it failed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits

from hst_assets.detectors import DETECTORS, Detector
from hst_assets.failures import (
    BadConfiguration,
    HstAssetsError,
    MissingProduct,
    NoOverlap,
    UnusableInput,
)
from hst_assets.imaging.differences.cards import difference_headers
from hst_assets.imaging.differences.subtraction import (
    Difference,
    Figures,
    Stack,
    read_stack,
    subtract,
)
from hst_assets.imaging.frames import Frame
from hst_assets.products.batch import Batch, one_by_one
from hst_assets.products.columns import (
    ColumnSpec,
    build_table,
    no_numbers,
    read_table,
    write_table,
)
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.products.preview import write_preview
from hst_assets.provenance import Made, Recipe, Result, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["DIFFERENCE_COLUMNS", "STAGE", "judge_difference", "make_differences", "not_compared"]

logger = logging.getLogger(__name__)

#: Stage name in the record beside each difference.
STAGE = "difference_image"
_TOOLS = ("photutils", "scipy")

#: Limits of the check: scatter of empty pixels over prediction, residual sky over the error of a
#: pixel, and offset of the stars in product pixels.
NOISE_RATIO_LIMITS = (0.75, 1.33)
MAX_RESIDUAL_SKY_SIGMA = 0.5
MAX_OFFSET_PIX = 0.2


@dataclass(frozen=True)
class _Epoch:
    """One existing epoch stack."""

    path: Path
    band: str
    epoch: int
    exptime_s: float
    mjd_start: float
    digest: str
    n_exposures: int

    @property
    def detector(self) -> Detector:
        return DETECTORS[self.band.partition(".")[0]]


@dataclass(frozen=True)
class _Pair:
    """One planned difference."""

    path: Path
    epoch: _Epoch
    template: _Epoch
    recipe: Recipe


def make_differences(workdir: WorkDir, settings: Settings, *, redo: bool = False) -> Made:
    """Subtract the template epoch from the other epochs of each detector and filter.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its stacks must exist.
    settings : Settings
        Sections difference and drizzle.
    redo : bool, optional
        Make again what is up to date, too.

    Returns
    -------
    Made
        Product: the index ``drizzle/differences.ecsv``. Bands with one epoch have no row; a pair
        without a common pixel has one with its reason.

    Raises
    ------
    MissingProduct
        If there is no index of stacks.
    BadConfiguration
        If ``difference.template`` is the number of an epoch that no band has.
    """
    epochs = _standing_epochs(workdir)
    pairs = _pairs(workdir, epochs, settings)
    bands = sorted({epoch.band for epoch in epochs})
    with_pairs = {pair.epoch.band for pair in pairs}
    single = [band for band in bands if band not in with_pairs]
    index = workdir.difference_products
    recipe = Recipe(
        stage="epoch_differences",
        inputs={pair.path.name: pair.recipe.digest for pair in pairs},
        settings={"single_epoch": single, **_judged_by(settings)},
        defaults=_judged_by(Settings()),
    )
    batch = Batch(
        stage=STAGE,
        planned=pairs,
        run=one_by_one(partial(_subtracted, workdir=workdir)),
        candidates=tuple(workdir.drizzle.glob("*.diff_*.fits")),
    )

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        rows = [
            _row(pair, outcome, workdir, settings)
            for pair, outcome in zip(pairs, outcomes, strict=True)
        ]
        meta = {"target": workdir.target, "single_epoch": single}
        write_table(build_table(DIFFERENCE_COLUMNS, rows, meta), index)
        records = [outcome.record for outcome in outcomes if isinstance(outcome, Made)]
        outputs = (index, *(path for record in records for path in record.paths(workdir)))
        return Result(outputs, _facts(rows, single, workdir))

    return make_indexed(batch, recipe, index, workdir, write, redo=redo)


def _judged_by(settings: Settings) -> dict[str, Any]:
    """The settings by which the figures of the differences are judged in their index."""
    return {"drizzle": {"max_flux_error": settings.drizzle.max_flux_error}}


# ------------------------------------------------------------------------ what is to be made


def _standing_epochs(workdir: WorkDir) -> list[_Epoch]:
    if not workdir.stack_products.is_file():
        raise MissingProduct(
            "the target has no stacks",
            where=workdir.stack_products,
            next_step="Materialize drizzled_stacks first",
        )
    return [
        _Epoch(
            path=workdir.absolute(str(row["file"])),
            band=str(row["band"]),
            epoch=int(row["epoch"]),
            exptime_s=float(row["exptime"].to_value(u.s)),
            mjd_start=float(row["mjd_start"].to_value(u.day)),
            digest=str(row["digest"]),
            n_exposures=int(row["n_exposures"]),
        )
        for row in read_table(workdir.stack_products)
        if int(row["epoch"]) > 0 and str(row["status"]) != "FAIL"
    ]


def _pairs(workdir: WorkDir, epochs: Sequence[_Epoch], settings: Settings) -> list[_Pair]:
    wanted = settings.difference.template
    numbers = {epoch.epoch for epoch in epochs}
    if isinstance(wanted, int) and epochs and wanted not in numbers:
        raise BadConfiguration(
            f"difference.template is {wanted}; there is no such epoch",
            where=workdir.settings_file,
            next_step=f"Epochs with a stack: {', '.join(map(str, sorted(numbers)))}",
        )
    pairs = []
    for band in sorted({epoch.band for epoch in epochs}):
        members = sorted(
            (epoch for epoch in epochs if epoch.band == band), key=lambda epoch: epoch.mjd_start
        )
        template = _template(members, wanted)
        pairs += [
            _pair(workdir, epoch, template, settings) for epoch in members if epoch != template
        ]
    return pairs


def _template(members: Sequence[_Epoch], wanted: str | int) -> _Epoch:
    """The epoch that is subtracted; a number counts for the band that has it."""
    for epoch in members:
        if epoch.epoch == wanted:
            return epoch
    if wanted == "first":
        return members[0]
    if wanted == "last":
        return members[-1]
    return max(members, key=lambda epoch: (epoch.exptime_s, -epoch.mjd_start))


def _pair(workdir: WorkDir, epoch: _Epoch, template: _Epoch, settings: Settings) -> _Pair:
    name = settings.drizzle.object_name
    recipe = Recipe(
        stage=STAGE,
        inputs={"epoch": epoch.digest, "template": template.digest},
        settings={"epoch": epoch.epoch, "template": template.epoch},
        detectors=(epoch.detector,),
        tools=_TOOLS,
    ).known_in(workdir)
    path = workdir.difference(epoch.band, epoch.epoch, template.epoch, name)
    return _Pair(path, epoch, template, recipe)


# ------------------------------------------------------------------------------------ making


def _subtracted(pair: _Pair, workdir: WorkDir) -> Result:
    epoch, template = _stack(pair.epoch, workdir), _stack(pair.template, workdir)
    difference = subtract(epoch, template)
    headers = difference_headers(
        difference,
        epoch=epoch,
        template=template,
        names=(pair.epoch.path.name, pair.template.path.name),
        digests=(pair.epoch.digest, pair.template.digest),
        numbers=(pair.epoch.epoch, pair.template.epoch),
        recipe=pair.recipe.digest,
    )
    with write_atomically(pair.path) as part:
        _write(part, difference, headers)
    preview = WorkDir.preview(pair.path)
    write_preview(pair.path, preview, symmetric=True)
    facts = {
        **_flat(difference.figures),
        "mjd_epoch": float(epoch.primary["MJD-AVG"]),
        "mjd_template": float(template.primary["MJD-AVG"]),
        "zero_point_ab": headers["PRIMARY"].get("ZPAB"),
        "bunit": headers["PRIMARY"]["BUNIT"],
        "nx": difference.frame.nx,
        "ny": difference.frame.ny,
    }
    return Result((pair.path, preview), facts)


def _stack(epoch: _Epoch, workdir: WorkDir) -> Stack:
    record = read_record(epoch.path)
    again = "Materialize drizzled_stacks again"
    if record is None:
        raise MissingProduct(
            "the record of the stack is missing", where=epoch.path, next_step=again
        )
    if not record.whole(workdir):
        raise MissingProduct(
            "the stack has changed since it was made", where=epoch.path, next_step=again
        )
    try:
        figures = {field.name: record.facts[field.name] for field in fields(Frame)}
        frame = Frame.from_json(figures)
    except (KeyError, TypeError) as error:
        raise MissingProduct(
            f"its record does not give its frame: {error}", where=epoch.path, next_step=again
        ) from error
    try:
        return read_stack(epoch.path, frame, epoch.detector)
    except UnusableInput as error:
        # It is named by the same recipe when it has been made again: no verdict on this pair.
        raise MissingProduct(error.what, where=epoch.path, next_step=again) from error


def _flat(figures: Figures) -> dict[str, Any]:
    """The figures as plain numbers."""
    flat = {field.name: getattr(figures, field.name) for field in fields(Figures)}
    stars = flat.pop("stars")
    x, y = stars.offset_pix or (None, None)
    return {
        **flat,
        "offset_x_pix": x,
        "offset_y_pix": y,
        "offset_error_pix": stars.offset_error_pix,
        "flux_ratio": stars.flux_ratio,
        "star_floor": stars.flux_floor,
        "n_stars": stars.n_stars,
    }


def _write(path: Path, difference: Difference, headers: Mapping[str, fits.Header]) -> None:
    """Write SCI, ERR and DQ with checksums; it must be legal FITS."""
    hdus = fits.HDUList([fits.PrimaryHDU(header=headers["PRIMARY"])])
    for name, data in (
        ("SCI", difference.data),
        ("ERR", difference.error),
        ("DQ", difference.flags),
    ):
        hdus.append(fits.ImageHDU(data, header=headers[name], name=name, ver=1))
    hdus.verify("exception")
    for hdu in hdus:
        hdu.add_checksum(when="HDU checksum")  # astropy's own comment would hold the time
    hdus.writeto(path, output_verify="exception", overwrite=True)


# ------------------------------------------------------------------------------------- index


def judge_difference(facts: Mapping[str, Any], *, max_flux_error: float) -> list[str]:
    """What is beyond the limits of a difference's figures, in words."""
    problems = [facts["not_scaled"]] if facts.get("not_scaled") else []
    ratio = facts["noise_ratio"]
    if ratio is not None and not NOISE_RATIO_LIMITS[0] <= ratio <= NOISE_RATIO_LIMITS[1]:
        problems.append(f"empty pixels scatter {ratio:.2f} times as much as their errors predict")
    sky, error = facts["residual_sky"], facts["median_error"]
    if sky is not None and abs(sky) > MAX_RESIDUAL_SKY_SIGMA * error:
        problems.append(f"the skies differ by {abs(sky) / error:.2f} errors of a pixel")
    x, y = facts["offset_x_pix"], facts["offset_y_pix"]
    if x is not None and np.hypot(x, y) > MAX_OFFSET_PIX:
        problems.append(f"stars are {np.hypot(x, y):.2f} pixel apart")
    flux = facts["flux_ratio"]
    if flux is not None and abs(flux - 1.0) > max_flux_error:
        problems.append(f"stars have {flux:.3f} times their flux on the template")
    return problems


def not_compared(facts: Mapping[str, Any]) -> list[str]:
    """Which of a difference's checks had nothing to compare, in words."""
    lacking = []
    if facts["noise_ratio"] is None:
        lacking.append("noise: too few empty pixels, or no formula for the kernel")
    if facts["residual_sky"] is None:
        lacking.append("skies: too few empty pixels")
    stars = [
        what
        for what, figure in (("positions", "offset_x_pix"), ("fluxes", "flux_ratio"))
        if facts[figure] is None
    ]
    if stars:
        lacking.append(f"{' and '.join(stars)} of stars: {facts['n_stars']} can be compared")
    return lacking


DIFFERENCE_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "Difference, relative to the work directory; empty if there is none"),
    ColumnSpec("band", "str", "Detector and filter"),
    ColumnSpec("epoch", "int64", "Number of the epoch"),
    ColumnSpec("template", "int64", "Number of the epoch that was subtracted"),
    ColumnSpec("n_pixels", "int64", "Pixels covered by both"),
    ColumnSpec("n_stars", "int64", "Stars that offset and flux ratio are from"),
    ColumnSpec("mjd_epoch", "float64", "Mean time of the epoch, MJD UTC", u.day),
    ColumnSpec("mjd_template", "float64", "Mean time of the template, MJD UTC", u.day),
    ColumnSpec(
        "zero_point", "float64", "AB magnitude of one count per second", u.mag, "zero_point_ab"
    ),
    ColumnSpec("median_error", "float64", "Median error of an empty pixel, counts per second"),
    ColumnSpec("residual_sky", "float64", "Difference of the skies that was subtracted"),
    ColumnSpec("residual_sky_error", "float64", "Its error"),
    ColumnSpec("noise_ratio", "float64", "Scatter of single empty pixels over prediction"),
    ColumnSpec("correlation", "float64", "Errors that add up over the scatter of single pixels"),
    ColumnSpec("drop_ratio", "float64", "Side of the drop over that of the pixel"),
    ColumnSpec(
        "offset_x",
        "float64",
        "Offset of the epoch's stars from the template's, x",
        u.pix,
        "offset_x_pix",
    ),
    ColumnSpec("offset_y", "float64", "The same, y", u.pix, "offset_y_pix"),
    ColumnSpec(
        "offset_error", "float64", "Its standard error on an axis", u.pix, "offset_error_pix"
    ),
    ColumnSpec("flux_ratio", "float64", "Fluxes of stars over those on the template"),
    ColumnSpec("star_floor", "float64", "Relative error of a star's flux beyond ERR"),
    ColumnSpec(
        "flagged", "float64", "Share of covered pixels that are flagged", key="flagged_fraction"
    ),
    ColumnSpec(
        "status",
        "str",
        "OK, UNCHECKED (no check failed, one had nothing to compare), PROBLEM (a check failed; it "
        "is kept), NONE (nothing to subtract) or FAIL",
    ),
    ColumnSpec("reason", "str", "Why there is none"),
    ColumnSpec("problems", "str", "Which checks failed"),
    ColumnSpec("not_checked", "str", "Which checks had nothing to compare, and why"),
    ColumnSpec("note", "str", "Circumstances that are no fault"),
    ColumnSpec("digest", "str", "Digest of the recipe"),
)


def _row(
    pair: _Pair, outcome: Made | HstAssetsError, workdir: WorkDir, settings: Settings
) -> dict[str, Any]:
    row: dict[str, Any] = {
        **no_numbers(DIFFERENCE_COLUMNS),
        "file": "",
        "band": pair.epoch.band,
        "epoch": pair.epoch.epoch,
        "template": pair.template.epoch,
        "status": "FAIL",
        "reason": "",
        "problems": "",
        "not_checked": "",
        "note": _note(pair),
        "digest": pair.recipe.digest,
        "n_pixels": 0,
        "n_stars": 0,
    }
    if isinstance(outcome, HstAssetsError):
        # Epochs that looked at different places are no failure.
        apart = isinstance(outcome, NoOverlap)
        logger.log(logging.INFO if apart else logging.WARNING, "%s: %s", pair.path.name, outcome)
        return {**row, "status": "NONE" if apart else "FAIL", "reason": outcome.brief}
    facts = outcome.facts
    problems = judge_difference(facts, max_flux_error=settings.drizzle.max_flux_error)
    lacking = not_compared(facts)
    return {
        **row,
        **facts,
        "file": workdir.relative(pair.path),
        "status": "PROBLEM" if problems else "UNCHECKED" if lacking else "OK",
        "problems": "; ".join(problems),
        "not_checked": "; ".join(lacking),
    }


def _note(pair: _Pair) -> str:
    if not pair.epoch.detector.clean_cosmic_rays:
        return ""
    single = [
        what
        for what, epoch in (("epoch", pair.epoch), ("template", pair.template))
        if epoch.n_exposures == 1
    ]
    return f"cosmic rays stay: one exposure of the {' and of the '.join(single)}" if single else ""


def _facts(
    rows: Sequence[Mapping[str, Any]], single: Sequence[str], workdir: WorkDir
) -> dict[str, Any]:
    """What is recorded and shown of all differences."""
    standing = [row for row in rows if row["file"]]
    return {
        "n_differences": len(standing),
        "single_epoch_bands": list(single),
        "differences": [
            {
                "difference": Path(row["file"]).name,
                "days": round(row["mjd_epoch"] - row["mjd_template"], 3),
                "error": row["median_error"],
                "noise_ratio": row["noise_ratio"],
                "residual_sky": row["residual_sky"],
                "offset_pix": None
                if row["offset_x_pix"] is None
                else round(float(np.hypot(row["offset_x_pix"], row["offset_y_pix"])), 4),
                "flux_ratio": row["flux_ratio"],
                "problems": row["problems"],
            }
            for row in standing
        ],
        "without_overlap": [_told(row) for row in rows if row["status"] == "NONE"],
        "failed": [_told(row) for row in rows if row["status"] == "FAIL"],
        "problems": [
            f"{Path(row['file']).name}: {row['problems']}" for row in standing if row["problems"]
        ],
        "not_checked": [
            f"{Path(row['file']).name}: {row['not_checked']}"
            for row in standing
            if row["not_checked"]
        ],
        "notes": [f"{Path(row['file']).name}: {row['note']}" for row in standing if row["note"]],
        "previews": [
            workdir.relative(WorkDir.preview(workdir.absolute(row["file"]))) for row in standing
        ],
    }


def _told(row: Mapping[str, Any]) -> str:
    return f"{row['band']} epoch {row['epoch']} - {row['template']}: {row['reason']}"

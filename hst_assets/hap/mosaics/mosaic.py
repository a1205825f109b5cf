"""Multi-visit mosaics of a target, layer by layer: what drizzlepac's runmultihap makes.

A layer is made by recipe: its exposures and the parameters that are used for it. When another
visit comes, the layers that its exposures reach into are made again; the others keep their bytes.
For that each layer is cut to the bounding box of its own exposures. (runmultihap cuts all layers
of a sky cell to the box of all exposures in its poller, as `hst_assets.hap.mosaics.run` does; both
lie on the grid of the sky cell.)
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import astropy.units as u

from hst_assets.failures import HstAssetsError, UnusableInput
from hst_assets.hap.mosaics.drizzle import (
    LayerOptions,
    LayerRequest,
    drizzle_layers,
    failure_of,
    parameters_in,
)
from hst_assets.hap.mosaics.layers import (
    PIXEL_SCALES_ARCSEC,
    MosaicInput,
    MosaicLayer,
    mosaic_input,
    mosaic_layers,
)
from hst_assets.imaging.astrodrizzle.run import TOOLS
from hst_assets.products.batch import Batch, Step
from hst_assets.products.columns import ColumnSpec, build_table, write_table
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.products.preview import write_preview
from hst_assets.provenance import Made, Recipe, Result, sha256_of_file
from hst_assets.settings import HapSettings, MachineSettings
from hst_assets.workdir import WorkDir, move_into_place, write_atomically

__all__ = ["INDEX_NAME", "MOSAIC_COLUMNS", "STAGE", "MosaicResult", "make_mosaics", "mosaic_layers"]

logger = logging.getLogger(__name__)

STAGE = "hap_mosaic"
INDEX_NAME = "mosaics.ecsv"

MOSAIC_COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec("file", "str", "Image, relative to the work directory; empty if it failed"),
    ColumnSpec("skycell", "str", "Sky cell"),
    ColumnSpec("instrument", "str", "Instrument"),
    ColumnSpec("detector", "str", "Detector"),
    ColumnSpec("filter", "str", "Filter"),
    ColumnSpec("layer", "str", "fine or coarse"),
    ColumnSpec("pixel_scale", "float64", "Side of a pixel", u.arcsec),
    ColumnSpec("n_visits", "int64", "Number of visits"),
    ColumnSpec("n_exposures", "int64", "Number of exposures that were drizzled"),
    ColumnSpec("exptime", "float64", "Their exposure time", u.s),
    ColumnSpec("mean_exposures", "float64", "Mean number of chips over an exposed pixel"),
    ColumnSpec("nx", "int64", "Pixels in x; 0 if it failed"),
    ColumnSpec("ny", "int64", "Pixels in y; 0 if it failed"),
    ColumnSpec("status", "str", "OK or FAIL"),
    ColumnSpec("reason", "str", "Why it failed, or which exposures were not taken"),
    ColumnSpec("digest", "str", "SHA-256 of the image's recipe"),
)


@dataclass(frozen=True)
class MosaicResult:
    """The result of a target's mosaics.

    Attributes
    ----------
    made : Made
        The index, ``mosaics.ecsv``.
    layers : tuple of MosaicLayer
        The layers that were planned.
    left_out : mapping
        Exposures that are in no layer, and why.
    not_aligned : tuple of str
        Exposures in layers that were not fitted to Gaia.
    """

    made: Made
    layers: tuple[MosaicLayer, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    not_aligned: tuple[str, ...] = ()

    @property
    def failures(self) -> Mapping[str, str]:
        """The layers that could not be made: kind of failure by file."""
        failures: Mapping[str, str] = self.made.facts["failures"]
        return failures


@dataclass(frozen=True)
class _Planned:
    """A layer, the file that it will be, and its recipe."""

    layer: MosaicLayer
    path: Path
    recipe: Recipe


def make_mosaics(
    inputs: Iterable[Path],
    *,
    folder: Path,
    workdir: WorkDir,
    settings: HapSettings,
    machine: MachineSettings,
    digests: Mapping[Path, str] | None = None,
    unusable: Mapping[str, str] | None = None,
    redo: bool = False,
) -> MosaicResult:
    """Make the layers that exposures of several visits reach into, as far as they are not made.

    Parameters
    ----------
    inputs : iterable of Path
        Exposures as HAP's single-visit code leaves them: ``hst_..._flt.fits`` or ``_flc``.
    folder : Path
        In the work directory; each sky cell has its own in it, with ``runmultihap``'s names.
    workdir : WorkDir
        The target's.
    settings : HapSettings
        Parameters, and whether exposures count that were not aligned to Gaia.
    machine : MachineSettings
        How many layers are made at a time, if memory allows, and the time limit (tool ``hap``).
    digests : mapping, optional
        What the exposures were made from, by path: digests of recipes. By default their contents
        count.
    unusable : mapping, optional
        Further exposures that are in no layer, and why.
    redo : bool, optional
        Make again what is up to date, too.

    Returns
    -------
    MosaicResult
        A layer that fails does not stop the others; the index has the reason.

    Raises
    ------
    UnusableInput
        If no exposure is in any layer, or one was not left by HAP's single-visit code.
    MissingProduct
        If an exposure is not there.
    BadConfiguration
        If the file of parameters cannot be read.
    WouldBeMade
        Instead of making anything, if the work directory is only looked at.
    """
    given = sorted((mosaic_input(path) for path in inputs), key=lambda one: one.path.name)
    left_out = dict(unusable or {})
    left_out |= {one.path.name: why for one in given if (why := _why_left_out(one, settings))}
    taken = [one for one in given if one.path.name not in left_out]
    layers = mosaic_layers(taken)
    inside = {one.path.name for layer in layers for one in layer.members}
    for one in taken:
        if one.path.name not in inside:
            left_out[one.path.name] = (
                "of a grism, prism or ramp, or not corrected beside others that are"
            )
    if not layers:
        raise UnusableInput(
            "no exposure is one that a mosaic is made of",
            where="; ".join(f"{name}: {why}" for name, why in left_out.items()) or None,
            next_step="Give the hst_..._flt.fits or _flc.fits of direct images",
        )
    parameters = {} if settings.parameters_file is None else parameters_in(settings.parameters_file)
    known = {path.absolute(): digest for path, digest in (digests or {}).items()}
    for one in given:
        if one.path.absolute() not in known:
            known[one.path.absolute()] = sha256_of_file(one.path)
    planned = [_planned(layer, folder, known, parameters, settings) for layer in layers]
    not_aligned = tuple(
        one.path.name for one in taken if one.path.name in inside and not one.is_aligned
    )
    about = {
        "left_out": [f"{name}: {why}" for name, why in left_out.items()],
        "not_aligned": list(not_aligned),
    }
    made = _made(planned, folder, workdir, parameters, settings, machine, about, redo=redo)
    for name in not_aligned:
        logger.warning("%s was not aligned to Gaia, and is in the mosaic", name)
    return MosaicResult(made, layers, left_out, not_aligned)


def _why_left_out(one: MosaicInput, settings: HapSettings) -> str:
    if one.is_aligned or settings.accept_a_priori_wcs:
        return ""
    return f"not aligned to Gaia; its WCS is {one.wcs_name}"


def _planned(
    layer: MosaicLayer,
    folder: Path,
    digests: Mapping[Path, str],
    parameters: Mapping[str, Any],
    settings: HapSettings,
) -> _Planned:
    own = parameters.get(layer.basename)
    chosen: dict[str, Any] = {"skycell": layer.skycell, "scale": layer.scale}
    if own is not None:
        chosen |= {"parameters": own, "section": settings.parameters_section}
    recipe = Recipe(
        stage=STAGE,
        inputs={one.path.name: digests[one.path.absolute()] for one in layer.members},
        settings=chosen,
        tools=TOOLS,
    )
    return _Planned(layer, folder / layer.skycell / layer.drizzled_file, recipe)


def _made(
    planned: Sequence[_Planned],
    folder: Path,
    workdir: WorkDir,
    parameters: Mapping[str, Any],
    settings: HapSettings,
    machine: MachineSettings,
    about: Mapping[str, list[str]],
    *,
    redo: bool,
) -> Made:
    index = folder / INDEX_NAME
    recipe = Recipe(
        stage="hap_mosaics",
        inputs={each.path.name: each.recipe.digest for each in planned},
        settings={"left_out": about["left_out"]},
        defaults={"left_out": []},
    )
    options = LayerOptions(settings.log_level, settings.parameters_section, parameters)

    def run(due: Sequence[_Planned]) -> Iterator[tuple[_Planned, Step | HstAssetsError]]:
        by_name = {each.layer.basename: each for each in due}
        answers = drizzle_layers(
            [LayerRequest(each.layer) for each in due],
            options=options,
            machine=machine,
            scratch=partial(_scratch, workdir),
            log_path=partial(workdir.log, "hap_mosaic"),
        )
        for request, scratch, answer in answers:
            each = by_name[request.layer.basename]
            failure = failure_of(each.layer, answer)
            if failure is None and isinstance(answer, dict):
                yield each, partial(_published, each, scratch, answer, workdir)
            elif failure is not None:
                yield each, failure

    batch = Batch(
        stage=STAGE,
        planned=planned,
        run=run,
        candidates=tuple(folder.glob("skycell-*/hst_skycell-*_dr?.fits")),
    )

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        pairs = list(zip(planned, outcomes, strict=True))
        rows = [_row(each, outcome, workdir) for each, outcome in pairs]
        write_table(build_table(MOSAIC_COLUMNS, rows, {"target": workdir.target}), index)
        done = [(each, outcome) for each, outcome in pairs if isinstance(outcome, Made)]
        manifests = _write_manifests([each for each, _ in done], folder)
        files = (path for _, outcome in done for path in outcome.record.paths(workdir))
        # Layers of an earlier release have no picture.
        previews = [one for _, outcome in done for one in outcome.facts.get("previews", [])]
        facts = {**_facts(rows), **about, "previews": previews}
        return Result((index, *manifests, *files), facts)

    return make_indexed(batch, recipe, index, workdir, write, redo=redo)


def _scratch(workdir: WorkDir, label: str) -> AbstractContextManager[Path]:
    return workdir.scratch(f"hap_mosaic.{label}")


def _trailer(each: _Planned) -> Path:
    return each.path.with_name(each.layer.trailer_file)


def _published(
    each: _Planned, scratch: Path, answer: Mapping[str, Any], workdir: WorkDir
) -> Result:
    """Give the files of a layer their final names, and write its picture: the image last."""
    trailer = scratch / each.layer.trailer_file
    log = workdir.log("hap_mosaic", each.layer.basename)
    with trailer.open("a", encoding="utf-8") as file:
        file.write(log.read_text(encoding="utf-8", errors="replace"))
    move_into_place(trailer, _trailer(each))
    preview = write_preview(scratch / each.layer.drizzled_file, WorkDir.preview(each.path))
    move_into_place(scratch / each.layer.drizzled_file, each.path)
    members = [one for one in each.layer.members if one.path.name in answer["members"]]
    facts = {
        "members": sorted(one.path.name for one in members),
        "n_visits": len({one.visit for one in members}),
        "exptime_s": sum(one.exptime_s for one in members),
        "mean_exposures": answer["n_exposures"],
        "shape": answer["shape"],
        "rejected": answer["rejected"],
        "previews": [workdir.relative(preview)],
    }
    return Result((each.path, _trailer(each), preview), facts)


def _row(each: _Planned, outcome: Made | HstAssetsError, workdir: WorkDir) -> dict[str, Any]:
    layer = each.layer
    row: dict[str, Any] = {
        "skycell": layer.skycell,
        "instrument": layer.instrument,
        "detector": layer.detector,
        "filter": layer.filter,
        "layer": layer.scale,
        "pixel_scale": PIXEL_SCALES_ARCSEC[layer.scale],
        "digest": each.recipe.digest,
    }
    if isinstance(outcome, HstAssetsError):
        failed = {"file": "", "status": "FAIL", "reason": outcome.brief, "nx": 0, "ny": 0}
        empty = {"n_visits": 0, "n_exposures": 0, "exptime": None, "mean_exposures": None}
        return {**row, **failed, **empty}
    facts = outcome.facts
    rejected = [f"{name}: {why}" for name, why in facts["rejected"].items()]
    ny, nx = facts["shape"]
    return {
        **row,
        "file": workdir.relative(each.path),
        "n_visits": facts["n_visits"],
        "n_exposures": len(facts["members"]),
        "exptime": facts["exptime_s"],
        "mean_exposures": facts["mean_exposures"],
        "nx": nx,
        "ny": ny,
        "status": "OK",
        "reason": "; ".join(rejected),
    }


def _facts(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    made = [row for row in rows if row["status"] == "OK"]
    return {
        "n_products": len(made),
        "failed": [f"{_named(row)}: {row['reason']}" for row in rows if row["status"] != "OK"],
        "skycells": len({row["skycell"] for row in made}),
        "exposures_not_taken": sum(bool(row["reason"]) for row in made),
    }


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['skycell']} {row['detector']} {row['filter']} {row['layer']}"


def _write_manifests(done: Sequence[_Planned], folder: Path) -> list[Path]:
    """The list of products of each sky cell, as runmultihap leaves it."""
    names: dict[str, list[str]] = {}
    for each in done:
        files = (each.layer.drizzled_file, each.layer.trailer_file)
        names.setdefault(each.layer.skycell, []).extend(files)
    written = []
    for skycell, listed in names.items():
        path = folder / skycell / f"{skycell}_manifest.txt"
        with write_atomically(path) as part:
            part.write_text("".join(f"{name}\n" for name in sorted(listed)))
        written.append(path)
    return written

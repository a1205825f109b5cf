"""The artificial stars of a target: lists are measured, and completeness follows from them.

The product is the table ``dolphot/completeness.ecsv``; beside it lie every star with what became of
it (``artificial_stars.fits``), DOLPHOT's own files of all lists together (``dp0000.fakelist``,
``dp0000.fake``) and the diagram.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from hst_assets.failures import HstAssetsError, MissingProduct, UnusableInput
from hst_assets.photometry.artificial_stars.chunks import Chunk, list_beside, measure_chunks
from hst_assets.photometry.artificial_stars.field import StarField, star_field
from hst_assets.photometry.artificial_stars.lists import KnownStars, in_order_of_lists, star_list
from hst_assets.photometry.artificial_stars.photometers import (
    Dolphot,
    Embedded,
    Photometer,
    embedded_parameters,
    fake_parameters,
)
from hst_assets.photometry.artificial_stars.recovery import (
    COMPLETENESS_COLUMNS,
    FilterResult,
    completeness_rows,
    filter_results,
    recovery_table,
)
from hst_assets.photometry.catalog.artificial_stars import (
    StarsPutIn,
    read_artificial_stars,
    read_stars_put_in,
)
from hst_assets.photometry.catalog.bands import CatalogBand, bands_of
from hst_assets.photometry.catalog.columns import CatalogColumns
from hst_assets.photometry.catalog.magnitudes import detectors_of_bands
from hst_assets.photometry.catalog.reading import beside, catalog_columns, read_catalog
from hst_assets.photometry.catalog.run_info import read_run_info
from hst_assets.photometry.diagrams import write_completeness_diagram
from hst_assets.photometry.dolphot.input_images import read_input_images
from hst_assets.photometry.dolphot.program import Program, find_program
from hst_assets.photometry.dolphot.progress import TOOL
from hst_assets.photometry.psf.catalog_run import STAGE as EMBEDDED
from hst_assets.photometry.psf.catalog_run import TOOL as EMBEDDED_TOOL
from hst_assets.photometry.quality_cuts import PRESETS, cuts_of, stars_in, tally
from hst_assets.products.batch import Batch
from hst_assets.products.columns import build_table, write_table
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.progress import Progress, now_and_then
from hst_assets.provenance import Made, Recipe, Result, read_record
from hst_assets.settings import Settings
from hst_assets.stages import code_versions
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["INDEX_STAGE", "NOT_SIMULATED", "make_artificial_stars"]

logger = logging.getLogger(__name__)

INDEX_STAGE = "artificial_stars"
_STEP = "measuring artificial stars"
#: What completeness and errors do not have.
NOT_SIMULATED = (
    "cosmic rays: masks are those of the exposures, in which the artificial stars are not; no star "
    "is taken for a cosmic ray, or hit by one"
)

#: Settings that decide which stars are put in; the others decide what is made of them.
_OF_LISTS = (
    "positions",
    "radius_arcsec",
    "scatter_arcsec",
    "bright_mag",
    "faint_mag",
    "colours",
    "colour_range_mag",
    "colour_scatter_mag",
    "seed",
)
_OF_RESULTS = ("match_radius_pix", "max_brightening_mag", "bin_mag")
#: The only extension and chip after the exposures were split.
_EXTENSION, _CHIP = 0, 1
_TOOLS = ("astropy", "numpy", "scipy")


def make_artificial_stars(
    workdir: WorkDir,
    settings: Settings,
    *,
    redo: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Made:
    """Measure artificial stars with the program that made the catalogue, by its own parameters.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its catalogue must exist.
    settings : Settings
        Sections artificial_stars, quality_cuts, dolphot, embedded, dolphot_inputs, target and
        machine.
    redo : bool, optional
        Make again what is up to date, too.
    progress : callable, optional
        Is told which share of the lists that are due was measured; by default the log is.

    Returns
    -------
    Made
        Product: the table ``dolphot/completeness.ecsv``. A list that fails costs its own stars;
        the completeness is that of the others.

    Raises
    ------
    MissingProduct
        If there is no catalogue, or it has no record.
    MissingTool
        If DOLPHOT made the catalogue and is not installed.
    UnusableInput
        If no list could be measured, the catalogue has no filter, or it is not of the inputs and
        the program that are there now.
    """
    catalog = workdir.dolphot_catalog(settings.dolphot.base)
    record = read_record(catalog)
    if record is None:
        raise MissingProduct(
            "there is no catalogue yet", where=catalog, next_step="Materialize dolphot_catalog"
        )
    embedded = record.recipe.get("stage") == EMBEDDED
    chunks = _planned(workdir, settings, record.digest, embedded=embedded)
    chosen = settings.artificial_stars.as_recipe()
    recipe = Recipe(
        stage=INDEX_STAGE,
        inputs={chunk.path.name: chunk.recipe.digest for chunk in chunks},
        settings={
            "artificial_stars": {name: chosen[name] for name in _OF_RESULTS},
            "quality_cuts": cuts_of(settings.quality_cuts).as_recipe(),
        },
        tools=_TOOLS,
    )
    run = _Run(workdir, settings, catalog, progress or now_and_then(logger.info), embedded)
    batch = Batch(
        stage=_stage(embedded=embedded),
        planned=chunks,
        run=run.measured,
        candidates=tuple(workdir.artificial_chunk(0).parent.glob("chunk_*.fake")),
    )
    return make_indexed(
        batch, recipe, workdir.completeness, workdir, partial(run.written, chunks), redo=redo
    )


def _stage(*, embedded: bool) -> str:
    return Embedded.stage if embedded else Dolphot.stage


def _planned(workdir: WorkDir, settings: Settings, catalog: str, *, embedded: bool) -> list[Chunk]:
    parameters = embedded_parameters(settings) if embedded else fake_parameters(settings)
    chosen = settings.artificial_stars
    of_lists = {name: chosen.as_recipe()[name] for name in _OF_LISTS}
    defaults = {name: type(chosen)().as_recipe()[name] for name in _OF_LISTS}
    position = settings.target.position() if chosen.positions == "target" else {}
    chunks = []
    for number, start in enumerate(range(0, chosen.n_stars, chosen.chunk_size), 1):
        n_stars = min(chosen.chunk_size, chosen.n_stars - start)
        recipe = Recipe(
            stage=_stage(embedded=embedded),
            inputs={"dolphot_catalog": catalog},
            settings={
                "artificial_stars": of_lists,
                "parameters": parameters,
                "list": {"number": number, "n_stars": n_stars, **position},
            },
            defaults={"artificial_stars": defaults},
            tools=_TOOLS,
        ).known_in(workdir)
        chunks.append(Chunk(workdir.artificial_chunk(number), number, n_stars, recipe))
    return chunks


@dataclass(frozen=True)
class _Run:
    """What is needed once lists are due; it is read then, and once."""

    workdir: WorkDir
    settings: Settings
    catalog: Path
    progress: Callable[[Progress], None]
    embedded: bool

    def measured(self, due: Sequence[Chunk]) -> Iterator[Any]:
        """Measure the lists."""
        images = read_input_images(self.workdir)
        self._refuse_another_run()
        photometer: Photometer = (
            Embedded(self.catalog, self.workdir, self.settings)
            if self.embedded
            else Dolphot(self._program, self.catalog, images, self.workdir, self.settings)
        )
        tool = EMBEDDED_TOOL if self.embedded else TOOL
        field = star_field(images)
        draw = partial(self._drawn, self._known(), field)
        self.progress(Progress(_STEP, 0.0, tool))
        for n, ended in enumerate(measure_chunks(photometer, draw, due), 1):
            self.progress(Progress(_STEP, n / len(due), tool))
            yield ended

    def _refuse_another_run(self) -> None:
        """Raise if inputs or photometer are not those of the catalogue: they would be mixed."""
        record = read_record(self.catalog)
        made_from = {} if record is None else record.recipe.get("inputs", {})
        inputs = read_record(self.workdir.dolphot_inputs)
        of_inputs = "" if inputs is None else inputs.digest
        compared = [(made_from.get("dolphot_inputs"), of_inputs, "from other inputs")]
        if not self.embedded:
            program = self._program.identity
            compared.append((made_from.get("dolphot"), program, "by another program"))
        elif record is not None:
            version = record.recipe.get("code", {}).get(EMBEDDED)
            compared.append((version, code_versions([EMBEDDED])[EMBEDDED], "by another version"))
        for recorded, now, what in compared:
            if recorded != now:
                raise UnusableInput(
                    f"the catalogue was made {what}",
                    where=self.catalog,
                    next_step="Materialize dolphot_catalog again, then artificial_stars",
                )

    def written(self, chunks: Sequence[Chunk], outcomes: Sequence[Made | HstAssetsError]) -> Result:
        """Write the tables and the diagram of what was measured."""
        pairs = list(zip(chunks, outcomes, strict=True))
        good = [chunk for chunk, outcome in pairs if isinstance(outcome, Made)]
        failed = [
            f"list {chunk.number}: {outcome.brief}"
            for chunk, outcome in pairs
            if isinstance(outcome, HstAssetsError)
        ]
        if not good:
            raise next(outcome for outcome in outcomes if isinstance(outcome, HstAssetsError))
        labels = [outcome.facts["bands"] for outcome in outcomes if isinstance(outcome, Made)]
        lists = [
            (
                chunk.number,
                read_stars_put_in(list_beside(chunk.path), of_list),
                read_artificial_stars(chunk.path, columns=self._columns),
            )
            for chunk, of_list in zip(good, labels, strict=True)
        ]
        settings = self.settings.artificial_stars
        cuts = cuts_of(self.settings.quality_cuts)
        stars = recovery_table(lists, cuts, self._detectors, settings)
        results = filter_results(stars, labels[0], settings)
        limits = _limits(results)
        outputs = self._files(good)
        with write_atomically(self.workdir.artificial_stars) as part:
            stars.write(part, format="fits", overwrite=True)
        rows = completeness_rows(results)
        meta = {
            "target": self.workdir.target,
            "cuts": cuts.as_recipe(),
            "limits": limits,
            "not_simulated": NOT_SIMULATED,
        }
        write_table(build_table(COMPLETENESS_COLUMNS, rows, meta), self.workdir.completeness)
        diagram = write_completeness_diagram(
            {label: result.curve for label, result in results.items()},
            {label: result.limits[0] for label, result in results.items()},
            self.workdir.completeness.with_suffix(".png"),
        )
        facts = {
            "n_stars": len(stars),
            "n_mentioned": int(np.count_nonzero(stars["mentioned"])),
            "n_found": int(np.count_nonzero(stars["found"])),
            "limits": limits,
            "failed": failed,
            "previews": [self.workdir.relative(diagram)],
        }
        made = (self.workdir.completeness, self.workdir.artificial_stars, *outputs, diagram)
        return Result(made, facts)

    def _files(self, chunks: Sequence[Chunk]) -> list[Path]:
        """DOLPHOT's own files of all lists: what one long list would have left."""
        whole = []
        for suffix in (".fakelist", ".fake"):
            path = beside(self.catalog, suffix)
            with write_atomically(path) as part, part.open("wb") as joined:
                for chunk in chunks:
                    with chunk.path.with_suffix(suffix).open("rb") as one:
                        shutil.copyfileobj(one, joined)
            whole.append(path)
        return whole

    def _drawn(self, known: KnownStars, field: StarField, chunk: Chunk) -> StarsPutIn:
        position = self.settings.target.position()
        target = None
        if position["ra_deg"] is not None and position["dec_deg"] is not None:
            target = field.position(position["ra_deg"], position["dec_deg"])
        stars = star_list(
            known,
            field.covered,
            self.settings.artificial_stars,
            scale_arcsec=field.scale_arcsec,
            n_stars=chunk.n_stars,
            chunk=chunk.number,
            target=target,
        )
        extension, chip = (np.full(len(stars), value, np.int32) for value in (_EXTENSION, _CHIP))
        names = tuple(band.name for band in self._bands)
        return StarsPutIn(extension, chip, stars.x, stars.y, stars.magnitudes, names)

    def _known(self) -> KnownStars:
        """The catalogue's stars of type 1, with magnitudes where they are seen.

        The user's cuts do not decide what is put in: another cut measures nothing again.
        """
        catalog = read_catalog(self.catalog, columns=self._columns)
        cuts = PRESETS["stars"]
        result = tally(catalog, cuts)
        magnitudes = np.column_stack(
            [
                np.where(
                    stars_in(catalog, cuts, result, band),
                    catalog.values("vega_mag", **band.address),
                    np.nan,
                )
                for band in self._bands
            ]
        )
        kept = result.kept
        return KnownStars(catalog["x"][kept], catalog["y"][kept], magnitudes[kept])

    @cached_property
    def _columns(self) -> CatalogColumns:
        return catalog_columns(self.catalog)

    @cached_property
    def _program(self) -> Program:
        return find_program(self.settings.dolphot, self.workdir)

    @cached_property
    def _detectors(self) -> Mapping[str, str]:
        return detectors_of_bands(self._columns, read_run_info(beside(self.catalog, ".info")))

    @cached_property
    def _bands(self) -> tuple[CatalogBand, ...]:
        """The bands of a list, in DOLPHOT's order."""
        bands = bands_of(self._columns)
        if not bands or not all(band.filter_name for band in bands):
            raise UnusableInput(
                "the catalogue has images of no filter that DOLPHOT knows",
                where=self.catalog,
                next_step="Artificial stars need Vega magnitudes",
            )
        return in_order_of_lists(bands, None if self.embedded else self._program)


def _limits(results: Mapping[str, FilterResult]) -> list[dict[str, Any]]:
    """A row a filter and share, as the UI shows them."""
    return [
        {
            "filter": label,
            "share": limit.share,
            "magnitude": None if np.isnan(limit.magnitude) else round(limit.magnitude, 3),
            "error": None if np.isnan(limit.error) else round(limit.error, 3),
            "note": limit.note,
        }
        for label, result in results.items()
        for limit in result.limits
    ]

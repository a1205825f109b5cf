"""The counterpart of a target's object in its earlier images: tables, figure, words.

From a position with its error to the sources of the earlier images, each with the probabilities
that it is the object and that it lies there by chance; limits where there is none; and what became
of the candidates after the object has faded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hst_assets.counterpart.candidates import INNER_SHARE, OUTER_SHARE, Candidate
from hst_assets.counterpart.disappearance import Disappearance
from hst_assets.counterpart.image_rows import (
    calibrations_of,
    image_rows,
    software_of,
    stamps_about,
)
from hst_assets.counterpart.limits_told import limits_told
from hst_assets.counterpart.methods_text import ImageRow, latex_table, methods_paragraph
from hst_assets.counterpart.search import Search
from hst_assets.counterpart.stamps import Mark, write_stamps
from hst_assets.counterpart.tables import candidate_table, photometry_table
from hst_assets.counterpart.transient_position import require_position
from hst_assets.detectors import DETECTORS
from hst_assets.photometry.light_curve.gathering import NOT_MEASURED
from hst_assets.photometry.light_curve.kept_measurement import SURROUNDINGS_STAGE
from hst_assets.photometry.light_curve.upstream import digests_of, refuse_damage
from hst_assets.products.columns import read_table, write_table
from hst_assets.provenance import Made, Recipe, Result, make
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["STAGE", "make_counterpart"]

STAGE = "counterpart"
_TOOLS = ("astropy", "matplotlib", "numba", "numpy", "photutils", "scipy")
_OURS = "hst_assets"
#: Assets that it is made from.
_NEEDED = (
    "dolphot_catalog",
    "target_exposures",
    "target_alignment",
    "drizzled_stacks",
    "epoch_differences",
)


def make_counterpart(workdir: WorkDir, settings: Settings, *, redo: bool = False) -> Made:
    """Look for the counterpart of the object at the position that the settings name.

    Parameters
    ----------
    workdir : WorkDir
        The target's; its alignment, stacks, differences and catalogue must exist.
    settings : Settings
        Section counterpart; alignment.fit_geometry and dolphot.base; those of the photometry.
    redo : bool, optional
        Make again what is up to date, too.

    Returns
    -------
    Made
        Product: the table ``counterpart/counterpart.ecsv``
        (`hst_assets.counterpart.tables.COUNTERPART_COLUMNS`), beside which magnitudes, figure,
        verdict and methods lie.

    Raises
    ------
    BadConfiguration
        If no position is set, there is no earlier image, or no epoch as `measured_on` says.
    MissingProduct
        If what it is made from is not there.
    UnusableInput
        If nothing is seen where the position was to be measured, or no earlier exposure is among
        the images of the catalogue.
    """
    chosen = settings.counterpart
    require_position(chosen.ra_deg, chosen.dec_deg, workdir.settings_file)
    recipe = Recipe(
        stage=STAGE,
        # Artificial stars about the place tell a limit, if there are some.
        inputs=digests_of(workdir, _NEEDED, ("artificial_stars",)),
        settings={
            **_sections(settings),
            "fit_geometry": settings.alignment.fit_geometry,
            "base": settings.dolphot.base,
        },
        defaults=_sections(Settings()),
        detectors=tuple(DETECTORS.values()),
        tools=_TOOLS,
        # Of a catalogue by DOLPHOT, the surroundings of the place are measured on the way.
        uses=(SURROUNDINGS_STAGE,),
    )
    return make(
        recipe, workdir.counterpart, workdir, lambda: _written(Search(workdir, settings)), redo=redo
    )


def _sections(settings: Settings) -> dict[str, Any]:
    """Those that decide what is found, and how its limits are measured."""
    return {
        "counterpart": settings.counterpart.as_recipe(),
        "embedded": settings.embedded.as_recipe(),
        "artificial_stars": settings.artificial_stars.as_recipe(),
        "quality_cuts": settings.quality_cuts.as_recipe(),
        "dolphot_inputs": settings.dolphot_inputs.as_recipe(),
    }


def _written(search: Search) -> Result:
    """Write everything."""
    workdir = search.workdir
    for earlier in _files(workdir):  # it is not what today's question would give, should that fail
        earlier.unlink(missing_ok=True)
    workdir.counterpart.parent.mkdir(parents=True, exist_ok=True)
    if any(row.note.startswith(NOT_MEASURED) for row in search.photometry.rows):
        refuse_damage(workdir, search.settings.dolphot.base)
    table = candidate_table(
        search.candidates, search.photometry.fates, _notes(search), _meta(search)
    )
    photometry = photometry_table(search.photometry.rows, {"target": workdir.target})
    write_table(photometry, workdir.counterpart_photometry)
    images = _images(search)
    texts = {
        workdir.counterpart_verdict: search.verdict.text + "\n",
        workdir.counterpart_methods: _methods(search, images),
        workdir.counterpart_methods.with_suffix(".tex"): latex_table(images, target=workdir.target),
    }
    for path, text in texts.items():
        with write_atomically(path) as part:
            part.write_text(text, encoding="utf-8")
    figures = _figure(search)
    write_table(table, workdir.counterpart)
    outputs = (workdir.counterpart, workdir.counterpart_photometry, *texts, *figures)
    return Result(outputs, _facts(search, figures))


def _files(workdir: WorkDir) -> tuple[Path, ...]:
    """All that may be written."""
    return (
        workdir.counterpart,
        workdir.counterpart_photometry,
        workdir.counterpart_verdict,
        workdir.counterpart_methods,
        workdir.counterpart_methods.with_suffix(".tex"),
        workdir.counterpart_figure,
    )


def _notes(search: Search) -> dict[int, str]:
    extended = {3: "elongated", 4: "a hot pixel by its shape", 5: "extended"}
    return {
        one.number: extended[one.object_type]
        for one in search.candidates
        if one.object_type in extended
    }


def _meta(search: Search) -> dict[str, Any]:
    return {
        "target": search.workdir.target,
        "ra_deg": search.place[0],
        "dec_deg": search.place[1],
        "measured_on": search.position.measured_on,
        "error_mas": search.budget.error_mas,
        "radius_68_mas": search.budget.radius_mas(INNER_SHARE),
        "radius_99_mas": search.budget.radius_mas(OUTER_SHARE),
        "terms": search.budget.as_json(),
        "identification": search.verdict.identification,
        "verdict": search.verdict.text,
    }


def _images(search: Search) -> list[ImageRow]:
    return image_rows(
        search.workdir, search.groups, search.stacks, search.photometry.limits_of_epochs
    )


def _methods(search: Search, images: Sequence[ImageRow]) -> str:
    (index,) = read_table(search.workdir.star_catalog)
    return methods_paragraph(
        images,
        search.budget,
        search.settings.counterpart,
        limits=limits_told(search.photometry.rows, search.settings.counterpart),
        photometer=_photometer(str(index["photometer"])),
        software=software_of(search.workdir, search.stacks),
        calibrations=calibrations_of(search.workdir, search.groups.every),
        measured_on=search.position.measured_on,
    )


def _photometer(program: str) -> str:
    """As the catalogue's table names what measured it, with its version."""
    kind, _, by = program.partition(", ")
    return f"the embedded photometer of {by or _OURS}" if kind.startswith("embedded") else program


def _figure(search: Search) -> list[Path]:
    side = search.settings.counterpart.stamp_arcsec
    side = max(side, 3.0 * search.budget.radius_mas(OUTER_SHARE) / 1e3)
    stamps = stamps_about(search.workdir, search.stacks, search.place, side)
    figure = search.workdir.counterpart_figure
    if not stamps:
        return []
    radii = [search.budget.radius_mas(share) / 1e3 for share in (INNER_SHARE, OUTER_SHARE)]
    marks = [
        Mark(one.east_mas / 1e3, one.north_mas / 1e3, str(one.number)) for one in search.candidates
    ]
    title = f"{search.workdir.target}: circles of 68 % and 99 %, sources by number"
    return [
        write_stamps(stamps, figure, side_arcsec=side, radii_arcsec=radii, marks=marks, title=title)
    ]


def _facts(search: Search, figures: Sequence[Path]) -> dict[str, Any]:
    fates = search.photometry.fates
    return {
        "identification": search.verdict.identification,
        "verdict": search.verdict.text,
        "n_candidates": len(search.candidates),
        "n_inside": sum(one.is_inside for one in search.candidates),
        "error_mas": round(search.budget.error_mas, 3),
        "terms": [_shown(term) for term in search.budget.as_json()],
        "unknown_terms": list(search.budget.unknown),
        "candidates": [_candidate_shown(one, fates) for one in search.candidates],
        "doubts": list(search.verdict.doubts),
        "previews": [search.workdir.relative(path) for path in figures],
    }


def _shown(term: Mapping[str, Any]) -> dict[str, Any]:
    error = term["error_mas"]
    return {
        "term": term["name"],
        "error_mas": None if error is None else round(error, 3),
        "from": term["source"],
    }


def _candidate_shown(one: Candidate, fates: Mapping[int, Disappearance]) -> dict[str, Any]:
    fate = fates.get(one.number)
    return {
        "number": one.number,
        "separation_mas": round(one.separation_mas, 2),
        "sigma": round(one.sigma, 2),
        "snr": round(one.snr, 1),
        "band": one.best_band,
        "chance": one.chance_probability,
        "inside": one.is_inside,
        "state": "not checked" if fate is None else fate.state,
    }

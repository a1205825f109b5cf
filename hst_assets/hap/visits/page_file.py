"""The page of a visit as an asset: made from the present products, and remade when they change."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from hst_assets.digests import digest_of
from hst_assets.hap.result import HapResult, ReturnCode
from hst_assets.hap.visits.page import write_visit_page
from hst_assets.hap.visits.planned import read_plan
from hst_assets.hap.visits.previews import COLOUR_ENDING
from hst_assets.hap.visits.work import VisitWork
from hst_assets.provenance import Made, Recipe, Record, Result, make, read_record
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir, move_into_place

__all__ = ["make_hap_page"]

#: What the page shows, by the names of paths; the manifest has the exit code.
_SHOWN = (
    "hap_plan",
    "hap_aligned_exposures",
    "hap_filter_products",
    "hap_exposure_products",
    "hap_total_products",
    "hap_point_catalogs",
    "hap_segment_catalogs",
    "hap_hla_comparison",
    "hap_quality",
    "hap_manifest",
)
_CATALOGS = ("hap_point_catalogs", "hap_segment_catalogs")
#: Of the page's form, inside the package.
_FORM = ("products/web", "hap/templates")
_TOOLS = ("astropy", "jinja2", "numpy", "pillow")


def make_hap_page(workdir: WorkDir, visit: str, settings: Settings, *, redo: bool = False) -> Made:
    """Make the page of a visit's advanced products.

    Parameters
    ----------
    workdir : WorkDir
        Of the target; the visit must be planned, the rest is shown where it is made.
    visit : str
        The visit.
    settings : Settings
        Not used but to find the visit's files.
    redo : bool, optional
        Make it again.

    Returns
    -------
    Made
        Product: ``hap/<visit>/visit.html``. Facts: ``page``, how to open it, ``absent``, the assets
        that were not made, and the pictures in colour as ``previews``.

    Raises
    ------
    MissingProduct
        If the visit is not planned.
    """
    work = VisitWork(workdir, visit, settings)
    read_plan(workdir, visit)
    found = {name: read_record(getattr(workdir, name)(visit)) for name in _SHOWN}
    there = {name: record for name, record in found.items() if record is not None}
    recipe = Recipe(
        stage="hap_page",
        inputs={name: record.digest for name, record in there.items()},
        # A product may be completed under the same recipe.
        settings={"files": _contents(there), "form": _form()},
        tools=_TOOLS,
    )
    absent = [name for name in _SHOWN if name not in there]
    return make(
        recipe, workdir.hap_page(visit), workdir, lambda: _written(work, there, absent), redo=redo
    )


def _contents(there: Mapping[str, Record]) -> dict[str, str]:
    return {
        name: digest_of({file: stamp.sha256 for file, stamp in record.outputs.items()})
        for name, record in there.items()
    }


def _form() -> str:
    """Digest of templates, style and script, of which the version of the code knows nothing."""
    return digest_of(
        {
            path.name: path.read_text(encoding="utf-8")
            for folder in _FORM
            for path in files("hst_assets").joinpath(folder).iterdir()
        }
    )


def _written(work: VisitWork, there: Mapping[str, Record], absent: list[str]) -> Result:
    folder, page = work.workdir.hap_visit(work.visit), work.workdir.hap_page(work.visit)
    for former in folder.glob(f"*{COLOUR_ENDING}"):
        former.unlink()
    with work.working("page", ()) as scratch:
        write_visit_page(
            folder,
            visit=work.visit,
            path=page,
            result=_result(there),
            pictures_in=scratch.files,
        )
        coloured = [
            move_into_place(path, folder / path.name)
            for path in sorted(scratch.files.glob(f"*{COLOUR_ENDING}"))
        ]
    facts = {
        "page": work.workdir.relative(page),
        "previews": [work.workdir.relative(path) for path in coloured],
        "absent": absent,
        "size_mb": round(page.stat().st_size / 1e6, 2),
    }
    return Result((page, *coloured), facts)


def _result(there: Mapping[str, Record]) -> HapResult | None:
    """What came of the visit, as the records tell it; None without a manifest."""
    if "hap_manifest" not in there:
        return None
    facts = {name: record.facts for name, record in there.items()}
    aligned = _list_in(facts, "hap_aligned_exposures", "alignment")
    catalogs = [one for name in _CATALOGS for one in _list_in(facts, name, "catalogs")]
    return HapResult(
        ReturnCode(facts["hap_manifest"]["return_code"]),
        wcs={str(row["rootname"]): str(row["wcsname"]) for row in aligned if row["wcsname"]},
        catalogs={Path(one["file"]).name: int(one["n_sources"]) for one in catalogs},
        rejected=_pairs(_list_in(facts, "hap_plan", "rejected")),
        quality={row["test"]: row["outcome"] for row in _list_in(facts, "hap_quality", "tests")},
        notes={
            **_pairs(facts["hap_manifest"]["problems"]),
            **_pairs([text for name in _CATALOGS for text in _list_in(facts, name, "notes")]),
        },
    )


def _list_in(facts: Mapping[str, Mapping[str, Any]], asset: str, name: str) -> list[Any]:
    found: list[Any] = facts.get(asset, {}).get(name, [])
    return found


def _pairs(texts: list[str]) -> dict[str, str]:
    """``about: what`` by what it is about; of one thing all that is said."""
    told: dict[str, str] = {}
    for text in texts:
        about, _, what = text.partition(": ")
        told[about] = f"{told[about]}; {what}" if about in told else what
    return told

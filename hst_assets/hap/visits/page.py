"""The page of a visit's advanced products: one HTML file that works offline, in any folder.

It shows what the folder holds: pictures, the tree of products, how each exposure was aligned, the
catalogues, and the verdicts of the tests of quality. What is absent is said.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.table import Table
from markupsafe import Markup

from hst_assets.failures import MissingProduct
from hst_assets.hap.quality.verdicts import QualityReport, quality_of
from hst_assets.hap.quality.visit_files import DrizzledImage, drizzled_images
from hst_assets.hap.result import HapResult
from hst_assets.hap.visits.previews import write_visit_previews
from hst_assets.products.page_table import PageTable
from hst_assets.products.pictures import Picture, embedded_picture
from hst_assets.products.web_page import templates_in, write_page
from hst_assets.provenance import tool_version

__all__ = ["write_visit_page"]

_NONE = "-"
_CATALOGS = ("point", "segment")
#: Files that belong to no image: the list of products, plots and logs.
_OTHERS = ("*_manifest.txt", "*_svm_comparison_plots.pdf")
_MB = 1e6


@dataclass(frozen=True)
class _Branch:
    """A product in words, and what it was made of."""

    text: str
    below: tuple[_Branch, ...] = ()


def write_visit_page(
    folder: Path,
    *,
    visit: str,
    path: Path,
    result: HapResult | None = None,
    pictures_in: Path | None = None,
) -> Path:
    """Write the page of a visit.

    Parameters
    ----------
    folder : Path
        With the visit's products, as a run leaves them.
    visit : str
        Its name, as the page's heading has it.
    path : Path
        The HTML file; written in one step.
    result : HapResult, optional
        What came of the run, for its exit code and what that does not tell.
    pictures_in : Path, optional
        An existing folder in which the pictures are left as files, too.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    MissingProduct
        If there is no such folder.
    MachineFailure
        If the machine failed.
    """
    if not folder.is_dir():
        raise MissingProduct(
            "there is no such folder of a visit",
            where=folder,
            next_step="Make its products with 'hst-assets hap POLLER'",
        )
    images = drizzled_images(folder)
    report = quality_of(folder)
    pictures, not_shown = _pictures(folder, pictures_in)
    body = (
        templates_in("hst_assets.hap", "templates")
        .get_template("visit.html")
        .render(
            visit=visit,
            overview=_overview(images, report, result),
            told=[] if result is None else result.told(),
            pictures=pictures,
            not_shown=not_shown,
            tree=_tree(images),
            others=sorted(each.name for ending in _OTHERS for each in folder.glob(ending)),
            alignment=_alignment(images, report),
            catalogues=_catalogues(images),
            kinds=_kinds(report),
            findings=_findings(report),
            version=tool_version("hst_assets"),
        )
    )
    return write_page(path, title=f"{visit}: advanced products", body=Markup(body))  # noqa: S704


def _overview(
    images: Sequence[DrizzledImage], report: QualityReport, result: HapResult | None
) -> list[tuple[str, str]]:
    exposures = [image for image in images if image.level == "exposure"]
    headers = [_header(image.path) for image in exposures]
    found = [
        ("target in header", _each(header.get("TARGNAME") for header in headers)),
        ("programme", _each(image.proposal for image in images)),
        ("detector", _each(f"{image.instrument} {image.detector}" for image in images)),
        ("filters", _each(image.filter for image in images if image.level == "filter")),
        ("exposures", f"{len(exposures)}, {_total_time(headers)}"),
        ("date", _each(header.get("DATE-OBS") for header in headers)),
        ("quality", report.verdict),
    ]
    if result is None:
        return [*found, ("exit code", "not told: the page was made of the folder alone")]
    told = [*found, ("exit code", f"{int(result.code)}: {result.code.meaning}")]
    if result.failure is not None:
        told.append(("failure", str(result.failure)))
    return told


def _each(values: Iterable[Any]) -> str:
    """Every value once, in order of its first appearance."""
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or _NONE


def _total_time(headers: Iterable[Mapping[str, Any]]) -> str:
    times = [header.get("EXPTIME") for header in headers]
    known = [float(each) for each in times if isinstance(each, (int, float))]
    return f"{sum(known):.1f} s in all" if len(known) == len(times) else "time not known"


def _header(path: Path, extension: int | str = 0) -> Mapping[str, Any]:
    """A header; empty if it cannot be read."""
    try:
        return dict(fits.getheader(path, extension))
    except (OSError, KeyError, ValueError, TypeError, fits.VerifyError):
        return {}


def _pictures(folder: Path, into: Path | None) -> tuple[list[Picture], list[str]]:
    """Pictures, and what is said of images that cannot be shown."""
    with tempfile.TemporaryDirectory() as name:
        previews = write_visit_previews(folder, into or Path(name))
        shown = [
            Picture(embedded_picture(each.path), each.caption)
            for each in previews
            if each.path is not None
        ]
    absent = [f"not shown: {each.caption}: {each.why_not}" for each in previews if each.why_not]
    return shown, absent or ([] if shown else ["not shown: the folder has no drizzled image"])


# ------------------------------------------------------------------------------ tree of products


def _tree(images: Sequence[DrizzledImage]) -> list[_Branch]:
    """Totals, their filters and exposures; what has no image above it hangs on a missing one."""
    detectors = dict.fromkeys(image.beginning for image in images)
    return [_detector([each for each in images if each.beginning == one]) for one in detectors]


def _detector(images: Sequence[DrizzledImage]) -> _Branch:
    totals = [image for image in images if image.level == "total"]
    names = dict.fromkeys(image.filter for image in images if image.level != "total")
    below = tuple(_filter([each for each in images if each.filter == name]) for name in names)
    text = _product(totals[0]) if totals else f"{images[0].detector} total: no image"
    return _Branch(text, below)


def _filter(images: Sequence[DrizzledImage]) -> _Branch:
    own = [image for image in images if image.level == "filter"]
    exposures = [image for image in images if image.level == "exposure"]
    text = _product(own[0]) if own else f"{images[0].detector} {images[0].filter}: no image"
    return _Branch(text, tuple(_Branch(_product(each)) for each in exposures))


def _product(image: DrizzledImage) -> str:
    header = _header(image.path)
    level = header.get("HAPLEVEL")
    size = image.path.stat().st_size / _MB
    return (
        f"{image.path.name} ({size:.1f} MB; "
        f"{'HAPLEVEL not told' if level is None else f'HAPLEVEL {level}'})"
    )


# ---------------------------------------------------------------------------------------- tables


def _alignment(images: Sequence[DrizzledImage], report: QualityReport) -> PageTable:
    moved = {each.product: each.numbers for each in report.kinds["wcs"].findings}
    rows = []
    for image in images:
        if image.level != "exposure":
            continue
        header = _header(image.path, "SCI")
        name = str(header.get("WCSNAME", "")).strip()
        if not name:
            verdict = "not checked: the image has no WCSNAME"
        elif "-FIT_" in name:
            verdict = "good: fitted to Gaia"
        else:
            verdict = "doubtful: not aligned to Gaia"
        numbers = moved.get(image.label, {})
        rows.append(
            (
                image.label,
                verdict,
                name or _NONE,
                _rounded(numbers.get("shift_arcsec"), 3),
                _rounded(numbers.get("roll_deg"), 4),
                _rounded(header.get("RMS_RA"), 1),
                _rounded(header.get("RMS_DEC"), 1),
                str(header.get("NMATCHES", _NONE)),
            )
        )
    columns = (
        *("exposure", "verdict", "WCS", "moved (arcsec)", "turned (deg)"),
        *("RMS RA (mas)", "RMS Dec (mas)", "stars"),
    )
    return PageTable(columns, tuple(rows), "verdict")


def _catalogues(images: Sequence[DrizzledImage]) -> PageTable:
    rows = []
    for image in images:
        for kind in _CATALOGS:
            path = image.beside(f"_{kind}-cat.ecsv")
            if image.level != "exposure" and path.is_file():
                rows.append((image.label, kind, _number_of_rows(path), path.name))
    return PageTable(("product", "kind", "sources", "file"), tuple(rows))


def _number_of_rows(path: Path) -> str:
    try:
        number = len(Table.read(path, format="ascii.ecsv"))
    except (OSError, ValueError) as error:
        return f"not checked: it cannot be read: {error}"
    return str(number) if number else "0: empty"


def _kinds(report: QualityReport) -> PageTable:
    rows = tuple((each.title, each.verdict, each.sentence) for each in report.kinds.values())
    return PageTable(("compared", "verdict", "why"), rows, "verdict", frozenset({"why"}))


def _findings(report: QualityReport) -> PageTable:
    rows = [
        (
            kind.title,
            each.product,
            each.verdict,
            each.sentence,
            ", ".join(f"{name} {_shown(value)}" for name, value in each.numbers.items()) or _NONE,
        )
        for kind in report.kinds.values()
        for each in kind.findings
    ]
    columns = ("compared", "product", "verdict", "why", "measured")
    return PageTable(columns, tuple(rows), "verdict", frozenset({"why", "measured"}))


def _shown(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _rounded(value: Any, digits: int) -> str:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return _NONE
    return f"{float(value):.{digits}f}"

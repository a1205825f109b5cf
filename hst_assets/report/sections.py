"""The sections of a report; one whose product is absent says so, and the others are not touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
from astropy.table import QTable
from markupsafe import Markup

from hst_assets.exposure_account import account_of
from hst_assets.failures import HstAssetsError, MissingProduct
from hst_assets.photometry.light_curve.interactive_plot import light_curve_figure
from hst_assets.products.columns import read_table
from hst_assets.products.page_table import PageTable
from hst_assets.products.pictures import Picture, embedded_picture
from hst_assets.provenance import without_defaults
from hst_assets.report.figures import colour_magnitude_figure, completeness_figure
from hst_assets.report.footprints import SkyChart, sky_chart
from hst_assets.report.shown_products import ShownProduct
from hst_assets.report.tables import (
    alignment_table,
    candidate_table,
    exposure_table,
    header_words,
    image_table,
    limit_table,
    product_table,
    set_values,
)
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["Section", "sections_of"]

#: Previews of stacks that stand in where there is no colour picture.
_MOST_PREVIEWS = 4


@dataclass(frozen=True)
class Section:
    """One section; what is empty is not shown.

    Attributes
    ----------
    key, title : str
        Its anchor and heading.
    texts, verbatim : tuple of str
        Paragraphs, and texts with their line ends.
    chart : SkyChart or None
        Footprints.
    figures : tuple of Markup
        That answer.
    pictures, pairs, tables : tuple
        What else is shown.
    absent : tuple of str
        What is not, and why.
    """

    key: str
    title: str
    texts: tuple[str, ...] = ()
    verbatim: tuple[str, ...] = ()
    chart: SkyChart | None = None
    figures: tuple[Markup, ...] = ()
    pictures: tuple[Picture, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    tables: tuple[PageTable, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Target:
    """What the sections are made of."""

    workdir: WorkDir
    settings: Settings
    products: Mapping[str, ShownProduct]
    tables: dict[str, QTable] = field(default_factory=dict)

    def table(self, name: str) -> QTable:
        """The table of a product, read once.

        Raises
        ------
        MissingProduct
            If it is absent; the words are those of the page.
        """
        product = self.products[name]
        if product.why_not:
            raise MissingProduct(product.why_not)
        if name not in self.tables:
            self.tables[name] = read_table(product.path)
        return self.tables[name]

    def facts(self, name: str) -> Mapping[str, Any]:
        record = self.products[name].record
        return {} if record is None else record.facts


def sections_of(
    workdir: WorkDir, settings: Settings, products: Mapping[str, ShownProduct]
) -> tuple[list[Section], list[str]]:
    """The sections of a target's report, in order.

    Parameters
    ----------
    workdir : WorkDir
        The target's.
    settings : Settings
        Its position and quality cuts.
    products : mapping
        As `hst_assets.report.shown_products.shown_products` gives them.

    Returns
    -------
    sections : list of Section
        All of them, whatever there is.
    absent : list of str
        What could not be shown, and why.
    """
    target = _Target(workdir, settings, products)
    makers: tuple[tuple[Section, Callable[[_Target, Section], Section]], ...] = (
        (Section("footprints", "Footprints"), _footprints),
        (Section("exposures", "Exposures"), _exposures),
        (Section("alignment", "Alignment"), _alignment),
        (Section("images", "Images"), _images),
        (Section("light-curve", "Light curve"), _light_curve),
        (Section("colours", "Colours and magnitudes of the stars"), _colours),
        (Section("completeness", "Completeness"), _completeness),
        (Section("counterpart", "Counterpart"), _counterpart),
        (Section("provenance", "Provenance"), _provenance),
    )
    sections = [_made(maker, target, empty) for empty, maker in makers]
    absent = [f"{section.title}: {why}" for section in sections for why in section.absent]
    return sections, absent


def _made(maker: Callable[[_Target, Section], Section], target: _Target, empty: Section) -> Section:
    try:
        return maker(target, empty)
    except HstAssetsError as error:
        return replace(empty, absent=(_in_words(error),))


def _in_words(error: HstAssetsError) -> str:
    told = error.brief
    return told if told.startswith("not ") else f"not shown: {told}"


def _footprints(target: _Target, empty: Section) -> Section:
    position = target.settings.target
    at = None
    if position.ra_deg is not None and position.dec_deg is not None:
        at = (position.ra_deg, position.dec_deg)
    return replace(empty, chart=sky_chart(target.table("target_exposures"), at))


def _exposures(target: _Target, empty: Section) -> Section:
    table = target.table("target_exposures")
    words = header_words(table, target.workdir)
    return replace(empty, tables=(exposure_table(table, words),))


def _alignment(target: _Target, empty: Section) -> Section:
    product = target.products["target_alignment"]
    if product.why_not:
        raise MissingProduct(product.why_not)
    facts = target.facts("target_alignment")
    counts = ", ".join(
        f"{facts[key]} {word}"
        for key, word in (
            ("n_pass", "PASS"),
            ("n_compromised", "COMPROMISED"),
            ("n_fail", "FAIL"),
            ("n_skipped", "SKIPPED"),
        )
        if key in facts
    )
    median = facts.get("median_rms_pix")
    told = f"Verdicts: {counts}." + (f" Median RMS {median:.3f} pixels." if median else "")
    return replace(
        empty, texts=(told,), tables=(alignment_table(_aligned_exposures(product.path)),)
    )


def _aligned_exposures(path: Path) -> QTable:
    try:
        with h5py.File(path) as file:
            return QTable.read(file, format="hdf5", path="exposures")
    except (OSError, KeyError, ValueError) as error:
        raise MissingProduct(f"not shown: the alignment cannot be read: {error}") from error


def _images(target: _Target, empty: Section) -> Section:
    absent: list[str] = []
    colours, stacks = target.products["colour_images"], target.products["drizzled_stacks"]
    if colours.why_not:
        absent.append(f"colour pictures {colours.why_not}")
    elif not target.facts("colour_images").get("previews"):
        absent.append("colour pictures not made: no detector has stacks in two filters")
    shown = [] if colours.why_not else list(target.facts("colour_images").get("previews", ()))
    if not shown and not stacks.why_not:
        shown = list(target.facts("drizzled_stacks").get("previews", ()))[:_MOST_PREVIEWS]
    pictures, unreadable = _pictures(
        (target.workdir.absolute(str(name)), str(name)) for name in shown
    )
    absent += unreadable
    tables: tuple[PageTable, ...] = ()
    if stacks.why_not:
        absent.append(f"drizzled images {stacks.why_not}")
    else:
        tables = (image_table(account_of(target.workdir).products),)
    return replace(empty, pictures=tuple(pictures), tables=tables, absent=tuple(absent))


def _pictures(files: Iterable[tuple[Path, str]]) -> tuple[list[Picture], list[str]]:
    """Pictures with their captions, and what is said of those that cannot be read."""
    pictures, unreadable = [], []
    for path, caption in files:
        try:
            pictures.append(Picture(embedded_picture(path), caption))
        except OSError as error:
            unreadable.append(f"not shown: the picture {caption} cannot be read: {error}")
    return pictures, unreadable


def _light_curve(target: _Target, empty: Section) -> Section:
    table = target.table("light_curve")
    system = target.settings.light_curve.magnitudes
    return replace(empty, figures=(light_curve_figure(table, magnitudes=system),))


def _colours(target: _Target, empty: Section) -> Section:
    index = target.table("dolphot_catalog")
    light_curve = None
    if not target.products["light_curve"].why_not:
        light_curve = target.table("light_curve")
    path = target.workdir.absolute(str(index["file"][0]))
    figure = colour_magnitude_figure(path, target.settings.quality_cuts, light_curve)
    told = (
        f"{index['photometer'][0]}: {index['n_stars'][0]} of {index['n_objects'][0]} objects pass "
        f"the cuts, measured in {index['n_images'][0]} images."
    )
    return replace(empty, texts=(told,), figures=(figure,))


def _completeness(target: _Target, empty: Section) -> Section:
    figure = completeness_figure(target.table("artificial_stars"))
    limits = target.facts("artificial_stars").get("limits") or ()
    return replace(empty, figures=(figure,), tables=(limit_table(limits),) if limits else ())


def _counterpart(target: _Target, empty: Section) -> Section:
    candidates = target.table("counterpart")
    workdir = target.workdir
    stamps = workdir.counterpart_figure
    pictures, absent = _pictures([(stamps, "Stamps with the error circle, north up")])
    verdict = workdir.counterpart_verdict
    texts = tuple(
        path.read_text(encoding="utf-8", errors="replace").strip()
        for path in (verdict, workdir.counterpart_methods)
        if path.is_file()
    )
    return replace(
        empty,
        pictures=tuple(pictures),
        tables=(candidate_table(candidates),),
        verbatim=texts,
        absent=tuple(absent),
    )


def _provenance(target: _Target, empty: Section) -> Section:
    own = without_defaults(
        target.settings.model_dump(mode="json"), Settings().model_dump(mode="json")
    )
    told = (
        "'hst-assets explain FILE' traces each product back to the raw exposures and their "
        "checksums."
    )
    return replace(
        empty,
        texts=(told,),
        pairs=tuple(set_values(own)),
        tables=(product_table(target.products.values(), target.workdir),),
    )

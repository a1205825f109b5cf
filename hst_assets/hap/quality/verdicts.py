"""What HAP's tests of quality found in a visit: good, doubtful or not checked, kind by kind.

drizzlepac leaves a JSON file for each product and kind of test (``SVM_QUALITY_TESTING``), and no
verdict. Here each file is judged by limits (`hst_assets.hap.quality.limits`). What has no file, or
none that tells, is *not checked*: drizzlepac leaves files out without a word.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hst_assets.failures import MissingProduct
from hst_assets.hap.quality.judges import JUDGES, Judgement, Verdict
from hst_assets.hap.quality.limits import KINDS_OF_QUALITY, QualityLimits
from hst_assets.hap.quality.visit_files import DrizzledImage, drizzled_images

__all__ = ["Finding", "KindOfQuality", "QualityReport", "quality_of"]

#: Worst first: of several findings the first of these is the kind's.
_RANK: tuple[Verdict, ...] = ("doubtful", "not checked", "good")
_CATALOGS = ("point", "segment")


@dataclass(frozen=True)
class Finding:
    """What a test says of one product.

    Attributes
    ----------
    product : str
        Detector, filter and exposure, or which catalogue.
    file : Path
        The JSON file, whether or not it is there.
    verdict : str
        ``good``, ``doubtful`` or ``not checked``.
    sentence : str
        Why.
    numbers : mapping
        What was measured.
    """

    product: str
    file: Path
    verdict: Verdict
    sentence: str
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class KindOfQuality:
    """One kind of test, over all products that have it.

    Attributes
    ----------
    name : str
        As drizzlepac's file names have it.
    title : str
        What is compared.
    findings : tuple of Finding
        Of each product that the visit has; none if it has none of these products.
    missing : str
        Why there is nothing to find, if there is nothing.
    """

    name: str
    title: str
    findings: tuple[Finding, ...]
    missing: str = ""

    @property
    def verdict(self) -> Verdict:
        """Doubtful if one is; good if all are; else not checked."""
        verdicts = {each.verdict for each in self.findings} or {"not checked"}
        return next(each for each in _RANK if each in verdicts)

    @property
    def sentence(self) -> str:
        """What the verdict comes of."""
        if not self.findings:
            return self.missing
        worst = next(each for each in self.findings if each.verdict == self.verdict)
        told = f"{worst.product}: {worst.sentence}"
        if len(self.findings) == 1:
            return told
        counts = Counter(each.verdict for each in self.findings)
        return f"{', '.join(f'{counts[each]} {each}' for each in _RANK if counts[each])}; {told}"

    @property
    def numbers(self) -> Mapping[str, float | int | str]:
        """What was measured, with the product before each name."""
        return {
            f"{each.product} {name}": value
            for each in self.findings
            for name, value in each.numbers.items()
        }


@dataclass(frozen=True)
class QualityReport:
    """All kinds of tests of a visit.

    Attributes
    ----------
    folder : Path
        Of the visit.
    kinds : mapping
        `KindOfQuality` by name; always all eight.
    """

    folder: Path
    kinds: Mapping[str, KindOfQuality]

    @property
    def verdict(self) -> Verdict:
        """Doubtful if a kind is; good if all are; else not checked."""
        verdicts = {each.verdict for each in self.kinds.values()}
        return next(each for each in _RANK if each in verdicts)


def quality_of(folder: Path, *, limits: QualityLimits | None = None) -> QualityReport:
    """Judge what the tests of quality left in the folder of a visit.

    Parameters
    ----------
    folder : Path
        With the visit's products, as a run leaves them.
    limits : QualityLimits, optional
        By which it is judged.

    Returns
    -------
    QualityReport
        All eight kinds, those without a file as *not checked*.

    Raises
    ------
    MissingProduct
        If there is no such folder.
    """
    if not folder.is_dir():
        raise MissingProduct(
            "there is no such folder of a visit",
            where=folder,
            next_step="Make its products with 'hst-assets hap POLLER'",
        )
    limits = limits or QualityLimits()
    images = drizzled_images(folder)
    kinds = {}
    for name, title in KINDS_OF_QUALITY.items():
        findings = tuple(
            _finding(name, product, image, file, limits)
            for product, image, file in _expected(name, images)
        )
        if name == "interfilter_crossmatch":
            findings = _without_the_reference(findings)
        kinds[name] = KindOfQuality(name, title, findings, "" if findings else _missing(name))
    return QualityReport(folder, kinds)


#: Of each kind the levels of the products that have a file of it.
_LEVELS: Mapping[str, frozenset[str]] = {
    "num_sources": frozenset({"total"}),
    "gaia_sources": frozenset({"total", "filter", "exposure"}),
    "gaia_distribution": frozenset({"filter"}),
    "point_segment_crossmatch": frozenset({"filter"}),
    "interfilter_crossmatch": frozenset({"filter"}),
    "wcs": frozenset({"exposure"}),
    "photometry": frozenset({"filter"}),
    "compare_sourcelists": frozenset({"filter"}),
}
#: How the names of files end where they do not tell the kind by its own name.
_ENDINGS = {"gaia_distribution": "gaia_distribution_characterization"}


def _expected(
    name: str, images: tuple[DrizzledImage, ...]
) -> Iterator[tuple[str, DrizzledImage, Path]]:
    """The products of a kind, and the file of each."""
    for image in images:
        if image.level not in _LEVELS[name]:
            continue
        if name == "photometry":
            file = f"{image.root}_{image.detector}_svm_{image.filter}_photometry.json"
            yield image.label, image, image.path.with_name(file)
        elif name == "compare_sourcelists":
            for catalog in _CATALOGS:
                ending = f"_{catalog}-cat_svm_compare_sourcelists.json"
                yield f"{image.label} {catalog}", image, image.beside(ending)
        else:
            yield image.label, image, image.beside(f"_svm_{_ENDINGS.get(name, name)}.json")


def _finding(
    name: str, product: str, image: DrizzledImage, file: Path, limits: QualityLimits
) -> Finding:
    judgement = _judgement(name, image, file, limits)
    return Finding(product, file, judgement.verdict, judgement.sentence, judgement.numbers)


def _judgement(name: str, image: DrizzledImage, file: Path, limits: QualityLimits) -> Judgement:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Judgement("not checked", f"there is no {file.name}")
    except (OSError, ValueError) as error:
        return Judgement("not checked", f"{file.name} cannot be read: {error}")
    if not isinstance(content, dict) or not isinstance(content.get("data"), dict):
        return Judgement("not checked", f"{file.name} is no file of a test")
    return JUDGES[name](_with_data(content), image, limits)


def _with_data(content: dict[str, Any]) -> dict[str, Any]:
    """The same, without parts of the data that are no objects."""
    parts = {title: part for title, part in content["data"].items() if isinstance(part, dict)}
    return {**content, "data": parts}


def _without_the_reference(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """One filter, the one with the most sources, is what the others are compared with."""
    without = [each for each in findings if not each.file.is_file()]
    return tuple(each for each in findings if not without or each is not without[0])


def _missing(name: str) -> str:
    if name == "interfilter_crossmatch":
        return "there are not two filters with images"
    return "the visit has no images that it is about"

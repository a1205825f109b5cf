"""The products of a visit: for each detector a total image, its filters, their exposures.

Names, levels and order are those of drizzlepac 3.11 (``poller_utils.interpret_obset_input``,
``parse_obset_tree`` and ``haputils.product``), computed without it; a test compares them. HAPLEVEL
is 1 for exposures and their drizzled images, 2 for the images of filters and of all together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hst_assets.detectors import DETECTORS, Detector
from hst_assets.failures import ToolFailed, UnusableInput
from hst_assets.hap.listed import ListedExposure
from hst_assets.hap.wfpc2_exposures import HAP_DETECTOR

__all__ = [
    "ExposureNode",
    "FilterNode",
    "TotalNode",
    "VisitTree",
    "check_planned",
    "detector_named",
    "filter_name",
    "is_dispersed",
    "visit_tree",
]


def filter_name(elements: str) -> str:
    """HAP's name of a filter, lower case.

    Parameters
    ----------
    elements : str
        Elements of the wheels joined by ``;``. Clear ones do not count, polarizers come last, and
        of three (some of ACS/SBC's) the third does not count.
    """
    wheels = elements.lower().split(";")[:2]
    used = [name for name in wheels if "clear" not in name and "n/a" not in name]
    if not used:
        return "clear"
    if used[0].startswith("pol"):
        used.reverse()
    return "-".join(used).rstrip("-")


def is_dispersed(name: str) -> bool:
    """Whether a filter name holds a grism or a prism, as HAP tells them: by ``g`` or ``pr``.

    Parameters
    ----------
    name : str
        HAP's name of the filter.
    """
    return "g" in name or "pr" in name


def _is_aligned_only(name: str) -> bool:
    """Ramps and quads are aligned with the others, and not drizzled."""
    return name.startswith(("fr", "fq"))


@dataclass(frozen=True)
class ExposureNode:
    """An exposure: its copy with the better WCS, and its drizzled image.

    Attributes
    ----------
    source : ListedExposure
        The exposure as it was listed.
    filter : str
        HAP's name of its filter.
    kind : str
        ``drz`` or ``drc``.
    """

    source: ListedExposure
    filter: str
    kind: str

    haplevel = 1

    @property
    def rootname(self) -> str:
        """IPPPSSOOT of the source's name."""
        return self.source.file.split("_")[0].lower()

    @property
    def basename(self) -> str:
        """What the names of its files begin with."""
        return f"{_beginning(self.source)}{self.filter}_{self.source.file[:8]}"

    @property
    def exposure_file(self) -> str:
        """The copy of the exposure that is aligned: ``_flt`` or ``_flc``."""
        return f"{self.basename}_{self.source.file.split('_')[1]}"

    @property
    def drizzled_file(self) -> str:
        """Its drizzled image."""
        return f"{self.basename}_{self.kind}.fits"

    @property
    def headerlet_file(self) -> str:
        """The headerlet with its new WCS, if the alignment succeeded."""
        return f"{self.basename}_hlet.fits"

    @property
    def trailer_file(self) -> str:
        """Its log."""
        return f"{self.basename}_trl.txt"

    @property
    def info(self) -> str:
        """Description as drizzlepac has it: proposal, visit, ..., filter and kind of product."""
        return _info(self.source, self.filter, self.kind)


class _WithCatalogs(ABC):
    """A product of which catalogues of sources are made."""

    @property
    @abstractmethod
    def basename(self) -> str:
        """What the names of its files begin with."""

    def catalog_file(self, kind: str) -> str:
        """Name of a catalogue.

        Parameters
        ----------
        kind : str
            ``point`` or ``segment``.
        """
        return f"{self.basename}_{kind}-cat.ecsv"


@dataclass(frozen=True)
class FilterNode(_WithCatalogs):
    """The image of a filter.

    Attributes
    ----------
    filter : str
        HAP's name of the filter.
    kind : str
        ``drz`` or ``drc``.
    exposures : tuple of ExposureNode
        What it is made of, in order.
    """

    filter: str
    kind: str
    exposures: tuple[ExposureNode, ...]

    haplevel = 2

    @property
    def basename(self) -> str:
        """What the names of its files begin with."""
        first = self.exposures[0]
        return f"{_beginning(first.source)}{self.filter}_{first.rootname[:6]}"

    @property
    def drizzled_file(self) -> str:
        """Its image."""
        return f"{self.basename}_{self.kind}.fits"

    @property
    def trailer_file(self) -> str:
        """Its log."""
        return f"{self.basename}_trl.txt"

    @property
    def is_drizzled(self) -> bool:
        """Whether HAP drizzles it; ramps and quads are aligned only."""
        return not _is_aligned_only(self.filter)

    @property
    def info(self) -> str:
        """Description as drizzlepac has it: that of its first exposure."""
        return _info(self.exposures[0].source, self.filter, self.kind)


@dataclass(frozen=True)
class TotalNode(_WithCatalogs):
    """The image of all filters of a detector, in which sources are found.

    Attributes
    ----------
    first : ExposureNode
        The exposure that names it: the first that is listed, dispersed ones included.
    filters : tuple of FilterNode
        The filters with direct exposures, in order.
    dispersed : tuple of ExposureNode
        Exposures with a grism or a prism, which are not drizzled.
    beside : tuple of ExposureNode
        ``flt`` exposures of filters that have ``flc`` ones: copied, and in no product.
    """

    first: ExposureNode
    filters: tuple[FilterNode, ...]
    dispersed: tuple[ExposureNode, ...] = ()
    beside: tuple[ExposureNode, ...] = ()

    haplevel = 2

    @property
    def detector(self) -> str:
        """Detector, lower case, as file names have it."""
        return _detector(self.first.source)

    @property
    def exposures(self) -> tuple[ExposureNode, ...]:
        """The direct exposures that are aligned."""
        return tuple(one for each in self.filters for one in each.exposures)

    @cached_property
    def drizzled_filters(self) -> tuple[FilterNode, ...]:
        """The filters that get images."""
        return tuple(each for each in self.filters if each.is_drizzled)

    @property
    def basename(self) -> str:
        """What the names of its files begin with."""
        return f"{_beginning(self.first.source)}total_{self.first.rootname[:6]}"

    @property
    def kind(self) -> str:
        """``drz`` or ``drc``: that of its first filter."""
        return self.first.kind

    @property
    def drizzled_file(self) -> str:
        """Its image."""
        return f"{self.basename}_{self.kind}.fits"

    @property
    def trailer_file(self) -> str:
        """Its log, and that of everything else of the detector."""
        return f"{self.basename}_trl.txt"

    @property
    def manifest_file(self) -> str:
        """The list of the visit's products."""
        source = self.first.source
        program = self.first.rootname[1:4]
        return f"{source.instrument.lower()}_{program}_{source.obset_id.lower()}_manifest.txt"

    @property
    def info(self) -> str:
        """Description as drizzlepac has it: that of its first exposure."""
        return _info(self.first.source, self.first.filter, self.kind)


@dataclass(frozen=True)
class VisitTree:
    """All products of a visit.

    Attributes
    ----------
    totals : tuple of TotalNode
        One for each detector, in order.
    """

    totals: tuple[TotalNode, ...]

    @property
    def manifest_file(self) -> str:
        """The list of the visit's products."""
        return self.totals[0].manifest_file

    @property
    def has_direct_exposures(self) -> bool:
        """Whether there is anything to drizzle."""
        return any(total.exposures for total in self.totals)

    def levels(self) -> dict[str, int]:
        """HAPLEVEL of each drizzled image."""
        return {node.drizzled_file: node.haplevel for node in self._nodes()}

    def _nodes(self) -> Iterator[TotalNode | FilterNode | ExposureNode]:
        for total in self.totals:
            if total.drizzled_filters:
                yield total
            for each in total.drizzled_filters:
                yield each
                yield from each.exposures


def visit_tree(exposures: Iterable[ListedExposure]) -> VisitTree:
    """The products that HAP makes of the exposures of a visit.

    Parameters
    ----------
    exposures : iterable of ListedExposure
        Those that HAP accepts, in the order of the poller.

    Raises
    ------
    UnusableInput
        If there is none.
    """
    ranked = _in_order(tuple(exposures))
    if not ranked:
        raise UnusableInput("no exposure of the visit is one that HAP takes")
    by_detector: dict[str, dict[str, list[ListedExposure]]] = {}
    for one in ranked:
        filters = by_detector.setdefault(one.detector, {})
        filters.setdefault(filter_name(one.filters), []).append(one)
    return VisitTree(tuple(_total(filters) for filters in by_detector.values()))


def check_planned(tree: VisitTree | None, told: Mapping[str, Any]) -> None:
    """Compare the products with those of drizzlepac: names, levels, and their places in its lists.

    Later pieces ask for a total product and its filters by their places.

    Parameters
    ----------
    tree : VisitTree or None
        The products; None if there are none.
    told : mapping
        What `hst_assets.hap.children.image_task.plan` told.

    Raises
    ------
    ToolFailed
        If drizzlepac plans other products, or in another order.
    """
    tree = tree or VisitTree(())
    levels = tree.levels()
    known = {name: level for name, level in told["drizzled"].items() if name in levels}
    places = [
        (total.drizzled_file, [each.drizzled_file for each in total.filters])
        for total in tree.totals
    ]
    if known == levels and [tuple(place) for place in told["places"]] == places:
        return
    own = {name for total, filters in places for name in (total, *filters)} | set(levels)
    others = sorted(set(told["drizzled"]) ^ own)
    what = "other products" if others or known != levels else "the products in another order"
    raise ToolFailed(
        f"drizzlepac plans {what} than expected",
        where=", ".join(others) or None,
        next_step="Use drizzlepac 3.11, or report this",
    )


def _in_order(exposures: Sequence[ListedExposure]) -> list[ListedExposure]:
    """Short exposures first; of equal ones, those of filters in which less light counts more."""
    keys = ([-one.photflam for one in exposures], [one.exptime_s for one in exposures])
    return [exposures[index] for index in np.lexsort(keys)]


def _total(by_filter: dict[str, list[ListedExposure]]) -> TotalNode:
    filters: list[FilterNode] = []
    dispersed: list[ExposureNode] = []
    beside: list[ExposureNode] = []
    members: list[ExposureNode] = []
    for name, exposures in by_filter.items():
        corrected = [one for one in exposures if one.file.endswith("_flc.fits")]
        kind, other = ("drc", "drz") if corrected else ("drz", "drc")
        taken = corrected or exposures
        nodes = [ExposureNode(one, name, kind) for one in taken]
        members += nodes
        beside += [ExposureNode(one, name, other) for one in exposures if one not in taken]
        if is_dispersed(name):
            dispersed += nodes
        else:
            filters.append(FilterNode(name, kind, tuple(nodes)))
    return TotalNode(members[0], tuple(filters), tuple(dispersed), tuple(beside))


def _beginning(source: ListedExposure) -> str:
    parts = (source.proposal_id, source.obset_id, source.instrument, _detector(source))
    return "hst_" + "_".join(str(part).lower() for part in parts) + "_"


def _detector(source: ListedExposure) -> str:
    return HAP_DETECTOR.lower() if source.instrument == "WFPC2" else source.detector.lower()


def detector_named(name: str) -> Detector:
    """The detector that file names of HAP's products have.

    Parameters
    ----------
    name : str
        Lower case; ``pc`` for all chips of WFPC2.

    Raises
    ------
    UnusableInput
        If HAP has none of that name.
    """
    if name == HAP_DETECTOR.lower():
        return DETECTORS["wfpc2"]
    for each in DETECTORS.values():
        if each.detector.lower() == name:
            return each
    raise UnusableInput("HAP has no detector of this name", where=name)


def _info(source: ListedExposure, name: str, kind: str) -> str:
    parts = (
        source.proposal_id,
        source.obset_id,
        source.instrument,
        source.detector,
        source.aperture,
        source.file.split("_")[0],
        name,
        kind,
    )
    return " ".join(str(part) for part in parts).lower()

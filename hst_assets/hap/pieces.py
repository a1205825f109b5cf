"""The pieces that a visit is made of, and what each reads, changes and leaves.

::

    plan -> align -> filter, filter ... -> total, headers, headers ... -> headers of the total
         -> detect -> measure, measure ... -> combine -> quality

Pieces of one stage (filters, the total and headers, measurements) can run side by side
(`hst_assets.hap.piece_runs`). What a filter leaves includes its exposures, in which it flags cosmic
rays. What comes after the filters can do without some of them: `kept` are the positions of the
others among `TotalNode.drizzled_filters`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hst_assets.hap.objects import STATE_SUFFIX
from hst_assets.hap.piece_runs import Piece
from hst_assets.hap.product_tree import ExposureNode, FilterNode, TotalNode

__all__ = [
    "CATALOG_KINDS",
    "align_piece",
    "combine_piece",
    "detect_piece",
    "filter_pieces",
    "header_piece",
    "header_pieces",
    "measure_pieces",
    "parameters_piece",
    "plan_piece",
    "quality_piece",
    "state_file",
    "total_piece",
]

#: What each kind of photometry calls its catalogues.
CATALOG_KINDS = {"aperture": ("point",), "segment": ("segment",), "both": ("point", "segment")}


def plan_piece(
    exposures: Sequence[str], arguments: Mapping[str, Any], *, is_extended: bool
) -> Piece:
    """Copies of the exposures under their new names, and drizzlepac's objects.

    Parameters
    ----------
    exposures : sequence of str
        Names of the exposures.
    arguments : mapping
        Of `hst_assets.hap.children.image_task.plan`.
    is_extended : bool
        Whether the file of parameters that is written is there already.
    """
    given = arguments["parameters_file"]
    return Piece(
        "plan",
        "plan",
        reads=(*exposures, *([given] if given else [])),
        changes=(arguments["new_parameters_file"],) if is_extended else (),
        arguments=arguments,
    )


def parameters_piece(numbers: Sequence[int]) -> Piece:
    """The parameters in force, for pieces of runs to come.

    Parameters
    ----------
    numbers : sequence of int
        Of the total products.
    """
    return Piece(
        "parameters",
        "parameters",
        reads=tuple(state_file("total", number) for number in numbers),
        arguments={"numbers": list(numbers)},
    )


def align_piece(number: int, total: TotalNode, arguments: Mapping[str, Any]) -> Piece:
    """One fit to Gaia for all exposures of a detector.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    arguments : mapping
        Further arguments of `hst_assets.hap.children.image_task.align`.
    """
    return Piece(
        f"{total.detector}.align",
        "align",
        reads=(state_file("total", number),),
        changes=tuple(one.exposure_file for one in (*total.exposures, *total.dispersed)),
        arguments={"number": number, **arguments},
        shares_out=True,
    )


def filter_pieces(number: int, total: TotalNode, kept: Sequence[int] | None = None) -> list[Piece]:
    """The image of each filter, and those of its exposures.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    kept : sequence of int, optional
        The filters that are wanted; by default all.
    """
    every = _drizzled_exposures(total)
    pieces = []
    for index, each in _filters(total, kept):
        own = tuple(one.exposure_file for one in each.exposures)
        # The frame is made of all exposures' headers.
        others = tuple(name for name in every if name not in own)
        pieces.append(
            Piece(
                f"{total.detector}.{each.filter}.drizzle",
                "filter",
                reads=(state_file("aligned", number), *others),
                changes=own,
                arguments={"number": number, "index": index},
            )
        )
    return pieces


def total_piece(number: int, total: TotalNode, kept: Sequence[int] | None = None) -> Piece:
    """The image of all filters together.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    kept : sequence of int, optional
        The filters that it is made of; by default all. Its frame is that of all.
    """
    changed = _drizzled_exposures(total, kept)
    others = [name for name in _drizzled_exposures(total) if name not in changed]
    return Piece(
        f"{total.detector}.total",
        "total",
        reads=(state_file("aligned", number), *others),
        changes=changed,
        arguments={"number": number, "kept": None if kept is None else list(kept)},
    )


def header_pieces(number: int, total: TotalNode) -> list[Piece]:
    """The last keywords of the images of filters and exposures.

    They need nothing of the image of all filters, and can be written while that is drizzled.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    """
    nodes: list[FilterNode | ExposureNode] = [*total.drizzled_filters]
    nodes += [one for each in total.drizzled_filters for one in each.exposures]
    return [header_piece(number, node) for node in nodes]


def header_piece(number: int, node: TotalNode | FilterNode | ExposureNode) -> Piece:
    """The last keywords of a drizzled image.

    Parameters
    ----------
    number : int
        Of the total product.
    node : TotalNode or FilterNode or ExposureNode
        Whose image it is.
    """
    # An exposure's image tells the name of the exposure; the others name none.
    own = (node.exposure_file,) if isinstance(node, ExposureNode) else ()
    return Piece(
        f"{node.drizzled_file.removesuffix('.fits')}.header",
        "headers",
        reads=(state_file("aligned", number), *own),
        changes=(node.drizzled_file,),
        arguments={"number": number, "name": node.drizzled_file, "trailer": node.trailer_file},
    )


def detect_piece(
    number: int, total: TotalNode, options: Mapping[str, Any], kept: Sequence[int] | None = None
) -> Piece:
    """Sources on the image of all filters.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    options : mapping
        Of `hst_assets.hap.children.catalog_task.detect`.
    kept : sequence of int, optional
        The filters that the image is made of; by default all.
    """
    return Piece(
        f"{total.detector}.detect",
        "detect",
        # Its model of a star is made from the exposures, and their headers.
        reads=(
            state_file("drizzled", number),
            total.drizzled_file,
            *_drizzled_exposures(total, kept),
        ),
        arguments={"number": number, "options": dict(options)},
        shares_out=True,
    )


def measure_pieces(
    number: int, total: TotalNode, options: Mapping[str, Any], kept: Sequence[int] | None = None
) -> list[Piece]:
    """The catalogues of each filter.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    options : mapping
        Of `hst_assets.hap.children.catalog_task.measure`.
    kept : sequence of int, optional
        The filters; by default all.
    """
    return [
        Piece(
            f"{total.detector}.{each.filter}.measure",
            "measure",
            reads=(
                state_file("drizzled", number),
                state_file("filter", number, index),
                state_file("sources", number),
                *_images(each),
            ),
            arguments={"number": number, "index": index, "options": dict(options)},
        )
        for index, each in _filters(total, kept)
    ]


def combine_piece(
    number: int, total: TotalNode, options: Mapping[str, Any], kept: Sequence[int] | None = None
) -> Piece:
    """The catalogues of the detector.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    options : mapping
        Of `hst_assets.hap.children.catalog_task.combine`.
    kept : sequence of int, optional
        The filters that were measured; by default all.
    """
    measured = _filters(total, kept)
    catalogs = [
        each.catalog_file(kind)
        for _, each in measured
        for kind in CATALOG_KINDS[options["photometry"]]
    ]
    return Piece(
        f"{total.detector}.combine",
        "combine",
        reads=(
            state_file("drizzled", number),
            state_file("sources", number),
            *(state_file("columns", number, index) for index, _ in measured),
            total.drizzled_file,
        ),
        changes=tuple(catalogs),
        arguments={
            "number": number,
            "filters": [index for index, _ in measured],
            "options": dict(options),
            "catalogs_of_filters": catalogs,
        },
    )


def quality_piece(
    totals: Mapping[int, TotalNode],
    catalogs: Sequence[str],
    arguments: Mapping[str, Any],
    kept: Mapping[int, Sequence[int]] | None = None,
) -> Piece:
    """What HAP measures of the products' quality.

    Parameters
    ----------
    totals : mapping
        The total products that have images, by number.
    catalogs : sequence of str
        Their catalogues.
    arguments : mapping
        Further arguments of `hst_assets.hap.children.quality_task.assess`.
    kept : mapping, optional
        The filters of each that there are; by default all.
    """
    reads: list[str] = [*catalogs]
    exposures: list[str] = []
    for number, total in totals.items():
        reads += [state_file("drizzled", number), total.drizzled_file]
        for index, each in _filters(total, (kept or {}).get(number)):
            reads += [state_file("filter", number, index), each.drizzled_file]
            reads += [
                name for one in each.exposures for name in (one.drizzled_file, one.source.file)
            ]
            # One of the tests writes another WCS into them, and restores the first in part.
            exposures += [one.exposure_file for one in each.exposures]
    return Piece(
        "quality",
        "quality",
        reads=tuple(reads),
        spoils=tuple(exposures),
        arguments={
            "totals": {
                str(key): [index for index, _ in _filters(each, (kept or {}).get(key))]
                for key, each in totals.items()
            },
            **arguments,
        },
    )


def _images(each: FilterNode) -> Iterator[str]:
    """A filter's image, and of each of its exposures both the image and the exposure."""
    yield each.drizzled_file
    for one in each.exposures:
        yield from (one.drizzled_file, one.exposure_file)


def _filters(total: TotalNode, kept: Sequence[int] | None) -> list[tuple[int, FilterNode]]:
    """The filters that are wanted, with their positions."""
    every = enumerate(total.drizzled_filters)
    return [(index, each) for index, each in every if kept is None or index in kept]


def _drizzled_exposures(total: TotalNode, kept: Sequence[int] | None = None) -> tuple[str, ...]:
    return tuple(one.exposure_file for _, each in _filters(total, kept) for one in each.exposures)


def state_file(name: str, *numbers: int) -> str:
    """Name of what pieces leave for each other.

    Parameters
    ----------
    name : str
        What it is: ``total``, ``aligned``, ``filter``, ``drizzled``, ``sources``, ``columns``.
    *numbers : int
        Of the total product, and of the filter in it.
    """
    return name + "_".join(map(str, numbers)) + STATE_SUFFIX

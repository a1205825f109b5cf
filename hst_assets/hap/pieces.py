"""The pieces that a visit is made of, and what each reads, changes and leaves.

::

    plan -> align -> filter, filter ... -> total, exposure, exposure ... -> headers, headers ...
         -> detect -> measure, measure ... -> combine -> quality

A piece runs in a child process and a scratch folder of its own. It gets links to what it reads and
copies of what it changes, and what it leaves goes to the visit's folder when it has ended. So a
piece that fails spoils nothing, and pieces of one stage (filters, headers, measurements) run side
by side. What a filter leaves includes its exposures, in which it flags cosmic rays.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hst_assets.failures import HstAssetsError
from hst_assets.hap.objects import STATE_SUFFIX
from hst_assets.hap.product_tree import ExposureNode, FilterNode, TotalNode
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.settings import MachineSettings

__all__ = [
    "HapEnded",
    "Piece",
    "VisitFolder",
    "align_piece",
    "combine_piece",
    "detect_piece",
    "exposure_pieces",
    "filter_pieces",
    "header_pieces",
    "measure_pieces",
    "plan_piece",
    "quality_piece",
    "run_pieces",
    "total_piece",
]

_TASK = "hst_assets.hap.piece_task:run_piece"
CATALOG_KINDS = {"aperture": ("point",), "segment": ("segment",), "both": ("point", "segment")}


class HapEnded(Exception):
    """A piece was ended by drizzlepac itself, with a number.

    Attributes
    ----------
    code : int
        The number.
    log_path : Path
        What the piece said.
    """

    def __init__(self, code: int, log_path: Path) -> None:
        super().__init__(f"ended with {code}")
        self.code = code
        self.log_path = log_path


@dataclass(frozen=True)
class VisitFolder:
    """The folder that holds the products of a visit while its pieces are made.

    Parameters
    ----------
    root : Path
        An existing folder.
    """

    root: Path

    @property
    def files(self) -> Path:
        """Products, the exposures (links), and what pieces leave for each other."""
        return self.root / "files"

    @property
    def logs(self) -> Path:
        """The log of each piece."""
        return self.root / "logs"

    def scratch(self, label: str) -> Path:
        """The folder in which a piece runs.

        Parameters
        ----------
        label : str
            The piece.
        """
        return self.root / "scratch" / label

    def log(self, label: str) -> Path:
        """The log of a piece.

        Parameters
        ----------
        label : str
            The piece.
        """
        return self.logs / f"{label}.txt"

    def products(self) -> list[Path]:
        """The files that are the visit's, by name."""
        return sorted(
            path
            for path in self.files.iterdir()
            if not path.is_symlink() and path.suffix != STATE_SUFFIX
        )


@dataclass(frozen=True)
class Piece:
    """One call of a step.

    Parameters
    ----------
    label : str
        Its name, unique in the visit.
    step : str
        Name in `hst_assets.hap.piece_task.STEPS`.
    reads, changes, spoils : tuple of str
        Names of files in the visit's folder: what the step reads, what it changes, and what it
        works on and leaves in a state that nobody wants.
    arguments : mapping
        Keyword arguments of the step.
    """

    label: str
    step: str
    reads: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    spoils: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)


def run_pieces(
    pieces: Sequence[Piece], folder: VisitFolder, machine: MachineSettings
) -> list[dict[str, Any]]:
    """Run pieces that do not need each other, and take what they leave.

    Parameters
    ----------
    pieces : sequence of Piece
        The pieces.
    folder : VisitFolder
        Where they read and leave files.
    machine : MachineSettings
        How many run at a time, and how long.

    Returns
    -------
    list of dict
        What each told.

    Raises
    ------
    HapEnded
        If drizzlepac ended a piece.
    HstAssetsError
        The first failure of a piece; the others' products are in the folder.
    """
    # Those that are alone in their stage can share their work out.
    cores = max(1, machine.max_cores // max(1, len(pieces)))
    calls = [_call(piece, folder, cores) for piece in pieces]
    answers = run_many_isolated(
        _TASK, calls, timeout_s=machine.timeout_s("hap"), max_cores=machine.max_cores
    )
    for call, answer in zip(calls, answers, strict=True):
        if not isinstance(answer, HstAssetsError) and answer["exit"] is None:
            for name in answer["files"]:
                (call.scratch / name).replace(folder.files / name)
    for call, answer in zip(calls, answers, strict=True):
        if isinstance(answer, HstAssetsError):
            raise answer
        if answer["exit"] is not None:
            raise HapEnded(answer["exit"], call.log_path)
        shutil.rmtree(call.scratch)
    return [answer["value"] for answer in answers]


def _call(piece: Piece, folder: VisitFolder, cores: int) -> Call:
    scratch = folder.scratch(piece.label)
    scratch.mkdir(parents=True)
    arguments = {
        "step": piece.step,
        "folder": str(folder.files.absolute()),
        "reads": list(piece.reads),
        "changes": list(piece.changes),
        "spoils": list(piece.spoils),
        "arguments": dict(piece.arguments),
        "cores": cores,
    }
    return Call(arguments, scratch=scratch, log_path=folder.log(piece.label))


# -------------------------------------------------------------------------------- the pieces


def plan_piece(
    exposures: Sequence[str], arguments: Mapping[str, Any], *, is_extended: bool
) -> Piece:
    """Copies of the exposures under their new names, and drizzlepac's objects.

    Parameters
    ----------
    exposures : sequence of str
        Names of the exposures.
    arguments : mapping
        Of `hst_assets.hap.image_task.plan`.
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


def align_piece(number: int, total: TotalNode, arguments: Mapping[str, Any]) -> Piece:
    """One fit to Gaia for all exposures of a detector.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    arguments : mapping
        Further arguments of `hst_assets.hap.image_task.align`.
    """
    return Piece(
        f"{total.detector}.align",
        "align",
        reads=(_state("total", number),),
        changes=tuple(one.exposure_file for one in (*total.exposures, *total.dispersed)),
        arguments={"number": number, **arguments},
    )


def filter_pieces(number: int, total: TotalNode, *, with_exposures: bool = True) -> list[Piece]:
    """The image of each filter, and those of its exposures.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    with_exposures : bool
        False leaves them to `exposure_pieces`.
    """
    every = _drizzled_exposures(total)
    pieces = []
    for index, each in enumerate(total.drizzled_filters):
        own = tuple(one.exposure_file for one in each.exposures)
        # The frame is made of all exposures' headers.
        others = tuple(name for name in every if name not in own)
        pieces.append(
            Piece(
                f"{total.detector}.{each.filter}.drizzle",
                "filter",
                reads=(_state("aligned", number), *others),
                changes=own,
                arguments={"number": number, "index": index, "with_exposures": with_exposures},
            )
        )
    return pieces


def exposure_pieces(number: int, total: TotalNode) -> list[Piece]:
    """The image of each exposure, once the filters are there: beside that of all filters.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    """
    every = _drizzled_exposures(total)
    return [
        Piece(
            f"{total.detector}.{one.drizzled_file.removesuffix('.fits')}.drizzle",
            "exposure",
            reads=(
                _state("aligned", number),
                *(name for name in every if name != one.exposure_file),
            ),
            # The sky that is written into it is that of the image of all filters in the end.
            spoils=(one.exposure_file,),
            arguments={"number": number, "index": index, "exposure": position},
        )
        for index, each in enumerate(total.drizzled_filters)
        for position, one in enumerate(each.exposures)
    ]


def total_piece(number: int, total: TotalNode) -> Piece:
    """The image of all filters together.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    """
    return Piece(
        f"{total.detector}.total",
        "total",
        reads=(_state("aligned", number),),
        changes=_drizzled_exposures(total),
        arguments={"number": number},
    )


def header_pieces(number: int, total: TotalNode) -> list[Piece]:
    """The last keywords of each drizzled image.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    """
    nodes: list[TotalNode | FilterNode | ExposureNode] = [total, *total.drizzled_filters]
    nodes += [one for each in total.drizzled_filters for one in each.exposures]
    return [
        Piece(
            f"{node.drizzled_file.removesuffix('.fits')}.header",
            "headers",
            reads=(_state("aligned", number), *_drizzled_exposures(total)),
            changes=(node.drizzled_file,),
            arguments={
                "number": number,
                "name": node.drizzled_file,
                "trailer": node.trailer_file,
            },
        )
        for node in nodes
    ]


def detect_piece(number: int, total: TotalNode, options: Mapping[str, Any]) -> Piece:
    """Sources on the image of all filters.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    options : mapping
        Of `hst_assets.hap.catalog_task.detect`.
    """
    return Piece(
        f"{total.detector}.detect",
        "detect",
        # Its model of a star is made from the exposures, and their headers.
        reads=(_state("drizzled", number), total.drizzled_file, *_drizzled_exposures(total)),
        arguments={"number": number, "options": dict(options)},
    )


def measure_pieces(number: int, total: TotalNode, options: Mapping[str, Any]) -> list[Piece]:
    """The catalogues of each filter.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    options : mapping
        Of `hst_assets.hap.catalog_task.measure`.
    """
    return [
        Piece(
            f"{total.detector}.{each.filter}.measure",
            "measure",
            reads=(
                _state("drizzled", number),
                _state("filter", number, index),
                _state("sources", number),
                *_images(each),
            ),
            arguments={"number": number, "index": index, "options": dict(options)},
        )
        for index, each in enumerate(total.drizzled_filters)
    ]


def combine_piece(number: int, total: TotalNode, options: Mapping[str, Any]) -> Piece:
    """The catalogues of the detector.

    Parameters
    ----------
    number : int
        Of the total product.
    total : TotalNode
        The product.
    options : mapping
        Of `hst_assets.hap.catalog_task.combine`.
    """
    catalogs = [
        each.catalog_file(kind)
        for each in total.drizzled_filters
        for kind in CATALOG_KINDS[options["photometry"]]
    ]
    n_filters = len(total.drizzled_filters)
    return Piece(
        f"{total.detector}.combine",
        "combine",
        reads=(
            _state("drizzled", number),
            _state("sources", number),
            *(_state("columns", number, index) for index in range(n_filters)),
            total.drizzled_file,
        ),
        changes=tuple(catalogs),
        arguments={
            "number": number,
            "filters": n_filters,
            "options": dict(options),
            "catalogs_of_filters": catalogs,
        },
    )


def quality_piece(
    totals: Mapping[int, TotalNode], catalogs: Sequence[str], arguments: Mapping[str, Any]
) -> Piece:
    """What HAP measures of the products' quality.

    Parameters
    ----------
    totals : mapping
        The total products that have images, by number.
    catalogs : sequence of str
        Their catalogues.
    arguments : mapping
        Further arguments of `hst_assets.hap.quality_task.assess`.
    """
    reads: list[str] = [*catalogs]
    exposures: list[str] = []
    for number, total in totals.items():
        reads += [_state("drizzled", number), total.drizzled_file]
        for index, each in enumerate(total.drizzled_filters):
            reads += [_state("filter", number, index), each.drizzled_file]
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
            "totals": {str(key): len(each.drizzled_filters) for key, each in totals.items()},
            **arguments,
        },
    )


def _images(each: FilterNode) -> Iterator[str]:
    """A filter's image, and of each of its exposures both the image and the exposure."""
    yield each.drizzled_file
    for one in each.exposures:
        yield from (one.drizzled_file, one.exposure_file)


def _drizzled_exposures(total: TotalNode) -> tuple[str, ...]:
    return tuple(one.exposure_file for each in total.drizzled_filters for one in each.exposures)


def _state(name: str, *numbers: int) -> str:
    return name + "_".join(map(str, numbers)) + STATE_SUFFIX

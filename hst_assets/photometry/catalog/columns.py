"""The columns of a catalogue: DOLPHOT's ``.columns`` file, parsed, looked up and written.

A line is ``25. Measured counts, x_flc.chip1 (F814W, 500.0 sec)``. The first eleven columns
are of the object; blocks follow, one for each filter with two images or more (in the order WFPC2,
ACS, WFC3), then one for each image. Versions before 2.1 name a filter ``F814W``, later ones
``WFC3_F814W``; both are understood. An image is known by its number, from 1, and by its file name,
so that the folder may have moved since.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hst_assets.failures import BadConfiguration, MissingProduct, UnusableInput
from hst_assets.photometry.catalog.quantities import (
    ANALYTIC_BLOCK,
    HST_BLOCK,
    PER_OBJECT,
    Quantity,
)

__all__ = [
    "CatalogColumn",
    "CatalogColumns",
    "CatalogFilter",
    "CatalogImage",
    "parse_columns",
    "read_columns",
]

Found = TypeVar("Found")

_LINE = re.compile(r"(\d+)\. (.+)")
_IMAGE = re.compile(r"(?P<path>.+) \((?:(?P<filter>[^\s,()]+), )?(?P<exptime>\d+\.\d+) sec\)")
_INSTRUMENTS = ("WFPC2", "ACS", "WFC3")
_PREFIXED = re.compile(r"(?P<instrument>[A-Z][A-Z0-9]*)_(?P<name>[A-Z0-9]+)")
_NOT_IN_NAMES = re.compile(r"\W+")


@dataclass(frozen=True)
class CatalogFilter:
    """A filter with columns of its own.

    Attributes
    ----------
    label : str
        As the ``.columns`` file spells it: ``F814W`` or ``WFC3_F814W``.
    instrument : str
        Such as ``WFC3``; empty where nothing tells.
    """

    label: str
    instrument: str = ""

    @property
    def name(self) -> str:
        """Its name without the instrument."""
        return _bare(self.label)


@dataclass(frozen=True)
class CatalogImage:
    """An image with columns of its own.

    Attributes
    ----------
    number : int
        Its number in the parameter file, from 1.
    path : str
        As the program was given it: without ``.fits``, and wherever it was then.
    filter_label : str
        Its filter as the ``.columns`` file spells it; empty for an instrument that DOLPHOT does
        not know.
    exptime_s : float
        Its exposure time, seconds, rounded to 0.1.
    instrument : str
        Such as ``WFC3``; empty where nothing tells.
    """

    number: int
    path: str
    filter_label: str
    exptime_s: float
    instrument: str = ""

    @property
    def name(self) -> str:
        """The name of its file without folder and ``.fits``: ``iaaa01abq_flc.chip1``."""
        return self.path.rpartition("/")[2]

    @property
    def filter_name(self) -> str:
        """Its filter without the instrument."""
        return _bare(self.filter_label)

    @property
    def label(self) -> str:
        """As the ``.columns`` file and the warnings spell it."""
        inside = f"{self.filter_label}, " if self.filter_label else ""
        return f"{self.path} ({inside}{self.exptime_s:.1f} sec)"


@dataclass(frozen=True)
class CatalogColumn:
    """One column.

    Attributes
    ----------
    number : int
        From 1.
    name : str
        Its flat name, unique in the catalogue: ``chi``, ``f814w_rate``,
        ``iaaa01abq_flc_chip1_sky``.
    quantity : Quantity
        What it holds.
    filter, image : CatalogFilter, CatalogImage or None
        Of what; neither: of the object.
    """

    number: int
    name: str
    quantity: Quantity
    filter: CatalogFilter | None = None
    image: CatalogImage | None = None

    @property
    def description(self) -> str:
        """What it means, and of what."""
        of = self.filter.label if self.filter else self.image.label if self.image else ""
        return f"{self.quantity.description} ({of})" if of else self.quantity.description

    def line(self) -> str:
        """Its line of the ``.columns`` file."""
        title = self.quantity.title
        if self.image is not None:
            title = f"{self.quantity.title_of_image}, {self.image.label}"
        elif self.filter is not None:
            title = f"{title}, {self.filter.label}"
        return f"{self.number}. {title}"


@dataclass(frozen=True)
class CatalogColumns:
    """All columns of a catalogue in their order.

    Parameters
    ----------
    filters : tuple of CatalogFilter
        Those with a block of their own.
    images : tuple of CatalogImage
        All images.
    """

    filters: tuple[CatalogFilter, ...]
    images: tuple[CatalogImage, ...]

    def __iter__(self) -> Iterator[CatalogColumn]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    @functools.cached_property
    def all(self) -> tuple[CatalogColumn, ...]:
        """Every column."""
        return tuple(self._build())

    def _build(self) -> Iterator[CatalogColumn]:
        number = 0
        for quantity in PER_OBJECT:
            number += 1
            yield CatalogColumn(number, quantity.key, quantity)
        for each, stem in zip(self.filters, self.filter_stems, strict=True):
            for quantity in HST_BLOCK:
                number += 1
                yield CatalogColumn(number, f"{stem}_{quantity.key}", quantity, filter=each)
        for image, stem in zip(self.images, self.image_stems, strict=True):
            for quantity in block_of(image):
                number += 1
                yield CatalogColumn(number, f"{stem}_{quantity.key}", quantity, image=image)

    @property
    def filter_stems(self) -> list[str]:
        """How the flat names of each filter's columns begin: ``f814w``.

        If two instruments have the same filter, ``wfc3_f814w``.
        """
        often = Counter(each.name for each in self.filters)
        stems = [
            f"{each.instrument}_{each.name}" if often[each.name] > 1 else each.name
            for each in self.filters
        ]
        return _unique(stems)

    @property
    def image_stems(self) -> list[str]:
        """How the flat names of each image's columns begin: ``iaaa01abq_flc_chip1``."""
        reserved = self.filter_stems
        return _unique([*reserved, *(image.name for image in self.images)])[len(reserved) :]

    def filter(self, name: str) -> CatalogFilter:
        """A filter by its name, with or without the instrument: ``F814W``, ``ACS_F814W``.

        Raises
        ------
        BadConfiguration
            If there is none of that name, or more than one.
        """
        wanted = name.upper()
        found = [
            each
            for each in self.filters
            if wanted in {each.label, each.name, f"{each.instrument}_{each.name}"}
        ]
        return _only(found, f"filter {name}", [each.label for each in self.filters])

    def image(self, name: str | int) -> CatalogImage:
        """An image by its number, from 1, or by the name of its file.

        The name may have a folder before it and ``.fits`` behind it; neither counts.

        Raises
        ------
        BadConfiguration
            If there is none, or more than one.
        """
        if isinstance(name, int):
            found = [image for image in self.images if image.number == name]
        else:
            wanted = name.rpartition("/")[2].removesuffix(".fits")
            found = [image for image in self.images if image.name == wanted]
        return _only(found, f"image {name}", [image.name for image in self.images])

    def images_of(self, of_filter: str | CatalogFilter) -> list[CatalogImage]:
        """The images in a filter that has a block of its own, which may be named.

        Raises
        ------
        BadConfiguration
            If there is none of that name, or more than one.
        """
        of = self.filter(of_filter) if isinstance(of_filter, str) else of_filter
        return [
            image
            for image in self.images
            if image.filter_name == of.name and image.instrument == of.instrument
        ]

    def find(
        self, quantity: str, *, filter_name: str | None = None, image: str | int | None = None
    ) -> CatalogColumn:
        """The column of a quantity of the object, of a filter or of an image.

        Parameters
        ----------
        quantity : str
            Its key, such as ``rate`` (see `hst_assets.photometry.catalog.quantities`).
        filter_name : str, optional
            Name of the filter.
        image : str or int, optional
            Name or number of the image; filter and image exclude each other.

        Raises
        ------
        BadConfiguration
            If there is no such column, or the name fits more than one.
        """
        if filter_name is not None and image is not None:
            raise BadConfiguration("a column is of a filter or of an image, not of both")
        of_filter = None if filter_name is None else self.filter(filter_name)
        of_image = None if image is None else self.image(image)
        alike = [each for each in self if each.filter == of_filter and each.image == of_image]
        found = [each for each in alike if each.quantity.key == quantity]
        of = f" of {filter_name or image}" if filter_name or image else ""
        return _only(found, f"column {quantity}{of}", [each.quantity.key for each in alike])

    def named_by(self, instruments: Mapping[int, str]) -> CatalogColumns:
        """The same columns, with the instrument of each image from elsewhere (``.info``).

        Parameters
        ----------
        instruments : mapping
            Instrument by the number of an image.

        Raises
        ------
        UnusableInput
            If a filter's block belongs to no instrument of its images.
        """
        images = tuple(
            replace(image, instrument=instruments.get(image.number, image.instrument))
            for image in self.images
        )
        return CatalogColumns(tuple(_with_instruments(self.filters, images)), images)

    def text(self) -> str:
        """The ``.columns`` file."""
        return "".join(f"{column.line()}\n" for column in self)


def block_of(image: CatalogImage) -> tuple[Quantity, ...]:
    """The quantities of an image: 13 of an instrument that DOLPHOT knows, 17 of any other."""
    return HST_BLOCK if image.filter_label else ANALYTIC_BLOCK


def read_columns(path: Path) -> CatalogColumns:
    """Read a ``.columns`` file.

    Raises
    ------
    MissingProduct
        If it is not there.
    UnusableInput
        If it is damaged or of another layout; the failure names the line.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError as error:
        raise MissingProduct(
            "the list of columns is missing", where=path, next_step="Make the catalogue again"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInput(f"the list of columns cannot be read: {error}", where=path) from error
    return parse_columns(text, path)


def parse_columns(text: str, where: object) -> CatalogColumns:
    """Parse the text of a ``.columns`` file; `where` names it in failures.

    Raises
    ------
    UnusableInput
        If a line is missing, cut off, out of order or of no known title.
    """
    if not text.endswith("\n"):
        number = text.count("\n") + 1
        raise UnusableInput("the last line is cut off", where=f"{where}, line {number}")
    titles = _titles(text.split("\n")[:-1], where)
    for number, quantity in enumerate(PER_OBJECT):
        if number >= len(titles) or titles[number] != quantity.title:
            raise _unexpected(titles, number, quantity.title, where)
    filters: list[CatalogFilter] = []
    images: list[CatalogImage] = []
    at = len(PER_OBJECT)
    while at < len(titles):
        label = _label(titles[at], where, at + 1)
        image = _image(label, len(images) + 1, where, at + 1)
        if image is None:
            if images:
                raise _unexpected(titles, at, "an image", where)
            filters.append(_filter(label))
        else:
            images.append(image)
        at = _past_block(titles, at, label, image, where)
    return CatalogColumns(tuple(filters), tuple(images))


def _titles(lines: Sequence[str], where: object) -> list[str]:
    titles = []
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None or match[1] != str(number):
            raise UnusableInput(
                f"not the description of column {number}: {line[:80]!r}",
                where=f"{where}, line {number}",
                next_step="Make the catalogue again",
            )
        titles.append(match[2])
    return titles


def _label(title: str, where: object, number: int) -> str:
    """What a block's first column is of."""
    first = HST_BLOCK[0]
    for start in (f"{first.title}, ", f"{first.image_title}, "):
        if title.startswith(start):
            return title.removeprefix(start)
    raise UnusableInput(
        f"no filter or image begins with {title[:80]!r}", where=f"{where}, line {number}"
    )


def _image(label: str, number: int, where: object, line: int) -> CatalogImage | None:
    match = _IMAGE.fullmatch(label)
    if match is None:
        if not re.fullmatch(r"[A-Za-z0-9_]+", label):
            raise UnusableInput(
                f"neither a filter nor an image: {label[:80]!r}", where=f"{where}, line {line}"
            )
        return None
    filter_label = match["filter"] or ""
    return CatalogImage(
        number, match["path"], filter_label, float(match["exptime"]), _instrument(filter_label)
    )


def _filter(label: str) -> CatalogFilter:
    return CatalogFilter(label, _instrument(label))


def _past_block(
    titles: Sequence[str], at: int, label: str, image: CatalogImage | None, where: object
) -> int:
    """The index behind a block; every title in it must be the expected one."""
    for quantity in HST_BLOCK if image is None else block_of(image):
        title = quantity.title if image is None else quantity.title_of_image
        if at >= len(titles) or titles[at] != f"{title}, {label}":
            raise _unexpected(titles, at, f"{title}, {label}", where)
        at += 1
    return at


def _unexpected(titles: Sequence[str], at: int, expected: str, where: object) -> UnusableInput:
    found = repr(titles[at][:80]) if at < len(titles) else "the end of the file"
    return UnusableInput(
        f"{found} stands where {expected!r} was expected",
        where=f"{where}, line {at + 1}",
        next_step="Make the catalogue again",
    )


def _bare(label: str) -> str:
    match = _PREFIXED.fullmatch(label)
    return match["name"] if match else label


def _instrument(label: str) -> str:
    match = _PREFIXED.fullmatch(label)
    return match["instrument"] if match else ""


def _unique(names: Sequence[str]) -> list[str]:
    """Names as identifiers in lower case; a number tells those apart that are the same."""
    plain = [_NOT_IN_NAMES.sub("_", name).strip("_").lower() for name in names]
    taken: set[str] = set()
    unique = []
    for name in plain:
        candidate, number = name, 1
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        unique.append(candidate)
    return unique


def _with_instruments(
    filters: Sequence[CatalogFilter], images: Sequence[CatalogImage]
) -> Iterator[CatalogFilter]:
    """Filters with their instrument, by the images that have a block in that filter.

    Of a name that several instruments have, the blocks stand in the order of the instruments, and
    only instruments with two images or more have one.
    """
    left: dict[str, list[str]] = {}
    for name in {each.name for each in filters}:
        often = Counter(each.instrument for each in images if each.filter_name == name)
        left[name] = sorted(
            (instrument for instrument, n in often.items() if n > 1),
            key=lambda each: (_INSTRUMENTS.index(each) if each in _INSTRUMENTS else 99, each),
        )
    for each in filters:
        if not left[each.name]:
            raise UnusableInput(
                f"no instrument has two images in {each.label}, which has columns of its own"
            )
        yield replace(each, instrument=left[each.name].pop(0))


def _only(found: Sequence[Found], what: str, known: Sequence[str]) -> Found:
    if len(found) == 1:
        return found[0]
    names = ", ".join(dict.fromkeys(known)) or "none"
    problem = "does not exist" if not found else f"is not the only one: there are {len(found)}"
    raise BadConfiguration(f"the {what} {problem}", next_step=f"Known are: {names}")

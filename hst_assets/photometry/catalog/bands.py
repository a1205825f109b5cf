"""The bands of a catalogue: where the measurements of each filter of each instrument are.

DOLPHOT gives a filter columns of its own only if two images or more are in it, and DOLPHOT 2 calls
ACS's and WFC3's F814W alike. Here every filter is found: one of a single image in the columns of
that image, and one that two instruments have by the name of each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hst_assets.photometry.catalog.columns import CatalogColumns, CatalogImage

__all__ = ["CatalogBand", "bands_of", "by_wavelength"]


@dataclass(frozen=True)
class CatalogBand:
    """What was measured in a filter of an instrument.

    Attributes
    ----------
    name : str
        Unique in the catalogue: the filter as the ``.columns`` file spells it (``F814W``,
        ``WFC3_F814W``), with its instrument where two have it. Of an image whose filter is not
        known, the image's label.
    filter_name, instrument : str
        The filter without its instrument; empty where nothing tells.
    images : tuple of CatalogImage
        Its images.
    has_columns : bool
        Whether the filter has columns of its own; otherwise those of its one image count.
    stem : str
        How flat names of columns that are added for it begin.
    """

    name: str
    filter_name: str
    instrument: str
    images: tuple[CatalogImage, ...]
    has_columns: bool
    stem: str

    @property
    def address(self) -> dict[str, Any]:
        """Its columns, for `Catalog.values` and `Catalog.measured`."""
        if not self.has_columns:
            return {"image": self.images[0].number}
        with_instrument = f"{self.instrument}_{self.filter_name}" if self.instrument else ""
        return {"filter_name": with_instrument or self.name}


def bands_of(columns: CatalogColumns) -> tuple[CatalogBand, ...]:
    """The bands of a catalogue: filters with columns of their own, then those of single images.

    Parameters
    ----------
    columns : CatalogColumns
        With the instruments of the run, as `hst_assets.photometry.catalog.reading.catalog_columns`
        gives them.
    """
    with_columns = {(each.instrument, each.name) for each in columns.filters}
    others: dict[tuple[str, str], list[CatalogImage]] = {}
    for image in columns.images:
        key = image.instrument, image.filter_name
        if key not in with_columns:
            others.setdefault(key, []).append(image)
    # Without a filter, or of several instruments that nobody tells apart: each is its own.
    alone = {key: images for key, images in others.items() if key[1] and len(images) == 1}
    labels = Counter(each.label for each in columns.filters)
    labels.update(images[0].filter_label for images in alone.values())
    bands = list(_with_columns(columns, labels))
    taken = {band.stem for band in bands}
    for images in others.values():
        for image in images:
            named = alone.get((image.instrument, image.filter_name)) is not None
            bands.append(_of_image(image, labels if named else None, taken))
            taken.add(bands[-1].stem)
    return tuple(bands)


def by_wavelength(band: CatalogBand) -> tuple[int, str]:
    """A key that sorts bands by the number in their names, which WFC3/IR has in tens of nm."""
    number = re.search(r"F[QR]?(\d+)", band.filter_name)
    nanometres = int(number[1]) if number else 0
    in_tens = nanometres < 200 and band.instrument != "WFPC2"  # which has F160BW and F170W
    return (nanometres * 10 if in_tens else nanometres), band.name


def _with_columns(columns: CatalogColumns, labels: Mapping[str, int]) -> Iterator[CatalogBand]:
    for each, stem in zip(columns.filters, columns.filter_stems, strict=True):
        yield CatalogBand(
            _name(each.label, each.instrument, each.name, labels),
            each.name,
            each.instrument,
            tuple(columns.images_of(each)),
            has_columns=True,
            stem=stem,
        )


def _of_image(
    image: CatalogImage, labels: Mapping[str, int] | None, taken: set[str]
) -> CatalogBand:
    """The band of one image; without `labels` it is called as the image is."""
    name, stem = image.label, f"image_{image.number}"
    if labels is not None:
        name = _name(image.filter_label, image.instrument, image.filter_name, labels)
        stem = image.filter_name.lower()
        if stem in taken:
            stem = f"{image.instrument}_{image.filter_name}".lower()
    return CatalogBand(
        name, image.filter_name, image.instrument, (image,), has_columns=False, stem=stem
    )


def _name(label: str, instrument: str, filter_name: str, labels: Mapping[str, int]) -> str:
    return f"{instrument}_{filter_name}" if labels[label] > 1 and instrument else label

"""What a finished folder of a visit holds, told by drizzlepac's names of its drizzled images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["DrizzledImage", "drizzled_images"]

Level = Literal["total", "filter", "exposure"]

_NAME = re.compile(
    r"(?P<beginning>hst_(?P<proposal>[a-z0-9]+)_(?P<visit>[a-z0-9]{2})_(?P<instrument>[a-z0-9]+)"
    r"_(?P<detector>[a-z0-9]+)_)(?P<filter>[a-z0-9-]+)_(?P<root>[a-z0-9]{6}|[a-z0-9]{8})"
    r"_(?P<kind>dr[zc])\.fits"
)
_IPPPSS_LENGTH = 6


@dataclass(frozen=True)
class DrizzledImage:
    """A drizzled image of a visit, with what its name tells.

    Attributes
    ----------
    path : Path
        The file.
    beginning : str
        Its name up to the filter: ``hst_<proposal>_<visit>_<instrument>_<detector>_``.
    proposal, visit, instrument, detector : str
        As the name has them, lower case.
    filter : str
        HAP's name of the filter; ``total`` for all of them together.
    root : str
        IPPPSS, or IPPPSSOO of an exposure.
    """

    path: Path
    beginning: str
    proposal: str
    visit: str
    instrument: str
    detector: str
    filter: str
    root: str

    @property
    def basename(self) -> str:
        """What the names of its files begin with."""
        return f"{self.beginning}{self.filter}_{self.root}"

    @property
    def level(self) -> Level:
        """What it is made of: all filters of a detector, one filter, or one exposure."""
        if len(self.root) > _IPPPSS_LENGTH:
            return "exposure"
        return "total" if self.filter == "total" else "filter"

    @property
    def label(self) -> str:
        """How a page or a message names it."""
        named = f"{self.detector} {self.filter}"
        return f"{named} {self.root}" if self.level == "exposure" else named

    def beside(self, ending: str) -> Path:
        """A file of the same product.

        Parameters
        ----------
        ending : str
            What follows the basename, such as ``_point-cat.ecsv``.
        """
        return self.path.with_name(self.basename + ending)


def drizzled_images(folder: Path) -> tuple[DrizzledImage, ...]:
    """The drizzled images of a folder, by detector, filter and exposure; totals last.

    Parameters
    ----------
    folder : Path
        Of a visit; files with other names do not count.
    """
    found = []
    for path in folder.glob("hst_*_dr?.fits"):
        match = _NAME.fullmatch(path.name)
        if match is not None:
            told = {key: value for key, value in match.groupdict().items() if key != "kind"}
            found.append(DrizzledImage(path, **told))
    return tuple(sorted(found, key=_rank))


def _rank(image: DrizzledImage) -> tuple[str, str, bool, str, str]:
    return (
        image.instrument,
        image.detector,
        image.level == "total",
        image.filter,
        image.root,
    )

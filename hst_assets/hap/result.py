"""The result of a visit: HAP's return code, and what it does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from hst_assets.failures import HstAssetsError
from hst_assets.hap.listed import FITTED

__all__ = ["HapResult", "ReturnCode"]


class ReturnCode(IntEnum):
    """The numbers with which HAP's programs end (``analyze.Ret_code``, and 1)."""

    DONE = 0
    FAILED = 1
    HEADERS_FAILED = 15
    SMALL_DETECTORS_ONLY = 55
    NOTHING_TO_PROCESS = 65

    @property
    def meaning(self) -> str:
        """What the number says."""
        return _MEANINGS[self]


_MEANINGS = {
    ReturnCode.DONE: "the products were made",
    ReturnCode.FAILED: "the run failed",
    ReturnCode.HEADERS_FAILED: "the headers of drizzled images could not be finished",
    ReturnCode.SMALL_DETECTORS_ONLY: (
        "a multi-visit mosaic has exposures of ACS/SBC and HRC only, and these are left out"
    ),
    ReturnCode.NOTHING_TO_PROCESS: "the visit has no exposure that can be drizzled",
}


@dataclass(frozen=True)
class HapResult:
    """The result of a visit.

    Attributes
    ----------
    code : ReturnCode
        HAP's number. It is 0 also if the alignment failed or catalogues are empty.
    products : tuple of Path
        The files that were made.
    wcs : mapping
        WCSNAME of each exposure after the alignment, by its file.
    catalogs : mapping
        Number of rows of each catalogue.
    emptied : tuple of str
        Detectors whose catalogues were emptied, because most of what was found are cosmic rays.
    without_psf : tuple of str
        Detectors whose point sources are all peaks above the threshold, because the model of a
        star could not be used.
    rejected : mapping
        Exposures that HAP does not take, and why.
    quality : mapping
        Of each test of quality what came of it.
    failure : HstAssetsError, optional
        What ended the run.
    notes : mapping
        What else is to be known, by what it is about.
    """

    code: ReturnCode
    products: tuple[Path, ...] = ()
    wcs: Mapping[str, str] = field(default_factory=dict)
    catalogs: Mapping[str, int] = field(default_factory=dict)
    emptied: tuple[str, ...] = ()
    without_psf: tuple[str, ...] = ()
    rejected: Mapping[str, str] = field(default_factory=dict)
    quality: Mapping[str, str] = field(default_factory=dict)
    failure: HstAssetsError | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def not_aligned(self) -> tuple[str, ...]:
        """Exposures that were not fitted to Gaia: their WCS is the one that they came with."""
        return tuple(name for name, wcs in self.wcs.items() if FITTED not in wcs)

    @property
    def empty_catalogs(self) -> tuple[str, ...]:
        """Catalogues without a row."""
        return tuple(name for name, rows in self.catalogs.items() if rows == 0)

    def told(self) -> list[str]:
        """What the return code does not say, one sentence each."""
        lines = [f"{name}: not taken by HAP ({why})" for name, why in self.rejected.items()]
        lines += [
            f"{name}: not aligned to Gaia; its WCS is {self.wcs[name]}" for name in self.not_aligned
        ]
        lines += [
            f"{detector}: catalogues emptied, what was found is mostly cosmic rays"
            for detector in self.emptied
        ]
        lines += [
            f"{detector}: point sources were found without a model of a star"
            for detector in self.without_psf
        ]
        lines += [f"{name}: no source" for name in self.empty_catalogs]
        lines += [
            f"quality, {test}: {outcome}"
            for test, outcome in self.quality.items()
            if outcome != "done"
        ]
        lines += [f"{about}: {note}" for about, note in self.notes.items()]
        return lines

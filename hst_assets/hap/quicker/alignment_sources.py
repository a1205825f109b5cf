"""Sources of a visit's exposures for their alignment, found by several processes.

``align_utils.AlignmentTable`` of drizzlepac 3.11 prepares one exposure after the other (background,
kernel, cosmic rays cleaned away, background, kernel), keeps all of them in memory, and then looks
for sources in each. Nothing passes from one to the next but the width of stars in the first. So
each is prepared in a forked process that also looks for sources and leaves nothing but the list;
that of another exposure than the first waits for the width when it has its background. Only child
processes use this, through `hst_assets.hap.quicker.shortcuts`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hst_assets.failures import HstAssetsError, MachineFailure
from hst_assets.imaging.forked import FirstAnswer, in_children

__all__ = ["FailedMachine", "alignment_table"]

logger = logging.getLogger(__name__)


@dataclass
class FailedMachine:
    """Keeps what a machine did to a process: drizzlepac takes every failure for one of the data.

    Attributes
    ----------
    failures : list of MachineFailure
        What happened.
    """

    failures: list[MachineFailure] = field(default_factory=list)

    def raise_if_any(self) -> None:
        """Raise the first.

        Raises
        ------
        MachineFailure
            If there is one.
        """
        if self.failures:
            raise self.failures[0]


@dataclass
class _Later:
    """An exposure that is to be prepared in another process: drizzlepac's calls, remembered."""

    imgname: str
    num_sci: int = 0
    imghdu: Any = None
    kernel: Any = None
    wants_cleaning: bool = False
    background: Mapping[str, Any] = field(default_factory=dict)
    width: float = 0.0
    catalog_table: dict[int, Any] = field(default_factory=dict)

    @property
    def crclean(self) -> bool:
        """False: cosmic rays are cleaned away later."""
        return False

    @crclean.setter
    def crclean(self, value: bool) -> None:
        self.wants_cleaning = bool(value)

    def compute_background(self, **options: Any) -> None:
        """Remember how."""
        self.background = options

    def build_kernel(self, fwhmpsf: float) -> None:
        """Remember with which width of stars, arcsec."""
        self.width = fwhmpsf

    def close(self) -> None:
        """Nothing is open."""


def alignment_table(align_utils: Any, *, cores: int, machine: FailedMachine) -> type:
    """A class in place of ``align_utils.AlignmentTable``; it writes no region files.

    Exposures of SBC are drizzlepac's own: they are prepared one after the other.

    Parameters
    ----------
    align_utils : module
        drizzlepac's.
    cores : int
        Processes at a time; what is found does not depend on it.
    machine : FailedMachine
        Keeps failures of the machine.
    """
    original, prepared = align_utils.AlignmentTable, align_utils.HAPImage

    class AlignmentTable(original):  # type: ignore[misc, valid-type]
        """Prepares exposures when sources are looked for."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            align_utils.HAPImage = _Later
            try:
                super().__init__(*arguments, **options)
            finally:
                align_utils.HAPImage = prepared

        def find_alignment_sources(
            self,
            output: bool = True,  # noqa: FBT001, FBT002 - drizzlepac's parameter
            crclean: Sequence[bool] | None = None,
        ) -> None:
            """Prepare what is left, find sources and keep their lists."""
            cleaned = crclean or [False] * len(self.haplist)
            width = FirstAnswer()
            for first in self.haplist[:1]:
                if not isinstance(first, _Later):  # prepared already
                    width.tell(first.fwhmpsf)
            tasks = [
                partial(_found, image, self, align_utils, width, output=output, crclean=clean)
                for image, clean in zip(self.haplist, cleaned, strict=True)
            ]
            found = _in_children(tasks, cores, machine)
            usable = found.index(None) if None in found else len(found)
            self.extracted_sources = {}
            for image, sources in zip(self.haplist[:usable], found[:usable], strict=True):
                image.catalog_table = sources if usable == len(found) else {}
                self.extracted_sources[image.imgname] = image.catalog_table
            self.close()

    return AlignmentTable


def _in_children(
    tasks: Sequence[Callable[[], Any]], cores: int, machine: FailedMachine
) -> list[Any]:
    try:
        return in_children(tasks, cores)
    except MachineFailure as failure:
        machine.failures.append(failure)
        raise


def _found(
    image: Any, table: Any, align_utils: Any, width: FirstAnswer, **options: bool
) -> dict[int, Any] | None:
    """Sources of each chip of an exposure; None if it could not be prepared, which is logged."""
    one = image
    if isinstance(image, _Later):
        is_first = image is table.haplist[0]
        try:
            one = _prepared(image, align_utils, None if is_first else width)
        except (HstAssetsError, MemoryError, OSError):
            raise
        except Exception:  # whatever it was, drizzlepac goes on unaligned
            logger.exception("%s: could not be prepared for the alignment", image.imgname)
            if is_first:
                width.tell(image.width)  # the others wait, and their sources are not used
            return None
        if is_first:
            width.tell(one.fwhmpsf)
    if one.imghdu is None:
        return {}
    one.find_alignment_sources(dqname=table.dqname, **options, **table.alignment_pars)
    sources: dict[int, Any] = one.catalog_table
    one.close()
    return sources


def _prepared(image: _Later, align_utils: Any, width_of_first: FirstAnswer | None) -> Any:
    """What ``AlignmentTable.__init__`` does with an exposure."""
    one = align_utils.HAPImage(image.imgname)
    one.compute_background(**image.background)
    width = image.width if width_of_first is None else width_of_first.wait()
    one.build_kernel(width)
    if image.wants_cleaning:
        for chip in range(1, one.num_sci + 1):
            plane = one.imghdu["SCI", chip]
            plane.data = align_utils.amutils.crclean_image(
                plane.data,
                one.threshold[chip],
                one.kernel,
                one.kernel_fwhm,
                background=one.bkg[chip],
            )
        one.compute_background(**image.background)
        one.build_kernel(width)
    return one

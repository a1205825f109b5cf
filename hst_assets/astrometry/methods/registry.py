"""The alignment methods by name, and what each of them must be.

A method is a function with the signature of `Align`. It returns one `AlignmentResult` an
exposure, in their order, and never raises for the fault of one exposure. Where not the exposure but
the machine is at fault (a time-out, a crash, no memory), the result says so in `failure`, and
callers must not record it: the next run is to try again. A method that cannot run at all, for
whatever exposure, raises `BadConfiguration` or `MissingTool` before it tries one.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign
from hst_assets.failures import BadConfiguration
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["METHODS", "Align", "Method", "methods_named"]


class Align(Protocol):
    """What an alignment method is called with and what it returns."""

    def __call__(
        self,
        targets: Sequence[ExposureToAlign],
        catalogue: Path,
        *,
        settings: Settings,
        workdir: WorkDir,
        scratch: Path,
        stage: str,
    ) -> list[AlignmentResult]:
        """Align exposures to a catalogue.

        Parameters
        ----------
        targets : sequence of ExposureToAlign
            What to align; may be empty.
        catalogue : `~pathlib.Path`
            ECSV with columns ra, dec (deg, ICRS), brightest first.
        settings : Settings
            Sections alignment, gate, machine and whatever is the method's own.
        workdir : WorkDir
            For the logs: ``workdir.log(stage, target.rootname)``.
        scratch : `~pathlib.Path`
            An existing folder for this call alone, which outlives the outcomes; each target gets
            one of its own inside.
        stage : str
            Names the logs.

        Returns
        -------
        list of AlignmentResult
            One a target, in order; `AlignmentResult.method` is the method's name.
        """
        ...


@dataclass(frozen=True)
class Method:
    """One row of the registry.

    Attributes
    ----------
    name : str
        As `alignment.align_with` has it.
    function : str
        ``"package.module:function"``; imported when the method is used.
    tools : tuple of str
        Distributions beyond those of every method whose version decides the result.
    absolute : bool
        Whether it aligns to the absolute catalogue instead of the reference's stars.
    extra : str
        The optional extra of this project that brings the package of the same name, which the
        method needs; empty where it needs none.
    """

    name: str
    function: str
    tools: tuple[str, ...] = ()
    absolute: bool = False
    extra: str = ""

    def load(self) -> Align:
        """The function itself."""
        module, _, function = self.function.partition(":")
        return cast("Align", getattr(importlib.import_module(module), function))


def methods_named(names: Sequence[str]) -> list[Method]:
    """The methods of these names, in their order.

    Raises
    ------
    BadConfiguration
        If one of them needs a package that is not installed.
    """
    chosen = [METHODS[name] for name in names]
    for method in chosen:
        if method.extra and importlib.util.find_spec(method.extra) is None:
            raise BadConfiguration(
                f"the method {method.name!r} needs the package {method.extra!r}, "
                "which is not installed",
                where="alignment.align_with",
                next_step=f"Install the extra: pip install 'hst_assets[{method.extra}]', or take "
                "the method out",
            )
    return chosen


#: Every alignment method by its name in the settings.
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("tweakreg", f"{__package__}.tweakreg:align", tools=("stsci.stimage",)),
        Method(
            "jhat",
            f"{__package__}.jhat:align",
            tools=("jhat", "jwst", "tweakreg_hack", "tweakwcs"),
            extra="jhat",
        ),
        Method(
            "catalog",
            f"{__package__}.catalog:align",
            tools=("tweakwcs",),
            absolute=True,
        ),
    )
}

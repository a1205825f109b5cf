"""The alignment methods by name, and how exposures go through one.

A method is a task that fits one exposure to a list of stars, in a child process of its own. It
gives a result for every exposure and never raises for the fault of one. Where not the exposure but
the machine is at fault (a time-out, a crash, no memory), the result says so in `failure`, and
callers must not record it: the next run is to try again. A method that cannot run at all, for
whatever exposure, raises `BadConfiguration` before it tries one.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign, untouched
from hst_assets.astrometry.gate import FitNumbers
from hst_assets.astrometry.methods.tried import log_tries
from hst_assets.astrometry.shape_limits import ShapeVerdict
from hst_assets.failures import BadConfiguration, HstAssetsError, UnusableInput
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

__all__ = ["METHODS", "Method", "methods_named"]

logger = logging.getLogger(__name__)


def _nothing_more(settings: Settings) -> Mapping[str, Any]:
    del settings
    return {}


@dataclass(frozen=True)
class Method:
    """One row of the registry.

    Attributes
    ----------
    name : str
        As `alignment.align_with` has it.
    task : str
        ``"package.module:function"``, imported by child processes only. It is called with raw,
        detector, rootname, catalogue, alignment and gate, and returns what
        `hst_assets.astrometry.methods.attempts.align_copy` does.
    arguments : callable, optional
        What else the task is called with, from the settings.
    tools : tuple of str
        Distributions beyond those of every method whose version decides the result.
    absolute : bool
        Whether it aligns to the absolute catalogue instead of the reference's stars.
    extra : str
        The optional extra of this project that brings the package of the same name, which the
        method needs; empty where it needs none.
    own_nursery : bool
        Whether importing its task changes the process for good: see
        `hst_assets.isolation.run_many_isolated`.
    """

    name: str
    task: str
    arguments: Callable[[Settings], Mapping[str, Any]] = _nothing_more
    tools: tuple[str, ...] = ()
    absolute: bool = False
    extra: str = ""
    own_nursery: bool = False

    def align(
        self,
        exposures: Sequence[ExposureToAlign],
        catalogue: Path,
        *,
        settings: Settings,
        workdir: WorkDir,
        scratch: Path,
        stage: str,
    ) -> list[AlignmentResult]:
        """Align exposures to a catalogue, as many at a time as the machine allows.

        Parameters
        ----------
        exposures : sequence of ExposureToAlign
            What to align; may be empty.
        catalogue : `~pathlib.Path`
            ECSV with columns ra, dec (deg, ICRS), brightest first; for an absolute method those
            of `hst_assets.astrometry.absolute.stars.STAR_COLUMNS`, which it moves to where the
            stars were in the middle of each exposure.
        settings : Settings
            Sections alignment, gate, machine and whatever is the method's own.
        workdir : WorkDir
            For the logs: ``workdir.log(stage, exposure.rootname)``.
        scratch : `~pathlib.Path`
            An existing folder for this call alone, which outlives the results; each exposure gets
            one of its own inside.
        stage : str
            Names the logs.

        Returns
        -------
        list of AlignmentResult
            One an exposure, in order; `AlignmentResult.method` is the method's name.

        Raises
        ------
        BadConfiguration
            If the package that the method needs is not installed; no exposure was tried then.
        """
        self.require()
        calls = []
        for exposure in exposures:
            folder = scratch / exposure.rootname
            folder.mkdir()
            arguments = {
                **self.arguments(settings),
                "raw": str(exposure.raw),
                "detector": exposure.detector_key,
                "rootname": exposure.rootname,
                "catalogue": str(catalogue),
                "alignment": settings.alignment.as_recipe(),
                "gate": settings.gate.as_recipe(),
            }
            calls.append(Call(arguments, folder, workdir.log(stage, exposure.rootname)))
        answers = run_many_isolated(
            self.task,
            calls,
            timeout_s=settings.machine.timeout_s(self.name),
            max_cores=settings.machine.cores,
            own_nursery=self.own_nursery,
        )
        results = [
            _result(exposure, answer, self.name, scratch)
            for exposure, answer in zip(exposures, answers, strict=True)
        ]
        for call, result in zip(calls, results, strict=True):
            log_tries(call.log_path, result.tries, status=result.status, reason=result.reason)
        return results

    def require(self) -> None:
        """Refuse a method whose package is not installed.

        It is not imported to see: JHAT opens connections then.

        Raises
        ------
        BadConfiguration
            If it is not.
        """
        if self.extra and importlib.util.find_spec(self.extra) is None:
            raise BadConfiguration(
                f"the method {self.name!r} needs the package {self.extra!r}, "
                "which is not installed",
                where="alignment.align_with",
                next_step=f"Install the extra: pip install 'hst_assets[{self.extra}]', or take "
                "the method out",
            )


def _result(exposure: ExposureToAlign, answer: Any, method: str, scratch: Path) -> AlignmentResult:
    """What the child's answer says of an exposure; or what kept it from one."""
    if isinstance(answer, HstAssetsError):
        logger.warning("%s was not aligned: %s", exposure.rootname, answer)
        result = untouched(exposure, scratch, status="FAIL", method=method, reason=answer.what)
        own_fault = isinstance(answer, UnusableInput) or not result.files
        return result if own_fault else replace(result, failure=answer)
    numbers, matches = answer["numbers"], answer["matches"]
    return AlignmentResult(
        files=tuple(Path(path) for path in answer["files"]),
        status=answer["status"],
        method=method,
        reason=answer["reason"],
        numbers=None if numbers is None else FitNumbers.from_json(numbers),
        tries=tuple(answer["tries"]),
        matches=None if matches is None else Path(matches),
        star_lists=tuple(Path(path) for path in answer["star_lists"]),
        shapes=None if answer["shapes"] is None else ShapeVerdict.from_json(answer["shapes"]),
    )


def methods_named(names: Sequence[str]) -> list[Method]:
    """The methods of these names, in their order.

    Raises
    ------
    BadConfiguration
        If one of them needs a package that is not installed.
    """
    chosen = [METHODS[name] for name in names]
    for method in chosen:
        method.require()
    return chosen


def _catalog_arguments(settings: Settings) -> Mapping[str, Any]:
    return {"max_position_error_mas": settings.catalog.max_position_error_mas}


#: Every alignment method by its name in the settings.
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "tweakreg",
            f"{__package__}.tweakreg_task:align_exposure",
            tools=("stsci.stimage",),
        ),
        Method(
            "jhat",
            f"{__package__}.jhat_task:align_exposure",
            tools=("jhat", "jwst", "tweakreg_hack", "tweakwcs"),
            extra="jhat",
            own_nursery=True,  # it takes the process off the network
        ),
        Method(
            "catalog",
            f"{__package__}.catalog_task:align_exposure",
            arguments=_catalog_arguments,
            tools=("tweakwcs",),
            absolute=True,
        ),
    )
}

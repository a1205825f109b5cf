"""Hierarchical alignment: drizzled epochs first, their motion to the exposures, then these.

The drizzled image of a visit's exposures in one filter is deeper than any of them and free of
cosmic rays: it can be aligned where they cannot. Exposures that were moved with it start close to
the truth. One whose own fit fails the gate all the same keeps what its epoch gave it, shifted onto
its own stars where there are enough, as long as they do not speak against it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign
from hst_assets.astrometry.gate import FitNumbers
from hst_assets.astrometry.hierarchical.visit_wcs import common_solution
from hst_assets.astrometry.methods.ladder import Onto, align_in_turn
from hst_assets.detectors import DETECTORS
from hst_assets.exposures.header import read_exposure
from hst_assets.failures import HstAssetsError, UnusableInput
from hst_assets.identifiers import visit_of_rootname
from hst_assets.imaging.astrodrizzle.run import DrizzleRequest, drizzle_many
from hst_assets.imaging.frames import (
    covering_frame,
    exposure_outlines,
    orientation_of,
    shared_tangent_point,
)
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.settings import DrizzleSettings, Settings
from hst_assets.workdir import WorkDir

__all__ = ["DRIZZLE_STAGE", "METHOD", "TOOLS", "align_hierarchically"]

logger = logging.getLogger(__name__)

METHOD = "hierarchical"
#: The stage whose code drizzles the epochs.
DRIZZLE_STAGE = "drizzled_image"
#: Distributions beyond those of every method whose version decides the result.
TOOLS = ("stsci.skypac", "tweakwcs")
#: Epochs are searched at least so far: hst123's figure. `gate.max_shift_arcsec` holds all the same.
EPOCH_SEARCH_ARCSEC = 5.0

_TASK = "hst_assets.astrometry.hierarchical.epoch_task"


@dataclass(frozen=True)
class _Epoch:
    """Exposures of one visit, detector and filter."""

    visit: str
    band: str
    detector_key: str
    exposures: tuple[ExposureToAlign, ...]

    @property
    def label(self) -> str:
        return f"{self.visit}.{self.band}"


@dataclass(frozen=True)
class _Solution:
    """What became of an epoch: the child's answer, or what kept it from one."""

    answer: Mapping[str, Any]
    failure: HstAssetsError | None = None

    @property
    def believed(self) -> bool:
        return bool(self.answer["status"] != "FAIL")

    @property
    def tries(self) -> tuple[dict[str, Any], ...]:
        """For the record of each exposure."""
        steps = self.answer["tries"] or [{key: self.answer[key] for key in ("status", "reason")}]
        return tuple({"method": METHOD, **step} for step in steps)

    @property
    def numbers(self) -> FitNumbers:
        return FitNumbers.from_json(self.answer["numbers"])


def align_hierarchically(
    exposures: Sequence[ExposureToAlign],
    onto: Onto,
    *,
    settings: Settings,
    workdir: WorkDir,
    scratch: Path,
    stage: str,
) -> list[AlignmentResult]:
    """Align the exposures of a visit, their drizzled epochs first.

    Parameters
    ----------
    exposures : sequence of ExposureToAlign
        All exposures of the visit that are to be aligned.
    onto, settings, workdir, scratch, stage
        See `hst_assets.astrometry.methods.ladder.align_in_turn`, which aligns the exposures.

    Returns
    -------
    list of AlignmentResult
        One an exposure, in order. Shift and rotation of an exposure are from the archive's WCS. One
        that keeps its epoch's WCS is COMPROMISED, has the method `METHOD`, and the numbers are
        those of the epoch's fit.
    """
    run = _Run(onto, settings, workdir, scratch / METHOD, stage)
    run.scratch.mkdir()
    epochs = [run.consistent(epoch) for epoch in _epochs(exposures)]
    solutions = run.align_epochs(epochs)
    of_exposure = {
        exposure.rootname: solution
        for epoch, solution in zip(epochs, solutions, strict=True)
        for exposure in epoch.exposures
    }
    moved = run.moved(epochs, solutions)
    starts = []
    for exposure in exposures:
        start = moved.get(exposure.rootname, exposure)
        if isinstance(start, HstAssetsError):
            of_exposure[exposure.rootname] = _solution(start)
            start = exposure
        starts.append(start)
    folder = scratch / "exposures"
    folder.mkdir()
    results = align_in_turn(
        starts, onto, settings=settings, workdir=workdir, scratch=folder, stage=stage
    )
    settled = run.settled(starts, results, of_exposure)
    return [
        _result(result, of_exposure.get(start.rootname), settled.get(start.rootname))
        for start, result in zip(starts, results, strict=True)
    ]


def _epochs(exposures: Sequence[ExposureToAlign]) -> list[_Epoch]:
    """Groups of at least two whole exposures; a single one would gain nothing."""
    groups: dict[tuple[str, str, str], list[ExposureToAlign]] = {}
    for exposure in exposures:
        try:
            facts = read_exposure(exposure.raw)
            exposure_outlines(exposure.raw)
        except UnusableInput as error:
            logger.info("%s takes no part in an epoch: %s", exposure.rootname, error)
            continue
        band = DETECTORS[exposure.detector_key].band(facts.filter)
        key = (visit_of_rootname(exposure.rootname), band, exposure.detector_key)
        groups.setdefault(key, []).append(exposure)
    return [_Epoch(*key, tuple(group)) for key, group in sorted(groups.items()) if len(group) > 1]


@dataclass(frozen=True)
class _Run:
    """The steps, with what they have in common."""

    onto: Onto
    settings: Settings
    workdir: WorkDir
    scratch: Path
    stage: str

    def consistent(self, epoch: _Epoch) -> _Epoch:
        """The epoch with solutions of one kind; as it is where that cannot be had."""
        name = common_solution([exposure.raw for exposure in epoch.exposures])
        if name is None:
            return epoch
        logger.info("%s: all exposures start from the archive's solution %s", epoch.label, name)
        answers = self._each("restore", epoch.exposures, [{"name": name}] * len(epoch.exposures))
        if any(isinstance(answer, HstAssetsError) for answer in answers):
            return epoch
        return replace(
            epoch,
            exposures=tuple(
                replace(exposure, raw=Path(answer[0]))
                for exposure, answer in zip(epoch.exposures, answers, strict=True)
            ),
        )

    def _each(
        self,
        task: str,
        exposures: Sequence[ExposureToAlign],
        arguments: Sequence[Mapping[str, Any]],
    ) -> list[Any]:
        """Run a task that copies an exposure, on each."""
        calls = []
        for exposure, each in zip(exposures, arguments, strict=True):
            folder = self.scratch / f"{exposure.rootname}.{task}"
            folder.mkdir()
            log_path = self.workdir.log(self.stage, exposure.rootname)
            calls.append(Call({"raw": str(exposure.raw), **each}, folder, log_path))
        return self._isolated(task, calls)

    def _isolated(self, task: str, calls: Sequence[Call]) -> list[Any]:
        return run_many_isolated(
            f"{_TASK}:{task}",
            calls,
            timeout_s=self.settings.machine.timeout_s("epochs"),
            max_cores=self.settings.machine.cores,
        )

    def align_epochs(self, epochs: Sequence[_Epoch]) -> list[_Solution]:
        """Drizzle the epochs and fit them to the reference."""
        products = self._drizzled(epochs)
        calls: dict[int, Call] = {}
        for index, (epoch, product) in enumerate(zip(epochs, products, strict=True)):
            if isinstance(product, Path):
                folder = self.scratch / f"{epoch.label}.fit"
                folder.mkdir()
                log_path = self.workdir.log(self.stage, epoch.label)
                calls[index] = Call(self._fit_arguments(epoch, product), folder, log_path)
        answers = dict(zip(calls, self._isolated("align_epoch", list(calls.values())), strict=True))
        solutions = []
        for index, (epoch, product) in enumerate(zip(epochs, products, strict=True)):
            solution = _solution(answers.get(index, product))
            if not solution.believed:
                reason = solution.answer["reason"]
                logger.warning("the drizzled epoch %s was not aligned: %s", epoch.label, reason)
            solutions.append(solution)
        return solutions

    def _drizzled(self, epochs: Sequence[_Epoch]) -> list[Path | HstAssetsError]:
        """The drizzled image of each epoch at the detector's scale, or why there is none."""
        requests: dict[int, DrizzleRequest] = {}
        products: dict[int, Path | HstAssetsError] = {}
        for index, epoch in enumerate(epochs):
            try:
                requests[index] = self._request(epoch)
            except UnusableInput as error:
                products[index] = error
        reports = drizzle_many(
            list(requests.values()), workdir=self.workdir, machine=self.settings.machine
        )
        for (index, request), report in zip(requests.items(), reports, strict=True):
            products[index] = report if isinstance(report, HstAssetsError) else request.output
        return [products[index] for index in range(len(epochs))]

    def _request(self, epoch: _Epoch) -> DrizzleRequest:
        detector = DETECTORS[epoch.detector_key]
        paths = [exposure.raw for exposure in epoch.exposures]
        outlines = [exposure_outlines(path) for path in paths]
        ra, dec = shared_tangent_point([outline for chips in outlines for outline in chips])
        frame = covering_frame(
            outlines,
            ra_deg=ra,
            dec_deg=dec,
            # So that lengths in native pixels hold on it.
            scale_arcsec=detector.pixel_scale_arcsec,
            about="minimal",
            # As the exposures lie: no empty corners.
            orientation_deg=orientation_of(paths[0]),
        )
        return DrizzleRequest(
            paths,
            self.scratch / f"{epoch.label}.drc.fits",
            detector,
            frame,
            DrizzleSettings(),
            f"{epoch.label}.{METHOD}",
        )

    def _fit_arguments(self, epoch: _Epoch, product: Path) -> dict[str, Any]:
        how = self.settings.alignment
        search = max(how.search_radius_arcsec, EPOCH_SEARCH_ARCSEC)
        changes = {
            "search_radius_arcsec": search,
            "search_factor": 1.0,
            "clean_cosmic_rays": False,
            "keep_objfile": False,
        }
        return {
            "product": str(product),
            "detector": epoch.detector_key,
            "name": epoch.label,
            "catalogue": str(self.onto.stars),
            "alignment": {**how.as_recipe(), **changes},
            "gate": self.settings.gate.as_recipe(),
        }

    def moved(
        self, epochs: Sequence[_Epoch], solutions: Sequence[_Solution]
    ) -> dict[str, ExposureToAlign | HstAssetsError]:
        """By rootname, the exposures of believed epochs moved as these were, or why not."""
        due = [
            (exposure, {key: solution.answer[key] for key in ("before", "after")})
            for epoch, solution in zip(epochs, solutions, strict=True)
            if solution.believed
            for exposure in epoch.exposures
        ]
        exposures = [exposure for exposure, _ in due]
        answers = self._each("move_exposure", exposures, [arguments for _, arguments in due])
        return {
            exposure.rootname: answer
            if isinstance(answer, HstAssetsError)
            else replace(exposure, raw=Path(answer[0]))
            for exposure, answer in zip(exposures, answers, strict=True)
        }

    def settled(
        self,
        starts: Sequence[ExposureToAlign],
        results: Sequence[AlignmentResult],
        solutions: Mapping[str, _Solution],
    ) -> dict[str, Any]:
        """By rootname, exposures whose own fit failed and whose epoch's did not: see the task."""
        due = []
        for start, result in zip(starts, results, strict=True):
            solution = solutions.get(start.rootname)
            if solution and solution.believed and _failed(result):
                due.append(start)
        arguments = [
            {
                "detector": start.detector_key,
                "rootname": start.rootname,
                "catalogue": str(self.onto.stars),
                "alignment": self.settings.alignment.as_recipe(),
                "gate": self.settings.gate.as_recipe(),
            }
            for start in due
        ]
        answers = self._each("settle_exposure", due, arguments)
        return {start.rootname: answer for start, answer in zip(due, answers, strict=True)}


def _solution(answer: Any) -> _Solution:
    if not isinstance(answer, HstAssetsError):
        return _Solution(answer)
    own_fault = isinstance(answer, UnusableInput)
    said = {"status": "FAIL", "reason": answer.what, "tries": []}
    return _Solution(said, None if own_fault else answer)


def _failed(result: AlignmentResult) -> bool:
    """Whether its own stars did not do, so that its epoch's WCS is better than none."""
    failed = result.status == "FAIL" and result.failure is None and bool(result.files)
    return failed and not result.is_misshapen


def _result(result: AlignmentResult, solution: _Solution | None, settled: Any) -> AlignmentResult:
    """The result on one exposure, by its own fit or by its epoch's."""
    if solution is None:
        return result
    result = replace(result, tries=(*solution.tries, *result.tries))
    if not solution.believed:
        # Had the tool worked, the epoch might have saved it: nothing may be concluded.
        return replace(result, failure=solution.failure) if _failed(result) else result
    if settled is None:
        return replace(result, numbers=_from_the_archive(result.numbers, solution))
    if isinstance(settled, HstAssetsError):
        return replace(result, failure=None if isinstance(settled, UnusableInput) else settled)
    if settled["against"]:
        reason = f"{result.reason}; and its epoch's WCS is not its own: {settled['against']}"
        return replace(result, reason=reason)
    numbers = solution.numbers
    reason = (
        f"has the WCS of its drizzled epoch ({numbers.n_matches} stars), {_own_stars(settled)}; "
        f"its own fit failed: {result.reason}"
    )
    return replace(
        result,
        files=tuple(Path(path) for path in settled["files"]),
        status="COMPROMISED",
        method=METHOD,
        reason=reason,
        numbers=numbers,
        matches=None,
    )


def _from_the_archive(numbers: FitNumbers | None, solution: _Solution) -> FitNumbers | None:
    """Shift and rotation of the epoch and of the exposure's own fit, together."""
    if numbers is None:
        return None
    epoch = solution.answer
    return replace(
        numbers,
        shift_ra_arcsec=numbers.shift_ra_arcsec + epoch["shift_ra_arcsec"],
        shift_dec_arcsec=numbers.shift_dec_arcsec + epoch["shift_dec_arcsec"],
        rotation_deg=numbers.rotation_deg + epoch["rotation_deg"],
    )


def _own_stars(settled: Mapping[str, Any]) -> str:
    """What an exposure's own stars say of the WCS that it keeps."""
    near, offset = settled["n_near"], settled["offset_pix"]
    if settled["shifted"]:
        return f"shifted by {offset:.2f} px to match {near} of its own stars"
    return f"with {near} stars of its own, too few for a check"

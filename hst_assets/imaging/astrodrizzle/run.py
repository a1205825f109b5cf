"""AstroDrizzle as a function from exposures to one checked product.

Each product is made in a child process with a scratch folder of its own, from copies of the
exposures; it takes its final name when it is whole and has been checked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from hst_assets.detectors import Detector
from hst_assets.exposures.dq_files import companion_of, quality_file
from hst_assets.failures import HstAssetsError, MissingProduct, ToolFailed, UnusableInput
from hst_assets.imaging.astrodrizzle.parameters import parameters
from hst_assets.imaging.astrodrizzle.request import CardValue, DrizzleReport, DrizzleRequest
from hst_assets.imaging.box_mask import BoxMask
from hst_assets.imaging.cosmic_rays import MOST_HELPED, model_frame
from hst_assets.imaging.frames import Frame, exposure_outlines
from hst_assets.imaging.quality import judge
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.machine.free_memory import affordable, free_memory_bytes
from hst_assets.settings import DrizzleSettings, MachineSettings
from hst_assets.workdir import WorkDir, move_into_place

__all__ = [
    "TOOLS",
    "DrizzleReport",
    "DrizzleRequest",
    "drizzle",
    "drizzle_many",
]

logger = logging.getLogger(__name__)

#: Distributions whose version decides what a product will be.
TOOLS = (
    "drizzlepac",
    "stsci.skypac",
    "stsci.image",
    "stsci.imagestats",
    "stwcs",
    "astroscrappy",
    "photutils",
)

_TASK = "hst_assets.imaging.astrodrizzle.drizzle_task:combine"
#: Images of a product's size that a child holds beside the separate ones, and its own size.
_PLANES_OF_A_PRODUCT = 14
_BYTES_OF_A_CHILD = 400_000_000
#: Pixels of exposures and separate images on which one process works for less time than several
#: need to be forked. Seven exposures of 400 x 400: 2.1 s of one core, or 3.1 s and 4.3 s of two;
#: three of ACS/HRC, 1024 x 1024: 1.2 s, or 3.2 s and 2.2 s of two.
_PIXELS_OF_ONE_PROCESS = 4e6
#: Of an exposure's file: SCI, ERR and DQ; SCI alone where DQ is a file of its own.
_BYTES_OF_A_PIXEL, _BYTES_OF_SCI = 10, 4


def drizzle(
    exposures: Sequence[Path],
    output: Path,
    *,
    detector: Detector,
    frame: Frame,
    settings: DrizzleSettings,
    workdir: WorkDir,
    label: str,
    machine: MachineSettings,
    cards: Mapping[str, CardValue | tuple[CardValue, str]] | None = None,
    box: BoxMask | None = None,
) -> DrizzleReport:
    """Combine exposures of one detector and filter; see `DrizzleRequest` for the arguments.

    Returns
    -------
    DrizzleReport
        The product stands under `output`: a FITS file with SCI, WHT, CTX, ERR and DQ; its preview
        lies beside it. Its `problems` tell which checks failed.

    Raises
    ------
    UnusableInput
        If no exposure overlaps the frame, one has no good pixel, or its WCS cannot be read.
    MissingProduct
        If an exposure is not there.
    ToolFailed
        If AstroDrizzle fails, hangs, or leaves no usable product.
    """
    request = DrizzleRequest(
        exposures, output, detector, frame, settings, label, cards or {}, box=box
    )
    (outcome,) = drizzle_many([request], workdir=workdir, machine=machine)
    if isinstance(outcome, HstAssetsError):
        raise outcome
    return outcome


def drizzle_many(
    requests: Sequence[DrizzleRequest], *, workdir: WorkDir, machine: MachineSettings
) -> list[DrizzleReport | HstAssetsError]:
    """Make several products, as many at a time as the machine's settings allow.

    Returns
    -------
    list
        In the order of `requests`: the report, or the failure of that product, which does not stop
        the others. An exposure that cannot be combined is left out: the product is made of the
        rest, and its complaints name the exposure.
    """
    due = dict(enumerate(requests))
    settled: dict[int, DrizzleReport | HstAssetsError] = {}
    while due:
        outcomes = _each_once(list(due.values()), workdir=workdir, machine=machine)
        again: dict[int, DrizzleRequest] = {}
        for (index, request), outcome in zip(due.items(), outcomes, strict=True):
            rest = _without_culprits(request, outcome, workdir=workdir, machine=machine)
            if rest is None:
                settled[index] = outcome
            else:
                again[index] = rest
        due = again
    return [settled[index] for index in range(len(requests))]


#: What speaks of the exposures; all else speaks of the machine, and is no reason to leave any out.
_OF_THE_EXPOSURES = (UnusableInput, ToolFailed)


def _without_culprits(
    request: DrizzleRequest,
    outcome: DrizzleReport | HstAssetsError,
    *,
    workdir: WorkDir,
    machine: MachineSettings,
) -> DrizzleRequest | None:
    """The request without the exposures that its failure is due to; None if there is no such.

    A failure may name the exposure. Where a tool crashed, each exposure is drizzled by itself:
    those that fail alone are the culprits, unless all of them do.
    """
    if not isinstance(outcome, _OF_THE_EXPOSURES) or len(request.exposures) < 2:
        return None
    failed = _named_culprit(request, outcome)
    if not failed:
        failed = _tried_alone(request, workdir=workdir, machine=machine)
    rest = [path for path in request.exposures if path.name not in failed]
    if not failed or not rest:
        return None
    for name, reason in failed.items():
        logger.warning("%s is left out of %s: %s", name, request.label, reason)
    return replace(request, exposures=rest, failed={**request.failed, **failed})


def _named_culprit(request: DrizzleRequest, failure: HstAssetsError) -> dict[str, str]:
    for path in request.exposures:
        if failure.where in {str(name) for name in _names_of(path)}:
            return {path.name: failure.what}
    return {}


def _names_of(path: Path) -> list[Path]:
    """As a failure may have it: the exposure or its DQ file, from here or from the child."""
    both = (path, quality_file(path))
    return [*both, *(each.absolute() for each in both)]


def _tried_alone(
    request: DrizzleRequest, *, workdir: WorkDir, machine: MachineSettings
) -> dict[str, str]:
    """Exposures that fail by themselves, and how; none if that tells nothing."""
    with workdir.scratch(f"alone.{request.label}") as folder:
        probes = [
            replace(
                request,
                exposures=[path],
                output=folder / f"{number}.fits",
                label=f"{request.label}.alone.{path.stem}",
                settings=request.settings.model_copy(update={"keep_artifacts": False}),
                others=(),
                box=None,
            )
            for number, path in enumerate(request.exposures)
        ]
        outcomes = _each_once(probes, workdir=workdir, machine=machine)
    failures = {
        path.name: outcome
        for path, outcome in zip(request.exposures, outcomes, strict=True)
        if isinstance(outcome, HstAssetsError)
    }
    if not all(isinstance(failure, _OF_THE_EXPOSURES) for failure in failures.values()):
        return {}
    return {name: failure.what for name, failure in failures.items()}


def _each_once(
    requests: Sequence[DrizzleRequest], *, workdir: WorkDir, machine: MachineSettings
) -> list[DrizzleReport | HstAssetsError]:
    """Make each product as it is requested, or tell what ended it."""
    outcomes: dict[int, DrizzleReport | HstAssetsError] = {}
    calls: dict[int, tuple[Call, tuple[str, ...]]] = {}
    with ExitStack() as stack:
        for index, request in enumerate(requests):
            try:
                inside, left_out = _inside(request)
            except HstAssetsError as error:
                outcomes[index] = error
                continue
            scratch = stack.enter_context(workdir.scratch(f"drizzle.{request.label}"))
            log_path = workdir.log("drizzle", request.label)
            arguments = _arguments(request, inside)
            # Cores that no other product is there for work on this one.
            arguments["cores"] = _cores(request, inside, max(machine.cores // len(requests), 1))
            calls[index] = (Call(arguments, scratch, log_path, cores=arguments["cores"]), left_out)
        answers = run_many_isolated(
            _TASK,
            [call for call, _ in calls.values()],
            timeout_s=machine.timeout_s("drizzle"),
            max_cores=affordable(
                machine.cores,
                [_memory_bytes(requests[index]) for index in calls],
                free_memory_bytes(),
            ),
        )
        for (index, (call, left_out)), answer in zip(calls.items(), answers, strict=True):
            outcomes[index] = _publish(requests[index], call.scratch, left_out, answer)
            if requests[index].settings.keep_artifacts:
                _keep_artifacts(call.scratch, workdir, requests[index].label)
    return [outcomes[index] for index in range(len(requests))]


def _cores(request: DrizzleRequest, inside: Sequence[Path], free: int) -> int:
    """How many of the free cores work on a product: one where there is little to do."""
    native = sum(
        path.stat().st_size / (_BYTES_OF_SCI if companion_of(path) else _BYTES_OF_A_PIXEL)
        for path in inside
    )
    model = model_frame(request.frame, request.detector)
    separate = len(inside) * model.nx * model.ny
    return 1 if native + separate < _PIXELS_OF_ONE_PROCESS else free


def _memory_bytes(request: DrizzleRequest) -> int:
    """What a child may need at most: separate images with weights, native planes, its own."""
    product, model = request.frame, model_frame(request.frame, request.detector)
    pixels = (
        2 * len(request.exposures) * model.nx * model.ny
        + _PLANES_OF_A_PRODUCT * product.nx * product.ny
    )
    ny, nx = request.detector.full_shape
    native = request.detector.n_chips * nx * ny
    native_bytes = native * (16 * len(request.exposures) + 8 * len(request.others))
    return _BYTES_OF_A_CHILD + 4 * pixels + native_bytes


def _inside(request: DrizzleRequest) -> tuple[list[Path], tuple[str, ...]]:
    """The exposures that reach into the frame, and the names of those that do not."""
    inside: list[Path] = []
    left_out: list[str] = []
    for path in request.exposures:
        for needed in dict.fromkeys((path, quality_file(path))):
            if not needed.is_file():
                raise MissingProduct(
                    "the exposure to be drizzled is missing",
                    where=needed,
                    next_step="Run the alignment of its visit again",
                )
        if request.frame.touches(exposure_outlines(path)):
            inside.append(path)
        else:
            left_out.append(path.name)
    if not inside:
        raise UnusableInput(
            f"none of its {len(request.exposures)} exposures overlaps the frame",
            where=request.label,
            next_step="Check target.ra_deg, target.dec_deg and drizzle.size_pix",
        )
    return inside, tuple(left_out)


def _arguments(request: DrizzleRequest, inside: Sequence[Path]) -> dict[str, Any]:
    return {
        "exposures": [str(path.absolute()) for path in inside],
        "companions": [str(dq.absolute()) for dq in map(companion_of, inside) if dq],
        "others": [
            [str(path.absolute()), str(quality_file(path).absolute())] for path in request.others
        ],
        "box": request.box.as_json() if request.box else None,
        "detector_key": request.detector.key,
        "frame": request.frame.as_json(),
        "parameters": parameters(request.detector, len(inside), request.settings),
        "settings": request.settings.as_recipe(),
        "name": request.output.name,
        "cards": {
            key: list(value) if isinstance(value, tuple) else [value, ""]
            for key, value in request.cards.items()
        },
    }


def _publish(
    request: DrizzleRequest, scratch: Path, left_out: tuple[str, ...], answer: Any
) -> DrizzleReport | HstAssetsError:
    """Give the product and its preview their final names."""
    if isinstance(answer, HstAssetsError):
        logger.warning("%s was not drizzled: %s", request.label, answer)
        return answer
    try:
        move_into_place(scratch / answer.pop("preview"), WorkDir.preview(request.output))
        move_into_place(scratch / answer.pop("product"), request.output)
    except MissingProduct as error:
        return error
    beyond = judge(answer["bad_fraction"], answer["flux_ratio"], request.settings)
    answer["inputs"] = tuple(answer["inputs"])
    lost = [f"left out: {name} ({reason})" for name, reason in request.failed.items()]
    answer["complaints"] = (*answer["complaints"], *lost, *_unhelped(request, left_out))
    report = DrizzleReport(
        product=str(request.output),
        left_out=left_out,
        failed=tuple(request.failed),
        problems=(*answer["complaints"], *beyond),
        **answer,
    )
    for problem in report.problems:
        logger.warning("%s: %s", request.output.name, problem)
    return report


def _unhelped(request: DrizzleRequest, left_out: Sequence[str]) -> list[str]:
    """Whether the frame leaves so few exposures that others would have had to tell cosmic rays."""
    n_inside = len(request.exposures) - len(left_out)
    n_all = len(request.exposures) + len(request.failed)
    alone = n_inside <= MOST_HELPED < n_all
    if not (alone and request.detector.clean_cosmic_rays) or request.settings.no_mask:
        return []
    held = f"{n_inside} of {n_all} exposures"
    return [f"the frame holds {held}: cosmic rays were not looked for with others"]


def _keep_artifacts(scratch: Path, workdir: WorkDir, label: str) -> None:
    """Move what AstroDrizzle left to a folder that the next run's sweep does not touch."""
    kept = workdir.runfiles / f"artifacts.drizzle.{label.replace('/', '_')}"
    kept.mkdir(parents=True, exist_ok=True)
    for path in scratch.iterdir():
        if path.is_file():
            path.replace(kept / path.name)

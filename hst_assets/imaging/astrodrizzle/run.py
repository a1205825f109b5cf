"""AstroDrizzle as a function from exposures to one checked product.

Each product is made in a child process with a scratch folder of its own, from copies of the
exposures; it takes its final name when it is whole and has been checked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hst_assets.detectors import Detector
from hst_assets.exposures.dq_files import companion_of, quality_file
from hst_assets.failures import HstAssetsError, MissingProduct, UnusableInput
from hst_assets.free_memory import free_memory_bytes
from hst_assets.imaging.astrodrizzle.parameters import parameters
from hst_assets.imaging.box_mask import BoxMask
from hst_assets.imaging.cosmic_rays import MOST_HELPED
from hst_assets.imaging.frames import Frame, exposure_outlines
from hst_assets.imaging.quality import judge
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.settings import DrizzleSettings, MachineSettings
from hst_assets.workdir import WorkDir, publish

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

CardValue = str | int | float | bool


@dataclass(frozen=True)
class DrizzleRequest:
    """One product to be made.

    Parameters
    ----------
    exposures : sequence of `~pathlib.Path`
        Aligned exposures of one detector and filter (WFPC2: the c0m files; each has its c1m
        beside it). They are only read.
    output : `~pathlib.Path`
        Final name of the product.
    detector : Detector
        Registry row of the exposures' detector.
    frame : Frame
        Pixels of the product.
    settings : DrizzleSettings
        How they are combined.
    label : str
        Names log and scratch folder.
    cards : mapping
        More cards for the product's primary header: ``{keyword: value}`` or
        ``{keyword: (value, comment)}``.
    others : sequence of `~pathlib.Path`, optional
        Aligned exposures of the same detector, in any filter, that show which pixels of
        `exposures` hold cosmic rays; they are not combined.
    box : BoxMask, optional
        What is masked in which exposure.
    """

    exposures: Sequence[Path]
    output: Path
    detector: Detector
    frame: Frame
    settings: DrizzleSettings
    label: str
    cards: Mapping[str, CardValue | tuple[CardValue, str]] = field(default_factory=dict)
    others: Sequence[Path] = ()
    box: BoxMask | None = None


@dataclass(frozen=True)
class DrizzleReport:
    """What a product turned out to be.

    Attributes
    ----------
    product : str
        Path of the product.
    inputs : tuple of str
        Rootnames that were combined.
    left_out : tuple of str
        File names of exposures that do not reach into the frame.
    exptime_s : float
        Total exposure time.
    sky_per_s : float or None
        Mean sky that was subtracted, in native units per second and native pixel.
    cosmic_ray_fraction : float or None
        Share of native pixels flagged as cosmic rays; None if nothing could tell them.
    bad_fraction : float
        Share of the exposures' footprint that has no weight or no finite value.
    weight_max : float
        Largest value of the weight map.
    flux_ratio : float or None
        Median over stars of flux on the product over flux on the exposures.
    n_flux_stars : int
        How many stars that is from.
    complaints : tuple of str
        What AstroDrizzle gave up on without failing, and what is wrong with the weights.
    problems : tuple of str
        All that failed a check, in words: the complaints, and figures beyond the settings'
        limits; empty if all is well.
    seconds : float
        Wall time of the child.
    mjd_start, mjd_end : float
        Start of the first exposure and end of the last (MJD, UTC).
    """

    product: str
    inputs: tuple[str, ...]
    left_out: tuple[str, ...]
    exptime_s: float
    sky_per_s: float | None
    cosmic_ray_fraction: float | None
    bad_fraction: float
    weight_max: float
    flux_ratio: float | None
    n_flux_stars: int
    complaints: tuple[str, ...]
    problems: tuple[str, ...]
    seconds: float
    mjd_start: float
    mjd_end: float

    def as_json(self) -> dict[str, Any]:
        """All figures as JSON."""
        return asdict(self)


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
        In the order of `requests`: the report, or what ended that product. One that fails
        costs only itself.
    """
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
            arguments["cores"] = max(machine.max_cores // len(requests), 1)
            calls[index] = (Call(arguments, scratch, log_path), left_out)
        answers = run_many_isolated(
            _TASK,
            [call for call, _ in calls.values()],
            timeout_s=machine.timeout_s("drizzle"),
            max_cores=_affordable(
                machine.max_cores,
                [_memory_bytes(requests[index]) for index in calls],
                free_memory_bytes(),
            ),
        )
        for (index, (call, left_out)), answer in zip(calls.items(), answers, strict=True):
            outcomes[index] = _publish(requests[index], call.scratch, left_out, answer)
            if requests[index].settings.keep_artifacts:
                _keep_artifacts(call.scratch, workdir, requests[index].label)
    return [outcomes[index] for index in range(len(requests))]


def _memory_bytes(request: DrizzleRequest) -> int:
    """What a child may need at most: separate images with weights, native planes, its own."""
    planes = 2 * len(request.exposures) + _PLANES_OF_A_PRODUCT
    ny, nx = request.detector.full_shape
    native = request.detector.n_chips * nx * ny
    native_bytes = native * (16 * len(request.exposures) + 8 * len(request.others))
    return _BYTES_OF_A_CHILD + 4 * planes * request.frame.nx * request.frame.ny + native_bytes


def _affordable(max_cores: int, needs: Sequence[int], free: int) -> int:
    """How many calls may run at a time, the largest of them together, in the free memory."""
    total = 0
    for count, need in enumerate(sorted(needs, reverse=True)[:max_cores]):
        total += need
        if total > free:
            return max(count, 1)
    return max_cores


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
        publish(scratch / answer.pop("preview"), WorkDir.preview(request.output))
        publish(scratch / answer.pop("product"), request.output)
    except MissingProduct as error:
        return error
    beyond = judge(answer["bad_fraction"], answer["flux_ratio"], request.settings)
    answer["inputs"] = tuple(answer["inputs"])
    answer["complaints"] = (*answer["complaints"], *_unhelped(request, left_out))
    report = DrizzleReport(
        product=str(request.output),
        left_out=left_out,
        problems=(*answer["complaints"], *beyond),
        **answer,
    )
    for problem in report.problems:
        logger.warning("%s: %s", request.output.name, problem)
    return report


def _unhelped(request: DrizzleRequest, left_out: Sequence[str]) -> list[str]:
    """Whether the frame leaves so few exposures that others would have had to tell cosmic rays."""
    n_inside = len(request.exposures) - len(left_out)
    alone = n_inside <= MOST_HELPED < len(request.exposures)
    if not (alone and request.detector.clean_cosmic_rays) or request.settings.no_mask:
        return []
    held = f"{n_inside} of {len(request.exposures)} exposures"
    return [f"the frame holds {held}: cosmic rays were not looked for with others"]


def _keep_artifacts(scratch: Path, workdir: WorkDir, label: str) -> None:
    """Move what AstroDrizzle left to a folder that the next run's sweep does not touch."""
    kept = workdir.runfiles / f"artifacts.drizzle.{label.replace('/', '_')}"
    kept.mkdir(parents=True, exist_ok=True)
    for path in scratch.iterdir():
        if path.is_file():
            path.replace(kept / path.name)

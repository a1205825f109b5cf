"""Layers of a multi-visit mosaic in child processes, no more at a time than memory allows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hst_assets.failures import (
    BadConfiguration,
    HstAssetsError,
    NoOverlap,
    ToolFailed,
    UnusableInput,
)
from hst_assets.hap.mosaics.grid import extent_of, sky_cell_wcs
from hst_assets.hap.mosaics.layers import MosaicInput, MosaicLayer
from hst_assets.hap.poller import poller_text
from hst_assets.hap.result import ReturnCode
from hst_assets.isolation import Call, run_many_isolated
from hst_assets.machine.free_memory import affordable, free_memory_bytes
from hst_assets.settings import MachineSettings
from hst_assets.settings.hap import LogLevel, ParametersSection

__all__ = [
    "LayerOptions",
    "LayerRequest",
    "drizzle_layers",
    "failure_of",
    "layer_memory_bytes",
    "parameters_in",
]

_TASK = "hst_assets.hap.children.mosaic_task:make_layer"
_LOG_LEVELS = {"critical": 50, "error": 40, "warning": 30, "info": 20, "debug": 10}
#: drizzlepac and its libraries.
_BYTES_OF_A_CHILD = 450_000_000
#: Images of the layer's size, of four bytes a pixel: the drizzled ones, and masks of S_REGION.
_PLANES_OF_A_LAYER = 9
GIVEN_PARAMETERS = "given-parameters.json"
NEW_PARAMETERS = "new-parameters.json"


@dataclass(frozen=True)
class LayerOptions:
    """What is the same for all layers.

    Attributes
    ----------
    log_level : str
        What drizzlepac logs.
    section : str
        Section of the parameters that is used.
    parameters : mapping
        Parameters by name of the layer, as a file of parameters has them; a layer that is not
        among them is made with drizzlepac's own.
    writes_parameters : bool
        Whether the parameters in force are written.
    keep_copies : bool
        Whether the copies of exposures are kept that layers are made from.
    """

    log_level: LogLevel = "info"
    section: ParametersSection = "default_values"
    parameters: Mapping[str, Any] | None = None
    writes_parameters: bool = False
    keep_copies: bool = False


@dataclass(frozen=True)
class LayerRequest:
    """A layer that is to be made.

    Attributes
    ----------
    layer : MosaicLayer
        The layer.
    beside : tuple of MosaicInput
        Exposures that are not in it, to which its bounding box shall reach nevertheless.
    """

    layer: MosaicLayer
    beside: tuple[MosaicInput, ...] = ()


def drizzle_layers(
    requests: Sequence[LayerRequest],
    *,
    options: LayerOptions,
    machine: MachineSettings,
    scratch: Callable[[str], AbstractContextManager[Path]],
    log_path: Callable[[str], Path],
) -> Iterator[tuple[LayerRequest, Path, dict[str, Any] | HstAssetsError]]:
    """Make layers, the largest first.

    Parameters
    ----------
    requests : sequence of LayerRequest
        The layers.
    options : LayerOptions
        What is the same for all.
    machine : MachineSettings
        How many run at a time, if memory allows, and how long (tool ``hap``).
    scratch : callable
        Gives a fresh folder for a name, for as long as it is held.
    log_path : callable
        Gives the path of a layer's log, by its name.

    Yields
    ------
    request : LayerRequest
        The layer.
    folder : Path
        Where its files are, until the next one is taken.
    answer : dict or HstAssetsError
        See `hst_assets.hap.children.mosaic_task.make_layer`, or what ended it; `failure_of`
        judges it.
    """
    waiting = sorted(requests, key=layer_memory_bytes, reverse=True)
    while waiting:
        needs = [layer_memory_bytes(each) for each in waiting]
        number = affordable(machine.cores, needs, free_memory_bytes())
        wave, waiting = waiting[:number], waiting[number:]
        with ExitStack() as stack:
            calls = [
                _call(each, options, stack.enter_context(scratch(each.layer.basename)), log_path)
                for each in wave
            ]
            answers = run_many_isolated(
                _TASK, calls, timeout_s=machine.timeout_s("hap"), max_cores=number
            )
            for request, call, answer in zip(wave, calls, answers, strict=True):
                yield request, call.scratch, answer


def layer_memory_bytes(request: LayerRequest) -> int:
    """What the process of a layer may need at most.

    Parameters
    ----------
    request : LayerRequest
        The layer.
    """
    layer = request.layer
    nx, ny = extent_of((*layer.members, *request.beside), layer.skycell, layer.scale)
    # The exposed pixels of the whole sky cell are a mask of one byte a pixel.
    columns, lines = map(int, sky_cell_wcs(layer.skycell, layer.scale).pixel_shape)
    return _BYTES_OF_A_CHILD + columns * lines + 4 * _PLANES_OF_A_LAYER * nx * ny


def _call(
    request: LayerRequest, options: LayerOptions, folder: Path, log_path: Callable[[str], Path]
) -> Call:
    layer = request.layer
    rows = [one.poller_row(layer.skycell, line=0) for one in layer.members]
    rows += [one.poller_row(layer.skycell, line=0, is_new=False) for one in request.beside]
    paths = {one.path.name: str(one.path.absolute()) for one in (*layer.members, *request.beside)}
    given = (options.parameters or {}).get(layer.basename)
    if given is not None:
        (folder / GIVEN_PARAMETERS).write_text(json.dumps({layer.basename: given}))
    arguments = {
        "poller": poller_text(rows),
        "paths": paths,
        "basename": layer.basename,
        "log_level": _LOG_LEVELS[options.log_level],
        "use_defaults": options.section == "default_values",
        "parameters_file": None if given is None else GIVEN_PARAMETERS,
        "new_parameters_file": NEW_PARAMETERS if options.writes_parameters else None,
        "keep_copies": options.keep_copies,
    }
    return Call(arguments, scratch=folder, log_path=log_path(layer.basename))


def failure_of(
    layer: MosaicLayer, answer: dict[str, Any] | HstAssetsError
) -> HstAssetsError | None:
    """Why a layer was not made; None if it was.

    Parameters
    ----------
    layer : MosaicLayer
        The layer.
    answer : dict or HstAssetsError
        Of `drizzle_layers`.
    """
    if isinstance(answer, HstAssetsError):
        return answer
    if answer["exit"] == ReturnCode.NOTHING_TO_PROCESS:
        told = "; ".join(f"{name}: {why}" for name, why in answer["rejected"].items())
        return UnusableInput(
            f"drizzlepac takes none of its exposures ({told})",
            where=layer.basename,
            next_step="Leave these exposures out",
        )
    if answer["exit"] is not None:
        return ToolFailed(
            f"drizzlepac ended with {answer['exit']}",
            where=layer.basename,
            next_step="Read its log",
        )
    if not answer["overlaps"]:
        return NoOverlap(
            "no exposure overlaps the sky cell",
            where=layer.basename,
            next_step="The SKYCELL of its exposures is of an earlier WCS; nothing is lost",
        )
    return None


def parameters_in(path: Path) -> dict[str, Any]:
    """The parameters of a file, by product.

    Parameters
    ----------
    path : Path
        The file, JSON.

    Raises
    ------
    BadConfiguration
        If it is no such file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfiguration(
            f"the file of parameters cannot be read: {error}",
            where=path,
            next_step="Write one with 'hst-assets hap --multi POLLER -o FILE', and change it",
        ) from error
    if not isinstance(content, dict):
        raise BadConfiguration("a file of parameters is a JSON object", where=path)
    return content

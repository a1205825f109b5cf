"""Multi-visit mosaics of one sky cell from a poller: what drizzlepac's runmultihap makes.

Each layer is made in a process of its own, in a hidden folder beside its final place, and is moved
there at the end. A run that fails leaves only its log.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hst_assets.failures import (
    BadConfiguration,
    HstAssetsError,
    MachineFailure,
    MissingProduct,
    NoOverlap,
    UnusableInput,
)
from hst_assets.hap.listed import file_of
from hst_assets.hap.mosaics.drizzle import (
    NEW_PARAMETERS,
    LayerOptions,
    LayerRequest,
    drizzle_layers,
    failure_of,
    parameters_in,
)
from hst_assets.hap.mosaics.layers import MosaicInput, MosaicLayer, mosaic_input, mosaic_layers
from hst_assets.hap.piece_runs import joined_logs
from hst_assets.hap.poller import PollerRow, read_poller
from hst_assets.hap.result import HapResult, ReturnCode
from hst_assets.hap.run import log_level_named, parameters_section_of
from hst_assets.hap.switches import small_detectors_count, wants_cte_only
from hst_assets.settings import HapSettings, MachineSettings

__all__ = ["make_sky_cell", "run_multi_visit"]

logger = logging.getLogger(__name__)

_QUALITY = "MVM_QUALITY_TESTING"


def run_multi_visit(
    input_filename: str,
    skip_gaia_alignment: bool = True,  # noqa: FBT001, FBT002 - the signature that users know
    diagnostic_mode: bool = False,  # noqa: FBT001, FBT002
    use_defaults_configs: bool = True,  # noqa: FBT001, FBT002
    input_custom_pars_file: str | None = None,
    output_custom_pars_file: str | None = None,
    log_level: int = logging.INFO,
) -> ReturnCode:
    """Make the layers of a sky cell in the current folder, as ``run_mvm_processing`` does.

    Parameters
    ----------
    input_filename : str
        The poller file, of ten columns.
    skip_gaia_alignment : bool, optional
        Keep the WCS of the exposures, which the single visits have aligned. The command
        runmultihap cannot do otherwise either.
    diagnostic_mode : bool, optional
        Keep the copies of exposures that the layers were made from.
    use_defaults_configs : bool, optional
        Use the section ``default_values`` of the file of parameters; if not, ``parameters``.
    input_custom_pars_file : str, optional
        File of parameters (JSON); by default they are drizzlepac's.
    output_custom_pars_file : str, optional
        File to which the parameters in force are written.
    log_level : int, optional
        Of `logging`.

    Returns
    -------
    ReturnCode
        0, or what went wrong; ``meaning`` explains it, and the log of this module tells more.

    Raises
    ------
    BadConfiguration
        If an argument has a value that is not allowed, or `skip_gaia_alignment` is false.
    MachineFailure
        If the machine failed, not the data.
    """
    if not skip_gaia_alignment:
        raise BadConfiguration(
            "mosaics keep the WCS of their exposures, which HAP has aligned visit by visit",
            where="skip_gaia_alignment",
            next_step="Leave it True; align a visit anew with 'hst-assets hap POLLER'",
        )
    given = input_custom_pars_file
    settings = HapSettings(
        parameters_file=None if given is None else Path(given),
        parameters_section=parameters_section_of(use_defaults_configs, given),
        diagnostic_mode=diagnostic_mode,
        log_level=log_level_named(log_level),
    )
    new = None if output_custom_pars_file is None else Path(output_custom_pars_file)
    try:
        result = make_sky_cell(Path(input_filename), settings=settings, new_parameters_file=new)
    except (BadConfiguration, MachineFailure):
        raise
    except HstAssetsError as error:
        result = HapResult(ReturnCode.FAILED, failure=error)
    for line in result.told():
        logger.warning("%s", line)
    if result.failure is not None:
        logger.error("%s", result.failure)
    logger.info("%d: %s", result.code, result.code.meaning)
    return result.code


def make_sky_cell(
    poller: Path,
    *,
    folder: Path | None = None,
    settings: HapSettings | None = None,
    machine: MachineSettings | None = None,
    new_parameters_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> HapResult:
    """Make the layers of the sky cell of a poller.

    All are cut to the bounding box of all exposures in the poller. Exposures that it calls OLD are
    in none, as with drizzlepac 3.11: they count for the bounding box only.

    Parameters
    ----------
    poller : Path
        The poller file, of ten columns.
    folder : Path, optional
        Where the exposures are and the products go; by default the current folder.
    settings : HapSettings, optional
        Parameters, and what is kept.
    machine : MachineSettings, optional
        Number of processes, and their time limit (tool ``hap``).
    new_parameters_file : Path, optional
        File to which the parameters in force are written; what it has of others stays.
    environ : mapping, optional
        Of its variables, ``MVM_INCLUDE_SMALL`` and ``MVM_ONLY_CTE`` count here.

    Returns
    -------
    HapResult
        Also if the run failed; `HapResult.failure` then says why.

    Raises
    ------
    MissingProduct
        If the poller, an exposure or the file of parameters is not there.
    UnusableInput
        If the poller cannot be read or has several sky cells, or an exposure was not left by
        HAP's single-visit code, or not aligned where that is asked for.
    BadConfiguration
        If it is the poller of a visit, or the file of parameters lacks a layer.
    MachineFailure
        If the machine failed, not the data.
    """
    folder = Path.cwd() if folder is None else folder
    settings = settings or HapSettings()
    rows = read_poller(poller)
    skycell = _one_sky_cell(poller, rows)
    inputs = {row.file: _input_of(row, skycell, folder) for row in rows}
    if not settings.accept_a_priori_wcs:
        _refuse_not_aligned(inputs.values())
    cell = _SkyCell(rows, inputs, skycell, settings, machine or MachineSettings(), environ)
    with _work_folder(folder) as work:
        try:
            cell.make(work)
        except MachineFailure:
            cell.keep_logs(work, folder / f"{poller.stem}.log")
            raise
        if cell.code is not ReturnCode.DONE:
            cell.keep_logs(work, folder / f"{poller.stem}.log")
            left = [folder / f"{poller.stem}.log"]
            if cell.failure is None:  # nothing to make: then runmultihap's manifest is empty
                left.append(folder / f"{skycell}_manifest.txt")
                left[-1].write_text("")
            return cell.result(tuple(left))
        if new_parameters_file is not None:
            _add_parameters(cell.new_parameters, new_parameters_file)
        products = tuple(
            path.replace(folder / path.name) for path in sorted((work / "files").iterdir())
        )
        return cell.result(products)


def _one_sky_cell(poller: Path, rows: Sequence[PollerRow]) -> str:
    skycell = rows[0].skycell_id
    if skycell is None:
        raise BadConfiguration(
            "this is the poller of a visit: mosaics take ten columns",
            where=poller,
            next_step="Leave --multi out, or write one with hap.mosaic_layers.poller_of_sky_cell",
        )
    for row in rows:
        if row.skycell_id != skycell:
            raise UnusableInput(
                f"line {row.line} is of {row.skycell_id}, line {rows[0].line} of {skycell}",
                where=poller,
                next_step="Write a poller for each sky cell",
            )
    return skycell


def _input_of(row: PollerRow, skycell: str, folder: Path) -> MosaicInput:
    """What the headers tell; of what the line tells, the line counts."""
    told = mosaic_input(file_of(row, folder))
    if row.proposal_id is None or not row.filters or not row.detector or row.exptime_s is None:
        raise UnusableInput("the line of the poller is not complete", where=row.file)
    return MosaicInput(
        told.path,
        told.rootname,
        told.instrument,
        row.detector.upper(),
        row.filters,
        row.proposal_id,
        row.exptime_s,
        (skycell,),
        told.wcs_name,
        told.outlines,
    )


def _refuse_not_aligned(inputs: Iterable[MosaicInput]) -> None:
    names = [one.path.name for one in inputs if not one.is_aligned]
    if names:
        raise UnusableInput(
            "not aligned to Gaia",
            where=", ".join(names),
            next_step="Accept the WCS that they came with (accept_a_priori_wcs; leave "
            "--aligned-only out), or leave these exposures out",
        )


@contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder on the products' file system."""
    root = Path(tempfile.mkdtemp(prefix=".hap-", dir=folder))
    try:
        for name in ("files", "logs", "scratch"):
            (root / name).mkdir()
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _scratch_in(root: Path, label: str) -> Iterator[Path]:
    folder = root / "scratch" / label
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _add_parameters(parameters: Mapping[str, Any], path: Path) -> None:
    known = parameters_in(path) if path.is_file() else {}
    path.write_text(json.dumps({**known, **parameters}, indent=4), encoding="utf-8")


@dataclass
class _SkyCell:
    """A sky cell while it is made."""

    rows: tuple[PollerRow, ...]
    inputs: Mapping[str, MosaicInput]
    skycell: str
    settings: HapSettings
    machine: MachineSettings
    environ: Mapping[str, str]
    code: ReturnCode = ReturnCode.DONE
    failure: HstAssetsError | None = None
    rejected: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    new_parameters: dict[str, Any] = field(default_factory=dict)

    def result(self, products: tuple[Path, ...]) -> HapResult:
        used = {row.file for row in self.rows if row.is_new} - set(self.rejected)
        return HapResult(
            self.code,
            products,
            wcs={name: self.inputs[name].wcs_name for name in sorted(used)},
            rejected=self.rejected,
            failure=self.failure,
            notes=self.notes,
        )

    def keep_logs(self, work: Path, path: Path) -> None:
        """What was said so far, beside the products: the work folder goes."""
        logs = sorted((work / "logs").glob("*.txt"))
        text = joined_logs(logs)
        path.write_text(text, encoding="utf-8")

    def make(self, work: Path) -> None:
        """Make all layers, and write the manifest."""
        layers = self._layers()
        if not layers:
            return
        requests = [LayerRequest(layer, self._beside(layer)) for layer in layers]
        answers = drizzle_layers(
            requests,
            options=self._options(layers),
            machine=self.machine,
            scratch=lambda label: _scratch_in(work, label),
            log_path=lambda label: work / "logs" / f"{label}.txt",
        )
        empty: list[str] = []
        manifest: list[str] = []
        for request, scratch, answer in answers:
            failure = failure_of(request.layer, answer)
            if isinstance(failure, MachineFailure):
                raise failure
            if isinstance(failure, NoOverlap):
                self.notes[request.layer.basename] = "not made: no exposure overlaps the sky cell"
            elif isinstance(answer, dict) and answer["exit"] == ReturnCode.NOTHING_TO_PROCESS:
                empty.append(request.layer.basename)
                self.rejected |= answer["rejected"]
            elif failure is not None or isinstance(answer, HstAssetsError):
                self._fail(failure, answer)
            else:
                manifest += self._taken(request.layer, scratch, answer, work)
        if empty and not manifest:
            self.code = ReturnCode.NOTHING_TO_PROCESS
        if self.environ.get(_QUALITY):
            self.notes[_QUALITY] = "not checked: its tests are not made here"
        text = "".join(f"{name}\n" for name in sorted(manifest))
        (work / "files" / f"{self.skycell}_manifest.txt").write_text(text)

    def _layers(self) -> tuple[MosaicLayer, ...]:
        small = small_detectors_count(self.environ)
        new = [self.inputs[row.file] for row in self.rows if row.is_new]
        if new and not small and all(one.detector in ("HRC", "SBC") for one in new):
            self.code = ReturnCode.SMALL_DETECTORS_ONLY
            return ()
        old = [row.file for row in self.rows if not row.is_new]
        if old:
            told = f"{len(old)} exposures are OLD: no layer has them, as with drizzlepac 3.11"
            self.notes["poller"] = told
        layers = mosaic_layers(new, small_detectors=small, cte_only=wants_cte_only(self.environ))
        if not layers:
            self.code = ReturnCode.NOTHING_TO_PROCESS
        inside = {one.path.name for layer in layers for one in layer.members}
        for one in new:
            if one.path.name not in inside:
                self.rejected[one.path.name] = (
                    "of a grism, prism or ramp, or left out by a variable"
                )
        return layers

    def _beside(self, layer: MosaicLayer) -> tuple[MosaicInput, ...]:
        members = {one.path.name for one in layer.members}
        return tuple(one for name, one in self.inputs.items() if name not in members)

    def _options(self, layers: Sequence[MosaicLayer]) -> LayerOptions:
        given = self.settings.parameters_file
        parameters = None
        if given is not None:
            if not given.is_file():
                raise MissingProduct("no such file of parameters", where=given)
            parameters = parameters_in(given)
            missing = [layer.basename for layer in layers if layer.basename not in parameters]
            if missing:
                raise BadConfiguration(
                    f"the file of parameters has none of {', '.join(missing)}",
                    where=given,
                    next_step="Write one with 'hst-assets hap --multi POLLER -o FILE'",
                )
        return LayerOptions(
            self.settings.log_level,
            self.settings.parameters_section,
            parameters,
            writes_parameters=True,
            keep_copies=self.settings.diagnostic_mode,
        )

    def _fail(self, failure: HstAssetsError | None, answer: Any) -> None:
        number = int(answer["exit"] or 0) if isinstance(answer, dict) else 0
        codes = {int(code): code for code in ReturnCode if code}
        self.code = codes.get(number, ReturnCode.FAILED)
        self.failure = self.failure or failure

    def _taken(
        self, layer: MosaicLayer, scratch: Path, answer: Mapping[str, Any], work: Path
    ) -> list[str]:
        """Take the files of a layer; return the names that the manifest has."""
        log = work / "logs" / f"{layer.basename}.txt"
        with (scratch / layer.trailer_file).open("a", encoding="utf-8") as trailer:
            trailer.write(log.read_text(errors="replace"))
        for name in answer["files"]:
            (scratch / name).replace(work / "files" / name)
        self.new_parameters |= json.loads((scratch / NEW_PARAMETERS).read_text())
        self.rejected |= answer["rejected"]
        return [layer.drizzled_file, layer.trailer_file]

"""All Hubble Advanced Products of a visit, from its poller: what drizzlepac's runsinglehap makes.

The products are made in a hidden folder beside their final places, and are moved there at the end.
A run that fails leaves only its log.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast, get_args

from hst_assets.failures import (
    BadConfiguration,
    HstAssetsError,
    MachineFailure,
    MissingProduct,
    ToolFailed,
    UnusableInput,
)
from hst_assets.hap.listed import check_keywords, file_of
from hst_assets.hap.piece_runs import HapEnded, VisitFolder, import_steps, joined_logs
from hst_assets.hap.poller import PollerRow, read_poller
from hst_assets.hap.result import HapResult, ReturnCode
from hst_assets.hap.whole_visit import WholeVisit
from hst_assets.settings import HapSettings, MachineSettings
from hst_assets.settings.hap import LogLevel, ParametersSection, PhotometryMode

__all__ = [
    "log_level_named",
    "make_advanced_products",
    "parameters_section_of",
    "run_hap_processing",
]

logger = logging.getLogger(__name__)


def run_hap_processing(
    input_filename: str,
    diagnostic_mode: bool = False,  # noqa: FBT001, FBT002 - the signature that users know
    use_defaults_configs: bool = True,  # noqa: FBT001, FBT002
    input_custom_pars_file: str | None = None,
    output_custom_pars_file: str | None = None,
    phot_mode: str = "both",
    log_level: int = logging.INFO,
) -> ReturnCode:
    """Make the advanced products of a visit in the current folder.

    Parameters
    ----------
    input_filename : str
        The poller file.
    diagnostic_mode : bool, optional
        Keep intermediate files, and catalogues that would be emptied.
    use_defaults_configs : bool, optional
        Use the section ``default_values`` of the file of parameters; if not, ``parameters``.
    input_custom_pars_file : str, optional
        File of parameters (JSON); by default they are drizzlepac's.
    output_custom_pars_file : str, optional
        File to which the parameters in force are written.
    phot_mode : str, optional
        Which catalogues: 'aperture', 'segment' or 'both'.
    log_level : int, optional
        Of `logging`.

    Returns
    -------
    ReturnCode
        0, or what went wrong; ``meaning`` explains it, and the log of this module tells what the
        number does not (no alignment, empty catalogues).

    Raises
    ------
    BadConfiguration
        If an argument has a value that is not allowed.
    MachineFailure
        If the machine failed, not the data.
    """
    settings = HapSettings(
        photometry=_mode(phot_mode),
        parameters_file=None if input_custom_pars_file is None else Path(input_custom_pars_file),
        parameters_section=parameters_section_of(use_defaults_configs, input_custom_pars_file),
        accept_a_priori_wcs=True,
        diagnostic_mode=diagnostic_mode,
        log_level=log_level_named(log_level),
    )
    try:
        result = make_advanced_products(
            Path(input_filename),
            settings=settings,
            new_parameters_file=(
                None if output_custom_pars_file is None else Path(output_custom_pars_file)
            ),
        )
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


def _mode(phot_mode: str) -> PhotometryMode:
    if phot_mode.lower() not in get_args(PhotometryMode):
        raise BadConfiguration(
            f"no kind of catalogues: {phot_mode!r}",
            where="phot_mode",
            next_step=f"One of {', '.join(get_args(PhotometryMode))}",
        )
    return cast("PhotometryMode", phot_mode.lower())


def parameters_section_of(use_defaults: bool, given: str | None) -> ParametersSection:  # noqa: FBT001
    """The section that ``use_defaults_configs`` of drizzlepac's functions means.

    Parameters
    ----------
    use_defaults : bool
        Whether it is ``default_values``.
    given : str or None
        The user's file; drizzlepac's own parameters have one section.
    """
    return "default_values" if use_defaults or given is None else "parameters"


def log_level_named(level: int) -> LogLevel:
    """The name of a level of `logging`.

    Parameters
    ----------
    level : int
        10, 20, 30, 40 or 50; below 10 it is 10.

    Raises
    ------
    BadConfiguration
        If it is another.
    """
    name = logging.getLevelName(level if level > logging.DEBUG else logging.DEBUG).lower()
    if name not in get_args(LogLevel):
        raise BadConfiguration(
            f"no level of logging: {level}", where="log_level", next_step="10, 20, 30, 40 or 50"
        )
    return cast("LogLevel", name)


# ------------------------------------------------------------------------------- the whole visit


def make_advanced_products(
    poller: Path,
    *,
    folder: Path | None = None,
    settings: HapSettings | None = None,
    machine: MachineSettings | None = None,
    new_parameters_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> HapResult:
    """Make the images and catalogues of a visit.

    Parameters
    ----------
    poller : Path
        The poller file.
    folder : Path, optional
        Where the exposures are and the products go; by default the current folder.
    settings : HapSettings, optional
        What is made, and how; by default as drizzlepac does, which accepts any WCS.
    machine : MachineSettings, optional
        Number of processes, and their time limit (tool ``hap``).
    new_parameters_file : Path, optional
        File to which the parameters in force are written; what it has of other visits stays.
    environ : mapping, optional
        Of its variables, ``SVM_CATALOG_...`` and ``SVM_QUALITY_TESTING`` count here.

    Returns
    -------
    HapResult
        Also if the run failed; `HapResult.failure` then says why.

    Raises
    ------
    MissingProduct
        If the poller, an exposure or the file of parameters is not there.
    UnusableInput
        If the poller cannot be read, or the header of an exposure lacks a keyword.
    BadConfiguration
        If the poller is that of a multi-visit mosaic, or the file of parameters that is read is
        also the one to be written.
    MachineFailure
        If the machine failed, not the data.
    """
    folder = Path.cwd() if folder is None else folder
    settings = settings or HapSettings(accept_a_priori_wcs=True)
    rows = read_poller(poller)
    sources = {row.file: file_of(row, folder) for row in rows}
    _check(poller, rows, settings, new_parameters_file)
    import_steps()
    for row in rows:
        check_keywords(row, sources[row.file])
    with _work_folder(folder) as work:
        for name, path in sources.items():
            (work.files / name).symlink_to(path.absolute())
        visit = WholeVisit(rows, work, settings, machine or MachineSettings(), environ)
        try:
            visit.make(new_parameters_file)
        except HapEnded as end:
            visit.code = _code_of(end.code)
            if visit.code is not ReturnCode.NOTHING_TO_PROCESS:
                visit.failure = ToolFailed("drizzlepac ended the run", where=end.log_path.stem)
        except (ToolFailed, UnusableInput) as error:
            visit.failure = error
        except HstAssetsError:
            _keep_log(work, poller, folder)
            raise
        if visit.failure is not None:
            if visit.code is ReturnCode.DONE:
                visit.code = ReturnCode.FAILED
            return visit.result((_keep_log(work, poller, folder),))
        return visit.result(tuple(_moved(path, folder) for path in work.products()))


def _keep_log(work: VisitFolder, poller: Path, folder: Path) -> Path:
    """What the pieces said so far, beside the products: their own folder goes."""
    kept = folder / f"{poller.stem}.log"
    kept.write_text(joined_logs(sorted(work.logs.glob("*.txt"))), encoding="utf-8")
    return kept


def _check(
    poller: Path, rows: Sequence[PollerRow], settings: HapSettings, new: Path | None
) -> None:
    if rows[0].skycell_id is not None:
        raise BadConfiguration(
            "this is the poller of a multi-visit mosaic",
            where=poller,
            next_step="Give the poller of a visit (1, 2 or 8 columns), or use --multi",
        )
    given = settings.parameters_file
    if given is not None and not given.is_file():
        raise MissingProduct(
            "no such file of parameters",
            where=given,
            next_step="Write one with 'hst-assets hap -o FILE', and change it",
        )
    if given is not None:
        _check_parameters(given)
    if new is not None and not new.absolute().parent.is_dir():
        raise BadConfiguration(
            "there is no such folder", where=new.absolute().parent, next_step="Make it first"
        )
    if given is not None and new is not None and given.resolve() == new.resolve():
        raise BadConfiguration(
            "parameters are read from this file and written to it",
            where=given,
            next_step="Give two files",
        )


def _check_parameters(given: Path) -> None:
    try:
        json.loads(given.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfiguration(
            f"the file of parameters is not JSON: {error}",
            where=given,
            next_step="Write one with 'hst-assets hap -o FILE', and change it",
        ) from error


def _code_of(number: int) -> ReturnCode:
    return ReturnCode(number) if number in set(ReturnCode) - {0} else ReturnCode.FAILED


@contextmanager
def _work_folder(folder: Path) -> Iterator[VisitFolder]:
    """A hidden folder on the products' file system."""
    root = Path(tempfile.mkdtemp(prefix=".hap-", dir=folder))
    try:
        work = VisitFolder(root)
        work.files.mkdir()
        work.logs.mkdir()
        yield work
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _moved(path: Path, folder: Path) -> Path:
    return path.replace(folder / path.name)

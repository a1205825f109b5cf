"""What is needed of the computer and the installation, and what to do if it is missing.

Each part is looked at by itself and has a verdict; what could not be looked at is "not checked".
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from hst_assets.failures import HstAssetsError, MissingTool
from hst_assets.machine.free_memory import free_memory_bytes
from hst_assets.machine.limits import memory_limit_bytes, usable_cores
from hst_assets.settings import Settings, load_settings
from hst_assets.transfer.answers import failure_of
from hst_assets.workdir import WorkDir
from hst_assets.workdir.folder_trial import mounted_as, try_folder

__all__ = [
    "Finding",
    "Verdict",
    "looked_at",
    "of_disk",
    "of_dolphot",
    "of_memory",
    "of_packages",
    "of_python",
    "of_reference_files",
    "of_service",
    "of_shared_folder",
    "settings_or_finding",
]

Verdict = Literal["ok", "warning", "error", "not checked"]

_GB = 1e9
#: Two chips of WFC3/UVIS, aligned and drizzled from four exposures, take 2.1 GB in all processes
#: (docs/reference/measurements.md); with the rest of the run, this is what should be free.
ENOUGH_MEMORY_GB = 4.0
#: A full-frame exposure, its aligned copy and its part of the products are some 0.5 GB.
ENOUGH_DISK_GB = 10.0
_FOLDERS_OF_REFERENCE_FILES = ("iref", "jref", "uref")


@dataclass(frozen=True)
class Finding:
    """What was found of one part.

    Attributes
    ----------
    subject : str
        The part.
    verdict : {"ok", "warning", "error", "not checked"}
        "warning": some work will fail or be slow; "error": none can be done.
    told : str
        What was found.
    remedy : str
        What to do; empty where there is nothing.
    """

    subject: str
    verdict: Verdict
    told: str
    remedy: str = ""


def of_python() -> Finding:
    """The interpreter."""
    told = f"{sys.version.split()[0]} ({sys.executable})"
    # The package cannot be installed on an older one, but it can be put on its path.
    if sys.version_info < (3, 11):  # noqa: UP036
        return Finding("Python", "error", told, "Install Python 3.11 or newer")
    return Finding("Python", "ok", told)


def of_packages(
    required: Iterable[str] | None = None, installed: Callable[[str], str] = version
) -> list[Finding]:
    """Packages that are required: one line for all that fit, one for each that does not.

    Parameters
    ----------
    required : iterable of str, optional
        Requirements as a package declares them; by default those of the project, without extras.
    installed : callable, optional
        Gives the version of a package, or raises `importlib.metadata.PackageNotFoundError`.
    """
    from packaging.requirements import Requirement

    if required is None:
        try:
            required = requires("hst_assets") or ()
        except PackageNotFoundError:
            told = "hst_assets is on the path, and not installed: what it requires is not known"
            return [Finding("packages", "not checked", told, "pip install hst_assets")]
    wanted = [Requirement(text) for text in required]
    wanted = [each for each in wanted if each.marker is None or each.marker.evaluate()]
    bad, good = [], []
    for each in wanted:
        try:
            found = installed(each.name)
        except PackageNotFoundError:
            bad.append(_wrong(each.name, "is not installed", str(each)))
            continue
        if each.specifier.contains(found, prereleases=True):
            good.append(f"{each.name} {found}")
        else:
            bad.append(_wrong(each.name, f"{found} is installed", str(each)))
    if bad and not good:
        return bad
    return [*bad, Finding("packages", "ok", ", ".join(sorted(good)) or "none is required")]


def _wrong(name: str, told: str, required: str) -> Finding:
    return Finding(f"package {name}", "error", told, f"pip install '{required}'")


def of_dolphot(settings: Settings, workdir: WorkDir) -> Finding:
    """DOLPHOT, which is optional: the embedded photometer replaces it."""
    from hst_assets.photometry.dolphot.program import find_program

    subject, photometer = "DOLPHOT", settings.photometry.photometer
    try:
        program = find_program(settings.dolphot, workdir)
    except MissingTool as error:
        if photometer == "dolphot":
            return Finding(subject, "error", error.what, error.next_step or "")
        return Finding(
            subject, "ok", "not installed: stars are measured by the embedded photometer"
        )
    told = f"{program.path}, version {program.version}"
    if program.root is None:
        return Finding(subject, "warning", f"{told}; its data were not found", "Set dolphot.root")
    return Finding(subject, "ok", f"{told}, data in {program.root}")


def of_reference_files(
    settings: Settings, workdir: WorkDir, environment: Mapping[str, str] = os.environ
) -> Finding:
    """Where distortion reference files come from."""
    given = {
        name: getattr(settings.reference_files, name) or environment.get(name)
        for name in _FOLDERS_OF_REFERENCE_FILES
    }
    folders = {
        name: workdir.base / Path(str(path)).expanduser() for name, path in given.items() if path
    }
    missing = [f"{name} = {path}" for name, path in folders.items() if not path.is_dir()]
    subject = "reference files"
    if missing:
        return Finding(
            subject,
            "warning",
            f"no such folder: {', '.join(missing)}",
            "Correct the variables, or unset them: files are then fetched from CRDS",
        )
    local = f"folders {', '.join(folders)}; " if folders else ""
    if settings.reference_files.fetch:
        return Finding(subject, "ok", f"{local}what is missing is fetched from CRDS")
    if folders:
        return Finding(subject, "ok", f"{local}none is fetched (reference_files.fetch is false)")
    return Finding(
        subject,
        "warning",
        "no folder is named, and none is fetched (reference_files.fetch is false)",
        "Set iref, jref and uref, or reference_files.fetch",
    )


def of_disk(
    folder: Path, usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage
) -> Finding:
    """Room, and leave to write, where work directories are."""
    standing = next(path for path in (folder, *folder.parents) if path.exists())
    subject = "work directories"
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        return Finding(
            subject,
            "error",
            f"{standing} cannot be written",
            "Give another --root, or set HST_ASSETS_ROOT",
        )
    free_gb = usage(standing)[2] / _GB
    told = f"{folder}: {free_gb:.0f} GB free"
    if free_gb < ENOUGH_DISK_GB:
        remedy = "'hst-assets clean' frees space; a full-frame exposure needs about 0.5 GB in all"
        return Finding(subject, "warning", told, remedy)
    return Finding(subject, "ok", told)


def of_shared_folder(folder: Path) -> Finding:
    """Whether the folder of work directories does what several processes or machines need."""
    subject = "shared folder"
    if not folder.is_dir():
        return Finding(subject, "not checked", f"{folder} is not there yet")
    tried = try_folder(folder)
    try:
        kind, _ = mounted_as(folder)
    except OSError:  # no Linux
        kind = "how it is mounted was not checked"
    problems = [f"{each.what}: {each.problem}" for each in tried if each.problem]
    if problems:
        remedy = "Mount it otherwise, or use another file system (see the guide on many machines)"
        return Finding(subject, "error", f"{folder} ({kind}): {'; '.join(problems)}", remedy)
    told = ", ".join(each.what for each in tried)
    return Finding(subject, "ok", f"{folder} ({kind}): {told}. Between machines nothing was tried")


def of_memory(free: Callable[[], int] = free_memory_bytes) -> Finding:
    """What processes may still take, and have in all: of control group and node."""
    free_gb, limit_gb = free() / _GB, memory_limit_bytes() / _GB
    told = f"{free_gb:.1f} GB free of {limit_gb:.1f}, {usable_cores()} of {os.cpu_count()} cores"
    if free_gb < ENOUGH_MEMORY_GB:
        return Finding(
            "memory",
            "warning",
            told,
            f"Full frames want {ENOUGH_MEMORY_GB:.0f} GB; close other programs, or set "
            "machine.max_cores = 1",
        )
    return Finding("memory", "ok", told)


def of_service(subject: str, url: str, *, timeout_s: float = 10.0) -> Finding:
    """Whether a service answers at all; what it answers does not matter.

    Parameters
    ----------
    subject : str
        Its name.
    url : str
        Of the service.
    timeout_s : float, optional
        How long to wait, seconds.
    """
    import requests

    try:
        answer = requests.get(url, timeout=timeout_s, stream=True)
        answer.close()
    except requests.RequestException as error:
        return Finding(
            subject,
            "warning",
            str(failure_of(error, url)),
            "Check the network and proxies (https_proxy); what is here is processed without it "
            "(--offline)",
        )
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        told = f"{url} answers with error {answer.status_code}"
        return Finding(subject, "warning", told, "Try again later")
    return Finding(subject, "ok", f"{url} answers")


def looked_at(subject: str, part: Callable[[], Finding]) -> Finding:
    """What was found of a part; an error where it could not be looked at.

    Parameters
    ----------
    subject : str
        The part.
    part : callable
        Looks at it.
    """
    try:
        return part()
    except HstAssetsError as error:
        return Finding(subject, "error", str(error))
    except OSError as error:
        told = f"{error.filename or subject}: {error.strerror or error}"
        return Finding(subject, "error", told, "See that you may read it")


def settings_or_finding(workdir: WorkDir) -> Settings | Finding:
    """The settings in force, or why they cannot be read."""
    try:
        return load_settings(workdir)
    except HstAssetsError as error:
        return Finding("settings", "error", str(error))
    except OSError as error:
        told = f"{error.filename}: {error.strerror or error}"
        return Finding("settings", "error", told, "See that you may read it")

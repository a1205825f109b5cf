"""The files that settings are read from, how they are merged, and how they are written."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, MutableMapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError

from hst_assets.failures import BadConfiguration
from hst_assets.settings.alignment import CatalogSettings
from hst_assets.settings.dolphot_file import read_parameters_file
from hst_assets.settings.fields import NOT_REPEATED, Section, from_home
from hst_assets.settings.sections import MachineSettings, Settings
from hst_assets.workdir import WorkDir, write_atomically

__all__ = ["WORKER_VARIABLES", "load_settings", "settings_after", "write_settings"]

#: Section to key to value.
Changes = Mapping[str, Mapping[str, Any]]

#: Limits of the computer that works, which win over the settings of targets, by variable.
WORKER_VARIABLES = {
    "max_cores": "HST_ASSETS_MAX_CORES",
    "tool_timeout_s": "HST_ASSETS_TOOL_TIMEOUT_S",
}
_CORRECT = "Correct this file"


def load_settings(workdir: WorkDir) -> Settings:
    """The settings in force for one target.

    Raises
    ------
    BadConfiguration
        If a file is not TOML, or holds an unknown key or a value out of range; the message names
        file and key.
    """
    merged: dict[str, Any] = {}
    of_root = _read_toml(workdir.root_settings_file)
    for content in (of_root, _read_toml(workdir.settings_file)):
        for section, values in content.items():
            known = merged.setdefault(section, {})
            if isinstance(known, dict) and isinstance(values, dict):
                known.update(values)
            else:
                merged[section] = values
    try:
        settings = Settings.model_validate(_with_parameters_files(merged, workdir))
    except ValidationError as error:
        where = workdir.settings_file if _is_valid(of_root) else workdir.root_settings_file
        raise BadConfiguration(_explain(error), where=where, next_step=_CORRECT) from error
    return _of_worker(settings)


def _of_worker(settings: Settings) -> Settings:
    """`settings` with the limits of the computer that works, which its environment names."""
    given = {key: os.environ.get(name) for key, name in WORKER_VARIABLES.items()}
    limits: dict[str, Any] = {key: value for key, value in given.items() if value}
    if not limits:
        return settings
    try:
        machine = MachineSettings.model_validate({**settings.machine.model_dump(), **limits})
    except ValidationError as error:
        names = ", ".join(WORKER_VARIABLES[key] for key in limits)
        raise BadConfiguration(_explain(error), where=f"the environment ({names})") from error
    if "tool_timeout_s" in limits:
        # One worker's limit for every tool: what a target says of single ones is about another.
        machine = machine.model_copy(update={"tool_timeouts_s": {}})
    return settings.model_copy(update={"machine": machine})


def _with_parameters_files(content: dict[str, Any], workdir: WorkDir) -> dict[str, Any]:
    """`content` with the tables of the parameters files that it names below those of its own.

    ``drizzle.parameters_file`` is TOML, ``dolphot.parameters_file`` is DOLPHOT's format.
    """
    drizzle = _parameters_file("drizzle", content, workdir)
    if drizzle is not None:
        own = content["drizzle"]
        tables = _merged(_read_toml(drizzle), own.get("parameters", {}))
        content = {**content, "drizzle": {**own, "parameters": tables}}
    dolphot = _parameters_file("dolphot", content, workdir)
    if dolphot is not None:
        read = read_parameters_file(dolphot)
        content = {**content, "dolphot": _merged(read, content["dolphot"])}
    return content


def _parameters_file(section: str, content: dict[str, Any], workdir: WorkDir) -> Path | None:
    """The parameters file that a section names, if it names one."""
    values = content.get(section)
    if not isinstance(values, dict) or not isinstance(values.get("parameters_file"), str):
        return None
    name = f"{section}.parameters_file"
    try:
        path = workdir.base / from_home(Path(values["parameters_file"]))
    except ValueError as error:
        raise BadConfiguration(str(error), where=name) from error
    if not path.is_file():
        raise BadConfiguration(f"{name} does not exist", where=path)
    return path


def _merged(below: Any, above: Any) -> Any:
    """Tables in tables put together, those of `above` winning."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {
        **below,
        **{
            key: _merged(below[key], value) if key in below else value
            for key, value in above.items()
        },
    }


def _is_valid(content: dict[str, Any]) -> bool:
    try:
        Settings.model_validate(content)
    except ValidationError:
        return False
    return True


def write_settings(workdir: WorkDir, changes: Changes) -> Settings:
    """Change settings of one target in its file, keeping the user's comments.

    Parameters
    ----------
    workdir : WorkDir
        Whose target.toml is changed; it is made where it does not exist.
    changes : dict
        ``{section: {key: value}}``; None takes the key out, back to the default.

    Raises
    ------
    BadConfiguration
        If the result would not be valid, or ``catalog.source`` is changed to a table that is not
        there; the file then stays as it was.
    """
    _changed(workdir, changes)  # what is not valid leaves no folder behind
    with workdir.edit_settings():
        document, _ = _changed(workdir, changes)  # with what others wrote meanwhile
        with write_atomically(workdir.settings_file) as part:
            part.write_text(tomlkit.dumps(document))
    return load_settings(workdir)


def settings_after(workdir: WorkDir, changes: Changes) -> Settings:
    """The settings that a target would have after `write_settings`; nothing is written.

    Raises
    ------
    BadConfiguration
        As `write_settings` does.
    """
    _, result = _changed(workdir, changes)
    return result


def _changed(workdir: WorkDir, changes: Changes) -> tuple[tomlkit.TOMLDocument, Settings]:
    """The target's file with `changes`, and the settings that it then holds."""
    path = workdir.settings_file
    _read_toml(path)  # what is no TOML is told by file and line
    document = (
        tomlkit.parse(path.read_text(encoding="utf-8-sig"))
        if path.is_file()
        else tomlkit.document()
    )
    for section, values in changes.items():
        table = document.setdefault(section, tomlkit.table())
        if not isinstance(table, MutableMapping):
            raise BadConfiguration(f"{section!r} is not a section but {table!r}", where=path)
        for key, value in values.items():
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
    try:
        result = Settings.model_validate(_with_parameters_files(document.unwrap(), workdir))
    except ValidationError as error:
        raise BadConfiguration(_explain(error), where=path) from error
    if "source" in changes.get("catalog", {}):
        _refuse_missing_catalogue(result, workdir)
    return document, result


def _refuse_missing_catalogue(settings: Settings, workdir: WorkDir) -> None:
    """A name mistyped is told now, and not by the alignment."""
    source = settings.catalog.source
    if source != CatalogSettings().source and not (workdir.base / source).is_file():
        raise BadConfiguration("catalog.source does not exist", where=workdir.base / source)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(
            f"not valid TOML: {error}", where=path, next_step=_CORRECT
        ) from error


def _meant(place: Sequence[int | str]) -> str:
    """The known section, or key of a section, that is most like an unknown one."""
    *above, name = map(str, place)
    known = dict(Settings.model_fields)
    for section in above:
        model = known[section].annotation if section in known else None
        if isinstance(model, type) and issubclass(model, Section):
            known = dict(model.model_fields)
        else:
            known = {}
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean {'.'.join([*above, near[0]])!r}?)" if near else ""


def _explain(error: ValidationError) -> str:
    """One clause a fault: which key, what is wrong, what was given."""
    faults = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            faults.append(f"unknown setting {key!r}{_meant(fault['loc'])}")
        elif fault["type"] == NOT_REPEATED:
            faults.append(f"{key}: {fault['msg']}")
        else:
            faults.append(f"{key}: {fault['msg']} (got {fault['input']!r})")
    return "; ".join(faults)

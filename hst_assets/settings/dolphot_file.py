"""A user's own file of DOLPHOT parameters, read as settings.

The file is DOLPHOT's (``NAME = value``, ``#`` before a remark; capitals do not matter). Names are
checked here, because the program only remarks on one that it does not know.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hst_assets.failures import BadConfiguration
from hst_assets.settings.dolphot import DolphotParameters, ImageParameters

__all__ = ["read_parameters_file"]

_OF_IMAGES = re.compile(r"img(\d*)_(\w+)", re.IGNORECASE)

#: Names of the whole run and of images as they are spelled, by their small letters.
_GLOBAL = {name.lower(): name for name in DolphotParameters.model_fields}
_OF_IMAGE = {name.lower(): name for name in ImageParameters.model_fields}
#: Of images, but DOLPHOT takes them without ``img_`` too.
_ALSO_GLOBAL = ("raper", "rchi", "rpsf", "rsky")
#: Half of a pair: (name, which).
_HALVES = {"rsky0": ("RSky", 0), "rsky1": ("RSky", 1)}

_IMAGES_ARE_THE_RUNS = "the run lists its images itself; remove the line"
#: Names that are not the user's to set, and why, or what does it.
_OWNED = {
    "nimg": _IMAGES_ARE_THE_RUNS,
    "file": _IMAGES_ARE_THE_RUNS,
    "fakestars": "photometry.artificial_stars does it",
    "usephot": "the alignment, PSF and aperture corrections are always the run's own",
    "ref2img": "UseWCS = 2 takes the distortion from the header",
}


def read_parameters_file(path: Path) -> dict[str, Any]:
    """The file as a table of the section ``dolphot``.

    Parameters
    ----------
    path : `~pathlib.Path`
        A file in DOLPHOT's format.

    Returns
    -------
    dict
        Names of the settings to their values as text (several numbers: a list of texts);
        ``img_NAME`` in the table ``detectors.all``, ``img0_NAME`` in ``images.reference``.

    Raises
    ------
    BadConfiguration
        If the file cannot be read, a line has no ``=``, or a name is unknown or not the user's to
        set; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(
            f"the parameters cannot be read: {error}", where=f"dolphot.parameters_file: {path}"
        ) from error
    found: dict[str, Any] = {}
    for number, name, value in _assignments(lines, path):
        where = f"{path}, line {number}"
        table, key = _place(found, name, where)
        if key.lower() in _HALVES:
            _set_half(table, key, value)
        else:
            words = value.split()
            table[key] = words if len(words) > 1 and key != "photsec" else value
    return found


def _assignments(lines: list[str], path: Path) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise BadConfiguration(
                f"not NAME = value: {text!r}",
                where=f"{path}, line {number}",
                next_step="Write # before a remark",
            )
        if value.strip():  # without a value, DOLPHOT's default holds
            yield number, name.strip(), value.strip()


def _place(found: dict[str, Any], name: str, where: str) -> tuple[dict[str, Any], str]:
    """The table that a name belongs to, and its key there."""
    match = _OF_IMAGES.fullmatch(name)
    small = (match[2] if match else name).lower()
    if small in _OWNED:
        raise BadConfiguration(
            f"{name} cannot be set here", where=where, next_step=f"Instead: {_OWNED[small]}"
        )
    if match and match[1] and int(match[1]) != 0:
        raise BadConfiguration(
            f"{name}: the run numbers its images itself",
            where=where,
            next_step=f'Set {match[2]} in a table [dolphot.images."ROOTNAME"], or in '
            "[dolphot.detectors.KEY]",
        )
    if match or small in _ALSO_GLOBAL or small in _HALVES:
        if small not in _OF_IMAGE and small not in _HALVES:
            raise _unknown(name, [f"img_{each}" for each in _OF_IMAGE.values()], where)
        group, key = ("images", "reference") if match and match[1] else ("detectors", "all")
        table = found.setdefault(group, {}).setdefault(key, {})
        return table, _OF_IMAGE.get(small, small)
    if small not in _GLOBAL:
        raise _unknown(name, [*_GLOBAL.values(), *_OF_IMAGE.values()], where)
    return found, _GLOBAL[small]


def _set_half(table: dict[str, Any], key: str, value: str) -> None:
    """One of two radii that the older names have one by one."""
    name, which = _HALVES[key.lower()]
    pair = list(table.get(name, ["", ""]))
    pair[which] = value
    table[name] = pair


def _unknown(name: str, known: list[str], where: str) -> BadConfiguration:
    by_small = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_small, n=1)
    meant = f"; did you mean {by_small[near[0]]}?" if near else ""
    return BadConfiguration(
        f"DOLPHOT has no parameter {name!r}{meant}",
        where=where,
        next_step="The parameters are listed in the section dolphot of the settings",
    )

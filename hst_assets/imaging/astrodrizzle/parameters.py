"""AstroDrizzle's parameters: the registry's, by detector and number of exposures, and the user's.

They also decide which engine makes a product: the direct drizzle does not do all of them.

What a product is drizzled with is put together in this order, later ones winning:

1. what holds for every product, then for a number of exposures (`BY_NUMBER`), then for the
   detector (`DETECTORS`);
2. the settings of the section drizzle that have names of their own;
3. the user's tables (``drizzle.parameters_file``, ``drizzle.parameters``): ``[all]``, a range of
   numbers of exposures in it (``[all."2-6"]``), the detector's (``[wfc3_uvis]``), a range in that
   (``[wfc3_uvis."7+"]``).

Nothing here imports drizzlepac, which takes seconds: the names and types of its parameters are read
from the specification that lies in its package, by the parser that it uses itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from hst_assets.detectors import DETECTORS, Detector
from hst_assets.failures import BadConfiguration, MissingTool
from hst_assets.settings import DrizzleSettings

__all__ = [
    "BY_NUMBER",
    "EVERYWHERE",
    "HIGHEST_LEFT_OUT_FROM",
    "OWNED",
    "Engine",
    "Parameter",
    "Value",
    "engine_of",
    "left_to_astrodrizzle",
    "parameters",
    "specification",
    "turning_points",
]

Value = str | int | float | bool | None
Engine = Literal["direct", "astrodrizzle"]

#: What holds for every product.
EVERYWHERE: Mapping[str, Value] = {
    "skystat": "mode",
    "driz_sep_kernel": "turbo",
    # The median is no product: whole pixels leave no gaps and smooth the stars' cores.
    "driz_sep_pixfrac": 1.0,
    "combine_maskpt": 0.2,
    "combine_nsigma": "4 3",
    "combine_nlow": 0,
    "combine_lthresh": -10000.0,
    "driz_cr_grow": 1,
    "driz_cr_ctegrow": 0,
    "driz_cr_corr": False,
}

#: From so many exposures on, these hold; the last row that begins at or below the number counts.
BY_NUMBER: Mapping[int, Mapping[str, Value]] = {
    # One exposure has nothing to be compared with: its level is its own, and the archive's flags
    # of cosmic rays stay, since nothing would find them again.
    1: {"skymethod": "localmin", "driz_cr": False, "combine_type": "minmed"},
    # The minimum stands for the median where that is too bright: of few values, the median often
    # holds a cosmic ray.
    2: {"skymethod": "globalmin+match", "driz_cr": True, "combine_type": "minmed"},
    # The median of so many is not biased by the cosmic rays in it.
    7: {"skymethod": "globalmin+match", "driz_cr": True, "combine_type": "median"},
}
#: From so many exposures on, the highest of them are left out of the median; how many is the
#: integer part of (n - 4) / 2.
HIGHEST_LEFT_OUT_FROM = 7

_FRAME = "drizzle.frame, drizzle.size_pix, drizzle.scale_arcsec or drizzle.no_rotation"
_MACHINE = "machine.max_cores"
_HEADERS = "it is read from the exposures' headers"
_SCRATCH = "each product is made from copies in a scratch folder of its own"
_STEPS = "the steps follow from the number of exposures; driz_cr = false leaves them out"
_FILE = "it names a file whose content no recipe would see"
_BLANK = "pixels without weight are NaN in SCI and 0 in WHT"

#: Names that are not the user's to change, and why, or which setting does it.
OWNED: Mapping[str, str] = {
    "input": "the exposures are those of the exposure table",
    "output": "the product's name follows from its content; see drizzle.object_name",
    "runfile": "the log lies in logs/",
    "wcskey": "the exposures' own WCS is used; see the section alignment",
    "updatewcs": "alignment.update_wcs does it",
    "mdriztab": "the parameters are those of this registry",
    "proc_unit": "products are in the exposures' units; see drizzle.units",
    "coeffs": "distortion is always corrected",
    "context": "every product has its context",
    "group": "all chips are used",
    "build": "every product is one file with SCI, WHT, CTX, ERR and DQ",
    "crbit": "the bit is counted to check the product",
    "resetbits": "flags of cosmic rays are found anew where exposures are compared, and kept where "
    "nothing would find them again",
    "stepsize": "the mapping is exact to 1e-3 pixel as it is",
    "num_cores": _MACHINE,
    "in_memory": "it follows from the size of the product, and changes nothing in it",
    "rules_file": "the cards of products are those of this project",
    "restore": _SCRATCH,
    "preserve": _SCRATCH,
    "overwrite": _SCRATCH,
    "clean": "drizzle.keep_artifacts",
    "skymask_cat": _FILE,
    "skyfile": _FILE,
    "skyuser": _HEADERS,
    "driz_separate": _STEPS,
    "median": _STEPS,
    "blot": _STEPS,
    "driz_combine": _STEPS,
    "driz_sep_compress": _SCRATCH,
    "driz_sep_fillval": _BLANK,
    "final_fillval": _BLANK,
    "final_maskval": _BLANK,
    "final_wht_type": "drizzle.weight_type",
    "final_wt_scl": "drizzle.weight_type",
    "final_units": "drizzle.units",
    **dict.fromkeys(
        (
            f"{step}_{name}"
            for step in ("driz_sep", "final")
            for name in (
                *("wcs", "refimage", "rot", "scale", "outnx", "outny"),
                *("ra", "dec", "crpix1", "crpix2"),
            )
        ),
        _FRAME,
    ),
    **dict.fromkeys(
        ("gain", "gnkeyword", "rdnoise", "rnkeyword", "exptime", "expkeyword"), _HEADERS
    ),
}

_ALL = "all"
_RANGE = re.compile(r"(\d+)(?:(-)(\d+)|(\+))?")


@dataclass(frozen=True)
class Parameter:
    """One parameter of AstroDrizzle, as its specification has it.

    Attributes
    ----------
    name, kind : str
        Name, and string, float, integer, boolean or option; ``_or_none`` at the end where none
        may be given.
    default : str, int, float, bool or None
        What AstroDrizzle takes where nothing is given.
    options : tuple of str
        The values of an option.
    """

    name: str
    kind: str
    default: Value
    options: tuple[str, ...] = ()

    def read(self, given: Any, *, where: str) -> Value:
        """`given` in this parameter's type.

        Raises
        ------
        BadConfiguration
            If it is of another type, or none of the options.
        """
        kind, _, optional = self.kind.partition("_or_")
        if optional and isinstance(given, str) and given.lower() in {"", "none"}:
            return None
        value = _READERS[kind](given)
        if value is None or (self.options and value not in self.options):
            expected = " or ".join(map(repr, self.options)) if self.options else _KINDS[kind]
            raise BadConfiguration(f"{self.name} must be {expected}, not {given!r}", where=where)
        return value


def _boolean(given: Any) -> bool | None:
    return given if isinstance(given, bool) else None


def _integer(given: Any) -> int | None:
    return given if isinstance(given, int) and not isinstance(given, bool) else None


def _float(given: Any) -> float | None:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    return float(given) if number and abs(given) < float("inf") else None


def _text(given: Any) -> str | None:
    """Numbers in a text (``"3.5 3.0"``), or given as numbers or a list of them, in one form."""
    parts = given if isinstance(given, list) else [given]
    if any(isinstance(part, bool) or not isinstance(part, str | int | float) for part in parts):
        return None
    words = " ".join(map(str, parts)).split()
    try:
        return " ".join(f"{float(word):.10g}" for word in words)
    except ValueError:
        return " ".join(words)


def _option(given: Any) -> str | None:
    return given if isinstance(given, str) else None


_READERS: Mapping[str, Callable[[Any], Value]] = {
    "boolean": _boolean,
    "integer": _integer,
    "float": _float,
    "string": _text,
    "option": _option,
}
_KINDS = {
    "boolean": "true or false",
    "integer": "an integer",
    "float": "a number",
    "string": "text, a number or a list of numbers",
    "option": "text",
}


@cache
def _specification_file() -> Path:
    package = find_spec("drizzlepac")  # found without being imported
    if package is None or package.origin is None:
        raise MissingTool("drizzlepac is not installed", next_step="Install hst_assets again")
    return Path(package.origin).parent / "pars" / "astrodrizzle.cfgspc"


@cache
def specification() -> Mapping[str, Parameter]:
    """AstroDrizzle's parameters by name, from the installed drizzlepac.

    Raises
    ------
    MissingTool
        If drizzlepac is not installed.
    """
    path = _specification_file()
    from stsci.tools.configobj import ConfigObj  # type: ignore[import-untyped]
    from stsci.tools.validate import Validator  # type: ignore[import-untyped]
    from stsci.tools.vtor_checks import FUNC_DICT  # type: ignore[import-untyped]

    typed = Validator(FUNC_DICT)
    # A check function is called with the default and the choices.
    of_choices = Validator({"option_kw": lambda _default, *choices, **_more: choices})
    found = {}
    for name, check in _checks(ConfigObj(configspec=str(path)).configspec):
        if name.startswith("_"):
            continue
        kind = check.partition("_kw(")[0]
        options = of_choices.get_default_value(check) if kind == "option" else ()
        found[name] = Parameter(name, kind, typed.get_default_value(check), options)
    return found


def _checks(section: Any) -> Iterator[tuple[str, str]]:
    """Name and check of each parameter of a specification, those of its sections too."""
    for name in section.scalars:
        yield name, section[name]
    for name in section.sections:
        yield from _checks(section[name])


def parameters(detector: Detector, n_exposures: int, settings: DrizzleSettings) -> dict[str, Value]:
    """AstroDrizzle's parameters for one product, beyond input, output and frame.

    Parameters
    ----------
    detector : Detector
        Gives the good bits and the thresholds of cosmic rays.
    n_exposures : int
        Decides how the median is formed, and whether cosmic rays are looked for at all.
    settings : DrizzleSettings
        The user's choices.

    Returns
    -------
    dict
        Keyword arguments of ``drizzlepac.astrodrizzle.AstroDrizzle``. A parameter is left out
        where it is AstroDrizzle's own default and neither the registry nor a setting names it.

    Raises
    ------
    BadConfiguration
        If a table of the user's has a name or a value that AstroDrizzle does not know, or one
        that is not the user's to change.
    """
    chosen = {**_registry(detector, n_exposures), **_set(detector, settings)}
    given = dict(_users(detector, n_exposures, settings.parameters))
    rejects = n_exposures > 1 and bool(given.get("driz_cr", chosen["driz_cr"]))
    chosen["resetbits"] = "4096" if rejects else "0"
    chosen |= {
        name: value
        for name, value in given.items()
        if name in chosen or value != specification()[name].default
    }
    chosen |= dict.fromkeys(("driz_separate", "median", "blot", "driz_cr"), rejects)
    if chosen["final_kernel"] == "lanczos3":
        chosen["final_pixfrac"] = 1.0  # AstroDrizzle's is only defined for whole pixels
    return {name: chosen[name] for name in sorted(chosen)}


def engine_of(settings: DrizzleSettings, parameters: Mapping[str, Any]) -> Engine:
    """What makes a product with these parameters: the direct drizzle, or AstroDrizzle itself."""
    if settings.engine == "direct" and left_to_astrodrizzle(settings, parameters) is None:
        return "direct"
    return "astrodrizzle"


def left_to_astrodrizzle(settings: DrizzleSettings, parameters: Mapping[str, Any]) -> str | None:
    """What the direct drizzle does not do of what is asked for; None if it does all of it."""
    if settings.keep_artifacts:
        return "keep_artifacts: AstroDrizzle's scratch products exist only where it runs"
    if parameters.get("driz_cr_corr"):
        return "driz_cr_corr: images corrected for cosmic rays are scratch products of AstroDrizzle"
    kernels = {parameters.get("final_kernel"), parameters.get("driz_sep_kernel")}
    if "lanczos3" in kernels:
        return "lanczos3: where its weights cancel, rounding decides the pixels"
    return None


def turning_points(settings: DrizzleSettings) -> list[int]:
    """The numbers of exposures from which on other parameters may hold."""
    begun = {*BY_NUMBER, HIGHEST_LEFT_OUT_FROM}
    for key, table in settings.parameters.items():
        for numbers, _, _ in _read_table(key, table):
            if numbers is not None:
                begun |= {numbers[0], *([int(numbers[1]) + 1] if numbers[1] < float("inf") else [])}
    return sorted(begun)


def _registry(detector: Detector, n_exposures: int) -> dict[str, Value]:
    begun = max(first for first in BY_NUMBER if first <= n_exposures)
    bits = _text(detector.drizzle_good_bits)
    return {
        **EVERYWHERE,
        **BY_NUMBER[begun],
        # The static mask finds bad pixels by comparing exposures at the same detector pixel.
        "static": n_exposures > 1,
        "combine_nhigh": (
            max((n_exposures - 4) // 2, 0) if n_exposures >= HIGHEST_LEFT_OUT_FROM else 0
        ),
        "driz_sep_bits": bits,
        "final_bits": bits,
        "driz_cr_snr": _text(list(detector.driz_cr_snr)),
        "driz_cr_scale": _text(list(detector.driz_cr_scale)),
    }


def _set(detector: Detector, settings: DrizzleSettings) -> dict[str, Value]:
    """What the settings with names of their own say."""
    chosen: dict[str, Value] = {
        "skysub": settings.sky_sub,
        "final_wht_type": _weight_type(detector, settings),
        "final_kernel": settings.kernel,
        "final_pixfrac": settings.pixfrac,
        "final_units": settings.units,
    }
    if settings.combine_type is not None:
        chosen["combine_type"] = settings.combine_type
    return chosen


def _weight_type(detector: Detector, settings: DrizzleSettings) -> str:
    """WFPC2 exposures hold no errors: AstroDrizzle would weight by time all the same."""
    if detector.instrument == "WFPC2" and settings.weight_type == "ERR":
        return "EXP"
    return settings.weight_type


# ------------------------------------------------------------------------- the user's tables


def _users(
    detector: Detector, n_exposures: int, tables: Mapping[str, Any]
) -> Iterator[tuple[str, Value]]:
    """The user's parameters for one product, the more special later; all tables are checked."""
    known = (_ALL, *DETECTORS)
    for key in tables:
        if key not in known:
            raise BadConfiguration(
                f"no detector {key!r} to set parameters for{_meant(key, known)}",
                where="drizzle.parameters",
                next_step=f"Tables are {', '.join(known)}",
            )
    checked = {key: list(_read_table(key, tables[key])) for key in tables}
    for key in (_ALL, detector.key):
        for with_range in (False, True):
            for numbers, name, value in checked.get(key, []):
                if (numbers is not None) is with_range and _holds(numbers, n_exposures):
                    yield name, value


_Numbers = tuple[int, float] | None


def _holds(numbers: _Numbers, n_exposures: int) -> bool:
    return numbers is None or numbers[0] <= n_exposures <= numbers[1]


def _read_table(key: str, table: Any) -> Iterator[tuple[_Numbers, str, Value]]:
    where = f"drizzle.parameters.{key}"
    if not isinstance(table, Mapping):
        raise BadConfiguration(f"must be a table, not {table!r}", where=where)
    for name, given in table.items():
        if isinstance(given, Mapping):
            numbers = _numbers(name, where)
            for inner, value in given.items():
                yield numbers, inner, _read(inner, value, f"{where}.{name}")
        else:
            yield None, name, _read(name, given, where)


def _numbers(text: str, where: str) -> tuple[int, float]:
    match = _RANGE.fullmatch(text)
    if not match:
        raise BadConfiguration(
            f"{text!r} is not a number of exposures",
            where=where,
            next_step='Write "1", "2-6" or "7+"',
        )
    first = int(match[1])
    last = float("inf") if match[4] else int(match[3]) if match[2] else first
    if not 1 <= first <= last:
        raise BadConfiguration(f"{text!r} holds for no number of exposures", where=where)
    return first, last


def _read(name: str, given: Any, where: str) -> Value:
    if name in OWNED:
        raise BadConfiguration(
            f"{name} cannot be set here", where=where, next_step=f"Instead: {OWNED[name]}"
        )
    known = specification()
    if name not in known:
        free = [each for each in known if each not in OWNED]
        raise BadConfiguration(
            f"AstroDrizzle has no parameter {name!r}{_meant(name, free)}",
            where=where,
            next_step=f"Its parameters are listed in {_specification_file()}",
        )
    value = known[name].read(given, where=where)
    holds, meaning = _LIMITS.get(name, (None, ""))
    if holds is not None and value is not None and not holds(value):
        raise BadConfiguration(f"{name} must be {meaning}, not {given!r}", where=where)
    return value


def _two_above_zero(value: Any) -> bool:
    try:
        numbers = [float(word) for word in str(value).split()]
    except ValueError:
        return False
    return len(numbers) == 2 and all(0 < number < float("inf") for number in numbers)


def _is_bits(value: Any) -> bool:
    """Whether drizzlepac reads it as bits: integers, with commas, plus signs or a tilde."""
    return not value or bool(_BITS.fullmatch(str(value)))


_BITS = re.compile(r"~?\(?\s*\d+(\s*[,+\s]\s*\d+)*\s*\)?|None|INDEF", re.IGNORECASE)
_TWO_ABOVE_ZERO = (_two_above_zero, "two numbers above 0")
_BITS_ONLY = (_is_bits, "integers, the flags of good pixels")
_NOT_NEGATIVE = (lambda value: value >= 0, "at least 0")
_ABOVE_ZERO = (lambda value: value > 0, "above 0")
_SHARE = (lambda value: 0 < value <= 1, "above 0 and at most 1")

#: What AstroDrizzle takes without a word and then fails on, or makes nonsense of.
_LIMITS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "driz_cr_snr": _TWO_ABOVE_ZERO,
    "driz_cr_scale": _TWO_ABOVE_ZERO,
    "final_bits": _BITS_ONLY,
    "driz_sep_bits": _BITS_ONLY,
    "combine_nlow": _NOT_NEGATIVE,
    "combine_nhigh": _NOT_NEGATIVE,
    "combine_grow": _NOT_NEGATIVE,
    "static_sig": _ABOVE_ZERO,
    "skywidth": _ABOVE_ZERO,
    "driz_sep_pixfrac": _SHARE,
    "final_pixfrac": _SHARE,
}


def _meant(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""

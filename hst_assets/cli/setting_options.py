"""Options of the command line that set settings: which option writes which key.

The names are those of the hst123 user guide. `takes_settings` adds the options of groups to a
command and hands it what was given, as changes to a target's settings; nothing else knows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hst_assets.cli.option_groups import Command, option, with_options
from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration
from hst_assets.filter_names import without_wavelength
from hst_assets.settings import Settings

__all__ = [
    "HEADINGS",
    "SETTING_OPTIONS",
    "Changes",
    "SettingOption",
    "changes_of",
    "takes_settings",
    "told_by_option",
]

#: Section to key to value, as `hst_assets.settings.write_settings` takes it.
Changes = dict[str, dict[str, Any]]
Group = Literal["archive", "selection", "light_curve", "processing"]

#: Section of the settings to what the help lists its options under.
HEADINGS = {
    "archive": "Query of the archive",
    "selection": "Which exposures are used",
    "reference": "Reference image",
    "alignment": "Alignment",
    "drizzle": "Drizzling",
    "photometry": "Photometry",
    "dolphot_inputs": "Photometry",
    "dolphot": "Photometry",
    "light_curve": "Light curves",
    "hap": "Advanced products",
    "machine": "Computer",
}

_ARCMIN = "arcmin"


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _capitals(text: str) -> list[str]:
    return [part.upper() for part in _listed(text)]


def _small(text: str) -> list[str]:
    return [part.lower() for part in _listed(text)]


def _filters(text: str) -> list[str]:
    """Names of filters, each of which some detector carries; crossed ones with hyphens."""
    names = [_crossed(name) for name in _capitals(text)]
    strange = [
        name for name in names if not any(row.has_passband(name) for row in DETECTORS.values())
    ]
    if strange or not names:
        raise BadConfiguration(
            f"no detector has an imaging filter {', '.join(strange) or repr(text)}",
            next_step="Separate several by commas, such as F606W,F814W; of two in the wheels at a "
            "time, join the names with a hyphen, such as F606W-POL0V",
        )
    return names


def _crossed(name: str) -> str:
    """The name with its elements in the order in which exposures name them."""
    elements = without_wavelength(name).split("-")
    # With its wavelength a ramp's name has a hyphen of its own.
    return name if without_wavelength(name) != name else "-".join(sorted(elements))


def _arcminutes(text: str) -> float:
    """A radius in arcminutes; a plain number is one, otherwise its unit is said (90arcsec)."""
    from astropy import units as u

    try:
        radius = u.Quantity(text)
        if radius.unit == u.dimensionless_unscaled:
            radius = u.Quantity(radius.value, _ARCMIN)
        return float(radius.to_value(u.arcmin))
    except (TypeError, ValueError) as error:  # UnitConversionError is both
        raise BadConfiguration(
            f"not a radius: {text!r}", next_step="Give arcminutes, or a unit: 90arcsec, 0.1deg"
        ) from error


def _absolute(text: str) -> str:
    """A path as the shell meant it, from the folder the command was given in."""
    return str(Path(text).expanduser().absolute())


@dataclass(frozen=True)
class SettingOption:
    """One option, and the setting it writes.

    Attributes
    ----------
    names : str
        As typed, separated by spaces; the first is that of the guide.
    setting : str
        ``section.key``.
    kind : type
        str, int, float, or bool for a flag.
    read : callable, optional
        From what was typed to the setting's value.
    group : {"archive", "selection", "light_curve", "processing"}
        Commands take whole groups.
    typed : str
        What the help adds to the setting's own meaning: how the value is typed.
    """

    names: str
    setting: str
    kind: type = str
    read: Callable[[Any], Any] | None = None
    group: Group = "processing"
    typed: str = ""

    @property
    def parameter(self) -> str:
        """Name of the parameter that the command line's library fills."""
        return self.names.split()[0].partition("/")[0].removeprefix("--").replace("-", "_")

    @property
    def heading(self) -> str:
        """What the help lists the option under: its section's."""
        return HEADINGS[self.setting.partition(".")[0]]

    @property
    def help(self) -> str:
        """What the setting means, how its value is typed, its name, and its default."""
        section, _, key = self.setting.partition(".")
        plain = Settings.model_fields[section].default
        meaning = _OWN_NAME.sub("", type(plain).summary(key))
        default = _typed(plain.model_dump(mode="json").get(key))
        return f"{meaning} {self.typed}".rstrip() + f"  [{self.setting}{default}]"

    def value(self, given: Any) -> Any:
        """The setting's value."""
        return given if self.read is None else self.read(given)


def _archive(names: str, key: str, **more: Any) -> SettingOption:
    return SettingOption(names, f"archive.{key}", group="archive", **more)


def _selection(names: str, key: str, **more: Any) -> SettingOption:
    return SettingOption(names, f"selection.{key}", group="selection", **more)


def _light_curve(names: str, key: str, **more: Any) -> SettingOption:
    return SettingOption(names, f"light_curve.{key}", group="light_curve", **more)


_SEVERAL = "Separate several by commas."
#: The option itself, which the meaning of a setting names for the documentation.
_OWN_NAME = re.compile(r" \((?:not with )?--[a-z0-9-]+\)")


def _typed(default: Any) -> str:
    """A default as it would be typed; nothing for what is unset, and for flags that are off."""
    if default in (None, False, [], {}, ""):
        return ""
    if isinstance(default, list):
        return f"; default {','.join(map(str, default))}"
    return f"; default {default if default is not True else 'on'}"


SETTING_OPTIONS: tuple[SettingOption, ...] = (
    # The query to the archive.
    _archive(
        "--radius",
        "radius_arcmin",
        read=_arcminutes,
        typed="Other units are possible (90arcsec, 0.1deg).",
    ),
    _archive("--proposal", "proposals", read=_listed, typed=_SEVERAL),
    _archive("--instrument", "instruments", read=_capitals, typed=_SEVERAL),
    _archive("--detector", "detectors", read=_small, typed=_SEVERAL),
    _archive("--max-exptime", "max_exptime_s", kind=float),
    _archive("--data-rights", "data_rights"),
    _archive("--s3", "s3", kind=bool),
    _archive("--archive", "tree", read=_absolute),
    # Which exposures are used.
    _selection("--before", "before"),
    _selection("--after", "after"),
    _selection("--only-filter", "only_filter", read=_filters, typed=_SEVERAL),
    _selection("--only-wide", "only_wide", kind=bool),
    _selection("--min-exptime", "min_exptime_s", kind=float),
    _selection("--keep-short", "keep_short", kind=bool),
    _selection("--keep-indt", "keep_indt", kind=bool),
    _selection("--keep-tdf-down", "keep_tdf_down", kind=bool),
    _selection("--keep-gsfail", "keep_gsfail", kind=bool),
    # The reference.
    SettingOption("--reference --ref", "reference.image", read=_absolute),
    SettingOption(
        "--reference-filter --ref-filter", "reference.filter", read=_filters, typed=_SEVERAL
    ),
    SettingOption("--reference-instrument", "reference.instrument", read=str.lower),
    SettingOption("--avoid-wfpc2", "reference.avoid_wfpc2", kind=bool),
    # Alignment.
    SettingOption("--align-with", "alignment.align_with", read=_small, typed=_SEVERAL),
    SettingOption("--skip-tweakreg", "alignment.skip_tweakreg", kind=bool),
    SettingOption("--tweak-search", "alignment.search_radius_arcsec", kind=float),
    SettingOption("--tweak-min-obj", "alignment.min_objects", kind=int),
    SettingOption("--tweak-nbright", "alignment.n_brightest", kind=int),
    SettingOption("--tweak-thresh", "alignment.threshold_sigma", kind=float),
    SettingOption("--keep-objfile", "alignment.keep_objfile", kind=bool),
    SettingOption("--hierarchical", "alignment.hierarchical", kind=bool),
    # Drizzling.
    SettingOption("--drizzle-add", "drizzle.add", read=_small, typed=_SEVERAL),
    SettingOption("--drizzle-mask", "drizzle.mask"),
    SettingOption("--object", "drizzle.object_name"),
    SettingOption("--drizzle-dim", "drizzle.size_pix", kind=int),
    SettingOption("--drizzle-scale", "drizzle.scale_arcsec", kind=float),
    SettingOption("--sky-sub/--no-sky-sub", "drizzle.sky_sub", kind=bool),
    SettingOption("--combine-type", "drizzle.combine_type"),
    SettingOption("--wht-type", "drizzle.weight_type", read=str.upper),
    SettingOption("--fix-zpt", "drizzle.fix_zero_point", kind=float),
    SettingOption("--no-rotation", "drizzle.no_rotation", kind=bool),
    SettingOption("--no-mask", "drizzle.no_mask", kind=bool),
    SettingOption("--keep-drizzle-artifacts", "drizzle.keep_artifacts", kind=bool),
    # Photometry.
    SettingOption("--run-dolphot", "photometry.make", kind=bool),
    SettingOption("--photometer", "photometry.photometer", read=str.lower),
    SettingOption("--do-fake --df", "photometry.artificial_stars", kind=bool),
    SettingOption("--write-dolphot-hdf5/--no-write-dolphot-hdf5", "photometry.hdf5", kind=bool),
    SettingOption("--add-crmask", "dolphot_inputs.add_crmask", kind=bool),
    SettingOption("--include-all-splits", "dolphot_inputs.include_all_splits", kind=bool),
    SettingOption("--dolphot --dp", "dolphot.base"),
    SettingOption("--dolphot-lim", "dolphot.SigFinal", kind=float),
    SettingOption("--fit-sky", "dolphot.FitSky", kind=int),
    SettingOption("--align-only", "dolphot.AlignOnly", kind=bool, read=int),
    SettingOption("--dolphot-parameters", "dolphot.parameters_file", read=_absolute),
    # Light curves.
    SettingOption("--scrape-dolphot --sd", "light_curve.make", kind=bool),
    _light_curve("--scrape-all", "scrape_all", kind=bool),
    _light_curve("--scrape-radius", "scrape_radius_arcsec", kind=float),
    _light_curve("--no-cuts", "no_cuts", kind=bool),
    _light_curve("--brightest", "brightest", kind=bool),
    _light_curve("--positions", "positions", read=_absolute),
    # Hubble Advanced Products.
    SettingOption("--run-hap", "hap.make", kind=bool),
    # The computer.
    SettingOption("--max-cores", "machine.max_cores", kind=int),
    SettingOption("--dolphot-threads", "machine.dolphot_threads", kind=int),
)


def changes_of(given: Mapping[str, Any]) -> Changes:
    """The settings that the given options set.

    Parameters
    ----------
    given : mapping
        Parameter name to what was typed; None where nothing was.

    Raises
    ------
    BadConfiguration
        If a value cannot be read.
    """
    changes: Changes = {}
    for each in SETTING_OPTIONS:
        typed = given.get(each.parameter)
        if typed is None:
            continue
        section, _, key = each.setting.partition(".")
        try:
            changes.setdefault(section, {})[key] = each.value(typed)
        except BadConfiguration as error:
            raise BadConfiguration(
                error.what, where=each.names.split()[0], next_step=error.next_step
            ) from error
    return changes


@contextmanager
def told_by_option(changes: Changes) -> Iterator[None]:
    """Name the option in a failure of the setting that it sets, not the settings' file.

    Parameters
    ----------
    changes : mapping
        What the options changed: `changes_of`.

    Raises
    ------
    BadConfiguration
        The same failure, at the option.
    """
    try:
        yield
    except BadConfiguration as error:
        for each in SETTING_OPTIONS:
            section, _, key = each.setting.partition(".")
            if key in changes.get(section, {}) and error.what.startswith(each.setting):
                option_name = each.names.split()[0]
                raise BadConfiguration(
                    error.what, where=option_name, next_step=error.next_step
                ) from error
        raise


def takes_settings(*groups: Group) -> Callable[[Command], Command]:
    """Give a command the options of `groups`; it receives them as its argument ``changes``."""
    parameters = [
        option(
            each.parameter,
            each.kind | None,
            None,
            *each.names.split(),
            help=each.help,
            heading=each.heading,
        )
        for each in SETTING_OPTIONS
        if each.group in groups
    ]
    return with_options(parameters, "changes", changes_of)

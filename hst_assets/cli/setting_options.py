"""Options of the command line that stand for settings: which option writes which key.

The names are those of the hst123 user guide. `takes_settings` adds the options of groups to a
command and hands it what was given, as changes to a target's settings; nothing else knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hst_assets.cli.option_groups import Command, option, with_options
from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration

__all__ = ["SETTING_OPTIONS", "Changes", "SettingOption", "changes_of", "takes_settings"]

#: Section to key to value, as `hst_assets.settings.write_settings` takes it.
Changes = dict[str, dict[str, Any]]
Group = Literal["archive", "selection", "processing"]

_ARCMIN = "arcmin"


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _capitals(text: str) -> list[str]:
    return [part.upper() for part in _listed(text)]


def _small(text: str) -> list[str]:
    return [part.lower() for part in _listed(text)]


def _filters(text: str) -> list[str]:
    """Names of filters, each of which some detector carries."""
    names = _capitals(text)
    strange = [name for name in names if not any(d.images_with(name) for d in DETECTORS.values())]
    if strange or not names:
        raise BadConfiguration(
            f"no detector has an imaging filter {', '.join(strange) or repr(text)}",
            next_step="Separate several by commas, such as F606W,F814W",
        )
    return names


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
            f"not a radius: {text!r}", next_step="Write arcminutes, or a unit: 90arcsec, 0.1deg"
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
    help : str
        One sentence.
    kind : type
        str, int, float, or bool for a flag.
    read : callable, optional
        From what was typed to the setting's value.
    group : {"archive", "selection", "processing"}
        Commands take whole groups.
    """

    names: str
    setting: str
    help: str
    kind: type = str
    read: Callable[[Any], Any] | None = None
    group: Group = "processing"

    @property
    def parameter(self) -> str:
        """Name of the parameter that the command line's library fills."""
        return self.names.split()[0].partition("/")[0].removeprefix("--").replace("-", "_")

    def value(self, given: Any) -> Any:
        """The setting's value."""
        return given if self.read is None else self.read(given)


def _archive(names: str, setting: str, text: str, **more: Any) -> SettingOption:
    return SettingOption(names, setting, text, group="archive", **more)


def _selection(names: str, setting: str, text: str, **more: Any) -> SettingOption:
    return SettingOption(names, setting, text, group="selection", **more)


SETTING_OPTIONS: tuple[SettingOption, ...] = (
    # What is asked of the archive.
    _archive(
        "--radius",
        "archive.radius_arcmin",
        "Pointings within this radius: arcminutes, or with a unit (90arcsec).",
        read=_arcminutes,
    ),
    _archive("--proposal", "archive.proposals", "Only these proposals (numbers).", read=_listed),
    _archive("--instrument", "archive.instruments", "Only WFC3, ACS, WFPC2.", read=_capitals),
    _archive(
        "--detector", "archive.detectors", "Only these detectors, such as wfc3_uvis.", read=_small
    ),
    _archive("--max-exptime", "archive.max_exptime_s", "Longest exposure, seconds.", kind=float),
    _archive(
        "--data-rights",
        "archive.data_rights",
        "public, or all: also what is under exclusive access (wants a token).",
    ),
    _archive("--s3", "archive.s3", "Take public files from the open-data copy first.", kind=bool),
    _archive(
        "--archive",
        "archive.tree",
        "Archive tree INST/DET/round(ra)/name that files are taken from and kept in.",
        read=_absolute,
    ),
    # Which exposures are used.
    _selection("--before", "selection.before", "Only exposures begun before this date (UTC)."),
    _selection("--after", "selection.after", "Only exposures begun at or after this date (UTC)."),
    _selection("--only-filter", "selection.only_filter", "Only these filters.", read=_filters),
    _selection("--only-wide", "selection.only_wide", "Only wide filters.", kind=bool),
    _selection(
        "--min-exptime", "selection.min_exptime_s", "Shortest exposure, seconds.", kind=float
    ),
    _selection("--keep-short", "selection.keep_short", "Keep short exposures.", kind=bool),
    _selection("--keep-indt", "selection.keep_indt", "Keep EXPFLAG INDETERMINATE.", kind=bool),
    _selection("--keep-tdf-down", "selection.keep_tdf_down", "Keep EXPFLAG TDF-DOWN.", kind=bool),
    # The reference.
    SettingOption("--reference --ref", "reference.image", "Image to align to.", read=_absolute),
    SettingOption(
        "--reference-filter --ref-filter",
        "reference.filter",
        "Filters that may give the reference.",
        read=_filters,
    ),
    SettingOption(
        "--reference-instrument",
        "reference.instrument",
        "Detectors that may give the reference: their key contains this.",
        read=str.lower,
    ),
    SettingOption("--avoid-wfpc2", "reference.avoid_wfpc2", "No WFPC2 reference.", kind=bool),
    # Alignment.
    SettingOption(
        "--align-with",
        "alignment.align_with",
        "Methods in the order they are tried: tweakreg, jhat, catalog.",
        read=_small,
    ),
    SettingOption("--skip-tweakreg", "alignment.skip_tweakreg", "Do not align.", kind=bool),
    SettingOption(
        "--tweak-search", "alignment.search_radius_arcsec", "Search radius, arcsec.", kind=float
    ),
    SettingOption("--tweak-min-obj", "alignment.min_objects", "Fewest matches.", kind=int),
    SettingOption("--tweak-nbright", "alignment.n_brightest", "Brightest sources.", kind=int),
    SettingOption(
        "--tweak-thresh", "alignment.threshold_sigma", "Detection threshold, sigma.", kind=float
    ),
    SettingOption("--keep-objfile", "alignment.keep_objfile", "Keep star lists.", kind=bool),
    SettingOption("--hierarchical", "alignment.hierarchical", "Epochs first.", kind=bool),
    # Drizzling.
    SettingOption(
        "--drizzle-add", "drizzle.add", "Further exposures of the reference.", read=_small
    ),
    SettingOption(
        "--drizzle-mask", "drizzle.mask", "'ra,dec' of the box that the reference leaves out."
    ),
    SettingOption("--object", "drizzle.object_name", "Prefix of file names, and TARGNAME."),
    SettingOption("--drizzle-dim", "drizzle.size_pix", "Side of a square frame, pixels.", kind=int),
    SettingOption("--drizzle-scale", "drizzle.scale_arcsec", "Pixel, arcsec.", kind=float),
    SettingOption(
        "--sky-sub/--no-sky-sub", "drizzle.sky_sub", "Subtract the sky first.", kind=bool
    ),
    SettingOption("--combine-type", "drizzle.combine_type", "How the median image is made."),
    SettingOption("--wht-type", "drizzle.weight_type", "EXP, ERR or IVM.", read=str.upper),
    SettingOption("--fix-zpt", "drizzle.fix_zero_point", "AB zero point.", kind=float),
    SettingOption("--no-rotation", "drizzle.no_rotation", "Not north up.", kind=bool),
    SettingOption("--no-mask", "drizzle.no_mask", "No masks for few exposures.", kind=bool),
    SettingOption("--keep-drizzle-artifacts", "drizzle.keep_artifacts", "Keep scratch.", kind=bool),
    # The computer.
    SettingOption("--max-cores", "machine.max_cores", "Tool calls at a time.", kind=int),
)


def changes_of(given: Mapping[str, Any]) -> Changes:
    """The settings that options stand for; those that were not given are left out.

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


def takes_settings(*groups: Group) -> Callable[[Command], Command]:
    """Give a command the options of `groups`; it receives them as its argument ``changes``."""
    parameters = [
        option(each.parameter, each.kind | None, None, *each.names.split(), help=each.help)
        for each in SETTING_OPTIONS
        if each.group in groups
    ]
    return with_options(parameters, "changes", changes_of)

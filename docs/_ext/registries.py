"""Directives that print what the code itself holds, so that the reference cannot drift from it.

Each directive renders one registry of the package as a table:

======================== ======================================================================
``settings SECTION``     the keys of one section of the settings: type, default, limits, meaning
``columns TABLE``        the columns of ``manifest``, ``archive_exposures``, ``archive_left_out``,
                         ``exposures``, ``alignment``, ``drizzles``, ``differences``, ``colours``,
                         ``light_curve`` or those of the advanced products, ``hap_...``
``archive_rules``        the rules by which observations of the archive are left out
``assets``               the assets in the order of the levels
``products``             the file of each asset, and what it is made from
``jobs``                 the jobs, one a level
``checks``               the asset checks
``redo``                 the options to make things again
``sensors``              the sensors
``schedules``            the schedules
``detectors``            the registry of detectors
``drizzle_parameters``   AstroDrizzle's parameters by detector and number of exposures
``owned_parameters``     AstroDrizzle's parameters that are not the user's to change
``commands COMMAND``     arguments and options of one command of ``hst-assets``
``failures``             the classes of failures
``catalog_quantities K`` the columns of a catalogue of stars: ``object``, ``hst`` or ``analytic``
``vega_bands``           Vega in AB, filter by filter
``cut_presets``          the limits of the presets of quality cuts
``flags``                the bits of the DQ plane of differences
``product_flags``        the bits of the DQ plane of drizzled images
======================== ======================================================================
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any, ClassVar

from asset_registries import assets, checks, jobs, products, redo, schedules, sensors
from docutils import nodes
from docutils.statemachine import StringList
from markdown_table import prose, table
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SYMBOLS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


# -------------------------------------------------------------------------------- settings


def settings_sections() -> dict[str, Any]:
    """Section name to model."""
    from hst_assets.settings import Settings

    return {name: type(field.default) for name, field in Settings.model_fields.items()}


def settings_rows(section: str) -> list[tuple[str, str, str, str]]:
    """Key, default, type with limits, and meaning."""
    model = settings_sections()[section]
    return [
        (
            f"`{name}`",
            f"`{_toml(field.default)}`",
            _kind(field.annotation, field.metadata),
            prose(model.meaning(name)),
        )
        for name, field in model.model_fields.items()
    ]


def _toml(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str | PurePath) else f"{value:g}"


def _kind(annotation: Any, metadata: Iterable[Any]) -> str:
    if typing.get_origin(annotation) is typing.Annotated:
        annotation, *more = typing.get_args(annotation)
        metadata = [*metadata, *more]
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(f"`{choice}`" for choice in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        more = metadata if len(parts) == 1 else ()
        return " or ".join(_kind(part, more) for part in parts)
    if typing.get_origin(annotation) is tuple:
        items = typing.get_args(annotation)
        if len(items) > 2 or Ellipsis not in items:
            kinds = dict.fromkeys(_kind(item, ()) for item in items)
            return f"list of {len(items)}: " + " and ".join(kinds)
        return f"list of {_kind(items[0], ())}"
    if typing.get_origin(annotation) is dict:
        (_, item) = typing.get_args(annotation)
        if typing.get_origin(item) is dict or hasattr(item, "model_fields"):
            return "tables"
        return f"table: {_kind(item, metadata)} by detector"
    name = {"str": "text", "int": "integer", "float": "number", "bool": "true/false"}.get(
        annotation.__name__, annotation.__name__.lower()
    )
    limits = [
        f"{symbol} {getattr(limit, key):g}"
        for limit in _flat(metadata)
        for key, symbol in SYMBOLS.items()
        if getattr(limit, key, None) is not None
    ]
    return ", ".join([name, *limits])


def _flat(metadata: Iterable[Any]) -> Iterable[Any]:
    for item in metadata:
        yield from getattr(item, "metadata", [item])


def settings(section: str) -> list[str]:
    """The keys of one section of the settings."""
    return table(("key", "default", "type", "meaning"), settings_rows(section))


# --------------------------------------------------------------------------------- columns


def column_rows(name: str) -> list[tuple[str, str, str]]:
    """Column, unit and meaning of one of the project's tables."""
    from hst_assets.archive import listing
    from hst_assets.astrometry.alignment_table import ALIGNMENT_COLUMNS
    from hst_assets.counterpart.tables import (
        COUNTERPART_COLUMNS,
        COUNTERPART_PHOTOMETRY_COLUMNS,
    )
    from hst_assets.exposures import columns
    from hst_assets.hap.mosaics.mosaic import MOSAIC_COLUMNS
    from hst_assets.hap.mosaics.target_mosaics import TARGET_EXPOSURE_COLUMNS
    from hst_assets.hap.visits.aligned import ALIGNED_COLUMNS
    from hst_assets.hap.visits.catalogs import CATALOG_COLUMNS
    from hst_assets.hap.visits.hla_comparison import COMPARISON_COLUMNS
    from hst_assets.hap.visits.image_index import IMAGE_COLUMNS
    from hst_assets.hap.visits.manifest import MANIFEST_COLUMNS as HAP_MANIFEST_COLUMNS
    from hst_assets.hap.visits.plan import PLAN_COLUMNS
    from hst_assets.hap.visits.quality_tests import QUALITY_COLUMNS
    from hst_assets.imaging.colour_images import COLOUR_COLUMNS
    from hst_assets.imaging.differences.batch import DIFFERENCE_COLUMNS
    from hst_assets.imaging.drizzle_index import DRIZZLE_COLUMNS
    from hst_assets.photometry.dolphot.inputs import INPUT_COLUMNS
    from hst_assets.photometry.light_curve.table import LIGHT_CURVE_COLUMNS

    registry = {
        "manifest": columns.MANIFEST_COLUMNS,
        "archive_exposures": listing.LISTING_COLUMNS,
        "archive_left_out": listing.LEFT_OUT_COLUMNS,
        "exposures": columns.EXPOSURE_COLUMNS,
        "alignment": ALIGNMENT_COLUMNS,
        "drizzles": DRIZZLE_COLUMNS,
        "counterpart": COUNTERPART_COLUMNS,
        "counterpart_photometry": COUNTERPART_PHOTOMETRY_COLUMNS,
        "differences": DIFFERENCE_COLUMNS,
        "colours": COLOUR_COLUMNS,
        "hap_plan": PLAN_COLUMNS,
        "hap_alignment": ALIGNED_COLUMNS,
        "hap_images": IMAGE_COLUMNS,
        "hap_catalogs": CATALOG_COLUMNS,
        "hap_hla_comparison": COMPARISON_COLUMNS,
        "hap_quality": QUALITY_COLUMNS,
        "hap_target_exposures": TARGET_EXPOSURE_COLUMNS,
        "hap_manifest": HAP_MANIFEST_COLUMNS,
        "dolphot_inputs": INPUT_COLUMNS,
        "light_curve": LIGHT_CURVE_COLUMNS,
        "mosaics": MOSAIC_COLUMNS,
    }
    return [(spec.name, _unit(spec.unit), spec.description) for spec in registry[name]]


def _unit(unit: Any) -> str:
    return "" if unit is None else str(unit)


def columns(name: str) -> list[str]:
    """The columns of one table."""
    rows = [(f"`{key}`", unit, text) for key, unit, text in column_rows(name)]
    return table(("column", "unit", "meaning"), rows)


def archive_rules() -> list[str]:
    """The rules of the archive's observations, in the order in which they are applied."""
    from hst_assets.archive.observation_rules import RULES

    return table(("rule", "what is left out"), ((rule.name, rule.meaning) for rule in RULES))


# ---------------------------------------------------------------- detectors, commands, failures


def detectors() -> list[str]:
    """The registry of detectors."""
    from hst_assets.detectors import DETECTORS

    rows = [
        (
            f"`{row.key}`",
            f"`_{row.suffix}.fits`" + (" with `_c1m.fits`" if row.has_separate_dq else ""),
            f"{row.full_shape[1]} by {row.full_shape[0]}, {row.n_chips}",
            f"{row.pixel_scale_arcsec:g}",
            f"{row.drizzle_scale_arcsec:g}",
            row.science_units,
            str(row.drizzle_good_bits),
            f"{row.match_tolerance_pix:g}",
            " and ".join(f"{value:g}" for value in row.driz_cr_snr),
            " and ".join(f"{value:g}" for value in row.driz_cr_scale),
            f"{row.typical_dark_e_per_s:g}",
        )
        for row in DETECTORS.values()
    ]
    return table(
        (
            "detector",
            "files",
            "pixels, chips",
            "native scale (arcsec)",
            "product scale (arcsec)",
            "SCI units",
            "DQ bits drizzled",
            "first matching tolerance (px)",
            "cosmic rays: noise",
            "slopes",
            "typical dark current (e/s)",
        ),
        rows,
    )


_NUMBERS = (1, 2, 7, 12)


def drizzle_parameters() -> list[str]:
    """AstroDrizzle's parameters in force without any setting, one row each."""
    from hst_assets.detectors import DETECTORS
    from hst_assets.imaging.astrodrizzle.parameters import parameters
    from hst_assets.settings import DrizzleSettings

    given = {
        (key, n): parameters(row, n, DrizzleSettings())
        for key, row in DETECTORS.items()
        for n in _NUMBERS
    }
    rows = []
    for name in sorted({name for values in given.values() for name in values}):
        cells = []
        for n in _NUMBERS:
            by_value: dict[str, list[str]] = {}
            for key in DETECTORS:
                by_value.setdefault(_toml(given[key, n][name]), []).append(key)
            several = len(by_value) > 1
            cells.append(
                "; ".join(
                    f"`{value}`" + (f" ({', '.join(keys)})" if several else "")
                    for value, keys in by_value.items()
                )
            )
        rows.append((f"`{name}`", *cells))
    return table(("parameter", *(f"n = {n}" for n in _NUMBERS)), rows)


def owned_parameters() -> list[str]:
    """Parameters of AstroDrizzle that the pipeline itself sets, and why."""
    from hst_assets.imaging.astrodrizzle.parameters import OWNED

    by_reason: dict[str, list[str]] = {}
    for name, reason in OWNED.items():
        by_reason.setdefault(reason, []).append(f"`{name}`")
    return table(
        ("parameter", "instead"), ((", ".join(names), why) for why, names in by_reason.items())
    )


def commands_of() -> Mapping[str, Any]:
    """Command name to what Typer made of it; of a group of commands, its commands."""
    from typer.main import get_command

    from hst_assets.cli.application import application

    found: dict[str, Any] = {}
    for name, command in get_command(application).commands.items():  # type: ignore[attr-defined]
        members = getattr(command, "commands", {})
        found |= {f"{name} {member}": each for member, each in members.items()} or {name: command}
    return found


def commands(name: str) -> list[str]:
    """One command: what it does, its arguments and options."""
    command = commands_of()[name]
    rows = []
    for parameter in command.params:
        flag = parameter.param_type_name == "option"
        label = ", ".join(f"`{text}`" for text in parameter.opts)
        if not flag:
            dots = "..." if parameter.nargs == -1 else ""
            label = f"`{parameter.name.upper()}{dots}`"
        rows.append((label, _default_of(parameter), prose(parameter.help or "")))
    return [prose(command.help or ""), "", *table(("argument", "default", "meaning"), rows)]


def _default_of(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default in (None, False):
        return ""
    return f"`{parameter.default}`"


def failures() -> list[str]:
    """The vocabulary of failures."""
    from hst_assets import failures as vocabulary

    kinds = [getattr(vocabulary, name) for name in vocabulary.__all__ if name[0].isupper()]
    rows = [
        (f"`{kind.__name__}`", prose(inspect.getdoc(kind) or ""))
        for kind in kinds
        if kind is not vocabulary.HstAssetsError
    ]
    return table(("class", "meaning"), rows)


def catalog_quantities(kind: str) -> list[str]:
    """The columns of an object, or of a block of a filter or an image."""
    from hst_assets.photometry.catalog import quantities

    registry = {
        "object": quantities.PER_OBJECT,
        "hst": quantities.HST_BLOCK,
        "analytic": quantities.ANALYTIC_BLOCK,
    }
    rows = [
        (
            f"`{each.key}`",
            each.title + (f" ({each.image_title} of an image)" if each.image_title else ""),
            _unit(each.unit),
            each.description,
        )
        for each in registry[kind]
    ]
    return table(("name", "title in `.columns`", "unit", "meaning"), rows)


def vega_bands() -> list[str]:
    """Vega in the AB system."""
    from hst_assets.photometry.catalog.vega import vega_bands as bands

    rows = [
        (
            f"`{band.detector}`",
            band.filter_name,
            f"{band.pivot_angstrom:.1f}",
            f"{band.ab_mag_005:+.4f}",
            f"{band.ab_mag_011:+.4f}",
        )
        for band in bands().values()
    ]
    names = ("detector", "filter", "pivot (Angstrom)", "AB, stis_005", "AB, stis_011")
    return table(names, rows)


def cut_presets() -> list[str]:
    """The limits of the presets of quality cuts."""
    from hst_assets.photometry.quality_cuts import PRESETS

    rows = []
    for name, cuts in PRESETS.items():
        recipe = cuts.as_recipe()
        cells = [
            "; ".join(f"{limit:g} ({detector})" for detector, limit in recipe[key].items())
            for key in ("max_sharpness_squared", "max_crowding_mag")
        ]
        types = " ".join(map(str, recipe["object_types"] or ["all"]))
        snr = "" if recipe["min_snr"] is None else f"{recipe['min_snr']:g}"
        rows.append((f"`{name}`", types, snr, *cells))
    names = (
        "preset",
        "object types",
        "S/N at least",
        "sharpness² at most",
        "crowding at most (mag)",
    )
    return table(names, rows)


def flags() -> list[str]:
    """The bits of the DQ plane of differences."""
    from hst_assets.imaging.differences.subtraction import FLAGS

    rows = [(str(int(flag)), f"`{flag.name}`", meaning) for flag, meaning in FLAGS.items()]
    return table(("bit", "name", "meaning"), rows)


def product_flags() -> list[str]:
    """The bits of the DQ plane of drizzled images."""
    from hst_assets.imaging.product_flags import PRODUCT_FLAGS

    rows = [(str(int(flag)), f"`{flag.name}`", text) for flag, text in PRODUCT_FLAGS.items()]
    return table(("bit", "name", "meaning"), rows)


# ------------------------------------------------------------------------------- directives


def _directive(render: Callable[..., list[str]], n_arguments: int) -> type[SphinxDirective]:
    class Registry(SphinxDirective):
        has_content = False
        required_arguments = n_arguments
        final_argument_whitespace = True
        option_spec: ClassVar[dict[str, Any]] = {}

        def run(self) -> list[nodes.Node]:
            lines = StringList(render(*self.arguments), source=self.env.doc2path(self.env.docname))
            parent = nodes.container()
            parent.document = self.state.document
            self.state.nested_parse(lines, self.content_offset, parent)
            return parent.children

    return Registry


def _skip_aliases(_app: Sphinx, _kind: str, _name: str, item: Any, *_: Any) -> bool | None:
    """Type aliases such as ``NDArray[np.float64]`` have no signature that autodoc could print."""
    return True if isinstance(item, types.GenericAlias) else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives (called by Sphinx)."""
    # Before autodoc, which alters how annotations are read: pydantic could not build Dagster then.
    import hst_assets.definitions  # noqa: F401

    app.connect("autodoc-skip-member", _skip_aliases)
    for render, n_arguments in (
        (settings, 1),
        (columns, 1),
        (archive_rules, 0),
        (assets, 0),
        (products, 0),
        (jobs, 0),
        (checks, 0),
        (redo, 0),
        (sensors, 0),
        (schedules, 0),
        (detectors, 0),
        (drizzle_parameters, 0),
        (owned_parameters, 0),
        (commands, 1),
        (failures, 0),
        (catalog_quantities, 1),
        (vega_bands, 0),
        (cut_presets, 0),
        (flags, 0),
        (product_flags, 0),
    ):
        app.add_directive(render.__name__, _directive(render, n_arguments))
    # What the code holds is no file that Sphinx watches: these pages are read anew each time.
    app.connect("env-get-outdated", _always_outdated)
    return {"parallel_read_safe": True}


def _always_outdated(_app: Sphinx, env: Any, *_: Any) -> list[str]:
    return [name for name in env.found_docs if name.startswith("reference/")]

"""The documentation says what the code does: names, keys, columns, options, links."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
PAGES = sorted(
    path
    for path in [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    if "_build" not in path.parts
)

_LINK = re.compile(r"(?<!\!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1\s*$", re.MULTILINE | re.DOTALL)
_SETTING = re.compile(
    r"[` ](target|archive|selection|epochs|reference|alignment|gate|catalog|reference_files|drizzle"
    r"|difference|quality_cuts|artificial_stars|light_curve|photometry|dolphot_inputs|dolphot|embedded"
    r"|counterpart|hap|publish|machine)"
    r"\.([A-Za-z_0-9]+)(?=[`= ])"
)
_COMMAND = re.compile(
    r"hst-assets (run|ingest|materialize|lightcurve|publish|status|explain|archive|counterpart"
    r"|settings|clean|demo|hap|target \w+)\b([^`\n]*)"
)
_OPTION = re.compile(r"--[a-z][a-z-]*")


@pytest.fixture(scope="module")
def registries() -> ModuleType:
    """The extension that prints the code's registries, and what it imports from beside it."""
    for name in ("markdown_table", "asset_registries"):
        extension(name)
    return extension("registries")


def extension(name: str) -> ModuleType:
    """A module of the documentation's own extensions."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "_ext" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


def page_id(path: Path) -> str:
    return str(path.relative_to(PROJECT))


# ------------------------------------------------------------------------------------- links


def links(path: Path) -> Iterator[str]:
    for match in _LINK.finditer(_FENCE.sub("", path.read_text())):
        yield match[1] or match[2]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_lead_to_files(page: Path) -> None:
    targets = [link.partition("#")[0] for link in links(page) if "://" not in link]
    missing = [name for name in targets if name and not (page.parent / name).exists()]
    assert not missing


def test_links_are_found_at_all() -> None:
    assert sum(len(list(links(page))) for page in PAGES) > 50


@pytest.mark.parametrize("module", sorted((PROJECT / "hst_assets").rglob("*.py")), ids=page_id)
def test_pages_that_the_code_names_exist(module: Path) -> None:
    named = re.findall(r"docs/[\w/.-]+\.md", module.read_text())
    assert [name for name in named if not (PROJECT / name).is_file()] == []


def test_files_that_the_recipes_for_contributors_name_exist() -> None:
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:hst_assets|hst_assets_tests|docs)/[\w/.-]+)`", text)
    assert len(named) > 15
    written = {"docs/guide/methods/NAME.md"}  # by who follows the recipe
    assert [name for name in named if not (PROJECT / name).exists() and name not in written] == []


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = set()
    for page in PAGES:
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.DOTALL):
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {path.resolve() for name in names for path in page.parent.glob(f"{name}.md")}
    pages = {path.resolve() for path in PAGES} - {
        PROJECT / "README.md",
        PROJECT / "CONTRIBUTING.md",
        DOCS / "index.md",
    }
    assert pages - listed == set()


# ---------------------------------------------------------------------------------- settings


def test_every_section_of_the_settings_has_its_table(registries: ModuleType) -> None:
    text = (DOCS / "reference" / "settings.md").read_text()
    printed = re.findall(r"```\{settings\} (\w+)", text)
    assert sorted(printed) == sorted(registries.settings_sections())


def test_every_key_of_the_settings_has_a_meaning(registries: ModuleType) -> None:
    rows = {
        f"{section}.{row[0]}": row[3]
        for section in registries.settings_sections()
        for row in registries.settings_rows(section)
    }
    assert len(rows) > 40
    assert [key for key, meaning in rows.items() if not meaning] == []


def test_settings_are_printed_with_default_and_limits(registries: ModuleType) -> None:
    rows = {row[0]: row for row in registries.settings_rows("drizzle")}
    assert rows["`pixfrac`"][1:3] == ("`0.8`", "number, > 0, ≤ 1")
    assert rows["`scale_arcsec`"][1:3] == ("`unset`", "number, ≥ 0.005, ≤ 2")


def test_the_meaning_of_a_setting_is_the_docstring_below_it(registries: ModuleType) -> None:
    meanings = {row[0]: row[3] for row in registries.settings_rows("selection")}
    assert meanings["`before`"].startswith("Use only exposures that start before")
    assert meanings["`footprint_margin_arcsec`"].endswith("at least this far inside.")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_settings_named_in_the_pages_exist(page: Path, registries: ModuleType) -> None:
    models = registries.settings_sections()
    # Files may begin like a section: `target.toml`, `reference.json`.
    named = {
        pair
        for pair in _SETTING.findall(page.read_text())
        if pair[1] not in {"ecsv", "fits", "h5", "html", "json", "parquet", "png", "series", "toml"}
    }
    assert {pair for pair in named if pair[1] not in models[pair[0]].model_fields} == set()


def test_settings_are_found_in_the_pages_at_all() -> None:
    assert sum(len(set(_SETTING.findall(page.read_text()))) for page in PAGES) > 60


def test_the_example_of_settings_is_valid() -> None:
    from hst_assets.settings import Settings

    (example,) = re.findall(
        r"```toml\n(.*?)```", (DOCS / "reference" / "settings.md").read_text(), re.DOTALL
    )
    assert Settings.model_validate(tomllib.loads(example)).target.ra_deg == 6.0223


def test_the_gate_is_documented_with_its_limits(registries: ModuleType) -> None:
    text = (DOCS / "guide" / "reference-and-alignment.md").read_text()
    rows = {
        key: limit
        for limit, key in re.findall(
            r"^\|[^|]*\|[^|]*\| [≤≥] ([\d.]+)[^|]*\| `gate\.(\w+)`", text, re.M
        )
    }
    fields = registries.settings_sections()["gate"].model_fields
    limits = {key for key in fields if key.startswith(("min_", "max_"))}
    assert set(rows) == limits
    assert {key: float(value) for key, value in rows.items()} == {
        key: float(fields[key].default) for key in limits
    }


# ---------------------------------------------------------------------------- tables of columns


@pytest.mark.parametrize("name", ["manifest", "exposures", "alignment", "drizzles", "differences"])
def test_columns_are_printed_with_meanings(name: str, registries: ModuleType) -> None:
    assert f"```{{columns}} {name}\n" in (DOCS / "reference" / "tables.md").read_text()
    rows = registries.column_rows(name)
    assert len(rows) >= 6
    assert [row[0] for row in rows if not row[2]] == []


def test_the_registry_of_exposure_columns_appears(registries: ModuleType) -> None:
    from hst_assets.exposures.columns import EXPOSURE_COLUMNS

    printed = "\n".join(registries.columns("exposures"))
    assert [spec.name for spec in EXPOSURE_COLUMNS if f"| `{spec.name}` |" not in printed] == []
    assert "| `exptime` | s |" in printed


def test_columns_of_star_matches_are_documented() -> None:
    from hst_assets.astrometry.measurement import MATCH_UNITS

    text = (DOCS / "reference" / "tables.md").read_text()
    assert [name for name in MATCH_UNITS if f"`{name}`" not in text] == []


# ------------------------------------------------------------------------ commands and assets


def documented_calls() -> list[tuple[str, str, str]]:
    return [
        (page_id(page), command, option)
        for page in PAGES
        for command, rest in _COMMAND.findall(page.read_text())
        for option in _OPTION.findall(rest)
    ]


@pytest.mark.parametrize(("page", "command", "option"), sorted(set(documented_calls())))
def test_options_in_examples_exist(
    page: str, command: str, option: str, registries: ModuleType
) -> None:
    options = {text for each in registries.commands_of()[command].params for text in each.opts}
    assert option in {*options, "--help"}, f"{page} calls hst-assets {command} {option}"


def test_every_command_is_documented(registries: ModuleType) -> None:
    text = (DOCS / "reference" / "command-line.md").read_text()
    assert re.findall(r"```\{commands\} ([\w ]+)", text) == list(registries.commands_of())


def test_every_option_of_the_commands_has_a_help_text(registries: ModuleType) -> None:
    silent = [
        f"{name} {parameter.name}"
        for name, command in registries.commands_of().items()
        for parameter in command.params
        if not parameter.help
    ]
    assert silent == []


def test_assets_are_printed_in_order_with_what_they_are(registries: ModuleType) -> None:
    from hst_assets.orchestration.asset_table import ASSETS

    rows = registries.assets()[2:]
    names = [row.split("`")[1] for row in rows]
    assert names == [asset for level in ASSETS.levels for asset in level.assets]
    assert [row for row in rows if row.rstrip().endswith("|  |")] == []


def test_assets_jobs_and_checks_named_in_the_pages_exist(registries: ModuleType) -> None:
    from hst_assets.orchestration.asset_table import ASSETS
    from hst_assets.orchestration.build import build_defs

    assets = {row.name for row in ASSETS}
    selected = {
        name
        for page in PAGES
        for text in re.findall(r"--(?:select|assets) ([a-z_,]+)", page.read_text())
        for name in text.split(",")
    }
    assert selected - assets == set()
    repository = build_defs().get_repository_def()
    automation = [*repository.sensor_defs, *repository.schedule_defs]
    printed = "\n".join([*registries.sensors(), *registries.schedules()])
    assert {one.name for one in automation if f"`{one.name}`" not in printed} == set()
    running = (DOCS / "guide" / "running-it.md").read_text()
    named = set(re.findall(r"`((?:nightly_)?\w+_sensor|nightly_\w+)`", running))
    assert named - {one.name for one in automation} == set()
    checks = {check.name for row in ASSETS for check in row.checks}
    assert {"raw_untouched", "alignment_gate", "products_sane", "all_products_made"} <= checks


def test_the_picture_is_that_of_the_table() -> None:
    """``make docs`` draws it anew."""
    from hst_assets.orchestration.asset_table import ASSETS

    picture = (DOCS / "_static" / "graph.svg").read_text()
    assert picture == extension("asset_graph").draw(ASSETS)
    assert {row.name for row in ASSETS if f">{row.name}</text>" not in picture} == set()


def test_every_failure_and_detector_is_printed(registries: ModuleType) -> None:
    from hst_assets import failures
    from hst_assets.detectors import DETECTORS

    kinds = "\n".join(registries.failures())
    names = {name for name in failures.__all__ if name[0].isupper()} - {"HstAssetsError"}
    assert {name for name in names if f"`{name}`" not in kinds} == set()
    rows = "\n".join(registries.detectors())
    assert [key for key in DETECTORS if f"`{key}`" not in rows] == []


def test_flags_and_cards_of_differences_are_documented(registries: ModuleType) -> None:
    from hst_assets.imaging.differences import cards as difference_cards
    from hst_assets.imaging.differences.subtraction import Flag

    text = (DOCS / "guide" / "differences.md").read_text()
    assert "```{flags}" in text
    printed = "\n".join(registries.flags())
    assert [flag.name for flag in Flag if f"`{flag.name}`" not in printed] == []
    written = re.findall(r'yield "([A-Z]+)"', Path(difference_cards.__file__).read_text())
    assert len(written) >= 10
    assert [key for key in written if f"`{key}`" not in text] == []


def test_the_example_of_overrides_can_be_read(tmp_path: Path) -> None:
    from hst_assets.exposures.overrides import read_overrides

    text = (DOCS / "guide" / "ingest-and-selection.md").read_text()
    (example,) = re.findall(r"```text\n(# %ECSV.*?)```", text, re.DOTALL)
    path = tmp_path / "overrides.ecsv"
    path.write_text(example)
    found = read_overrides(path)
    assert [(each.rootname, each.use) for each in found.values()] == [
        ("icdq01abq", False),
        ("icdq01acq", True),
    ]


def test_header_keywords_of_the_alignment_are_documented() -> None:
    from hst_assets.astrometry.cards import alignment_cards
    from hst_assets.astrometry.gate import FitNumbers

    numbers = FitNumbers(20, *[0.1] * 9, 8, *[0.1] * 9)
    cards = alignment_cards(
        status="PASS", method="tweakreg", reference="a", recipe="b", numbers=numbers
    )
    text = (DOCS / "guide" / "reference-and-alignment.md").read_text()
    names = [keyword.split()[-1] for keyword, _ in cards]
    assert len(names) == 13
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_variables_of_the_environment_are_documented() -> None:
    from hst_assets.alerting import receivers
    from hst_assets.orchestration.executors import EXECUTOR_VARIABLE, MAX_STEPS_VARIABLE
    from hst_assets.orchestration.sensors import SENSOR_INTERVAL_VARIABLE
    from hst_assets.workdir import ROOT_VARIABLE

    text = (DOCS / "reference" / "settings.md").read_text()
    ours = (ROOT_VARIABLE, EXECUTOR_VARIABLE, MAX_STEPS_VARIABLE, SENSOR_INTERVAL_VARIABLE)
    for name in (*ours, "DAGSTER_HOME"):
        assert f"`{name}`" in text
    of_alerts = [getattr(receivers, name) for name in dir(receivers) if name.endswith("_VARIABLE")]
    assert len(of_alerts) == 7
    operations = (DOCS / "guide" / "operations.md").read_text()
    assert [name for name in of_alerts if f"`{name}`" not in operations] == []


def test_metrics_are_documented(tmp_path: Path) -> None:
    import dagster as dg

    from hst_assets.orchestration.asset_table import ASSETS
    from hst_assets.orchestration.metrics import metrics_text

    with dg.DagsterInstance.ephemeral() as instance:
        folders = {"root": tmp_path}
        text = metrics_text(instance, ASSETS, [], n_unreadable=0, root=tmp_path, folders=folders)
    printed = set(re.findall(r"^# TYPE (\w+)", text, re.M))
    page = (DOCS / "guide" / "operations.md").read_text()
    table = {
        name
        for line in page.splitlines()
        if line.startswith("| `hst_assets_")
        for name in re.findall(r"`(hst_assets_\w+)`", line.split("|")[1])
    }
    assert table == printed


def test_every_science_module_has_its_place_in_the_api_pages() -> None:
    text = "".join(page.read_text() for page in (DOCS / "reference" / "api").glob("*.md"))
    listed = re.findall(r"automodule:: (\S+)", text)
    packages = {path.parent.name for path in (PROJECT / "hst_assets").glob("*/__init__.py")}
    packages -= {"cli", "orchestration"}  # these have pages of their own
    modules = {
        ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        for package in packages
        for path in (PROJECT / "hst_assets" / package).rglob("*.py")
        if path.stem != "__init__" and not path.stem.endswith("_task")
    } | {
        f"hst_assets.{path.stem}"
        for path in (PROJECT / "hst_assets").glob("*.py")
        if path.stem not in {"__init__", "definitions"}
    }
    assert sorted(listed) == sorted(modules)


# --------------------------------------------------------------------------------------- build


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """The pages; built here, unless ``.ci/run`` has just built them by ``make docs``."""
    if done := os.environ.get("HST_ASSETS_TESTS_DOCS"):
        return Path(done)
    pytest.importorskip("sphinx")
    call = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    ended = subprocess.run(
        [*call, "-d", str(tmp_path / "doctrees"), str(DOCS), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return tmp_path / "html"


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(built: Path) -> None:
    page = (built / "reference" / "settings.html").read_text()
    assert "search_radius_arcsec" in page
    commands = (built / "reference" / "command-line.html").read_text()
    assert "--drizzle-scale" in commands
    assert re.findall("\u2013[a-z]+", commands) == []  # options with a dash for their hyphens

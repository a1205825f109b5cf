"""The stages' code versions: raised, or said not to need it, when the code behind changed."""

import dataclasses
from pathlib import Path

import pytest

from hst_assets.detectors import Detector
from hst_assets.failures import BadConfiguration
from hst_assets.settings import Settings
from hst_assets.stages import STAGES, code_version_of, figures_read_by
from hst_assets_tests import fingerprints
from hst_assets_tests.fingerprints import Source, closure, closures, explain, undecided

#: Fields that say which detector it is; they are no figures.
IDENTITY = {"key", "instrument", "detector", "suffix", "filters", "filter_patterns"}
FIGURES = {field.name for field in dataclasses.fields(Detector)} - IDENTITY
#: Stages that list products: what they read of a detector is in the recipes of the products.
LISTING = {
    "aligned_exposures": "aligned_exposure",
    "epoch_drizzles": "drizzled_image",
    "drizzled_stacks": "drizzled_image",
    "epoch_differences": "difference_image",
    "dolphot_inputs": "dolphot_chips",
}
VERSIONS = {name: stage.version for name, stage in STAGES.items()}


@pytest.fixture(scope="module")
def found():
    return closures()


def test_no_code_changed_without_a_decision(found):
    told = undecided(found, fingerprints.recorded(), versions=VERSIONS)
    assert not told, explain(told)


def test_the_file_has_the_versions_of_today_and_all_defaults():
    """New stages, versions and settings are written down: run 'make fingerprints'."""
    known = fingerprints.recorded()
    assert {name: stage["version"] for name, stage in known["stages"].items()} == VERSIONS
    assert known["defaults"].keys() == fingerprints.default_settings().keys()


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_names_the_figures_that_its_code_reads(found, stage):
    named = set(figures_read_by([stage, LISTING.get(stage, stage)]))
    if stage == "reference_image":
        named |= set(figures_read_by(["drizzled_image"]))  # by Recipe.uses
    assert named >= FIGURES & found[stage].attributes


def test_the_tools_of_children_and_methods_are_reached(found):
    reached = {module for module, _ in found["aligned_exposure"].symbols}
    assert any(module.endswith("tweakreg_fit") for module in reached)
    assert any(module.endswith("epoch_task") for module in reached)
    assert ("hst_assets.imaging.astrodrizzle.drizzle_task", "combine") in (
        found["drizzled_image"].symbols
    )


def test_an_unknown_stage_of_a_row_is_named():
    with pytest.raises(BadConfiguration, match="unknown stage no_such_stage") as raised:
        code_version_of("drizzled_image", "no_such_stage")
    assert "STAGES" in raised.value.next_step


def test_a_code_version_names_each_stage():
    assert code_version_of("target_exposures") == "target_exposures 1"
    both = code_version_of("epoch_drizzles", "drizzled_image")
    assert both == code_version_of("drizzled_image", "epoch_drizzles")
    assert both.count(", ") == 1


# -------------------------------------------------------------------- what counts as a change

BEFORE = {
    "__init__.py": "",
    "maker.py": """
import logging
from hst_assets.sub.tables import rounded
logger = logging.getLogger(__name__)
FACTOR = 2.0
def make(x):
    logger.info("made")
    if x < 0:
        raise ValueError("must not be negative")
    return rounded(FACTOR * x)
def unused():
    return 1
""",
    "sub/__init__.py": "",
    "sub/tables.py": """
def rounded(x):
    return round(x, 2)
""",
    "child.py": """
def work():
    return 3
""",
}


def fingerprint(folder: Path, changes: dict[str, str], entry: str = "hst_assets.maker:make") -> str:
    for name, text in {**BEFORE, **changes}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return closure(Source(folder), (entry,), set()).fingerprint


def changed(name: str, old: str, new: str) -> dict[str, str]:
    assert old in BEFORE[name]
    return {name: BEFORE[name].replace(old, new)}


@pytest.mark.parametrize(
    "changes",
    [
        changed("maker.py", "def make(x):", 'def make(x: float) -> float:\n    """Make."""'),
        changed("maker.py", "FACTOR = 2.0", "# twice\nFACTOR  =  2.0"),
        changed("maker.py", '"made"', '"made it"'),
        changed("maker.py", "must not be negative", "is negative"),
        changed("maker.py", "return 1", "return 2"),
        changed("child.py", "return 3", "return 4"),
    ],
    ids=["annotations", "comments", "logging", "messages", "code not reached", "other modules"],
)
def test_what_decides_no_result_is_no_change(tmp_path, changes):
    assert fingerprint(tmp_path / "a", changes) == fingerprint(tmp_path / "b", {})


@pytest.mark.parametrize(
    "changes",
    [
        changed("maker.py", "FACTOR * x", "FACTOR + x"),
        changed("maker.py", "2.0", "2.5"),
        changed("sub/tables.py", "2", "3"),
    ],
    ids=["a function", "a constant", "a function that is called"],
)
def test_what_decides_a_result_is_a_change(tmp_path, changes):
    assert fingerprint(tmp_path / "a", changes) != fingerprint(tmp_path / "b", {})


def test_what_is_moved_is_no_change(tmp_path):
    moved = {
        "maker.py": BEFORE["maker.py"].replace("sub.tables", "elsewhere"),
        "elsewhere.py": BEFORE["sub/tables.py"],
        "sub/tables.py": "",
    }
    assert fingerprint(tmp_path / "a", moved) == fingerprint(tmp_path / "b", {})


@pytest.mark.parametrize(
    "reference", ['"hst_assets.child:work"', '"hst_assets.child"', 'f"{__package__}.child:work"']
)
def test_what_a_text_refers_to_is_reached(tmp_path, reference):
    maker = {"maker.py": f"TASK = {reference}\ndef make(run):\n    return run(TASK)\n"}
    before = fingerprint(tmp_path / "a", maker)
    assert fingerprint(tmp_path / "b", maker | changed("child.py", "3", "4")) != before


def test_an_entry_that_was_moved_is_told(tmp_path):
    with pytest.raises(LookupError, match="was it moved"):
        fingerprint(tmp_path, {}, "hst_assets.maker:gone")


# ------------------------------------------------------------------------ what must be decided


def test_changed_code_is_undecided_until_its_version_is_raised(found):
    known = fingerprints.current(found)
    stage = known["stages"]["drizzled_image"]
    known["stages"]["drizzled_image"] = {**stage, "fingerprint": "another"}
    assert set(undecided(found, known, versions=VERSIONS)) == {"drizzled_image"}
    assert not undecided(found, known, versions={**VERSIONS, "drizzled_image": "next"})


def test_a_changed_default_is_undecided_for_the_stages_that_read_it(found):
    known = fingerprints.current(found)
    known["defaults"]["gate.max_rms_pix"] = 99.0
    told = undecided(found, known, versions=VERSIONS)
    assert {"aligned_exposure", "reference_image"} <= set(told)
    assert not {"raw_exposures", "drizzled_image", "difference_image"} & set(told)
    assert told["aligned_exposure"][0].startswith("default of gate.max_rms_pix: 99.0 is now ")


def test_a_new_setting_leaves_nothing_to_decide(found):
    known = fingerprints.current(found)
    del known["defaults"]["gate.max_rms_pix"]
    assert not undecided(found, known, versions=VERSIONS)


def test_defaults_of_every_section_that_decides_a_product_are_kept():
    sections = {key.partition(".")[0] for key in fingerprints.default_settings()}
    assert sections == set(Settings.model_fields) - fingerprints.NOT_IN_RECIPES


def test_the_file_is_renewed_only_with_a_decision(tmp_path, monkeypatch, found, capsys):
    file = tmp_path / "fingerprints.json"
    monkeypatch.setattr(fingerprints, "FILE", file)
    monkeypatch.setattr(fingerprints, "closures", lambda: found)
    assert fingerprints.main([]) == 0
    written = file.read_text()
    file.write_text(written.replace(found["drizzled_image"].fingerprint, "another"))
    assert fingerprints.main([]) == 1
    assert "drizzled_image (version" in capsys.readouterr().err
    assert fingerprints.main(["--unchanged", "drizzled_image"]) == 0
    assert file.read_text() == written

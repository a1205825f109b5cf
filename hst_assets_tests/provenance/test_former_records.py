"""Work directories from before records had a format are taken over, and nothing is made again.

``former_work_directories.tar.xz`` holds work directories that version 0.1.0 made of simulated
campaigns before this change, as they were: all tables and records, the headers of all FITS files
without their data, and empty files in place of pictures and star lists. Nothing could be made of
them again: whatever ran would fail.
"""

import hashlib
import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.io import fits

from hst_assets.astrometry import alignment
from hst_assets.astrometry.alignment import make_aligned_visit, make_target_alignment
from hst_assets.astrometry.distortion.update import plan_corrections
from hst_assets.astrometry.recipes import ledger_digests
from hst_assets.astrometry.reference.frame import read_reference
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.cleaning import clean
from hst_assets.detectors import DETECTORS
from hst_assets.exposures.raw import raw_ledger
from hst_assets.exposures.table import (
    make_raw_manifest,
    make_target_table,
    make_visit_table,
    read_table,
)
from hst_assets.imaging import plan
from hst_assets.imaging.differences.batch import make_differences
from hst_assets.imaging.drizzling import make_stacks, make_visit_drizzles
from hst_assets.imaging.plan import _finer_scale, aligned_exposures, stacks_of_target
from hst_assets.provenance import (
    Recipe,
    Result,
    digest_of,
    make,
    read_record,
    tool_version,
    why_make,
)
from hst_assets.provenance.former_records import is_former, translated
from hst_assets.settings import load_settings
from hst_assets.settings.fields import Section
from hst_assets.stages import STAGES
from hst_assets.workdir import WorkDir

ARCHIVE = Path(__file__).with_name("former_work_directories.tar.xz")
#: demo-sn: two visits of WFC3/UVIS, one of WFC3/IR, a difference. pc: WFPC2. hrc: ACS/HRC aligned
#: hierarchically, with names, orientation and settings that are not the defaults. ir: one exposure.
#: wfc: seven exposures of ACS/WFC, not aligned, with parameters of the user's. own: an image and a
#: catalogue of the user's own.
TARGETS = ["demo-sn", "pc", "hrc", "ir", "wfc", "own"]
#: The versions of stages when records of that format were taken over. What has been raised since is
#: made again, whatever the format of its record.
_TAKEN_OVER_AT = {
    "exposure_table": "1",
    "reference_image": "4",
    "aligned_exposure": "4",
    "aligned_exposures": "3",
    "drizzled_image": "4",
    "epoch_drizzles": "3",
    "drizzled_stacks": "3",
    "difference_image": "1",
    "epoch_differences": "1",
    "target_alignment": "3",
}
#: Figures of detectors that these stages read since, which no record of that time has.
_READ_SINCE = {
    "exposure_table": {"chip_patterns", "rate_units", "science_units"},
    "reference_image": {
        "chip_patterns",
        "widest_star_pix",
        "flat_scales_arcsec",
        "rate_units",
        "science_units",
    },
    "aligned_exposure": {
        "chip_patterns",
        "widest_star_pix",
        "flat_scales_arcsec",
        "rate_units",
        "science_units",
    },
    "drizzled_image": {"chip_patterns", "typical_dark_e_per_s", "flat_scales_arcsec"},
}
#: Figures of detectors that have changed since; the same holds for them.
_FIGURES_THEN = {
    "wfc3_uvis": {"drizzle_good_bits": 96},
    "wfpc2": {"driz_cr_snr": (5.5, 3.5)},
}
_USERS_FILES = {"image": "my_reference.fits", "table": "my_stars.csv"}
_FACTS = re.compile(rb"#= (\d+) (\d+) (\w+)\n([0-9a-f]{64})  (\S+)")


@pytest.fixture(autouse=True)
def stages_of_that_time(monkeypatch):
    for name, version in _TAKEN_OVER_AT.items():
        since = _READ_SINCE.get(name, set())
        figures = tuple(each for each in STAGES[name].figures if each not in since)
        monkeypatch.setitem(STAGES, name, replace(STAGES[name], version=version, figures=figures))
    for key, figures in _FIGURES_THEN.items():
        monkeypatch.setitem(DETECTORS, key, replace(DETECTORS[key], **figures))
    # Cosmic rays were told on the pixels of the product, however coarse.
    monkeypatch.setattr(plan, "_finer_scale", lambda *_: None)


@pytest.fixture
def unpacked(tmp_path):
    """Unpack a work directory; let its records and ledger have the stamps of what was unpacked."""

    def unpack(target: str) -> WorkDir:
        with tarfile.open(ARCHIVE) as archive:
            members = [each for each in archive if each.name.startswith(f"{target}/")]
            # Python has it from 3.11.4 on.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(tmp_path, members=members)
        workdir = WorkDir(tmp_path, target)
        workdir.create()
        ledger = workdir.checksums.read_bytes()
        workdir.checksums.write_bytes(_FACTS.sub(lambda match: restamped(workdir, match), ledger))
        for path in workdir.base.rglob("*.provenance.json"):
            content = json.loads(path.read_bytes())
            assert is_former(content)
            inputs = content["recipe"]["inputs"]
            for name, file in _USERS_FILES.items():
                if name in inputs:  # it is without its data here, and has another sum
                    inputs[name] = hashlib.sha256((workdir.base / file).read_bytes()).hexdigest()
            content["outputs"] = {name: stamp(workdir.base / name) for name in content["outputs"]}
            tools = content["recipe"]["tools"]
            tools.update({name: tool_version(name) for name in tools})
            path.write_text(json.dumps(content))
        return workdir

    return unpack


def restamped(workdir, match):
    status = (workdir.raw / match[5].decode()).stat()
    facts = f"#= {status.st_size} {status.st_mtime_ns} ".encode()
    return facts + match[3] + b"\n" + match[4] + b"  " + match[5]


def stamp(path):
    status = path.stat()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"sha256": sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def everything(workdir):
    """What every step finds, by asset and visit."""
    settings = load_settings(workdir)
    visits = sorted({file.visit for file in raw_ledger(workdir)})
    made = {}
    for visit in visits:
        made["raw_exposures", visit] = make_raw_manifest(workdir, visit)
        made["exposure_table", visit] = make_visit_table(workdir, visit, settings)
    made["target_exposures", ""] = make_target_table(workdir, visits, settings)
    made["reference_image", ""] = make_reference(workdir, settings)
    for visit in visits:
        made["aligned_exposures", visit] = make_aligned_visit(workdir, visit, settings)
        made["epoch_drizzles", visit] = make_visit_drizzles(workdir, visit, settings)
    made["target_alignment", ""] = make_target_alignment(workdir, visits, settings)
    made["drizzled_stacks", ""] = make_stacks(workdir, settings)
    made["epoch_differences", ""] = make_differences(workdir, settings)
    return made


def former_digests_of(workdir):
    return {
        path: json.loads(path.read_bytes())["digest"]
        for path in workdir.base.rglob("*.provenance.json")
    }


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_made_again(unpacked, target):
    workdir = unpacked(target)
    before = former_digests_of(workdir)
    assert len(before) >= 9
    made = everything(workdir)
    assert {key: each.why for key, each in made.items() if each.ran} == {}
    # Dagster's data versions, the headers' cards and the tables' digests stay what they were.
    assert former_digests_of(workdir) == before
    assert not any(is_former(json.loads(path.read_bytes())) for path in before)


def test_a_second_time_too(unpacked):
    workdir = unpacked("demo-sn")
    everything(workdir)
    assert not any(each.ran for each in everything(workdir).values())


def test_a_new_setting_in_each_section_makes_nothing_again(unpacked, monkeypatch):
    own = Section.as_recipe
    monkeypatch.setattr(Section, "as_recipe", lambda section: {**own(section), "one_more": 5})
    assert "one_more" in load_settings(unpacked("own")).gate.as_recipe()
    for target in ("demo-sn", "own"):
        made = everything(unpacked(target))
        assert {key: each.why for key, each in made.items() if each.ran} == {}


def planned(workdir, settings=None):
    """The drizzled images of a target and its visits, each with why it would be made."""
    settings = settings or load_settings(workdir)
    table = read_table(workdir.target_exposures)
    visits = sorted({str(visit) for visit in table["visit"]})
    exposures = aligned_exposures(workdir, table, visits)
    products = stacks_of_target(workdir, exposures, settings)
    return {each.path: why_make(each.recipe, each.path, workdir) for each in products}


def test_a_setting_that_changed_meanwhile_is_told_with_its_value_before(unpacked):
    workdir = unpacked("demo-sn")
    settings = load_settings(workdir)
    drizzle = settings.drizzle.model_copy(update={"pixfrac": 1.0})
    reasons = planned(workdir, settings.model_copy(update={"drizzle": drizzle}))
    expected = ("setting drizzle.pixfrac 0.8 → 1.0",)
    assert len(reasons) == 7
    assert set(reasons.values()) == {expected}


def test_a_detector_figure_that_changed_meanwhile_concerns_its_detector(unpacked, monkeypatch):
    workdir = unpacked("demo-sn")
    row = replace(DETECTORS["wfc3_ir"], read_noise_e=15.0)
    monkeypatch.setitem(DETECTORS, "wfc3_ir", row)
    reasons = {path.name: why for path, why in planned(workdir).items()}
    infrared = ("detector wfc3_ir: read_noise_e 14.6 → 15.0",)
    assert {name for name, why in reasons.items() if why == infrared} == {
        "wfc3_ir.f110w.ut150817_0004.drc.fits",
        "wfc3_ir.f110w.all.drc.fits",
    }
    assert {why for name, why in reasons.items() if "uvis" in name} == {()}


def test_coarse_products_are_made_again_with_the_light_of_their_stars(unpacked, monkeypatch):
    workdir = unpacked("wfc")
    monkeypatch.setattr(plan, "_finer_scale", _finer_scale)
    assert load_settings(workdir).drizzle.scale_arcsec > 0.05
    assert set(planned(workdir).values()) == {("setting drizzle.model_scale_arcsec unset → 0.05",)}


@pytest.mark.parametrize("gain", [7.06, 14.1])
def test_what_holds_wfpc2s_gains_twice_is_made_again(unpacked, gain):
    """GAIN was the mean of the chips before the code was mended, and is the chip's own since."""
    workdir = unpacked("pc")
    for path in [*workdir.workspace.glob("*.drc.fits"), *workdir.drizzle.glob("*.drc.fits")]:
        altered(path, lambda header: header.set("GAIN", gain))
    assert set(planned(workdir).values()) == {("code of drizzled_image (3 → 4)",)}


@pytest.mark.parametrize("card", ["RDNOISE", "DARKCUR", "SKYMEAN", "D001DEXP", "D001ISCL"])
def test_what_lacks_a_card_that_differences_need_is_made_again(unpacked, card):
    workdir = unpacked("demo-sn")
    old = next(workdir.drizzle.glob("wfc3_ir*.all.drc.fits"))
    altered(old, lambda header: header.remove(card))
    reasons = planned(workdir)
    assert reasons.pop(old) == ("code of drizzled_image (3 → 4)",)
    assert set(reasons.values()) == {()}


@pytest.mark.parametrize(("expected", "made_again"), [(700.0, False), (800.0, True)])
def test_an_alignment_that_chance_was_reckoned_wrongly_for_is_made_again(
    unpacked, expected, made_again
):
    workdir = unpacked("demo-sn")
    path = copies(workdir)[0]
    note = WorkDir.record(path)
    content = json.loads(note.read_bytes())
    content["facts"]["tries"][0]["n_held_out_chance"] = expected
    note.write_text(json.dumps(content))
    jobs = jobs_of(workdir)
    found = {name: why_make(recipe, name, workdir) for name, recipe in jobs.items()}
    assert found.pop(path) == (("code of aligned_exposure (3 → 4)",) if made_again else ())
    assert set(found.values()) == {()}


def altered(path, change):
    """Change a product's header, and let its record have it so."""
    with fits.open(path, mode="update") as hdus:
        change(hdus[0].header)
    note = WorkDir.record(path)
    content = json.loads(note.read_bytes())
    for name in content["outputs"]:
        if Path(name).name == path.name:
            content["outputs"][name] = stamp(path)
    note.write_text(json.dumps(content))


def test_a_product_that_is_cleaned_away_is_known_by_its_digest_all_the_same(unpacked):
    workdir = unpacked("demo-sn")
    before = {
        path: json.loads(WorkDir.record(path).read_bytes())["digest"] for path in copies(workdir)
    }
    clean(workdir, working_copies={"aligned_exposure": "copies", "drizzled_image": "drizzles"})
    assert copies(workdir) == []
    assert before
    recipes = jobs_of(workdir)
    assert {path: recipe.digest for path, recipe in recipes.items()} == before


def copies(workdir):
    return sorted(workdir.workspace.glob("*_fl?.fits"))


def jobs_of(workdir):
    """The recipes of all aligned exposures, by product."""
    settings = load_settings(workdir)
    frame = read_reference(workdir)
    table = read_table(workdir.target_exposures)
    names = [str(name) for name in table["file"]]
    corrections = plan_corrections(workdir, names, settings)
    digests = ledger_digests(workdir)
    jobs = [
        alignment._job(workdir, settings, row, frame, digests, corrections, [str(row["file"])])
        for row in table
    ]
    return {job.path: job.recipe for job in jobs}


def test_records_that_were_taken_over_are_not_taken_over_twice(unpacked):
    """A ledger that is lost is written again from the records."""
    workdir = unpacked("demo-sn")
    everything(workdir)
    ledger = json.loads(workdir.former_digests.read_text())
    assert len(ledger["digests"]) >= 20
    workdir.former_digests.unlink()
    assert not any(each.ran for each in everything(workdir).values())
    assert json.loads(workdir.former_digests.read_text()) == ledger


def test_a_work_directory_of_today_keeps_no_former_digest(tmp_path):
    workdir = WorkDir(tmp_path, "field").create()
    product = workdir.workspace / "x"

    def run():
        product.write_text("x")
        return Result((product,))

    made = make(Recipe("raw_exposures"), product, workdir, run)
    assert made.digest == digest_of(made.record.recipe)
    assert json.loads(workdir.former_digests.read_text())["digests"] == {}


@pytest.mark.parametrize(
    "content",
    [
        {"recipe": {}},
        {"recipe": {"stage": "exposure_table"}, "facts": {}},
        {"recipe": None, "facts": None},
        {
            "recipe": {
                "stage": "drizzled_image",
                "code_version": "3",
                "inputs": {},
                "settings": {},
                "tools": {},
            },
            "facts": {},
        },
    ],
)
def test_a_damaged_former_record_is_none(tmp_path, content):
    product = tmp_path / "wfpc2.f606w.all.drc.fits"
    with pytest.raises(ValueError, match="not a record of format 1"):
        translated(content, product)
    WorkDir.record(product).write_text(json.dumps(content))
    assert read_record(product) is None

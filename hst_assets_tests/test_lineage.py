import shutil

import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.lineage import lineage_of, verdict_of
from hst_assets.provenance import read_record
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.light_curve.measured_target import ROOTNAMES
from hst_assets_tests.shown_target import STACK, shown_target


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return shown_target(tmp_path_factory.mktemp("lineage"), n_stars=3)


@pytest.fixture
def target(made, tmp_path):
    shutil.copytree(made.root, tmp_path / "root")
    return WorkDir(tmp_path / "root", made.target)


def test_an_index_stands_on_raw_exposures_with_their_checksums(made):
    lineage = lineage_of(made.stack_products)
    assert lineage.root == "drizzle/stacks.ecsv"
    assert lineage.origins[lineage.root].inputs == {
        f"{STACK}.all.drc.fits": f"drizzle/{STACK}.all.drc.fits"
    }
    assert [each.name for each in lineage.raw_files] == [
        f"raw/{name}_flc.fits" for name in ROOTNAMES[:3]
    ]
    assert all(len(each.digest) == 64 for each in lineage.raw_files)
    assert not any(each.fault for each in lineage.origins.values())


def test_settings_and_verdicts_are_told(made):
    origin = lineage_of(made.filter_stack(STACK)).origins[f"drizzle/{STACK}.all.drc.fits"]
    assert origin.settings == {"drizzle": {"pixfrac": 0.9}}
    assert origin.verdict.startswith("complaints: <script>")
    assert origin.code == {"drizzled_image": origin.code["drizzled_image"]}


@pytest.mark.parametrize("name", ["preview", "record"])
def test_what_belongs_to_a_product_leads_to_it(made, name):
    stack = made.filter_stack(STACK)
    assert lineage_of(getattr(WorkDir, name)(stack)).root == made.relative(stack)


def test_a_raw_exposure_is_its_own_end(made):
    lineage = lineage_of(made.raw / f"{ROOTNAMES[0]}_flc.fits")
    assert [each.kind for each in lineage.origins.values()] == ["raw file"]


def test_an_input_that_nobody_knows_is_said_to_be_unknown(made):
    lineage = lineage_of(made.target_alignment)
    (unknown,) = [each for each in lineage.origins.values() if each.kind == "unknown"]
    assert (unknown.name, unknown.digest) == ("iaaa01", "0" * 64)
    assert "has this digest" in unknown.fault


def test_a_file_that_changed_is_a_fault_wherever_it_stands(target):
    raw = target.raw / f"{ROOTNAMES[0]}_flc.fits"
    raw.write_bytes(raw.read_bytes() + b"more")
    target.filter_stack(STACK).unlink()
    faults = {
        each.name: each.fault
        for each in lineage_of(target.stack_products).origins.values()
        if each.fault
    }
    assert set(faults) == {
        "drizzle/stacks.ecsv",
        f"drizzle/{STACK}.all.drc.fits",
        f"raw/{raw.name}",
    }
    assert faults["drizzle/stacks.ecsv"] == f"file gone: drizzle/{STACK}.all.drc.fits"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("target.toml", "this is no product: no record names it"),
        ("workspace/none.fits", "there is no such file, and no record names it"),
        ("../elsewhere/x.fits", "in no work directory of a target"),
    ],
)
def test_what_is_no_product_is_said_to_be_none_with_a_next_step(made, name, told):
    with pytest.raises(BadConfiguration, match=told) as caught:
        lineage_of(made.base / name)
    assert caught.value.next_step


def test_the_verdict_of_a_fit_has_its_numbers(made):
    record = read_record(made.stack_products)
    facts = {
        "status": "COMPROMISED",
        "reason": "few stars",
        "numbers": {"n_matches": 12, "rms_x": 0.21, "rms_y": 0.32},
        "left_out": {"iaaa01a1q": "trailed"},
    }
    assert verdict_of(record.model_copy(update={"facts": facts})) == (
        "COMPROMISED: few stars; 12 stars, RMS 0.210, 0.320 px; left out: iaaa01a1q: trailed"
    )

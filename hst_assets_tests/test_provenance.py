import os
from dataclasses import dataclass, fields, replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.detectors import DETECTORS, Detector
from hst_assets.failures import MissingProduct
from hst_assets.provenance import (
    FileStamp,
    Recipe,
    Result,
    digest_of,
    make,
    read_record,
    reasons_of_parts,
    sha256_of_file,
    without_defaults,
)
from hst_assets.settings import AlignmentSettings, GateSettings
from hst_assets.workdir import WorkDir

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path, "field").create()


@pytest.fixture
def kitchen(workdir):
    """Make one product by a recipe; count how often it is really made."""

    class Kitchen:
        product = workdir.workspace / "product.txt"
        runs = 0

        def write(self, content):
            self.product.write_text(content)
            return Result((self.product,))

        def cook(self, recipe=None, *, content="done", redo=False):
            def run():
                self.runs += 1
                self.product.write_text(content)
                return Result((self.product,), {"runs": self.runs})

            return make(recipe or self.recipe(), self.product, workdir, run, redo=redo)

        @staticmethod
        def recipe(**changes):
            options = {
                "stage": "test",
                "code_version": "1",
                "inputs": {"a": "0" * 64},
                "settings": {"x": 1.5},
                "tools": ("numpy",),
                **changes,
            }
            return Recipe(**options)

    return Kitchen()


# -------------------------------------------------------------------------------- digests


def test_the_checksum_is_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert sha256_of_file(tmp_path / "x") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=6), st.randoms())
def test_the_digest_does_not_mind_the_order_of_keys(value, random):
    items = list(value.items())
    random.shuffle(items)
    assert digest_of(dict(items)) == digest_of(value)


@given(JSON, JSON)
def test_different_values_have_different_digests(one, other):
    # 1 == 1.0 == True in Python, but not in JSON: compare what JSON sees.
    assert (repr(one) == repr(other)) <= (digest_of(one) == digest_of(other))
    if digest_of(one) == digest_of(other):
        assert one == other


def test_nan_has_no_digest():
    with pytest.raises(ValueError, match="JSON"):
        digest_of({"x": float("nan")})


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": "other"},
        {"code_version": "2"},
        {"inputs": {"a": "1" * 64}},
        {"inputs": {"b": "0" * 64}},
        {"inputs": {}},
        {"settings": {"x": 2.5}},
        {"tools": ()},
        {"tools": ("astropy",)},
    ],
)
def test_everything_in_a_recipe_matters(kitchen, changes):
    assert kitchen.recipe(**changes).digest != kitchen.recipe().digest


def test_an_absent_tool_is_recorded_as_such(kitchen):
    assert kitchen.recipe(tools=("no-such-tool",)).as_json()["tools"] == {"no-such-tool": "absent"}


# -------------------------------------------------------- what is not in a recipe's digest


def with_section(section, **changes):
    """A recipe with a section of the settings, beside its defaults."""
    defaults = type(section)().as_recipe()
    return Recipe(
        "test", "1", settings={"s": section.as_recipe()}, defaults={"s": defaults}, **changes
    )


@pytest.mark.parametrize("section", [GateSettings, AlignmentSettings])
def test_a_new_setting_with_a_default_is_no_other_recipe(section):
    """As it would be in a later version: the same section with one key more."""

    class Later(section):
        one_more: int = 5

    assert with_section(Later()).digest == with_section(section()).digest
    assert with_section(Later(one_more=6)).digest != with_section(section()).digest


def test_a_new_section_with_its_defaults_is_no_other_recipe():
    more = {"settings": {"gate": {"x": 1}}, "defaults": {"gate": {"x": 1}}}
    assert Recipe("test", "1", **more).digest == Recipe("test", "1").digest


def test_a_default_that_is_spelled_out_is_no_other_recipe():
    assert with_section(GateSettings(max_rms_pix=0.5)).digest == with_section(GateSettings()).digest
    assert with_section(GateSettings(max_rms_pix=0.4)).digest != with_section(GateSettings()).digest


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), ("", None)])
def test_values_that_only_python_takes_for_equal_are_not(one, other):
    assert without_defaults({"x": one}, {"x": other}) == {"x": one}


def test_a_value_without_a_default_stays():
    assert without_defaults({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}) == {"a": {"c": 2}}


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=6))
def test_defaults_leave_nothing_of_themselves(value):
    assert without_defaults(value, value) == {}


@pytest.mark.parametrize("stage", ["exposure_table", "aligned_exposure", "drizzled_image"])
def test_a_detectors_figure_concerns_its_own_products_only(monkeypatch, stage):
    def digest(key):
        return Recipe(stage, detectors=(DETECTORS[key],)).digest

    before = {key: digest(key) for key in DETECTORS}
    monkeypatch.setitem(DETECTORS, "wfpc2", replace(DETECTORS["wfpc2"], pixel_scale_arcsec=0.1))
    after = {key: digest(key) for key in DETECTORS}
    assert {key for key in DETECTORS if after[key] != before[key]} == {"wfpc2"}


def test_a_figure_that_a_stage_does_not_read_is_not_in_its_recipe():
    recipe = Recipe("exposure_table", detectors=(DETECTORS["wfpc2"],)).as_json()
    assert recipe["detectors"] == {
        "wfpc2": {
            "chip_patterns": list(DETECTORS["wfpc2"].chip_patterns),
            "full_shape": [800, 800],
            "n_chips": 4,
            "pixel_scale_arcsec": 0.0996,
            "rate_units": False,
            "science_units": "COUNTS",
        }
    }


def test_a_new_figure_with_a_neutral_default_is_left_out():
    @dataclass(frozen=True)
    class Later(Detector):
        dead_columns: int = 0

    old = {field.name: getattr(DETECTORS["wfpc2"], field.name) for field in fields(Detector)}
    assert Later(**old).figures(["gain_e_per_dn", "dead_columns"]) == {"gain_e_per_dn": 7.0}
    assert Later(**old, dead_columns=2).figures(["dead_columns"]) == {"dead_columns": 2}


# --------------------------------------------------------------------------- why it is made


def test_the_first_time_has_its_reason(kitchen):
    assert kitchen.cook().why == "not made before"


def test_what_stands_has_none(kitchen):
    kitchen.cook()
    assert kitchen.cook().why == ""


def test_the_reasons_are_on_record(kitchen):
    kitchen.cook()
    kitchen.cook(kitchen.recipe(settings={"x": 2.0}))
    assert read_record(kitchen.product).reasons == ("setting x 1.5 → 2.0",)


def test_redo_is_a_reason_beside_others(kitchen):
    kitchen.cook()
    assert kitchen.cook(redo=True).why == "redo asked for"
    changed = kitchen.recipe(inputs={"a": "1" * 64})
    assert kitchen.cook(changed, redo=True).why == "input a changed; redo asked for"


def test_a_file_that_is_gone_or_changed_is_named(kitchen):
    kitchen.cook()
    kitchen.product.unlink()
    assert kitchen.cook().why == "file gone: workspace/product.txt"
    kitchen.product.write_text("dude")
    os.utime(kitchen.product, ns=(1, 1))
    assert kitchen.cook().why == "file changed: workspace/product.txt"


def test_a_run_that_was_killed_is_told(kitchen):
    kitchen.cook()
    WorkDir.record(kitchen.product).unlink()
    assert kitchen.cook().why == "it has no record: it was not finished"


def test_a_damaged_record_is_told(kitchen):
    kitchen.cook()
    WorkDir.record(kitchen.product).write_text("{")
    name = WorkDir.record(kitchen.product).name
    assert kitchen.cook().why == f"record unreadable: workspace/{name}; it is made again"


def test_a_default_that_is_set_otherwise_is_told_with_both_values(kitchen):
    defaults = {"gate": {"max_rms_pix": 0.5}}
    kitchen.cook(kitchen.recipe(settings=defaults, defaults=defaults))
    changed = kitchen.recipe(settings={"gate": {"max_rms_pix": 0.4}}, defaults=defaults)
    assert kitchen.cook(changed).why == "setting gate.max_rms_pix 0.5 → 0.4"


def test_reasons_that_were_found_before_are_believed(kitchen, workdir):
    kitchen.cook()
    run = partial(kitchen.write, "again")
    made = make(kitchen.recipe(), kitchen.product, workdir, run, reasons=("beside another",))
    assert (made.ran, made.why) == (True, "beside another")
    assert not make(kitchen.recipe(), kitchen.product, workdir, run, reasons=()).ran


def test_an_index_is_made_for_what_made_its_parts(kitchen, workdir):
    kitchen.cook()

    def run():
        kitchen.write("index")
        return Result((kitchen.product,), parts={"a": ("setting y 1 → 2",)})

    made = make(kitchen.recipe(inputs={"a": "1" * 64}), kitchen.product, workdir, run)
    assert made.reasons == ("setting y 1 → 2",)


def test_an_index_keeps_reasons_of_its_own():
    own = ("setting limit 1 → 2", "input a changed", "file gone: x", "redo asked for")
    assert reasons_of_parts({"a": ("code of z (2 → 3)",)}, own) == (
        "code of z (2 → 3)",
        "setting limit 1 → 2",
    )
    assert reasons_of_parts({}, own) == own


# ----------------------------------------------------------------------------- skip or run


def test_the_first_time_runs(kitchen):
    made = kitchen.cook()
    assert (made.ran, kitchen.runs, made.facts) == (True, 1, {"runs": 1})


def test_the_second_time_skips_and_tells_the_same(kitchen):
    first, second = kitchen.cook(), kitchen.cook()
    assert (second.ran, kitchen.runs) == (False, 1)
    assert (second.digest, second.facts) == (first.digest, first.facts)


def test_redo_runs_whatever_the_record_says(kitchen):
    kitchen.cook()
    assert kitchen.cook(redo=True).ran


def test_another_recipe_runs(kitchen):
    kitchen.cook()
    assert kitchen.cook(kitchen.recipe(settings={"x": 2.0})).ran
    assert kitchen.cook().ran  # and back


def test_a_lost_product_is_made_again(kitchen):
    kitchen.cook()
    kitchen.product.unlink()
    assert kitchen.cook().ran


def test_a_changed_product_is_made_again(kitchen):
    kitchen.cook()
    kitchen.product.write_text("dude")
    os.utime(kitchen.product, ns=(1, 1))
    assert kitchen.cook().ran


def test_a_truncated_product_is_made_again(kitchen):
    kitchen.cook()
    kitchen.product.write_text("do")
    assert kitchen.cook().ran


def test_a_restored_product_with_another_time_is_believed_by_its_bytes(kitchen):
    kitchen.cook()
    os.utime(kitchen.product, ns=(1, 1))
    assert not kitchen.cook().ran


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff\xfe\x00", b'{"digest": 3}', b"null"]
)
def test_a_damaged_record_means_making_it_again(kitchen, content):
    kitchen.cook()
    WorkDir.record(kitchen.product).write_bytes(content)
    assert read_record(kitchen.product) is None
    assert kitchen.cook().ran


def test_a_failed_run_leaves_no_record(kitchen, workdir):
    kitchen.cook()

    def run():
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        make(kitchen.recipe(), kitchen.product, workdir, run, redo=True)
    assert read_record(kitchen.product) is None
    assert kitchen.cook().ran


def test_a_product_that_was_promised_and_not_left_is_an_error(kitchen, workdir):
    def run():
        return Result((kitchen.product,))

    with pytest.raises(MissingProduct, match=r"did not leave it"):
        make(kitchen.recipe(), kitchen.product, workdir, run)
    assert read_record(kitchen.product) is None


def test_facts_that_are_not_json_leave_no_record(kitchen, workdir):
    def run():
        kitchen.product.write_text("x")
        return Result((kitchen.product,), {"rms": float("nan")})

    with pytest.raises(ValueError, match="JSON"):
        make(kitchen.recipe(), kitchen.product, workdir, run)
    assert read_record(kitchen.product) is None


def test_a_record_survives_the_move_of_the_work_directory(kitchen, workdir, tmp_path):
    kitchen.cook()
    moved = WorkDir(tmp_path / "elsewhere", "field")
    moved.root.mkdir()
    workdir.base.rename(moved.base)
    record = read_record(moved.workspace / "product.txt")
    assert record.whole(moved)
    assert record.paths(moved) == [moved.workspace / "product.txt"]


def test_a_stamp_believes_size_and_time(tmp_path):
    path = tmp_path / "x"
    path.write_text("one")
    stamp = FileStamp.of(path)
    path.write_text("two")
    os.utime(path, ns=(stamp.mtime_ns, stamp.mtime_ns))
    assert stamp.matches(path)  # the price of not reading every byte, known and accepted
    assert not stamp.matches(tmp_path / "gone")

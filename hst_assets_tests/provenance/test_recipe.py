import itertools
import json
import math
from dataclasses import dataclass, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.detectors import DETECTORS, Detector
from hst_assets.provenance import Recipe, digest_of, sha256_of_file, without_defaults
from hst_assets.settings import AlignmentSettings, GateSettings

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


def test_values_are_the_same_if_json_has_the_same_text_for_them():
    values = [None, False, True, 0, 1, -1, 0.0, -0.0, 1.0, 1e300, math.nan, math.inf, -math.inf]
    values += ["", "0", "1", "null", [], [0], [0.0], [-0.0], float("nan"), 2**60, 2**60 + 1]
    for one, other in itertools.product(values, repeat=2):
        kept = without_defaults({"x": one}, {"x": other})
        assert bool(kept) is (json.dumps(one) != json.dumps(other)), (one, other)


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

"""Why a product is made, in words; reasons of many products in few."""

import pytest

from hst_assets.reasons import FIRST, REDO, first_of, flat, reasons_to_remake, shared_reasons

RECIPE = {
    "stage": "drizzled_image",
    "code": {"drizzled_image": "3"},
    "inputs": {"isim01a0q": "1" * 64, "raw:isim01a1q_flc.fits": "2" * 64},
    "settings": {"drizzle": {"pixfrac": 0.9}},
    "detectors": {"wfpc2": {"gain_e_per_dn": 7.0}},
    "tools": {"drizzlepac": "3.10.0"},
}


def told(in_force_before=None, in_force_now=None, **changes):
    now = {**RECIPE, **changes}
    return reasons_to_remake(
        RECIPE,
        now,
        in_force_before=in_force_before or RECIPE["settings"],
        in_force_now=in_force_now or now["settings"],
    )


def test_the_same_recipe_has_no_reason():
    assert told() == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"code": {"drizzled_image": "4"}}, "code of drizzled_image (3 → 4)"),
        ({"tools": {"drizzlepac": "3.11.0"}}, "tool drizzlepac 3.10.0 → 3.11.0"),
        (
            {"detectors": {"wfpc2": {"gain_e_per_dn": 7.1}}},
            "detector wfpc2: gain_e_per_dn 7.0 → 7.1",
        ),
        ({"settings": {"drizzle": {"pixfrac": 1.0}}}, "setting drizzle.pixfrac 0.9 → 1.0"),
        (
            {"inputs": {**RECIPE["inputs"], "isim01a0q": "3" * 64}},
            "input isim01a0q changed",
        ),
        ({"inputs": {**RECIPE["inputs"], "x": "3" * 64}}, "new input x"),
        ({"inputs": {"isim01a0q": "1" * 64}}, "input isim01a1q_flc.fits left out"),
        (
            {"settings": {**RECIPE["settings"], "epochs": {"a.drc.fits": 2}}},
            "epoch of a.drc.fits unset → 2",
        ),
        (
            {"settings": {**RECIPE["settings"], "single_epoch": ["a"]}},
            'bands with a single epoch unset → ["a"]',
        ),
        ({"settings": {**RECIPE["settings"], "files": {"x": "1"}}}, "files of x changed"),
        ({"settings": {**RECIPE["settings"], "form": "1"}}, "layout of the page changed"),
        (
            {
                "settings": {**RECIPE["settings"], "files": {"isim01a0q": "1"}},
                "inputs": {**RECIPE["inputs"], "isim01a0q": "3" * 64},
            },
            "input isim01a0q changed",
        ),
        ({"stage": "other"}, "made by another stage before: drizzled_image"),
    ],
)
def test_what_changed_is_named(changes, reason):
    assert told(**changes) == (reason,)


def test_a_value_that_is_the_default_is_named_although_no_recipe_has_it():
    now = {"drizzle": {"pixfrac": 0.8, "kernel": "square"}}
    assert told(settings={}, in_force_now=now) == ("setting drizzle.pixfrac 0.9 → 0.8",)


def test_a_long_value_is_not_spelled_out():
    (reason,) = told(settings={"drizzle": {"pixfrac": list(range(100))}})
    assert reason == "setting drizzle.pixfrac changed"


def test_many_inputs_are_counted():
    inputs = {**RECIPE["inputs"], **{f"x{number}": "0" for number in range(7)}}
    assert told(inputs=inputs)[-1] == "4 more inputs changed"


def test_flat_has_dotted_keys():
    assert flat({"a": {"b": {"c": 1}, "d": 2}, "e": {}}) == {"a.b.c": 1, "a.d": 2}


def test_reasons_of_all_products_are_told_once():
    assert shared_reasons({"a": ("x", "y"), "b": ("x", "y")}) == ("x", "y")


def test_reasons_of_some_products_say_of_which():
    parts = {"a": (FIRST,), "b": (REDO,), "c": (REDO,)}
    assert shared_reasons(parts) == (f"a: {FIRST}", f"2 of 3: {REDO}")


def test_very_many_different_reasons_are_counted():
    parts = {str(number): (f"file gone: x{number}",) for number in range(20)}
    assert shared_reasons(parts)[-1] == "17 more reasons"


def test_many_changed_inputs_of_many_products_are_one_reason():
    parts = {str(number): ("setting y 1 → 2", f"input x{number} changed") for number in range(4)}
    assert shared_reasons(parts) == ("setting y 1 → 2", "inputs changed")
    new = {str(number): (f"new input x{number}",) for number in range(4)}
    assert shared_reasons(new) == ("inputs changed",)
    assert shared_reasons({"a": ("input reference changed",)}) == ("input reference changed",)


@pytest.mark.parametrize(
    ("names", "text"), [("", ""), ("a", "a"), ("ab", "a, b"), ("abc", "a, b and 1 more")]
)
def test_many_names_are_shortened(names, text):
    assert first_of(list(names), 2) == text

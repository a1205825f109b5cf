import os
from functools import partial

import pytest

from hst_assets.failures import MissingProduct
from hst_assets.provenance import Result, make, read_record, reasons_of_parts
from hst_assets.workdir import WorkDir

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
    assert kitchen.cook(redo=True).why == "redo requested"
    changed = kitchen.recipe(inputs={"a": "1" * 64})
    assert kitchen.cook(changed, redo=True).why == "input a changed; redo requested"


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
    own = ("setting limit 1 → 2", "input a changed", "file gone: x", "redo requested")
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

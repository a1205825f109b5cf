"""Indices of batches: when they are written, what they list, what is tried again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hst_assets.failures import (
    Crashed,
    HstAssetsError,
    MissingProduct,
    NoOverlap,
    OutOfMemory,
    ToolFailed,
    TransientFailure,
    UnusableInput,
)
from hst_assets.products.batch import (
    Batch,
)
from hst_assets.products.indexed_batch import make_indexed
from hst_assets.provenance import Made, Recipe, Result, make, read_record
from hst_assets.workdir import WorkDir
from hst_assets_tests.products.small_texts import (
    Text,
    batch_of,
    names,
    texts,
)


@pytest.mark.parametrize(
    "said", ["x: combine left no reply", "x: exited with status 1 and no reply"]
)
def test_what_was_once_taken_for_the_tools_failure_is_tried_again(workdir, writer, said) -> None:
    batch = batch_of(texts(workdir, a="one", b="two"), writer)
    writer.failing["a"] = ToolFailed(said)
    made = indexed(workdir, batch)
    record = made.record.model_copy(update={"facts": {**made.facts, "failed": [f"a: {said}"]}})
    WorkDir.record(workdir.base / "index").write_text(record.model_dump_json())
    writer.failing.clear()
    assert indexed(workdir, batch).ran
    assert names(workdir) == {"a", "b"}


def indexed(workdir: WorkDir, batch: Batch[Text], *, redo: bool = False) -> Made:
    index = workdir.base / "index"
    digests = {text.path.name: text.recipe.digest for text in batch.planned}

    def write(outcomes: Sequence[Made | HstAssetsError]) -> Result:
        lines = ["OK" if isinstance(outcome, Made) else outcome.brief for outcome in outcomes]
        index.write_text("\n".join(lines))
        return Result((index,), {"n": len(lines)})

    return make_indexed(batch, Recipe("index", "1", digests), index, workdir, write, redo=redo)


def test_an_index_lists_what_was_made_and_what_was_not(workdir, writer) -> None:
    writer.failing["b"] = ToolFailed("it hung")
    made = indexed(workdir, batch_of(texts(workdir, a="one", b="two"), writer))
    assert (workdir.base / "index").read_text() == "OK\nit hung"
    assert made.facts == {"n": 2, "failures": {"drizzle/b": "ToolFailed"}}


def test_an_index_of_what_stands_is_not_written_again(workdir, writer) -> None:
    batch = batch_of(texts(workdir, a="one"), writer)
    assert indexed(workdir, batch).ran
    assert not indexed(workdir, batch).ran
    assert writer.asked == ["a"]


def test_a_product_that_is_gone_is_made_again_with_its_index(workdir, writer) -> None:
    planned = texts(workdir, a="one", b="two")
    indexed(workdir, batch_of(planned, writer))
    planned[0].path.unlink()
    assert indexed(workdir, batch_of(planned, writer)).ran
    assert writer.asked == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (OutOfMemory("killed"), True),
        (TransientFailure("no answer"), True),
        (MissingProduct("cleaned away"), True),
        (ToolFailed("it hung"), False),
        (UnusableInput("no stars"), False),
        (NoOverlap("apart"), False),
    ],
)
def test_only_what_may_work_by_then_is_tried_again(workdir, writer, error, again) -> None:
    batch = batch_of(texts(workdir, a="one", b="two"), writer)
    writer.failing["b"] = error
    indexed(workdir, batch)
    writer.failing.clear()
    assert indexed(workdir, batch).ran is again
    assert names(workdir) == ({"a", "b"} if again else {"a"})


def test_a_second_crash_on_the_same_recipe_is_final(workdir, writer) -> None:
    batch = batch_of(texts(workdir, a="one"), writer)
    writer.failing["a"] = Crashed("was ended by SIGSEGV")
    kinds = [next(iter(indexed(workdir, batch).facts["failures"].values())) for _ in range(2)]
    assert kinds == ["Crashed", "ToolFailed"]
    assert not indexed(workdir, batch).ran


def test_a_crash_after_a_verdict_of_the_tool_is_no_first_one(workdir, writer) -> None:
    """Else the two would take turns whenever the index is written anew."""
    batch = batch_of(texts(workdir, a="one"), writer)
    writer.failing["a"] = Crashed("was ended by SIGSEGV")
    made = [indexed(workdir, batch, redo=True) for _ in range(3)]
    kinds = [next(iter(each.facts["failures"].values())) for each in made]
    assert kinds == ["Crashed", "ToolFailed", "ToolFailed"]


def test_a_crash_on_another_recipe_is_the_first(workdir, writer) -> None:
    writer.failing["a"] = Crashed("was ended by SIGSEGV")
    for text in ("one", "two"):
        made = indexed(workdir, batch_of(texts(workdir, a=text), writer))
        assert list(made.facts["failures"].values()) == ["Crashed"]


def test_what_was_kept_through_a_failure_is_listed_again_when_it_is_over(workdir, writer) -> None:
    batch = batch_of(texts(workdir, a="one"), writer, keeps=(MissingProduct,))
    indexed(workdir, batch)
    writer.failing["a"] = MissingProduct("the exposures are gone")
    assert indexed(workdir, batch, redo=True).facts["failures"]
    assert indexed(workdir, batch).facts["failures"] == {}


def test_an_index_that_cannot_be_written_leaves_the_products(workdir, writer) -> None:
    batch = batch_of(texts(workdir, a="one"), writer)

    def refuse(_: object) -> Result:
        raise ToolFailed("not all could be tried")

    index = workdir.base / "index"
    with pytest.raises(ToolFailed, match="not all"):
        make_indexed(batch, Recipe("index", "1", {}), index, workdir, refuse)
    assert read_record(index) is None
    indexed(workdir, batch)
    assert writer.asked == ["a"]


def test_what_is_planned_no_more_is_deleted_and_foreign_files_stay(workdir, writer) -> None:
    planned = texts(workdir, a="one", b="two")
    indexed(workdir, batch_of(planned, writer))
    foreign = workdir.drizzle / "mine"
    foreign.write_text("not yours")
    other = workdir.drizzle / "other"
    other.write_text("of another stage")
    make(Recipe("another", "1", {}), other, workdir, lambda: Result((other,)), redo=True)
    candidates = tuple(workdir.drizzle.iterdir())
    indexed(workdir, batch_of(planned[:1], writer, candidates=candidates))
    assert names(workdir) == {"a", "mine", "other"}
    assert not WorkDir.preview(planned[1].path).exists()
    assert not WorkDir.record(planned[1].path).exists()

"""Batches of small text files: what is run, what stands afterwards, what is tried again."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from hst_assets.failures import (
    DiskFull,
    HstAssetsError,
    MissingProduct,
    NoReply,
    OutOfMemory,
    ToolFailed,
    TransientFailure,
    UnusableInput,
)
from hst_assets.products.batch import (
    Batch,
    Links,
    Step,
    make_missing,
    one_by_one,
    remove_stale,
)
from hst_assets.provenance import Made, Recipe, Result, make, read_record
from hst_assets.workdir import WorkDir
from hst_assets_tests.products.small_texts import (
    STAGE,
    Text,
    batch_of,
    files_of,
    names,
    texts,
)

# --------------------------------------------------------------------------- what is missing


def test_only_what_does_not_stand_is_made(workdir, writer) -> None:
    make_missing(batch_of(texts(workdir, a="one"), writer), workdir)
    outcomes = make_missing(batch_of(texts(workdir, a="one", b="two"), writer), workdir)
    assert writer.asked == ["a", "b"]
    assert [outcome.ran for outcome in outcomes] == [False, True]
    assert [outcome.facts["length"] for outcome in outcomes] == [3, 3]


def test_where_all_stands_nothing_is_run(workdir, writer) -> None:
    batch = batch_of(texts(workdir, a="one"), writer)
    make_missing(batch, workdir)
    make_missing(batch, workdir)
    make_missing(batch_of([], writer), workdir)
    assert writer.asked == ["a"]


@pytest.mark.parametrize("damage", ["another recipe", "removed", "changed", "picture removed"])
def test_what_is_not_as_it_should_be_is_made_again(workdir, writer, damage) -> None:
    planned = texts(workdir, a="one", b="two")
    make_missing(batch_of(planned, writer), workdir)
    path = planned[1].path
    if damage == "another recipe":
        planned = texts(workdir, a="one", b="three")
    elif damage == "changed":
        path.write_text("mine")
    else:
        (path if damage == "removed" else WorkDir.preview(path)).unlink()
    make_missing(batch_of(planned, writer), workdir)
    assert writer.asked == ["a", "b", "b"]
    assert path.read_text() == planned[1].content


def test_redo_makes_what_stands(workdir, writer) -> None:
    batch = batch_of(texts(workdir, a="one"), writer)
    make_missing(batch, workdir)
    make_missing(batch, workdir, redo=True)
    assert writer.asked == ["a", "a"]


def test_what_belongs_together_is_made_together(workdir, writer) -> None:
    planned = [
        Text(workdir.drizzle / name, name, visit)
        for name, visit in (("a", "v1"), ("b", "v1"), ("c", "v2"))
    ]
    batch = batch_of(planned, writer, together=lambda text: text.visit)
    make_missing(batch, workdir)
    planned[1].path.unlink()
    make_missing(batch, workdir)
    assert writer.asked == ["a", "b", "c", "a", "b"]


def test_a_run_that_is_killed_goes_on_from_there(workdir, writer) -> None:
    """Each product is recorded before the next one is asked for."""
    planned = texts(workdir, a="one", b="two", c="three")
    writer.failing["b"] = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        make_missing(batch_of(planned, writer), workdir)
    writer.failing.clear()
    make_missing(batch_of(planned, writer), workdir)
    assert writer.asked == ["a", "b", "b", "c"]


def test_a_scratch_folder_is_there_until_the_last_step(workdir) -> None:
    def run(due: Sequence[Text]) -> Iterator[tuple[Text, Step | HstAssetsError]]:
        with workdir.scratch("one_call") as scratch:
            for text in due:  # one call of a tool makes all of them
                (scratch / text.path.name).write_text(text.content)
            for text in due:
                yield text, partial(publish, scratch / text.path.name, text.path)
        assert not scratch.exists()

    def publish(source: Path, path: Path) -> Result:
        source.replace(path)
        return Result((path,))

    outcomes = make_missing(Batch(STAGE, texts(workdir, a="one", b="two"), run), workdir)
    assert all(isinstance(outcome, Made) for outcome in outcomes)
    assert names(workdir) == {"a", "b"}


def test_a_product_that_was_not_among_those_made_has_failed(workdir, writer) -> None:
    planned = texts(workdir, a="one", b="two")

    def run(due: Sequence[Text]) -> Iterator[tuple[Text, Step | HstAssetsError]]:
        yield from writer(due[:1])

    made, lost = make_missing(Batch(STAGE, planned, run), workdir)
    assert isinstance(made, Made)
    assert isinstance(lost, NoReply)
    assert lost.brief.startswith("b: ")


def test_products_that_a_function_makes_are_made_one_after_the_other(workdir) -> None:
    seen: list[set[str]] = []

    def step(text: Text) -> Result:
        seen.append(names(workdir))
        text.path.write_text(text.content)
        return Result((text.path,))

    planned = texts(workdir, a="one", b="two")
    make_missing(Batch(STAGE, planned, one_by_one(step)), workdir)
    assert seen == [set(), {"a"}]


# -------------------------------------------------------------------------------------- links


def test_equal_recipes_are_made_once_and_linked(workdir, writer) -> None:
    planned = texts(workdir, a="same", b="same")
    one, other = make_missing(batch_of(planned, writer, links=Links(files_of)), workdir)
    assert writer.asked == ["a"]
    assert planned[0].path.samefile(planned[1].path)
    assert other.facts == {**one.facts, "same_as": workdir.relative(planned[0].path)}
    assert set(other.record.paths(workdir)) == set(files_of(planned[1].path))


def test_without_links_equal_recipes_are_made_one_by_one(workdir, writer) -> None:
    make_missing(batch_of(texts(workdir, a="same", b="same"), writer), workdir)
    assert writer.asked == ["a", "b"]


def test_what_stands_elsewhere_is_linked(workdir, writer) -> None:
    (there,) = [Text(workdir.workspace / "there", "same")]
    make_missing(batch_of([there], writer), workdir)
    (here,) = texts(workdir, here="same")
    links = Links(files_of, elsewhere=(there.path,))
    make_missing(batch_of([here], writer, links=links), workdir)
    assert writer.asked == ["there"]
    assert here.path.samefile(there.path)


def test_what_is_broken_elsewhere_is_not_linked(workdir, writer) -> None:
    there = Text(workdir.workspace / "there", "same")
    make_missing(batch_of([there], writer), workdir)
    there.path.write_text("broken")
    links = Links(files_of, elsewhere=(there.path,))
    make_missing(batch_of(texts(workdir, here="same"), writer, links=links), workdir)
    assert writer.asked == ["there", "here"]


def test_links_fail_as_the_one_that_was_made(workdir, writer) -> None:
    writer.failing["a"] = ToolFailed("it hung")
    batch = batch_of(texts(workdir, a="same", b="same"), writer, links=Links(files_of))
    outcomes = make_missing(batch, workdir)
    assert writer.asked == ["a"]
    assert [type(outcome) for outcome in outcomes] == [ToolFailed, ToolFailed]


def test_what_is_made_again_with_another_is_no_link_to_itself(workdir, writer) -> None:
    planned = [Text(workdir.drizzle / name, name, "visit") for name in ("a", "b")]
    batch = batch_of(planned, writer, links=Links(files_of), together=lambda text: text.visit)
    make_missing(batch, workdir)
    planned[1].path.unlink()
    outcomes = make_missing(batch, workdir)
    assert writer.asked == ["a", "b", "a", "b"]
    assert all(isinstance(outcome, Made) for outcome in outcomes)


def test_a_link_that_lost_its_record_is_linked_anew(workdir, writer) -> None:
    planned = texts(workdir, a="same", b="same")
    batch = batch_of(planned, writer, links=Links(files_of))
    make_missing(batch, workdir)
    WorkDir.record(planned[1].path).unlink()
    make_missing(batch, workdir)
    assert writer.asked == ["a"]
    assert planned[0].path.samefile(planned[1].path)
    assert not list(workdir.drizzle.glob(".part*"))


# ----------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("error", [ToolFailed("it hung"), OutOfMemory("killed")])
def test_one_that_fails_costs_itself_and_leaves_nothing_wrong(workdir, writer, error) -> None:
    make_missing(batch_of(texts(workdir, a="one", b="two"), writer), workdir)
    writer.failing["a"] = error
    planned = texts(workdir, a="new", b="two")
    outcomes = make_missing(batch_of(planned, writer), workdir)
    assert outcomes[0] is error
    assert isinstance(outcomes[1], Made)
    assert names(workdir) == {"b"}
    assert not WorkDir.preview(planned[0].path).exists()
    assert not WorkDir.record(planned[0].path).exists()


def with_files(workdir: WorkDir, content: str, **files: tuple[str, ...]) -> None:
    """Make products of which each has these files beside it, too."""

    def step(text: Text) -> Result:
        beside = [workdir.drizzle / name for name in files[text.path.name]]
        for path in (text.path, *beside):
            path.write_text(text.content)
        return Result((text.path, *beside))

    planned = texts(workdir, **dict.fromkeys(files, content))
    outcomes = make_missing(Batch(STAGE, planned, one_by_one(step)), workdir)
    assert all(isinstance(outcome, Made) for outcome in outcomes)


def test_files_that_a_product_has_no_longer_are_deleted(workdir) -> None:
    with_files(workdir, "old", a=("x", "y"), b=("z",))
    with_files(workdir, "new", a=("x",), b=("z",))
    assert names(workdir) == {"a", "b", "x", "z"}


def test_files_that_passed_to_another_product_stay(workdir) -> None:
    with_files(workdir, "old", a=("x", "y"), b=())
    with_files(workdir, "new", a=("x",), b=("y",))
    with_files(workdir, "newer", a=("x", "y"), b=())
    assert names(workdir) == {"a", "b", "x", "y"}


def test_files_that_others_have_written_since_stay(workdir) -> None:
    with_files(workdir, "old", a=("x",))
    (workdir.drizzle / "x").write_text("of another stage")
    with_files(workdir, "new", a=())
    assert names(workdir) == {"a", "x"}


@dataclass(frozen=True)
class Place:
    """A place in a list, whose file is named by what stands there."""

    path: Path
    content: str

    @property
    def recipe(self) -> Recipe:
        return Recipe(STAGE, "1", {"content": self.content})

    @property
    def file(self) -> Path:
        return self.path.with_name(self.content)


@pytest.mark.parametrize("failing", ["one", "two"])
def test_a_failure_spares_the_files_that_moved_to_another_place(workdir, failing) -> None:
    paths = [workdir.drizzle / f"place{number}" for number in range(2)]

    def run(due: Sequence[Place]) -> Iterator[tuple[Place, Step | HstAssetsError]]:
        for place in due:
            fails = place.content == failing and is_second
            yield place, ToolFailed("no") if fails else partial(write, place)

    def write(place: Place) -> Result:
        for path in (place.path, place.file):
            path.write_text(place.content)
        return Result((place.path, place.file))

    is_second = False
    make_missing(Batch(STAGE, list(map(Place, paths, ("one", "two"))), run), workdir)
    is_second = True
    planned = list(map(Place, paths, ("two", "one")))
    outcomes = make_missing(Batch(STAGE, planned, run), workdir)
    (made,) = [place for place in planned if place.content != failing]
    (failed,) = [place for place in planned if place.content == failing]
    assert [isinstance(each, Made) for each in outcomes] == [each is made for each in planned]
    record = read_record(made.path)
    assert record is not None
    assert record.whole(workdir)
    assert read_record(failed.path) is None


def test_what_stood_stays_where_a_failure_says_nothing_of_it(workdir, writer) -> None:
    (old,) = texts(workdir, a="old")
    make_missing(batch_of([old], writer), workdir)
    writer.failing["a"] = MissingProduct("the exposures are gone")
    make_missing(batch_of(texts(workdir, a="new"), writer, keeps=(MissingProduct,)), workdir)
    assert old.path.read_text() == "old"
    record = read_record(old.path)
    assert record is not None
    assert record.digest == old.recipe.digest
    assert record.whole(workdir)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UnusableInput("no stars"), UnusableInput),
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
        (OSError(errno.ETIMEDOUT, "Connection timed out"), TransientFailure),
        (MemoryError("Unable to allocate 9 GiB"), OutOfMemory),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.fits"), MissingProduct),
        (OSError("Empty or corrupt FITS file"), MissingProduct),
    ],
)
def test_a_step_that_fails_costs_its_product(workdir, writer, error, kind) -> None:
    writer.failing["a"] = error
    bad, good = make_missing(batch_of(texts(workdir, a="one", b="two"), writer), workdir)
    assert type(bad) is kind
    assert isinstance(good, Made)
    assert names(workdir) == {"b"}


# -------------------------------------------------------------------------------------- stale


def test_files_that_a_current_product_has_too_stay(workdir) -> None:
    shared = workdir.workspace / "stars"
    shared.write_text("stars")
    paths = [workdir.drizzle / "old", workdir.drizzle / "new"]
    for path in paths:
        path.write_text(path.name)
        outputs = Result((path, shared))
        make(Recipe(STAGE, path.name, {}), path, workdir, lambda outputs=outputs: outputs)
    remove_stale(workdir, paths, paths[1:], stage=STAGE)
    assert names(workdir) == {"new"}
    assert shared.is_file()

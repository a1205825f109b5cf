"""The table of assets: what follows from rows, and which rows are refused."""

import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.asset_row import AssetRow, RedoKind
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.levels import AssetTable
from hst_assets.settings import Settings

REDO = (RedoKind(name="work", help="Work again."),)


def row(name, per="target", job="job", **more):
    more.setdefault("make", "os.path:join")
    more.setdefault("path", "base")
    return AssetRow(name=name, per=per, job=job, group="g", description="It is.", **more)


def table(*rows):
    return AssetTable(rows, REDO)


def test_levels_come_upstream_first_whatever_the_order_of_the_rows():
    levels = table(
        row("c", job="third", after=("b",)),
        row("b", job="second", after=("a",)),
        row("a", job="first"),
    ).levels
    assert [(level.job, level.after, level.depth) for level in levels] == [
        ("first", (), 0),
        ("second", ("first",), 1),
        ("third", ("second",), 2),
    ]


def test_assets_of_a_level_are_in_an_order_in_which_they_can_be_made():
    (level,) = table(row("b", after=("a",)), row("c"), row("a")).levels
    assert level.assets == ("c", "a", "b")


def test_two_branches_have_one_depth():
    levels = table(
        row("a", job="root"),
        row("b", job="left", after=("a",)),
        row("c", job="right", after=("a",)),
    ).levels
    assert {level.job: level.depth for level in levels} == {"root": 0, "left": 1, "right": 1}


def test_what_is_followed_comes_before_and_is_not_needed():
    found = table(
        row("c", job="last", follows=("b",), after=("a",)),
        row("b", job="costly", after=("a",), wanted="photometry.make"),
        row("a", job="first"),
    )
    assert [(level.job, level.depth) for level in found.levels] == [
        ("first", 0),
        ("costly", 1),
        ("last", 2),
    ]
    assert found.downstream("b") == frozenset()
    settings = Settings()
    assert [found.is_wanted(level, settings) for level in found.levels] == [True, False, True]


def test_visits_that_are_followed_come_before_and_are_not_needed():
    found = table(
        row("p", job="last", after=("a",), follows_visits=("v",), wanted="publish.destination"),
        row("v", per="visit", job="visits", wanted="hap.make"),
        row("a", job="first"),
    )
    last = found.level_named("last")
    assert set(last.after) == {"first", "visits"}
    assert found.downstream("v") == frozenset()
    settings = Settings(publish={"destination": "s3://bucket"})
    assert found.is_wanted(last, settings)
    assert not found.is_wanted(found.level_named("visits"), settings)
    assert not found.is_wanted(last, Settings())


def test_downstream_is_what_is_made_from_it_however_indirectly():
    found = table(
        row("a", per="visit", job="v"),
        row("b", job="t", gathers="a"),
        row("c", job="t", after=("b",)),
        row("d", per="visit", job="v2", after=("a",)),
        row("e", job="u"),
    )
    assert found.downstream("a") == {"b", "c", "d"}
    assert found.downstream("c") == frozenset()


def test_the_last_of_a_level_are_those_no_other_is_made_from():
    found = table(row("a"), row("b", after=("a",)), row("c", after=("a",)))
    assert found.last_of(found.levels[0]) == ("b", "c")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row("a"), row("a")], "there are two of this name"),
        ([row("a", job="b"), row("b")], "an asset has the name of its job"),
        ([row("a", make="")], "it has no way to be made"),
        ([row("a"), row("b", per="visit")], "its level has other partitions"),
        ([row("a", after=("x",))], "made from an unknown asset"),
        (
            [row("a", per="visit", job="v"), row("b", after=("a",))],
            "'after' or 'follows' names an asset of other partitions",
        ),
        ([row("a", follows=("x",))], "made from an unknown asset"),
        (
            [row("a", per="visit", job="v"), row("b", follows=("a",))],
            "'after' or 'follows' names an asset of other partitions",
        ),
        ([row("a", per="visit", gathers="a")], "only a target gathers visits"),
        ([row("a", per="visit", follows_visits=("a",))], "only a target gathers visits"),
        ([row("a", follows_visits=("x",))], "made from an unknown asset"),
        (
            [row("a"), row("b", job="j", follows_visits=("a",))],
            "it gathers what is no file of a visit",
        ),
        ([row("a", scatters="a")], "only a visit has the version of its target"),
        (
            [row("a"), row("b", job="j", gathers="a")],
            "it gathers what is no file of a visit",
        ),
        (
            [row("a", per="visit", path=""), row("b", job="j", gathers="a")],
            "it gathers what is no file of a visit",
        ),
        (
            [row("a", per="visit"), row("b", per="visit", job="j", scatters="a")],
            "it scatters what is no file of a target",
        ),
        ([row("a", redo=("play",))], "redone by an unknown kind of work"),
        ([row("a", path="nowhere")], "its path is none of the work directory"),
        ([row("a", after=("b",)), row("b", after=("a",))], "assets are made from each other"),
        (
            [row("a", job="j", after=("b",)), row("b", job="k", after=("c",)), row("c", job="j")],
            "assets are made from each other: j → k → j|assets are made from each other: k → j → k",
        ),
    ],
)
def test_a_row_that_cannot_be_is_refused(rows, words):
    with pytest.raises(BadConfiguration, match=words):
        table(*rows)


@pytest.mark.parametrize("asset", [row.name for row in ASSETS])
def test_what_a_row_names_is_there(asset):
    """Imports that a definition puts off are not found missing in the middle of a run."""
    found = ASSETS[asset]
    if found.make:
        assert callable(found.maker())
    elif found.body:
        assert callable(found.hand_written())
    else:
        assert found.scatters


def test_printed_paths_hold_places_for_names():
    assert ASSETS["exposure_table"].printed_path == "workspace/<visit>_exposures.ecsv"
    assert ASSETS["drizzled_stacks"].printed_path == "drizzle/stacks.ecsv"
    assert ASSETS["visit_reference"].printed_path == ""

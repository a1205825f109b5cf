"""The cursor of the sensor on new data, by itself: nothing is lost, nothing is taken twice."""

import itertools
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.archive.holdings import Listing, Product
from hst_assets.orchestration.archive_cursor import (
    LOOK_BACK_DAYS,
    ArchiveCursor,
    TargetCursor,
    obtainable,
    run_key,
)

NOW = 60000.0


def product(visit, release_mjd, *, rights="PUBLIC", size=8640, number=0):
    rootname = f"{visit}a{string.ascii_lowercase[number]}q"
    return Product(
        visit=visit,
        rootname=rootname,
        suffix="flc",
        uri=f"mast:HST/product/{rootname}_flc.fits",
        size=size,
        data_rights=rights,
        release_mjd=release_mjd,
        detector_key="acs_wfc",
        filter="F606W",
        mjd_start=release_mjd - 1.0,
        exptime_s=400.0,
        proposal="12345",
        ra_deg=150.0,
        dec_deg=2.0,
    )


def listing(*products, asked_mjd=NOW):
    return Listing(question="?", asked_mjd=asked_mjd, products=tuple(sorted(products)))


def tick(cursor, answer, room=100):
    """What a tick takes; the cursor goes through text, as between ticks."""
    visits = obtainable(answer.products, None)
    taken = cursor.due(answer, visits)[:room]
    cursor.take(answer, taken)
    cursor.forget(answer, visits)
    text = ArchiveCursor(targets={"sn1": cursor}).model_dump_json()
    return [held.visit for held in taken], ArchiveCursor.parse(text).of("sn1")


@given(
    arrivals=st.lists(
        st.tuples(
            st.sampled_from([f"jaaa{n:02d}" for n in range(12)]),
            st.floats(0.0, LOOK_BACK_DAYS / 2),
            st.integers(1, 3),
        ),
        max_size=30,
    ),
    room=st.integers(1, 4),
)
def test_every_version_of_every_visit_is_taken_once(arrivals, room):
    """Whatever comes in whatever order, as long as it comes within the look-back."""
    cursor = TargetCursor()
    holdings = {}
    taken = []

    def run_ticks(until_idle):
        nonlocal cursor
        while True:
            answer = listing(*holdings.values())
            visits, cursor = tick(cursor, answer, room)
            taken.extend((visit, answer.visits()[visit].version) for visit in visits)
            if not until_idle or not visits:
                return

    for number, (visit, days, size) in enumerate(arrivals):
        holdings[visit] = product(visit, NOW - days, size=size * 2880)
        run_ticks(until_idle=number % 3 == 0)
    run_ticks(until_idle=True)
    final = {(held.visit, held.version) for held in obtainable(holdings.values(), None)}
    assert final <= set(taken)
    for visit in holdings:
        versions = [version for name, version in taken if name == visit]
        assert all(one != two for one, two in itertools.pairwise(versions))


@given(st.integers(1, 40), st.integers(1, 7))
def test_many_visits_of_many_years_are_each_taken_once(count, room):
    answer = listing(*(product(f"jaaa{n:02d}", NOW - 400.0 * n) for n in range(count)))
    cursor = TargetCursor()
    taken = []
    for _ in range(count // room + 2):
        visits, cursor = tick(cursor, answer, room)
        taken += visits
    assert taken == [f"jaaa{n:02d}" for n in reversed(range(count))]
    assert len(cursor.taken) == 1  # what is old is not remembered one by one


def test_a_late_arrival_does_not_move_the_cursor_back():
    first, late = product("jaaa01", NOW), product("jaaa02", NOW - LOOK_BACK_DAYS)
    _, cursor = tick(TargetCursor(), listing(first))
    taken, cursor = tick(cursor, listing(first, late))
    assert taken == ["jaaa02"]
    assert (cursor.release_mjd, cursor.visit) == (NOW, "jaaa01")


def test_what_comes_later_than_the_look_back_is_not_seen():
    _, cursor = tick(TargetCursor(), listing(product("jaaa01", NOW)))
    late = listing(product("jaaa01", NOW), product("jaaa02", NOW - LOOK_BACK_DAYS - 0.1))
    assert tick(cursor, late)[0] == []


def test_a_release_that_lies_ahead_counts_as_the_moment_of_asking():
    ahead = product("jaaa01", NOW + 300.0)  # listed as public, whatever the date says
    _, cursor = tick(TargetCursor(), listing(ahead))
    assert cursor.release_mjd == NOW
    later = listing(ahead, product("jaaa02", NOW + 0.5), asked_mjd=NOW + 1.0)
    assert tick(cursor, later)[0] == ["jaaa02"]


def test_only_public_files_are_obtainable_without_a_token():
    products = [
        product("jaaa01", NOW, rights="EXCLUSIVE_ACCESS"),
        product("jaaa01", NOW, number=1),
        product("jaaa02", NOW, rights="RESTRICTED"),
    ]
    assert [(held.visit, len(held.products)) for held in obtainable(products, None)] == [
        ("jaaa01", 1)
    ]


def test_run_keys_differ_with_the_products_of_one_release():
    (one,) = obtainable([product("jaaa01", NOW)], None)
    (two,) = obtainable([product("jaaa01", NOW), product("jaaa01", NOW, number=1)], None)
    assert run_key("sn1", one) != run_key("sn1", two)
    assert run_key("sn1", one).startswith("sn1/jaaa01@2023-02-25T00:00:00+")


def test_turns_begin_where_the_last_tick_ended():
    cursor = ArchiveCursor(next_target="sn2")
    assert cursor.in_turn({"sn3": 0, "sn1": 0, "sn2": 0}) == ["sn2", "sn3", "sn1"]
    assert ArchiveCursor(next_target="gone").in_turn(["a", "z"]) == ["z", "a"]


def test_a_cursor_that_is_not_written_any_more_promises_nothing():
    cursor = ArchiveCursor(targets={"sn1": TargetCursor(waiting=3)}, written_at=1000.0)
    assert cursor.awaited(now=1060.0) == {"sn1"}
    assert cursor.awaited(now=9000.0) == set()


def test_the_cursor_of_another_version_of_the_project_is_read():
    text = '{"targets": {"sn1": {"release_mjd": 5.0, "fresh": 1}}, "more": 2}'
    assert ArchiveCursor.parse(text).of("sn1").release_mjd == 5.0


@pytest.mark.parametrize("text", ["moved here by hand", "[]", '{"targets": {"sn1": {"taken": 3}}}'])
def test_a_cursor_that_cannot_be_read_is_begun_anew_and_told(text):
    told = []
    assert ArchiveCursor.parse(text, told.append) == ArchiveCursor()
    assert len(told) == 1


def test_another_question_looks_at_everything_again():
    cursor = TargetCursor()
    cursor.begin("near")
    _, cursor = tick(cursor, listing(product("jaaa02", NOW)))
    wider = listing(product("jaaa01", NOW - 900.0), product("jaaa02", NOW))
    cursor.begin("near")
    assert tick(cursor, wider)[0] == []
    cursor.begin("wide")
    assert tick(cursor, wider)[0] == ["jaaa01", "jaaa02"]


def test_a_clock_that_was_ahead_loses_nothing():
    soon = product("jaaa01", NOW + 400.0)  # listed as public, whatever the date says
    _, cursor = tick(TargetCursor(), listing(soon, asked_mjd=NOW + 300.0))
    assert cursor.release_mjd == NOW + 300.0
    later = listing(soon, product("jaaa02", NOW + 0.5), asked_mjd=NOW + 1.0)
    taken, cursor = tick(cursor, later)
    assert taken == ["jaaa02"]
    assert tick(cursor, later)[0] == []

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.exposures import epochs
from hst_assets.exposures.epochs import number_epochs


def number(rows, gap=1.0):
    detectors, filters, mjd = zip(*rows, strict=True) if rows else ((), (), ())
    return number_epochs(detectors, filters, mjd, max_gap_days=gap).tolist()


def slow_truth(rows, gap):
    """Join by hand, one pair of neighbours at a time."""
    epoch_of = {}
    groups = []
    for kind in sorted({row[:2] for row in rows}):
        members = sorted((row[2], index) for index, row in enumerate(rows) if row[:2] == kind)
        for position, (mjd, index) in enumerate(members):
            if position == 0 or mjd - members[position - 1][0] >= gap:
                groups.append((mjd, kind, []))
            groups[-1][2].append(index)
    for number_, (_, _, indices) in enumerate(sorted(groups, key=lambda g: g[:2]), start=1):
        for index in indices:
            epoch_of[index] = number_
    return [epoch_of[index] for index in range(len(rows))]


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["acs_wfc", "wfc3_ir"]),
        st.sampled_from(["F606W", "F814W", "F160W"]),
        st.integers(0, 400).map(lambda n: n / 16),
    ),
    max_size=40,
)


@given(ROWS, st.sampled_from([0.25, 1.0, 3.0]))
def test_epochs_are_those_of_the_slow_truth(rows, gap):
    assert number(rows, gap) == slow_truth(rows, gap)


@given(ROWS, st.randoms())
def test_the_order_of_the_rows_does_not_matter(rows, random):
    shuffled = list(enumerate(rows))
    random.shuffle(shuffled)
    numbers = number([row for _, row in shuffled])
    back = {index: value for (index, _), value in zip(shuffled, numbers, strict=True)}
    assert [back[index] for index in range(len(rows))] == number(rows)


def test_no_exposure_has_no_epoch():
    assert number([]) == []


def test_gaps_are_chained():
    rows = [("d", "f", mjd) for mjd in (0.0, 0.9, 1.8, 2.7)]
    assert number(rows) == [1, 1, 1, 1]


def test_a_gap_of_exactly_the_limit_separates():
    assert number([("d", "f", 0.0), ("d", "f", 1.0)]) == [1, 2]


def test_filters_and_detectors_have_epochs_of_their_own():
    rows = [("d", "f", 0.0), ("d", "g", 0.1), ("e", "f", 0.2)]
    assert number(rows) == [1, 2, 3]


def test_numbers_grow_with_time():
    rows = [("z", "z", 0.0), ("a", "a", 5.0), ("z", "z", 9.0), ("a", "a", 5.5)]
    assert number(rows) == [1, 2, 3, 2]


def test_an_exposure_of_another_filter_does_not_bridge_a_gap():
    assert number([("d", "f", 0.0), ("d", "g", 0.7), ("d", "f", 1.4)]) == [1, 2, 3]


@pytest.mark.parametrize("n", [100, 10_000])
def test_the_number_of_numpy_calls_does_not_grow(n, monkeypatch):
    """10,000 exposures take as many operations as 100: nothing loops over exposures."""
    calls = []
    for name in ("unique", "lexsort", "diff", "cumsum"):
        original = getattr(np, name)
        monkeypatch.setattr(
            epochs.np,
            name,
            lambda *args, _original=original, **options: (
                calls.append(1),
                _original(*args, **options),
            )[1],
        )
    rng = np.random.default_rng(1)
    number_epochs(
        rng.choice(["a", "b"], n), rng.choice(["f", "g"], n), rng.uniform(0, 1e4, n), max_gap_days=1
    )
    assert len(calls) <= 12

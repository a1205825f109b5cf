"""How far a run is, from what it prints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.photometry.dolphot.progress import ProgressReader
from hst_assets.progress import Progress
from hst_assets_tests.stand_ins.dolphot_program import recorded


def heard(text, pieces=None, *, n_images=2, n_searches=3):
    said = []
    reader = ProgressReader(n_images, n_searches, said.append)
    for piece in pieces or [text]:
        reader.feed(piece)
    return said


def test_the_steps_of_a_run_are_told_in_order():
    said = heard(recorded())
    assert list(dict.fromkeys(progress.step for progress in said)) == [
        "aligning images",
        "finding stars",
        "measuring stars",
        "writing the catalogue",
        "done",
    ]
    assert said[-1].fraction == 1


@given(st.lists(st.integers(0, len(recorded())), max_size=30))
def test_it_does_not_matter_where_pieces_end(cuts):
    text = recorded()
    ends = sorted({*cuts, len(text)})
    pieces = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    said = heard(text, pieces)
    assert said[-1] == Progress("done", 1.0, "DOLPHOT")
    fractions = [progress.fraction for progress in said]
    assert fractions == sorted(fractions)
    assert set(heard(text)) <= set(said)


def test_each_dot_of_the_search_counts():
    said = heard("", ["Finding stars: ", ".", ".", "."])
    # The search takes 62 % of the time, from 15 %.
    assert [progress.fraction for progress in said] == pytest.approx(
        [0.15, 0.15 + 0.62 / 3, 0.15 + 2 * 0.62 / 3, 0.77]
    )


def test_other_words_change_nothing():
    assert heard("Cannot match parameter name:\nNegSky\n-nan\n") == []

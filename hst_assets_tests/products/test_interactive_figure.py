import json
import re

import numpy as np
import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.products.interactive_figure import Axis, Detail, InteractiveFigure, facet_of
from hst_assets.products.web_page import write_page

COLUMNS = {
    "colour": [0.0, 1.0, 2.0, np.nan],
    "mag": np.array([20.0, 21.0, 22.0, 23.0]),
    "error": [0.1, 0.2, 0.3, np.inf],
    "kind": ["kept", "cut", "kept", "kept"],
}


def figure(**others):
    arguments = {
        "title": "Stars",
        "x": (Axis(key="colour", label="B - V"),),
        "y": (Axis(key="mag", label="V", error="error", inverted=True),),
        "columns": COLUMNS,
        "facets": (facet_of(COLUMNS, "kind", "stars", hidden=("cut",)),),
        "details": (Detail(key="mag", label="V", digits=2, error="error", unit="mag"),),
        "colour": "kind",
        "marked": ({"colour": 1.5, "mag": 20.5, "label": "the target"},),
    } | others
    return InteractiveFigure(**arguments)


def told(html):
    return json.loads(re.search(r"json\">(.*?)</script>", html)[1])


def test_what_is_no_number_is_null():
    columns = told(figure().as_html(""))["columns"]
    assert columns["colour"] == [0.0, 1.0, 2.0, None]
    assert columns["error"][3] is None


def test_a_time_keeps_its_digits():
    times = {"colour": [56020.123456] * 4}
    assert told(figure(columns=COLUMNS | times).as_html(""))["columns"]["colour"][0] == 56020.123456


def test_facets_have_their_values_in_order():
    facet = facet_of(COLUMNS, "kind", "stars", hidden=("cut", "none such"))
    assert (facet.values, facet.hidden) == (("cut", "kept"), ("cut",))


def test_a_column_that_is_missing_is_named():
    with pytest.raises(BadConfiguration, match="no column magnitude"):
        figure(y=(Axis(key="magnitude", label="V"),))


def test_columns_are_of_one_length():
    with pytest.raises(BadConfiguration, match="2 lengths"):
        figure(columns=COLUMNS | {"colour": [1.0]})


def test_captions_are_text():
    assert "<figcaption>&lt;b&gt;</figcaption>" in figure().as_html("<b>")


# ------------------------------------------------------------------------------- in a browser


@pytest.fixture
def page(browser, tmp_path):
    path = write_page(tmp_path / "figure.html", title="x", body=figure().as_html("caption"))
    page = browser.open(path)
    yield page
    assert page.complaints == []
    page.close()


def ticks(page, axis):
    return page.evaluate(
        f"[...document.querySelectorAll('.tick.{axis}')].map(one => Number(one.textContent))"
    )


def label(page):
    return page.evaluate("document.querySelector('.stage svg').getAttribute('aria-label')")


def middle(page, selector):
    return page.evaluate(
        f"(() => {{const b = document.querySelector({selector!r}).getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]})()"
    )


@pytest.mark.ui
def test_a_box_switches_points(page):
    assert label(page) == "Stars: 2 of 4 points shown"
    page.click(*middle(page, "fieldset input"))
    assert label(page) == "Stars: 3 of 4 points shown"


@pytest.mark.ui
def test_bright_is_up_where_the_axis_is_inverted(page):
    assert ticks(page, "y") == sorted(ticks(page, "y"))
    heights = page.evaluate(
        "[...document.querySelectorAll('.tick.y')].map(one => one.getBoundingClientRect().y)"
    )
    assert heights == sorted(heights)


@pytest.mark.ui
def test_the_values_of_the_point_under_the_mouse_are_told(page):
    x, y = middle(page, ".inside")
    page.evaluate("document.querySelector('.stage svg').focus()")
    page.key("ArrowRight")
    shown = page.evaluate("document.querySelector('.told').innerText")
    assert shown == "V: 20.00 ± 0.10 mag"
    ring = middle(page, ".ring")
    page.move(x, y)
    assert page.evaluate("document.querySelector('.told').hidden")
    page.move(ring[0] + 3, ring[1])
    assert page.evaluate("document.querySelector('.told').innerText") == shown


@pytest.mark.ui
def test_the_wheel_zooms_about_the_mouse_once_the_figure_is_chosen(page):
    def span():
        values = ticks(page, "y")
        return values[-1] - values[0]

    before = span()
    x, y = middle(page, ".inside")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-100)
    assert span() == before  # the page scrolls
    page.click(x, y)
    for _ in range(4):
        page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-100)
    # Four steps of 1.35 show 0.30 of the axis, ticks lie within.
    assert 0 < span() < 0.5 * before
    page.key("0")
    assert span() == before


@pytest.mark.ui
def test_dragging_moves_the_figure(page):
    before = ticks(page, "x")
    x, y = middle(page, ".inside")
    page.drag((x, y), (x - 300, y))
    assert np.mean(ticks(page, "x")) > np.mean(before) + 0.3


@pytest.mark.ui
def test_a_position_is_marked(page):
    assert page.evaluate("document.querySelector('text.marked').textContent") == "the target"

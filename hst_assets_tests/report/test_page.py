import re
import shutil

import pytest

from hst_assets.failures import MissingProduct
from hst_assets.report.page import make_target_report
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.shown_target import HOSTILE, SEEN, shown_target


def report(workdir, **options):
    return make_target_report(workdir, load_settings(workdir), **options)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    workdir = shown_target(tmp_path_factory.mktemp("report"))
    return workdir, report(workdir)


@pytest.fixture
def target(shown, tmp_path):
    """The same in a folder of its own."""
    workdir, _ = shown
    shutil.copytree(workdir.root, tmp_path / "root")
    return WorkDir(tmp_path / "root", workdir.target)


def test_only_what_was_not_made_is_absent(shown):
    _, made = shown
    assert [text.partition(" (")[0] for text in made.facts["absent"]] == [
        "Images: colour pictures not made: no run has made colour_images yet"
    ]


def test_nothing_hostile_is_left_in_the_file(shown):
    workdir, _ = shown
    page = workdir.report.read_text()
    assert "&lt;script&gt;document.title" in page
    assert not re.search(r"<script>document|<img src=x|\x1b|\u202e", page)


def test_the_policy_allows_nothing_from_elsewhere(shown):
    workdir, _ = shown
    (policy,) = re.findall(r'Security-Policy" content="([^"]*)"', workdir.report.read_text())
    assert policy.startswith("default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_what_is_up_to_date_is_not_written_again(shown):
    workdir, _ = shown
    assert not report(workdir).ran


def test_a_setting_that_is_shown_makes_it_again(target):
    write_settings(target, {"drizzle": {"pixfrac": 0.7}})
    made = report(target)
    assert made.ran
    assert "<dt>drizzle.pixfrac</dt><dd>0.7</dd>" in target.report.read_text()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("light_curve", "Light curve: not made: no run has made light_curve yet"),
        ("star_catalog", "Colours and magnitudes of the stars: not made: no run has made dolphot"),
        ("completeness", "Completeness: not made: no run has made artificial_stars yet"),
        ("counterpart", "Counterpart: not made: no run has made counterpart yet"),
        ("target_alignment", "Alignment: not made: no run has made target_alignment yet"),
        ("stack_products", "Images: drizzled images not made: no run has made drizzled_stacks"),
    ],
)
def test_a_product_that_is_absent_costs_its_section(target, path, told):
    product = getattr(target, path)
    product.unlink()
    target.record(product).unlink()
    absent = report(target).facts["absent"]
    assert any(text.startswith(told) for text in absent)
    assert len(absent) == 2


def test_a_file_that_changed_is_not_shown_as_if_it_had_not(target):
    target.completeness.write_text(target.completeness.read_text() + "\n")
    (told,) = [text for text in report(target, redo=True).facts["absent"] if "Compl" in text]
    assert told.startswith("Completeness: not shown: file changed: dolphot/completeness.ecsv")


def test_a_product_that_was_made_again_is_shown_again(target):
    record = target.record(target.completeness)
    text = record.read_text()
    digest = re.search(r'"digest": "(\w+)"', text)[1]
    record.write_text(text.replace(digest, digest[::-1], 1))
    assert "artificial_stars" in report(target).why


def test_without_exposures_there_is_no_report(target):
    target.record(target.target_exposures).unlink()
    with pytest.raises(MissingProduct, match="Materialize target_exposures first"):
        report(target)


# ------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def page(browser, shown):
    workdir, _ = shown
    page = browser.open(workdir.report, width=1400)
    yield page
    page.close()


@pytest.mark.ui
def test_the_page_asks_for_nothing_and_every_figure_is_drawn(page, shown):
    workdir, _ = shown
    assert page.requests == [workdir.report.as_uri()]
    assert page.complaints == []
    labels = page.evaluate(
        "[...document.querySelectorAll('.stage > svg')].map(one => one.getAttribute('aria-label'))"
    )
    names = [label.partition(":")[0] for label in labels]
    assert names == ["Light curve", "Colours and magnitudes", "Completeness"]
    assert not any(": 0 of" in label for label in labels)


@pytest.mark.ui
def test_hostile_texts_are_read_as_they_are(page):
    texts = page.evaluate("[...document.querySelectorAll('td, pre')].map(one => one.textContent)")
    assert page.evaluate("document.title") == "sn: Hubble imaging"
    assert sum(SEEN in text for text in texts) >= 8
    assert HOSTILE.partition("\x1b")[0] in texts  # the header's name of the target
    assert "unreadable" in texts  # that of the header with a byte that it may not have
    assert page.evaluate("document.querySelectorAll('td *, pre *, dd *').length") == 0


@pytest.mark.ui
def test_the_target_is_marked_among_the_stars(page):
    assert page.evaluate("document.querySelector('#colours text.marked').textContent") == "target"


@pytest.mark.ui
def test_footprints_have_north_up_and_east_to_the_left(page):
    """Each exposure lies 5 arcsec west and north of the one before."""
    corners = page.evaluate(
        "[...document.querySelectorAll('.outlines polygon')]"
        ".map(one => one.getBoundingClientRect()).map(one => [one.left, one.top])"
    )
    assert corners == sorted(corners)
    assert [top for _, top in corners] == sorted((top for _, top in corners), reverse=True)


@pytest.mark.ui
@pytest.mark.parametrize("width", [390, 1400])
def test_no_layout_is_wider_than_its_window(browser, shown, width):
    workdir, _ = shown
    page = browser.open(workdir.report, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()

import base64
import io
import re
from importlib.metadata import version

import dagster as dg
import numpy as np
import pytest
from PIL import Image

from hst_assets.orchestration.metadata import MAX_INLINE_BYTES, MAX_ROWS, describe
from hst_assets.provenance import Made, Recipe, Result, make
from hst_assets.workdir import WorkDir


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path, "sn1").create()


def made(workdir, **facts):
    product = workdir.workspace / "p.ecsv"

    def run():
        product.write_text("p")
        return Result((product,), facts)

    return make(Recipe("p", "1", {}), product, workdir, run)


def star_png(path, side):
    """A field like those of the demo: a sky with noise, and stars."""
    rng = np.random.default_rng(2)
    pixels = rng.normal(20, 3, (side, side))
    for x, y in rng.integers(5, side - 5, (150, 2)):
        pixels[y - 2 : y + 3, x - 2 : x + 3] = 250
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


def noise_png(path, side):
    pixels = np.random.default_rng(1).integers(0, 255, (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def test_numbers_text_and_tables_are_shown_as_what_they_are(workdir):
    shown = describe(
        made(workdir, n_used=3, rms_pix=0.04, filters=["F606W"], shifts=[{"a": 1.23456, "b": "x"}]),
        workdir,
    )
    assert shown["n_used"].value == 3
    assert shown["rms_pix"].value == 0.04
    assert shown["filters"].text == "F606W"
    assert shown["shifts"].md_str.splitlines()[2] == "| 1.235 | x |"


def test_whether_it_was_made_now_is_said_first(workdir):
    first = made(workdir)
    again = Made(first.record, ran=False)
    assert next(iter(describe(first, workdir).values())).text == "made now: not made before"
    assert describe(again, workdir)["executed"].text == "up to date, not remade"


def test_paths_are_resolved(workdir):
    shown = describe(made(workdir, log="logs/x.log"), workdir)
    assert shown["log"].path == str(workdir.logs / "x.log")


def test_what_really_made_it_is_told_also_of_the_products_of_an_index(workdir):
    part = workdir.workspace / "a_flc.fits"

    def aligned():
        part.write_text("a")
        return Result((part,), {"method": "jhat"})

    make(Recipe("part", "1", {}, tools=("h5py",)), part, workdir, aligned)
    index = workdir.workspace / "index.ecsv"

    def indexed():
        index.write_text("a_flc.fits")
        return Result((index, part))

    whole = make(Recipe("index", "1", {}, tools=("astropy",)), index, workdir, indexed)
    told = f"jhat, astropy {version('astropy')}, h5py {version('h5py')}"
    assert describe(whole, workdir)["made_with"].text == told
    assert "made_with" not in describe(made(workdir), workdir)


def test_a_tree_of_products_is_shown_as_markdown(workdir):
    shown = describe(made(workdir, tree="- `a.fits`\n  - `b.fits`"), workdir)
    assert shown["tree"].md_str.splitlines() == ["- `a.fits`", "  - `b.fits`"]


def test_a_long_table_is_cut_and_says_so(workdir):
    rows = [{"n": number} for number in range(MAX_ROWS + 3)]
    text = describe(made(workdir, rows=rows), workdir)["rows"].md_str
    assert text.count("\n| ") == MAX_ROWS + 1  # the rule below the head
    assert "3 more rows" in text


def test_a_cell_cannot_break_the_table(workdir):
    text = describe(made(workdir, rows=[{"why": "a|b\nc"}]), workdir)["rows"].md_str
    assert text.splitlines()[2] == "| a\\|b c |"


def test_a_picture_is_shown_with_its_file(workdir):
    noise_png(workdir.workspace / "a.png", 40)
    text = describe(made(workdir, previews=["workspace/a.png"]), workdir)["preview"].md_str
    name, picture = text.splitlines()[2:]
    assert name == f"| `{workdir.workspace / 'a.png'}` |"
    assert picture.startswith("| ![a.png](data:image/webp;base64,")


def test_pictures_are_large_enough_to_judge(workdir):
    """Seven fields of stars, as of a target with seven stacks."""
    names = [f"workspace/{number}.png" for number in range(7)]
    for name in names:
        star_png(workdir.base / name, 640)
    text = describe(made(workdir, previews=names), workdir)["preview"].md_str
    encoded = re.findall(r"base64,([^)]+)\)", text)
    sides = [max(Image.open(io.BytesIO(base64.b64decode(each))).size) for each in encoded]
    assert sides == [480] * 7


def test_a_web_server_that_sends_pictures_shows_them_in_full_size_in_the_page(workdir):
    names = [f"workspace/{number} of 3.png" for number in range(3)]
    for name in names:
        noise_png(workdir.base / name, 40)
    shown = describe(made(workdir, previews=names), workdir, served_below="")
    text = shown["preview"].md_str
    address = "/logs/products/sn1/workspace/0%20of%203/png"
    name, picture = text.splitlines()[2:4]
    assert name == "| 0 of 3.png |"
    assert picture == f"| [![0 of 3.png]({address})]({address}) |"
    assert len(text) < 1000  # of more Dagster shows a button
    below = describe(made(workdir, previews=names), workdir, served_below="/hubble")
    assert f"](/hubble{address})" in below["preview"].md_str


def test_the_report_is_linked_where_the_web_server_sends_it(workdir):
    page = made(workdir, page="hap/iaaa01/visit.html")
    shown = describe(page, workdir, served_below="")
    assert shown["report"].url == "/logs/products/sn1/report/html"
    assert shown["page"].url == "/logs/products/sn1/hap/iaaa01/visit/html"
    below = describe(page, workdir, served_below="/hubble")
    assert below["report"].url == "/hubble/logs/products/sn1/report/html"
    assert describe(page, workdir)["page"].url.startswith("file://")
    assert "report" not in describe(page, workdir)


@pytest.mark.parametrize("n_pictures", [1, 2, 6, 40])
def test_pictures_never_exceed_the_guard(workdir, n_pictures):
    names = [f"workspace/{number}.png" for number in range(n_pictures)]
    for name in names:
        noise_png(workdir.base / name, 500)
    shown = describe(made(workdir, previews=names), workdir)
    text = shown["preview"].md_str
    assert len(text) < MAX_INLINE_BYTES + 200 * n_pictures
    assert text.count(".png") >= n_pictures


def test_the_whole_event_stays_small(workdir):
    noise_png(workdir.workspace / "a.png", 500)
    shown = describe(
        made(workdir, previews=["workspace/a.png"], text="x" * 100_000, rows=[{"n": 1}] * 1000),
        workdir,
    )
    size = sum(len(str(value.value)) for value in shown.values())
    assert size < MAX_INLINE_BYTES + 10_000
    assert all(isinstance(value, dg.MetadataValue) for value in shown.values())

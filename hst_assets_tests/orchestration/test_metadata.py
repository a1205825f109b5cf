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


def test_a_picture_is_shown(workdir):
    noise_png(workdir.workspace / "a.png", 40)
    text = describe(made(workdir, previews=["workspace/a.png"]), workdir)["preview"].md_str
    assert "data:image/png;base64," in text


@pytest.mark.parametrize("n_pictures", [1, 2, 6])
def test_pictures_never_exceed_the_guard(workdir, n_pictures):
    names = [f"workspace/{number}.png" for number in range(n_pictures)]
    for name in names:
        noise_png(workdir.base / name, 500)
    shown = describe(made(workdir, previews=names), workdir)
    text = shown["preview"].md_str
    assert len(text) < MAX_INLINE_BYTES + 100 * n_pictures
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

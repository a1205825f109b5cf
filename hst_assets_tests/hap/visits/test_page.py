"""The page of a simulated visit, and of folders that lack things or hold hostile words."""

import re
import shutil

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from hst_assets.failures import MissingProduct, ToolFailed
from hst_assets.hap.result import HapResult, ReturnCode
from hst_assets.hap.visits.page import write_visit_page
from hst_assets.hap.visits.previews import write_visit_previews

BEGINNING = "hst_15999_01_wfc3_ir_"
HOSTILE = "<script>document.title='x'</script>\x1b[31m\u202e"


def image(folder, name, **keywords):
    """A drizzled image of noise with one star."""
    chance = np.random.default_rng(2)
    data = chance.normal(0, 1, (60, 80)).astype(np.float32)
    data[28:33, 38:43] += 100
    primary = fits.PrimaryHDU()
    primary.header.update(TARGNAME="NGC 1", EXPTIME=100.0, HAPLEVEL=2, **{"DATE-OBS": "2015-07-07"})
    science = fits.ImageHDU(data, name="SCI")
    science.header.update(
        CRVAL1=150.1, CRVAL2=2.2, CRPIX1=40.0, CRPIX2=30.0, CTYPE1="RA---TAN", CTYPE2="DEC--TAN"
    )
    science.header.update(CD1_1=-3.6e-5, CD1_2=0.0, CD2_1=0.0, CD2_2=3.6e-5)
    science.header.update(WCSNAME="IDC_x-FIT_SVM_GAIAeDR3", RMS_RA=3.21, RMS_DEC=4.56, NMATCHES=77)
    science.header.update(keywords)
    weight = fits.ImageHDU(np.ones_like(data), name="WHT")
    path = folder / f"{BEGINNING}{name}_drz.fits"
    fits.HDUList([primary, science, weight]).writeto(path)
    return path


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "visit"
    made.mkdir()
    for name in ("total_isim01", "f110w_isim01", "f160w_isim01", "f110w_isim01a0"):
        image(made, name)
    return made


def page(folder, **options):
    path = folder.parent / "visit.html"
    assert write_visit_page(folder, visit="sim01", path=path, **options) == path
    return path.read_text()


@pytest.fixture(scope="module")
def shown(pieces, tmp_path_factory):
    """The page of the simulated visit."""
    path = tmp_path_factory.mktemp("page") / "visit.html"
    return write_visit_page(pieces[0], visit="isim01", path=path, result=HapResult(ReturnCode.DONE))


@pytest.mark.slow
@pytest.mark.xdist_group("hap")
class TestOfASimulatedVisit:
    def test_all_there_is_is_on_the_page(self, shown, pieces):
        text = shown.read_text()
        names = (pieces[0] / "wfc3_sim_01_manifest.txt").read_text().split()
        for name in names:
            if name.endswith(("_drz.fits", ".ecsv")):
                assert name in text
        assert text.count("good: fitted to Gaia") == 4
        assert "<dd>0: the products were made</dd>" in text
        assert text.count("<img src=") == 4  # in colour, of all light, of two filters
        assert "not shown" not in text
        assert 'class="verdict good"' in text

    @pytest.mark.ui
    @pytest.mark.parametrize("width", [360, 1400])
    def test_a_browser_shows_it_without_a_complaint(self, shown, browser, width):
        opened = browser.open(shown, width=width)
        assert opened.complaints == []
        assert opened.requests == [shown.as_uri()]
        assert (
            opened.evaluate("[...document.images].map(one => one.naturalWidth > 0)") == [True] * 4
        )
        # Tables scroll by themselves: the page does not.
        assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_products_are_a_tree(folder):
    text = page(folder)
    places = [text.index(f"<li>{BEGINNING}{name}_drz.fits (") for name in TREE]
    assert places == sorted(places)


TREE = ("total_isim01", "f110w_isim01", "f110w_isim01a0", "f160w_isim01")


def test_what_the_header_says_is_text(folder):
    with fits.open(folder / f"{BEGINNING}f110w_isim01a0_drz.fits", mode="update") as hdus:
        hdus["SCI"].header["WCSNAME"] = "<img src=x onerror=alert(1)>"
        hdus[0].header["TARGNAME"] = "<script>document.title=1</script>"
    (folder / f"isim01_{HOSTILE.replace('/', '')}_manifest.txt").touch()
    text = page(folder)
    assert "&lt;script&gt;document.title=1&lt;/script&gt;" in text
    assert "&lt;img src=x onerror" in text
    assert not re.search(r"<script>document|<img src=x|\x1b|\u202e", text)


def test_the_exit_code_is_explained_with_what_it_does_not_tell(folder):
    result = HapResult(
        ReturnCode.HEADERS_FAILED,
        catalogs={"one_point-cat.ecsv": 0},
        failure=ToolFailed("drizzlepac ended the run", where="ir.total"),
    )
    text = page(folder, result=result)
    assert "15: the headers of drizzled images could not be finished" in text
    assert "ir.total: drizzlepac ended the run" in text
    assert "<li>one_point-cat.ecsv: no source</li>" in text
    assert "not told: the page was made of the folder alone" in page(folder)


def test_an_exposure_that_was_not_aligned_is_marked(folder):
    image(folder, "f160w_isim01a2", WCSNAME="IDC_x-GSC240")
    image(folder, "f160w_isim01a3", WCSNAME="")
    text = page(folder)
    assert 'class="verdict doubtful">doubtful: not aligned to Gaia' in text
    assert 'class="verdict not">not checked: the image has no WCSNAME' in text
    assert "<td>3.2</td>" in text
    assert "<td>77</td>" in text


def test_what_is_absent_is_said(tmp_path):
    folder = tmp_path / "visit"
    folder.mkdir()
    text = page(folder)
    for told in (
        "not made: the folder has no drizzled image",
        "not shown: the folder has no drizzled image",
        "not told: the folder has no image of a single exposure",
        "not made: the folder has no catalogue",
    ):
        assert told in text
    assert text.count('<td class="verdict not">not checked</td>') == 8


def test_a_catalogue_that_is_empty_or_damaged_is_told(folder):
    (folder / f"{BEGINNING}total_isim01_point-cat.ecsv").write_text(
        "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: ID, datatype: int64}\nID\n"
    )
    (folder / f"{BEGINNING}total_isim01_segment-cat.ecsv").write_text("nothing")
    text = page(folder)
    assert "<td>0: empty</td>" in text
    assert "not checked: it cannot be read" in text


def test_a_damaged_image_costs_its_picture(folder, tmp_path):
    (folder / f"{BEGINNING}total_isim01_drz.fits").write_bytes(b"SIMPLE")
    previews = write_visit_previews(folder, tmp_path)
    assert [each.why_not != "" for each in previews] == [False, True, False, False]
    assert "not shown: ir total: " in page(folder)


def test_a_picture_in_colour_has_red_from_the_redder_filter(folder, tmp_path):
    path = folder / f"{BEGINNING}f160w_isim01_drz.fits"
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].data[10:20, 60:70] += 80  # lower right, in the red filter alone
    first, *others = write_visit_previews(folder, tmp_path)
    assert first.caption == "ir in colour: f110w blue, f160w red"
    assert first.path.name == f"{BEGINNING}total_isim01_colour.png"
    pixels = np.asarray(Image.open(first.path).convert("RGB"), dtype=int)
    red, green, blue = pixels[60 - 15, 65]  # rows run downwards in a picture
    assert red > 150
    assert red > green > blue
    assert [each.path.name for each in others] == [
        f"{BEGINNING}{name}_drz.png" for name in ("total_isim01", "f110w_isim01", "f160w_isim01")
    ]


def test_one_filter_has_no_picture_in_colour(folder, tmp_path):
    (folder / f"{BEGINNING}f160w_isim01_drz.fits").unlink()
    shown = write_visit_previews(folder, tmp_path, exposures=True)
    assert [each.path.stem.removeprefix(BEGINNING) for each in shown] == [
        *("total_isim01_drz", "f110w_isim01_drz", "f110w_isim01a0_drz"),
    ]


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(MissingProduct, match="no such folder"):
        write_visit_page(tmp_path / "nowhere", visit="x", path=tmp_path / "x.html")
    shutil.rmtree(tmp_path)

"""HAP's catalogues of a simulated visit against lists that a stand-in of the HLA makes of truth."""

import json
import re

import pytest
from pypdf import PdfReader

from hst_assets.failures import MissingProduct
from hst_assets.hap.quality.hla_comparison import compare_with_hla, hla_pairs, why_without_hla
from hst_assets.hap.quality.verdicts import quality_of
from hst_assets.hap.quality.visit_files import drizzled_images
from hst_assets_tests.stand_ins.legacy_archive import Difference, write_legacy_files

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("hap")]

F110W, F160W = (f"hst_15999_01_wfc3_ir_{name}_isim01" for name in ("f110w", "f160w"))


DIFFERENCE = Difference(east_arcsec=0.3, magnitude=0.25)


def linked(pieces, folder):
    """Images, catalogues and aligned exposures of the visit, in a folder for writing."""
    made, _ = pieces
    for path in made.iterdir():
        if path.name.endswith(("_drz.fits", "-cat.ecsv")):
            (folder / path.name).symlink_to(path)
    return folder


def filters(folder):
    return {each.filter: each for each in drizzled_images(folder) if each.level == "filter"}


@pytest.fixture
def folder(pieces, tmp_path):
    return linked(pieces, tmp_path)


@pytest.fixture(scope="module")
def compared(pieces, truth, tmp_path_factory):
    """Folder and outcome, with the tree of the HLA's own pipeline.

    One list is that of the truth; another, of the other filter and program, differs from it.
    """
    folder, base = linked(pieces, tmp_path_factory.mktemp("visit")), tmp_path_factory.mktemp("hla")
    place = base / "wfc3" / "HLA_Build10" / "15999" / "15999_01"
    images, lists = filters(folder), place / "logs"
    write_legacy_files(place, truth.stars, images["f110w"], lists=lists, programs=("dao",))
    write_legacy_files(
        place,
        truth.stars,
        images["f160w"],
        lists=lists,
        programs=("sex",),
        difference=DIFFERENCE,
    )
    environ = {"HLA_CLASSIC_BASEPATH": str(base), "HLA_BUILD_VER": "HLA_Build10"}
    return folder, compare_with_hla(folder, environ=environ)


def results(folder, name):
    """Clipped means of the differences, HAP's less the HLA's, and drizzlepac's word on each."""
    data = json.loads((folder / name).read_text())["data"]
    return {
        title.removesuffix(" RESULTS"): (
            part["data"]["Comparison Test Status"],
            float(part["data"].get("3x3 Sigma-Clipped Mean", "nan")),
        )
        for title, part in data.items()
        if title.endswith(" RESULTS")
    }


def test_each_pair_leaves_its_file_and_a_detector_its_plots(compared):
    folder, outcome = compared
    assert outcome.told == "done"
    assert [path.name for path in outcome.products] == [
        f"{F110W}_point-cat_svm_compare_sourcelists.json",
        f"{F160W}_segment-cat_svm_compare_sourcelists.json",
        "hst_15999_01_wfc3_ir_isim01_svm_comparison_plots.pdf",
    ]
    assert len(PdfReader(outcome.products[-1]).pages) > 20
    assert not list(folder.glob(".hap-*"))


def test_a_list_of_the_truth_agrees_with_haps_catalogue(compared):
    folder, _ = compared
    found = results(folder, f"{F110W}_point-cat_svm_compare_sourcelists.json")
    # The alignment is good to 20 mas, 0.16 pixels; a pixel would be 1.
    for title in ("X POSITION", "Y POSITION"):
        assert abs(found[title][1]) < 0.25
    assert found["ON-SKY SEPARATION"][1] < 0.05
    # HAP's large aperture holds what the model of the PSF says but for the size of pixels.
    assert found["MAGNITUDE (OUTER APERTURE)"][1] == pytest.approx(0.0, abs=0.05)


def test_a_list_that_differs_is_found_out_by_the_right_amount(compared):
    folder, _ = compared
    found = results(folder, f"{F160W}_segment-cat_svm_compare_sourcelists.json")
    assert found["ON-SKY SEPARATION"] == ("FAILURE", pytest.approx(0.3, abs=0.03))
    assert found["MAGNITUDE (OUTER APERTURE)"] == ("FAILURE", pytest.approx(-0.25, abs=0.05))


def test_verdicts_are_of_places_and_magnitudes(compared):
    folder, _ = compared
    kind = quality_of(folder).kinds["compare_sourcelists"]
    assert kind.verdict == "doubtful"
    assert {each.product: each.verdict for each in kind.findings} == {
        "ir f110w point": "good",
        "ir f110w segment": "not checked",
        "ir f160w point": "not checked",
        "ir f160w segment": "doubtful",
    }
    wrong = r"0\.\d+ arcsec apart, more than 0.1; magnitudes differ by -0\.2\d+, more than 0.1"
    assert re.search(wrong, kind.sentence)


def test_a_folder_beside_the_visit_will_do(folder, truth):
    write_legacy_files(folder / "hla_classic", truth.stars, filters(folder)["f110w"])
    pairs = hla_pairs(drizzled_images(folder), {}, folder)
    assert [(each.kind, each.hla_list.name) for each in pairs] == [
        ("point", "hst_15999_01_wfc3_ir_f110w_daophot.txt"),
        ("segment", "hst_15999_01_wfc3_ir_f110w_sexphot.txt"),
    ]


def test_a_list_that_cannot_be_compared_costs_itself(folder, truth):
    image = filters(folder)["f110w"]
    local = folder / "hla_classic"
    write_legacy_files(local, truth.stars, image)
    named = f"{image.beginning}f110w"
    (local / f"{named}_daophot.txt").write_text("X-Center,Y-Center,RA,DEC\n")
    (local / f"{named}_sexphot.txt").write_text("NUMBER,RA,DEC\n1,150.1,2.2\n2,150.1,2.2\n")
    outcome = compare_with_hla(folder, environ={})
    assert outcome.products == ()
    assert outcome.outcomes == {
        f"{F110W}_point-cat.ecsv": "not checked: ValueError: the Legacy Archive's list has no "
        "source",
        f"{F110W}_segment-cat.ecsv": outcome.outcomes[f"{F110W}_segment-cat.ecsv"],
    }
    assert all(each.startswith("not checked: ") for each in outcome.outcomes.values())
    assert "not checked" in outcome.told


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "neither $HLA_CLASSIC_BASEPATH is set nor"),
        ({"HLA_CLASSIC_BASEPATH": "/nowhere"}, "without $HLA_BUILD_VER"),
        ({"HLA_CLASSIC_BASEPATH": "/nowhere", "HLA_BUILD_VER": "1"}, "is no folder: /nowhere"),
    ],
)
def test_without_the_archives_files_it_says_why(tmp_path, environ, told):
    assert told in why_without_hla(environ, tmp_path)
    outcome = compare_with_hla(tmp_path, environ=environ)
    assert outcome.told.startswith("not checked: ")
    assert told in outcome.skipped


def test_files_of_other_filters_are_no_counterpart(folder, truth):
    image = filters(folder)["f110w"]
    write_legacy_files(folder / "hla_classic", truth.stars, image)
    for path in (folder / "hla_classic").iterdir():
        path.rename(path.with_name(path.name.replace("f110w", "f125w")))
    assert hla_pairs(drizzled_images(folder), {}, folder) == ()
    assert "no catalogue of these filters" in compare_with_hla(folder, environ={}).skipped


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(MissingProduct, match="no such folder"):
        compare_with_hla(tmp_path / "nowhere", environ={})

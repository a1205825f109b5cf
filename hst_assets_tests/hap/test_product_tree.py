"""The tree is drizzlepac's, on every real poller that is at hand and on crossed cases."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import MissingProduct, ToolFailed, UnusableInput
from hst_assets.hap.listed import ListedExposure, listed_exposures
from hst_assets.hap.poller import read_poller
from hst_assets.hap.product_tree import check_planned, filter_name, visit_tree

POLLERS = Path(__file__).parents[2].parent / "shared" / "data" / "real" / "pollers"
REAL = sorted(POLLERS.glob("*_input.out"))

pytestmark = pytest.mark.xdist_group("hap")


def write_exposure(folder, row, position):
    """A file with the keywords that HAP reads; those that the poller does not tell are invented."""
    detector = row.detector or {"WFC3": "IR", "ACS": ["HRC", "SBC"][position % 2]}.get(
        row.instrument, "WFPC2"
    )
    elements = (row.filters or {"SBC": "F125LP;N/A"}.get(detector, "F160W;CLEAR1S")).split(";")
    header = {
        "INSTRUME": row.instrument,
        "DETECTOR": detector,
        "ROOTNAME": row.file[:9],
        "PROPOSID": row.proposal_id or 8765,
        "EXPTIME": row.exptime_s or 100.0 + position % 3,
        "EXPSTART": 55000.0 + position,
        "DATE-OBS": "2009-06-18",
        "OBSTYPE": "IMAGING",
        "IMAGETYP": "EXT",
        "MTFLAG": False if row.instrument == "WFPC2" else "",
        "SCAN_TYP": "N",
        "CHINJECT": "NONE",
        "DRIZCORR": "COMPLETE",
        "FGSLOCK": "FINE",
        "TARGNAME": "FIELD",
        "SUBARRAY": False,
        "APERTURE": "ANY",
        "PHOTFLAM": 1e-20 * sum(map(ord, elements[0])),
    }
    wheels = {"WFC3": ["FILTER"], "ACS": ["FILTER1", "FILTER2"]}.get(
        row.instrument, ["FILTNAM1", "FILTNAM2"]
    )
    header |= dict(zip(wheels, [*elements, ""], strict=False))
    science = fits.ImageHDU(np.ones((4, 4), "f4"), name="SCI", ver=1)
    science.header["PHOTFLAM"] = header["PHOTFLAM"]
    hdus = fits.HDUList([fits.PrimaryHDU(), science])
    hdus[0].header.update(header)
    hdus.writeto(folder / row.file)


def assert_same(tree, told):
    assert len(tree.totals) == len(told["totals"])
    for total, expected in zip(tree.totals, told["totals"], strict=True):
        assert total.drizzled_file == expected["file"]
        assert total.haplevel == expected["level"]
        assert total.manifest_file == expected["manifest"]
        assert total.trailer_file == expected["trailer"]
        assert [total.catalog_file(kind) for kind in ("point", "segment")] == expected["catalogs"]
        assert [one.drizzled_file for one in total.exposures] == expected["exposures"]
        assert [one.exposure_file for one in total.dispersed] == expected["dispersed"]
        assert [each.drizzled_file for each in total.filters] == [
            each["file"] for each in expected["filters"]
        ]
        for each, filtered in zip(total.filters, expected["filters"], strict=True):
            assert_same_filter(each, filtered)


def assert_same_filter(each, expected):
    assert each.haplevel == expected["level"]
    assert each.trailer_file == expected["trailer"]
    assert [each.catalog_file(kind) for kind in ("point", "segment")] == expected["catalogs"]
    for one, exposure in zip(each.exposures, expected["exposures"], strict=True):
        names = [one.exposure_file, one.drizzled_file, one.headerlet_file]
        assert names == exposure["files"]
        assert (one.haplevel, one.trailer_file) == (exposure["level"], exposure["trailer"])


def descriptions(tree):
    """Of totals, filters and exposures, each sorted."""
    nodes = [tree.totals, [each for total in tree.totals for each in total.filters]]
    nodes.append(
        [
            one
            for total in tree.totals
            for one in (*total.exposures, *total.dispersed, *total.beside)
        ]
    )
    return [sorted(node.info for node in level) for level in nodes]


def told_descriptions(told):
    kinds = ("total detection", "filter", "single exposure")
    return [
        sorted(info for key, info in told["info"].items() if key.startswith(kind)) for kind in kinds
    ]


def both(poller, folder, drizzlepac):
    rows = read_poller(poller)
    for position, row in enumerate(rows):
        write_exposure(folder, row, position)
    (folder / "poller.out").write_text(poller.read_text())
    tree = visit_tree(listed_exposures(rows, folder))
    return tree, drizzlepac("drizzlepacs_tree", {"poller": "poller.out"}, folder)


@pytest.mark.parametrize("poller", REAL, ids=lambda path: path.stem)
def test_the_tree_of_a_real_poller_is_drizzlepacs(poller, tmp_path, drizzlepac):
    tree, told = both(poller, tmp_path, drizzlepac)
    assert_same(tree, told)
    check_planned(tree, told)
    totals, filters, exposures = descriptions(tree)
    told_totals, told_filters, told_exposures = told_descriptions(told)
    assert (totals, exposures) == (told_totals, told_exposures)
    if any(total.dispersed for total in tree.totals):
        # drizzlepac counts filters down for each dispersed exposure, and overwrites entries.
        assert set(told_filters) <= set(filters)
    else:
        assert filters == told_filters


def test_drizzlepacs_classes_and_parser_take_a_plan(tmp_path, drizzlepac):
    poller = tmp_path / "plan.out"
    poller.write_text(CROSSED)
    folder = tmp_path / "visit"
    folder.mkdir()
    tree, told = both(poller, folder, drizzlepac)
    parsed = drizzlepac("parsed_piece_by_piece", {"poller": "poller.out"}, folder)
    assert parsed["info"] == told["info"]
    assert parsed["drizzled"] == {
        "TotalProduct": [total.drizzled_file for total in tree.totals],
        "FilterProduct": [each.drizzled_file for total in tree.totals for each in total.filters],
        "ExposureProduct": [one.drizzled_file for total in tree.totals for one in total.exposures],
    }


def test_real_pollers_are_at_hand():
    if not POLLERS.is_dir():
        pytest.skip(f"no real pollers in {POLLERS}")
    assert len(REAL) == 10


CROSSED = """\
jaaa01a0q_flt.fits,12345,AAA,01,300.0,F606W;CLEAR2L,WFC,/a
jaaa01a1q_flc.fits,12345,AAA,01,300.0,F606W;CLEAR2L,WFC,/a
jaaa01a2q_flc.fits,12345,AAA,01,10.0,POL0V;F606W,WFC,/a
jaaa01a3q_flc.fits,12345,AAA,01,900.0,FR656N;CLEAR2L,WFC,/a
jaaa01a4q_flt.fits,12345,AAA,01,20.0,F555W;CLEAR2S,HRC,/a
"""


def test_uncorrected_exposures_polarizers_and_ramps_are_where_drizzlepac_has_them(
    tmp_path, drizzlepac
):
    poller = tmp_path / "crossed.out"
    poller.write_text(CROSSED)
    folder = tmp_path / "visit"
    folder.mkdir()
    tree, told = both(poller, folder, drizzlepac)
    assert_same(tree, told)
    check_planned(tree, told)
    assert descriptions(tree) == told_descriptions(told)
    wide = next(total for total in tree.totals if total.detector == "wfc")
    assert [one.exposure_file[-18:] for one in wide.beside] == ["_jaaa01a0_flt.fits"]
    assert [each.filter for each in wide.drizzled_filters] == ["f606w-pol0v", "f606w"]


@pytest.mark.parametrize(
    ("elements", "name"),
    [
        ("CLEAR1L;F814W", "f814w"),
        ("F555W;CLEAR2L", "f555w"),
        ("CLEAR1L;CLEAR2L", "clear"),
        ("POL60;F606W", "f606w-pol60"),
        ("F140LP;N/A;F140LP", "f140lp"),
        ("G800L;F814W", "g800l-f814w"),
    ],
)
def test_the_name_of_a_filter(elements, name):
    assert filter_name(elements) == name


def two_filters():
    names = {"iaaa01a0q_flt.fits": "F110W", "iaaa01a1q_flt.fits": "F160W"}
    return visit_tree(
        ListedExposure(name, "WFC3", "IR", 12345, "01", element, 100.0, 1e-20)
        for name, element in names.items()
    )


def told_of(tree):
    """What drizzlepac tells if it plans the same."""
    places = [
        [total.drizzled_file, [each.drizzled_file for each in total.filters]]
        for total in tree.totals
    ]
    return {"drizzled": dict(tree.levels()), "places": places}


def test_a_plan_of_the_same_products_passes():
    check_planned(two_filters(), told_of(two_filters()))
    check_planned(None, {"drizzled": {}, "places": []})


def test_filters_in_another_order_are_refused():
    told = told_of(two_filters())
    told["places"][0][1].reverse()
    with pytest.raises(ToolFailed, match="in another order"):
        check_planned(two_filters(), told)


def test_another_level_is_refused():
    told = told_of(two_filters())
    told["drizzled"][told["places"][0][0]] = 3
    with pytest.raises(ToolFailed, match="other products"):
        check_planned(two_filters(), told)


def test_a_product_that_is_not_expected_is_refused_by_its_name():
    told = told_of(two_filters())
    with pytest.raises(ToolFailed, match="other products") as raised:
        check_planned(None, told)
    assert told["places"][0][0] in raised.value.where


def test_a_visit_without_exposures_has_no_tree():
    with pytest.raises(UnusableInput, match="no exposure"):
        visit_tree([])


def test_an_exposure_that_is_nowhere_is_named_with_its_line(tmp_path):
    poller = tmp_path / "poller.out"
    poller.write_text("# one\njaaa01a0q_flt.fits\n")
    with pytest.raises(MissingProduct, match=r"line 2 .* not in") as raised:
        listed_exposures(read_poller(poller), tmp_path)
    assert raised.value.where == "jaaa01a0q_flt.fits"

"""Verdicts on files of tests: those of a simulated visit, and others written here."""

import json
import math

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import MissingProduct
from hst_assets.hap.quality.limits import QualityLimits
from hst_assets.hap.quality.verdicts import quality_of
from hst_assets.hap.quality.visit_files import drizzled_images

BEGINNING = "hst_15999_01_wfc3_ir_"
TOTAL = f"{BEGINNING}total_isim01"
FILTERS = [f"{BEGINNING}{name}_isim01" for name in ("f110w", "f160w")]
EXPOSURE = f"{BEGINNING}f110w_isim01a0"
SIDES = (400, 300)


@pytest.fixture
def folder(tmp_path):
    """Images without anything in them, one exposure."""
    for name in (TOTAL, *FILTERS, EXPOSURE):
        image = fits.ImageHDU(np.zeros(SIDES[::-1], np.float32), name="SCI")
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(tmp_path / f"{name}_drz.fits")
    return tmp_path


def write(folder, name, **data):
    parts = {title: {"data": values} for title, values in data.items()}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"header": {}, "general information": {}, "data": parts}))


def finding(folder, kind, product=None, **limits):
    found = quality_of(folder, limits=QualityLimits(**limits)).kinds[kind].findings
    return next(each for each in found if product in (None, each.product))


# ------------------------------------------------------------------------------ a simulated visit


@pytest.mark.slow
@pytest.mark.xdist_group("hap")
class TestOfASimulatedVisit:
    def test_all_that_can_be_compared_is_good(self, pieces):
        report = quality_of(pieces[0])
        verdicts = {name: kind.verdict for name, kind in report.kinds.items()}
        assert verdicts == {
            "num_sources": "good",
            "gaia_sources": "good",
            "gaia_distribution": "good",
            "point_segment_crossmatch": "good",
            "interfilter_crossmatch": "good",
            "wcs": "good",
            "photometry": "good",
            "compare_sourcelists": "not checked",
        }
        assert report.verdict == "not checked"

    def test_numbers_are_those_of_the_truth(self, pieces, truth):
        kinds = quality_of(pieces[0]).kinds
        moved = [dict(each.numbers) for each in kinds["wcs"].findings]
        assert len(moved) == 4
        for numbers, row in zip(moved, truth.exposures, strict=True):
            true = math.hypot(row["error_east"], row["error_north"])
            # Frames begin on whole pixels of 0.13 arcsec.
            assert numbers["shift_arcsec"] == pytest.approx(true, abs=0.1)
        (between,) = kinds["interfilter_crossmatch"].findings
        assert abs(between.numbers["shift_x_pix"]) < 0.05
        for each in kinds["photometry"].findings:
            assert abs(each.numbers["dmag_ap2"]) < 0.05

    def test_stars_of_gaia_are_as_far_apart_as_they_are(self, pieces):
        folder, _ = pieces
        stars = json.loads((folder / f"{FILTERS[0]}_svm_gaia_sources.json").read_text())
        table = stars["data"]["GAIA sources"]["data"]
        ra, dec = (np.array(table[name]["data"]) for name in ("RA", "DEC"))
        x, y = ra * np.cos(np.radians(dec.mean())) * 3600 / 0.128, dec * 3600 / 0.128
        apart = np.hypot(x[:, None] - x, y[:, None] - y) + np.diag(np.full(len(x), np.inf))
        found = finding(folder, "gaia_distribution", "ir f110w")
        # The image's pixels are 0.128 arcsec to 1 %.
        assert found.numbers["neighbour_pix"] == pytest.approx(apart.min(axis=1).mean(), rel=0.02)
        assert found.numbers["n_gaia"] == len(ra)


# ------------------------------------------------------------------------------- what is missing


def test_without_a_file_nothing_is_good(folder):
    report = quality_of(folder)
    assert len(report.kinds) == 8
    assert {kind.verdict for kind in report.kinds.values()} == {"not checked"}
    assert f"there is no {TOTAL}_svm_num_sources.json" in report.kinds["num_sources"].sentence
    assert len(report.kinds["compare_sourcelists"].findings) == 4


def test_a_visit_of_one_filter_has_no_other_to_compare_with(folder):
    (folder / f"{FILTERS[1]}_drz.fits").unlink()
    kind = quality_of(folder).kinds["interfilter_crossmatch"]
    assert (kind.verdict, kind.findings) == ("not checked", ())
    assert kind.sentence == "there are not two filters with images"


def test_a_file_that_is_damaged_is_not_checked(folder):
    for text in ("{", "[]", '{"data": 3}', '{"data": {"PrimaryWCS": 3}}'):
        (folder / f"{EXPOSURE}_svm_wcs.json").write_text(text)
        assert finding(folder, "wcs").verdict == "not checked"


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(MissingProduct, match="no such folder"):
        quality_of(tmp_path / "nowhere")


def test_names_tell_what_an_image_is(folder):
    (folder / "hst_15999_01_wfc3_ir_metawcs_drz.fits").touch()
    images = drizzled_images(folder)
    assert [(each.level, each.label) for each in images] == [
        ("filter", "ir f110w"),
        ("exposure", "ir f110w isim01a0"),
        ("filter", "ir f160w"),
        ("total", "ir total"),
    ]


# ------------------------------------------------------------------------------- kind by kind


def test_a_catalogue_without_a_source_is_doubtful(folder):
    (folder / f"{TOTAL}_point-cat.ecsv").touch()
    (folder / f"{TOTAL}_segment-cat.ecsv").touch()
    write(folder, f"{TOTAL}_svm_num_sources", number_of_sources={"point": 0, "segment": 7})
    found = finding(folder, "num_sources")
    assert (found.verdict, found.sentence) == ("doubtful", "no source in the point catalogue")
    assert found.numbers == {"n_point": 0, "n_segment": 7}


@pytest.mark.parametrize("point", [0, -1])
def test_a_number_of_a_catalogue_that_was_not_made_is_not_one(folder, point):
    """drizzlepac writes 0 for a catalogue that is not there, -1 for one that does not tell."""
    if point == -1:
        (folder / f"{TOTAL}_point-cat.ecsv").touch()
    write(folder, f"{TOTAL}_svm_num_sources", number_of_sources={"point": point, "segment": 0})
    found = finding(folder, "num_sources")
    assert (found.verdict, found.numbers) == ("not checked", {})


@pytest.mark.parametrize(("number", "verdict"), [(3, "doubtful"), (4, "good")])
def test_gaia_has_stars_enough_for_a_fit(folder, number, verdict):
    name = "Number of GAIA sources"
    write(folder, f"{TOTAL}_svm_gaia_sources", **{name: {name: number}})
    assert finding(folder, "gaia_sources", "ir total").verdict == verdict


@pytest.mark.parametrize(
    ("place", "spread", "verdict", "told"),
    [
        ((200.5, 150.5), (115.0, 86.0), "good", "spread over the image"),
        ((310.5, 150.5), (115.0, 86.0), "doubtful", "+28% of the side off the centre in x"),
        ((200.5, 150.5), (115.0, 40.0), "doubtful", "spread over 13% of the side in y"),
        ((200.5, math.nan), (115.0, 86.0), "not checked", "not told"),
    ],
)
def test_stars_of_gaia_are_all_over_the_image(folder, place, spread, verdict, told):
    values = {
        "Number of GAIA sources": 40,
        **{f"{axis} centroid": each for axis, each in zip("XY", place, strict=True)},
        **{f"{axis} standard deviation": each for axis, each in zip("XY", spread, strict=True)},
    }
    title = "distribution characterization statistics"
    name = f"{FILTERS[0]}_svm_gaia_distribution_characterization"
    write(folder, name, **{title: values})
    found = finding(folder, "gaia_distribution", "ir f110w")
    assert found.verdict == verdict
    assert told in found.sentence


def matched(folder, n_compared, separation):
    write(
        folder,
        f"{FILTERS[0]}_svm_point_segment_crossmatch",
        **{
            "Cross-matched point catalog": {"Right ascension": {"data": [150.0] * n_compared}},
            "Segment - point on-sky separation statistics": {"3x3 sigma-clipped mean": separation},
            "Delta_Photometry": {"median_dmagap1": 0.01, "median_dmagap2": 0.02},
        },
    )
    return finding(folder, "point_segment_crossmatch", "ir f110w")


def test_places_of_both_catalogues_agree_to_a_tenth_of_an_arcsecond(folder):
    assert matched(folder, 50, 0.099).verdict == "good"
    assert matched(folder, 50, 0.101).verdict == "doubtful"
    assert matched(folder, 9, 0.01).verdict == "not checked"
    assert matched(folder, 50, math.nan).verdict == "not checked"
    assert matched(folder, 50, 0.05).numbers["dmag_ap2"] == 0.02


def test_magnitudes_of_both_catalogues_agree_to_a_tenth(folder):
    def with_medians(first, second):
        write(
            folder,
            "isim01_ir_svm_f110w_photometry",
            **{
                f"Statistics_Mag{name}": {f"Delta_Mag{name}": {"Median": value, "StdDev": 0.1}}
                for name, value in (("Ap1", first), ("Ap2", second))
            },
        )
        return finding(folder, "photometry", "ir f110w")

    assert with_medians(0.02, -0.09).verdict == "good"
    found = with_medians(0.02, -0.11)
    assert found.verdict == "doubtful"
    assert found.sentence == "ap2: -0.110 mag between the catalogues, more than 0.1"
    assert with_medians(0.02, math.nan).verdict == "not checked"


def test_places_in_two_filters_agree_to_a_tenth_of_a_pixel(folder):
    def with_means(matches, x, y):
        title = "Interfilter cross-matched {}centroid_ref comparison - reference separation "
        write(
            folder,
            f"{FILTERS[1]}_svm_interfilter_crossmatch",
            **{
                "Interfilter cross-match details": {"number of cross-matches": matches},
                f"{title.format('x')}statistics": {"3x3 sigma-clipped mean": x},
                f"{title.format('y')}statistics": {"3x3 sigma-clipped mean": y},
            },
        )
        (found,) = quality_of(folder).kinds["interfilter_crossmatch"].findings
        return found.verdict

    assert with_means(20, 0.05, -0.09) == "good"
    assert with_means(20, 0.05, -0.11) == "doubtful"
    assert with_means(9, 0.05, 0.05) == "not checked"
    assert with_means(20, 0.05, None) == "not checked"


ACTIVE = "IDC_x-FIT_SVM_GAIAeDR3"


def frame(name, ra=150.0, dec=60.0):
    key = "primary_wcsname" if "FIT" in name else "alt_wcsname"
    # drizzlepac's orientation and scale are not read: they do not change with a fit.
    return {key: name, "crval1": ra, "crval2": dec, "orientation": 12.0, "scale": 0.128}


def exposure(folder, roll_deg=0.0, scale=1.0):
    """The level-1 exposure with its WCS, and an earlier one that it was turned from, N to E."""
    turn = np.radians(roll_deg)
    rotation = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    earlier = np.array([[-3.6e-5, 1e-7], [2e-7, 3.6e-5]])
    image = fits.ImageHDU(np.zeros((8, 8), np.float32), name="SCI")
    for key, name, matrix in (("", ACTIVE, rotation @ earlier), ("A", "IDC_x", earlier)):
        image.header[f"WCSNAME{key}"] = name
        for row in (0, 1):
            for column in (0, 1):
                image.header[f"CD{row + 1}_{column + 1}{key}"] = matrix[row, column]
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(folder / f"{EXPOSURE}_flt.fits")


@pytest.mark.parametrize(
    ("earlier", "verdict", "told"),
    [
        (frame("IDC_x"), "good", "0.000 arcsec from IDC_x; roll and scale not checked"),
        (frame("IDC_x", ra=150.0 + 4 / 3600), "good", "2.000 arcsec"),  # cos 60 deg
        (frame("IDC_x", ra=150.0 + 8 / 3600), "doubtful", "moved by 4 arcsec from IDC_x, over 3"),
        ({}, "not checked", "no earlier WCS"),
        (frame("IDC_x", dec=math.nan), "not checked", "no earlier WCS"),
    ],
)
def test_a_fit_moves_an_exposure_no_farther_than_guide_stars_are_off(
    folder, earlier, verdict, told
):
    write(folder, f"{EXPOSURE}_svm_wcs", PrimaryWCS=frame(ACTIVE), AlternateWCS_default=earlier)
    found = finding(folder, "wcs")
    assert found.verdict == verdict
    assert told in found.sentence


@pytest.mark.parametrize(
    ("turned", "verdict", "told"),
    [
        ({"roll_deg": 0.2, "scale": 1.0005}, "good", "0.000 arcsec from IDC_x"),
        ({"roll_deg": -0.4}, "doubtful", "turned by"),
        ({"scale": 0.998}, "doubtful", "its scale changed by -0.002"),
    ],
)
def test_a_fit_turns_and_stretches_no_more_than_guide_stars_and_aberration(
    folder, turned, verdict, told
):
    data = {"PrimaryWCS": frame(ACTIVE), "AlternateWCS_default": frame("IDC_x")}
    write(folder, f"{EXPOSURE}_svm_wcs", **data)
    exposure(folder, **turned)
    found = finding(folder, "wcs")
    assert found.verdict == verdict
    assert told in found.sentence
    assert found.numbers["roll_deg"] == pytest.approx(turned.get("roll_deg", 0), abs=1e-9)
    assert found.numbers["scale_change"] == pytest.approx(turned.get("scale", 1) - 1, abs=1e-9)


def test_an_exposure_that_was_not_fitted_is_doubtful(folder):
    active = {**frame(ACTIVE), "primary_wcsname": "IDC_x-GSC240"}
    write(folder, f"{EXPOSURE}_svm_wcs", PrimaryWCS=active)
    found = finding(folder, "wcs")
    assert found.verdict == "doubtful"
    assert found.sentence == "not aligned to Gaia; its WCS is IDC_x-GSC240"


def test_limits_are_the_callers(folder):
    earlier = frame("IDC_x", dec=60.0 + 1 / 3600)
    write(folder, f"{EXPOSURE}_svm_wcs", PrimaryWCS=frame(ACTIVE), AlternateWCS_default=earlier)
    assert finding(folder, "wcs").verdict == "good"
    assert finding(folder, "wcs", max_pointing_arcsec=0.5).verdict == "doubtful"

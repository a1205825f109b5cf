"""Each defect is met in drizzlepac itself: when one of these fails, its work-around goes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table

from hst_assets.failures import BadConfiguration, MissingTool, TransientFailure
from hst_assets.hap.children.upstream_defects import (
    give_wfpc2_its_limits,
    matched_lines,
    read_noise_in_counts,
    refuse_new_photutils,
)
from hst_assets_tests.stand_ins.star_service import broken_service, star_service

NOBODY = "http://127.0.0.1:9"
NO_STARS = Table({name: np.zeros(0) for name in ("ra", "dec", "ab_wfc3_ir_f110w")})

pytestmark = pytest.mark.xdist_group("hap")


def test_drizzlepac_cannot_compare_with_a_mask(drizzlepac):
    assert "broadcast" in drizzlepac("raised_by_matched_lines")


def test_the_comparison_with_the_archive_cannot_either(drizzlepac):
    task = "raised_by_the_comparison_with_the_archive"
    assert "broadcast" in drizzlepac(task, {"mended": False})
    assert drizzlepac(task, {"mended": True}) == [[1.0], [1.0]]


def test_drizzlepac_mixes_up_the_places_of_stars(drizzlepac):
    """Four pairs of stars 3 pixels apart, 100 pixels between pairs."""
    x = [0.0, 3.0, 100.0, 103.0, 200.0, 203.0, 300.0, 303.0]
    y = [10.0, 10.0, 150.0, 150.0, 310.0, 310.0, 440.0, 440.0]
    task = "mean_distance_of_neighbours"
    assert drizzlepac(task, {"x": x, "y": y, "mended": False}) != pytest.approx(3.0, abs=1.0)
    assert drizzlepac(task, {"x": x, "y": y, "mended": True}) == pytest.approx(3.0)


def test_a_match_of_several_exposures_keeps_the_lowest_detections(drizzlepac):
    """Not mended; a mean of 150 detections with 0.17 pixels is known to 0.014."""
    of_one = drizzlepac("match_of_several_exposures", {"n_exposures": 1})
    assert of_one == pytest.approx([0.0, 0.0], abs=0.06)
    x, y = drizzlepac("match_of_several_exposures", {"n_exposures": 4})
    assert x == pytest.approx(0.0, abs=0.06)
    # The least of four normal values is expected 1.03 standard deviations below their mean.
    assert y == pytest.approx(-1.03 * 0.17, abs=0.06)


def test_matched_lines_leave_out_what_is_masked():
    one = Table({"FLUX": [1.0, 2.0, 3.0]})
    other = Table({"FLUX": [30.0, 20.0, 10.0]})
    rows, others = np.array([0, 1, 2]), np.array([2, 1, 0])
    pairs = matched_lines("FLUX", one, other, rows, others, bitmask=np.array([False, True, False]))
    assert pairs.tolist() == [[1.0, 3.0], [10.0, 30.0]]
    assert matched_lines("FLUX", one, other, rows, others).shape == (2, 3)
    assert matched_lines("MAG", one, other, rows, others).shape == (2, 0)


def test_drizzlepac_asks_for_a_package_that_it_does_not_require(drizzlepac):
    assert drizzlepac("raised_by_importing_the_comparison") == "PyPDF2"


def test_a_product_that_a_file_of_parameters_lacks_is_named(drizzlepac, tmp_path):
    given = tmp_path / "given.json"
    given.write_text('{"hst_12345_01_wfc3_ir_f160w_iaaa01": {}}')
    with pytest.raises(BadConfiguration, match="none of this product") as raised:
        drizzlepac("parameters_of_another_product", {"path": str(given)})
    assert raised.value.where == "hst_12345_01_wfc3_ir_total_iaaa01"


@pytest.fixture(params=[None, 500, 503])
def outage(request):
    """A service that does not answer: nobody is there, or it has an error of its own."""
    if request.param is None:
        yield NOBODY
        return
    with broken_service(request.param).running() as server:
        yield server.url


def test_a_service_that_does_not_answer_is_noted(drizzlepac, outage):
    told = drizzlepac("outages_of_a_question", environment={"ASTROMETRIC_CATALOG_URL": outage})
    (text,) = told["outages"]
    assert text.startswith("the star catalogue did not answer (")
    assert text.endswith(f" from {outage}/vo/CatalogSearch.aspx)")
    assert told["put back"]


def test_a_service_without_stars_is_no_outage(drizzlepac):
    with star_service(NO_STARS, "ab_wfc3_ir_f110w").running() as server:
        told = drizzlepac(
            "outages_of_a_question", environment={"ASTROMETRIC_CATALOG_URL": server.url}
        )
    assert told == {"raised": None, "outages": [], "put back": True}


def test_an_outage_during_a_test_of_quality_is_no_verdict(drizzlepac, outage):
    task = "outcomes_of_tests_that_ask_for_gaia"
    environment = {"ASTROMETRIC_CATALOG_URL": outage}
    with pytest.raises(TransientFailure, match="did not answer"):
        drizzlepac(task, {"awaits_answer": True}, environment=environment)


def test_a_run_that_is_not_tried_again_tells_the_outage(drizzlepac, outage):
    task = "outcomes_of_tests_that_ask_for_gaia"
    environment = {"ASTROMETRIC_CATALOG_URL": outage}
    told = drizzlepac(task, {"awaits_answer": False}, environment=environment)
    assert told.pop("find_gaia_sources").startswith("not checked: the star catalogue did not")
    assert set(told.values()) == {"done"}


def test_tests_with_gaia_look_for_files_that_do_not_exist(drizzlepac):
    task = "files_asked_for_by_a_test_with_gaia"
    assert drizzlepac(task, {"mended": False}) == ["empty_aperture"]
    assert drizzlepac(task, {"mended": True}) == ["iaaa01a0q_flt.fits"]


@pytest.fixture
def parameters(drizzlepac, tmp_path):
    """A file of parameters whose two sections differ."""
    folder = tmp_path / "parameters"
    folder.mkdir()
    drizzlepac(
        "parameters_of_a_file", {"path": None, "use_defaults": True, "mended": False}, folder
    )
    written = json.loads((folder / "written.json").read_text())
    (product,) = written.values()
    product["parameters"]["catalog generation"]["nsigma"] = 77.0
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(written))
    return path


@pytest.mark.parametrize("use_defaults", [True, False])
def test_the_section_that_is_chosen_is_read_and_alignment_finds_it(
    drizzlepac, parameters, use_defaults
):
    task, arguments = (
        "parameters_of_a_file",
        {"path": str(parameters), "use_defaults": use_defaults},
    )
    raw = drizzlepac(task, {**arguments, "mended": False})
    assert not raw["alignment_found"]
    mended = drizzlepac(task, {**arguments, "mended": True})
    assert mended["alignment_found"]
    assert (mended["nsigma"] == 77.0) == (not use_defaults)


def test_photutils_3_is_refused():
    refuse_new_photutils("2.3.0")
    with pytest.raises(MissingTool, match="photutils 3"):
        refuse_new_photutils("3.0.1")


def test_limits_of_wfpc2s_stars_are_for_other_apertures(drizzlepac):
    raw = drizzlepac("limits_of_wfpc2", {"mended": False})
    # Where MagAp1 - MagAp2 of 0.15 and 0.45 arcsec is 0.08 to 0.28, of any star.
    assert raw["limits"] == [0.5082, 0.8239]
    assert raw["apertures"] == [0.15, 0.45]
    mended = drizzlepac("limits_of_wfpc2", {"mended": True})
    assert mended["limits"] == [0.0, 0.55]


def test_limits_that_a_file_gives_in_place_of_the_tables_stay():
    own = {"lookup_ci_limits_from_table": False, "ci_lower_limit": 0.1, "ci_upper_limit": 0.2}
    steps = {"quality control": SimpleNamespace(outpars={"ci filter": {"aperture": dict(own)}})}
    give_wfpc2_its_limits(SimpleNamespace(instrument="wfpc2", pars=steps))
    assert steps["quality control"].outpars["ci filter"]["aperture"] == own


def test_wfpc2s_read_noise_is_one_of_electrons_whatever_the_unit(drizzlepac):
    code = drizzlepac("code_of_the_read_noise")
    assert 'keyword_dict["readnse"] = 5.0' in code


@pytest.mark.parametrize(("instrument", "read_noise"), [("WFPC2", 5.0 / 7.0), ("ACS", 5.0)])
def test_wfpc2s_read_noise_is_made_one_of_its_images(instrument, read_noise):
    class Image:
        def _get_header_data(self):
            return {"instrument": instrument, "readnse": 5.0, "atodgn": 7.0}

    image = read_noise_in_counts(Image)()
    assert image._get_header_data()["readnse"] == pytest.approx(read_noise)


def test_cosmic_rays_are_told_by_noise_over_the_gain(drizzlepac):
    assert "snr1 * ta / gain" in drizzlepac("code_of_the_search_for_cosmic_rays")


def test_skies_are_matched_whatever_the_process_did_before(drizzlepac):
    """The first says when a release of skypac or spherical_geometry mends it."""
    # A nursery of its own: that of other tests may have drizzled.
    told = drizzlepac("who_lets_skies_be_matched", environment={"OF_ITS_OWN": "1"})
    assert told == [False, True]

"""Each shortcut against the function of drizzlepac that it replaces, in child processes."""

import logging
import os

import pytest

from hst_assets.hap.mosaics.grid import sky_cell_wcs
from hst_assets.hap.quicker.sky_cells import asked_once
from hst_assets.simulate.plans import small_plan

pytestmark = pytest.mark.xdist_group("hap")


def test_the_mask_of_edges_is_drizzlepacs(with_shortcuts):
    answer = with_shortcuts("edges_of_an_image")
    assert answer["differing"] == 0
    assert answer["types"] == ["int16", "int16"]
    assert 0 < answer["set"] < answer["size"]


def test_bands_of_the_sky_are_drizzlepacs(with_shortcuts):
    declinations = [[2.2, 2.21, 2.19], [-89.9, -89.95], [2.0, 2.6, 1.9], [45.0], [0.0, 60.0]]
    theirs, ours = with_shortcuts("bands_of", {"declinations": declinations})
    assert ours == theirs
    assert any(theirs)


def test_sky_cells_of_a_file_of_two_chips_are_not_traced(with_shortcuts, simulated):
    (path,) = simulated(small_plan("wfc3_uvis", n_exposures=1)).science_files()
    answer = with_shortcuts("sky_cells_of_a_file", {"file": str(path)})
    assert answer["ours"]["cells"] == answer["theirs"]["cells"]
    assert len(answer["ours"]["cells"]) == answer["theirs"]["looked"] == 2
    assert answer["ours"]["looked"] == 0


def test_outlines_tell_the_sky_cells_that_drizzlepac_traces(with_shortcuts, simulated):
    (path,) = simulated(small_plan("wfc3_uvis", n_exposures=1)).science_files()
    cell = sky_cell_wcs("skycell-p1360x10y10", "fine")
    middle, border, near = (
        list(map(float, cell.pixel_to_world_values(x, 10700.0))) for x in (10700.0, 0.0, 1100.0)
    )
    between_rows = [10.0, 6.0]  # of projection cells, which are 4 degrees apart
    places = [middle, border, near, between_rows, [0.0, -2.3], [200.0, 61.0]]
    told = with_shortcuts("names_of_sky_cells", {"file": str(path), "places": places})
    assert [one["ours"] for one in told] == [one["theirs"] for one in told]
    assert len(told[0]["ours"]) == 1
    assert len(told[1]["ours"]) > 1
    assert [told[0]["asked"], told[1]["asked"]] == [0, 1]


@pytest.mark.parametrize("pixfrac", [1.5, 1.0])
def test_a_star_on_an_empty_chip_is_drizzlepacs(with_shortcuts, pixfrac):
    arguments = {"kernel": "square", "pixfrac": pixfrac, "light": 100.0}
    answer = with_shortcuts("star_on_an_empty_chip", arguments)
    assert answer["differing"] == 0
    assert answer["lit"] >= 400
    assert answer["rows"] == 20 + 2 * 16


def test_all_rows_are_drizzled_with_another_kernel(with_shortcuts):
    arguments = {"kernel": "lanczos3", "pixfrac": 1.0, "light": 100.0}
    answer = with_shortcuts("star_on_an_empty_chip", arguments)
    assert answer["rows"] == 300


def test_a_chip_without_light_gives_none(with_shortcuts):
    arguments = {"kernel": "square", "pixfrac": 1.5, "light": 0.0}
    answer = with_shortcuts("star_on_an_empty_chip", arguments)
    assert answer["differing"] == answer["lit"] == 0
    assert answer["rows"] < 20


def test_sky_cells_near_a_pole_are_drizzlepacs_to_tell(with_shortcuts, simulated):
    (path,) = simulated(small_plan("wfc3_uvis", n_exposures=1)).science_files()
    arguments = {"file": str(path), "places": [[80.0, 88.0]]}
    (told,) = with_shortcuts("names_of_sky_cells", arguments)
    assert told["asked"] == 1


def test_cells_are_asked_for_again_when_the_file_has_changed(tmp_path):
    path = tmp_path / "exposure"
    asked = []

    def cells(names):
        asked.append(names)
        return {"cell": len(asked)}

    once = asked_once(cells)
    path.write_text("one")
    assert once([str(path)]) == once([str(path)]) == {"cell": 1}
    path.write_text("other")
    os.utime(path, ns=(1, 1))
    assert once([str(path)]) == {"cell": 2}


def test_gradients_of_an_image_are_drizzlepacs(with_shortcuts):
    answer = with_shortcuts("gradients_of_an_image")
    assert answer["differing"] == 0
    assert answer["largest"] > 0


def test_properties_of_stars_are_photutils_own(with_shortcuts):
    theirs, ours = with_shortcuts("lazy_properties_of_stars")
    assert ours == theirs
    assert "sharpness" in theirs


def test_stars_of_an_image_are_drizzlepacs(with_shortcuts):
    theirs, ours = with_shortcuts("stars_of_an_image")
    assert ours == theirs
    assert ours["kinds"][0] == "Table"
    assert 10 < len(ours["values"]["flux"]) <= ours["segments"]
    assert max(ours["values"]["npix"]) > min(ours["values"]["npix"])  # one was saturated


def test_points_on_arcs_are_those_of_spherical_geometry(with_shortcuts):
    answer = with_shortcuts("points_on_arcs")
    assert answer["ours"] == answer["theirs"]
    on_an_arc = sum(map(sum, answer["theirs"]))
    assert 0 < on_an_arc < answer["asked"] < 0.7 * sum(map(len, answer["theirs"]))


@pytest.mark.parametrize("exchanges", [False, True])
def test_points_are_found_on_the_background_that_segments_leave(with_shortcuts, exchanges):
    one = with_shortcuts("identified", {"cores": 1, "exchanges": exchanges})
    two = with_shortcuts("identified", {"cores": 2, "exchanges": exchanges})
    assert one == two
    kind, level = ("twod", 9.0) if exchanges else ("sigma_clipped", 1.0)
    assert one["found"] == [[7, f"{kind}_background", level]] * 2
    assert one["complaints"] == [f"seen on {kind}_background"]


@pytest.mark.parametrize("cores", [1, 2])
def test_what_the_log_tells_does_not_hang_on_its_level(with_shortcuts, cores):
    answer = with_shortcuts("identified", {"cores": cores, "exchanges": False, "level": "critical"})
    assert answer["complaints"] == ["seen on sigma_clipped_background"]
    assert answer["level"] == logging.CRITICAL
    told = with_shortcuts("outcome_of_a_test_that_raises", {"level": logging.CRITICAL})
    assert told.startswith("not checked: AttributeError")


def test_a_parameter_that_is_deleted_is_a_change(with_shortcuts):
    usual = {"a": 1, "b": {"c": 2, "d": [3]}}
    assert with_shortcuts("differing", {"own": usual, "usual": usual}) == {}
    own = {"b": {"c": 2, "e": 4}}
    assert with_shortcuts("differing", {"own": own, "usual": usual}) == {
        "a": None,
        "b": {"d": None, "e": 4},
    }


def test_a_piece_leaves_drizzlepac_as_it_was(with_shortcuts):
    answer = with_shortcuts("what_is_replaced")
    assert len(answer["replaced"]) >= 18
    assert [name for name, is_other in answer["replaced"].items() if not is_other] == []
    assert all(answer["restored"])
    assert answer["settings"] == [True, True, True]


def test_kinds_of_files_are_those_of_stsci_tools(with_shortcuts):
    theirs, ours = with_shortcuts("kinds_of_files")
    assert ours == theirs
    assert theirs["extensions.fits"] == [True, "mef"]
    assert len({str(told) for told in theirs.values()}) >= 3


@pytest.mark.parametrize(("kernel", "n_rows"), [("square", 20 + 2 * 16), ("lanczos3", 300)])
def test_drizzlepac_drizzles_the_rows_that_have_light(with_shortcuts, kernel, n_rows):
    answer = with_shortcuts("star_that_drizzlepac_drizzles", {"kernel": kernel})
    assert answer["differing"] == 0
    assert answer["lit"] >= 400
    assert answer["rows"] == [300, n_rows]

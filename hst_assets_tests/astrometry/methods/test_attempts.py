"""What the options of every method do to the tries on one exposure."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from hst_assets.astrometry.exposure_field import read_field
from hst_assets.astrometry.methods.attempts import align_copy
from hst_assets.astrometry.methods.catalog_fit import fit_to_catalog
from hst_assets.astrometry.working_copy import make_working_copy
from hst_assets.detection import sources
from hst_assets.detectors import DETECTORS
from hst_assets.failures import UnusableInput
from hst_assets.settings import AlignmentSettings, GateSettings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("astrometry_lone"),
    # stwcs, of what it then adds itself; no fault in the child process where this belongs.
    pytest.mark.filterwarnings("ignore:Some non-standard WCS keywords were excluded"),
]

KEY = "wfc3_uvis"


@pytest.fixture
def attempt(lone, tmp_path, monkeypatch):
    """A function that aligns a copy of the exposure to its true stars."""
    true = lone.truth.positions(lone.rootname)
    true.sort("counts", reverse=True)
    true["ra", "dec"].write(tmp_path / "true.ecsv", format="ascii.ecsv")

    def run(folder="run", tool=fit_to_catalog, **options):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        return align_copy(
            make_working_copy(lone.raw, tmp_path / folder),
            tool,
            detector=KEY,
            rootname=lone.rootname,
            catalogue=tmp_path / "true.ecsv",
            how=AlignmentSettings(**{"max_tries": 1, **options}),
            limits=GateSettings(),
        )

    return run


@pytest.fixture
def found(lone, tmp_path):
    """How many stars are found above a threshold."""
    copy = make_working_copy(lone.raw, tmp_path)
    catalogue = tmp_path / "nothing.ecsv"
    Table({"ra": [0.0], "dec": [0.0]}).write(catalogue, format="ascii.ecsv")
    field = read_field(copy, DETECTORS[KEY], lone.rootname, catalogue, AlignmentSettings())

    def count(threshold_sigma):
        return len(
            sources.exposure_sources(
                field.prepared,
                fwhm_pix=DETECTORS[KEY].fwhm_pix,
                threshold_sigma=threshold_sigma,
                brightest=10_000,
            )
        )

    return count


def test_the_threshold_curve_finds_four_times_as_many_as_are_matched(attempt, found):
    (only,) = attempt(threshold_curve=True, n_brightest=20)["tries"]
    assert found(only["threshold_sigma"] * 0.999) == 80
    assert found(only["threshold_sigma"] * 1.001) == 79
    assert only["n_sources"] == 20


def test_the_threshold_curve_ends_at_three_sigma_where_there_are_fewer(attempt):
    assert attempt(threshold_curve=True)["tries"][0]["threshold_sigma"] == 3.0


def test_without_the_curve_the_threshold_is_that_of_the_settings(attempt):
    (only,) = attempt(threshold_sigma=17.0, n_brightest=20)["tries"]
    assert only["threshold_sigma"] == 17.0


def test_the_width_of_a_star_is_that_of_the_settings(attempt):
    usual = attempt("usual")["tries"][0]["n_sources"]
    wide = attempt("wide", conv_width_pix={KEY: 6.0})["tries"][0]["n_sources"]
    # Stars of 2 px are sharper than anything of 6 px may be.
    assert wide < usual / 2
    other = attempt("other", conv_width_pix={"acs_wfc": 6.0})["tries"][0]["n_sources"]
    assert other == usual


def test_the_tolerance_is_that_of_the_settings_and_relaxed_from_there(attempt):
    narrow = {"tolerance_pix": {KEY: 0.02}, "min_objects": 80}
    outcome = attempt(**narrow, max_tries=2, tolerance_factor=1.5)
    first, second = outcome["tries"]
    assert (first["tolerance_pix"], second["tolerance_pix"]) == (0.02, 0.03)
    # Of 100 stars with centroids good to 0.05 px, not so many lie so near.
    assert "minimum 80" in first["reason"]
    other = attempt("other", tolerance_pix={"acs_wfc": 0.02})
    assert other["tries"][0]["tolerance_pix"] == DETECTORS[KEY].match_tolerance_pix


def test_star_lists_hold_what_was_matched_from_one(attempt, tmp_path):
    outcome = attempt(keep_objfile=True)
    (path,) = outcome["star_lists"]
    listed = np.loadtxt(path)
    assert len(listed) == outcome["tries"][-1]["n_sources"]
    matches = Table.read(outcome["matches"], format="ascii.ecsv")
    for star in matches:
        off = np.hypot(listed[:, 0] - 1 - star["x"], listed[:, 1] - 1 - star["y"])
        assert off.min() < 1e-5


def test_a_fit_that_cannot_be_repeated_stands(attempt):
    folders = []

    def only_once(field, stars, reference_sky, folder, **options):
        folders.append(folder.name)
        if len(folders) > 1:
            raise UnusableInput("there is no fit")
        fit = fit_to_catalog(field, stars, reference_sky, folder, **options)
        # As if it had paired few of them.
        return replace(
            fit, image_index=fit.image_index[::2], reference_index=fit.reference_index[::2]
        )

    (only,) = attempt(tool=only_once)["tries"]
    assert folders == ["try1", "again"]
    assert only["status"] == "PASS", only["reason"]


def test_star_lists_are_not_kept_unasked(attempt):
    assert attempt()["star_lists"] == []

"""Every kind of bad exposure through every method: a stated end, and nobody else is harmed."""

import re
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.astrometry.absolute.stars import star_table
from hst_assets.astrometry.alignment import make_aligned_visit
from hst_assets.astrometry.alignment_result import ExposureToAlign
from hst_assets.astrometry.alignment_table import read_alignment
from hst_assets.astrometry.methods.registry import METHODS
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.detectors import DETECTORS
from hst_assets.settings import AlignmentSettings, MachineSettings, Settings
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.truth import true_offset
from hst_assets.workdir import WorkDir
from hst_assets_tests.astrometry.conftest import prepare
from hst_assets_tests.astrometry.spoiled import SPOILERS, spoilt

pytestmark = pytest.mark.slow

PIXEL_ARCSEC = DETECTORS["wfc3_uvis"].pixel_scale_arcsec

#: What each ends as: words of the reason, or None where the exposure can be aligned all the same.
ENDS = {
    "good": None,
    "no_overlap": "no reference star within the search radius",
    "wrong_by_a_degree": "no reference star within the search radius",
    "two_stars": "2 sources on the exposure",
    "only_cosmic_rays": "sources on the exposure",
    "bare_sky": "0 sources on the exposure",
    "saturated": "of its pixels are saturated",
    "not_a_number": "100% of its pixels are bad or have no value",
    "all_zero": "all its pixels have the same value",
    "no_dq": None,
    "no_err": None,
    "no_sci": "no SCI extension",
    "dq_of_another_shape": r"DQ,1 has the shape \(100, 100\)",
    "empty_sci": "SCI,1 holds no image",
    "empty_dq": None,
    "all_dq_bad": "100% of its pixels are bad",
    "trailed": "a moving target was followed",
    "moving_target": None,
    "no_idcscale": None,
    "all_letters": None,
    "no_idctab": None,
    "idctab_not_there": None,
    "cut_short": "not a complete FITS file",
    "cut_in_the_header": "not a complete FITS file",
    "no_times": None,
    "no_wcs": "SCI,1 has no",
}
#: The catalogue's stars must be moved to the time of the exposure.
ENDS_OF_CATALOG = ENDS | {"no_times": "keyword EXPTIME is missing"}


@pytest.fixture(
    scope="module",
    params=[
        "tweakreg",
        "catalog",
        pytest.param(
            "jhat",
            marks=pytest.mark.skipif(find_spec("jhat") is None, reason="jhat is not installed"),
        ),
    ],
)
def matrix(request, lone, tmp_path_factory):
    """Each spoilt exposure, and what one call for all of them made of it."""
    folder = tmp_path_factory.mktemp(request.param)
    true = lone.truth.positions(lone.rootname)
    true.sort("counts", reverse=True)
    star_table({"ra": true["ra"], "dec": true["dec"]}).write(
        folder / "stars.ecsv", format="ascii.ecsv"
    )
    targets = []
    for number, name in enumerate(SPOILERS):
        rootname = f"isim{number:02d}x0q"
        raw = spoilt(name, lone.raw, folder / f"{rootname}_flc.fits")
        targets.append(ExposureToAlign(raw, rootname, "wfc3_uvis"))
    (folder / "scratch").mkdir()
    outcomes = METHODS[request.param].align(
        targets,
        folder / "stars.ecsv",
        settings=Settings(
            alignment=AlignmentSettings(max_tries=2),
            machine=MachineSettings(tool_timeout_s=200),
        ),
        workdir=WorkDir(folder, "field").create(),
        scratch=folder / "scratch",
        stage="test",
    )
    made = dict(zip(SPOILERS, zip(targets, outcomes, strict=True), strict=True))
    return request.param, true, made


def test_the_table_has_every_kind():
    assert ENDS.keys() == SPOILERS.keys()


@pytest.mark.parametrize("name", SPOILERS)
def test_each_ends_as_stated(matrix, name):
    method, true, made = matrix
    target, outcome = made[name]
    words = (ENDS_OF_CATALOG if method == "catalog" else ENDS)[name]
    # A verdict on the exposure, which is recorded; not a fault of the machine, tried for ever.
    assert outcome.failure is None
    if words is None:
        assert outcome.status == "PASS", outcome.reason
        left = true_offset(outcome.files[0], true)
        # Ten times what is left of a good exposure: a wrong fit would be off by pixels.
        assert np.hypot(left.east_arcsec, left.north_arcsec) < 0.1 * PIXEL_ARCSEC
    else:
        assert outcome.status == "FAIL"
        assert_words(words, outcome.reason)
        for path in outcome.files:
            assert wcs_cards(path) == wcs_cards(target.raw)


def assert_words(words, reason):
    assert re.search(words, reason), reason
    assert "Traceback" not in reason


def wcs_cards(path):
    """The linear WCS of a file, extension by extension."""
    keys = [f"{key}{axis}" for key in ("CRVAL", "CRPIX") for axis in (1, 2)]
    keys += ["CD1_1", "CD1_2", "CD2_1", "CD2_2"]
    with fits.open(path, ignore_missing_simple=True) as hdus:
        return [[hdu.header.get(key) for key in keys] for hdu in hdus if hdu.name == "SCI"]


def test_wfpc2_without_its_quality_file_is_refused(simulated, tmp_path):
    truth = simulated(small_plan("wfpc2", n_exposures=1))
    (whole,) = truth.science_files()
    alone = tmp_path / "alone"
    alone.mkdir()
    raw = shutil.copyfile(whole, alone / whole.name)
    true = truth.positions(raw.name[:9])
    true["ra", "dec"].write(tmp_path / "true.ecsv", format="ascii.ecsv")
    (outcome,) = METHODS["tweakreg"].align(
        [ExposureToAlign(raw, raw.name[:9], "wfpc2")],
        tmp_path / "true.ecsv",
        settings=Settings(),
        workdir=WorkDir(tmp_path, "field").create(),
        scratch=tmp_path,
        stage="test",
    )
    assert (outcome.status, outcome.files, outcome.failure) == ("FAIL", (), None)
    assert "the file is missing" in outcome.reason


def test_the_other_exposures_of_the_visit_are_as_without_the_bad_ones(tmp_path):
    truth = simulate_campaign(small_plan("wfc3_uvis", n_exposures=4), tmp_path / "sky")
    files = truth.science_files()
    for name, raw in zip(("two_stars", "trailed"), files[2:], strict=True):
        whole = shutil.move(raw, tmp_path / raw.name)
        spoilt(name, whole, raw)
    workdir = WorkDir(tmp_path / "root", "field")
    settings, (visit,) = prepare(workdir, [truth.exposure_folder])
    make_reference(workdir, settings)
    make_aligned_visit(workdir, visit, settings)
    table = read_alignment(workdir.visit_alignment(visit))
    assert list(table["status"]) == ["PASS", "PASS", "FAIL", "FAIL"]
    assert list(table["used"]) == [True, True, False, False]
    assert "2 sources on the exposure" in table["reason"][2]
    assert "a moving target was followed" in table["reason"][3]
    offsets = [
        true_offset(workdir.aligned(path.name), truth.positions(path.name[:9]))
        for path in files[:2]
    ]
    apart = [
        offsets[0].east_arcsec - offsets[1].east_arcsec,
        offsets[0].north_arcsec - offsets[1].north_arcsec,
    ]
    assert np.hypot(*apart) < 0.05 * PIXEL_ARCSEC

"""JHAT itself on simulated exposures: what it leaves, and every way in which it may fail."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from hst_assets.astrometry.alignment import make_aligned_visit
from hst_assets.astrometry.alignment_result import ExposureToAlign
from hst_assets.astrometry.alignment_table import read_alignment
from hst_assets.astrometry.methods.registry import METHODS
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration
from hst_assets.isolation import run_isolated
from hst_assets.settings import AlignmentSettings, Settings
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.truth import true_offset
from hst_assets.workdir import WorkDir
from hst_assets_tests.astrometry.conftest import prepare

from .test_tweakreg import SCALE, TURN_DEG, deformed, rotation_matrix

needs_jhat = pytest.mark.skipif(find_spec("jhat") is None, reason="the extra jhat is not installed")


def aligned(raw, detector_key, true, folder, **alignment):
    """The outcome for one exposure against a catalogue of its true stars."""
    catalogue = folder / "true.ecsv"
    true.sort("counts", reverse=True)
    true["ra", "dec"].write(catalogue, format="ascii.ecsv")
    (folder / "scratch").mkdir()
    (outcome,) = METHODS["jhat"].align(
        [ExposureToAlign(raw, raw.name[:9], detector_key)],
        catalogue,
        settings=Settings(alignment=AlignmentSettings(**alignment)),
        workdir=WorkDir(folder, "field").create(),
        scratch=folder / "scratch",
        stage="test",
    )
    return outcome


@needs_jhat
@pytest.mark.slow
@pytest.mark.parametrize("detector_key", ["wfc3_uvis", "wfc3_ir", "wfpc2"])
def test_every_chip_comes_to_where_its_stars_are(simulated, tmp_path, detector_key):
    truth = simulated(small_plan(detector_key, n_exposures=1))
    (raw,) = truth.science_files()
    before = raw.read_bytes()
    true = truth.positions(raw.name[:9])
    outcome = aligned(raw, detector_key, true, tmp_path)
    assert outcome.status == "PASS", outcome.reason
    assert outcome.method == "jhat"
    pixel = DETECTORS[detector_key].pixel_scale_arcsec
    chips = np.unique(true["chip"])
    assert len(chips) == (4 if detector_key == "wfpc2" else 1)
    for chip in chips:
        left = true_offset(outcome.files[0], true[true["chip"] == chip])
        # About 0.05 px a star: 70 stars on the smallest frame give 0.006 px a parameter.
        assert np.hypot(left.east_arcsec, left.north_arcsec) < 0.03 * pixel
        assert left.scatter_arcsec < 0.02 * pixel
        assert np.hypot(*offset_of(raw, true[true["chip"] == chip])) > 0.5 * pixel
        header = fits.getheader(outcome.files[0], "SCI", int(chip))
        assert header["WCSNAME"] == "JHAT-HST_ASSETS"
    assert raw.read_bytes() == before


def offset_of(exposure, true):
    offset = true_offset(exposure, true)
    return offset.east_arcsec, offset.north_arcsec


@needs_jhat
@pytest.mark.slow
@pytest.mark.parametrize(
    ("geometry", "turn_deg", "scale"),
    [("shift", 0.0, 1.0), ("rshift", -TURN_DEG, 1.0), ("rscale", -TURN_DEG, SCALE)],
)
def test_the_geometry_that_was_asked_is_fitted(lone, tmp_path, geometry, turn_deg, scale):
    """The sky is turned and stretched; what the geometry does not hold must stay in."""
    matrix = SCALE * rotation_matrix(-TURN_DEG)
    true = deformed(lone.truth.positions(lone.rootname), matrix)
    outcome = aligned(
        lone.raw,
        "wfc3_uvis",
        true,
        tmp_path,
        fit_geometry=geometry,
        six_terms="never",
        max_tries=1,
        tolerance_pix={"wfc3_uvis": 1},
    )
    # 0.05 px a star over 70 stars of 512 px: 0.002 deg.
    assert outcome.numbers.rotation_deg == pytest.approx(turn_deg, abs=0.008)
    assert outcome.numbers.scale == pytest.approx(scale, abs=1.2e-4)
    if geometry == "shift":  # the gate sees what was left in
        assert abs(outcome.numbers.rotation_deg) < 1e-5
    else:
        assert outcome.status == "PASS", outcome.reason


@needs_jhat
@pytest.mark.slow
def test_stars_of_another_field_are_a_failure(lone, tmp_path):
    """JHAT fits them all the same, and says nothing."""
    true = lone.truth.positions(lone.rootname)
    rng = np.random.default_rng(3)
    for axis in ("ra", "dec"):
        low, high = np.min(true[axis]), np.max(true[axis])
        true[axis] = rng.uniform(low, high, len(true))
    outcome = aligned(lone.raw, "wfc3_uvis", true, tmp_path, min_objects=3, max_tries=2)
    assert (outcome.status, outcome.failure) == ("FAIL", None)
    assert outcome.reason
    assert fits.getheader(outcome.files[0], "SCI", 1) == fits.getheader(lone.raw, "SCI", 1)
    assert all(each["status"] == "FAIL" for each in outcome.tries)
    # It did find something to fit: the gate refused it, not the tool.
    assert any("n_matches" in each for each in outcome.tries)


@needs_jhat
@pytest.mark.slow
def test_a_reference_beyond_the_search_radius_is_a_failure(lone, tmp_path):
    true = lone.truth.positions(lone.rootname)
    true["dec"] += 0.01
    outcome = aligned(lone.raw, "wfc3_uvis", true, tmp_path)
    assert (outcome.status, outcome.failure) == ("FAIL", None)
    assert "too few" in outcome.reason


def test_without_the_package_nothing_is_tried(lone, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jhat", None)  # as if it were not installed
    with pytest.raises(BadConfiguration, match=r"hst_assets\[jhat\]"):
        aligned(lone.raw, "wfc3_uvis", lone.truth.positions(lone.rootname), tmp_path)
    assert not list((tmp_path / "scratch").iterdir())
    assert not list(WorkDir(tmp_path, "field").root.rglob("*.log"))


@needs_jhat
@pytest.mark.slow
def test_jhat_asks_for_hosts_when_it_is_imported_and_is_refused(tmp_path):
    """The first is why its children are kept off the network; the second that they are."""

    def run(function, module):
        return run_isolated(
            f"networked_tasks:{function}",
            {"module": module},
            scratch=tmp_path,
            log_path=tmp_path / "log",
            timeout_s=120,
            environment={"PYTHONPATH": str(Path(__file__).parents[1])},
        )

    assert "github.com" in run("names_asked_for", "jhat")
    assert "kept off" in run("name_after_import", "hst_assets.astrometry.methods.jhat_task")


@pytest.fixture(scope="module")
def pair(simulated, tmp_path_factory):
    """Two exposures of one visit onto their reference; nothing is aligned yet."""
    folder = tmp_path_factory.mktemp("pair")
    truth = simulated(small_plan("wfc3_uvis", n_exposures=2))
    workdir = WorkDir(folder / "root", "field")
    settings, (visit,) = prepare(workdir, [truth.exposure_folder])
    make_reference(workdir, settings)
    return workdir, visit


@needs_jhat
@pytest.mark.slow
@pytest.mark.parametrize("ladder", [("jhat", "tweakreg"), ("tweakreg", "jhat")])
def test_the_first_method_that_passes_is_the_one_taken(pair, tmp_path, ladder):
    shutil.copytree(pair[0].root, tmp_path / "root")
    workdir, visit = WorkDir(tmp_path / "root", "field"), pair[1]
    settings = Settings(alignment=AlignmentSettings(align_with=ladder))
    make_aligned_visit(workdir, visit, settings)
    table = read_alignment(workdir.visit_alignment(visit))
    assert list(table["status"]) == ["PASS", "PASS"]
    assert set(table["method"]) == {ladder[0]}
    name = {"jhat": "JHAT-HST_ASSETS", "tweakreg": "TWEAK-HST_ASSETS"}[ladder[0]]
    for row in table:
        header = fits.getheader(workdir.aligned(str(row["file"])), 0)
        assert header["HST123 ALIGNMT"] == ladder[0]
        assert fits.getheader(workdir.aligned(str(row["file"])), "SCI", 1)["WCSNAME"] == name
        assert len(Table.read(workdir.exposure_matches(str(row["rootname"])))) > 20


@pytest.mark.slow
def test_a_ladder_with_a_method_that_is_not_installed_stops_before_it_begins(
    pair, tmp_path, monkeypatch
):
    shutil.copytree(pair[0].root, tmp_path / "root")
    workdir, visit = WorkDir(tmp_path / "root", "field"), pair[1]
    monkeypatch.setitem(sys.modules, "jhat", None)
    settings = Settings(alignment=AlignmentSettings(align_with=("tweakreg", "jhat")))
    with pytest.raises(BadConfiguration, match=r"hst_assets\[jhat\]"):
        make_aligned_visit(workdir, visit, settings)
    assert not list(workdir.root.rglob("aligned_exposures*.log"))

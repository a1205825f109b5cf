"""The method ``catalog`` on simulated exposures, judged by the truth through the WCS it wrote."""

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.astrometry.absolute.stars import julian_year, star_table
from hst_assets.astrometry.alignment_result import ExposureToAlign
from hst_assets.astrometry.methods.catalog_fit import WCS_NAME
from hst_assets.astrometry.methods.registry import METHODS
from hst_assets.detectors import DETECTORS
from hst_assets.settings import AlignmentSettings, CatalogSettings, Settings
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.truth import true_offset
from hst_assets.workdir import WorkDir

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("astrometry_catalog")]

#: One part in about 100 stars of 0.1 px each is 0.01 px; five times that.
LIMIT_PIX = 0.05


def brightest_first(truth, rootname):
    true = truth.positions(rootname)
    true.sort("counts", reverse=True)
    return true


def as_stars(true, **columns):
    """The truth as an absolute catalogue."""
    mag = -2.5 * np.log10(true["counts"])
    return star_table({"ra": true["ra"], "dec": true["dec"], "mag": mag, **columns})


def aligned(raw, key, stars, folder, *, catalog=None, **alignment):
    folder.mkdir()
    path = folder / "absolute.ecsv"
    stars.write(path, format="ascii.ecsv")
    (outcome,) = METHODS["catalog"].align(
        [ExposureToAlign(raw, raw.name[:9], key)],
        path,
        settings=Settings(
            alignment=AlignmentSettings(**alignment), catalog=catalog or CatalogSettings()
        ),
        workdir=WorkDir(folder, "field").create(),
        scratch=folder,
        stage="test",
    )
    return outcome


def error_pix(outcome, true, key):
    left = true_offset(outcome.files[0], true)
    scale = DETECTORS[key].pixel_scale_arcsec
    return np.hypot(left.east_arcsec, left.north_arcsec) / scale, left.scatter_arcsec / scale


@pytest.mark.parametrize("key", DETECTORS)
def test_every_detector_comes_onto_the_catalogue(simulated, tmp_path, key):
    truth = simulated(small_plan(key, n_exposures=1))
    (raw,) = truth.science_files()
    true = brightest_first(truth, raw.name[:9])
    before, _ = error_pix(_Untouched(raw), true, key)
    assert before > 5 * LIMIT_PIX  # there was something to do
    outcome = aligned(raw, key, as_stars(true), tmp_path / "run")
    assert (outcome.status, outcome.method) == ("PASS", "catalog"), outcome.reason
    offset, scatter = error_pix(outcome, true, key)
    assert offset < LIMIT_PIX
    assert scatter < LIMIT_PIX  # all chips were moved as one


class _Untouched:
    def __init__(self, raw):
        self.files = (raw,)


def test_the_header_keeps_its_distortion_and_names_the_new_wcs(lone, tmp_path):
    true = brightest_first(lone.truth, lone.rootname)
    outcome = aligned(lone.raw, "wfc3_uvis", as_stars(true), tmp_path / "run")
    before = fits.getheader(lone.raw, "SCI", 1)
    after = fits.getheader(outcome.files[0], "SCI", 1)
    assert after["WCSNAME"] == WCS_NAME
    assert before["WCSNAME"] in [after[f"WCSNAME{key}"] for key in "AB" if f"WCSNAME{key}" in after]
    assert after["CTYPE1"] == "RA---TAN-SIP"
    for key in (key for key in before if key[:2] in ("A_", "B_")):
        assert after[key] == pytest.approx(before[key], rel=1e-12), key
    assert after["CRPIX1"] == before["CRPIX1"]
    assert after["CRVAL1"] != before["CRVAL1"]


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """An exposure of 2003 and its stars as a catalogue of 2016 that move by hundreds of mas/yr."""
    folder = tmp_path_factory.mktemp("moving")
    truth = simulate_campaign(small_plan("acs_wfc", n_exposures=1, mjd=52980.0), folder / "sky")
    (raw,) = truth.science_files()
    true = brightest_first(truth, raw.name[:9])
    header = fits.getheader(raw)
    years = 2016.0 - julian_year(0.5 * (header["EXPSTART"] + header["EXPEND"]))
    assert years > 12
    rng = np.random.default_rng(8)
    pmra, pmdec = rng.normal(0, 250, (2, len(true)))
    dec = true["dec"] + pmdec * years / 3.6e6
    ra = true["ra"] + pmra * years / 3.6e6 / np.cos(np.radians(true["dec"]))
    columns = {"ra": ra, "dec": dec, "epoch": np.full(len(true), 2016.0)}
    return raw, true, columns, {"pmra": pmra, "pmdec": pmdec}


def test_stars_are_where_they_were_when_the_exposure_was_taken(moving, tmp_path):
    raw, true, columns, motions = moving
    outcome = aligned(raw, "acs_wfc", as_stars(true, **columns, **motions), tmp_path / "run")
    assert outcome.status == "PASS", outcome.reason
    offset, _ = error_pix(outcome, true, "acs_wfc")
    assert offset < LIMIT_PIX


def test_without_their_motions_nothing_fits(moving, tmp_path):
    """The control of the test above: the stars went 3 arcsec, in all directions."""
    raw, true, columns, _ = moving
    outcome = aligned(raw, "acs_wfc", as_stars(true, **columns), tmp_path / "run", max_tries=1)
    assert outcome.status == "FAIL"


def test_stars_that_are_not_certain_enough_are_left_out(moving, tmp_path):
    raw, true, columns, motions = moving
    errors = {"motion_error": np.full(len(true), 2.0)}  # 25 mas over the years
    stars = as_stars(true, **columns, **motions, **errors)
    outcome = aligned(raw, "acs_wfc", stars, tmp_path / "strict", max_tries=1)
    assert "0 on the reference: too few" in outcome.reason
    log = WorkDir(tmp_path / "strict", "field").log("test", raw.name[:9])
    assert "0 of the reference: FAIL" in log.read_text()
    generous = CatalogSettings(max_position_error_mas=50)
    assert aligned(raw, "acs_wfc", stars, tmp_path / "run", catalog=generous).status == "PASS"


@pytest.mark.parametrize(
    ("geometry", "passes"), [("shift", False), ("rshift", False), ("rscale", True)]
)
def test_the_geometry_is_that_of_the_settings(lone, tmp_path, geometry, passes):
    """A sky that is 0.08 % larger fits a scale and nothing less: 0.2 px at the edge of 512."""
    true = brightest_first(lone.truth, lone.rootname)
    middle = np.array([np.mean(true["ra"]), np.mean(true["dec"])])
    true["ra"] = middle[0] + (true["ra"] - middle[0]) * 1.0008
    true["dec"] = middle[1] + (true["dec"] - middle[1]) * 1.0008
    outcome = aligned(
        lone.raw,
        "wfc3_uvis",
        as_stars(true),
        tmp_path / "run",
        fit_geometry=geometry,
        six_terms="never",
    )
    _, scatter = error_pix(outcome, true, "wfc3_uvis")
    assert (scatter < 0.03) == passes
    assert outcome.numbers.scale == pytest.approx(1.0008 if passes else 1.0, abs=1.5e-4)


def test_without_magnitudes_all_stars_are_matched_and_not_those_of_one_edge(simulated, tmp_path):
    """A table by right ascension, of which the first few hundred cover a strip."""
    key = "wfc3_uvis"
    truth = simulated(small_plan(key))
    raw, *_ = truth.science_files()
    true = brightest_first(truth, raw.name[:9])
    rng = np.random.default_rng(9)
    low, high = ([f(true[axis]) for axis in ("ra", "dec")] for f in (np.min, np.max))
    sky = np.vstack([rng.uniform(low, high, (3000, 2)), np.column_stack([true["ra"], true["dec"]])])
    ra, dec = sky[np.argsort(sky[:, 0])].T
    options = {"n_brightest": 200, "max_tries": 1}
    outcome = aligned(raw, key, star_table({"ra": ra, "dec": dec}), tmp_path / "all", **options)
    assert outcome.status == "PASS", outcome.reason
    assert outcome.tries[0]["n_reference"] == len(sky)
    assert error_pix(outcome, true, key)[0] < LIMIT_PIX

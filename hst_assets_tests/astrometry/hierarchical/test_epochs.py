"""Exposures that cannot be aligned alone, and the drizzled epoch that can."""

import json
import shutil
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from hst_assets.astrometry.alignment import make_aligned_visit
from hst_assets.astrometry.alignment_result import AlignmentResult, ExposureToAlign
from hst_assets.astrometry.alignment_table import read_alignment
from hst_assets.astrometry.gate import FitNumbers
from hst_assets.astrometry.hierarchical import epoch_task
from hst_assets.astrometry.hierarchical import epochs as hierarchical
from hst_assets.astrometry.hierarchical.epoch_fit import as_exposure, motion_between
from hst_assets.astrometry.hierarchical.epoch_task import align_epoch, restore
from hst_assets.astrometry.hierarchical.epochs import METHOD
from hst_assets.astrometry.hierarchical.visit_wcs import common_solution, restore_solution
from hst_assets.astrometry.methods.ladder import Onto
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.detection import image_planes
from hst_assets.detectors import DETECTORS
from hst_assets.failures import OutOfMemory, ToolFailed, UnusableInput
from hst_assets.imaging.frames import Frame
from hst_assets.provenance import read_record
from hst_assets.settings import AlignmentSettings, GateSettings, Settings, TargetSettings
from hst_assets.simulate.campaign import (
    CampaignPlan,
    ScenePlan,
    Subarray,
    VisitPlan,
    simulate_campaign,
)
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.truth import true_offset
from hst_assets.workdir import WorkDir
from hst_assets_tests.astrometry.conftest import prepare
from hst_assets_tests.astrometry.spoiled import SPOILERS, spoilt

SCALE_ARCSEC = DETECTORS["wfc3_uvis"].pixel_scale_arcsec


# ----------------------------------------------------------------------------- a sparse visit


class Sparse:
    """A deep exposure as reference; four short dithered ones with fewer than ten common stars."""

    def __init__(self, folder):
        deep = VisitPlan(
            visit="isim01",
            detector_key="wfc3_uvis",
            filters=("F606W",),
            n_exposures=1,
            exptime_s=900.0,
            mjd=57210.25,
            subarray=Subarray(700, 500, 1024, 1024),
            dither_arcsec=0.6,
        )
        short = replace(
            deep,
            visit="isim02",
            n_exposures=4,
            exptime_s=100.0,
            mjd=57250.0,
            subarray=Subarray(1000, 800, 512, 512),
            dither_arcsec=5.0,
            pointing_error_arcsec=(0.31, -0.22),
            roll_error_deg=0.004,
        )
        scene = ScenePlan(18.0, 28, (20.5, 23.5), n_isolated=0, n_galaxies=0)
        plan = CampaignPlan("sparse", 150.1, 2.2, (deep, short), scene=scene, seed=11)
        self.visit = short.visit
        self.truth = simulate_campaign(plan, folder / "sky", max_cores=2)
        self.settings = Settings(target=TargetSettings(ra_deg=plan.ra_deg, dec_deg=plan.dec_deg))
        self.workdir = WorkDir(folder / "root", "field")
        prepare(self.workdir, [self.truth.exposure_folder], self.settings)
        self.anchor = make_reference(self.workdir, self.settings).facts["anchor"]

    def set(self, **alignment):
        return self.settings.model_copy(update={"alignment": AlignmentSettings(**alignment)})

    def errors_pix(self, workdir, table):
        """Distance of each exposure from the true sky in the reference's frame."""
        frame = self._offset(workdir.raw / f"{self.anchor}_flc.fits")
        return {
            str(row["rootname"]): float(
                np.hypot(*(self._offset(workdir.aligned(str(row["file"]))) - frame)) / SCALE_ARCSEC
            )
            for row in table
        }

    def _offset(self, path):
        offset = true_offset(path, self.truth.positions(path.name[:9]))
        return np.array([offset.east_arcsec, offset.north_arcsec])


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    return Sparse(tmp_path_factory.mktemp("sparse"))


@pytest.fixture(scope="module")
def rescued(sparse):
    """The facts and table of the hierarchical alignment."""
    settings = sparse.set(hierarchical=True)
    made = make_aligned_visit(sparse.workdir, sparse.visit, settings)
    return made, read_alignment(sparse.workdir.visit_alignment(sparse.visit))


@pytest.fixture
def copied(sparse, tmp_path):
    shutil.copytree(sparse.workdir.root, tmp_path / "root")
    return WorkDir(tmp_path / "root", "field")


@pytest.mark.slow
def test_alone_they_fail(sparse, copied):
    make_aligned_visit(copied, sparse.visit, sparse.settings)
    table = read_alignment(copied.visit_alignment(sparse.visit))
    assert set(table["status"]) == {"FAIL"}
    assert min(sparse.errors_pix(copied, table).values()) > 5


@pytest.mark.slow
def test_their_drizzled_epoch_brings_them_within_a_tenth_of_a_pixel(sparse, rescued):
    _, table = rescued
    assert len(table) == 4
    assert table["used"].all()
    assert max(sparse.errors_pix(sparse.workdir, table).values()) < 0.1
    kept = np.asarray(table["method"]) == METHOD
    assert kept.any()
    assert set(table["status"][kept]) == {"COMPROMISED"}
    for row in table[kept]:
        assert "has the WCS of its drizzled epoch" in row["reason"]
        assert "its own fit failed" in row["reason"]
        header = fits.getheader(sparse.workdir.aligned(str(row["file"])))
        assert header["HST123 ALIGNMT"] == METHOD
        assert header["HST123 ALIGNST"] == "COMPROMISED"
    # From the archive's WCS, whatever an exposure's own fit began from.
    assert np.all(np.abs(table["shift_ra"].to_value("arcsec") - 0.31) < 0.1)
    assert np.all(np.abs(table["shift_dec"].to_value("arcsec") + 0.22) < 0.1)


@pytest.mark.slow
def test_the_epoch_is_on_record_and_nothing_changed_nothing_runs(sparse, rescued):
    made, table = rescued
    settings = sparse.set(hierarchical=True)
    assert not make_aligned_visit(sparse.workdir, sparse.visit, settings).ran
    for row in table:
        record = read_record(sparse.workdir.aligned(str(row["file"])))
        assert record.facts["tries"][0]["method"] == METHOD
        # All four decide what each of them is.
        assert sum(key.startswith("raw:") for key in record.recipe["inputs"]) == 4
        assert set(hierarchical.TOOLS) <= set(record.recipe["tools"])
    json.dumps(made.facts)
    # The reference is made of exposures that are aligned one by one.
    assert not make_reference(sparse.workdir, settings).ran


@pytest.mark.slow
def test_a_wrong_epoch_does_not_pass(sparse, copied):
    """The reference's stars are those of another field."""
    rng = np.random.default_rng(3)
    table = Table.read(copied.reference_catalog, format="ascii.ecsv")
    for name in ("ra", "dec"):
        values = np.asarray(table[name])
        table[name] = rng.uniform(values.min(), values.max(), len(table))
    table.write(copied.reference_catalog, format="ascii.ecsv", overwrite=True)
    make_aligned_visit(copied, sparse.visit, sparse.set(hierarchical=True), redo=True)
    result = read_alignment(copied.visit_alignment(sparse.visit))
    assert set(result["status"]) == {"FAIL"}
    assert METHOD not in set(result["method"])
    for row in result:
        first, *_ = read_record(copied.aligned(str(row["file"]))).facts["tries"]
        assert (first["method"], first["status"]) == (METHOD, "FAIL")


@pytest.mark.slow
def test_an_exposure_that_was_elsewhere_does_not_keep_its_epochs_wcs(sparse, copied):
    """Its header is 0.6 arcsec (15 pixels) off those of the others of its visit."""
    rootname = "isim02a3q"
    path = copied.raw / f"{rootname}_flc.fits"
    path.chmod(0o644)
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].header["CRVAL2"] += 0.6 / 3600
    make_aligned_visit(copied, sparse.visit, sparse.set(hierarchical=True), redo=True)
    result = read_alignment(copied.visit_alignment(sparse.visit))
    errors = sparse.errors_pix(copied, result[result["used"]])
    assert max(errors.values(), default=0.0) < 0.3
    (row,) = result[np.asarray(result["rootname"]) == rootname]
    assert row["status"] == "FAIL" or rootname in errors


# --------------------------------------------------------------------------- what is an epoch


def test_an_epoch_has_two_exposures_of_a_filter_and_no_broken_one(tmp_path):
    plan = small_plan("wfc3_ir", filters=("F110W", "F160W"), n_exposures=3)
    truth = simulate_campaign(plan, tmp_path)
    paths = sorted(truth.science_files())
    targets = [ExposureToAlign(path, path.name[:9], "wfc3_ir") for path in paths]

    def epochs():
        found = hierarchical._epochs(targets)
        return {epoch.band: [target.rootname for target in epoch.exposures] for epoch in found}

    names = [target.rootname for target in targets]
    assert epochs() == {"wfc3_ir.f110w": names[:3], "wfc3_ir.f160w": names[3:]}
    for path in (paths[1], paths[3], paths[4]):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-40_000])
    assert epochs() == {"wfc3_ir.f110w": [names[0], names[2]]}


@pytest.mark.parametrize("kind", sorted(SPOILERS))
def test_a_bad_exposure_costs_at_most_its_epoch(kind, tmp_path, two_exposures):
    """It is left out, or the epoch can be drizzled, or there is a reason why not."""
    good, other = two_exposures
    bad = spoilt(kind, other, tmp_path / other.name)
    workdir = WorkDir(tmp_path / "root", "field").create()
    run = hierarchical._Run(Onto(tmp_path), Settings(), workdir, workdir.runfiles, "stage")
    for epoch in hierarchical._epochs(
        [ExposureToAlign(path, path.name[:9], "wfc3_uvis") for path in (good, bad)]
    ):
        epoch = run.consistent(epoch)
        assert len(epoch.exposures) == 2
        with suppress(UnusableInput):  # which costs the epoch, and no exposure
            assert run._request(epoch).frame.scale_arcsec == SCALE_ARCSEC


@pytest.fixture(scope="module")
def two_exposures(simulated):
    return sorted(simulated(small_plan("wfc3_uvis")).science_files())


# ------------------------------------------------------------- outcomes, from answers by hand


NUMBERS = dict.fromkeys(FitNumbers.__dataclass_fields__, 1.0)
BELIEVED = hierarchical._Solution(
    {
        "status": "PASS",
        "reason": "",
        "tries": [{"status": "PASS"}],
        "numbers": NUMBERS,
        "shift_ra_arcsec": 0.25,
        "shift_dec_arcsec": -0.5,
        "rotation_deg": 0.01,
    }
)
SETTLED = {
    "files": ["/b_flc.fits"],
    "n_near": 6,
    "offset_pix": 0.3,
    "shifted": True,
    "against": "",
}


@pytest.fixture
def failed(tmp_path):
    return AlignmentResult((tmp_path / "a_flc.fits",), "FAIL", "tweakreg", reason="too few stars")


def test_a_failed_exposure_keeps_its_epochs_wcs_and_says_so(failed):
    outcome = hierarchical._result(failed, BELIEVED, SETTLED)
    assert (outcome.status, outcome.method) == ("COMPROMISED", METHOD)
    assert [path.name for path in outcome.files] == ["b_flc.fits"]
    assert "shifted by 0.30 px to match 6 of its own stars" in outcome.reason
    assert "too few stars" in outcome.reason
    few = hierarchical._result(failed, BELIEVED, {**SETTLED, "n_near": 2, "shifted": False})
    assert few.status == "COMPROMISED"
    assert "2 stars of its own, too few for a check" in few.reason


def test_stars_that_speak_against_it_make_it_fail(failed):
    outcome = hierarchical._result(failed, BELIEVED, {**SETTLED, "against": "8 agree elsewhere"})
    assert outcome.status == "FAIL"
    assert "8 agree elsewhere" in outcome.reason
    assert outcome.failure is None


def test_a_fit_of_its_own_is_counted_from_the_archives_wcs(failed):
    passed = replace(failed, status="PASS", numbers=FitNumbers.from_json(NUMBERS))
    outcome = hierarchical._result(passed, BELIEVED, None)
    assert outcome.status == "PASS"
    assert outcome.method == "tweakreg"
    assert outcome.numbers.shift_ra_arcsec == 1.25
    assert outcome.numbers.shift_dec_arcsec == 0.5
    assert outcome.numbers.rotation_deg == 1.01


def test_where_the_tool_failed_on_the_epoch_nothing_is_concluded(failed):
    for error, recorded in ((OutOfMemory("killed"), False), (UnusableInput("no overlap"), True)):
        solution = hierarchical._solution(error)
        outcome = hierarchical._result(failed, solution, None)
        assert outcome.status == "FAIL"
        assert (outcome.failure is None) == recorded
        assert outcome.tries[0]["reason"] == error.what
        passed = hierarchical._result(replace(failed, status="PASS"), solution, None)
        assert passed.failure is None
    unsettled = hierarchical._result(failed, BELIEVED, ToolFailed("crashed"))
    assert isinstance(unsettled.failure, ToolFailed)


# ----------------------------------------------------------------------------- the epoch's fit


@pytest.fixture
def epoch(tmp_path):
    """A drizzled image with 60 stars, and a catalogue that has them shifted and turned."""
    rng = np.random.default_rng(8)
    frame = Frame(150.1, 2.2, SCALE_ARCSEC, 500, 420, 251, 211)
    x, y = rng.uniform(20, 480, 60), rng.uniform(20, 400, 60)
    rows, columns = np.mgrid[0:420, 0:500]
    image = rng.normal(0, 0.02, frame.shape)
    for x0, y0, flux in zip(x, y, rng.uniform(30, 300, 60), strict=True):
        image += flux / 6.3 * np.exp(-((columns - x0) ** 2 + (rows - y0) ** 2) / 2)
    weight = np.ones(frame.shape, "f4")
    weight[:, 495:] = 0
    header = frame.wcs.to_header()
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(image.astype("f4"), header, name="SCI")]
    hdus[0].header["INSTRUME"] = "WFC3"
    product = tmp_path / "epoch.drc.fits"
    fits.HDUList([*hdus, fits.ImageHDU(weight, name="WHT")]).writeto(product)

    def catalogue(shift=(0.0, 0.0), turn_deg=0.0):
        cos, sin = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
        dx, dy = x - 250, y - 210
        moved = (250 + cos * dx - sin * dy + shift[0], 210 + sin * dx + cos * dy + shift[1])
        ra, dec = frame.wcs.wcs_pix2world(*moved, 0)
        path = tmp_path / "catalogue.ecsv"
        Table({"ra": ra, "dec": dec}).write(path, format="ascii.ecsv", overwrite=True)
        return str(path)

    return product, catalogue


def fitted(epoch, tmp_path, monkeypatch, catalogue, **gate):
    folder = tmp_path / "fit"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return align_epoch(
        str(epoch[0]),
        detector="wfc3_uvis",
        name="isim02.wfc3_uvis.f606w",
        catalogue=catalogue,
        alignment=AlignmentSettings(
            search_radius_arcsec=5.0, search_factor=1.0, clean_cosmic_rays=False
        ).as_recipe(),
        gate=GateSettings(**gate).as_recipe(),
    )


@pytest.mark.filterwarnings("ignore")
def test_an_epochs_shift_and_rotation_are_found(epoch, tmp_path, monkeypatch):
    answer = fitted(epoch, tmp_path, monkeypatch, epoch[1]((40.0, -25.0), 0.02))
    assert answer["status"] == "PASS"
    # x grows to the west. The noise of 60 stars leaves a few hundredths of a pixel.
    assert answer["shift_ra_arcsec"] == pytest.approx(-40 * SCALE_ARCSEC, abs=0.05 * SCALE_ARCSEC)
    assert answer["shift_dec_arcsec"] == pytest.approx(-25 * SCALE_ARCSEC, abs=0.05 * SCALE_ARCSEC)
    assert answer["rotation_deg"] == pytest.approx(0.02, abs=0.01)
    motion, *_ = motion_between(tmp_path / "fit/before.fits", tmp_path / "fit/epoch.fits")
    (wcs,) = image_planes.wcs_by_extver(tmp_path / "fit/before.fits").values()
    moved = wcs.wcs_world2pix(motion(np.column_stack(wcs.wcs_pix2world([250], [210], 0))), 0)
    assert moved == pytest.approx(np.array([[290.0, 185.0]]), abs=0.05)


@pytest.mark.filterwarnings("ignore")
def test_an_epochs_fit_is_judged_by_the_gate(epoch, tmp_path, monkeypatch):
    """A shift of 1.9 arcsec, where 1 is allowed."""
    answer = fitted(epoch, tmp_path, monkeypatch, epoch[1]((40.0, -25.0)), max_shift_arcsec=1.0)
    assert answer["status"] == "FAIL"
    assert "limit 1" in answer["reason"]
    assert "after" not in answer


def test_pixels_without_weight_are_no_part_of_an_epoch(epoch, tmp_path):
    path = as_exposure(epoch[0], tmp_path / "as_exposure.fits")
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "DQ"]
        assert np.isnan(hdus["SCI"].data[:, 495:]).all()
        assert np.isfinite(hdus["SCI"].data[:, :495]).all()


# ------------------------------------------------------------------- one kind of WCS a visit


def exposure_with(path, in_use, **alternates):
    """A file whose solutions differ in CRVAL1: 1 in use, 2, 3 ... the alternates."""
    header = fits.Header()
    for number, (key, name) in enumerate([("", in_use), *alternates.items()]):
        header[f"WCSNAME{key}"] = name
        for keyword in ("CRPIX1", "CRPIX2", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"):
            header[f"{keyword}{key}"] = 0.5
        header[f"CRVAL1{key}"] = number + 1.0
    image = fits.ImageHDU(np.zeros((4, 4)), header, name="SCI")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    return path


def test_equal_solutions_are_left_alone(tmp_path):
    paths = [exposure_with(tmp_path / f"{n}.fits", "IDC_x-GSC240", A="IDC_x") for n in "ab"]
    assert common_solution(paths) is None


def test_a_mixture_is_put_under_the_solution_that_most_have_in_use(tmp_path):
    paths = [
        exposure_with(tmp_path / "a.fits", "IDC_x-GAIA", A="IDC_x", B="IDC_x-GSC240", O="OPUS"),
        exposure_with(tmp_path / "b.fits", "IDC_x-GSC240", A="IDC_x", O="OPUS"),
        exposure_with(tmp_path / "c.fits", "IDC_x-GSC240", A="IDC_x", O="OPUS"),
    ]
    assert common_solution(paths) == "IDC_x-GSC240"
    restore_solution(paths[0], "IDC_x-GSC240")
    header = fits.getheader(paths[0], "SCI")
    assert (header["CRVAL1"], header["WCSNAME"]) == (3.0, "IDC_x-GSC240")
    assert common_solution(paths) is None


def test_a_visit_of_two_kinds_starts_from_one(tmp_path, monkeypatch):
    """In copies: the files themselves stay as they are."""
    raw = tmp_path / "raw"
    raw.mkdir()
    paths = [
        exposure_with(raw / "isim02a0q_flc.fits", "IDC_x-GAIA", A="IDC_x"),
        exposure_with(raw / "isim02a1q_flc.fits", "IDC_x"),
    ]
    before = [path.read_bytes() for path in paths]
    names = []

    def in_this_process(task, calls, **options):
        for call in calls:
            monkeypatch.chdir(call.scratch)
            names.append(call.arguments["name"])
            yield restore(**call.arguments)

    monkeypatch.setattr(
        hierarchical, "run_many_isolated", lambda *args, **options: [*in_this_process(*args)]
    )
    workdir = WorkDir(tmp_path / "root", "field").create()
    run = hierarchical._Run(Onto(tmp_path), Settings(), workdir, workdir.runfiles, "stage")
    targets = tuple(ExposureToAlign(path, path.name[:9], "wfc3_uvis") for path in paths)
    epoch = run.consistent(hierarchical._Epoch("isim02", "uvis.f606w", "wfc3_uvis", targets))
    assert names == ["IDC_x", "IDC_x"]
    assert [t.rootname for t in epoch.exposures] == [t.rootname for t in targets]
    assert {fits.getval(t.raw, "WCSNAME", "SCI") for t in epoch.exposures} == {"IDC_x"}
    assert [path.read_bytes() for path in paths] == before


def test_without_a_solution_in_common_there_is_none(tmp_path):
    """OPUS has no distortion: it is none of the solutions."""
    paths = [
        exposure_with(tmp_path / "a.fits", "IDC_x-GAIA", O="OPUS"),
        exposure_with(tmp_path / "b.fits", "IDC_y", O="OPUS"),
    ]
    assert common_solution(paths) is None


def test_a_solution_of_another_distortion_model_is_not_restored(tmp_path):
    """The exposure has the SIP terms of the model in use, and no others."""
    paths = [
        exposure_with(tmp_path / "a.fits", "IDC_new-FIT", A="IDC_old", B="IDC_old-GSC240"),
        exposure_with(tmp_path / "b.fits", "IDC_new-GSC240", A="IDC_old", B="IDC_old-GSC240"),
    ]
    assert common_solution(paths) is None
    third = exposure_with(tmp_path / "c.fits", "IDC_new-FIT", A="IDC_new-GSC240", B="IDC_old")
    assert common_solution([third, paths[1]]) == "IDC_new-GSC240"


@pytest.mark.real_data
def test_real_headers_have_their_solutions(real_data):
    folder = real_data / "headers_only"
    paths = [folder / f"sample_{kind}_flc.fits" for kind in ("ipppssoot", "svm")]
    assert common_solution(paths) == "IDC_2731450pi-FIT_REL_GAIAeDR3"


def test_a_shift_over_right_ascension_zero_stays_between_0_and_360():
    sky = np.array([[0.00001, 10.0], [359.99999, 10.0]])
    for west_pix in (100.0, -100.0):
        moved = epoch_task._shift(np.array([west_pix, 0.0]), SCALE_ARCSEC)(sky)
        assert ((moved[:, 0] >= 0) & (moved[:, 0] < 360)).all()
        east_deg = (moved[:, 0] - sky[:, 0] + 180) % 360 - 180
        assert east_deg * np.cos(np.radians(10.0)) * -3600 == pytest.approx(west_pix * SCALE_ARCSEC)

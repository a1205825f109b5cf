"""Which exposures need a distortion, and what the one that they are given is worth."""

import shutil

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.astrometry.alignment import make_aligned_visit
from hst_assets.astrometry.alignment_result import ExposureToAlign
from hst_assets.astrometry.alignment_table import read_alignment
from hst_assets.astrometry.distortion import update as distortion
from hst_assets.astrometry.distortion.update import (
    check,
    correct,
    has_distortion,
    named_files,
    plan_corrections,
)
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.detection import image_planes
from hst_assets.failures import MissingProduct, ToolFailed, TransientFailure, UnusableInput
from hst_assets.provenance import read_record
from hst_assets.settings import AlignmentSettings, ReferenceFileSettings, Settings
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.truth import true_offset
from hst_assets.workdir import WorkDir
from hst_assets_tests.astrometry.conftest import prepare
from hst_assets_tests.astrometry.spoiled import SPOILERS
from hst_assets_tests.astrometry.spoiled import spoilt as write_spoilt
from hst_assets_tests.astrometry.undistorted import distortion_table, undistorted
from hst_assets_tests.stand_ins.crds import Crds

TABLE = "sim1234pi_idc.fits"
IDCTAB = f"iref${TABLE}"


def settings_of(update_wcs="if_needed", *, skip=False, **files):
    files.setdefault("fetch", False)
    return Settings(
        alignment=AlignmentSettings(update_wcs=update_wcs, skip_tweakreg=skip),
        reference_files=ReferenceFileSettings(**files),
    )


def largest_difference_arcsec(first, second):
    """Between the positions of two files' pixels, on a grid over each chip."""
    worst = 0.0
    one, other = image_planes.wcs_by_extver(first), image_planes.wcs_by_extver(second)
    assert set(one) == set(other)
    for ver, wcs in one.items():
        nx, ny = wcs.pixel_shape
        grid = np.meshgrid(np.linspace(0, nx - 1, 9), np.linspace(0, ny - 1, 9))
        x, y = (axis.ravel() for axis in grid)
        ra, dec = wcs.all_pix2world(x, y, 0)
        ra2, dec2 = other[ver].all_pix2world(x, y, 0)
        offset = np.hypot((ra2 - ra) * np.cos(np.radians(dec)), dec2 - dec) * 3600
        worst = max(worst, float(offset.max()))
    return worst


# -------------------------------------------------------------------------------- the rule


@pytest.fixture(scope="module")
def infrared(simulated):
    """Two simulated WFC3/IR exposures, whole, and the folder they lie in."""
    return simulated(small_plan("wfc3_ir"))


@pytest.fixture(scope="module")
def table_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("iref")
    distortion_table(folder / TABLE, "wfc3_ir", "F110W")
    return folder


@pytest.fixture
def stripped(infrared, tmp_path):
    """A work directory with the two exposures in raw/, without distortion."""
    workdir = WorkDir(tmp_path / "root", "field").create()
    for source in infrared.science_files():
        undistorted(source, workdir.raw / source.name, IDCTAB=IDCTAB)
    return workdir


def names_in(workdir):
    return sorted(path.name for path in workdir.raw.glob("*_fl?.fits"))


def test_every_real_exposure_of_the_archive_has_its_distortion(real_data):
    found = {}
    for path in sorted(real_data.glob("*/*_[fc][l0][tcm].fits")):
        with fits.open(path) as hdus:
            found[path.name] = has_distortion(hdus)
    assert len(found) >= 16
    assert all(found.values()), found


def test_a_simulated_exposure_has_its_distortion_until_it_is_taken(infrared, tmp_path):
    (source, _) = infrared.science_files()
    with fits.open(source) as hdus:
        assert has_distortion(hdus)
    with fits.open(undistorted(source, tmp_path / source.name)) as hdus:
        assert not has_distortion(hdus)


@pytest.mark.parametrize(
    "spoil",
    [
        {"CTYPE1": "RA---TAN"},
        {"A_ORDER": 0},
        {"B_ORDER": 1},
    ],
)
def test_half_a_solution_is_none(infrared, tmp_path, spoil):
    (source, _) = infrared.science_files()
    path = shutil.copyfile(source, tmp_path / source.name)
    fits.setval(path, next(iter(spoil)), value=next(iter(spoil.values())), extname="SCI")
    with fits.open(path) as hdus:
        assert not has_distortion(hdus)


def test_a_file_without_science_planes_has_no_distortion():
    assert not has_distortion(fits.HDUList([fits.PrimaryHDU()]))


@pytest.mark.parametrize(
    ("cards", "files"),
    [
        ({"INSTRUME": "WFC3", "IDCTAB": IDCTAB, "NPOLFILE": "N/A"}, {"IDCTAB": TABLE}),
        (
            {"INSTRUME": "ACS", "IDCTAB": "jref$a_idc.fits", "NPOLFILE": "jref$b_npl.fits",
             "D2IMFILE": "jref$c_d2i.fits", "DGEOFILE": "jref$d_dxy.fits"},
            {"IDCTAB": "a_idc.fits", "NPOLFILE": "b_npl.fits", "D2IMFILE": "c_d2i.fits"},
        ),
        (
            {"INSTRUME": "WFPC2", "IDCTAB": "uref$a_idc.fits", "OFFTAB": "uref$b_off.fits",
             "DGEOFILE": "N/A", "ODGEOFIL": "uref$d_dxy.fits", "D2IMFILE": "u1_c0m_d2im.fits"},
            {"IDCTAB": "a_idc.fits", "OFFTAB": "b_off.fits", "DGEOFILE": "d_dxy.fits"},
        ),
        ({"INSTRUME": "ACS", "IDCTAB": " ", "NPOLFILE": ""}, {}),
    ],
)  # fmt: skip
def test_the_files_that_decide_a_wcs_are_those_of_the_instrument(cards, files):
    assert named_files(fits.Header(cards)) == files


def test_of_another_instrument_nothing_is_known():
    with pytest.raises(UnusableInput, match="NICMOS"):
        named_files(fits.Header({"INSTRUME": "NICMOS"}))


# ---------------------------------------------------------------------------------- the plan


def test_where_the_wcs_is_good_nothing_is_looked_for(infrared, tmp_path, table_folder):
    workdir = WorkDir(tmp_path / "root", "field").create()
    for source in infrared.science_files():
        path = shutil.copyfile(source, workdir.raw / source.name)
        fits.setval(path, "IDCTAB", value="iref$nobody_idc.fits")
    for correction in plan_corrections(workdir, names_in(workdir), settings_of()).values():
        assert correction == distortion.Correction()
        assert correction.inputs == {}
    always = plan_corrections(workdir, names_in(workdir), settings_of("always"))
    assert all(isinstance(each.failure, MissingProduct) for each in always.values())


def test_an_exposure_without_distortion_gets_its_files(stripped, table_folder):
    plans = plan_corrections(stripped, names_in(stripped), settings_of(iref=table_folder))
    assert len(plans) == 2
    for correction in plans.values():
        assert correction.files["IDCTAB"].path == table_folder / TABLE
        assert list(correction.inputs) == [f"reference_file:{TABLE}"]
        assert correction.note == f"updated with IDCTAB {TABLE}"


@pytest.mark.parametrize("settings", [settings_of("never"), settings_of(skip=True)])
def test_never_leaves_the_archives_wcs_and_says_that_it_has_no_distortion(stripped, settings):
    plans = plan_corrections(stripped, names_in(stripped), settings)
    assert len(plans) == 2
    for correction in plans.values():
        assert not correction.files
        assert correction.failure is None
        assert correction.inputs == {}
        assert correction.note == "none: the archive's WCS has no distortion"


@pytest.mark.parametrize("update_wcs", ["if_needed", "always"])
def test_without_an_idctab_the_wcs_stays_and_the_note_says_so(stripped, update_wcs):
    for name in names_in(stripped):
        fits.setval(stripped.raw / name, "IDCTAB", value="N/A")
    plans = plan_corrections(stripped, names_in(stripped), settings_of(update_wcs))
    assert len(plans) == 2
    for each in plans.values():
        assert not each.files
        assert each.failure is None
        assert each.note.endswith("no distortion; IDCTAB names no file")


def test_a_missing_file_is_an_input_that_will_be_there_one_day(stripped, table_folder):
    names = names_in(stripped)
    before = plan_corrections(stripped, names, settings_of())[names[0]]
    assert isinstance(before.failure, MissingProduct)
    after = plan_corrections(stripped, names, settings_of(iref=table_folder))[names[0]]
    assert set(before.inputs) == set(after.inputs)
    assert before.inputs != after.inputs


def test_what_is_not_here_is_fetched(stripped, table_folder):
    service = Crds()
    service.files[TABLE] = (table_folder / TABLE).read_bytes()
    with service.running():
        plans = plan_corrections(
            stripped, names_in(stripped), settings_of(fetch=True, crds_url=service.url)
        )
    assert service.requests == [TABLE]
    for correction in plans.values():
        assert correction.files["IDCTAB"].path == stripped.reference_files / TABLE


def test_a_header_that_names_a_path_is_a_failure_of_the_exposure(stripped):
    name = names_in(stripped)[0]
    fits.setval(stripped.raw / name, "IDCTAB", value="iref$../../x_idc.fits")
    correction = plan_corrections(stripped, [name], settings_of())[name]
    assert isinstance(correction.failure, UnusableInput)
    assert correction.inputs


# --------------------------------------------------------------------------------- the update


def corrected(workdir, settings, targets=None, detector="wfc3_ir"):
    names = targets or names_in(workdir)
    targets = [ExposureToAlign(workdir.raw / name, name[:9], detector) for name in names]
    scratch = workdir.base / "scratch"
    scratch.mkdir(parents=True)
    return correct(
        targets,
        plan_corrections(workdir, names, settings),
        settings=settings,
        workdir=workdir,
        scratch=scratch,
        stage="aligned_exposures",
    )


def test_the_simulators_distortion_comes_back_from_its_table(infrared, stripped, table_folder):
    """Subarray exposures with a pointing and a roll, every chip over its whole area."""
    ready, outcomes = corrected(stripped, settings_of(iref=table_folder))
    assert not outcomes
    for source, target in zip(sorted(infrared.science_files()), ready, strict=True):
        assert target.raw.name == source.name
        assert largest_difference_arcsec(source, stripped.raw / source.name) > 0.3
        # 1 mas is 0.008 pixels of WFC3/IR.
        assert largest_difference_arcsec(source, target.raw) < 1e-3


def test_the_copy_is_the_same_on_every_machine(stripped, table_folder, tmp_path):
    """No path of this machine in it, nor the moment."""
    one, _ = corrected(stripped, settings_of(iref=table_folder))
    elsewhere = WorkDir(tmp_path / "elsewhere" / "deep", "other").create()
    for name in names_in(stripped):
        shutil.copyfile(stripped.raw / name, elsewhere.raw / name)
    folder = shutil.copytree(table_folder, tmp_path / "another")
    two, _ = corrected(elsewhere, settings_of(iref=folder))
    assert len(one) == 2
    for first, second in zip(one, two, strict=True):
        content = first.raw.read_bytes()
        assert content == second.raw.read_bytes()
        assert str(tmp_path).encode() not in content
        assert fits.getval(first.raw, "IDCTAB") == IDCTAB
        assert fits.getval(first.raw, "IDCTAB", extname="SCI") == IDCTAB


def test_one_that_cannot_be_updated_costs_itself_only(stripped, table_folder):
    bad, good = names_in(stripped)
    fits.setval(stripped.raw / bad, "IDCTAB", value="iref$nobody_idc.fits")
    ready, outcomes = corrected(stripped, settings_of(iref=table_folder))
    assert [target.raw.name for target in ready] == [good]
    outcome = outcomes[bad[:9]]
    assert outcome.status == "FAIL"
    assert outcome.failure is None
    assert "nobody_idc.fits" in outcome.reason
    assert "was not found" in outcome.reason
    assert largest_difference_arcsec(stripped.raw / bad, outcome.files[0]) == 0


def test_what_stwcs_cannot_use_is_the_exposures_fault(stripped, table_folder, tmp_path):
    """Its table has no row for the filter of the exposure."""
    folder = tmp_path / "other"
    folder.mkdir()
    distortion_table(folder / TABLE, "wfc3_ir", "F160W")
    ready, outcomes = corrected(stripped, settings_of(iref=folder))
    assert not ready
    assert {outcome.status for outcome in outcomes.values()} == {"FAIL"}
    assert {outcome.failure for outcome in outcomes.values()} == {None}
    assert all("updatewcs" in outcome.reason for outcome in outcomes.values())


def test_what_is_not_the_exposures_fault_is_not_concluded(stripped, table_folder, monkeypatch):
    unreachable = settings_of(fetch=True, crds_url="http://127.0.0.1:9", max_tries=1)
    ready, outcomes = corrected(stripped, unreachable)
    assert not ready
    assert all(isinstance(each.failure, TransientFailure) for each in outcomes.values())

    def hangs(task, calls, **options):
        return [ToolFailed("stopped after 9 s") for _ in calls]

    monkeypatch.setattr(distortion, "run_many_isolated", hangs)
    shutil.rmtree(stripped.base / "scratch")
    ready, outcomes = corrected(stripped, settings_of(iref=table_folder))
    assert not ready
    assert all(isinstance(each.failure, ToolFailed) for each in outcomes.values())


@pytest.mark.parametrize(
    "trace",
    [
        {"IDCTAB": "oref$old1234pi_idc.fits"},
        {"IDCTAB": "N/A"},
        {"IDCTAB": "/grp/old/one_idc.fits", "NPOLEXT": "nowhere$x_npl.fits"},
    ],
    ids=["other-variable", "not-available", "paths"],
)
def test_what_an_earlier_update_left_is_no_obstacle(infrared, stripped, table_folder, trace):
    name = names_in(stripped)[0]
    with fits.open(stripped.raw / name, mode="update") as hdus:
        hdus["SCI"].header.update(trace)
        hdus[0].header.update({"DGEOFILE": "iref$old_dxy.fits", "D2IMFILE": ""})
    (target,), outcomes = corrected(stripped, settings_of(iref=table_folder), [name])
    assert not outcomes
    (source,) = [path for path in infrared.science_files() if path.name == name]
    assert largest_difference_arcsec(source, target.raw) < 1e-3


def test_always_computes_anew_what_is_good(infrared, stripped, table_folder):
    """From the pointing of the spacecraft, whatever the exposure was aligned to since."""
    name = names_in(stripped)[0]
    (source,) = [path for path in infrared.science_files() if path.name == name]
    moved = shutil.copyfile(source, stripped.raw / name)
    with fits.open(moved, mode="update") as hdus:
        hdus[0].header["IDCTAB"] = IDCTAB
        hdus["SCI"].header["CRVAL2"] += 0.4 / 3600
    (target,), _ = corrected(stripped, settings_of("always", iref=table_folder), [name])
    assert largest_difference_arcsec(source, target.raw) < 1e-3
    shutil.rmtree(stripped.base / "scratch")
    (target,), _ = corrected(stripped, settings_of(iref=table_folder), [name])
    assert target.raw == moved


@pytest.mark.slow
def test_bad_exposures_cost_themselves_only(simulated, tmp_path):
    """Each kind of bad exposure is updated, or fails for a reason of its own."""
    (source,) = simulated(small_plan("wfc3_uvis", n_exposures=1)).science_files()
    workdir = WorkDir(tmp_path / "root", "field").create()
    folder = tmp_path / "iref"
    folder.mkdir()
    distortion_table(folder / TABLE, "wfc3_uvis", "F606W")
    named = undistorted(source, tmp_path / source.name, IDCTAB=IDCTAB)
    kinds = {}
    for number, kind in enumerate(sorted(SPOILERS)):
        name = f"isim{number:02d}a0q_flc.fits"
        write_spoilt(kind, named, workdir.raw / name)
        kinds[name[:9]] = kind
    ready, outcomes = corrected(workdir, settings_of(iref=folder), detector="wfc3_uvis")
    assert {target.rootname for target in ready} | set(outcomes) == set(kinds)
    assert {kinds[target.rootname] for target in ready} >= {"good", "only_cosmic_rays"}
    for rootname, outcome in outcomes.items():
        assert outcome.failure is None, kinds[rootname]
        assert outcome.status == "FAIL"
        assert outcome.reason


@pytest.fixture
def spoilt(infrared, tmp_path):
    """A function that makes a copy of an exposure with cards of its SCI header changed."""
    (source, _) = infrared.science_files()

    def make(**cards):
        path = shutil.copyfile(source, tmp_path / source.name)
        with fits.open(path, mode="update") as hdus:
            hdus["SCI"].header.update(cards)
        return path, source

    return make


def refusal(copy, raw):
    """What `check` says against a copy; None if it accepts it."""
    try:
        check(copy, raw)
    except UnusableInput as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ({"CTYPE1": "RA---TAN"}, "no distortion"),
        ({"IDCSCALE": 0.0}, "no IDCSCALE"),
        ({"CRVAL2": 2.3}, "moved SCI 1"),
        ({"CRVAL1": float("1e3")}, "moved SCI 1"),
    ],
)
def test_a_copy_that_is_not_what_it_should_be_is_refused(spoilt, cards, reason):
    assert reason in refusal(*spoilt(**cards))


def test_a_good_copy_is_accepted(spoilt):
    assert refusal(*spoilt()) is None


# ------------------------------------------------------------------------------ real exposures


@pytest.mark.real_data
def test_real_infrared_exposures_get_back_what_the_archive_gave(real_data, tmp_path):
    workdir = WorkDir(tmp_path / "root", "field").create()
    originals = sorted((real_data / "wfc3_ir_gj1214").glob("*_flt.fits"))
    assert originals
    for path in originals:
        undistorted(path, workdir.raw / path.name)
    ready, _ = corrected(workdir, settings_of(iref=real_data / "reffiles"))
    for original, target in zip(originals, ready, strict=True):
        assert largest_difference_arcsec(original, workdir.raw / original.name) > 0.1
        assert largest_difference_arcsec(original, target.raw) < 1e-6


@pytest.mark.real_data
def test_a_real_wfpc2_exposure_gets_back_its_four_chips(real_data, tmp_path):
    """With OFFTAB, and a DGEOFILE made of the table of column corrections in the original."""
    workdir = WorkDir(tmp_path / "root", "field").create()
    folder = shutil.copytree(real_data / "reffiles", tmp_path / "uref")
    original = real_data / "wfpc2_omegacen" / "u40x010hm_c0m.fits"
    shutil.copyfile(original.with_name("u40x010hm_c1m.fits"), workdir.raw / "u40x010hm_c1m.fits")
    undistorted(original, workdir.raw / original.name, DGEOFILE="uref$s8f1222cu_dxy.fits")
    rows = fits.getdata(original, "D2IMARR")[0]
    images = [
        fits.ImageHDU(np.repeat((rows * factor)[:, None], 800, axis=1), name=name, ver=ver)
        for ver in (1, 2, 3, 4)
        for name, factor in (("DX", 0), ("DY", 1))
    ]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(folder / "s8f1222cu_dxy.fits")
    (target,), outcomes = corrected(
        workdir, settings_of(uref=folder), [original.name], detector="wfpc2"
    )
    assert not outcomes
    assert largest_difference_arcsec(original, workdir.raw / original.name) > 0.3
    assert largest_difference_arcsec(original, target.raw) < 1e-6
    assert str(tmp_path).encode() not in target.raw.read_bytes()


# ------------------------------------------------------------------------- the whole alignment


@pytest.mark.slow
def test_exposures_without_distortion_are_aligned_all_the_same(infrared, table_folder, tmp_path):
    workdir = WorkDir(tmp_path / "root", "field")
    folder = tmp_path / "archive"
    folder.mkdir()
    for source in infrared.science_files():
        undistorted(source, folder / source.name, IDCTAB=IDCTAB)
    unknown = settings_of()
    _, (visit,) = prepare(workdir, [folder], unknown)
    with pytest.raises(UnusableInput, match="was not found"):
        make_reference(workdir, unknown)
    known = settings_of(iref=table_folder)
    make_reference(workdir, known)
    assert not make_reference(workdir, known).ran

    facts = make_aligned_visit(workdir, visit, unknown).facts
    assert facts["n_fail"] == 2
    made = make_aligned_visit(workdir, visit, known)
    assert made.ran
    assert not make_aligned_visit(workdir, visit, known).ran
    table = read_alignment(workdir.visit_alignment(visit))
    assert "FAIL" not in set(table["status"])
    assert set(table["distortion"]) == {f"updated with IDCTAB {TABLE}"}
    offsets = []
    for rootname, name in zip(table["rootname"], table["file"], strict=True):
        recipe = read_record(workdir.aligned(str(name))).recipe
        assert f"reference_file:{TABLE}" in recipe["inputs"]
        offset = true_offset(workdir.aligned(str(name)), infrared.positions(str(rootname)))
        offsets.append((offset.east_arcsec, offset.north_arcsec))
    # 0.1 pixel of WFC3/IR between the two.
    assert np.ptp(offsets, axis=0).max() < 0.0128

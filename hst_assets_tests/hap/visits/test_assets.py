"""A simulated visit through the assets' science: what is made, what is made again, what fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.table import make_raw_manifest, make_visit_table
from hst_assets.hap.mosaics.target_mosaics import make_hap_mosaics, make_hap_target_exposures
from hst_assets.hap.quality.limits import KINDS_OF_QUALITY
from hst_assets.hap.quality.visit_files import drizzled_images
from hst_assets.hap.visits.aligned import make_hap_aligned_exposures
from hst_assets.hap.visits.catalogs import make_hap_point_catalogs, make_hap_segment_catalogs
from hst_assets.hap.visits.exposure_images import make_hap_exposure_products
from hst_assets.hap.visits.filter_images import make_hap_filter_products
from hst_assets.hap.visits.hla_comparison import make_hap_hla_comparison
from hst_assets.hap.visits.manifest import make_hap_manifest
from hst_assets.hap.visits.page_file import make_hap_page
from hst_assets.hap.visits.plan import make_hap_plan
from hst_assets.hap.visits.quality_tests import make_hap_quality
from hst_assets.hap.visits.total_images import make_hap_total_products
from hst_assets.orchestration import hap_checks
from hst_assets.provenance import read_record
from hst_assets.settings import load_settings, write_settings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.legacy_archive import write_legacy_files
from hst_assets_tests.stand_ins.star_service import star_service

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("hap")]

VISIT = "isim01"
TOTAL = "hst_15999_01_wfc3_ir_total_isim01"
IMAGES = [
    "hst_15999_01_wfc3_ir_f110w_isim01",
    "hst_15999_01_wfc3_ir_f160w_isim01",
]
STAGES = {
    "plan": make_hap_plan,
    "aligned": make_hap_aligned_exposures,
    "filters": make_hap_filter_products,
    "exposures": make_hap_exposure_products,
    "totals": make_hap_total_products,
    "points": make_hap_point_catalogs,
    "segments": make_hap_segment_catalogs,
    "comparison": make_hap_hla_comparison,
    "quality": make_hap_quality,
    "manifest": make_hap_manifest,
    "page": make_hap_page,
}
#: What shows all the others.
SHOWS = {"page"}
#: Stages that are done in a moment.
TELL_NOTHING = {"manifest", "page"}


def run(workdir, told=None):
    """All stages with today's settings; what they tell of their progress goes to `told`."""
    settings = load_settings(workdir)
    made = {}
    for name, make in STAGES.items():
        listen = [] if told is None else told.setdefault(name, [])
        more = {} if name in TELL_NOTHING else {"progress": listen.append}
        made[name] = make(workdir, VISIT, settings, **more)
    return made


def ran(made):
    return {name for name, each in made.items() if each.ran}


@pytest.fixture(scope="module")
def truth(simulated):
    return simulated(small_plan("wfc3_ir", filters=("F110W", "F160W")))


@pytest.fixture(scope="module")
def service(truth):
    """The stand-in of the catalogue, in the environment of all tests."""
    with (
        star_service(truth.stars, "ab_wfc3_ir_f110w").running() as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("ASTROMETRIC_CATALOG_URL", server.url)
        yield server.url


@pytest.fixture(scope="module")
def told():
    """Name of a stage to its progress while the original was made."""
    return {}


@pytest.fixture(scope="module")
def original(truth, service, told, tmp_path_factory):
    """A work directory in which everything was made; tests work on copies."""
    workdir = WorkDir(tmp_path_factory.mktemp("root"), "ir").create()
    ingest([truth.exposure_folder], workdir, ra_deg=150.1, dec_deg=2.2)
    settings = load_settings(workdir)
    make_raw_manifest(workdir, VISIT, settings)
    make_visit_table(workdir, VISIT, settings)
    return workdir, run(workdir, told)


@pytest.fixture
def copied(original, tmp_path):
    workdir, _ = original
    shutil.copytree(workdir.root, tmp_path / "root", symlinks=True)
    return WorkDir(tmp_path / "root", "ir")


def test_progress_is_told_by_product(original, told):
    for stage in ("aligned", "filters", "exposures", "totals", "points", "quality"):
        assert told[stage], stage
        done = [each.fraction for each in told[stage]]
        assert done == sorted(done), stage
        assert done[0] >= 0, stage
        assert done[-1] < 1, stage
    assert [str(each) for each in told["aligned"]] == ["HAP: plan (0%)", "HAP: ir.align (20%)"]
    steps = " ".join(each.step for each in told["filters"])
    assert all(image in steps for image in IMAGES)
    assert not told["segments"]  # measured with the points, by whichever is asked for first


def test_what_is_up_to_date_tells_no_progress(copied):
    told = {}
    run(copied, told)
    assert not any(told.values())


def test_each_product_has_drizzlepacs_name_and_level(original):
    workdir, made = original
    folder = workdir.hap_visit(VISIT)
    levels = {path.name: fits.getval(path, "HAPLEVEL") for path in folder.glob("hst_*_dr?.fits")}
    assert levels[f"{TOTAL}_drz.fits"] == 2
    assert [levels[f"{name}_drz.fits"] for name in IMAGES] == [2, 2]
    assert sorted(levels.values()) == [1, 1, 1, 1, 2, 2, 2]
    assert len(list(folder.glob("*_hlet.fits"))) == 4
    assert made["manifest"].facts["return_code"] == 0
    assert made["manifest"].facts["lacking"] == []


def test_the_manifest_is_drizzlepacs(original):
    workdir, _ = original
    names = (workdir.hap_visit(VISIT) / "wfc3_sim_01_manifest.txt").read_text().split()
    assert len(names) == 28  # as of the visit in one go (test_visit)
    assert all((workdir.hap_visit(VISIT) / name).is_file() for name in names)


@pytest.mark.parametrize(("kind", "n"), [("exposures", 4), ("filters", 2), ("totals", 1)])
def test_every_image_has_a_picture(original, kind, n):
    workdir, made = original
    pictures = [workdir.absolute(each) for each in made[kind].facts["previews"]]
    assert len(set(pictures)) == n
    assert all(path.is_file() for path in pictures)


def test_the_alignment_tells_its_numbers(original):
    _, made = original
    facts = made["aligned"].facts
    assert facts["n_fitted"] == 4
    for row in facts["alignment"]:
        assert row["wcsname"].endswith("-FIT_SVM_GAIAeDR3")
        assert row["n_matches"] > 100
        # A tenth of a pixel of 128 mas; one without dithers is known to 40 mas.
        assert 0 < row["rms_ra_mas"] < 60
        # The pointing error of the plan is 0.144 arcsec; the dither is in the headers.
        assert row["shift_mas"] == pytest.approx(144, abs=60)


def test_catalogues_have_the_stars_of_the_field(original):
    workdir, made = original
    for kind in ("points", "segments"):
        assert made[kind].facts["n_catalogs"] == 3
        assert made[kind].facts["empty"] == []
        for each in made[kind].facts["catalogs"]:
            table = Table.read(workdir.hap_visit(VISIT) / each["file"])
            assert len(table) == each["n_sources"] > 100


def test_the_aligned_exposures_are_not_touched_by_what_follows(original):
    workdir, _ = original
    aligned = sorted(workdir.hap_aligned_folder(VISIT).glob("*_flt.fits"))
    assert len(aligned) == 4
    state = read_record(workdir.hap_pieces(VISIT) / "aligned0.hap-state")
    assert state.whole(workdir)
    final = workdir.hap_visit(VISIT) / aligned[0].name
    assert "MDRIZSKY" in fits.getheader(final, ("SCI", 1))
    assert "MDRIZSKY" not in fits.getheader(aligned[0], ("SCI", 1))


def test_nothing_is_made_twice(original):
    workdir, _ = original
    assert ran(run(workdir)) == set()


def test_each_kind_of_quality_has_a_verdict_with_its_numbers(original):
    workdir, made = original
    facts = made["quality"].facts
    rows = Table.read(workdir.hap_quality(VISIT))
    assert list(rows["kind"]) == list(KINDS_OF_QUALITY)
    assert {each["outcome"] for each in facts["tests"]} == {"done"}
    verdicts = {each["kind"]: each["verdict"] for each in facts["verdicts"]}
    assert verdicts["wcs"] == verdicts["num_sources"] == "good"
    assert verdicts["compare_sourcelists"] == "not checked"
    (wcs,) = rows[rows["kind"] == "wcs"]
    shifts = [value for name, value in json.loads(wcs["numbers"]).items() if "shift" in name]
    # The pointing error of the plan is 0.144 arcsec.
    assert shifts == pytest.approx(4 * [0.144], abs=0.06)
    (check,) = [each for each in hap_checks.KINDS_GOOD if each.name == "quality_wcs"]
    assert check.find(made["quality"], workdir).passed


def test_without_the_legacy_archives_files_it_is_said_why(original):
    workdir, made = original
    facts = made["comparison"].facts
    assert facts["skipped"].startswith("neither $HLA_CLASSIC_BASEPATH is set nor is there a folder")
    rows = Table.read(workdir.hap_hla_comparison(VISIT))
    assert {str(row["catalog"]) for row in rows} == {
        f"{name}_{kind}-cat.ecsv" for name in IMAGES for kind in ("point", "segment")
    }
    assert all(row["outcome"] == f"not checked: {facts['skipped']}" for row in rows)
    assert not hap_checks.COMPARED_WITH_HLA.find(made["comparison"], workdir).checked


def test_the_page_shows_what_there_is(original):
    workdir, made = original
    facts = made["page"].facts
    assert facts["absent"] == []
    text = workdir.absolute(facts["page"]).read_text()
    assert "<dd>0: the products were made</dd>" in text
    assert text.count("good: fitted to Gaia") == 4
    (coloured,) = facts["previews"]
    assert coloured.endswith(f"{TOTAL}_colour.png")
    assert workdir.absolute(coloured).is_file()


def test_files_of_the_legacy_archive_that_come_later_are_compared(copied, truth):
    images = {each.filter: each for each in drizzled_images(copied.hap_visit(VISIT))}
    place = copied.base / "hla_classic"
    write_legacy_files(place, truth.stars, images["f110w"], programs=("dao",))
    made = run(copied)
    assert ran(made) == {"comparison", "quality"} | SHOWS
    assert "daophot.txt" in made["comparison"].why
    assert made["comparison"].facts["n_compared"] == 1
    assert not hap_checks.COMPARED_WITH_HLA.find(made["comparison"], copied).checked
    verdicts = {each["kind"]: each for each in made["quality"].facts["verdicts"]}
    assert verdicts["compare_sourcelists"]["reason"].startswith("3 not checked, 1 good")
    left = copied.hap_visit(VISIT) / f"{IMAGES[0]}_point-cat_svm_compare_sourcelists.json"
    assert left.is_file()
    shutil.rmtree(place)
    assert ran(run(copied)) == {"comparison", "quality"} | SHOWS
    assert not left.exists()


def test_a_visit_gives_its_aligned_exposures_to_mosaics(copied):
    settings = load_settings(copied)
    listed = make_hap_target_exposures(copied, [VISIT], settings)
    assert (listed.facts["n_exposures"], listed.facts["unusable"]) == (4, [])
    made = make_hap_mosaics(copied, settings)
    # Two filters of WFC3/IR, each with a coarse and a fine layer for each sky cell.
    assert made.facts["n_products"] == 4 * len(listed.facts["skycells"])
    assert made.facts["failed"] == made.facts["left_out"] == made.facts["not_aligned"] == []
    assert not make_hap_target_exposures(copied, [VISIT], settings).ran
    assert not make_hap_mosaics(copied, settings).ran


def change(workdir, product, change_it, **settings):
    """Give the visit parameters of its own, changed for one product."""
    path = workdir.base / "mine.json"
    if not path.exists():
        shutil.copy(workdir.hap_visit(VISIT) / "wfc3_sim_01_parameters.json", path)
    content = json.loads(path.read_text())
    change_it(content[product]["default_values"])
    path.write_text(json.dumps(content))
    write_settings(workdir, {"hap": {"parameters_file": str(path), **settings}})


def test_a_parameter_of_the_catalogues_makes_the_catalogues_again_and_nothing_else(copied):
    def deeper(parameters):
        parameters["catalog generation"]["sourcex"]["source_box"] = 5

    change(copied, TOTAL, deeper, photometry="aperture")
    made = run(copied)
    judged = {"comparison", "quality"}
    assert ran(made) == {"plan", "points", "segments", "manifest"} | judged | SHOWS
    assert "source_box" in made["points"].why
    assert made["segments"].facts["note"] == "not wanted: hap.photometry is 'aperture'"
    assert list(copied.hap_visit(VISIT).glob("*segment-cat.ecsv")) == []
    assert made["manifest"].facts["lacking"] == []


def test_a_filter_that_fails_costs_itself(copied):
    folder = copied.hap_visit(VISIT)
    before = (folder / f"{IMAGES[1]}_drz.fits").stat().st_mtime_ns

    def no_such_kernel(parameters):
        parameters["astrodrizzle"]["final_kernel"] = "no_such_kernel"

    change(copied, IMAGES[0], no_such_kernel)
    made = run(copied)
    (failed,) = made["filters"].facts["failed"]
    assert failed.startswith("ir f110w: ")
    assert not (folder / f"{IMAGES[0]}_drz.fits").exists()
    assert (folder / f"{IMAGES[1]}_drz.fits").stat().st_mtime_ns == before
    assert made["totals"].facts["without"] == ["ir f110w"]
    assert fits.getval(folder / f"{TOTAL}_drz.fits", "NUMEXP") == 2
    assert [each["file"] for each in made["points"].facts["catalogs"]] == [
        f"{TOTAL}_point-cat.ecsv",
        f"{IMAGES[1]}_point-cat.ecsv",
    ]
    (lost,) = made["points"].facts["failed"]
    assert lost.startswith("ir f110w: what it is made of was not drizzled")
    assert made["manifest"].facts["return_code"] == 1
    finding = hap_checks.ALL_FILTERS_COMBINED.find(made["totals"], copied)
    assert (finding.passed, finding.text) == (False, "made without ir f110w")


def test_a_visit_that_cannot_be_aligned_gets_no_image_unless_its_wcs_is_accepted(
    copied, truth, monkeypatch
):
    settings = load_settings(copied)
    with star_service(truth.stars[:0], "ab_wfc3_ir_f110w").running() as server:
        # Another name: the recipe has the host without its port.
        monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", server.url.replace("127.0.0.1", "localhost"))
        aligned = make_hap_aligned_exposures(copied, VISIT, settings)
    assert (aligned.ran, aligned.facts["n_fitted"]) == (True, 0)
    assert len(aligned.facts["not_fitted"]) == 4
    blocking = hap_checks.SOME_WCS_ACCEPTED.find(aligned, copied)
    assert (blocking.passed, blocking.severity) == (False, "ERROR")
    filters = make_hap_filter_products(copied, VISIT, settings)
    assert filters.facts["n_products"] == 0
    assert all("not aligned to Gaia" in text for text in filters.facts["failed"])
    write_settings(copied, {"hap": {"accept_a_priori_wcs": True}})
    accepted = make_hap_aligned_exposures(copied, VISIT, load_settings(copied))
    assert hap_checks.SOME_WCS_ACCEPTED.find(accepted, copied).passed
    assert not hap_checks.ALIGNED_TO_GAIA.find(accepted, copied).passed


def test_the_alignment_takes_the_parameters_that_were_planned(copied):
    def of_another_catalogue(parameters):
        parameters["alignment"]["run_align"]["mosaic_catalog_list"] = ["GSC242"]

    change(copied, TOTAL, of_another_catalogue)
    settings = load_settings(copied)
    make_hap_plan(copied, VISIT, settings)
    (copied.base / "mine.json").write_text("{}")
    aligned = make_hap_aligned_exposures(copied, VISIT, settings)
    assert aligned.facts["failed"] == []
    said = (copied.logs / f"hap_{VISIT}_ir.align.log").read_text()
    assert "astrometric reference frame 'GSC242'" in said
    assert "astrometric reference frame 'GAIAeDR3'" not in said


def test_an_outage_of_the_star_service_is_no_verdict(copied, service, monkeypatch):
    settings = load_settings(copied)
    monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", "http://localhost:9")  # nobody answers there
    aligned = make_hap_aligned_exposures(copied, VISIT, settings)
    (failed,) = aligned.facts["failed"]
    assert failed.startswith("ir: the star catalogue did not answer (ConnectionError from ")
    assert set(aligned.facts["failures"].values()) == {"TransientFailure"}
    # The next run asks again, by the same recipe.
    monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", service.replace("127.0.0.1", "localhost"))
    aligned = make_hap_aligned_exposures(copied, VISIT, settings)
    assert (aligned.facts["n_fitted"], aligned.facts["failed"]) == (4, [])


PROGRAM = """
import sys
from pathlib import Path
from hst_assets.hap.visits.filter_images import (make_hap_filter_products)
from hst_assets.settings import load_settings
from hst_assets.workdir import WorkDir
workdir = WorkDir(Path(sys.argv[1]), "ir")
make_hap_filter_products(workdir, "isim01", load_settings(workdir))
"""


def test_a_killed_run_is_made_good_by_the_next(copied, original):
    log = copied.logs / f"hap_{VISIT}_ir.f110w.drizzle.log"
    log.unlink()
    image = copied.hap_visit(VISIT) / f"{IMAGES[0]}_drz.fits"
    image.unlink()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(copied.root)], cwd=copied.root)
    until = time.monotonic() + 200
    while not log.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert log.exists()
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not image.exists()
    made = run(copied)
    # By the same recipe: what is downstream is what it was; the page tells of the new files.
    assert ran(made) == {"filters"} | SHOWS
    whole, _ = original
    for path in sorted(whole.hap_visit(VISIT).glob("hst_*.fits")):
        with fits.open(path) as expected, fits.open(copied.hap_visit(VISIT) / path.name) as made:
            for one, other in zip(expected, made, strict=True):
                if one.is_image and one.data is not None:
                    np.testing.assert_array_equal(one.data, other.data)
    assert not [each for each in copied.runfiles.iterdir() if each.is_dir()]

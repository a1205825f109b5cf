"""Which poller a visit is planned from; headers only."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.exposures.columns import EXPOSURE_COLUMNS
from hst_assets.exposures.raw import RawFile, write_ledger
from hst_assets.failures import BadConfiguration, MissingProduct, UnusableInput
from hst_assets.hap.listed import _OF_ALL, _OF_LATER_INSTRUMENTS, _OF_WFC3
from hst_assets.hap.visits import plan as visit_plan
from hst_assets.hap.visits.aligned import make_hap_aligned_exposures
from hst_assets.hap.visits.catalogs import make_hap_point_catalogs, make_hap_segment_catalogs
from hst_assets.hap.visits.exposure_images import make_hap_exposure_products
from hst_assets.hap.visits.filter_images import make_hap_filter_products
from hst_assets.hap.visits.manifest import make_hap_manifest
from hst_assets.hap.visits.plan import make_hap_plan
from hst_assets.hap.visits.quality_tests import make_hap_quality
from hst_assets.hap.visits.total_images import make_hap_total_products
from hst_assets.hap.visits.work import VisitWork
from hst_assets.orchestration.hap_checks import EXPOSURES_TAKEN
from hst_assets.products.columns import build_table, write_table
from hst_assets.provenance import Recipe, Result, WouldBeMade, make, sha256_of_file
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir

VISIT = "iaaa01"
#: What is made after the plan.
AFTER = (
    make_hap_aligned_exposures,
    make_hap_filter_products,
    make_hap_exposure_products,
    make_hap_total_products,
    make_hap_point_catalogs,
    make_hap_segment_catalogs,
    make_hap_quality,
    make_hap_manifest,
)
POLLER = "wfc3_aaa_01_input.out"


#: What HAP asks of a header before anything else.
KEYWORDS = {
    "PROPOSID": 12345,
    **dict.fromkeys((*_OF_ALL, *_OF_LATER_INSTRUMENTS, *_OF_WFC3, "FILTER"), ""),
}


def exposure_row(file, **changes):
    row = {
        spec.key or spec.name: {"str": "", "bool": False, "int64": 0}.get(spec.dtype)
        for spec in EXPOSURE_COLUMNS
    }
    row |= {"file": file, "rootname": file[:9], "visit": VISIT, "used": True, "filter": "F160W"}
    row |= {"detector": "IR", "exptime_s": 100.0, "mjd_start": 55000.0, **changes}
    return row


@pytest.fixture
def workdir(tmp_path):
    """A target with two exposures, of which the second is not used; only looked at."""
    workdir = WorkDir(tmp_path, "sn1").create()
    write_settings(workdir, {"target": {"ra_deg": 10.0, "dec_deg": 20.0}})
    files = []
    for name in ("iaaa01a0q_flt.fits", "iaaa01a1q_flt.fits"):
        path = workdir.raw / name
        fits.PrimaryHDU(header=fits.Header(KEYWORDS)).writeto(path)
        status = path.stat()
        files.append(
            RawFile(
                name,
                name[:9],
                VISIT,
                "flt",
                status.st_size,
                status.st_mtime_ns,
                sha256_of_file(path),
            )
        )
    write_ledger(workdir, files)
    rows = [exposure_row(files[0].name), exposure_row(files[1].name, used=False, reason="short")]
    table = workdir.visit_exposures(VISIT)
    write_table(build_table(EXPOSURE_COLUMNS, rows), table)
    make(Recipe("exposure_table"), table, workdir, lambda: Result((table,)))
    return WorkDir(tmp_path, "sn1", looked_at=True)


def planned(workdir):
    """The inputs of the recipe by which the visit would be planned."""
    with pytest.raises(WouldBeMade) as told:
        make_hap_plan(workdir, VISIT, load_settings(workdir))
    return told.value


def test_the_poller_is_written_from_the_exposures_in_use(workdir):
    assert planned(workdir).stage == "hap_plan"
    poller = visit_plan._poller(VisitWork(workdir, VISIT, load_settings(workdir)))
    assert [row.file for row in poller.rows] == ["iaaa01a0q_flt.fits"]
    assert poller.left_out == ("iaaa01a1q: short",)


def test_a_poller_in_the_targets_folder_is_another_plan(workdir):
    before = planned(workdir).digest
    (workdir.base / POLLER).write_text("iaaa01a1q_flt.fits\n")
    assert planned(workdir).digest != before


@pytest.mark.parametrize(
    ("text", "failure", "told"),
    [
        ("ibbb01a0q_flt.fits\n", UnusableInput, "other visits"),
        ("iaaa01a5q_flt.fits\n", MissingProduct, "raw/ has not"),
        ("nonsense\n", UnusableInput, "names no exposure"),
    ],
)
def test_a_poller_that_cannot_be_used_is_refused(workdir, text, failure, told):
    (workdir.base / POLLER).write_text(text)
    with pytest.raises(failure, match=told):
        make_hap_plan(workdir, VISIT, load_settings(workdir))


def test_a_visit_without_a_table_is_not_planned(workdir):
    workdir.record(workdir.visit_exposures(VISIT)).unlink()
    with pytest.raises(MissingProduct, match="exposure table"):
        make_hap_plan(workdir, VISIT, load_settings(workdir))


def test_parameters_of_another_visit_change_nothing(workdir):
    before = planned(workdir).digest
    path = workdir.base / "parameters.json"
    path.write_text('{"hst_12345_02_wfc3_ir_total_iaaa02": {}}')
    write_settings(workdir, {"hap": {"parameters_file": str(path)}})
    assert planned(workdir).digest == before
    path.write_text('{"hst_12345_01_wfc3_ir_f160w_iaaa01a0": {}}')
    assert planned(workdir).digest != before


def test_a_file_of_parameters_that_is_no_json_is_refused(workdir):
    path = workdir.base / "parameters.json"
    path.write_text("nonsense")
    write_settings(workdir, {"hap": {"parameters_file": str(path)}})
    with pytest.raises(BadConfiguration, match="cannot be read"):
        make_hap_plan(workdir, VISIT, load_settings(workdir))


def test_a_visit_of_which_no_exposure_is_used_has_an_empty_plan(workdir):
    table = workdir.visit_exposures(VISIT)
    rows = [exposure_row("iaaa01a0q_flt.fits", used=False, reason="short")]
    write_table(build_table(EXPOSURE_COLUMNS, rows), table)
    making = WorkDir(workdir.root, "sn1")
    make(Recipe("exposure_table"), table, making, lambda: Result((table,)), redo=True)
    settings = load_settings(making)
    planned = make_hap_plan(making, VISIT, settings)
    assert planned.facts["left_out"] == ["iaaa01a0q: short"]
    assert planned.facts["ends_with"].startswith("65")
    made = [make_it(making, VISIT, settings) for make_it in AFTER]
    assert all(each.facts["note"] for each in made[:-1])
    assert made[-1].facts["return_code"] == 65
    assert (making.hap_visit(VISIT) / "wfc3_aaa_01_manifest.txt").read_text() == ""


def test_an_exposure_without_a_zero_point_costs_itself_and_is_told(workdir):
    making = WorkDir(workdir.root, "sn1")
    settings = load_settings(making)
    planned = make_hap_plan(making, VISIT, settings)  # its files have no science extension
    assert planned.facts["n_exposures"] == 1
    (told,) = planned.facts["rejected"]
    assert told.startswith("iaaa01a0q_flt.fits: HAP cannot use the exposure")
    assert planned.facts["left_out"] == ["iaaa01a1q: short"]
    assert not EXPOSURES_TAKEN.find(planned, making).passed


def test_of_two_exposures_the_one_that_can_be_used_is_planned(workdir):
    good, bad = (workdir.raw / f"iaaa01a{number}q_flt.fits" for number in (0, 1))
    good.chmod(0o644)
    science = fits.ImageHDU(np.ones((2, 2), "f4"), name="SCI", ver=1)
    header = fits.Header(KEYWORDS | {"INSTRUME": "WFC3", "DETECTOR": "IR", "PHOTFLAM": 1e-20})
    fits.HDUList([fits.PrimaryHDU(header=header), science]).writeto(good, overwrite=True)
    work = VisitWork(workdir, VISIT, load_settings(workdir))
    poller = visit_plan._poller(work)
    (row,) = poller.rows
    both = replace(poller, rows=(row, replace(row, file=bad.name)))
    usable, _ = visit_plan._usable(work, both)
    assert usable.rows == (row,)
    (told,) = usable.lacking
    assert told.startswith(f"{bad.name}: ")


def test_an_exposure_without_what_hap_asks_for_is_left_out(workdir):
    path = workdir.raw / "iaaa01a0q_flt.fits"
    path.chmod(0o644)
    fits.delval(path, "MTFLAG")
    settings = load_settings(workdir)
    work = VisitWork(workdir, VISIT, settings)
    poller = visit_plan._poller(work)
    assert poller.rows == ()
    (lacking,) = poller.lacking
    assert "HAP needs MTFLAG" in lacking
    assert poller.left_out == ("iaaa01a1q: short",)


def test_an_exposure_that_hap_cannot_take_fails_the_check_that_all_are_taken(workdir):
    path = workdir.raw / "iaaa01a0q_flt.fits"
    path.chmod(0o644)
    fits.delval(path, "MTFLAG")
    making = WorkDir(workdir.root, "sn1")
    status = path.stat()
    digest = sha256_of_file(path)
    write_ledger(
        making,
        [
            RawFile(
                path.name, path.name[:9], VISIT, "flt", status.st_size, status.st_mtime_ns, digest
            )
        ],
    )
    made = make_hap_plan(making, VISIT, load_settings(making))
    assert made.facts["n_exposures"] == 1
    finding = EXPOSURES_TAKEN.find(made, making)
    assert not finding.passed
    assert "0 of 1 exposures are taken" in finding.text
    assert "HAP needs MTFLAG" in finding.text

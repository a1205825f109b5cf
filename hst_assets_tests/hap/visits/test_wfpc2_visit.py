"""A visit of WFPC2 as assets: its exposures are converted before HAP takes them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.io import fits

from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.raw import raw_ledger, write_ledger
from hst_assets.exposures.table import make_raw_manifest, make_visit_table
from hst_assets.hap.visits import plan as visit_plan
from hst_assets.hap.visits.plan import make_hap_plan
from hst_assets.hap.visits.planned import read_plan
from hst_assets.hap.visits.work import VisitWork
from hst_assets.hap.wfpc2_exposures import quality_name
from hst_assets.products.columns import read_table
from hst_assets.settings import load_settings, write_settings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("hap")]


@pytest.fixture(scope="module")
def planned(simulated, tmp_path_factory):
    truth = simulated(small_plan("wfpc2", filters=("F606W", "F814W")))
    workdir = WorkDir(tmp_path_factory.mktemp("root"), "sn1").create()
    ingest([truth.exposure_folder], workdir, ra_deg=150.1, dec_deg=2.2)
    settings = load_settings(workdir)
    visit = str(truth.exposures["file"][0])[:6]
    make_raw_manifest(workdir, visit, settings)
    make_visit_table(workdir, visit, settings)
    return workdir, visit, make_hap_plan(workdir, visit, settings)


def test_the_products_are_planned_under_drizzlepacs_names(planned):
    workdir, visit, made = planned
    assert made.facts["rejected"] == []
    assert made.facts["left_out"] == []
    files = list(read_table(workdir.hap_plan(visit))["file"])
    assert files[0] == f"hst_15999_01_wfpc2_pc_total_{visit}_drz.fits"
    assert len(files) == 7  # all together, two filters, four exposures


def test_the_exposures_are_converted_and_belong_to_the_plan(planned):
    workdir, visit, made = planned
    converted = sorted(workdir.hap_flt_folder(visit).glob("*_flt.fits"))
    assert len(converted) == 4
    assert {path.name for path in converted} <= {Path(name).name for name in made.record.outputs}
    assert fits.getval(converted[0], "DETECTOR") == "PC"


def test_an_exposure_that_cannot_be_converted_costs_itself(planned, tmp_path):
    original, visit, _ = planned
    shutil.copytree(original.root, tmp_path / "root")
    workdir = WorkDir(tmp_path / "root", "sn1")
    work = VisitWork(workdir, visit, load_settings(workdir))
    poller = visit_plan._poller(work)
    first, second, *others = poller.rows
    quality_of(work.given(first.file)).unlink()
    work.given(second.file).chmod(0o644)
    fits.setval(work.given(second.file), "ATODGAIN", value=3.0)
    usable, converted = visit_plan._usable(work, poller)
    assert usable.rows == tuple(others)
    assert {path.name for path in converted} == {row.file for row in others}
    lacking, unknown = usable.lacking
    assert lacking.startswith(f"{first.file}: HAP needs the image and the data quality")
    assert unknown.startswith(f"{second.file}: cannot be made a file for HAP")


def quality_of(c0m):
    return c0m.with_name(quality_name(c0m.name))


def test_a_changed_data_quality_file_is_another_exposure(planned, tmp_path):
    whole, visit, _ = planned
    shutil.copytree(whole.root, tmp_path / "root", symlinks=True)
    workdir = WorkDir(tmp_path / "root", "sn1")
    work = VisitWork(workdir, visit, load_settings(workdir))
    before = work.exposure_digests()
    assert set(before) == {row.file for row in read_plan(workdir, visit).rows}
    files = raw_ledger(workdir)
    changed = next(file for file in files if file.name.endswith("_c1m.fits"))
    write_ledger(
        workdir,
        [replace(file, sha256="0" * 64) if file == changed else file for file in files],
    )
    after = work.exposure_digests()
    assert {name for name in before if after[name] != before[name]} == {
        changed.name.replace("_c1m", "_flt")
    }


def test_the_parameter_that_is_deleted_is_the_one_that_is_changed(planned, tmp_path):
    whole, visit, _ = planned
    shutil.copytree(whole.root, tmp_path / "root", symlinks=True)
    workdir = WorkDir(tmp_path / "root", "sn1")
    path = workdir.base / "mine.json"
    (given,) = workdir.hap_visit(visit).glob("*_parameters.json")
    content = json.loads(given.read_text())
    name = next(name for name in content if "_total_" in name)
    del content[name]["default_values"]["quality control"]["ci filter"]["aperture"]["bthresh"]
    path.write_text(json.dumps(content))
    write_settings(workdir, {"hap": {"parameters_file": str(path)}})
    made = make_hap_plan(workdir, visit, load_settings(workdir))
    assert made.facts["changed_parameters"] == [name]
    assert read_plan(workdir, visit).changed[name] == {
        "quality control": {"ci filter": {"aperture": {"bthresh": None}}}
    }

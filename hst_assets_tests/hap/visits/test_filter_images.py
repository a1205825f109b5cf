"""Which images of filters there may be: two detectors, of which one was fitted to Gaia.

Pieces of drizzlepac are stand-ins here: an image is a small file.
"""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from hst_assets.exposures.raw import RawFile, write_ledger
from hst_assets.hap.listed import ListedExposure
from hst_assets.hap.objects import PARAMETERS
from hst_assets.hap.piece_runs import Left
from hst_assets.hap.product_tree import visit_tree
from hst_assets.hap.visits import filter_images
from hst_assets.hap.visits.aligned import aligned_totals
from hst_assets.hap.visits.filter_images import make_hap_filter_products
from hst_assets.hap.visits.planned import read_plan
from hst_assets.hap.visits.work import VisitWork
from hst_assets.provenance import Recipe, Result, make, read_record, sha256_of_file
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir

VISIT = "iaaa01"
POLLER = "wfc3_aaa_01_input.out"
FILES = {"iaaa01a0q_flt.fits": ("IR", "F160W"), "iaaa01a1q_flt.fits": ("UVIS", "F606W")}
IR, UVIS = "ir", "uvis"


def written(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def workdir(tmp_path):
    """A planned visit whose alignment is still to come."""
    workdir = WorkDir(tmp_path, "sn1").create()
    write_settings(workdir, {"target": {"ra_deg": 10.0, "dec_deg": 20.0}})
    raw = []
    for name in FILES:
        path = written(workdir.raw / name, name)
        status = path.stat()
        of_file = (status.st_size, status.st_mtime_ns, sha256_of_file(path))
        raw.append(RawFile(name, name[:9], VISIT, "flt", *of_file))
    write_ledger(workdir, raw)
    write_plan(workdir)
    return workdir


def write_plan(workdir):
    listed = [
        ListedExposure(name, "WFC3", detector, 12345, "01", element, 100.0, 1e-20)
        for name, (detector, element) in FILES.items()
    ]
    plan = {
        "poller": POLLER,
        "listed": [asdict(one) for one in listed],
        "rejected": {},
        "changed": {},
        "is_given": False,
    }
    written(workdir.hap_pieces(VISIT) / "plan.json", json.dumps(plan))
    written(workdir.hap_visit(VISIT) / POLLER, "".join(f"{name}\n" for name in FILES))
    written(workdir.hap_pieces(VISIT) / PARAMETERS)
    assert len(visit_tree(listed).totals) == 2
    table = workdir.hap_plan(VISIT)
    make(Recipe("hap_plan"), table, workdir, lambda: Result((written(table),)))


def align(workdir, fitted):
    """Leave what the alignment leaves; the exposures of detectors in `fitted` have a fit."""
    work = VisitWork(workdir, VISIT, load_settings(workdir))
    for part in aligned_totals(work, read_plan(workdir, VISIT)):
        names = [one.exposure_file for one in part.total.exposures]
        is_fitted = part.total.detector in fitted
        told = {"exposures": [{"file": name, "fitted": is_fitted} for name in names]}
        files = [part.path, *map(work.aligned, names)]

        def leave(files=files, told=told):
            return Result(tuple(map(written, files)), told)

        make(part.recipe, part.path, workdir, leave, redo=True)


@pytest.fixture
def drizzled(workdir, monkeypatch):
    """Drizzle with or without the WCS that exposures came with; the detectors that have images."""

    def settle(part, left, folder, work):
        facts = {"file": part.path.name, "haplevel": 2, "n_exposures": 1, "exptime": 1.0}
        facts |= {"n_x": 1, "n_y": 1, "covered": 1.0, "wcsname": "", "footprint": ""}
        return Result((written(part.path),), {"image": facts})

    monkeypatch.setattr(filter_images, "_settle_filter", settle)
    monkeypatch.setattr(
        VisitWork, "run", lambda self, pieces, folder, done: [Left({}, ()) for _ in pieces]
    )

    def drizzle(*, accept):
        write_settings(workdir, {"hap": {"accept_a_priori_wcs": accept}})
        made = make_hap_filter_products(workdir, VISIT, load_settings(workdir))
        on_disk = {
            path.name.split("_")[4] for path in workdir.hap_visit(VISIT).glob("hst_*_drz.fits")
        }
        assert len(on_disk) == made.facts["n_products"]
        return on_disk

    return drizzle


def test_a_wcs_that_is_no_longer_accepted_takes_the_image_away(workdir, drizzled):
    align(workdir, {IR})
    assert drizzled(accept=True) == {IR, UVIS}
    assert drizzled(accept=False) == {IR}
    assert drizzled(accept=True) == {IR, UVIS}


def test_a_later_fit_makes_the_image(workdir, drizzled):
    align(workdir, {IR})
    assert drizzled(accept=False) == {IR}
    align(workdir, {IR, UVIS})
    assert drizzled(accept=False) == {IR, UVIS}


def test_what_was_fitted_is_not_drizzled_again_for_the_setting(workdir, drizzled):
    align(workdir, {IR, UVIS})
    drizzled(accept=True)
    (image,) = workdir.hap_visit(VISIT).glob("hst_*_ir_*_drz.fits")
    before = image.stat().st_mtime_ns, read_record(image).digest
    drizzled(accept=False)
    assert (image.stat().st_mtime_ns, read_record(image).digest) == before


def test_an_exposure_that_the_record_does_not_name_is_not_fitted(workdir):
    align(workdir, {IR})
    work = VisitWork(workdir, VISIT, load_settings(workdir))
    one = aligned_totals(work, read_plan(workdir, VISIT))[0]
    make(one.recipe, one.path, workdir, lambda: Result((one.path,), {"exposures": []}), redo=True)
    assert one.not_fitted() == tuple(each.exposure_file for each in one.total.exposures)

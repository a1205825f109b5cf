"""A visit of which every product has a record, without drizzlepac: files hold their names."""

import json
from dataclasses import asdict

from hst_assets.exposures.raw import RawFile, write_ledger
from hst_assets.hap.listed import ListedExposure
from hst_assets.hap.visits.aligned import aligned_totals
from hst_assets.hap.visits.catalogs import cataloged_totals
from hst_assets.hap.visits.exposure_images import exposure_images
from hst_assets.hap.visits.filter_images import drizzled_filters
from hst_assets.hap.visits.planned import PLAN, read_plan
from hst_assets.hap.visits.total_images import drizzled_totals
from hst_assets.hap.visits.work import VisitWork
from hst_assets.provenance import Recipe, Result, make, sha256_of_file
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir

VISIT = "iaaa01"
POLLER = "wfc3_aaa_01_input.out"
#: Exposures with their detectors and filters.
EXPOSURES = {
    "iaaa01a0q_flt.fits": ("IR", "F110W"),
    "iaaa01a1q_flt.fits": ("IR", "F160W"),
    "iaaa01a2q_flc.fits": ("UVIS", "F606W"),
}


def planned_visit(root):
    """A target whose visit is planned, with a detector of two filters and one of one."""
    workdir = WorkDir(root, "sn1").create()
    write_settings(workdir, {"target": {"ra_deg": 10.0, "dec_deg": 20.0}})
    files = []
    for name in EXPOSURES:
        path = workdir.raw / name
        path.write_text(name)
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns, sha256_of_file(path))
        files.append(RawFile(name, name[:9], VISIT, name[10:13], *stamp))
    write_ledger(workdir, files)
    listed = [
        ListedExposure(name, "WFC3", detector, 12345, "01", elements, 100.0, 1e-20)
        for name, (detector, elements) in EXPOSURES.items()
    ]
    content = {
        "poller": POLLER,
        "listed": [asdict(one) for one in listed],
        "rejected": {},
        "changed": {},
        "is_given": False,
    }
    for path, text in (
        (workdir.hap_visit(VISIT) / POLLER, "".join(f"{name}\n" for name in EXPOSURES)),
        (workdir.hap_pieces(VISIT) / PLAN, json.dumps(content)),
        (workdir.hap_plan(VISIT), "plan"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    plan = workdir.hap_plan(VISIT)
    make(Recipe("hap_plan"), plan, workdir, lambda: Result((plan,)))
    return workdir


def work_of(workdir):
    """The visit with today's settings."""
    return VisitWork(workdir, VISIT, load_settings(workdir))


def record_all(workdir, detectors=("ir", "uvis")):
    """Give every product of detectors its file and its record, in order."""
    record_alignment(workdir)
    record_filters(workdir, detectors)
    work, plan = work_of(workdir), read_plan(workdir, VISIT)
    for one in exposure_images(work, plan):
        recorded(work, one, [one.node.trailer_file])
    for total in drizzled_totals(work, plan):
        recorded(work, total, [total.total.trailer_file])
    record_catalogs(workdir)


def record_alignment(workdir):
    """Give the alignments of both detectors their records."""
    work, plan = work_of(workdir), read_plan(workdir, VISIT)
    for part in aligned_totals(work, plan):
        rows = [{"file": one.exposure_file, "fitted": True} for one in part.total.exposures]
        headerlets = [one.headerlet_file for one in part.total.exposures]
        recorded(work, part, headerlets, exposures=rows, headerlets=headerlets, beside=[])


def record_filters(workdir, detectors):
    """Give the filters of detectors their records."""
    work, plan = work_of(workdir), read_plan(workdir, VISIT)
    for each in drizzled_filters(work, plan):
        if each.aligned.total.detector in detectors:
            exposures = [one.exposure_file for one in each.node.exposures]
            recorded(work, each, [each.node.trailer_file, *exposures])


def record_catalogs(workdir):
    """Give the catalogues their records."""
    work, plan = work_of(workdir), read_plan(workdir, VISIT)
    for part in cataloged_totals(work, plan):
        nodes = [part.total, *(each.node for each in part.filters)]
        names = [node.catalog_file(kind) for node in nodes for kind in ("point", "segment")]
        told = {"measured": part.kept, "failed": {}, "emptied": False, "without_psf": False}
        recorded(work, part, names, rows=dict.fromkeys(names, 5), **told)


def recorded(work, part, names, **facts):
    """Write a product with the other files of its record."""

    def run():
        paths = [part.path, *(work.place(name) for name in names)]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
        return Result(tuple(paths), facts)

    return make(part.recipe, part.path, work.workdir, run)

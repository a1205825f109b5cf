"""What is left between filters and epochs after the alignment, for each detector.

    python benchmarks/alignment_accuracy.py [--detectors wfc3_uvis ...]
                                            [--methods tweakreg catalog] [--folder FOLDER]

Simulates for each detector two filters at two epochs with pointing errors of 0.07 and 0.39 arcsec
and roll errors, makes the reference and aligns every exposure with the pipeline's own functions.
The method catalog gets the true stars as its absolute catalogue.

Measured are the stars' positions through the WCS that was written, of any two exposures of
different filters or epochs: from the true pixels of the stars, so that nothing but the WCS counts,
and from the pixels that the pipeline's source finding gives. Exits with an error if the median
offset of a pair is beyond its limit, or an exposure was not aligned.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from astropy.table import Table

from hst_assets.astrometry import matching
from hst_assets.astrometry.alignment import make_aligned_visit
from hst_assets.astrometry.alignment_table import read_alignment
from hst_assets.astrometry.exposure_field import exposure_stars, prepared_planes
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.detection.image_planes import exposure_planes
from hst_assets.detectors import DETECTORS
from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.table import make_raw_manifest, make_target_table, make_visit_table
from hst_assets.settings import AlignmentSettings, CatalogSettings, Settings, TargetSettings
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import epochs_plan
from hst_assets.simulate.scoring import pair_offsets
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir

#: Largest median offset between any two filters or epochs, native pixels.
LIMIT_PIX = {"wfc3_uvis": 0.05, "wfc3_ir": 0.05, "acs_wfc": 0.05, "acs_hrc": 0.1, "wfpc2": 0.1}


def main() -> int:
    options = _options()
    warnings.simplefilter("ignore")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="alignment-accuracy-"))
    print("| detector | method | aligned | common stars | offset before | offset, true pixels "
          "| offset, measured pixels | limit | time |")  # fmt: skip
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    good = True
    for key in options.detectors:
        truth = _campaign(key, folder)
        for method in options.methods:
            good &= _row(key, method, truth, folder)
    return 0 if good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--methods", nargs="+", default=["tweakreg", "catalog"])
    parser.add_argument("--folder", type=Path, help="where simulated exposures are kept")
    return parser.parse_args()


def _campaign(key: str, folder: Path) -> CampaignTruth:
    truth = CampaignTruth(folder / f"sky-{key}")
    if (truth.folder / "transient.ecsv").is_file():  # written last
        return truth
    return simulate_campaign(epochs_plan(key), truth.root, max_cores=2)


def _row(key: str, method: str, truth: CampaignTruth, folder: Path) -> bool:
    """Align one detector's campaign, print what is left; whether that is within the limit."""
    started = time.perf_counter()
    plan = epochs_plan(key)
    catalog = CatalogSettings(source=_true_catalog(truth))
    settings = Settings(
        target=TargetSettings(ra_deg=plan.ra_deg, dec_deg=plan.dec_deg),
        alignment=AlignmentSettings(align_with=(method,)),
        catalog=catalog if method == "catalog" else CatalogSettings(),
    )
    root = Path(tempfile.mkdtemp(prefix=f"{key}-{method}-", dir=folder))
    workdir = WorkDir(root, plan.name)
    status = align_campaign(workdir, truth, settings)
    planned = truth.exposures
    raw = {str(row["rootname"]): truth.exposure_folder / str(row["file"]) for row in planned}
    aligned = {str(row["rootname"]): workdir.aligned(str(row["file"])) for row in planned}
    before = pair_offsets(raw, truth)
    true = pair_offsets(aligned, truth)
    measured = pair_offsets(aligned, truth, places=_measured(aligned, key, truth))
    worst = float(true["offset_pix"].max())
    n_good = status.count("PASS") + status.count("COMPROMISED")
    print(
        f"| {key} | {method} | {n_good} of {len(status)} "
        f"| {int(true['n_stars'].min())}-{int(true['n_stars'].max())} "
        f"| {float(before['offset_pix'].max()):.1f} px | {worst:.3f} px "
        f"| {float(measured['offset_pix'].max()):.3f} px | {LIMIT_PIX[key]} px "
        f"| {time.perf_counter() - started:.0f} s |",
        flush=True,
    )
    return worst < LIMIT_PIX[key] and n_good == len(status)


def align_campaign(workdir: WorkDir, truth: CampaignTruth, settings: Settings) -> list[str]:
    """Ingest, reference and alignment; return the status of each exposure."""
    workdir.create()
    target = settings.target
    visits = ingest(
        [truth.exposure_folder], workdir, ra_deg=target.ra_deg, dec_deg=target.dec_deg
    ).visits
    for visit in visits:
        make_raw_manifest(workdir, visit)
        make_visit_table(workdir, visit, settings)
    make_target_table(workdir, visits, settings)
    make_reference(workdir, settings)
    status: list[str] = []
    for visit in visits:
        make_aligned_visit(workdir, visit, settings)
        status += list(read_alignment(workdir.visit_alignment(visit))["status"])
    return status


def _true_catalog(truth: CampaignTruth) -> Path:
    path = truth.folder.absolute() / "catalog.ecsv"
    truth.stars["ra", "dec"].write(path, format="ascii.ecsv", overwrite=True)
    return path


def _measured(aligned: dict[str, Path], key: str, truth: CampaignTruth) -> dict[str, Table]:
    """Where source finding has the stars of the truth on each exposure."""
    how, detector = AlignmentSettings(), DETECTORS[key]
    return {
        rootname: _identified(
            exposure_stars(
                prepared_planes(exposure_planes(path, quality_file(path), detector), detector, how),
                detector,
                how,
                how.threshold_sigma,
            ),
            truth.positions(rootname),
        )
        for rootname, path in aligned.items()
    }


def _identified(found: Table, true: Table) -> Table:
    """The found stars within a pixel of a true one, with its id."""
    parts = []
    for chip in np.unique(np.asarray(true["chip"])):
        here, there = found[found["extver"] == chip], true[true["chip"] == chip]
        a, b = matching.nearest(
            np.column_stack([here["x"], here["y"]]), np.column_stack([there["x"], there["y"]]), 1.0
        )
        parts.append((there["id"][b], there["chip"][b], here["x"][a], here["y"][a]))
    columns = map(np.concatenate, zip(*parts, strict=True))
    return Table(dict(zip(("id", "chip", "x", "y"), columns, strict=True)))


if __name__ == "__main__":
    sys.exit(main())

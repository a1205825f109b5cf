"""Errors of difference images against the scatter of empty sky, for one detector or all five.

    .venv/bin/python benchmarks/difference_noise.py [DETECTOR ...]

Simulates two epochs of a sparse field, drizzles and subtracts them, and prints measured over
predicted scatter: of single empty pixels, of empty apertures, and of the pixels of stars that no
flag marks. WFPC2 takes minutes and gigabytes.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.stats import mad_std
from astropy.table import QTable
from astropy.wcs import WCS
from numpy.typing import NDArray
from photutils.aperture import CircularAperture, aperture_photometry

from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.table import (
    make_raw_manifest,
    make_target_table,
    make_visit_table,
)
from hst_assets.imaging.differences.batch import make_differences
from hst_assets.imaging.differences.subtraction import Flag
from hst_assets.imaging.drizzling import make_stacks
from hst_assets.imaging.noise import circular_aperture_factor
from hst_assets.products.columns import read_table
from hst_assets.provenance import Recipe, Result, make, sha256_of_file
from hst_assets.settings import load_settings
from hst_assets.simulate.campaign import CampaignPlan, simulate_campaign
from hst_assets.simulate.plans import DEMO_MJD, small_plan
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir

#: Exposures of the first and of the second epoch.
EXPOSURES = {
    "wfc3_uvis": (4, 2),
    "acs_wfc": (3, 1),
    "acs_hrc": (4, 3),
    "wfc3_ir": (3, 2),
    "wfpc2": (3, 2),
}
RADII_PIX = (2.0, 3.0, 5.0)
STAR_ARCSEC = 1.6
N_APERTURES = 8000


def campaign(detector_key: str) -> CampaignPlan:
    """Forty stars, twenty of them bright; the second visit is turned; headers tell the truth."""
    n_first, n_second = EXPOSURES[detector_key]
    plan = small_plan(detector_key, n_exposures=n_first, pointing_error_arcsec=(0.0, 0.0))
    (visit,) = plan.visits
    first = replace(visit, visit=f"{visit.visit[:-1]}1", jitter_arcsec=0.0)
    second = replace(
        first,
        visit=f"{visit.visit[:-1]}2",
        n_exposures=n_second,
        mjd=DEMO_MJD + 40.0,
        pa_v3_deg=52.0,
    )
    scene = replace(plan.scene, n_stars=40, n_isolated=20, n_galaxies=0)
    return replace(plan, visits=(first, second), scene=scene)


def prepared(plan: CampaignPlan, root: Path) -> tuple[WorkDir, CampaignTruth]:
    """A work directory up to its alignment, which is exact by construction."""
    truth = simulate_campaign(plan, root / "simulated", max_cores=2)
    workdir = WorkDir(root / "root", "field")
    ingest([truth.exposure_folder], workdir, ra_deg=plan.ra_deg, dec_deg=plan.dec_deg)
    settings = load_settings(workdir)
    visits = [visit.visit for visit in plan.visits]
    for visit in visits:
        make_raw_manifest(workdir, visit)
        make_visit_table(workdir, visit, settings)
        _align_as_is(workdir, visit)
    make_target_table(workdir, visits, settings)
    return workdir, truth


def _align_as_is(workdir: WorkDir, visit: str) -> None:
    for path in workdir.raw.glob(f"{visit}*.fits"):
        shutil.copyfile(path, workdir.aligned(path.name))
    table = read_table(workdir.visit_exposures(visit))
    alignment = QTable()
    for name in ("rootname", "file", "used"):
        alignment[name] = table[name]
    alignment["digest"] = [sha256_of_file(workdir.aligned(str(name))) for name in table["file"]]
    path = workdir.visit_alignment(visit)
    alignment.write(path, format="ascii.ecsv", overwrite=True)
    make(Recipe("aligned_exposures"), path, workdir, lambda: Result((path,)), redo=True)


def measured(path: Path, truth: CampaignTruth) -> list[float]:
    """Measured over predicted scatter, in the order of the table in docs/guide/differences.md."""
    with fits.open(path) as hdus:
        header, wcs = hdus[0].header, WCS(hdus["SCI"].header)
        data, error, flags = (np.array(hdus[name].data) for name in ("SCI", "ERR", "DQ"))
    covered = np.isfinite(data)
    near = _near(truth, wcs, data.shape, float(header["D_SCALE"]))
    pulls = data / error * header["NOISCORR"]
    empty = covered & ~near
    data, error = np.where(covered, data, 0.0), np.where(covered, error, 0.0)
    return [
        float(mad_std(pulls[empty])),
        *(_apertures(data, error, empty, radius, header["DROPRAT"]) for radius in RADII_PIX),
        float(mad_std(pulls[covered & near & (flags & Flag.STAR_CORE == 0)])),
    ]


def _near(
    truth: CampaignTruth, wcs: WCS, shape: tuple[int, int], scale_arcsec: float
) -> NDArray[np.bool_]:
    near = np.zeros(shape, dtype=bool)
    reach = int(np.ceil(STAR_ARCSEC / scale_arcsec))
    offsets = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    rows, columns = offsets[:, np.hypot(*offsets) <= reach]
    for x, y in zip(*wcs.wcs_world2pix(truth.stars["ra"], truth.stars["dec"], 0), strict=True):
        row, column = rows + round(float(y)), columns + round(float(x))
        on = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        near[row[on], column[on]] = True
    return near


def _apertures(
    data: NDArray[np.float32],
    error: NDArray[np.float32],
    empty: NDArray[np.bool_],
    radius: float,
    drop_ratio: float,
) -> float:
    rng = np.random.default_rng(1)
    ny, nx = data.shape
    edge = radius + 3
    places = np.column_stack(
        [rng.uniform(edge, nx - edge, N_APERTURES), rng.uniform(edge, ny - edge, N_APERTURES)]
    )
    apertures = CircularAperture(places, radius)
    sums, variances, shares = (
        np.array(aperture_photometry(image, apertures)["aperture_sum"])
        for image in (data, error**2, empty.astype(float))
    )
    whole = shares > 0.999 * apertures.area
    factor = circular_aperture_factor(drop_ratio, radius) or 1.0
    return float(mad_std(sums[whole] / np.sqrt(variances[whole]) / factor))


def main() -> None:
    """Print a row for each detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detectors", nargs="*", default=[], metavar="DETECTOR")
    chosen = parser.parse_args().detectors or list(EXPOSURES)
    radii = " | ".join(f"r = {radius:g} px" for radius in RADII_PIX)
    print(f"| detector | empty pixels | {radii} | stars beside their cores |")
    print("| --- |" + " --- |" * (2 + len(RADII_PIX)))
    for detector_key in chosen:
        with tempfile.TemporaryDirectory() as folder:
            workdir, truth = prepared(campaign(detector_key), Path(folder))
            settings = load_settings(workdir)
            make_stacks(workdir, settings)
            make_differences(workdir, settings)
            (path,) = workdir.drizzle.glob("*.diff_*.fits")
            cells = " | ".join(f"{value:.2f}" for value in measured(path, truth))
            print(f"| {detector_key} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

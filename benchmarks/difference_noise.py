"""Errors of difference images against the scatter of empty sky, for one detector or all five.

    .venv/bin/python benchmarks/difference_noise.py [DETECTOR ...]

Simulates two epochs of a sparse field, drizzles and subtracts them, and prints measured over
predicted scatter: of single empty pixels, of empty apertures, and of the pixels of stars that no
flag marks. The exit status is 1 if one is beyond its tolerance. WFPC2 takes minutes and gigabytes.

Nothing takes the cosmic rays out of a CCD epoch of one exposure, and ERR does not predict them:
where the simulator put them is known, and these places are not counted. Those of epochs of more
exposures are for the drizzling to find, and are counted.
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

from hst_assets.detectors import DETECTORS
from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.table import (
    make_raw_manifest,
    make_target_table,
    make_visit_table,
)
from hst_assets.imaging.correlated_noise import circular_aperture_factor
from hst_assets.imaging.differences.batch import make_differences
from hst_assets.imaging.differences.subtraction import Flag
from hst_assets.imaging.drizzling import make_stacks
from hst_assets.products.columns import read_table
from hst_assets.provenance import Recipe, Result, make, sha256_of_file
from hst_assets.settings import load_settings
from hst_assets.simulate.campaign import CampaignPlan, exposure_plans, simulate_campaign
from hst_assets.simulate.exposure import ExposurePlan, render_exposure
from hst_assets.simulate.headers import exposure_files
from hst_assets.simulate.plans import DEMO_MJD, small_plan
from hst_assets.simulate.scene import Scene, make_scene
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
#: So many tell a scatter to 3 %.
FEWEST_APERTURES = 500
#: From the nearest product pixel: half the diagonals of a drop and of a pixel, 1.3 pixels, and
#: what rounding takes.
HIT_PIX = 2
#: Of the columns of a row (docs/guide/differences.md).
TOLERANCES = (0.10, *(0.15 for _ in RADII_PIX), 0.15)


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


def measured(path: Path, truth: CampaignTruth, plan: CampaignPlan) -> list[float]:
    """Measured over predicted scatter, in the order of the table in docs/guide/differences.md."""
    with fits.open(path) as hdus:
        header, wcs = hdus[0].header, WCS(hdus["SCI"].header)
        data, error, flags = (np.array(hdus[name].data) for name in ("SCI", "ERR", "DQ"))
    counted = np.isfinite(data) & ~_cosmic_rays_that_stay(truth, plan, wcs, data.shape)
    x, y = wcs.wcs_world2pix(truth.stars["ra"], truth.stars["dec"], 0)
    reach = int(np.ceil(STAR_ARCSEC / float(header["D_SCALE"])))
    near = _around(x, y, data.shape, reach)
    pulls = data / error * header["NOISCORR"]
    empty = counted & ~near
    data, error = np.where(counted, data, 0.0), np.where(counted, error, 0.0)
    return [
        float(mad_std(pulls[empty])),
        *(_apertures(data, error, empty, radius, header["DROPRAT"]) for radius in RADII_PIX),
        float(mad_std(pulls[counted & near & (flags & Flag.STAR_CORE == 0)])),
    ]


def _cosmic_rays_that_stay(
    truth: CampaignTruth, plan: CampaignPlan, wcs: WCS, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Pixels under the hits of exposures that are an epoch by themselves."""
    alone = {visit.visit for visit in plan.visits if visit.n_exposures == 1}
    scene = make_scene(plan.scene, plan.ra_deg, plan.dec_deg, seed=plan.seed)
    hit = np.zeros(shape, dtype=bool)
    for exposure in exposure_plans(plan):
        on_ccd = not DETECTORS[exposure.detector_key].is_infrared
        if on_ccd and any(exposure.rootname.startswith(visit) for visit in alone):
            for ra, dec in _hits(truth, exposure, scene):
                x, y = wcs.wcs_world2pix(ra, dec, 0)
                hit |= _around(x, y, shape, HIT_PIX)
    return hit


def _hits(
    truth: CampaignTruth, exposure: ExposurePlan, scene: Scene
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Right ascensions and declinations of the pixels hit, for each chip.

    The simulator says where they are, and not on disk: it simulates the exposure once more.
    """
    rendered = render_exposure(exposure, scene)
    for name, content in exposure_files(rendered).items():
        if (truth.exposure_folder / name).read_bytes() != content:
            raise SystemExit(f"{name}: simulated once more, it is another exposure")
    (path,) = truth.exposure_folder.glob(f"{exposure.rootname}_{_suffix(exposure)}.fits")
    places = []
    with fits.open(path) as hdus:
        for extver, chip in enumerate(rendered.chips, 1):
            rows, columns = np.nonzero(chip.readout.cosmic_rays)
            native = WCS(hdus["SCI", extver].header, fobj=hdus, naxis=2)
            ra, dec = native.all_pix2world(columns, rows, 0)
            places.append((ra, dec))
    return places


def _suffix(exposure: ExposurePlan) -> str:
    return DETECTORS[exposure.detector_key].suffix


def _around(
    x: NDArray[np.float64], y: NDArray[np.float64], shape: tuple[int, int], reach_pix: int
) -> NDArray[np.bool_]:
    """Pixels within so many of the one that holds any of these places."""
    near = np.zeros(shape, dtype=bool)
    offsets = np.mgrid[-reach_pix : reach_pix + 1, -reach_pix : reach_pix + 1]
    rows, columns = offsets[:, np.hypot(*offsets) <= reach_pix]
    for column, row in zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True):
        here, there = rows + row, columns + column
        on = (here >= 0) & (here < shape[0]) & (there >= 0) & (there < shape[1])
        near[here[on], there[on]] = True
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
    if whole.sum() < FEWEST_APERTURES:
        raise SystemExit(f"only {whole.sum()} empty apertures of {radius:g} pixels")
    factor = circular_aperture_factor(drop_ratio, radius) or 1.0
    return float(mad_std(sums[whole] / np.sqrt(variances[whole]) / factor))


def main() -> None:
    """Print a row for each detector, and what of it is beyond the tolerances."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detectors", nargs="*", default=[], metavar="DETECTOR")
    chosen = parser.parse_args().detectors or list(EXPOSURES)
    radii = " | ".join(f"r = {radius:g} px" for radius in RADII_PIX)
    print(f"| detector | empty pixels | {radii} | stars beside their cores |")
    print("| --- |" + " --- |" * (2 + len(RADII_PIX)))
    beyond = []
    for detector_key in chosen:
        plan = campaign(detector_key)
        with tempfile.TemporaryDirectory() as folder:
            workdir, truth = prepared(plan, Path(folder))
            settings = load_settings(workdir)
            make_stacks(workdir, settings)
            make_differences(workdir, settings)
            (path,) = workdir.drizzle.glob("*.diff_*.fits")
            values = measured(path, truth, plan)
        print(f"| {detector_key} | {' | '.join(f'{v:.2f}' for v in values)} |", flush=True)
        # Not-a-number is beyond, too.
        within = [abs(v - 1.0) <= most for v, most in zip(values, TOLERANCES, strict=True)]
        beyond += [] if all(within) else [detector_key]
    if beyond:
        raise SystemExit(f"beyond the tolerances: {', '.join(beyond)}")


if __name__ == "__main__":
    main()

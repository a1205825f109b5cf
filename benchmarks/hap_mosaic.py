"""Mosaics of two visits of WFC3/IR against runmultihap: pixels, cost, and the flux of stars.

Two small visits overlap by half, rolled by 30 degrees. Their products are made by ``hst-assets
hap``; then the layers of their sky cell by drizzlepac's runmultihap and by ``hst-assets hap
--multi``. Stars are measured on the layers and on the level-2 images of the visits.

    PYTHONPATH=. python benchmarks/hap_mosaic.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from hst_assets.hap.mosaics.grid import sky_cell_wcs
from hst_assets.hap.mosaics.layers import mosaic_input, poller_of_sky_cell
from hst_assets.hap.poller import write_poller
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.scoring import photometry_score, star_fluxes
from hst_assets.simulate.truth import CampaignTruth
from hst_assets_tests.stand_ins.star_service import star_service

CELL = "skycell-p1360x10y10"
VISITS = ("isim01", "isim02")
_BAND = ("wfc3_ir", "F110W")
SERIAL = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ASTROMETRY_STEP_CONTROL": "OFF",
    "ASTRODRIZ_NO_PARALLEL": "1",
    "SVM_CATALOG_IR": "off",
}


def simulated(folder: Path) -> CampaignTruth:
    """Two visits in F110W in the middle of a sky cell."""
    middle = sky_cell_wcs(CELL, "fine").all_pix2world([[11000.0, 11000.0]], 0)[0]
    small = small_plan("wfc3_ir", visit=VISITS[0])
    (first,) = small.visits
    second = replace(
        first,
        visit=VISITS[1],
        mjd=first.mjd + 40.0,
        pa_v3_deg=first.pa_v3_deg + 30.0,
        offset_arcsec=(20.0, 0.0),
        pointing_error_arcsec=(-0.2, 0.3),
    )
    scene = replace(small.scene, radius_arcsec=62.0, n_stars=650, n_isolated=32)
    ra, dec = map(float, middle)
    plan = replace(small, ra_deg=ra, dec_deg=dec, visits=(first, second), scene=scene)
    simulate_campaign(plan, folder, max_cores=2)
    return CampaignTruth(folder)


def run(command: list[str], folder: Path, **variables: str) -> tuple[float, float, float]:
    """Run a command; return wall and CPU seconds, and the largest process, GB."""
    began = time.monotonic()
    with (folder / "out.txt").open("w") as out:
        process = subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=out, env={**os.environ, **SERIAL, **variables}
        )
        _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{command} failed: {folder / 'out.txt'}")
    cpu = usage.ru_utime + usage.ru_stime
    return time.monotonic() - began, cpu, usage.ru_maxrss / 1e6


def visits(truth: CampaignTruth, folder: Path) -> list[Path]:
    """Make the products of each visit; return their folders."""
    made = []
    with star_service(truth.stars, "ab_wfc3_ir_f110w").running() as server:
        for visit in VISITS:
            place = folder / visit
            place.mkdir()
            files = [path for path in truth.science_files() if path.name.startswith(visit)]
            for path in files:
                shutil.copy(path, place)
            (place / "poller.out").write_text("".join(f"{path.name}\n" for path in files))
            run(["hst-assets", "hap", "poller.out"], place, ASTROMETRIC_CATALOG_URL=server.url)
            made.append(place)
    return made


def compared(theirs: Path, ours: Path) -> str:
    """Which planes and header cards of the layers differ."""
    differences = []
    for path in sorted(theirs.glob("hst_skycell*_drz.fits")):
        with fits.open(path) as one, fits.open(ours / path.name) as other:
            differences += [
                f"{path.name} {name}"
                for name in ("SCI", "WHT")
                if not np.array_equal(one[name].data, other[name].data, equal_nan=True)
            ]
            for number in (0, "SCI"):
                diff = fits.HeaderDiff(one[number].header, other[number].header)
                differences += [f"{path.name} {key}" for key in diff.diff_keyword_values]
    return ", ".join(differences) or "none"


def common_ratio(layer: Table, single: Table) -> tuple[float, int]:
    """Median ratio of the rates of stars that two images have in common, and their number."""
    rates = dict(zip(single["id"], single["rate"], strict=True))
    ratios = [row["rate"] / rates[row["id"]] for row in layer if row["id"] in rates]
    return float(np.median(ratios)), len(ratios)


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = simulated(folder / "simulated")
        places = visits(truth, folder)
        inputs = [mosaic_input(path) for each in places for path in each.glob("hst_*_flt.fits")]
        poller = f"{CELL}_input.out"
        commands = {
            "runmultihap": ["runmultihap", poller],
            "hst-assets": ["hst-assets", "hap", "--multi", poller],
        }
        for kind, command in commands.items():
            place = folder / kind
            place.mkdir()
            for one in inputs:
                shutil.copy(one.path, place)
            write_poller(poller_of_sky_cell(inputs, CELL), place / poller)
            wall, cpu, memory = run(command, place)
            print(f"{kind}: {wall:.0f} s wall, {cpu:.1f} s CPU, {memory:.2f} GB")
        print("differences:", compared(folder / "runmultihap", folder / "hst-assets"))
        singles = {
            each.name: star_fluxes(next(each.glob("*f110w_isim??_drz.fits")), truth, *_BAND)
            for each in places
        }
        for path in sorted((folder / "hst-assets").glob("hst_skycell*_drz.fits")):
            stars = star_fluxes(path, truth, *_BAND)
            score = photometry_score(stars)
            told = [f"{score.median_ratio:.4f} of the truth ({score.n_stars} stars)"]
            for visit, single in singles.items():
                ratio, number = common_ratio(stars, single)
                told.append(f"{ratio:.4f} of level 2 of {visit} ({number})")
            both = set(singles[VISITS[0]]["id"]) & set(singles[VISITS[1]]["id"])
            inside = [row["ratio"] for row in stars if row["id"] in both]
            told.append(f"overlap {np.median(inside):.4f} of the truth ({len(inside)})")
            print(path.name, "; ".join(told))


if __name__ == "__main__":
    main()

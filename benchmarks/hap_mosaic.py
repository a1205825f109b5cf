"""Mosaics of two visits against runmultihap: pixels, cost, the flux of stars; and a third visit.

Two small visits overlap by half, rolled by 30 degrees. Their products are made by ``hst-assets
hap``; then the layers of their sky cell by drizzlepac's runmultihap and by ``hst-assets hap
--multi``. Stars are measured on the layers and on the level-2 images of the visits. At last the
layers are made as a target's, of two visits, and again when a third has come: printed is which of
them are other files then. The third is in another filter; with ``--third same`` in the same, and
the second visit has another besides, whose layers it does not touch. What is made again is compared
with the layers of the same three visits that are made in an empty work directory.

    PYTHONPATH=. python benchmarks/hap_mosaic.py [--detector wfc3_ir|wfc3_uvis] [--third same]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from hap_visit import STOCK

from hst_assets.hap.mosaics.grid import sky_cell_wcs
from hst_assets.hap.mosaics.layers import MosaicInput, mosaic_input, poller_of_sky_cell
from hst_assets.hap.mosaics.mosaic import make_mosaics
from hst_assets.hap.poller import write_poller
from hst_assets.settings import HapSettings, MachineSettings
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.scoring import photometry_score, star_fluxes
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir
from hst_assets_tests.stand_ins.star_service import star_service

CELL = "skycell-p1360x10y10"
VISITS = ("isim01", "isim02")
THIRD = "isim03"
SERIAL = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ASTROMETRY_STEP_CONTROL": "OFF",
    "ASTRODRIZ_NO_PARALLEL": "1",
    "SVM_CATALOG_IR": "off",
    "SVM_CATALOG_UVIS": "off",
}


@dataclass(frozen=True)
class Case:
    """What is simulated: a detector, the filters of two visits and of the third.

    Attributes
    ----------
    detector, filter, other : str
        Of the visits.
    apart_arcsec : float
        The second visit from the first, and the third from the second.
    radius_arcsec : float
        Of the sky.
    n_stars, n_isolated : int
        Stars in it, and how many of them have no neighbour.
    """

    detector: str
    filter: str
    other: str
    apart_arcsec: float
    radius_arcsec: float
    n_stars: int
    n_isolated: int


CASES = {
    each.detector: each
    for each in (
        Case("wfc3_ir", "F110W", "F160W", 20.0, 62.0, 650, 32),
        Case("wfc3_uvis", "F606W", "F814W", 8.0, 28.0, 200, 110),
    )
}


def simulated(case: Case, folder: Path, third_filter: str) -> CampaignTruth:
    """Three visits in the middle of a sky cell, one in both filters if the third has the first."""
    middle = sky_cell_wcs(CELL, "fine").all_pix2world([[11000.0, 11000.0]], 0)[0]
    small = small_plan(case.detector, filters=(case.filter,), visit=VISITS[0])
    (first,) = small.visits
    second = replace(
        first,
        visit=VISITS[1],
        mjd=first.mjd + 40.0,
        pa_v3_deg=first.pa_v3_deg + 30.0,
        offset_arcsec=(case.apart_arcsec, 0.0),
        pointing_error_arcsec=(-0.2, 0.3),
    )
    third = replace(second, visit=THIRD, mjd=first.mjd + 80.0, filters=(third_filter,))
    if third_filter == case.filter:
        second = replace(second, filters=(case.filter, case.other))
    scene = replace(
        small.scene,
        radius_arcsec=case.radius_arcsec,
        n_stars=case.n_stars,
        n_isolated=case.n_isolated,
    )
    ra, dec = map(float, middle)
    plan = replace(small, ra_deg=ra, dec_deg=dec, visits=(first, second, third), scene=scene)
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


def visits(case: Case, truth: CampaignTruth, folder: Path) -> list[Path]:
    """Make the products of each visit; return their folders."""
    made = []
    column = f"ab_{case.detector}_{case.filter.lower()}"
    with star_service(truth.stars, column).running() as server:
        for visit in (*VISITS, THIRD):
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
    for path in sorted(theirs.glob("hst_skycell*_dr?.fits")):
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
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--detector", choices=CASES, default="wfc3_ir")
    options.add_argument("--third", choices=("other", "same"), default="other", help="its filter")
    chosen = options.parse_args()
    case = CASES[chosen.detector]
    third_filter = case.filter if chosen.third == "same" else case.other
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = simulated(case, folder / "simulated", third_filter)
        places = visits(case, truth, folder)
        inputs = {
            place.name: [mosaic_input(path) for path in sorted(place.glob("hst_*_fl?.fits"))]
            for place in places
        }
        of_two = [one for visit in VISITS for one in inputs[visit]]
        poller = f"{CELL}_input.out"
        commands = {
            "runmultihap": [
                sys.executable,
                "-c",
                STOCK.format(program="runmultihap", poller=poller),
            ],
            "hst-assets": ["hst-assets", "hap", "--multi", poller],
        }
        for kind, command in commands.items():
            place = folder / kind
            place.mkdir()
            for one in of_two:
                shutil.copy(one.path, place)
            write_poller(poller_of_sky_cell(of_two, CELL), place / poller)
            wall, cpu, memory = run(command, place)
            print(f"{kind}: {wall:.0f} s wall, {cpu:.1f} s CPU, {memory:.2f} GB", flush=True)
        print("differences:", compared(folder / "runmultihap", folder / "hst-assets"), flush=True)
        measure(case, truth, folder)
        third_visit(case, truth, inputs, folder)


def measure(case: Case, truth: CampaignTruth, folder: Path) -> None:
    """Print the fluxes of stars on the layers, over the truth and over the visits' own images."""
    band = (case.detector, case.filter)
    image = f"*{case.filter.lower()}_isim??_dr?.fits"
    singles = {
        visit: star_fluxes(next((folder / visit).glob(image)), truth, *band) for visit in VISITS
    }
    layers = (folder / "hst-assets").glob(f"hst_skycell*_{case.filter.lower()}_*_dr?.fits")
    for path in sorted(layers):
        stars = star_fluxes(path, truth, *band)
        score = photometry_score(stars)
        told = [f"{score.median_ratio:.4f} of the truth ({score.n_stars} stars)"]
        for visit, single in singles.items():
            ratio, number = common_ratio(stars, single)
            told.append(f"{ratio:.4f} of level 2 of {visit} ({number})")
        both = set(singles[VISITS[0]]["id"]) & set(singles[VISITS[1]]["id"])
        inside = [row["ratio"] for row in stars if row["id"] in both]
        told.append(f"overlap {np.median(inside):.4f} of the truth ({len(inside)})")
        print(path.name, "; ".join(told), flush=True)


def third_visit(
    case: Case, truth: CampaignTruth, inputs: Mapping[str, Sequence[MosaicInput]], folder: Path
) -> None:
    """Print what a third visit makes again of a target's layers, and whether it is right."""
    grown = WorkDir(folder / "grown", "field").create()
    before, after = (layers_of(grown, inputs, some) for some in (VISITS, (*VISITS, THIRD)))
    for path, state in after.items():
        told = "kept" if before.get(path) == state else "made again" if path in before else "made"
        print(f"third visit: {path.name} {told}")
    for path in before.keys() - after.keys():
        print(f"third visit: {path.name} gone")
    at_once = WorkDir(folder / "at-once", "field").create()
    layers_of(at_once, inputs, (*VISITS, THIRD))
    for path in after:
        other = at_once.hap_mosaics_folder / path.relative_to(grown.hap_mosaics_folder)
        print(f"third visit: {path.name} against one made at once: {unlike(path, other)}")
        if f"_{case.filter.lower()}_" in path.name:
            score = photometry_score(star_fluxes(path, truth, case.detector, case.filter))
            print(f"  {score.median_ratio:.4f} of the truth ({score.n_stars} stars)", flush=True)


def layers_of(
    workdir: WorkDir, inputs: Mapping[str, Sequence[MosaicInput]], visits: Sequence[str]
) -> dict[Path, tuple[int, int]]:
    """Make a target's layers of some visits; what changes of each file when it is made again."""
    make_mosaics(
        [one.path for visit in visits for one in inputs[visit]],
        folder=workdir.hap_mosaics_folder,
        workdir=workdir,
        settings=HapSettings(),
        machine=MachineSettings(max_cores=2),
    )
    layers = sorted(workdir.hap_mosaics_folder.glob("skycell-*/hst_skycell-*_dr?.fits"))
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in layers}


def unlike(path: Path, other: Path) -> str:
    """How many pixels of each plane differ between two layers."""
    counts = []
    with fits.open(path) as first, fits.open(other) as second:
        for name in ("SCI", "WHT", "CTX"):
            if first[name].data is None and second[name].data is None:
                counts.append(f"{name} has no pixels")
                continue
            one, two = (np.asarray(hdus[name].data, dtype=float) for hdus in (first, second))
            n_unlike = np.count_nonzero((one != two) & ~(np.isnan(one) & np.isnan(two)))
            counts.append(f"{name} {n_unlike} of {one.size} pixels differ")
    return ", ".join(counts)


if __name__ == "__main__":
    main()

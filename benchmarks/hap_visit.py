"""The advanced products of a visit in pieces against drizzlepac's runsinglehap: time and memory.

    python benchmarks/hap_visit.py [--detector wfc3_uvis|acs_wfc|wfc3_ir] [--size 0] [--cores 2]

A simulated visit of two filters with two exposures each, full frames or subarrays of ``--size``
pixels. Both runs get copies of the same files and the same stand-in of the astrometric catalogue,
one after the other, without what this shell says of the libraries' threads. Printed are wall time,
CPU time of all processes, the most memory that any process had and that all had together; then, for
SCI, WHT and CTX of each image and the DQ of each exposure, pixels that differ, and for each
catalogue, rows that do. ``--log FOLDER`` keeps what both said.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.machine.core_pool import OFF, POOL_VARIABLE
from hst_assets.machine.numerical_threads import ONE_THREAD
from hst_assets.simulate.campaign import CampaignPlan, Subarray, simulate_campaign
from hst_assets.simulate.plans import small_plan

sys.path.insert(0, str(Path(__file__).parents[1]))
from hst_assets_tests.stand_ins.star_service import star_service

POLLER = "visit_input.out"
#: A program of drizzlepac's on a poller: stock, but for the method without which no skies are
#: matched (spherical_geometry 1.4 dropped it).
STOCK = (
    "from hst_assets.imaging.sky_matching import let_skies_be_matched; let_skies_be_matched(); "
    "from drizzlepac import {program}; {program}.perform({poller!r}, log_level='info')"
)
PIECES = (
    "from pathlib import Path; from hst_assets.hap.run import make_advanced_products;"
    "from hst_assets.settings import MachineSettings;"
    "print(make_advanced_products(Path({!r}), machine=MachineSettings(max_cores={})).code)"
)

#: What both runs do without: a database of STScI, a display, and waiting for other runs' cores.
ALONE = {"ASTROMETRY_STEP_CONTROL": "OFF", "MPLBACKEND": "Agg", POOL_VARIABLE: OFF}

#: Filters, and of the sky that a full frame sees: radius in arcsec, stars, lone stars, galaxies.
VISITS = {
    "wfc3_uvis": ("F606W,F814W", (115.0, 4000, 120, 60)),
    "acs_wfc": ("F606W,F814W", (140.0, 5000, 140, 60)),
    "wfc3_ir": ("F110W,F160W", (100.0, 1500, 60, 40)),
}


def plan_of(detector: str, size: int) -> CampaignPlan:
    """Full frames under a sky that fills them, or subarrays and a sky in proportion."""
    filters, (radius, n_stars, n_isolated, n_galaxies) = VISITS[detector]
    plan = small_plan(detector, filters=tuple(filters.split(",")), full_frame=size == 0)
    if size == 0:
        scene = replace(
            plan.scene,
            radius_arcsec=radius,
            n_stars=n_stars,
            n_isolated=n_isolated,
            n_galaxies=n_galaxies,
        )
        return replace(plan, scene=scene)
    (visit,) = plan.visits
    corner = visit.subarray or Subarray(0, 0, size, size)
    ny, nx = DETECTORS[detector].full_shape
    x0, y0 = min(corner.x0, nx - size), min(corner.y0, ny - size)
    subarray = replace(corner, x0=x0, y0=y0, nx=size, ny=size)
    return replace(plan, visits=(replace(visit, subarray=subarray),))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--detector", choices=VISITS, default="wfc3_ir")
    options.add_argument("--size", type=int, default=0, help="pixels of a subarray; 0: full frames")
    options.add_argument("--cores", type=int, default=2)
    options.add_argument("--log", type=Path, default=None)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        plan = plan_of(chosen.detector, chosen.size)
        truth = simulate_campaign(plan, root / "campaign", max_cores=chosen.cores)
        column = f"ab_{chosen.detector}_{plan.visits[0].filters[0].lower()}"
        with star_service(truth.stars, column).running() as server:
            environment = {
                **{key: value for key, value in os.environ.items() if key not in ONE_THREAD},
                **ALONE,
                "ASTROMETRIC_CATALOG_URL": server.url,
            }
            programs = {
                "runsinglehap": STOCK.format(program="runsinglehap", poller=POLLER),
                "pieces": PIECES.format(POLLER, chosen.cores),
            }
            spent = {}
            for label, program in programs.items():
                folder = root / label
                folder.mkdir()
                for path in truth.science_files():
                    shutil.copy(path, folder)
                names = [path.name for path in truth.science_files()]
                (folder / POLLER).write_text("".join(f"{one}\n" for one in names))
                spent[label] = measured(program, folder, environment)
                print(label, spent[label], flush=True)
                if chosen.log is not None:
                    chosen.log.mkdir(parents=True, exist_ok=True)
                    shutil.copy(folder / "log", chosen.log / f"{label}.txt")
        print("pieces over runsinglehap:", spent["pieces"].over(spent["runsinglehap"]))
        compare(root / "runsinglehap", root / "pieces")


@dataclass(frozen=True)
class Spent:
    """What a run took: seconds and bytes."""

    wall: float
    cpu: float
    largest: int
    together: int

    def __str__(self) -> str:
        return (
            f"{self.wall:.0f} s wall, {self.cpu:.1f} CPU s, largest process "
            f"{self.largest / 1e9:.2f} GB, all together {self.together / 1e9:.2f} GB"
        )

    def over(self, other: Spent) -> str:
        """Quotients."""
        return (
            f"wall {self.wall / other.wall:.2f}, CPU {self.cpu / other.cpu:.2f}, largest process "
            f"{self.largest / other.largest:.2f}, together {self.together / other.together:.2f}"
        )


def measured(program: str, folder: Path, environment: dict[str, str]) -> Spent:
    """Wall time, CPU time of all processes, and the most memory of any and of all together."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=folder, env=environment, stdout=log, stderr=log
        )
        largest, together = [0], [0]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                each = memory_of(process.pid)
                largest[0] = max(largest[0], *each)
                together[0] = max(together[0], sum(each))

        watcher = threading.Thread(target=watch)
        watcher.start()
        status = process.wait()
        wall = time.monotonic() - started
        ended.set()
        watcher.join()
    if status:
        sys.exit((folder / "log").read_text()[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(wall, cpu, largest[0], together[0])


def memory_of(pid: int) -> list[int]:
    """Proportional memory of a process and of its descendants: shared pages count once."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    family = {pid}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return [0, *map(_proportional, family)]


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def compare(whole: Path, pieces: Path) -> None:
    """Print which images have other pixels, and which catalogues other rows."""
    images = sorted(path.name for path in whole.glob("hst_*_dr?.fits"))
    exposures = sorted(path.name for path in whole.glob("hst_*_fl?.fits"))
    differing = 0
    for name in (*images, *exposures):
        for plane, told in differences(whole / name, pieces / name):
            differing += 1
            print(f"  {name} {plane}: {told}")
    print(f"{len(images)} images, {len(exposures)} exposures: {differing} planes differ")
    catalogs = sorted(path.name for path in whole.glob("*-cat.ecsv"))
    for name in catalogs:
        theirs, ours = rows(whole / name), rows(pieces / name)
        same = sum(one == other for one, other in zip(theirs, ours, strict=False))
        print(f"  {name}: {len(theirs)} rows, here {len(ours)}, {same} the same")


def differences(one: Path, other: Path) -> Iterator[tuple[str, str]]:
    """Planes that differ: how many pixels, by how much at most, relative to their value."""
    with fits.open(one) as a, fits.open(other) as b:
        for first, second in zip(a, b, strict=True):
            if first.name not in ("SCI", "WHT", "CTX", "DQ"):
                continue
            left, right = first.data, second.data
            if left.shape != right.shape:
                yield f"{first.name},{first.ver}", f"shape {left.shape}, here {right.shape}"
                continue
            unlike = (left != right) & ~(np.isnan(left) & np.isnan(right))
            if unlike.any():
                off = np.abs(left[unlike].astype(float) - right[unlike])
                size = np.abs(left[unlike].astype(float))
                told = f"{unlike.sum()} pixels, at most {np.nanmax(off):.3g}"
                told += f" ({np.nanmax(off / np.maximum(size, 1e-30)):.3g} of the value)"
                yield f"{first.name},{first.ver}", told


def rows(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


if __name__ == "__main__":
    main()

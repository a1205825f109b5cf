"""The advanced products of a visit in pieces against drizzlepac's runsinglehap: time and memory.

    python benchmarks/hap_visit.py [--detector wfc3_ir] [--cores 2]

A simulated visit of two filters with two exposures each. Both runs get copies of the same files and
the same stand-in of the astrometric catalogue, one after the other; products are compared.
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
from pathlib import Path

import numpy as np
from astropy.io import fits

from hst_assets.isolation import TOOL_ENVIRONMENT
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import small_plan

sys.path.insert(0, str(Path(__file__).parents[1]))
from hst_assets_tests.stand_ins.star_service import star_service

POLLER = "visit_input.out"
WHOLE = "from drizzlepac import runsinglehap; runsinglehap.perform({!r}, log_level='info')"
PIECES = (
    "from pathlib import Path; from hst_assets.hap.run import make_advanced_products;"
    "from hst_assets.settings import MachineSettings;"
    "print(make_advanced_products(Path({!r}), machine=MachineSettings(max_cores={})).code)"
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--detector", default="wfc3_ir")
    options.add_argument("--filters", default="F110W,F160W")
    options.add_argument("--cores", type=int, default=2)
    chosen = options.parse_args()
    filters = tuple(chosen.filters.split(","))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        truth = simulate_campaign(
            small_plan(chosen.detector, filters=filters), root / "campaign", max_cores=2
        )
        column = f"ab_{chosen.detector}_{filters[0].lower()}"
        with star_service(truth.stars, column).running() as server:
            environment = {
                **os.environ,
                **TOOL_ENVIRONMENT,
                "ASTROMETRIC_CATALOG_URL": server.url,
            }
            programs = {
                "runsinglehap": WHOLE.format(POLLER),
                "pieces": PIECES.format(POLLER, chosen.cores),
            }
            for label, program in programs.items():
                folder = root / label
                folder.mkdir()
                for path in truth.science_files():
                    shutil.copy(path, folder)
                names = [path.name for path in truth.science_files()]
                (folder / POLLER).write_text("".join(f"{one}\n" for one in names))
                wall, cpu, peak = measured(program, folder, environment)
                print(f"{label}: {wall:.0f} s wall, {cpu:.1f} CPU s, {peak / 1e9:.2f} GB at most")
        compare(root / "runsinglehap", root / "pieces")


def measured(program: str, folder: Path, environment: dict[str, str]) -> tuple[float, float, int]:
    """Wall time, CPU time of all processes, and the most memory that they had together."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=folder, env=environment, stdout=log, stderr=log
        )
        peaks = [0]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                peaks[0] = max(peaks[0], memory_of(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        status = process.wait()
        ended.set()
        watcher.join()
    if status:
        sys.exit((folder / "log").read_text()[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, cpu, peaks[0]


def memory_of(pid: int) -> int:
    """Proportional memory of a process and its descendants: shared pages count once."""
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
    return sum(map(_proportional, family))


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def compare(whole: Path, pieces: Path) -> None:
    """Count images with other pixels, and catalogues with other rows."""
    images = sorted(path.name for path in whole.glob("hst_*_dr?.fits"))
    differing = [name for name in images if not same_pixels(whole / name, pieces / name)]
    catalogs = sorted(path.name for path in whole.glob("*-cat.ecsv"))
    changed = [name for name in catalogs if rows(whole / name) != rows(pieces / name)]
    print(f"{len(images)} images, {len(differing)} with other pixels")
    print(f"{len(catalogs)} catalogues, {len(changed)} with other rows")


def same_pixels(one: Path, other: Path) -> bool:
    with fits.open(one) as a, fits.open(other) as b:
        return all(
            np.array_equal(a[name].data, b[name].data, equal_nan=name == "SCI")
            for name in ("SCI", "WHT", "CTX")
        )


def rows(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


if __name__ == "__main__":
    main()

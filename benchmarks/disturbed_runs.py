"""Runs that are disturbed, run again, and compared with one that was not: for other benchmarks.

A small target is simulated and ingested once (*pristine*), and processed once without disturbance.
Each trial begins with a copy of the pristine one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits

from hst_assets.simulate.campaign import CampaignPlan, simulate_campaign

DEPLOYMENT = Path(__file__).parents[1] / "data" / "deployment" / "dagster.yaml"
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_HOME = "dagster_home"


@dataclass(frozen=True)
class Undisturbed:
    """A target as it was ingested, and as a run without disturbance has left it.

    Attributes
    ----------
    folder : Path
        Of all roots; trials make theirs here.
    target : str
        Its name.
    chosen : sequence of str
        Arguments of ``materialize`` besides the name.
    products : dict
        Files of the undisturbed run, by their paths in the work directory.
    duration_s : float
        How long it took.
    """

    folder: Path
    target: str
    chosen: Sequence[str]
    products: dict[str, Path]
    duration_s: float

    @classmethod
    def of(
        cls,
        folder: Path,
        plan: CampaignPlan,
        chosen: Sequence[str] = (),
        settings: Sequence[str] = (),
    ) -> Undisturbed:
        """Simulate, ingest, set, run.

        Raises
        ------
        RuntimeError
            If a command failed.
        """
        truth = simulate_campaign(plan, folder / "simulated", max_cores=2)
        pristine, root = folder / "pristine", folder / "undisturbed"
        _must(pristine, "ingest", truth.exposure_folder, "--target", plan.name)
        if settings:
            _must(pristine, "settings", plan.name, *settings)
        copy_of(pristine, root)
        started = time.monotonic()
        _must(root, "materialize", plan.name, *chosen)
        duration = time.monotonic() - started
        return cls(folder, plan.name, chosen, products_of(root, plan.name), duration)

    def trial(self) -> Path:
        """A fresh copy of the pristine root."""
        root = self.folder / "trial"
        shutil.rmtree(root, ignore_errors=True)
        said(root).unlink(missing_ok=True)
        copy_of(self.folder / "pristine", root)
        return root

    def materialize(self, root: Path, **more: Any) -> subprocess.Popen[bytes]:
        """Begin the run in a root."""
        return command(root, "materialize", self.target, *self.chosen, **more)

    def differences_after_rerun(self, root: Path) -> list[str]:
        """Run once more to the end; in what the products differ from the undisturbed ones."""
        code = self.materialize(root).wait()
        if code:
            return [f"the rerun ended with {code}: {last_line(root)}"]
        return compared(self.products, products_of(root, self.target))


def copy_of(root: Path, copied: Path) -> None:
    """Without the Dagster instance, whose targets belong to their root."""
    shutil.copytree(root, copied, ignore=shutil.ignore_patterns(_HOME), dirs_exist_ok=True)


def environment(root: Path, home: Path | None = None) -> dict[str, str]:
    """Variables of a command in a root, with an instance of its own."""
    home = home or root / _HOME
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copy(DEPLOYMENT, home)
    return {**os.environ, "HST_ASSETS_ROOT": str(root), "DAGSTER_HOME": str(home)}


def command(
    root: Path, *arguments: object, env: Mapping[str, str] | None = None, **more: Any
) -> subprocess.Popen[bytes]:
    """Begin a command; what it says goes to the file ``said`` beside the root."""
    with said(root).open("ab") as out:
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "hst-assets"), *map(str, arguments)],
            env={**environment(root), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            **more,
        )


def said(root: Path) -> Path:
    """What the commands in a root said."""
    return root.with_name(f"{root.name}.said")


def last_line(root: Path) -> str:
    """The last of it."""
    lines = said(root).read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def products_of(root: Path, target: str) -> dict[str, Path]:
    """Images of a target, and, where it has advanced products, tables."""
    base = root / target
    kinds = ("*.fits", "*.ecsv") if (base / "hap").is_dir() else ("*.fits",)
    found = (path for kind in kinds for path in base.rglob(kind))
    visible = (path for path in found if not path.name.startswith("."))
    return {str(path.relative_to(base)): path for path in visible if ".hst123" not in str(path)}


def compared(expected: Mapping[str, Path], found: Mapping[str, Path]) -> list[str]:
    """In what products differ: pixels, rows of tables, header cards that are no date or path."""
    differences = [f"{name} is missing" for name in expected.keys() - found.keys()]
    differences += [f"{name} is extra" for name in found.keys() - expected.keys()]
    for name in sorted(expected.keys() & found.keys()):
        if name.endswith(".ecsv"):
            if _rows(expected[name]) != _rows(found[name]):
                differences.append(f"{name} has other rows")
            continue
        with fits.open(expected[name]) as one, fits.open(found[name]) as other:
            if _headerlets(one) != _headerlets(other):
                differences.append(f"{name} has another headerlet")
            difference = fits.FITSDiff(
                one, other, ignore_keywords=["DATE", "CHECKSUM", "DATASUM"], ignore_comments=["*"]
            )
            if not difference.identical:
                differences.append(f"{name} differs: {_end_of(difference.report())}")
    return differences


def _must(root: Path, *arguments: object) -> None:
    root.mkdir(parents=True, exist_ok=True)
    code = command(root, *arguments).wait()
    if code:
        raise RuntimeError(f"{arguments[0]} ended with {code}: {last_line(root)}")


def _headerlets(hdus: fits.HDUList) -> list[bytes]:
    """Files within a file, without their dates; they are taken out of the list."""
    kind = fits.hdu.nonstandard.NonstandardExtHDU
    own = [hdu for hdu in hdus if isinstance(hdu, kind)]
    contents = [_TIME.sub(b"", hdu.data.tobytes()) for hdu in own]
    for hdu in own:
        hdus.remove(hdu)
    return contents


def _rows(table: Path) -> list[str]:
    return [line for line in table.read_text().splitlines() if not line.startswith("#")]


def _end_of(report: str) -> str:
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    return " / ".join(lines[-6:])

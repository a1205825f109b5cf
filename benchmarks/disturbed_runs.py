"""Runs that are disturbed, run again, and compared with one that was not: for other benchmarks.

A small target is simulated and ingested once (*pristine*), and processed once without disturbance.
Each trial begins with a copy of the pristine one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from same_products import compared, everything_of

from hst_assets.simulate.campaign import CampaignPlan, simulate_campaign

DEPLOYMENT = Path(__file__).parents[1] / "data" / "deployment" / "dagster.yaml"
HOME = "dagster_home"
PATIENCE_S = 1200.0
#: In the place of an exit status.
HUNG = -999


@dataclass(frozen=True)
class Undisturbed:
    """A target as it was ingested, and as a run without disturbance has left it.

    Attributes
    ----------
    folder : Path
        Of all roots; trials make theirs here.
    target : str
        Its name.
    words : sequence of str
        The command that is disturbed.
    products : dict
        Files of the undisturbed run, by their paths in the work directory.
    duration_s : float
        How long it took.
    """

    folder: Path
    target: str
    words: Sequence[str]
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
        return cls.after(folder, plan.name, ("materialize", plan.name, *chosen))

    @classmethod
    def after(cls, folder: Path, target: str, words: Sequence[str]) -> Undisturbed:
        """Run a command in the root `undisturbed` of a folder, whose `pristine` each trial has."""
        root = folder / "undisturbed"
        (folder / "pristine").mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        _must(root, *words)
        duration = time.monotonic() - started
        products = everything_of(root, target)
        if not products:
            raise RuntimeError(f"{words} made no product in {root}: there is nothing to compare")
        return cls(folder, target, words, products, duration)

    def trial(self) -> Path:
        """A fresh copy of the pristine root."""
        root = self.folder / "trial"
        shutil.rmtree(root, ignore_errors=True)
        said(root).unlink(missing_ok=True)
        copy_of(self.folder / "pristine", root)
        return root

    def begun(self, root: Path, **more: Any) -> subprocess.Popen[bytes]:
        """Begin the command in a root."""
        return command(root, *self.words, **more)

    def differences_after_rerun(self, root: Path) -> list[str]:
        """Run once more to the end; in what the products differ from the undisturbed ones."""
        code = ended(self.begun(root))
        if code:
            return [f"the rerun ended with {code}: {last_line(root)}"]
        return compared(self.products, everything_of(root, self.target))


@dataclass
class Verdict:
    """What came of one trial: whether it was disturbed at all, and products were compared."""

    what: str
    ended: str
    lost: list[str] = field(default_factory=list)
    silent: bool = False
    traceback: bool = False
    disturbed: bool = True
    compared: bool = True

    def line(self) -> str:
        """It, in a line of a table."""
        faults = [*self.lost, *["silent"] * self.silent, *["traceback"] * self.traceback]
        good = "same products" if self.compared else "-"
        return f"{self.what:58} {self.ended[:70]:70} {'; '.join(faults) or good}"


def judged(
    undisturbed: Undisturbed,
    root: Path,
    what: str,
    code: int,
    *,
    disturbed: bool = True,
    may_lack: bool = False,
    made: str = "",
) -> Verdict:
    """Look at what was said, run once more, compare.

    A run that ended with 0 must have made everything whose path in the work directory begins with
    `made`, unless it `may_lack` something because another command took it away.
    """
    text = said(root).read_text(errors="replace")
    base = root / undisturbed.target
    expected = [name for name in undisturbed.products if name.startswith(made)]
    if not expected:
        raise RuntimeError(f"no product begins with {made}: there is nothing that could be missing")
    missing = not all((base / name).exists() for name in expected)
    told = f"exit {code}: {last_line(root)}"
    lost = [f"hung for {PATIENCE_S:.0f} s"] if code == HUNG else []
    lost += undisturbed.differences_after_rerun(root)
    silent = code == 0 and missing and not may_lack
    return Verdict(what, told, lost, silent, "Traceback" in text, disturbed)


def counted(verdicts: Sequence[Verdict]) -> int:
    """Print how many trials lost something; 1 if any did, 2 if none was disturbed, else 0."""
    disturbed = [each for each in verdicts if each.disturbed]
    lost = sum(bool(each.lost) for each in verdicts)
    silent = sum(each.silent for each in verdicts)
    tracebacks = sum(each.traceback for each in verdicts)
    others = len(verdicts) - len(disturbed)
    print(
        f"{len(disturbed)} trials: {lost} lost, {silent} silent, {tracebacks} with a traceback; "
        f"{others} more were not run, or not disturbed"
    )
    if lost or silent or tracebacks:
        return 1
    return 0 if disturbed else 2


def ended(process: subprocess.Popen[bytes]) -> int:
    """The exit status of a command; `HUNG` if it had to be killed after `PATIENCE_S`."""
    try:
        return process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return HUNG


def copy_of(root: Path, copied: Path) -> None:
    """Without the Dagster instance, whose targets belong to their root."""
    shutil.copytree(root, copied, ignore=shutil.ignore_patterns(HOME), dirs_exist_ok=True)


def environment(root: Path, home: Path | None = None) -> dict[str, str]:
    """Variables of a command in a root, with an instance of its own."""
    home = home or root / HOME
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copy(DEPLOYMENT, home)
    return {**os.environ, "HST_ASSETS_ROOT": str(root), "DAGSTER_HOME": str(home)}


def command(
    root: Path,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    through: Sequence[str] = (),
    **more: Any,
) -> subprocess.Popen[bytes]:
    """Begin a command; what it says goes to the file ``said`` beside the root.

    `through` is a program that begins it, with its arguments.
    """
    with said(root).open("ab") as out:
        return subprocess.Popen(
            [*through, str(Path(sys.executable).parent / "hst-assets"), *map(str, arguments)],
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


def _must(root: Path, *arguments: object) -> None:
    root.mkdir(parents=True, exist_ok=True)
    code = command(root, *arguments).wait()
    if code:
        raise RuntimeError(f"{arguments[0]} ended with {code}: {last_line(root)}")

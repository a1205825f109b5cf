"""``make demo-archive``: from a name to images, out of a stand-in of MAST that fails now and then.

Three processes, as on a user's machine: the service, ``hst-assets``, and this one, which looks on.
The service holds the exposures of the demo's simulated campaign among what is not wanted.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tomlkit

from hst_assets.cli.demo import simulated_demo, told_recovery
from hst_assets.exposures.raw import raw_ledger
from hst_assets.simulate.plans import demo_plan
from hst_assets.simulate.truth import CampaignTruth
from hst_assets.workdir import WorkDir, default_root

NAME = "SN Demo"
TARGET = "demo-archive"
_START_S = 60.0
_PROJECT = Path(__file__).parents[2]


def main() -> int:
    """Run the demonstration; return the exit status."""
    started = time.monotonic()
    root = default_root()
    plan = demo_plan()
    truth = simulated_demo(root / "simulated" / plan.name, os.cpu_count() or 1)
    root = root / "archive-demo"
    workdir = _fresh(root)
    holdings = _filled(root / "mast", truth)
    names = [path.name for path in truth.science_files()]
    control = {"names": {NAME: [plan.ra_deg, plan.dec_deg]}}
    trouble = {
        "faults": [{"route": "caom.*", "word": "503", "times": 1}],
        "file_faults": {names[0]: ["503"], names[1]: ["reset:3000000"], names[2]: ["wrong_bytes"]},
    }
    _order(holdings, {**control, **trouble})
    with _service(holdings) as address:
        _write_settings(workdir, address)
        _say(f"the archive is at {address['url']}; it will answer 503 twice, cut {names[1]}")
        _say(f"in the middle, and send wrong bytes of {names[2]} once")
        if _run(workdir) != 0:
            return _failed("the run did not deliver")
        fetched = {file.name: file.sha256 for file in raw_ledger(workdir)}
        if missed := told_recovery(workdir, truth):
            return _failed(f"not recovered: {', '.join(missed)}")
        _say("once more, with downloads out of service: nothing may be fetched")
        _order(holdings, {**control, "faults": [_NO_DOWNLOADS]})
        if _run(workdir, "--refresh") != 0:
            return _failed("the second run wanted something")
        if {file.name: file.sha256 for file in raw_ledger(workdir)} != fetched:
            return _failed("the second run changed raw/")
    _say(f"{time.monotonic() - started:.0f} s in total; products in {workdir.base}")
    return 0


_NO_DOWNLOADS = {"route": "download.*", "word": "refuse", "times": None}


def _fresh(root: Path) -> WorkDir:
    """The demonstration's own work directory, without what an earlier one made."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    return WorkDir(root, TARGET)


def _filled(folder: Path, truth: CampaignTruth) -> Path:
    folder.mkdir()
    for path in truth.exposure_files:
        (folder / path.name).symlink_to(path)
    return folder


def _order(folder: Path, content: dict[str, object]) -> None:
    """Tell the service what to do; it looks before each answer."""
    part = folder / "stand_in.json.part"
    part.write_text(json.dumps(content))
    part.replace(folder / "stand_in.json")


@contextmanager
def _service(folder: Path) -> Iterator[dict[str, str]]:
    """The stand-in in a process of its own; yields its addresses."""
    command = [sys.executable, "-m", "hst_assets_tests.stand_ins.mast", "--folder", str(folder)]
    process = subprocess.Popen(command, cwd=_PROJECT, stdout=subprocess.DEVNULL)
    announced = folder / "stand_in_address.json"
    try:
        deadline = time.monotonic() + _START_S
        while not announced.is_file():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the stand-in did not start")
            time.sleep(0.1)
        yield json.loads(announced.read_text())
    finally:
        process.terminate()
        process.wait()


def _write_settings(workdir: WorkDir, address: dict[str, str]) -> None:
    archive = {key: address[key] for key in ("mast_url", "sesame_url", "s3_url")}
    archive["first_wait_s"] = 0.2  # type: ignore[assignment]
    workdir.root_settings_file.write_text(tomlkit.dumps({"archive": archive}))


def _run(workdir: WorkDir, *more: str) -> int:
    words = ["run", "--name", NAME, "--download", "--work-dir", str(workdir.base), *more]
    _say("$ hst-assets " + " ".join(f"'{word}'" if " " in word else word for word in words))
    return subprocess.run(
        [str(Path(sys.executable).parent / "hst-assets"), *words], check=False
    ).returncode


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _failed(text: str) -> int:
    _say(f"FAILED: {text}")
    return 1


if __name__ == "__main__":
    sys.exit(main())

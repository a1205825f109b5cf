"""A stand-in for DOLPHOT's executable: it says and leaves what it is told, and ends as told.

``Play`` is one performance: what DOLPHOT 2.0 did once (recorded in ``photometry/dolphot/recorded``,
a run of it on the small field of the tests), or part of it, or what it says when it fails.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[1] / "photometry" / "dolphot" / "recorded"
BASE = "dp0000"
ENDINGS = ("", ".apcor", ".columns", ".data", ".info", ".psfs", ".warnings")

_SCRIPT = """#!{python}
import json, os, sys, time
from pathlib import Path

here = Path(__file__).parent
play = json.loads((here / "play.json").read_text())
base = sys.argv[1]
seen = dict(
    pid=os.getpid(), cwd=os.getcwd(), arguments=sys.argv[1:], files=sorted(os.listdir()),
    stdin=os.read(0, 1).decode(), threads=os.environ.get("OMP_NUM_THREADS"),
)
with (here / "runs.jsonl").open("a") as runs:
    runs.write(json.dumps(seen) + "\\n")
for ending, text in play["leaves"].items():
    Path(base + ending).write_text(text)
for part in play["output"]:
    sys.stdout.write(part)
    sys.stdout.flush()
    time.sleep(play["pause_s"])
sys.stderr.write(play["complaints"])
sys.stderr.flush()
if play["hangs"]:
    time.sleep(600)
if play["signal"]:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), play["signal"])
    time.sleep(600)
sys.exit(play["code"])
"""


@dataclass(frozen=True)
class Play:
    """One performance.

    Attributes
    ----------
    output, complaints : str
        Standard output, in pieces, and standard error.
    leaves : dict
        Files by what follows the base name.
    code, signal : int
        How it ends.
    hangs : bool
        It does not end.
    pause_s : float
        After each piece.
    """

    output: tuple[str, ...] = ()
    complaints: str = ""
    leaves: dict[str, str] = field(default_factory=dict)
    code: int = 0
    signal: int = 0
    hangs: bool = False
    pause_s: float = 0.0


def recorded(ending: str = ".output") -> str:
    return (RECORDED / f"{BASE}{ending}").read_text()


def good_play(**more: Any) -> Play:
    """The recorded run, with files in place of its images."""
    text = recorded()
    middle = text.index("Finding stars: ..")
    pieces = (text[:middle], text[middle : middle + 17], text[middle + 17 :])
    images = {f".{n}.{kind}.fits": f"{kind} {n}\n" for n in (1, 2) for kind in ("res", "psf")}
    leaves = {ending: recorded(ending) for ending in ENDINGS}
    return Play(**{"output": pieces, "leaves": {**leaves, **images}, **more})


class DolphotProgram:
    """The executable in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "dolphot"
        self.path.write_text(_SCRIPT.format(python=sys.executable))
        self.path.chmod(0o755)
        self.will(good_play())

    def will(self, play: Play) -> None:
        """What it does from now on."""
        (self.folder / "play.json").write_text(json.dumps(asdict(play)))

    @property
    def runs(self) -> list[dict[str, Any]]:
        """What it saw, run by run."""
        path = self.folder / "runs.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

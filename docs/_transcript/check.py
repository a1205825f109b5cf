"""Run the commands of a page of the guide, and compare what they print with what the page shows.

    make demo first-hour
    PYTHONPATH=. python docs/_transcript/check.py [--root data] [--print]

Blocks of ``console`` in ``docs/guide/first-hour.md`` have commands (``$ ``) and their output. They
run one after the other in a folder of their own, with a copy of the demo's work directory in its
``data/``, in windows of 110 columns. A line ``...`` stands for any lines. Words and whole numbers
must be the same; decimals may differ by 20 units of the last digit that the page shows, and times,
dates and sizes by whatever they like. A command that fails does so on the page: its last line
there is ``(exit status N)``. With ``--print`` the page is shown with what was printed now, to be
copied from.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "guide" / "first-hour.md"
TARGET = "demo-sn"
SKIPPED = "..."
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Not a part of a word, of a name or of a version.
_DECIMAL = re.compile(r"(?<![\w.])[-+]?\d+\.\d+(?![\w.])")
_STATUS = re.compile(r"\(exit status (\d+)\)")
#: Times and sizes of a run; runs of spaces and lines, whose lengths follow from numbers.
_PASSING = (
    (re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?"), "DATE"),
    (re.compile(r"\d+(?:\.\d+)? (?:s|[kMG]B)\b"), "AMOUNT"),
    (re.compile(r" +"), " "),
    (re.compile(r"[─━]+"), "─"),
)
#: By this share of itself a decimal may differ, and by no more than so many units of its last
#: digit: two machines gave fluxes that differ by 0.013 %, 33 units. By two units any
#: may, and by one that which has one digit behind the point.
_SHARE, _UNITS, _UNITS_OF_ANY = 0.005, 100, 2
_COLUMNS = "110"
_COMMAND_S = 600


@dataclass(frozen=True)
class Step:
    """A command, the lines that it prints according to the page, and its exit status."""

    command: str
    shown: tuple[str, ...]
    status: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = os.environ.get("HST_ASSETS_ROOT") or str(PROJECT / "data")
    parser.add_argument("--root", type=Path, default=Path(default))
    parser.add_argument("--print", action="store_true", help="Show what each command printed.")
    options = parser.parse_args()
    if not (options.root / TARGET).is_dir():
        print(f"there is no demo in {options.root}: run 'make demo' first", file=sys.stderr)
        return 1
    told_by_page = list(steps(PAGE.read_text()))
    if not told_by_page:
        print(f"{PAGE.relative_to(PROJECT)} has no commands", file=sys.stderr)
        return 1
    n_wrong = 0
    with tempfile.TemporaryDirectory(prefix="first-hour-") as folder:
        home = prepared(Path(folder), options.root)
        for step in told_by_page:
            printed, status = run(step.command, home)
            if options.print:
                print(f"$ {step.command}", *printed, f"(exit status {status})", sep="\n")
            if told := difference(step, printed, status):
                n_wrong += 1
                print(f"--- $ {step.command}\n{told}", file=sys.stderr)
    told = f"{n_wrong} of {len(told_by_page)} commands print something else than"
    print(f"{told} {PAGE.relative_to(PROJECT)} shows")
    return int(n_wrong > 0)


def prepared(folder: Path, root: Path) -> Path:
    """A folder as a user's: the demo in ``data/``, and nothing else of the root."""
    data = folder.resolve() / "data"
    shutil.copytree(root / TARGET, data / TARGET, symlinks=True)
    (data / "deployment").mkdir()  # the instance
    (data / "simulated").symlink_to((root / "simulated").resolve())
    return folder.resolve()


def steps(page: str) -> Iterator[Step]:
    """The commands of a page, in their order."""
    for block in _BLOCK.findall(page):
        lines = block.splitlines()
        starts = [n for n, line in enumerate(lines) if line.startswith("$ ")]
        for first, last in pairwise([*starts, len(lines)]):
            shown = lines[first + 1 : last]
            failed = _STATUS.fullmatch(shown[-1]) if shown else None
            yield Step(
                lines[first][2:],
                tuple(shown[:-1] if failed else shown),
                int(failed[1]) if failed else 0,
            )


def run(command: str, home: Path) -> tuple[list[str], int]:
    """What a command prints in a folder, whose path is named relatively, and its exit status."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=home,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HST_ASSETS_ROOT": str(home / "data"),
            "DAGSTER_HOME": str(home / "data" / "deployment"),
            "COLUMNS": _COLUMNS,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_COMMAND_S,
        check=False,
    )
    lines = [line.rstrip() for line in done.stdout.replace(f"{home}/", "").splitlines()]
    return lines, done.returncode


def difference(step: Step, printed: Sequence[str], status: int) -> str:
    """What a page shows and what was printed, if they are not the same; else empty."""
    lines = "".join(f"{_lasting(line)}\n" for line in printed)
    found = re.fullmatch("".join(map(_pattern, step.shown)), lines)
    decimals = [each for line in step.shown for each in _DECIMAL.findall(_lasting(line))]
    if status == step.status and found and all(map(_is_near, decimals, found.groups())):
        return ""
    printed = [*printed, f"(exit status {status})"]
    return "\n".join(["the page shows", *step.shown, "printed was", *printed])


def _pattern(line: str) -> str:
    """What matches a line of the page, with a group for each decimal."""
    if line.strip() == SKIPPED:
        return r"(?:.*\n)*?"
    words = map(re.escape, _DECIMAL.split(_lasting(line)))
    return f"({_DECIMAL.pattern})".join(words) + r"\n"


def _lasting(line: str) -> str:
    """A line without what passes."""
    for pattern, word in _PASSING:
        line = pattern.sub(word, line.strip())
    return line


def _is_near(shown: str, printed: str) -> bool:
    """Whether decimals have one sign and differ by little, in units of the last digit shown."""
    n_digits = len(shown.partition(".")[2])
    value, found = float(shown), float(printed)
    of_value = min(_UNITS, _SHARE * abs(value) * 10.0**n_digits)
    most = max(_UNITS_OF_ANY if n_digits > 1 else 1, of_value)
    off = abs(value - found) * 10.0**n_digits
    return value * found >= 0 and off < most + 0.5


if __name__ == "__main__":
    sys.exit(main())

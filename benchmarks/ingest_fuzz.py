"""Mutated exposures through the verification of ingest: how many, and what the worst of them cost.

    PYTHONPATH=. .venv/bin/python benchmarks/ingest_fuzz.py --files 20000

What is done to them is in `hst_assets_tests.stand_ins.mutated_exposures`; a few of them are in the
suite. The exit status is 1 if one led to anything but a verdict, took more than 5 s, or needed
more than 1 GB.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from hst_assets_tests.stand_ins.mutated_exposures import fuzz


def main() -> None:
    """Say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = fuzz(Path(folder), options.files, options.seed)
    print(
        f"{tally.n_files} files, {tally.n_accepted} accepted, {len(tally.wrong)} wrong; the worst "
        f"took {tally.seconds:.2f} s, the process at most {tally.n_bytes / 1e6:.0f} MB; "
        f"{time.monotonic() - started:.0f} s"
    )
    for kind, count in tally.kinds.most_common(40):
        print(f"{count:7d}  {kind}")
    for wrong in tally.wrong[:20]:
        print(wrong)
    raise SystemExit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()

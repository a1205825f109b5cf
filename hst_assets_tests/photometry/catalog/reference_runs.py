"""Runs of DOLPHOT 2.0 beside a developer's checkout; where they are not, tests of them skip."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
RUNS = SHARED / "dolphot_reference"

needs_runs = [
    pytest.mark.real_data,
    pytest.mark.skipif(not RUNS.is_dir(), reason=f"no reference runs of DOLPHOT in {RUNS}"),
]


@dataclass(frozen=True)
class Run:
    """A run: its catalogue, packed or not, and the FlagMask it was made with."""

    catalog: Path
    flag_mask: int = 7

    def file(self, suffix: str) -> Path:
        return self.catalog.with_name(self.catalog.name.removesuffix(".gz") + suffix)

    @property
    def bytes(self) -> bytes:
        content = self.catalog.read_bytes()
        return gzip.decompress(content) if self.catalog.suffix == ".gz" else content


TWO_FILTERS = Run(RUNS / "wfc3_uvis_2filt" / "dp")
CROWDED = Run(RUNS / "crowded_1k" / "dp.gz")
ANALYTIC = Run(RUNS / "generic" / "gen")
ALL_RUNS = {"two filters": TWO_FILTERS, "crowded": CROWDED, "analytic PSF": ANALYTIC}

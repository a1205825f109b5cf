"""How long the grouping of 10,000 exposures into epochs takes: `python benchmarks/group_epochs.py`.

Exits with an error if it takes a second or more.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from hst_assets.exposures.epochs import number_epochs

N_EXPOSURES = 10_000
LIMIT_S = 1.0


def main() -> int:
    rng = np.random.default_rng(1)
    detectors = rng.choice(["acs_wfc", "wfc3_uvis", "wfc3_ir", "acs_hrc", "wfpc2"], N_EXPOSURES)
    filters = rng.choice([f"F{number}W" for number in range(400, 420)], N_EXPOSURES)
    mjd_start = rng.uniform(49000, 60000, N_EXPOSURES)
    started = time.perf_counter()
    epochs = number_epochs(detectors, filters, mjd_start, max_gap_days=1.0)
    elapsed_s = time.perf_counter() - started
    print(f"{N_EXPOSURES} exposures, {epochs.max()} epochs: {1000 * elapsed_s:.1f} ms")
    return 0 if elapsed_s < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())

"""What loading the definitions costs beside Dagster: `python benchmarks/import_definitions.py`.

Fresh interpreters in turn, medians of the wall time. Exits with an error at a ratio of 1.5 or more.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

N_RUNS = 9
LIMIT = 1.5


def main() -> int:
    programs = ("import dagster", "import hst_assets.definitions")
    times: dict[str, list[float]] = {program: [] for program in programs}
    for number in range(N_RUNS + 1):
        for program in programs:
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            if number:  # the first round warms the disk cache
                times[program].append(time.perf_counter() - started)
    alone, ours = (statistics.median(times[program]) for program in programs)
    print(
        f"import dagster {alone:.2f} s, hst_assets.definitions {ours:.2f} s: {ours / alone:.2f} x"
    )
    return 0 if ours / alone < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())

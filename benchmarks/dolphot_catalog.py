"""How long catalogues of stars take to read and to write: `python benchmarks/dolphot_catalog.py`.

The reference run beside the checkout (1,132 stars, 76 columns), and a million stars made of it.
Exits with an error if the first takes 0.2 s, or the second 60 s or 4 GB.
"""

from __future__ import annotations

import gzip
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hst_assets.photometry.catalog.columns import CatalogColumns
from hst_assets.photometry.catalog.exports import export_catalog
from hst_assets.photometry.catalog.reading import catalog_columns, parts_of_catalog, read_catalog
from hst_assets.photometry.catalog.writing import write_catalog

REFERENCE = Path(__file__).parents[1].parent / "shared" / "data" / "dolphot_reference"
Result = TypeVar("Result")

MILLION = 1_000_000
LIMIT_S, LIMIT_LARGE_S, LIMIT_GB = 0.2, 60.0, 4.0


def main() -> int:
    packed = REFERENCE / "crowded_1k" / "dp.gz"
    columns = catalog_columns(packed)
    text = gzip.decompress(packed.read_bytes())
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        small.write_bytes(text)
        read_catalog(small, columns=columns)  # the first one imports pandas' reader
        first_s, *_ = timed("read 1,132 stars", lambda: read_catalog(small, columns=columns))
        with large.open("wb") as file:
            lines = text.splitlines(keepends=True)
            for _ in range(MILLION // len(lines) + 1):
                file.writelines(lines)
        parts_s, *_ = timed("read a million in parts", lambda: n_stars(large, columns))
        large_s, gb, catalog = timed(
            "read a million at once", lambda: read_catalog(large, columns=columns)
        )
        timed("write them", lambda: write_catalog(catalog, Path(folder) / "again"))
        timed("as Parquet", lambda: export_catalog(catalog, Path(folder) / "catalog.parquet"))
        timed("as FITS", lambda: export_catalog(catalog, Path(folder) / "catalog.fits"))
    good = first_s < LIMIT_S and max(large_s, parts_s) < LIMIT_LARGE_S and gb < LIMIT_GB
    return 0 if good else 1


def n_stars(path: Path, columns: CatalogColumns) -> int:
    return sum(len(part) for part in parts_of_catalog(path, columns=columns))


def timed(what: str, call: Callable[[], Result]) -> tuple[float, float, Result]:
    """Seconds, the process's largest memory so far (GB), and the result."""
    started = time.perf_counter()
    result = call()
    elapsed_s = time.perf_counter() - started
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{what}: {elapsed_s:.3f} s, largest memory so far {peak_gb:.2f} GB")
    return elapsed_s, peak_gb, result


if __name__ == "__main__":
    sys.exit(main())

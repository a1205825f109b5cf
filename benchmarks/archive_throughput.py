"""Forty files of the archive: our downloader beside `Observations.download_products`.

    python benchmarks/archive_throughput.py [--files 40] [--size-mb 1 4 16] [--runs 5]
                                            [--latency-ms 50] [--profile]

A stand-in of MAST serves files as the simulator writes them (three extensions and NEXTEND, no
checksums, as HST's own) on loopback, from a process of its own, and waits before each answer. Ours
fetches them with 8 workers and with 1, verification, SHA-256 and the move to the final name
included; the peer is one call of astroquery with the list (see stock_downloads.py), which looks at
nothing but a HEAD. Both have been imported before. Runs alternate, each into a fresh folder; every
file of every run is compared with the truth outside the time. Exits with an error if a file was not
whole, or the median ratio of 8 workers is below 4 at the size nearest to 4 MB.
"""

from __future__ import annotations

import argparse
import cProfile
import filecmp
import multiprocessing
import pstats
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from astropy.io import fits
from listed_products import listed_product
from stock_downloads import StockAstroquery, final_path

from hst_assets.archive.download import Fetched, fetch
from hst_assets.archive.holdings import Product
from hst_assets.settings import ArchiveSettings
from hst_assets_tests.stand_ins.file_service import FileService

WANTED_RATIO = 4.0
OURS = {"ours, 8 workers": 8, "ours, 1 worker": 1}


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="archive-throughput-"))
    print(
        f"{options.files} files, {options.latency_ms:.0f} ms before each answer, "
        f"{options.runs} runs; seconds and ratios as min / median / max"
    )
    print("| file | astroquery | ours, 1 worker | ours, 8 workers | ratio, 1 | ratio, 8 |")
    print("| --- | --- | --- | --- | --- | --- |")
    with (
        _serving(folder / "held", options.latency_ms / 1e3) as url,
        StockAstroquery(url, folder / "xdg") as stock,
    ):
        ratios = {size: _measure(size, url, folder, stock, options) for size in options.size_mb}
    shutil.rmtree(folder)
    nearest = min(options.size_mb, key=lambda size: abs(size - 4))
    reached = ratios[nearest]
    print(f"{reached:.1f} times astroquery's at {nearest:g} MB; wanted {WANTED_RATIO:g}")
    return int(reached < WANTED_RATIO)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--size-mb", type=float, nargs="+", default=[1.0, 4.0, 16.0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--profile", action="store_true", help="profile one run of ours, 1 worker")
    return parser.parse_args()


def _measure(
    size_mb: float, url: str, folder: Path, stock: StockAstroquery, options: argparse.Namespace
) -> float:
    products = _write_files(folder / "held", options.files, size_mb)
    seconds: dict[str, list[float]] = {"astroquery": [], **{name: [] for name in OURS}}
    for run in range(options.runs + 1):
        for name, taken in seconds.items():
            place = folder / "received"
            took_s = _timed(name, products, place, url, stock)
            _compare(name, products, place, folder / "held")
            shutil.rmtree(place)
            if run:  # the first warms imports, the page cache and the server
                taken.append(took_s)
    if options.profile:
        _profile(products, folder, url)
    size = f"{products[0].size / 1e6:.1f} MB"
    ratios = {
        name: [a / b for a, b in zip(seconds["astroquery"], seconds[name], strict=True)]
        for name in OURS
    }
    columns = ["astroquery", "ours, 1 worker", "ours, 8 workers"]
    texts = [_spread(seconds[name], 2) for name in columns]
    texts += [_spread(ratios[name], 1) for name in columns[1:]]
    print(f"| {size} | {' | '.join(texts)} |", flush=True)
    return statistics.median(ratios["ours, 8 workers"])


def _timed(
    name: str, products: list[Product], place: Path, url: str, stock: StockAstroquery
) -> float:
    place.mkdir()
    if name not in OURS:
        return stock.download(products, place).seconds
    settings = ArchiveSettings(mast_url=url)
    started = time.perf_counter()
    answers = fetch(products, place, settings, n_workers=OURS[name])
    took_s = time.perf_counter() - started
    assert all(isinstance(answer, Fetched) for answer in answers), answers
    return took_s


def _compare(name: str, products: list[Product], place: Path, held: Path) -> None:
    for product in products:
        path = place / product.name if name in OURS else final_path(product, place)
        assert filecmp.cmp(held / product.name, path, shallow=False), f"{name}: {path}"


def _profile(products: list[Product], folder: Path, url: str) -> None:
    """Where the time goes in this process, one worker."""
    from requests import Session

    from hst_assets.archive.file_fetcher import FileFetcher

    place = folder / "profiled"
    place.mkdir()
    fetcher = FileFetcher(place, ArchiveSettings(mast_url=url))
    profiler = cProfile.Profile()
    with Session() as session, profiler:
        for product in products:
            fetcher.bring(product, session, lambda _: None)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(15)
    shutil.rmtree(place)


def _spread(values: list[float], digits: int) -> str:
    figures = (min(values), statistics.median(values), max(values))
    return " / ".join(f"{value:.{digits}f}" for value in figures)


def _write_files(folder: Path, count: int, size_mb: float) -> list[Product]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # SCI and ERR of four bytes, DQ of two.
    side = round((size_mb * 1e6 / 10) ** 0.5)
    rng = np.random.default_rng(1)
    products = []
    for number in range(count):
        rootname = f"ithr{number // 10:02d}a{number % 10}q"
        path = folder / f"{rootname}_flt.fits"
        _write_exposure(path, rootname, side, rng)
        products.append(listed_product(rootname, path.stat().st_size))
    return products


def _write_exposure(path: Path, rootname: str, side: int, rng: np.random.Generator) -> None:
    primary = fits.PrimaryHDU()
    primary.header.update({"ROOTNAME": rootname, "INSTRUME": "WFC3", "NEXTEND": 3})
    science = rng.normal(10, 1, (side, side)).astype("f4")
    planes = (("SCI", science), ("ERR", np.sqrt(np.abs(science))))
    hdus = [primary, *(fits.ImageHDU(pixels, name=name) for name, pixels in planes)]
    hdus.append(fits.ImageHDU(rng.integers(0, 3, (side, side), "i2"), name="DQ"))
    fits.HDUList(hdus).writeto(path)


@contextmanager
def _serving(folder: Path, latency_s: float):
    """The address of a stand-in in another process that serves whatever is in `folder`."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(folder, latency_s, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.kill()
        process.join()


def _serve(folder: Path, latency_s: float, connection) -> None:
    class Folder(dict):
        """Files of a folder, as they are when they are asked for."""

        def get(self, name, default=None):
            return self[name] if (folder / name).is_file() else default

        def __missing__(self, name):
            return Held(folder / name)

    from hst_assets_tests.stand_ins.file_service import Held

    service = FileService(files=Folder(), latency_s=latency_s)
    with service.running():
        connection.send(service.url)
        connection.recv()


if __name__ == "__main__":
    sys.exit(main())

"""A stand-in for DOLPHOT that measures: a catalogue of two filters, and artificial stars.

It sees no pixel. The catalogue is drawn from a seed; an artificial star is found where it is
brighter than the filter's limit, measured `BIAS_MAG` too faint, and left out where it lies on no
image (X above `LAST_X`), as DOLPHOT does without a word.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from hst_assets.photometry.catalog.artificial_stars import (
    ArtificialStars,
    read_stars_put_in,
    write_artificial_stars,
)
from hst_assets.photometry.catalog.columns import CatalogColumns, parse_columns
from hst_assets.photometry.catalog.model import Catalog
from hst_assets.photometry.catalog.quantities import HST_BLOCK, NOT_RECOVERED, PER_OBJECT
from hst_assets.photometry.catalog.writing import write_catalog

FILTERS = ("WFC3_F606W", "WFC3_F814W")
LIMITS = {"WFC3_F606W": 26.0, "WFC3_F814W": 25.5}
BIAS_MAG = 0.02
LAST_X = 140.0
N_STARS = 300
SIDE = 150

_IMAGES = tuple((f"iaaa01a{n}q_flc.chip1", FILTERS[n % 2]) for n in range(1, 5))


class MeasuringDolphot:
    """The executable in a folder of its own.

    `says` has the arguments of each run; ``will(...)`` changes what it does: the number of a list's
    first star for which it crashes, a pause, an end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "dolphot"
        self.path.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} "$0" "$@"\n')
        self.path.chmod(0o755)
        self.will()

    def will(self, **play: float) -> None:
        """What it does from now on: ``code`` it ends with, ``pause_s`` before it measures."""
        (self.folder / "play.json").write_text(json.dumps(play))

    @property
    def runs(self) -> list[list[str]]:
        """The arguments of each run."""
        path = self.folder / "runs.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def columns_text() -> str:
    """A list of columns as DOLPHOT writes it, of two images a filter."""
    titles = [each.title for each in PER_OBJECT]
    titles += [f"{each.title}, {label}" for label in FILTERS for each in HST_BLOCK]
    titles += [
        f"{each.title_of_image}, {name} ({label}, 500.0 sec)"
        for name, label in _IMAGES
        for each in HST_BLOCK
    ]
    return "".join(f"{number}. {title}\n" for number, title in enumerate(titles, 1))


def info_text() -> str:
    """Its .info, with what it says of instruments."""
    images = "".join(f"{name}\n  59000.00000000\n" for name, _ in _IMAGES)
    modes = "".join(
        f"* image {n}: {label.partition('_')[2]} 2 500.000000\n"
        for n, (_, label) in enumerate(_IMAGES, 1)
    )
    aligned = " 0.000000 0.000000 1.000000 0.000000 0.000000\n" * len(_IMAGES)
    corrections = "  0.000000\n" * len(_IMAGES)
    return (
        f"{len(_IMAGES)} sets of output data\n{images}\nEXTENSION 0 CHIP 1\nLimits\n"
        f" 0 {SIDE} 0 {SIDE}\n* WFC3-specific info\n{modes}Alignment\n{aligned}"
        f"Aperture corrections\n{corrections}\n"
    )


def catalog_columns() -> CatalogColumns:
    return parse_columns(columns_text(), "stand-in")


def measured(x: np.ndarray, y: np.ndarray, magnitudes: np.ndarray, found: np.ndarray) -> Catalog:
    """A catalogue of stars at places, with a magnitude in each filter; lost ones are flagged."""
    columns = catalog_columns()
    n = len(x)
    data = {each.name: np.zeros(n, each.quantity.dtype) for each in columns}
    data["chip"][:] = 1
    data["object_type"][:] = 1
    data["x"], data["y"] = np.where(found, x, 0.0), np.where(found, y, 0.0)
    data["snr"] = np.where(found, 50.0, 0.0)
    images = [{"image": image.number} for image in columns.images]
    places = [*({"filter_name": label} for label in FILTERS), *images]
    labels = [*FILTERS, *(image.filter_label for image in columns.images)]
    for place, label in zip(places, labels, strict=True):
        values = np.where(found, magnitudes[:, FILTERS.index(label)], 99.999)
        data[columns.find("vega_mag", **place).name] = values
        data[columns.find("ubvri_mag", **place).name] = np.full(n, 99.999)
        data[columns.find("mag_error", **place).name] = np.where(found, 0.022, 9.999)
        data[columns.find("snr", **place).name] = np.where(found, 50.0, 0.0)
        flags = np.where(found, 0, NOT_RECOVERED).astype(np.int32)
        data[columns.find("flag", **place).name] = flags
    return Catalog(columns, data)


def real_stars() -> Catalog:
    """The catalogue: a red and a blue population."""
    rng = np.random.default_rng(4)
    x, y = rng.uniform(1, SIDE - 1, (2, N_STARS))
    first = rng.uniform(20, 26, N_STARS)
    colour = np.where(rng.uniform(size=N_STARS) < 0.5, 0.3, 1.2)
    magnitudes = np.column_stack([first, first - colour])
    return measured(x, y, magnitudes, np.ones(N_STARS, dtype=bool))


def _measure(base: str) -> None:
    write_catalog(real_stars(), Path(base))
    Path(f"{base}.columns").write_text(columns_text())
    Path(f"{base}.info").write_text(info_text())
    for ending in ("apcor", "data", "psfs", "warnings"):
        Path(f"{base}.{ending}").write_text("")
    sys.stdout.write(f"Reading FITS file\n** Chip 1 **\n{N_STARS} stars written; 7 stars deleted\n")


def _measure_artificial(base: str, path: Path) -> None:
    given = read_stars_put_in(path, FILTERS)
    mentioned = given.x <= LAST_X
    magnitudes = given.brightness[mentioned]
    limits = np.array([LIMITS[label] for label in FILTERS])
    found = (magnitudes < limits).any(axis=1)
    seen = np.where(magnitudes < limits, magnitudes + BIAS_MAG, 99.999)
    result = measured(given.x[mentioned], given.y[mentioned], seen, found)
    per_image = np.column_stack([magnitudes[:, FILTERS.index(label)] for _, label in _IMAGES])
    stars = ArtificialStars(
        given.extension[mentioned],
        given.chip[mentioned],
        given.x[mentioned],
        given.y[mentioned],
        10 ** (-0.4 * (per_image - 25)),
        per_image,
        result,
    )
    write_artificial_stars(stars, Path(f"{base}.fake"))
    sys.stdout.write(f"Reading FITS file\n** Chip 1 **\nRead {N_STARS} real stars\n")


def _main(program: str, base: str, *options: str) -> None:
    folder = Path(program).parent
    play = json.loads((folder / "play.json").read_text())
    with (folder / "runs.jsonl").open("a") as runs:
        runs.write(json.dumps([base, *options]) + "\n")
    time.sleep(play.get("pause_s", 0))
    lists = [option.partition("=")[2] for option in options if option.startswith("FakeStars=")]
    if lists:
        _measure_artificial(base, Path(lists[0]))
    else:
        _measure(base)
    sys.stdout.flush()
    os._exit(int(play.get("code", 0)))


if __name__ == "__main__":
    _main(*sys.argv[1:])

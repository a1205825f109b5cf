"""A stand-in for DOLPHOT that measures: a catalogue of two filters, and artificial stars.

It sees no pixel. The catalogue is drawn from a seed; an artificial star is found where it is
brighter than the filter's limit, measured `BIAS_MAG` too faint, and left out where it lies on no
image (X above `LAST_X`), as DOLPHOT does without a word. A third filter, if it is told to have one,
is of one image only and comes first in its lists.
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
SINGLE = "WFC3_F438W"
LIMITS = {SINGLE: 25.0, "WFC3_F606W": 26.0, "WFC3_F814W": 25.5}
BIAS_MAG = 0.02
LAST_X = 140.0
N_STARS = 300
SIDE = 150

_IMAGES = tuple((f"iaaa01a{n}q_flc.chip1", FILTERS[n % 2]) for n in range(1, 5))


def _listed(*, single: bool) -> tuple[str, ...]:
    """Filters in the order of lists of artificial stars."""
    return (SINGLE, *FILTERS) if single else FILTERS


def _images(*, single: bool) -> tuple[tuple[str, str], ...]:
    return (*_IMAGES, ("iaaa01a5q_flc.chip1", SINGLE)) if single else _IMAGES


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
        """What it does from now on.

        ``code`` it ends with, ``pause_s`` before it measures, ``single`` for the third filter.
        """
        (self.folder / "play.json").write_text(json.dumps(play))

    @property
    def runs(self) -> list[list[str]]:
        """The arguments of each run."""
        path = self.folder / "runs.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def seeds(self) -> list[int]:
        """The second in which each run on artificial stars began: DOLPHOT's seed of their noise."""
        return [int(each) for each in (self.folder / "seeds").read_text().split()]


def columns_text(*, single: bool = False) -> str:
    """A list of columns as DOLPHOT writes it, of two images a filter."""
    titles = [each.title for each in PER_OBJECT]
    titles += [f"{each.title}, {label}" for label in FILTERS for each in HST_BLOCK]
    titles += [
        f"{each.title_of_image}, {name} ({label}, 500.0 sec)"
        for name, label in _images(single=single)
        for each in HST_BLOCK
    ]
    return "".join(f"{number}. {title}\n" for number, title in enumerate(titles, 1))


def info_text(*, single: bool = False) -> str:
    """Its .info, with what it says of instruments."""
    known = _images(single=single)
    images = "".join(f"{name}\n  59000.00000000\n" for name, _ in known)
    modes = "".join(
        f"* image {n}: {label.partition('_')[2]} 2 500.000000\n"
        for n, (_, label) in enumerate(known, 1)
    )
    aligned = " 0.000000 0.000000 1.000000 0.000000 0.000000\n" * len(known)
    corrections = "  0.000000\n" * len(known)
    return (
        f"{len(known)} sets of output data\n{images}\nEXTENSION 0 CHIP 1\nLimits\n"
        f" 0 {SIDE} 0 {SIDE}\n* WFC3-specific info\n{modes}Alignment\n{aligned}"
        f"Aperture corrections\n{corrections}\n"
    )


def catalog_columns(*, single: bool = False) -> CatalogColumns:
    return parse_columns(columns_text(single=single), "stand-in")


def measured(x: np.ndarray, y: np.ndarray, magnitudes: np.ndarray, found: np.ndarray) -> Catalog:
    """A catalogue of stars at places, with a magnitude in each filter; lost ones are flagged."""
    single = magnitudes.shape[1] > len(FILTERS)
    columns = catalog_columns(single=single)
    listed = _listed(single=single)
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
        values = np.where(found, magnitudes[:, listed.index(label)], 99.999)
        data[columns.find("vega_mag", **place).name] = values
        data[columns.find("ubvri_mag", **place).name] = np.full(n, 99.999)
        data[columns.find("mag_error", **place).name] = np.where(found, 0.022, 9.999)
        data[columns.find("snr", **place).name] = np.where(found, 50.0, 0.0)
        flags = np.where(found, 0, NOT_RECOVERED).astype(np.int32)
        data[columns.find("flag", **place).name] = flags
    return Catalog(columns, data)


def real_stars(*, single: bool = False) -> Catalog:
    """The catalogue: a red and a blue population."""
    rng = np.random.default_rng(4)
    x, y = rng.uniform(1, SIDE - 1, (2, N_STARS))
    first = rng.uniform(20, 26, N_STARS)
    colour = np.where(rng.uniform(size=N_STARS) < 0.5, 0.3, 1.2)
    bluest = [first + 0.5] if single else []
    magnitudes = np.column_stack([*bluest, first, first - colour])
    return measured(x, y, magnitudes, np.ones(N_STARS, dtype=bool))


def _measure(base: str, *, single: bool) -> None:
    write_catalog(real_stars(single=single), Path(base))
    Path(f"{base}.columns").write_text(columns_text(single=single))
    Path(f"{base}.info").write_text(info_text(single=single))
    for ending in ("apcor", "data", "psfs", "warnings"):
        Path(f"{base}.{ending}").write_text("")
    sys.stdout.write(f"Reading FITS file\n** Chip 1 **\n{N_STARS} stars written; 7 stars deleted\n")


def _measure_artificial(base: str, path: Path, *, single: bool) -> None:
    listed = _listed(single=single)
    given = read_stars_put_in(path, listed)
    mentioned = given.x <= LAST_X
    magnitudes = given.brightness[mentioned]
    limits = np.array([LIMITS[label] for label in listed])
    found = (magnitudes < limits).any(axis=1)
    seen = np.where(magnitudes < limits, magnitudes + BIAS_MAG, 99.999)
    result = measured(given.x[mentioned], given.y[mentioned], seen, found)
    per_image = np.column_stack(
        [magnitudes[:, listed.index(label)] for _, label in _images(single=single)]
    )
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
    single = bool(play.get("single"))
    if lists:
        with (folder / "seeds").open("a") as seeds:
            seeds.write(f"{int(time.time())}\n")
        _measure_artificial(base, Path(lists[0]), single=single)
    else:
        _measure(base, single=single)
    sys.stdout.flush()
    os._exit(int(play.get("code", 0)))


if __name__ == "__main__":
    _main(*sys.argv[1:])

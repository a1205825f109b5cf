"""Colour pictures: which filters, on which pixels, in which colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from hst_assets.failures import MissingProduct
from hst_assets.imaging.colour_images import (
    COLOUR_COLUMNS,
    chosen_filters,
    make_colour_images,
    write_colour_picture,
)
from hst_assets.imaging.drizzle_index import DRIZZLE_COLUMNS
from hst_assets.imaging.frames import Frame
from hst_assets.products.columns import build_table, no_numbers, read_table, write_table
from hst_assets.settings import Settings
from hst_assets.workdir import WorkDir

FRAME = Frame(150.1, 2.2, 0.04, 60, 50, 30, 25)
#: Column and row (0-based, of `FRAME`) of a star that only one filter sees.
STAR = (20, 30)


@pytest.fixture
def workdir(tmp_path: Path) -> WorkDir:
    return WorkDir(tmp_path, "sn1").create()


def stack(
    workdir: WorkDir, band: str, *, star: float, frame: Frame = FRAME, pivot: float | None = None
) -> dict[str, Any]:
    """A stack of noise with a star at one place of the sky; its row of the index."""
    rng = np.random.default_rng(sum(map(ord, band)))
    data = rng.normal(3.0, 0.01, frame.shape).astype(np.float32)
    x, y = STAR[0] + frame.crpix1 - FRAME.crpix1, STAR[1] + frame.crpix2 - FRAME.crpix2
    data[y - 2 : y + 3, x - 2 : x + 3] += star
    weight = np.ones(frame.shape, dtype=np.float32)
    weight[:3] = 0
    path = workdir.filter_stack(band)
    header = frame.wcs.to_header()
    fits.HDUList(
        [
            fits.PrimaryHDU(header=fits.Header({"PHOTPLAM": pivot} if pivot else {})),
            fits.ImageHDU(data, header, name="SCI"),
            fits.ImageHDU(weight, header, name="WHT"),
        ]
    ).writeto(path, overwrite=True)
    row: dict[str, Any] = {
        **no_numbers(DRIZZLE_COLUMNS),
        **{spec.name: "" for spec in DRIZZLE_COLUMNS if spec.dtype == "str"},
        **{spec.name: 0 for spec in DRIZZLE_COLUMNS if spec.dtype == "int64"},
        "file": workdir.relative(path),
        "band": band,
        "status": "OK",
        "digest": f"{band} {star} {frame.crpix1}",
    }
    return row


def listed(workdir: WorkDir, rows: list[dict[str, Any]]) -> None:
    write_table(build_table(DRIZZLE_COLUMNS, rows), workdir.stack_products)


def picture(workdir: WorkDir, detector_key: str = "wfc3_uvis") -> np.ndarray[Any, Any]:
    """Rows from the lower left, as in the stacks."""
    return np.asarray(Image.open(workdir.colour_image(detector_key)))[::-1].astype(int)


def test_a_star_of_the_reddest_filter_is_red(workdir: WorkDir) -> None:
    bands = {"wfc3_uvis.f438w": 0.0, "wfc3_uvis.f606w": 0.0, "wfc3_uvis.f814w": 5.0}
    listed(workdir, [stack(workdir, band, star=star) for band, star in bands.items()])
    make_colour_images(workdir, Settings())
    red, green, blue = picture(workdir)[STAR[1], STAR[0]]
    assert red > 150
    assert max(green, blue) < 60


def test_long_pass_filters_are_ordered_by_their_pivot_wavelength(workdir: WorkDir) -> None:
    # WFC3 instrument handbook, table 6.2.
    pivots = {"f350lp": 5846.0, "f438w": 4326.0, "f600lp": 7468.0, "f775w": 7648.0}
    rows = [
        stack(workdir, f"wfc3_uvis.{name}", star=0.0, pivot=pivot) for name, pivot in pivots.items()
    ]
    listed(workdir, rows)
    make_colour_images(workdir, Settings())
    (row,) = read_table(workdir.colour_images)
    assert (row["blue"], row["green"], row["red"]) == ("f438w", "f350lp", "f775w")


def test_stacks_are_laid_on_each_other_by_the_sky(workdir: WorkDir) -> None:
    other = Frame(150.1, 2.2, 0.04, 70, 50, 37, 28)
    rows = [
        stack(workdir, "wfc3_uvis.f438w", star=5.0),
        stack(workdir, "wfc3_uvis.f814w", star=5.0, frame=other),
    ]
    listed(workdir, rows)
    make_colour_images(workdir, Settings())
    colours = picture(workdir)
    # What both have: rows 0 to 46 of the first, of which 3 have no weight; nothing is resampled.
    assert colours.shape == (47, 60, 3)
    star = colours[STAR[1], STAR[0]]
    assert star.min() > 150
    assert np.ptp(star) < 10


def test_images_whose_pivot_is_beside_the_pixels_have_an_order_and_one_grid(
    tmp_path: Path,
) -> None:
    """As HAP's: north up but for rounding of zeros, PHOTPLAM in SCI."""
    images = {}
    for name, pivot, rounding in (("f350lp", 5846.0, 1e-22), ("f438w", 4326.0, -3e-23)):
        header = FRAME.wcs.to_header()
        header.update(PHOTPLAM=pivot, PC1_2=rounding, PC2_1=2 * rounding)
        data = np.random.default_rng(1).normal(3.0, 0.01, FRAME.shape).astype(np.float32)
        science = fits.ImageHDU(data, header, name="SCI")
        weight = fits.ImageHDU(np.ones(FRAME.shape, np.float32), name="WHT")
        images[name] = tmp_path / f"{name}.fits"
        fits.HDUList([fits.PrimaryHDU(), science, weight]).writeto(images[name])
    names = chosen_filters(images)
    assert names == ["f438w", "f350lp"]
    size = write_colour_picture({name: images[name] for name in names}, tmp_path / "colour.png")
    assert size == FRAME.shape[::-1]


def test_of_many_filters_the_middle_one_is_green(workdir: WorkDir) -> None:
    names = ("f275w", "f336w", "f555w", "f814w")
    listed(workdir, [stack(workdir, f"wfc3_uvis.{name}", star=2.0) for name in names])
    make_colour_images(workdir, Settings())
    (row,) = read_table(workdir.colour_images)
    assert [str(row[name]) for name in ("blue", "green", "red")] == ["f275w", "f555w", "f814w"]


def test_each_detector_has_its_own_and_one_filter_makes_none(workdir: WorkDir) -> None:
    bands = ("wfc3_ir.f110w", "wfc3_ir.f160w", "acs_wfc.f606w")
    listed(workdir, [stack(workdir, band, star=2.0) for band in bands])
    made = make_colour_images(workdir, Settings())
    assert [str(row["detector"]) for row in read_table(workdir.colour_images)] == ["wfc3_ir"]
    assert made.facts["previews"] == ["drizzle/wfc3_ir.colour.png"]


def test_without_two_filters_the_index_is_empty_and_says_so(workdir: WorkDir) -> None:
    listed(workdir, [stack(workdir, "acs_wfc.f606w", star=2.0)])
    made = make_colour_images(workdir, Settings())
    assert made.facts["note"] == "no detector has stacks in two filters"
    table = read_table(workdir.colour_images)
    assert len(table) == 0
    assert table.colnames == [spec.name for spec in COLOUR_COLUMNS]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (Frame(150.1, 2.2, 0.05, 60, 50, 30, 25), "different pixel grids"),
        (Frame(150.2, 2.2, 0.04, 60, 50, 30, 25), "different pixel grids"),
        (Frame(150.1, 2.2, 0.04, 60, 50, 30, -40), "no pixel in common"),
    ],
)
def test_stacks_that_cannot_be_laid_on_each_other_cost_their_picture(
    workdir: WorkDir, frame: Frame, words: str
) -> None:
    rows = [
        stack(workdir, "wfc3_uvis.f438w", star=2.0),
        stack(workdir, "wfc3_uvis.f814w", star=0.0, frame=frame)
        if frame.crpix2 > 0
        else _elsewhere(workdir, frame),
        stack(workdir, "acs_wfc.f606w", star=2.0),
        stack(workdir, "acs_wfc.f814w", star=2.0),
    ]
    listed(workdir, rows)
    made = make_colour_images(workdir, Settings())
    assert made.facts["n_products"] == 1
    (failed,) = made.facts["failed"]
    assert failed.startswith("wfc3_uvis: ")
    assert words in failed
    assert not workdir.colour_image("wfc3_uvis").exists()


def _elsewhere(workdir: WorkDir, frame: Frame) -> dict[str, Any]:
    row = stack(workdir, "wfc3_uvis.f814w", star=0.0)
    path = workdir.filter_stack("wfc3_uvis.f814w")
    with fits.open(path, mode="update") as hdus:
        for name in ("SCI", "WHT"):
            hdus[name].header["CRPIX2"] = frame.crpix2
    return row


def test_an_unchanged_target_is_left_alone_and_a_new_stack_is_not(workdir: WorkDir) -> None:
    bands = ("wfc3_uvis.f438w", "wfc3_uvis.f814w")
    listed(workdir, [stack(workdir, band, star=2.0) for band in bands])
    assert make_colour_images(workdir, Settings()).ran
    assert not make_colour_images(workdir, Settings()).ran
    listed(workdir, [stack(workdir, band, star=3.0) for band in bands])
    assert make_colour_images(workdir, Settings()).ran


def test_a_picture_of_a_filter_that_is_gone_is_removed(workdir: WorkDir) -> None:
    bands = ("wfc3_uvis.f438w", "wfc3_uvis.f814w")
    rows = [stack(workdir, band, star=2.0) for band in bands]
    listed(workdir, rows)
    make_colour_images(workdir, Settings())
    listed(workdir, rows[:1])
    make_colour_images(workdir, Settings())
    assert not workdir.colour_image("wfc3_uvis").exists()


def test_without_stacks_it_says_what_to_do(workdir: WorkDir) -> None:
    with pytest.raises(MissingProduct, match="Materialize drizzled_stacks first"):
        make_colour_images(workdir, Settings())

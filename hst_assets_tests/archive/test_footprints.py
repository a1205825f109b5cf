"""Footprints in the dialects of the archive."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.archive.footprints import parse_region

SQUARE = "149.95 1.95 150.05 1.95 150.05 2.05 149.95 2.05"
HALF_SIDE = 0.05 * 3600  # arcsec
#: Sides are great circles, not parallels: 0.05 deg at Dec 2 differ by well below this.
SAG = 0.2


@pytest.mark.parametrize(
    "text",
    [
        f"POLYGON {SQUARE}",
        f"POLYGON ICRS {SQUARE}",
        f"polygon icrs {SQUARE}",
        f"POLYGON GSC1  {SQUARE}",
        f"POLYGON J2000 {SQUARE} 149.95 1.95",
        f"Polygon ICRS TOPOCENTER {SQUARE}",
        f"POLYGON ICRS ({SQUARE.replace(' ', ', ')})",
        f"UNION ICRS (POLYGON {SQUARE} POLYGON 10 10 10.1 10 10.1 10.1)",
        f"POLYGON ICRS 10 10 10.1 10 10.1 10.1 POLYGON ICRS {SQUARE}",
        f"  POLYGON\tICRS\n{SQUARE} ",
    ],
)
def test_polygons_of_every_dialect_hold_what_they_hold(text):
    region = parse_region(text)
    assert region.depth_arcsec(150.0, 2.0) == pytest.approx(HALF_SIDE, abs=SAG)
    assert region.depth_arcsec(150.0, 2.0 + 0.06) == pytest.approx(-36.0, abs=SAG)


def test_recorded_footprint_of_wfpc2():
    text = (
        "POLYGON GSC1  23.17474785  60.66012593  23.15424076  60.61702967  23.06645518  "
        "60.62703769  23.08684334  60.67014825  23.17474785  60.66012593"
    )
    region = parse_region(text)
    assert region.depth_arcsec(23.1206, 60.6436) > 60
    assert region.depth_arcsec(23.1206, 60.70) < 0


def test_circle_is_as_deep_as_its_radius():
    region = parse_region("CIRCLE ICRS 150.0 2.0 0.1")
    assert region.depth_arcsec(150.0, 2.0) == pytest.approx(360.0)
    assert region.depth_arcsec(150.0, 2.2) == pytest.approx(-360.0)


def test_circle_about_a_pole():
    region = parse_region("CIRCLE 10.0 89.99 0.05")
    assert region.depth_arcsec(190.0, 89.99) == pytest.approx(0.03 * 3600, abs=0.01)


def test_union_of_circle_and_polygon():
    region = parse_region(f"UNION ICRS (CIRCLE 10 10 0.1 POLYGON {SQUARE})")
    assert region.depth_arcsec(10.0, 10.0) > 0
    assert region.depth_arcsec(150.0, 2.0) > 0
    assert region.depth_arcsec(80.0, 6.0) < 0


def test_the_centre_of_a_circle_is_its_own_and_shapes_weigh_by_their_area():
    assert parse_region("CIRCLE ICRS 10 60 0.1").centre() == pytest.approx((10.0, 60.0), abs=1e-6)
    _, dec = parse_region("UNION ICRS (CIRCLE 10 0 0.2 CIRCLE 10 0.3 0.1)").centre()
    assert dec == pytest.approx(0.3 / 5, abs=1e-5)  # areas 4 to 1


def test_right_ascension_zero_is_nothing_special():
    region = parse_region("POLYGON ICRS 359.95 -0.05 0.05 -0.05 0.05 0.05 359.95 0.05")
    assert region.depth_arcsec(0.0, 0.0) == pytest.approx(HALF_SIDE, abs=SAG)
    assert region.centre()[0] == pytest.approx(0.0, abs=1e-6) or region.centre()[0] > 359.9


def test_corners_are_counted_in_either_sense():
    corners = np.array(SQUARE.split()).reshape(-1, 2)
    region = parse_region("POLYGON " + " ".join(corners[::-1].ravel()))
    assert region.depth_arcsec(150.0, 2.0) > 0


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "POLYGON",
        "POLYGON ICRS",
        "POLYGON ICRS 1 2 3 4",
        "POLYGON ICRS 1 2 3 4 5",
        "POLYGON ICRS 1 2 1 2 1 2",
        f"POLYGON ICRS {SQUARE} 3",
        f"POLYGON ICRS {SQUARE} nan nan",
        "POLYGON ICRS 1 2 3 95 5 6",
        "POLYGON ICRS 1e300 2 3 4 5 6",
        f"POLYGON GALACTIC {SQUARE}",
        f"NOT (POLYGON {SQUARE})",
        f"POLYGON {SQUARE} POLYGON ICRS 1 2",
        "CIRCLE ICRS 1 2",
        "CIRCLE ICRS 1 2 0",
        "CIRCLE ICRS 1 2 -3",
        "ELLIPSE 1 2 3 4 5",
        "1 2 3 4 5 6",
        "<html>",
        12,
    ],
)
def test_what_is_no_footprint_is_none(text):
    assert parse_region(text) is None


@given(st.text(max_size=200))
def test_any_text_is_read_or_not(text):
    region = parse_region(text)
    assert region is None or math.isfinite(region.depth_arcsec(10.0, 10.0))


WORDS = st.sampled_from(
    ["POLYGON", "CIRCLE", "UNION", "ICRS", "GSC1", "(", ")", ",", "nan", "1e5", "x"]
) | st.floats(-400, 800, allow_nan=False).map(str)


@given(st.lists(WORDS, max_size=30))
def test_any_sequence_of_words_is_read_or_not(words):
    region = parse_region(" ".join(words))
    assert region is None or math.isfinite(region.depth_arcsec(10.0, 10.0))


@given(
    ra=st.floats(0, 360, exclude_max=True),
    dec=st.floats(-89, 89),
    size=st.floats(0.005, 0.5),
    n_corners=st.integers(3, 12),
)
def test_the_middle_of_any_polygon_lies_inside(ra, dec, size, n_corners):
    angles = np.linspace(0, 2 * np.pi, n_corners, endpoint=False)
    decs = np.clip(dec + size * np.sin(angles), -90, 90)
    ras = ra + size * np.cos(angles) / np.cos(np.radians(dec))
    if np.ptp(ras) > 180:
        return  # wraps the pole
    text = " ".join(f"{r % 360:.8f} {d:.8f}" for r, d in zip(ras, decs, strict=True))
    region = parse_region(f"POLYGON ICRS {text}")
    assert region.depth_arcsec(*region.centre()) > 0

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from hst_assets.failures import BadConfiguration, UnusableInput
from hst_assets.imaging.frames import (
    MARGIN_PIX,
    Frame,
    covering_frame,
    exposure_outlines,
    shared_tangent_point,
)

RA, DEC, SCALE = 150.1, 2.2, 0.04


def square(ra: float, dec: float, side_arcsec: float) -> np.ndarray:
    half = side_arcsec / 7200.0
    cosine = np.cos(np.radians(dec))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    return np.column_stack([ra + corners[:, 0] / cosine, dec + corners[:, 1]])


outlines = st.builds(
    square,
    ra=st.floats(RA - 0.02, RA + 0.02),
    dec=st.floats(DEC - 0.02, DEC + 0.02),
    side_arcsec=st.floats(1.0, 60.0),
)


def frame_of(*shapes: np.ndarray, **changes: float) -> Frame:
    where = {"ra_deg": RA, "dec_deg": DEC, "scale_arcsec": SCALE} | changes
    return covering_frame([[shape] for shape in shapes], **where)


@given(st.lists(outlines, min_size=1, max_size=4))
def test_a_covering_frame_holds_every_vertex_and_little_more(shapes: list[np.ndarray]) -> None:
    frame = frame_of(*shapes)
    x, y = frame.wcs.all_world2pix(*np.concatenate(shapes).T, 0)
    for values, size in ((x, frame.nx), (y, frame.ny)):
        assert MARGIN_PIX - 0.5 - 1e-6 <= values.min() < MARGIN_PIX + 0.5 + 1e-6
        assert MARGIN_PIX - 0.5 - 1e-6 <= size - 1 - values.max() < MARGIN_PIX + 0.5 + 1e-6


@given(outlines, outlines)
def test_two_frames_of_a_target_differ_by_whole_pixels(one: np.ndarray, other: np.ndarray) -> None:
    first, second = frame_of(one), frame_of(other)
    dx, dy = first.shift_to(second)
    sky = first.wcs.wcs_pix2world([[3.0, 7.0]], 0)
    # 1e-6 pixel: rounding of the projection there and back.
    assert second.wcs.wcs_world2pix(sky, 0)[0] == pytest.approx([3.0 + dx, 7.0 + dy], abs=1e-6)


@pytest.mark.parametrize("size", [101, 200])
def test_a_frame_of_given_size_is_centred_on_the_target(size: int) -> None:
    frame = covering_frame([], ra_deg=RA, dec_deg=DEC, scale_arcsec=SCALE, size_pix=size)
    x, y = frame.wcs.all_world2pix(RA, DEC, 0)
    assert frame.shape == (size, size)
    assert (float(x), float(y)) == pytest.approx((size // 2, size // 2), abs=1e-6)


def test_north_is_up_and_east_to_the_left() -> None:
    frame = frame_of(square(RA, DEC, 10.0))
    x, y = frame.wcs.all_world2pix([RA, RA + 0.001, RA], [DEC, DEC, DEC + 0.001], 0)
    assert x[1] < x[0]
    assert y[2] > y[0]
    assert (x[2], y[1]) == pytest.approx((x[0], y[0]), abs=1e-3)


def test_different_grids_cannot_be_shifted_onto_each_other() -> None:
    one, other = frame_of(square(RA, DEC, 9.0)), frame_of(square(RA, DEC, 9.0), scale_arcsec=0.05)
    with pytest.raises(BadConfiguration, match="not on one grid"):
        one.shift_to(other)


def test_exposures_far_apart_are_refused_instead_of_filling_the_memory() -> None:
    with pytest.raises(UnusableInput, match="pixels"):
        frame_of(square(RA, DEC, 10.0), square(RA + 1.0, DEC, 10.0))


def test_an_exposure_on_the_other_side_of_the_sky_is_refused() -> None:
    with pytest.raises(UnusableInput, match="another part of the sky"):
        frame_of(square(RA - 180.0, -DEC, 10.0))


def test_nothing_to_cover_is_refused() -> None:
    with pytest.raises(UnusableInput, match="no exposure"):
        frame_of()


@pytest.mark.parametrize(("offset_deg", "touches"), [(0.0, True), (0.002, True), (0.01, False)])
def test_touching(offset_deg: float, touches: bool) -> None:
    frame = frame_of(square(RA, DEC, 10.0))
    assert frame.touches([square(RA + offset_deg, DEC, 10.0)]) is touches


def test_a_frame_survives_json() -> None:
    frame = frame_of(square(RA, DEC, 10.0))
    assert Frame.from_json(frame.as_json()) == frame


def test_the_shared_tangent_point_is_found_across_zero_hours() -> None:
    assert shared_tangent_point([square(359.98, -10.03, 5.0), square(0.06, -10.03, 5.0)]) == (
        pytest.approx(0.0),
        pytest.approx(-10.0),
    )


def test_an_outline_follows_the_distorted_edge(campaign) -> None:
    path = campaign.science_files()[0]
    (outline,) = exposure_outlines(path)
    with fits.open(path) as hdus:
        from astropy.wcs import WCS

        corner = WCS(hdus["SCI", 1].header, hdus).all_pix2world([[-0.5, -0.5]], 0)[0]
    assert np.min(np.hypot(*(outline - corner).T)) < 1e-10


def test_a_file_without_science_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.fits"
    fits.PrimaryHDU().writeto(path)
    with pytest.raises(UnusableInput, match="no SCI extension"):
        exposure_outlines(path)

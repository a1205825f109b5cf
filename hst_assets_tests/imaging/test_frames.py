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
    MAX_SIDE_PIX,
    Frame,
    covering_frame,
    exposure_outlines,
    frame_of_target,
    orientation_of,
    shared_tangent_point,
)
from hst_assets.settings import Settings

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


angles = st.floats(-180.0, 180.0)


def frame_of(*shapes: np.ndarray, **changes: float | str) -> Frame:
    where = {"ra_deg": RA, "dec_deg": DEC, "scale_arcsec": SCALE, "about": "minimal"} | changes
    return covering_frame([[shape] for shape in shapes], **where)


def reach_of(frame: Frame, shapes: list[np.ndarray]) -> list[tuple[float, float]]:
    """How far the vertices stay from the first and from the last pixel, on x and on y."""
    x, y = frame.wcs.all_world2pix(*np.concatenate(shapes).T, 0)
    return [(v.min(), size - 1 - v.max()) for v, size in ((x, frame.nx), (y, frame.ny))]


@given(st.lists(outlines, min_size=1, max_size=4), angles)
def test_a_minimal_frame_holds_every_vertex_and_little_more(
    shapes: list[np.ndarray], angle: float
) -> None:
    for gaps in reach_of(frame_of(*shapes, orientation_deg=angle), shapes):
        for gap in gaps:
            assert MARGIN_PIX - 0.5 - 1e-6 <= gap < MARGIN_PIX + 0.5 + 1e-6


@given(st.lists(outlines, min_size=1, max_size=4), angles)
def test_a_frame_about_the_target_has_it_in_the_middle_and_no_pixel_too_many(
    shapes: list[np.ndarray], angle: float
) -> None:
    frame = frame_of(*shapes, about="target", orientation_deg=angle)
    assert (frame.nx % 2, frame.ny % 2) == (1, 1)
    assert (frame.crpix1, frame.crpix2) == ((frame.nx + 1) // 2, (frame.ny + 1) // 2)
    middle = frame.wcs.all_world2pix(RA, DEC, 1)
    assert [float(v) for v in middle] == pytest.approx([frame.crpix1, frame.crpix2], abs=1e-6)
    for gaps in reach_of(frame, shapes):
        assert MARGIN_PIX - 0.5 - 1e-6 <= min(gaps) < MARGIN_PIX + 0.5 + 1e-6


def test_a_target_beside_its_exposures_makes_the_frame_about_it_larger() -> None:
    beside = square(RA, DEC + 0.01, 10.0)
    assert frame_of(beside).ny < 260
    assert frame_of(beside, about="target").ny > 2 * 900


@given(outlines, outlines, angles)
def test_two_frames_of_a_target_differ_by_whole_pixels(
    one: np.ndarray, other: np.ndarray, angle: float
) -> None:
    first = frame_of(one, orientation_deg=angle)
    second = frame_of(other, about="target", orientation_deg=angle)
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


def test_the_y_axis_points_to_its_position_angle() -> None:
    frame = frame_of(square(RA, DEC, 10.0), orientation_deg=30.0)
    x, y = frame.crpix1 - 1, frame.crpix2 - 1
    sky = frame.wcs.wcs_pix2world([[x, y], [x, y + 100]], 0)
    east = (sky[1, 0] - sky[0, 0]) * np.cos(np.radians(DEC))
    north = sky[1, 1] - sky[0, 1]
    assert np.degrees(np.arctan2(east, north)) == pytest.approx(30.0, abs=1e-3)
    matrix = frame.wcs.wcs.cd
    assert np.linalg.det(matrix) < 0  # still seen from inside the sphere


@pytest.mark.parametrize("change", [{"scale_arcsec": 0.05}, {"orientation_deg": 1.0}])
def test_different_grids_cannot_be_shifted_onto_each_other(change: dict[str, float]) -> None:
    one, other = frame_of(square(RA, DEC, 9.0)), frame_of(square(RA, DEC, 9.0), **change)
    with pytest.raises(BadConfiguration, match="not on one grid"):
        one.shift_to(other)


def test_exposures_far_apart_are_refused_instead_of_filling_the_memory() -> None:
    with pytest.raises(UnusableInput, match="pixels") as caught:
        frame_of(square(RA, DEC, 10.0), square(RA + 1.0, DEC, 10.0))
    assert "drizzle.frame = 'minimal'" in caught.value.next_step


def settings_of(**drizzle: object) -> Settings:
    return Settings.model_validate({"target": {"ra_deg": RA, "dec_deg": DEC}, "drizzle": drizzle})


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        (settings_of(), "target"),
        (settings_of(frame="minimal"), "minimal"),
        (settings_of(frame="target", size_pix=64), None),
    ],
)
def test_the_settings_choose_the_frame(settings: Settings, about: str | None) -> None:
    shape = square(RA + 0.002, DEC, 10.0)
    frame = frame_of_target([shape], settings, scale_arcsec=SCALE)
    if about is None:
        assert frame.shape == (64, 64)
    else:
        assert frame == frame_of(shape, about=about)


def test_without_a_target_the_frame_is_the_smallest() -> None:
    shape = square(RA + 0.04, DEC, 10.0)
    frame = frame_of_target([shape], Settings(), scale_arcsec=SCALE)
    assert frame == frame_of(shape, ra_deg=150.1, dec_deg=2.2)


def test_an_exposures_orientation_is_that_of_its_header(campaign) -> None:
    path = campaign.science_files()[0]
    stated = fits.getheader(path, "SCI")["ORIENTAT"]
    assert orientation_of(path) == pytest.approx(stated, abs=1e-3)
    assert abs(stated) > 5  # the simulated telescope is rolled


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
    frame = frame_of(square(RA, DEC, 10.0), orientation_deg=12.5)
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


@given(st.lists(outlines, min_size=1, max_size=3), angles, st.floats(0.3, 4.0))
def test_a_finer_frame_covers_the_same_sky_and_less_than_a_pixel_more(
    shapes: list[np.ndarray], angle: float, coarser: float
) -> None:
    frame = frame_of(*shapes, scale_arcsec=SCALE * coarser, orientation_deg=angle)
    finer = frame.no_coarser_than(SCALE)
    assert finer.scale_arcsec == min(SCALE, frame.scale_arcsec)
    for n, crpix, new_n, new_crpix in (
        (frame.nx, frame.crpix1, finer.nx, finer.crpix1),
        (frame.ny, frame.crpix2, finer.ny, finer.crpix2),
    ):
        # Edges on the tangent plane, arcsec from the tangent point; rounding of 1e-9.
        edges = np.array([0.5 - crpix, n + 0.5 - crpix]) * frame.scale_arcsec
        new_edges = np.array([0.5 - new_crpix, new_n + 0.5 - new_crpix]) * finer.scale_arcsec
        beyond = (new_edges - edges) * [-1, 1]
        assert np.all(beyond > -1e-9)
        assert np.all(beyond < finer.scale_arcsec)


def test_a_finer_frame_stays_as_large_as_a_frame_may_be() -> None:
    frame = Frame(RA, DEC, 0.1, 20_000, 100, 1, 1)
    finer = frame.no_coarser_than(0.04)
    assert max(finer.nx, finer.ny) <= MAX_SIDE_PIX
    assert 0.06 < finer.scale_arcsec < 0.07

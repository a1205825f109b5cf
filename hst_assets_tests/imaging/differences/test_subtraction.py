"""Subtraction of arrays whose noise, offsets and sources are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.detectors import DETECTORS
from hst_assets.failures import BadConfiguration, NoOverlap
from hst_assets.imaging.differences.subtraction import FLAGS, Flag, Stack, read_stack, subtract
from hst_assets.imaging.frames import Frame
from hst_assets_tests.imaging.synthetic_stacks import (
    FRAME,
    STARS,
    UVIS,
    planes,
    primary_header,
    with_errors,
)

SHIFTED = replace(FRAME, nx=190, ny=185, crpix1=90, crpix2=95)


def stack(
    folder: Path,
    *,
    frame: Frame = FRAME,
    header: fits.Header | None = None,
    blank: tuple[slice, slice] | None = None,
    **options: object,
) -> Stack:
    header = primary_header() if header is None else header
    made = planes(header, frame=frame, **options)  # type: ignore[arg-type]
    if blank is not None:
        made["WHT"][blank], made["CTX"][blank] = 0, 0
        made = with_errors(header, made)
    path = folder / f"{len(list(folder.iterdir()))}.fits"
    hdus = [fits.ImageHDU(data, name=name) for name, data in made.items()]
    fits.HDUList([fits.PrimaryHDU(header=header), *hdus]).writeto(path)
    return read_stack(path, frame, UVIS)


def test_frames_are_laid_on_each_other_by_whole_pixels(tmp_path) -> None:
    found = subtract(stack(tmp_path, frame=SHIFTED, seed=1), stack(tmp_path, seed=2))
    assert found.frame.shape == SHIFTED.shape
    assert (found.frame.crpix1, found.frame.crpix2) == (90, 95)
    # Had the stars not met, they would stand out hundreds of times above the noise.
    pulls = found.data / found.error
    assert np.std(pulls) == pytest.approx(1.0, abs=0.03)
    assert np.max(np.abs(pulls)) < 6


def test_what_changed_is_left(tmp_path) -> None:
    template = stack(tmp_path, seed=1)
    epoch = stack(tmp_path, seed=2, stars=[*STARS, (-17.0, 25.0, 8.0)])
    found = subtract(epoch, template)
    rows, columns = np.indices(found.data.shape)
    near = np.hypot(columns - (109 - 17), rows - (99 + 25)) < 5
    error = np.sqrt(np.sum(found.error[near] ** 2))
    assert found.data[near].sum() == pytest.approx(8.0, abs=3 * error)
    assert error < 0.3


def test_the_difference_of_the_skies_is_taken_off_and_told(tmp_path) -> None:
    found = subtract(stack(tmp_path, seed=1, sky_left=0.004), stack(tmp_path, seed=2))
    figures = found.figures
    assert figures.residual_sky == pytest.approx(0.004, abs=4 * figures.residual_sky_error)
    assert figures.residual_sky_error < 2e-4
    assert abs(np.median(found.data)) < 3 * figures.residual_sky_error


def test_the_epoch_is_brought_onto_the_templates_zero_point(tmp_path) -> None:
    """Half the sensitivity, half the counts."""
    epoch = stack(
        tmp_path,
        seed=1,
        header=primary_header(PHOTFLAM=2.2e-19),
        stars=[(x, y, rate / 2) for x, y, rate in STARS],
    )
    found = subtract(epoch, stack(tmp_path, seed=2))
    assert found.figures.scale == pytest.approx(2.0)
    assert found.figures.stars.flux_ratio == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("epoch", "template", "said"),
    [
        ({"PHOTFLAM": 0.0}, {}, "the epoch has none"),
        ({}, {"PHOTFLAM": 0.0}, "the template has none"),
        ({"PHOTFLAM": "N/A"}, {"PHOTFLAM": 0.0}, "the epoch and the template has none"),
        (
            {"PHOTFLAM": 1.027 * 1.1e-19, "IMPHTTAB": "iref$1681905hi_imp.fits"},
            {},
            "the epoch's is of 1681905hi_imp.fits, the template's 51c1638pi_imp.fits",
        ),
        ({"PHOTFLAM": 1.2e-19, "IMPHTTAB": "MIXED"}, {}, "the epoch's is of MIXED"),
    ],
)
def test_zero_points_that_cannot_be_compared_scale_nothing(
    tmp_path, epoch: dict, template: dict, said: str
) -> None:
    """The stars are the same in both, and stay so; what was not done is said."""
    one = stack(tmp_path, seed=1, header=primary_header(**epoch))
    two = stack(tmp_path, seed=2, header=primary_header(**template))
    found = subtract(one, two).figures
    assert found.scale == 1.0
    assert said in found.not_scaled
    assert found.stars.flux_ratio == pytest.approx(1.0, abs=0.01)


def test_counts_of_another_gain_are_scaled_whatever_the_table(tmp_path) -> None:
    """WFPC2's counts of gain 7 are twice those of gain 15; no two tables differ like that."""
    header = primary_header(PHOTFLAM=2.2e-19, IMPHTTAB="iref$1681905hi_imp.fits")
    stars = [(x, y, rate / 2) for x, y, rate in STARS]
    found = subtract(
        stack(tmp_path, seed=1, header=header, stars=stars), stack(tmp_path, seed=2)
    ).figures
    assert found.scale == pytest.approx(2.0)
    assert "to some per cent only" in found.not_scaled
    assert found.stars.flux_ratio == pytest.approx(1.0, abs=0.01)


def test_counts_become_rates(tmp_path) -> None:
    header = primary_header(D_UNITS="counts")
    path = tmp_path / "counts.fits"
    made = planes(primary_header(), seed=1)
    made["SCI"] *= np.float32(header["EXPTIME"])
    made["ERR"] *= np.float32(header["EXPTIME"])
    hdus = [fits.ImageHDU(data, name=name) for name, data in made.items()]
    fits.HDUList([fits.PrimaryHDU(header=header), *hdus]).writeto(path)
    found = subtract(read_stack(path, FRAME, UVIS), stack(tmp_path, seed=2))
    assert found.figures.stars.flux_ratio == pytest.approx(1.0, abs=0.01)
    assert found.figures.noise_ratio == pytest.approx(1.0, abs=0.03)


def test_figures_of_two_good_images(tmp_path) -> None:
    figures = subtract(stack(tmp_path, seed=1), stack(tmp_path, seed=2)).figures
    assert figures.noise_ratio == pytest.approx(1.0, abs=0.03)
    assert figures.stars.n_stars == len(STARS)
    assert np.hypot(*figures.stars.offset_pix) < 0.02
    assert figures.n_pixels == FRAME.nx * FRAME.ny


@pytest.mark.parametrize("moved", [(0.3, 0.0), (0.0, -0.2)])
def test_misplaced_stars_are_measured(tmp_path, moved) -> None:
    epoch = stack(tmp_path, seed=1, stars=[(x + moved[0], y + moved[1], r) for x, y, r in STARS])
    offset = subtract(epoch, stack(tmp_path, seed=2)).figures.stars.offset_pix
    assert offset == pytest.approx(moved, abs=0.05)


def test_noise_beyond_the_model_is_measured(tmp_path) -> None:
    quiet = stack(tmp_path, seed=1)
    rng = np.random.default_rng(5)
    extra = rng.normal(0.0, 1.0, quiet.rate.shape) * quiet.error
    noisy = replace(quiet, rate=(quiet.rate + extra).astype(np.float32))
    figures = subtract(noisy, stack(tmp_path, seed=2)).figures
    assert figures.noise_ratio == pytest.approx(np.sqrt(1.5), abs=0.05)


# -------------------------------------------------------------------------------------- flags


def test_every_flag_has_a_meaning() -> None:
    assert set(FLAGS) == set(Flag)
    assert all(FLAGS.values())


def test_pixels_without_weight_are_flagged_and_have_no_value(tmp_path) -> None:
    hole = np.s_[60:70, 80:90]
    found = subtract(stack(tmp_path, seed=1, blank=hole), stack(tmp_path, seed=2))
    assert np.all(found.flags[hole] & Flag.NO_EPOCH)
    assert np.all(np.isnan(found.data[hole]) & np.isnan(found.error[hole]))
    found = subtract(stack(tmp_path, seed=1), stack(tmp_path, seed=2, blank=hole))
    assert np.all(found.flags[hole] & Flag.NO_TEMPLATE)
    assert not np.any(found.flags & Flag.NO_EPOCH)


def test_cores_of_bright_stars_are_flagged_and_the_sky_is_not(tmp_path) -> None:
    bright = [(20.0, 20.0, 4000.0), *STARS]
    found = subtract(stack(tmp_path, seed=1, stars=bright), stack(tmp_path, seed=2, stars=bright))
    rows, columns = np.indices(found.data.shape)
    distance = np.hypot(columns - 129, rows - 119)
    assert np.mean(found.flags[distance < 3] & Flag.STAR_CORE > 0) > 0.8
    assert not found.flags[:, 200:].any()


def test_saturation_is_flagged_with_what_it_left_empty(tmp_path) -> None:
    """110 pixels of light above full well, and a hole in their middle as drizzling leaves it."""
    full = UVIS.saturation_e / 400.0
    star = [(0.0, 0.0, 40.0 * full), *STARS]
    hole = np.s_[98:101, 108:111]
    found = subtract(
        stack(tmp_path, seed=1, stars=star, blank=hole), stack(tmp_path, seed=2, stars=star)
    )
    assert np.all(found.flags[hole] & Flag.SATURATED)
    assert not np.any(found.flags[150:] & Flag.SATURATED)


@pytest.mark.parametrize(("detector", "flagged"), [("wfc3_uvis", True), ("wfc3_ir", False)])
def test_one_exposure_alone_is_flagged_where_cosmic_rays_stay(tmp_path, detector, flagged) -> None:
    """Ramps of the infrared detector are cleaned of them in calibration."""
    header = primary_header()
    made = planes(header, seed=1)
    made["CTX"][50:60] = 2
    made["WHT"][50:60] /= 2
    made = with_errors(header, made, DETECTORS[detector])
    path = tmp_path / "partly.fits"
    hdus = [fits.ImageHDU(data, name=name) for name, data in made.items()]
    fits.HDUList([fits.PrimaryHDU(header=header), *hdus]).writeto(path)
    epoch = read_stack(path, FRAME, DETECTORS[detector])
    alone = subtract(epoch, stack(tmp_path, seed=2)).flags & Flag.ONE_EXPOSURE > 0
    assert np.all(alone[50:60]) == flagged
    assert not np.any(np.delete(alone, np.s_[50:60], axis=0))


# ----------------------------------------------------------------------------------- failures


def test_images_without_a_common_pixel_say_so(tmp_path) -> None:
    far = replace(FRAME, crpix1=FRAME.crpix1 + 300)
    with pytest.raises(NoOverlap):
        subtract(stack(tmp_path, frame=far), stack(tmp_path))


def test_frames_that_overlap_where_nothing_was_exposed_say_so(tmp_path) -> None:
    left, right = np.s_[:, :110], np.s_[:, 110:]
    with pytest.raises(NoOverlap):
        subtract(stack(tmp_path, blank=left), stack(tmp_path, blank=right))


def test_another_grid_is_refused(tmp_path) -> None:
    other = replace(FRAME, ra_deg=FRAME.ra_deg + 1e-5)
    with pytest.raises(BadConfiguration, match="not on one grid"):
        subtract(stack(tmp_path, frame=other), stack(tmp_path))


def test_only_what_both_cover_is_kept(tmp_path) -> None:
    edge = np.s_[:, :50]
    found = subtract(stack(tmp_path, seed=1, blank=edge), stack(tmp_path, seed=2))
    assert found.data.shape == (200, 170)
    assert found.frame.crpix1 == FRAME.crpix1 - 50

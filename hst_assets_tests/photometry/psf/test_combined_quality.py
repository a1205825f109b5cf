"""Quality over several images, and object types: by hand, and beside DOLPHOT's columns."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from hst_assets.photometry.psf.combined_quality import (
    CombinedQuality,
    object_quality,
    object_types,
)
from hst_assets.photometry.psf.star_quality import StarQuality
from hst_assets_tests.photometry.catalog.reference_runs import needs_runs
from hst_assets_tests.photometry.psf import dolphot_exposures as reference
from hst_assets_tests.photometry.psf.star_frames import galaxies, hot_pixels, stars

FLUX = np.array([[100.0], [-20.0], [300.0]])
ERROR = np.array([[10.0], [20.0], [15.0]])
EXPTIME = np.array([100.0, 400.0, 200.0])


@cache
def one_star() -> StarQuality:
    return stars(1000.0, n=1).quality()


def image(**values: float) -> StarQuality:
    arrays = {name: np.array([value]) for name, value in values.items()}
    if "flag" in arrays:
        arrays["flag"] = arrays["flag"].astype(np.int32)
    return replace(one_star(), **arrays)


def three() -> list[StarQuality]:
    shared = {"roundness_sin": 0.0, "flag": 0}
    return [
        image(chi=1.0, chi_weight=10, sharpness=0.1, roundness_cos=0.2, crowding_mag=0.1, **shared),
        image(chi=2.0, chi_weight=5, sharpness=9.0, roundness_cos=5.0, crowding_mag=0.4, **shared),
        image(chi=3.0, chi_weight=2, sharpness=0.4, roundness_cos=-0.6, crowding_mag=0.2, **shared),
    ]


def test_an_objects_quality_is_weighted_by_image() -> None:
    whole = object_quality(three(), FLUX, ERROR, EXPTIME)
    rate = FLUX[:, 0] / EXPTIME
    variance = (ERROR[:, 0] / EXPTIME) ** 2
    positive = np.maximum(rate, 0) / variance
    assert whole.chi[0] == pytest.approx(np.sqrt((10 * 1 + 5 * 4 + 2 * 9) / 17))
    assert whole.sharpness[0] == pytest.approx(np.average([0.1, 9.0, 0.4], weights=positive))
    assert whole.crowding_mag[0] == pytest.approx(
        np.average([0.1, 0.4, 0.2], weights=np.abs(rate) / variance)
    )


def test_an_objects_roundness_is_along_one_axis() -> None:
    whole = object_quality(three(), FLUX, ERROR, EXPTIME)
    # 1 and 3/2 are the weights, flux over variance; across the axis the sign turns.
    assert whole.roundness[0] == pytest.approx((0.6 * 300 / 225 - 0.2) / (1 + 300 / 225))
    assert whole.position_angle_deg[0] == 90
    assert whole.image_roundness[:, 0] == pytest.approx([-0.2, -5.0, 0.6])


def test_an_image_where_nothing_was_measured_does_not_count() -> None:
    images = three()
    images[1] = image(
        chi=np.nan,
        chi_weight=0,
        sharpness=np.nan,
        roundness_cos=np.nan,
        crowding_mag=np.nan,
        flag=9,
    )
    error = np.array([[10.0], [np.inf], [15.0]])
    whole = object_quality(images, FLUX, error, EXPTIME)
    assert whole.chi[0] == pytest.approx(np.sqrt((10 * 1 + 2 * 9) / 12))
    assert np.isfinite(whole.crowding_mag[0])


def test_arrays_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        object_quality(three(), FLUX[:2], ERROR, EXPTIME)


def kinds(images: list[StarQuality], **options) -> dict[int, int]:
    kind, n = np.unique(object_types(images, **options), return_counts=True)
    return dict(zip(kind.tolist(), n.tolist(), strict=True))


def test_bright_stars_are_stars() -> None:
    assert kinds([stars(3000.0).quality()]) == {1: 100}


def test_faint_stars_are_faint_stars() -> None:
    # S/N = 2.9: 5 is 2 standard deviations away, for 98 of 100.
    assert kinds([stars(100.0).quality()])[2] >= 93


def test_two_images_may_see_what_one_does_not() -> None:
    assert kinds([stars(150.0).quality()])[2] > kinds([stars(150.0).quality()] * 4).get(2, 0)


def test_hot_pixels_are_told_from_stars() -> None:
    # On pixels of little weight a fit of a star has an S/N below 5: then it is called faint.
    found = kinds([hot_pixels(3000.0).quality()])
    assert set(found) <= {2, 4}
    assert found[4] >= 90


def test_galaxies_are_told_from_stars() -> None:
    assert kinds([galaxies(5000.0, 6.0, n=6).quality()]) == {5: 36}


def test_stars_alone_may_be_asked_for() -> None:
    assert kinds([galaxies(5000.0, 6.0, n=6).quality()], stars_only=True) == {1: 36}


@cache
def combined() -> tuple[list[StarQuality], CombinedQuality]:
    """Ours of the four reference exposures, by DOLPHOT's counts and errors."""
    exposures = [reference.exposure(number) for number in range(4)]
    images = [exposure.ours for exposure in exposures]
    flux = np.array([exposure.theirs["counts"] for exposure in exposures])
    snr = np.array([exposure.theirs["snr"] for exposure in exposures])
    error = np.where(snr != 0, flux / np.where(snr == 0, 1, snr), np.inf)
    exptime = np.full(4, reference.EXPTIME_S)
    whole = object_quality(images, flux, error, exptime)
    return images, whole


@pytest.fixture
def on_all() -> np.ndarray:
    """Stars with a positive flux and no flag on any image: the catalogue gives nothing of others
    that are off an image, though they count in the object's columns.
    """
    return np.all(
        [
            (measured.theirs["flag"] == 0) & (measured.theirs["counts"] > 0)
            for measured in map(reference.exposure, range(4))
        ],
        axis=0,
    )


class TestAgainstDolphot:
    """DOLPHOT's columns of objects."""

    pytestmark = needs_runs

    # Seen: chi 0.995 and more, sharpness 0.96 and more; roundness and crowding as of one image.
    @pytest.mark.parametrize(
        ("low", "high", "correlations"),
        [
            (3.5, 10, {"chi": 0.99, "sharpness": 0.95, "crowding": 0.97}),
            (10, 40, {"chi": 0.99, "sharpness": 0.95, "crowding": 0.92, "roundness": 0.85}),
            (40, 1e9, {"chi": 0.99, "sharpness": 0.95, "crowding": 0.97, "roundness": 0.85}),
        ],
    )
    def test_objects_agree(
        self, low: float, high: float, correlations: dict[str, float], on_all: np.ndarray
    ) -> None:
        rows = reference.catalogue()
        snr = rows[:, reference.OBJECT["snr"]]
        used = on_all & (snr >= low) & (snr < high)
        _, whole = combined()
        ours = {
            "chi": whole.chi,
            "sharpness": whole.sharpness,
            "crowding": whole.crowding_mag,
            "roundness": whole.roundness,
        }
        found = {
            name: np.corrcoef(ours[name][used], rows[used, reference.OBJECT[name]])[0, 1]
            for name in correlations
        }
        assert all(found[name] > least for name, least in correlations.items()), found

    def test_major_axes_agree(self, on_all: np.ndarray) -> None:
        rows = reference.catalogue()
        # Where there is an axis.
        used = on_all & (rows[:, reference.OBJECT["roundness"]] > 0.2)
        used &= rows[:, reference.OBJECT["snr"]] > 10
        _, whole = combined()
        off = whole.position_angle_deg - rows[:, reference.OBJECT["angle"]]
        assert np.mean(np.abs((off[used] + 90) % 180 - 90) <= 20) > 0.85

    def test_types_agree(self) -> None:
        images, _ = combined()
        ours = object_types(images, stars_only=True)
        # Those that differ have an S/N near 5, or are off an image in part.
        assert np.mean(ours == reference.catalogue()[:, reference.OBJECT["type"]]) > 0.97

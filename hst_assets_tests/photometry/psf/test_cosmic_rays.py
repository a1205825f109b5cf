"""Cosmic rays among stars whose truth is known: Gaussian stars, integrated over pixels."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import erf

from hst_assets.failures import UnusableInput
from hst_assets.photometry.psf.chip_image import ChipImage
from hst_assets.photometry.psf.cosmic_rays import cosmic_ray_masks
from hst_assets.photometry.psf.pixel_map import PixelMap

N = 160
SKY_E, READ_NOISE_E = 60.0, 3.1
DITHERS = [(0.0, 0.0), (3.5, 2.5), (-5.25, 4.5), (2.6, -6.4)]


def _stars(x, y, flux, sigma):
    def share(centre):
        edges = np.arange(N + 1) - 0.5
        return np.diff(0.5 * erf((edges - centre[:, None]) / (sigma * np.sqrt(2))), axis=1)

    return np.einsum("k,ky,kx->yx", flux, share(y), share(x))


def _field(n_images, *, sigma=0.8, dithers=DITHERS, band="wfc3_uvis F814W", seed=1, rays=40):
    """Images, the electrons of their cosmic rays, and the stars' places on the first."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, N, (2, 100))
    flux = 10 ** rng.uniform(2, 5, 100)
    knots = np.stack(np.meshgrid(np.arange(-32, N + 48, 16.0), np.arange(-32, N + 48, 16.0)), -1)
    images, struck = [], []
    for number in range(n_images):
        dx, dy = dithers[number]
        hits = np.zeros((N, N))
        for _ in range(rays):
            row, column, angle = [*rng.uniform(5, N - 6, 2).tolist(), rng.uniform(0, np.pi)]
            for step in range(rng.integers(1, 6)):
                at = int(row + step * np.sin(angle)), int(column + step * np.cos(angle))
                hits[min(at[0], N - 1), max(min(at[1], N - 1), 0)] += rng.uniform(150, 3000)
        light = _stars(x + dx, y + dy, flux, sigma) + SKY_E
        data = rng.poisson(light + hits) + rng.normal(0, READ_NOISE_E, (N, N))
        flat = np.ones((N, N), np.float32)
        images.append(
            ChipImage(
                name=f"e{number}.chip1",
                band=band,
                data_e=data.astype(np.float32),
                good=np.ones((N, N), bool),
                saturated=np.zeros((N, N), bool),
                sky_e=flat * np.float32(SKY_E),
                area=flat,
                read_noise_e=READ_NOISE_E,
                exptime_s=500.0,
                mjd=56000.0 + 0.01 * number,
                pixel_map=PixelMap(-32.0, -32.0, 16.0, knots + np.array([dx, dy])),
            )
        )
        struck.append(hits)
    return images, struck, (x, y, flux)


def _share_found(masks, struck):
    inner = np.s_[12:-12, 12:-12]
    limit = 5 * np.sqrt(SKY_E + READ_NOISE_E**2)
    hit = [(hits > limit)[inner] for hits in struck]
    found = [(mask.mask[inner] & each) for mask, each in zip(masks, hit, strict=True)]
    return np.sum(found) / np.sum(hit)


def test_most_pixels_of_cosmic_rays_are_found_among_four_exposures():
    images, struck, _ = _field(4)
    masks = cosmic_ray_masks(images)
    assert {mask.how for mask in masks} == {"compared"}
    # What is missed lies on stars.
    assert _share_found(masks, struck) > 0.95


@pytest.mark.parametrize(
    ("sigma", "band"),
    [(0.8, "wfc3_uvis F814W"), (0.55, "wfpc2 F555W")],
)
def test_stars_stay_when_dithers_are_of_half_pixels(sigma, band):
    dithers = [(0.0, 0.0), (2.5, 3.5)]
    images, _, (x, y, flux) = _field(2, sigma=sigma, dithers=dithers, band=band, rays=0)
    for image, mask, (dx, dy) in zip(images, cosmic_ray_masks(images), dithers, strict=True):
        ix, iy = np.rint(x + dx).astype(int), np.rint(y + dy).astype(int)
        seen = (flux > 400) & (ix < N - 8) & (iy < N - 8) & (ix > 7) & (iy > 7)
        assert np.count_nonzero(seen) > 30
        assert not mask.mask[iy[seen], ix[seen]].any(), image.name


def test_hot_pixels_are_found_without_a_dither():
    images, _, _ = _field(3, dithers=[(0.0, 0.0)] * 3, rays=0)
    rows, columns = np.array([30, 71, 111]), np.array([40, 90, 23])
    for image in images:
        image.data_e[rows, columns] += 2000
    for mask in cosmic_ray_masks(images):
        assert mask.mask[rows, columns].all()


def test_one_exposure_is_judged_by_edges():
    images, struck, _ = _field(1)
    masks = cosmic_ray_masks(images)
    assert masks[0].how == "laplacian"
    assert _share_found(masks, struck) > 0.6  # far fewer than by comparison


def test_other_bands_are_not_compared():
    images, _, _ = _field(2)
    masks = cosmic_ray_masks([images[0], replace(images[1], band="wfc3_uvis F606W")])
    assert [mask.how for mask in masks] == ["laplacian", "laplacian"]


def test_ramps_of_the_infrared_are_left_alone():
    images, _, _ = _field(2, band="wfc3_ir F160W")
    for mask in cosmic_ray_masks(images):
        assert (mask.how, mask.n_struck, mask.mask.any()) == ("not done", 0, False)
        assert "ramps" in mask.remark


def test_a_new_star_of_another_epoch_is_spared():
    images, _, _ = _field(2, rays=0)
    images[1] = replace(images[1], mjd=images[0].mjd + 400)
    new = _stars(np.array([80.2]), np.array([90.3]), np.array([20000.0]), 0.8)
    images[0].data_e[...] += new.astype(np.float32)
    assert not cosmic_ray_masks(images)[0].mask[89:92, 79:82].any()


def test_maps_that_are_wrong_are_noticed():
    images, _, (_x, _y, _flux) = _field(2, rays=0)
    images[1] = replace(images[1], pixel_map=images[1].pixel_map.moved(5.0, -4.0))
    first = cosmic_ray_masks(images)[0]
    assert first.how == "laplacian"
    assert "do not match" in first.remark


def test_bright_rays_without_a_star_are_found():
    rng = np.random.default_rng(5)
    images, struck = [], []
    for image in _field(3)[0]:
        hits = np.zeros((N, N))
        hits[tuple(rng.integers(5, N - 5, (2, 60)))] = 5000.0
        data = rng.poisson(SKY_E + hits) + rng.normal(0, READ_NOISE_E, (N, N))
        images.append(replace(image, data_e=data.astype(np.float32)))
        struck.append(hits)
    masks = cosmic_ray_masks(images)
    assert _share_found(masks, struck) > 0.98
    assert all(mask.how == "compared" for mask in masks)


def test_pixels_that_are_not_good_are_not_counted():
    images, _, _ = _field(2)
    images[0].good[:, :80] = False
    assert not cosmic_ray_masks(images)[0].mask[:, :80].any()


def test_a_band_without_a_detector_is_refused():
    images, _, _ = _field(1)
    with pytest.raises(UnusableInput, match="detector"):
        cosmic_ray_masks([replace(images[0], band="F814W")])

"""Shapes of stars, on Gaussians whose moments are known and on real exposures."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS
from scipy.ndimage import shift

from hst_assets.detection import image_planes, sources
from hst_assets.detection.star_shapes import measure_shapes
from hst_assets.detectors import DETECTORS

IR = DETECTORS["wfc3_ir"]  # without cosmic rays
SIDE = 500
FWHM_OF_SIGMA = 2.3548


def sky(*, skew=0.0, scale=1.0):
    """A WCS with the detector's pixels; `skew` turns the y axis from the x axis' normal (rad)."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix = (30.0, -40.0), (SIDE / 2, SIDE / 2)
    step = IR.pixel_scale_arcsec * scale / 3600
    wcs.wcs.cd = step * np.array([[-1.0, -np.sin(skew)], [0.0, np.cos(skew)]])
    return wcs


def image(covariance, *, seed=1, n=100, double=(0.0, 0.0), share=0.0, noise=1.0):
    """Gaussian stars, no two close; each maybe twice.

    Of one covariance matrix (pixels squared), or one for each.
    """
    rng = np.random.default_rng(seed)
    cells = rng.permutation(18 * 18)[:n]
    xy = 30 + 25.0 * np.column_stack([cells % 18, cells // 18]) + rng.uniform(-4, 4, (n, 2))
    flux = 10 ** rng.uniform(3.6, 5, n)
    data = rng.normal(0, noise, (SIDE, SIDE))
    each = np.broadcast_to(covariance, (n, 2, 2))
    offset = np.arange(-12, 13)
    for (x, y), total, inverse in zip(xy, flux, np.linalg.inv(each), strict=True):
        ix, iy = round(x), round(y)
        for part, (mx, my) in ((1 - share, (0.0, 0.0)), (share, double)):
            dx, dy = offset[None, :] + ix - x - mx, offset[:, None] + iy - y - my
            power = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
            star = np.exp(-0.5 * power) * np.sqrt(np.linalg.det(inverse)) / (2 * np.pi)
            data[iy - 12 : iy + 13, ix - 12 : ix + 13] += part * total * star
    return data


def plane_of(data, wcs=None, *, extver=1):
    nothing = np.zeros(data.shape, dtype=bool)
    return image_planes.Plane(data, nothing, nothing, nothing, wcs or sky(), extver=extver)


def measured(data, wcs=None):
    return measured_planes([plane_of(data, wcs)])


def measured_planes(planes, detector=IR):
    ready = [sources.prepare(plane, fwhm_pix=2.0) for plane in planes]
    return measure_shapes(planes, ready, detector, fwhm_pix=2.0)


def test_width_and_elongation_of_gaussians_are_theirs():
    sigma = 1.1, 0.8
    shapes = measured(image(np.diag(np.square(sigma))))
    # The window holds no neighbour and much light: 2 per cent are its pixels.
    assert shapes.fwhm_pix == pytest.approx(FWHM_OF_SIGMA * np.sqrt(1.1 * 0.8), rel=0.02)
    assert shapes.elongation == pytest.approx(1.1 / 0.8, rel=0.02)
    assert shapes.n_stars > 80
    assert not shapes.reason
    assert 0 < shapes.elongation_error < 0.02


@pytest.mark.parametrize("fwhm_pix", [1.3, 1.6, 2.0, 2.5])
def test_faint_stars_are_as_wide_as_bright_ones(fwhm_pix):
    """Else a short exposure would look out of focus beside a deep one.

    At 10 to 40 times the noise of a pixel; 5 per cent are a third of what the gate admits.
    """
    covariance = np.eye(2) * (fwhm_pix / FWHM_OF_SIGMA) ** 2
    # The faintest of `image` has a peak of 0.88 * 10**3.6 / fwhm**2.
    noise = 0.88 * 10**3.6 / fwhm_pix**2 / 17
    faint, bright = (measured(image(covariance, noise=each, seed=3)) for each in (noise, 1.0))
    assert faint.n_stars > 30
    assert faint.fwhm_pix == pytest.approx(bright.fwhm_pix, rel=0.05)


@pytest.mark.parametrize("angle_deg", [0, 45, 70, 110])
def test_the_direction_is_measured_and_does_not_matter(angle_deg):
    """Of the major axis, from y."""
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    turn = np.array([[cos, -sin], [sin, cos]])
    shapes = measured(image(turn @ np.diag([0.64, 1.21]) @ turn.T))
    assert shapes.elongation == pytest.approx(1.375, rel=0.02)
    assert shapes.angle_deg == pytest.approx(min(angle_deg, 180 - angle_deg), abs=1.0)
    along, across = (turn @ np.diag([0.64, 1.21]) @ turn.T)[[1, 0], [1, 0]]
    assert shapes.along_y == pytest.approx(np.sqrt(along / across), rel=0.02)


def test_stars_are_round_on_the_sky_not_in_skewed_pixels():
    wcs = sky(skew=0.2)
    jacobian = wcs.wcs.cd / np.sqrt(abs(np.linalg.det(wcs.wcs.cd)))
    inverse = np.linalg.inv(jacobian)
    shapes = measured(image(inverse @ inverse.T), wcs)
    assert shapes.elongation == pytest.approx(1.0, abs=0.02)


def test_noise_does_not_elongate():
    shapes = measured(image(np.eye(2), noise=20.0))
    assert not shapes.reason
    assert shapes.elongation < 1.06
    assert shapes.elongation - 1 < 4 * shapes.elongation_error + 0.02


@pytest.mark.parametrize("direction", [(2.5, 0.0), (0.0, -2.5), (1.77, 1.77)])
def test_doubled_stars_are_elongated_and_wide(direction):
    single = measured(image(np.eye(2) * 0.75))
    double = measured(image(np.eye(2) * 0.75, double=direction, share=0.3))
    assert single.elongation < 1.03
    assert double.elongation > 1.4
    assert double.fwhm_pix > 1.2 * single.fwhm_pix


def test_a_trail_longer_than_the_window_is_very_elongated():
    data = image(np.eye(2) * 0.75, noise=0.0)
    trailed = np.mean([shift(data, (step, 0.4 * step), order=1) for step in range(12)], axis=0)
    trailed += np.random.default_rng(2).normal(0, 1.0, data.shape)
    assert measured(trailed).elongation > 2.0


def with_charge_lost(data, share):
    """Leave up to a share of the charge behind, in proportion to the rows it is moved over.

    It comes out over the next pixels, away from the register at row 0: e-fold in 3.
    """
    steps = np.arange(1, 12)
    freed = np.exp(-steps / 3.0) / np.exp(-steps / 3.0).sum()
    late = sum(part * np.roll(data, step, axis=0) for step, part in zip(steps, freed, strict=True))
    left = share * (np.arange(len(data)) / len(data))[:, None]
    return (1 - left) * data + left * late


def noisy(data):
    return data + np.random.default_rng(4).normal(0, 1.0, data.shape)


def test_lost_charge_elongates_along_y_and_less_near_the_register():
    shapes = measured(noisy(with_charge_lost(image(np.eye(2) * 0.6, noise=0.0), 0.5)))
    assert shapes.along_y == pytest.approx(shapes.elongation, abs=0.01)
    assert shapes.angle_deg < 2
    assert shapes.along_y > 1.2
    # In proportion to the rows, half of it; the window sees long trails less.
    assert 0.2 < (shapes.near_register - 1) / (shapes.along_y - 1) < 0.7


def test_doubled_stars_are_so_near_the_register_too():
    shapes = measured(image(np.eye(2) * 0.75, double=(0.0, 2.5), share=0.3))
    assert shapes.near_register == pytest.approx(shapes.along_y, rel=0.02)


def turned():
    """The sky of a chip that is turned by 90 degrees."""
    wcs = sky()
    wcs.wcs.cd = wcs.wcs.cd @ np.array([[0.0, -1.0], [1.0, 0.0]])
    return wcs


def test_lost_charge_is_found_along_y_of_each_chip_as_they_are_turned():
    data = [image(np.eye(2) * 0.6, noise=0.0, seed=seed) for seed in (1, 2, 3)]
    chips = [noisy(with_charge_lost(each, 0.5)) for each in data]
    planes = [plane_of(*each) for each in zip(chips, [sky(), turned(), sky()], strict=True)]
    shapes = measured_planes(planes)
    assert shapes.angle_deg < 2
    assert shapes.along_y > 1.2
    assert shapes.elongation < shapes.along_y - 0.05


def test_the_register_is_at_either_end():
    data = with_charge_lost(image(np.eye(2) * 0.6, noise=0.0), 0.5)
    upright, upside_down = (measured(noisy(each)) for each in (data, data[::-1]))
    assert upside_down.near_register == pytest.approx(upright.near_register, rel=0.02)


def test_the_registers_of_two_chips_are_at_their_outer_sides():
    data = with_charge_lost(image(np.eye(2) * 0.6, noise=0.0), 0.5)
    chips = [plane_of(noisy(data)), plane_of(noisy(data[::-1]), extver=2)]
    together = measured_planes(chips, replace(IR, n_chips=2))
    assert together.near_register == pytest.approx(measured(noisy(data)).near_register, rel=0.02)


def test_neighbours_do_not_count():
    data = image(np.eye(2), n=100)
    crowd = image(np.eye(2), seed=9, n=160, noise=0.0)
    assert measured(data + crowd).elongation < 1.05


def test_few_stars_are_not_measured():
    shapes = measured(image(np.eye(2), n=9))
    assert shapes.reason == "9 stars stand alone, 10 needed"
    assert np.isnan(shapes.fwhm_pix)
    assert np.isnan(shapes.elongation)


def test_sources_of_all_sizes_are_not_measured():
    rng = np.random.default_rng(3)
    data = rng.normal(0, 0.1, (SIDE, SIDE))
    for seed, variance in enumerate(np.geomspace(0.3, 3.0, 14)):
        data += image(np.eye(2) * variance, seed=seed, n=2, noise=0.0)
    shapes = measured(data)
    assert "have the same size" in shapes.reason


def test_galaxies_are_no_stars():
    shapes = measured(image(np.eye(2) * 9.0))
    assert shapes.reason == "0 stars stand alone, 10 needed"


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("n_stars", [0, 16])
def test_galaxies_are_told_from_stars_by_their_directions(seed, n_stars):
    """Of axis ratios 0.25 to 1, and about 1.7 times as wide as the stars, of 1.65 pixels."""
    rng = np.random.default_rng(seed)
    n_galaxies = 84
    angle, ratio = rng.uniform(0, np.pi, n_galaxies), rng.uniform(0.25, 1, n_galaxies)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = np.moveaxis(turn, -1, 0)
    light = np.exp(rng.normal(-0.1, 0.4, n_galaxies))[:, None] * np.column_stack([1 / ratio, ratio])
    galaxies = np.eye(2) * 0.49 + (turn * light[:, None, :]) @ np.swapaxes(turn, 1, 2)
    covariances = np.concatenate([galaxies, np.tile(np.eye(2) * 0.49, (n_stars, 1, 1))])
    shapes = measured(image(covariances, n=len(covariances), seed=seed))
    if n_stars:
        assert shapes.fwhm_pix == pytest.approx(FWHM_OF_SIGMA * 0.7, rel=0.03)
    else:
        assert "each is elongated in its own direction" in shapes.reason


def test_chips_of_other_pixels_are_left_out():
    assert measured(image(np.eye(2)), sky(scale=0.46)).n_stars == 0


def test_the_record_keeps_what_was_not_measured():
    shapes = measured(image(np.eye(2), n=3))
    assert type(shapes).from_json(shapes.as_json()).reason == shapes.reason
    assert np.isnan(type(shapes).from_json(shapes.as_json()).fwhm_pix)


# ------------------------------------------------------------------------------ real exposures


def real_shapes(path, detector, *, double=None):
    quality = path.with_name(path.name.replace("_c0m", "_c1m"))
    planes = image_planes.exposure_planes(path, quality, detector)
    for plane in planes if double else []:
        data = np.nan_to_num(plane.data)
        plane.data[:] = 0.7 * data + 0.3 * shift(data, double, order=3, mode="nearest")
    ready = [
        sources.prepare(plane, fwhm_pix=detector.fwhm_pix, detector=detector) for plane in planes
    ]
    return measure_shapes(planes, ready, detector, fwhm_pix=detector.fwhm_pix)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "key", "fwhm_pix"),
    [
        # As they were measured: the limits of the gate stand between these and the doubled ones.
        ("acs_hrc_47tuc/j8bt06nyq_flt.fits", "acs_hrc", 2.47),
        ("acs_hrc_47tuc/j8bt05njq_flt.fits", "acs_hrc", 2.57),
        # Its bright stars have bled, and no pixel is flagged so.
        ("acs_hrc_47tuc/j8bt06o6q_flt.fits", "acs_hrc", 2.54),
        ("wfpc2_omegacen/u40x010hm_c0m.fits", "wfpc2", 1.68),
    ],
)
def test_real_stars_are_round_and_doubled_ones_are_not(real_data, name, key, fwhm_pix):
    detector = DETECTORS[key]
    single = real_shapes(real_data / name, detector)
    assert single.elongation < 1.05
    assert single.fwhm_pix == pytest.approx(fwhm_pix, abs=0.06)
    # The least favourable direction on ACS/HRC.
    double = real_shapes(real_data / name, detector, double=(2.17, -1.25))
    assert double.elongation - 2 * double.elongation_error > 1.3
    assert double.fwhm_pix > 1.2 * single.fwhm_pix


@pytest.mark.real_data
def test_a_real_field_of_few_stars_and_many_cosmic_rays_is_not_measured(real_data):
    path = real_data / "wfc3_uvis_2013fy27/idsj02axq_flc.fits"
    assert "stand alone, 10 needed" in real_shapes(path, DETECTORS["wfc3_uvis"]).reason

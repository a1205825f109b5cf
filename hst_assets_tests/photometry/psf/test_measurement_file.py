"""What a measurement keeps: written, read back, refused."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.psf.fitted_stars import FitParameters
from hst_assets.photometry.psf.measure_parameters import MeasureParameters
from hst_assets.photometry.psf.measurement import measure_target
from hst_assets.photometry.psf.measurement_file import MeasurementFile
from hst_assets.photometry.psf.moved_image import moved, shift_of
from hst_assets.photometry.psf.tiles import ChipInMemory
from hst_assets_tests.photometry.psf.known_fields import KEY, SKY_E, gaussian_psf, known_field


@pytest.fixture
def kept():
    field = known_field([20.5, 60.0], [30.0, 70.25], np.full((2, 2), 500.0), n_images=2)
    first, second = field.kept.images
    first.sky.add(np.full((100, 100), 2.5, np.float32), (0, 0))
    changed = replace(first, shift_pix=(0.03, -0.07), rays=np.array([3, 70000]))
    parameters = MeasureParameters(fit=FitParameters(final_snr=4.0), noise_mult=0.03)
    psfs = {KEY: replace(field.kept.psfs[KEY], width_error_pix2=0.01)}
    return replace(field.kept, images=(changed, second), psfs=psfs, parameters=parameters)


def test_all_of_it_comes_back(kept, tmp_path):
    back = MeasurementFile.load(kept.save(tmp_path / "dp0000.psf.h5"))
    assert back.parameters == kept.parameters
    assert (back.remarks, back.engine) == (kept.remarks, kept.engine)
    assert back.x.tolist() == kept.x.tolist()
    assert back.y.tolist() == kept.y.tolist()
    assert back.counts_e.tolist() == kept.counts_e.tolist()
    psf, was = back.psfs[KEY], kept.psfs[KEY]
    assert np.array_equal(psf.coefficients, was.coefficients)
    assert (psf.cell_pix, psf.radius_pix) == (was.cell_pix, was.radius_pix)
    assert psf.width_error_pix2 == was.width_error_pix2 > 0
    for image, before in zip(back.images, kept.images, strict=True):
        for name in ("name", "psf_key", "shape", "shift_pix", "aperture_correction_mag"):
            assert getattr(image, name) == getattr(before, name)
        assert image.rays.tolist() == before.rays.tolist()
        assert np.array_equal(image.sky.total_e, before.sky.total_e)


def test_rows_of_a_star_that_moves_come_back(kept, tmp_path):
    moving = replace(kept, only_on=np.array([0, 1]), star=np.array([4, 4]))
    back = MeasurementFile.load(moving.save(tmp_path / "dp0000.psf.h5"))
    assert back.image_of_row.tolist() == [0, 1]
    assert back.star_of_row.tolist() == [4, 4]


def test_of_an_earlier_file_all_stars_are_at_rest(kept, tmp_path):
    path = kept.save(tmp_path / "dp0000.psf.h5")
    with h5py.File(path, "a") as file:
        del file["stars/only_on"], file["stars/star"]
    back = MeasurementFile.load(path)
    assert back.image_of_row.tolist() == [-1, -1]
    assert back.star_of_row.tolist() == [0, 1]


def test_rows_that_do_not_fit_the_stars_are_refused(kept, tmp_path):
    path = kept.save(tmp_path / "dp0000.psf.h5")
    with h5py.File(path, "a") as file:
        del file["stars/only_on"]
        file["stars/only_on"] = np.array([-1])
    with pytest.raises(UnusableInput, match="do not fit each other"):
        MeasurementFile.load(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_off_is_refused_by_name(kept, tmp_path, share):
    path = kept.save(tmp_path / "dp0000.psf.h5")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnusableInput, match=r"dp0000\.psf\.h5.*damaged"):
        MeasurementFile.load(path)


def test_a_file_without_a_psf_is_refused(kept, tmp_path):
    path = kept.save(tmp_path / "dp0000.psf.h5")
    with h5py.File(path, "a") as file:
        del file["psfs/0000"]
    with pytest.raises(UnusableInput, match="no PSF of"):
        MeasurementFile.load(path)


def test_another_layout_is_refused(kept, tmp_path):
    path = kept.save(tmp_path / "dp0000.psf.h5")
    with h5py.File(path, "a") as file:
        file.attrs["layout"] = 0
    with pytest.raises(UnusableInput, match="another version"):
        MeasurementFile.load(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(MissingProduct, match="Materialize dolphot_catalog"):
        MeasurementFile.load(tmp_path / "dp0000.psf.h5")


def test_other_images_are_refused(kept):
    sources = known_field([], [], np.empty((2, 0)), n_images=2).sources
    assert shift_of(kept.moved(sources)[0]) == (0.03, -0.07)
    with pytest.raises(UnusableInput, match="not those of the measurement"):
        kept.moved(sources[::-1])
    with pytest.raises(UnusableInput, match="not those of the measurement"):
        kept.moved(sources[:1])


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A field measured for real: 6 e of sky that no one knew of, a cosmic ray, a shifted image."""
    rng = np.random.default_rng(8)
    x, y = rng.uniform(15, 185, 40), rng.uniform(15, 165, 40)
    field = known_field(x, y, np.full((4, 40), 3000.0), left_over_sky_e=6.0)
    ray = field.sources[1].image.data_e.copy()
    ray[100, 50:53] += 4000
    sources = [*field.sources]
    sources[1] = ChipInMemory(replace(field.sources[1].image, data_e=ray), KEY)
    sources[2] = moved(sources[2], 0.08, -0.05)  # its map leads astray
    folder = tmp_path_factory.mktemp("measured")
    parameters = MeasureParameters(tile_pix=120, aperture_radius_arcsec=0.3)
    return measure_target(sources, {KEY: gaussian_psf()}, folder=folder, parameters=parameters)


def test_the_measurement_keeps_its_stars_and_sky(measured):
    """Sky to 0.7 e: its error is 8.3 e over the root of a mesh's 1400 pixels, and meshes differ."""
    kept = measured.kept
    assert np.array_equal(kept.x, measured.x)
    for image in kept.images:
        off = abs(image.sky.at(slice(0, 180), slice(0, 200)) - 6.0)
        assert np.percentile(off, 95) < 1.2  # beside stars it also has what the PSF does not
        assert image.sky.at(slice(0, 180), slice(0, 200)).mean() == pytest.approx(6.0, abs=0.7)
    near = abs(measured.sky_e - (SKY_E + 6))[np.isfinite(measured.counts_error_e)]
    assert near.max() < 1.5


def test_the_measurement_keeps_its_cosmic_rays(measured):
    rows, columns = np.divmod(measured.kept.images[1].rays, 1 << 16)
    assert {(100, 50), (100, 51), (100, 52)} <= set(
        zip(rows.tolist(), columns.tolist(), strict=True)
    )


def test_the_measurement_keeps_its_shifts(measured):
    """The shift takes back what the map was off, to 0.01 pixel: 40 stars of 0.03 pixel each."""
    found = np.array([image.shift_pix for image in measured.kept.images])
    relative = found - found[[0, 1, 3]].mean(axis=0)
    assert relative[2] == pytest.approx([0.08 - 0.08, -0.05 + 0.05], abs=0.02)

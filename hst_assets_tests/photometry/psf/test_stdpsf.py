import numpy as np
import pytest
from astropy.io import fits

from hst_assets.failures import MissingProduct, UnusableInput
from hst_assets.photometry.psf.prior_psf import prior_psf
from hst_assets.photometry.psf.stdpsf import CELL_PIX, read_stdpsf

AT = np.arange(-50, 51) / 4
R2 = AT**2 + AT[:, None] ** 2
SHAPE = (2051, 4096)


@pytest.fixture(scope="module")
def prior():
    return prior_psf("wfc3_uvis", pivot_um=0.6, bandwidth_um=0.06, radius_pix=13)


def gauss(sigma_pix):
    return np.exp(-R2 / (2 * sigma_pix**2)) / (2 * np.pi * sigma_pix**2)


def write_uvis(path, sigma_of, *, nx=7, ny=8):
    """A file of WFC3/UVIS whose widths follow the place, 1-based, both chips stacked in Y."""
    x = np.linspace(1, 4096, nx).round().astype(int)
    y = np.concatenate([np.linspace(1, 2048, ny // 2), np.linspace(2049, 4096, ny // 2)])
    y = y.round().astype(int)
    cube = np.array([gauss(sigma_of(i, j)) for j in y for i in x])
    header = fits.Header({"NXPSFS": nx, "NYPSFS": ny})
    header.update({f"IPSFX{k:02d}": int(v) for k, v in enumerate(x, 1)})
    header.update({f"JPSFY{k:02d}": int(v) for k, v in enumerate(y, 1)})
    fits.writeto(path, cube.astype(np.float32), header)
    return path


def read(path, prior, chip=2):
    return read_stdpsf(path, detector="wfc3_uvis", chip=chip, shape=SHAPE, prior=prior)


def test_widths_follow_the_place_on_the_chip(tmp_path, prior):
    path = write_uvis(tmp_path / "STDPSF_WFC3UV_F606W.fits", lambda x, y: 0.8 + 0.4 * x / 4096)
    psf = read(path, prior)
    assert max(psf.cell_pix) <= CELL_PIX
    peaks = psf.coefficients[0, :, psf.middle, psf.middle]
    assert (np.diff(peaks) < 0).all()


@pytest.mark.parametrize(("chip", "sigma"), [(2, 0.8), (1, 1.2)])
def test_the_lower_half_is_chip_2(tmp_path, prior, chip, sigma):
    path = write_uvis(tmp_path / "STDPSF_WFC3UV_F606W.fits", lambda x, y: 0.8 if y < 2049 else 1.2)
    psf = read(path, prior, chip)
    values = psf.at(np.array([0.0, 1.0]), np.zeros(2))
    # The ratio does not depend on the scale.
    assert values[1] / values[0] == pytest.approx(np.exp(-1 / (2 * sigma**2)), rel=1e-3)


def test_light_and_wings_are_the_priors(tmp_path, prior):
    psf = read(write_uvis(tmp_path / "STDPSF_WFC3UV_F606W.fits", lambda x, y: 1.0), prior)
    at = np.arange(-9.0, 10.0)
    dx, dy = np.meshgrid(at, at)
    assert psf.at(dx, dy).sum() == pytest.approx(prior.at(dx, dy).sum(), rel=1e-6)
    far = np.array([12.0]), np.array([3.0])
    assert psf.at(*far) == pytest.approx(prior.at(*far), rel=1e-3)


def test_files_of_another_kind_are_named(tmp_path, prior):
    path = write_uvis(tmp_path / "STDPSF_WFC3UV_F606W.fits", lambda x, y: 1.0)
    with pytest.raises(UnusableInput, match="acs_wfc"):
        read_stdpsf(path, detector="acs_wfc", chip=1, shape=SHAPE, prior=prior)
    with pytest.raises(MissingProduct, match="nowhere"):
        read(tmp_path / "nowhere.fits", prior)
    text = tmp_path / "text.fits"
    text.write_text("no FITS file")
    with pytest.raises(UnusableInput, match=r"text\.fits"):
        read(text, prior)

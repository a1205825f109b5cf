"""What is said about exposures that failed, from their pixels and header alone."""

import numpy as np
import pytest
from astropy.io import fits

from hst_assets.astrometry import exposure_field
from hst_assets.astrometry.exposure_field import likely_cause, read_field, shapes_of_planes
from hst_assets.astrometry.working_copy import WorkingCopy
from hst_assets.detection.star_shapes import StarShapes
from hst_assets.detectors import DETECTORS
from hst_assets.settings import AlignmentSettings, GateSettings

CATALOGUE = "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: ra, datatype: float64}\n"
CATALOGUE += "# - {name: dec, datatype: float64}\nra dec\n"


@pytest.fixture
def cause_of(tmp_path):
    """Write an exposure of 64 x 64 pixels with these planes; return what is said of it."""

    def cause(data, dq=None, *, stars=((150.1, 2.2),), **primary):
        flags = np.zeros(data.shape, np.int16) if dq is None else dq
        science = fits.ImageHDU(data.astype(np.float32), name="SCI")
        science.header.update(
            {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.1, "CRVAL2": 2.2}
            | {"CRPIX1": 32.0, "CRPIX2": 32.0, "CD1_1": -1.1e-5, "CD2_2": 1.1e-5}
        )
        head = fits.PrimaryHDU()
        head.header.update(primary)
        path = tmp_path / "x_flc.fits"
        fits.HDUList([head, science, fits.ImageHDU(flags, name="DQ")]).writeto(path)
        table = tmp_path / "stars.ecsv"
        table.write_text(CATALOGUE + "".join(f"{ra} {dec}\n" for ra, dec in stars))
        field = read_field(
            WorkingCopy.at(path), DETECTORS["wfc3_uvis"], "x", table, AlignmentSettings()
        )
        return likely_cause(field)

    return cause


@pytest.fixture
def noise():
    return np.random.default_rng(4).normal(10, 2, (64, 64))


def test_nothing_is_said_of_an_exposure_like_others(cause_of, noise):
    assert cause_of(noise, MTFLAG="F") == ""


def test_a_reference_out_of_reach(cause_of, noise):
    assert "no reference star within the search radius" in cause_of(noise, stars=[(150.1, 2.3)])


@pytest.mark.parametrize("value", ["T", True])
def test_a_moving_target(cause_of, noise, value):
    assert "moving target" in cause_of(noise, MTFLAG=value)


def test_the_share_of_bad_pixels(cause_of, noise):
    dq = np.zeros((64, 64), np.int16)
    dq[:32] = 4
    assert cause_of(noise, dq) == "50% of its pixels are bad or have no value"


def test_the_share_of_saturated_pixels(cause_of, noise):
    dq = np.zeros((64, 64), np.int16)
    dq[:16] = 256
    assert cause_of(noise, dq) == "25% of its pixels are saturated"


def test_no_value_anywhere_and_one_value_everywhere_are_told_apart(cause_of):
    assert cause_of(np.full((64, 64), np.nan)) == "100% of its pixels are bad or have no value"


def test_one_value_everywhere(cause_of):
    assert cause_of(np.zeros((64, 64))) == "all its pixels have the same value"


@pytest.mark.parametrize(
    ("key", "primary", "state"),
    [
        ("acs_hrc", {}, "doubtful"),
        ("wfpc2", {}, "doubtful"),
        ("acs_wfc", {"PCTECORR": "OMIT"}, "doubtful"),
        ("acs_wfc", {"PCTECORR": "COMPLETE"}, "bad"),
        # Not known is not "not corrected".
        ("acs_wfc", {}, "bad"),
        ("wfc3_ir", {}, "bad"),
    ],
)
def test_trails_along_y_are_a_doubt_where_charge_is_not_corrected(
    tmp_path, monkeypatch, key, primary, state
):
    trails = StarShapes(
        50, 2.0, 0.01, elongation=1.4, elongation_error=0.01, angle_deg=1.0,
        along_y=1.4, along_y_error=0.01, near_register=1.1, near_register_error=0.01,
    )  # fmt: skip
    monkeypatch.setattr(exposure_field, "measure_shapes", lambda *_, **__: trails)
    path = tmp_path / "a_flc.fits"
    fits.PrimaryHDU(header=fits.Header(primary)).writeto(path)
    verdict = shapes_of_planes(
        WorkingCopy(path, path), [], [], DETECTORS[key],
        how=AlignmentSettings(), limits=GateSettings(),
    )  # fmt: skip
    assert verdict.state == state

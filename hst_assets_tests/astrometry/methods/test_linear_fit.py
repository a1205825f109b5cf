import numpy as np
import pytest

from hst_assets.astrometry.methods.linear_fit import fit_linear
from hst_assets.failures import UnusableInput

GEOMETRIES = ["shift", "rshift", "rscale", "general"]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_map_is_found_and_outliers_are_left_out(geometry):
    rng = np.random.default_rng(5)
    image = rng.uniform(0, 1000, (50, 2))
    angle, scale = {"shift": (0, 1), "rshift": (1e-3, 1)}.get(geometry, (1e-3, 1.0002))
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    true = np.array([[cos, -sin], [sin, cos]])
    reference = image @ true.T + [3.0, -2.0] + rng.normal(0, 0.01, image.shape)
    reference[7] += 5.0
    matrix, shift, used = fit_linear(image, reference, geometry, name="a")
    assert not used[7]
    assert used.sum() >= 45
    # The error of a star over the root of their number, with a margin.
    assert image @ matrix.T + shift == pytest.approx(image @ true.T + [3.0, -2.0], abs=0.01)


@pytest.mark.parametrize("geometry", ["rscale", "general"])
def test_stars_at_one_place_are_refused_by_name(geometry):
    one_place = np.full((12, 2), 100.0)
    with pytest.raises(UnusableInput, match="there is no fit") as error:
        fit_linear(one_place, one_place + 1, geometry, name="isim01a0q")
    assert error.value.where == "isim01a0q"


def test_stars_on_a_line_have_no_general_fit():
    line = np.column_stack([np.arange(12.0), 2 * np.arange(12.0)])
    with pytest.raises(UnusableInput, match="there is no fit"):
        fit_linear(line, line, "general", name="isim01a0q")

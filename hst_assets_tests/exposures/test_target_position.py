import numpy as np
import pytest

from hst_assets.exposures.bounded_verification import Verified
from hst_assets.exposures.target_position import (
    elsewhere,
    fields_of,
    median_position,
    spread_deg,
)

SIDE_DEG = 0.05


def exposure(rootname, ra, dec=0.0, target=None):
    """A square field about a position near the equator."""
    half = SIDE_DEG / 2
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    square = corners + np.array([ra, dec])
    square[:, 0] %= 360.0
    return Verified(rootname, rootname[:6], *(target or (ra, dec)), [square])


def names(fields):
    return [[member.rootname for member in field] for field in fields]


def test_the_median_does_not_mind_ra_zero():
    exposures = [exposure(f"jaaa01a{n}q", ra) for n, ra in enumerate((359.99, 0.01, 0.02))]
    assert median_position(exposures) == pytest.approx({"ra_deg": 0.01, "dec_deg": 0.0})


def test_a_mosaic_is_one_field_and_galaxies_are_several():
    mosaic = [exposure(f"jaaa01a{n}q", 359.98 + 0.04 * n) for n in range(4)]
    far = exposure("jbbb01aaq", 100.0)
    parallel = exposure("ibbb01aaq", 0.04, dec=0.2)
    fields = fields_of([mosaic[0], far, mosaic[2], parallel, mosaic[3], mosaic[1]])
    assert names(fields)[0] == ["jaaa01a0q", "jaaa01a2q", "jaaa01a3q", "jaaa01a1q"]
    assert sorted(names(fields)[1:]) == [["ibbb01aaq"], ["jbbb01aaq"]]


def test_how_far_fields_are_apart():
    # The middle of each lies on the equator.
    assert spread_deg([exposure("jaaa01aaq", 10.0), exposure("jbbb01aaq", 110.0)]) == (
        pytest.approx(100.0, abs=1e-6)
    )


def test_exposures_of_another_field_are_told_with_their_distance():
    exposures = [
        exposure("jaaa01aaq", 10.0),
        # The target is off the edge, but by less than half a diagonal (0.035 deg): this field.
        exposure("jaaa01abq", 10.05),
        exposure("jaaa01acq", 10.1),
        exposure("jbbb01aaq", 87.0),
    ]
    found = elsewhere(exposures, 10.0, 0.0)
    assert [other.rootname for other in found] == ["jbbb01aaq", "jaaa01acq"]
    # From the edge; beyond 10 deg a footprint is measured as a circle about its middle.
    assert found[0].distance_deg == pytest.approx(77.0 - SIDE_DEG / np.sqrt(2), abs=1e-3)
    assert found[1].distance_deg == pytest.approx(0.1 - SIDE_DEG / 2, abs=1e-4)

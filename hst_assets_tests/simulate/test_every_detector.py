"""Each detector of the registry can be simulated: no table of the simulator lacks its row."""

import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.simulate.bands import BANDS
from hst_assets.simulate.distortion import GEOMETRIES
from hst_assets.simulate.drizzled_image import APERTURES
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.psf import DIFFUSION_PIX
from hst_assets.simulate.sensor import SENSORS

TABLES = {
    "distortion.GEOMETRIES": GEOMETRIES,
    "sensor.SENSORS": SENSORS,
    "bands.BANDS": BANDS,
    "psf.DIFFUSION_PIX": DIFFUSION_PIX,
    "drizzled_image.APERTURES": APERTURES,
}


@pytest.mark.parametrize("key", DETECTORS)
@pytest.mark.parametrize("table", TABLES)
def test_the_simulator_has_a_row_for_each_detector(table, key):
    assert key in TABLES[table]


@pytest.mark.parametrize("key", DETECTORS)
def test_a_small_campaign_can_be_planned_for_each_detector(key):
    plan = small_plan(key)
    assert {visit.detector_key for visit in plan.visits} == {key}
    assert all(name in BANDS[key] for visit in plan.visits for name in visit.filters)

import dataclasses

import pytest

from hst_assets.simulate.campaign import exposure_plans
from hst_assets.simulate.exposure import render_exposure
from hst_assets.simulate.plans import small_plan
from hst_assets.simulate.scene import Scene, ScenePlan, make_scene

KEYS = ["wfc3_uvis", "wfc3_ir", "acs_wfc", "acs_hrc", "wfpc2"]

EMPTY_SKY = ScenePlan(n_stars=0, n_isolated=0, n_galaxies=0)


@pytest.fixture(scope="session")
def campaign(simulated):
    """A small campaign of one detector on disk, simulated once in a session."""
    return lambda detector_key: simulated(small_plan(detector_key))


@pytest.fixture
def render():
    """Render the first exposure of a small plan, with changes to it, of a scene."""

    def of(detector_key, scene=None, transient=None, **changes):
        plan = small_plan(detector_key)
        exposure = dataclasses.replace(exposure_plans(plan)[0], **changes)
        scene = scene or make_scene(EMPTY_SKY, plan.ra_deg, plan.dec_deg, seed=1)
        return render_exposure(exposure, scene, transient)

    return of


@pytest.fixture
def one_star():
    """A scene with a single star of known magnitude near the aim point."""

    def of(m_ref, east_arcsec=0.3, north_arcsec=-0.4):
        scene = make_scene(
            dataclasses.replace(EMPTY_SKY, n_isolated=1, radius_arcsec=0.01), 150.1, 2.2, seed=1
        )
        stars = scene.stars.copy()
        stars["ra"] = 150.1 + east_arcsec / 3600.0
        stars["dec"] = 2.2 + north_arcsec / 3600.0
        stars["m_ref"], stars["colour"] = m_ref, 0.0
        return Scene(stars, scene.galaxies)

    return of

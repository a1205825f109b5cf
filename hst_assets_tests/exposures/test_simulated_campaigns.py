"""Simulated exposures of every detector pass, as the real ones do."""

import numpy as np
import pytest

from hst_assets.detectors import DETECTORS
from hst_assets.exposures.ingest import ingest
from hst_assets.exposures.raw import check_raw, visits_in
from hst_assets.exposures.table import (
    make_raw_manifest,
    make_target_table,
    make_visit_table,
)
from hst_assets.products.columns import read_table
from hst_assets.settings import load_settings
from hst_assets.simulate.plans import small_plan

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("key", list(DETECTORS))
def test_a_simulated_visit_is_used_wholly(simulated, workdir, key):
    report = ingest([simulated(small_plan(key)).root], workdir)
    assert report.rejected == []
    settings = load_settings(workdir)
    for visit in visits_in(workdir):
        make_raw_manifest(workdir, visit)
        make_visit_table(workdir, visit, settings)
    make_target_table(workdir, visits_in(workdir), settings)
    found = read_table(workdir.target_exposures)
    assert len(found) == 2
    assert found["used"].all()
    assert set(found["detector_key"]) == {key}
    assert np.all(found["target_depth"].value > 1.0)  # well inside
    assert check_raw(workdir, full=True)

"""What alignment leaves between filters and epochs.

All detectors and methods: benchmarks/alignment_accuracy.py.
"""

import pytest

from hst_assets.astrometry.alignment import make_aligned_visit
from hst_assets.astrometry.alignment_table import read_alignment
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.settings import Settings, TargetSettings
from hst_assets.simulate.campaign import simulate_campaign
from hst_assets.simulate.plans import epochs_plan
from hst_assets.simulate.scoring import pair_offsets
from hst_assets.workdir import WorkDir
from hst_assets_tests.astrometry.conftest import prepare

pytestmark = pytest.mark.slow


def test_filters_and_epochs_of_the_coarsest_pixels_agree(tmp_path):
    plan = epochs_plan("wfc3_ir")
    truth = simulate_campaign(plan, tmp_path / "sky", max_cores=2)
    settings = Settings(target=TargetSettings(ra_deg=plan.ra_deg, dec_deg=plan.dec_deg))
    workdir = WorkDir(tmp_path / "root", plan.name)
    _, visits = prepare(workdir, [truth.exposure_folder], settings)
    make_reference(workdir, settings)
    for visit in visits:
        make_aligned_visit(workdir, visit, settings)
        assert set(read_alignment(workdir.visit_alignment(visit))["status"]) == {"PASS"}
    names = {str(row["rootname"]): str(row["file"]) for row in truth.exposures}
    raw = {rootname: truth.exposure_folder / name for rootname, name in names.items()}
    assert pair_offsets(raw, truth)["offset_pix"].max() > 3
    pairs = pair_offsets({r: workdir.aligned(name) for r, name in names.items()}, truth)
    assert pairs["n_stars"].min() > 100
    assert pairs["offset_pix"].max() < 0.05
    # Every star by itself, so that roll errors count.
    assert pairs["median_pix"].max() < 0.05

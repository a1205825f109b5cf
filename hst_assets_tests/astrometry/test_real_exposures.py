"""The alignment of real exposures: what must pass and what must not."""

import numpy as np
import pytest

from hst_assets.astrometry.alignment import make_aligned_visit, read_alignment
from hst_assets.astrometry.reference import make_reference
from hst_assets.astrometry.reference_frame import read_reference
from hst_assets.settings import AlignmentSettings
from hst_assets.workdir import WorkDir

from .conftest import prepare

pytestmark = [pytest.mark.slow, pytest.mark.real_data]


def test_the_47_tuc_pair_aligns_to_a_tenth_of_a_pixel(real_data, tmp_path):
    workdir = WorkDir(tmp_path, "ngc104")
    folder = real_data / "acs_hrc_47tuc"
    settings, (visit,) = prepare(
        workdir, [folder / "j8bt06nyq_flt.fits", folder / "j8bt06o6q_flt.fits"]
    )
    made = make_reference(workdir, settings)
    assert made.facts["n_used"] == 2
    assert made.facts["median_rms_pix"] < 0.1
    make_aligned_visit(workdir, visit, settings)
    table = read_alignment(workdir.visit_alignment(visit))
    assert set(table["status"]) == {"PASS"}
    assert table["n_matches"].min() > 500
    assert max(table["rms_x"].max().value, table["rms_y"].max().value) < 0.1


@pytest.mark.parametrize(
    "options", [{}, {"min_objects": 3, "threshold_sigma": 4.0, "clean_cosmic_rays": False}]
)
def test_the_moving_target_fields_fail_honestly(real_data, tmp_path, options):
    workdir = WorkDir(tmp_path, "fy27")
    settings, (visit,) = prepare(workdir, [real_data / "wfc3_uvis_2013fy27"])
    settings = settings.model_copy(update={"alignment": AlignmentSettings(**options)})
    made = make_reference(workdir, settings)
    assert made.facts["n_used"] == 1
    assert read_reference(workdir).image.is_file()
    make_aligned_visit(workdir, visit, settings)
    table = read_alignment(workdir.visit_alignment(visit))
    anchor = np.asarray(table["rootname"]) == made.facts["anchor"]
    assert set(table["status"][~anchor]) == {"FAIL"}
    assert not table["used"][~anchor].any()
    assert all(table["reason"][~anchor])
    # The one exposure that the frame is made of is on it by definition: too few stars and it
    # says so; with its own cosmic rays for stars it matches itself, without moving.
    (method,), (shift,) = table["method"][anchor], table["shift_ra"][anchor].to_value("arcsec")
    assert method == "anchor" or abs(shift) < 1e-3
    assert table["used"][anchor].all()

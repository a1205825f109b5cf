"""The alignment of real exposures of which no fit may be believed.

Those that align are in real_data/test_whole_graph.py.
"""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from hst_assets.astrometry.alignment import make_aligned_visit
from hst_assets.astrometry.alignment_table import read_alignment
from hst_assets.astrometry.reference.frame import read_reference
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.settings import AlignmentSettings, ReferenceSettings
from hst_assets.workdir import WorkDir
from hst_assets_tests.astrometry.conftest import prepare

pytestmark = [pytest.mark.slow, pytest.mark.real_data]


@pytest.mark.parametrize(
    "options", [{}, {"min_objects": 3, "threshold_sigma": 4.0, "clean_cosmic_rays": False}]
)
def test_the_moving_target_fields_fail_honestly(real_data, tmp_path, options):
    workdir = WorkDir(tmp_path, "fy27")
    # A dither pair and one of another orbit; all eight go through real_data/test_whole_graph.py.
    names = [f"idsj02{which}q_flc.fits" for which in ("ax", "ay", "bm")]
    folder = real_data / "wfc3_uvis_2013fy27"
    settings, (visit,) = prepare(workdir, [folder / name for name in names])
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
    # The one exposure that the frame is made of is on it by definition; that nothing could be
    # aligned to it is said of it.
    assert set(table["method"][anchor]) == {"anchor"}
    assert set(table["status"][anchor]) == {"COMPROMISED"}
    assert "none could be aligned to it" in table["reason"][anchor][0]
    assert table["used"][anchor].all()
    (name,) = table["file"][anchor]
    assert "TWEAKSUC" not in fits.getheader(workdir.aligned(str(name)))


@pytest.mark.parametrize(("six_terms", "geometry"), [("if_needed", "general"), ("never", "rshift")])
def test_the_skew_between_two_pairs_of_hrc_is_fitted(real_data, tmp_path, six_terms, geometry):
    """One axis of j8bt05njq differs by 4.9e-4 from j8bt06nyq's: 0.14 pixel at the edge."""
    workdir = WorkDir(tmp_path, "tuc")
    names = ["j8bt06nyq_flt.fits", "j8bt05njq_flt.fits"]
    folder = real_data / "acs_hrc_47tuc"
    settings, _ = prepare(workdir, [folder / name for name in names])
    settings = settings.model_copy(
        update={
            "alignment": AlignmentSettings(six_terms=six_terms),
            "reference": ReferenceSettings(filter=("F606W",)),
        }
    )
    assert make_reference(workdir, settings).facts["anchor"] == "j8bt06nyq"
    made = make_aligned_visit(workdir, "j8bt05", settings)
    (row,) = read_alignment(workdir.visit_alignment("j8bt05"))
    assert row["status"] == "PASS"
    assert made.facts["tries"]["j8bt05njq"][-1]["fit_geometry"] == geometry
    matches = QTable.read(workdir.exposure_matches("j8bt05njq"), format="ascii.ecsv")
    y, dy = (matches[name].to_value("pix") for name in ("y", "dy"))
    slope = np.polyfit(y, dy, 1)[0]
    if six_terms == "if_needed":
        assert abs(slope) < 2e-5  # 1000 stars of 0.03 pixel over 580 pixels: 6e-6
        assert row["rms_y"].to_value("pix") < 0.04
    else:
        assert slope == pytest.approx(-4.9e-4, abs=3e-5)
        # Which the table tells.
        assert row["tilt"].to_value("pix") > 0.05

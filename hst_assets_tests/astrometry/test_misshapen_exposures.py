"""Exposures with trailed or doubled stars, through reference and alignment."""

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import shift

from hst_assets.astrometry.alignment import make_aligned_visit
from hst_assets.astrometry.alignment_table import read_alignment
from hst_assets.astrometry.reference.image import make_reference
from hst_assets.failures import UnusableReference
from hst_assets.orchestration.checks import STAR_SHAPES
from hst_assets.settings import GateSettings, Settings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.astrometry.conftest import prepare

pytestmark = pytest.mark.slow


def doubled(path, target, *, exptime_s=None):
    """A copy of an exposure with each star twice: 70:30, 2.5 pixels apart."""
    with fits.open(path) as hdus:
        data = hdus["SCI", 1].data
        hdus["SCI", 1].data = 0.7 * data + 0.3 * shift(data, (0.0, 2.5), order=3, mode="nearest")
        if exptime_s:
            hdus[0].header["EXPTIME"] = exptime_s
        hdus.writeto(target)


@pytest.fixture
def three(simulated, tmp_path):
    """A visit of three exposures; the first, which is the deepest, has doubled stars."""
    files = simulated(small_plan("wfc3_ir", n_exposures=3)).science_files()
    folder = tmp_path / "in"
    folder.mkdir()
    exptime = fits.getheader(files[0])["EXPTIME"]
    doubled(files[0], folder / files[0].name, exptime_s=exptime + 1)
    for path in files[1:]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder, files[0].name


def test_doubled_stars_make_no_reference_and_are_left_out(three, tmp_path):
    folder, bad = three
    workdir = WorkDir(tmp_path / "root", "field")
    settings, (visit,) = prepare(workdir, [folder])
    made = make_reference(workdir, settings)
    assert made.facts["anchor"] != bad[:9]
    assert "trailed or double" in made.facts["left_out"][bad]
    assert made.facts["n_used"] == 2
    assert made.facts["star_shapes"] == "good"
    made = make_aligned_visit(workdir, visit, settings)
    table = read_alignment(workdir.visit_alignment(visit))
    is_bad = np.asarray(table["file"]) == bad
    assert set(table["status"][is_bad]) == {"FAIL"}
    assert not table["used"][is_bad].any()
    assert "no fit was tried" in table["reason"][is_bad][0]
    assert table["elongation"][is_bad][0] > 1.5
    assert set(table["status"][~is_bad]) == {"PASS"}
    assert table["used"][~is_bad].all()
    assert set(table["star_shapes"][~is_bad]) == {"good"}
    finding = STAR_SHAPES.judge(made, workdir)
    assert not finding.passed
    assert finding.text.startswith(f"2 good, 1 not, 0 not checked; {bad[:9]}: bad: stars are")


def test_if_all_are_double_no_reference_is_made_of_them(three, tmp_path):
    folder, bad = three
    only = tmp_path / "only"
    only.mkdir()
    (folder / bad).rename(only / bad)
    workdir = WorkDir(tmp_path / "root", "field")
    settings, (visit,) = prepare(workdir, [only])
    with pytest.raises(UnusableReference, match="trailed or double"):
        make_reference(workdir, settings)
    kept = settings.model_copy(update={"gate": GateSettings(max_elongation=5.0)})
    assert isinstance(kept, Settings)
    assert make_reference(workdir, kept).facts["anchor"] == bad[:9]
    make_aligned_visit(workdir, visit, kept)
    (row,) = read_alignment(workdir.visit_alignment(visit))
    assert row["used"]
    assert row["elongation"] > 1.5


def test_stars_wide_beside_the_visits_others_are_left_out(simulated, tmp_path):
    """Round, so that only the others tell: 1.4 times as wide."""
    from scipy.ndimage import gaussian_filter

    files = simulated(small_plan("wfc3_ir", n_exposures=3)).science_files()
    folder = tmp_path / "in"
    folder.mkdir()
    for index, path in enumerate(files):
        with fits.open(path) as hdus:
            if index == 0:
                hdus["SCI", 1].data = gaussian_filter(hdus["SCI", 1].data, 0.7)
            hdus.writeto(folder / path.name)
    workdir = WorkDir(tmp_path / "root", "field")
    settings, (visit,) = prepare(workdir, [folder])
    made = make_reference(workdir, settings)
    assert "times as wide" in made.facts["left_out"][files[0].name]
    make_aligned_visit(workdir, visit, settings)
    table = read_alignment(workdir.visit_alignment(visit))
    wide = np.asarray(table["file"]) == files[0].name
    assert not table["used"][wide].any()
    assert table["used"][~wide].all()
    assert "gate.max_fwhm_ratio is 1.15" in table["reason"][wide][0]

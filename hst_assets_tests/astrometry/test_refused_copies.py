"""What becomes of the aligned copies of exposures that are refused later."""

import pytest
from astropy.table import Table

from hst_assets.astrometry.alignment import make_aligned_visit
from hst_assets.astrometry.alignment_table import read_alignment
from hst_assets.exposures.dq_files import quality_file
from hst_assets.exposures.table import make_visit_table
from hst_assets.settings import AlignmentSettings, Settings
from hst_assets.simulate.plans import small_plan
from hst_assets.workdir import WorkDir
from hst_assets_tests.astrometry.conftest import prepare

SETTINGS = Settings(alignment=AlignmentSettings(skip_tweakreg=True))


@pytest.fixture(scope="module")
def sky(simulated):
    """Two exposures of WFPC2, whose copies are of two files each."""
    return simulated(small_plan("wfpc2"))


@pytest.fixture
def aligned(sky, tmp_path):
    """A work directory with the aligned visit, and the visit."""
    workdir = WorkDir(tmp_path / "root", "field")
    _, (visit,) = prepare(workdir, [sky.exposure_folder], SETTINGS)
    make_aligned_visit(workdir, visit, SETTINGS)
    return workdir, visit


def refuse(workdir, visit, *rootnames):
    """Refuse these exposures, and no others, and align the visit again."""
    workdir.overrides.unlink(missing_ok=True)
    if rootnames:
        table = Table({"rootname": rootnames, "use": [False] * len(rootnames)})
        table["reason"] = ["trailed"] * len(rootnames)
        table.write(workdir.overrides, format="ascii.ecsv")
    make_visit_table(workdir, visit, SETTINGS)
    return make_aligned_visit(workdir, visit, SETTINGS)


def files_of(workdir, name):
    path = workdir.aligned(name)
    return [path, quality_file(path), WorkDir.record(path)]


def test_the_copy_of_a_refused_exposure_goes_with_its_record(aligned):
    workdir, visit = aligned
    gone, stays = (str(name) for name in read_alignment(workdir.visit_alignment(visit))["file"])
    assert all(path.is_file() for path in files_of(workdir, gone))
    refuse(workdir, visit, gone[:9])
    assert not any(path.exists() for path in files_of(workdir, gone))
    assert all(path.is_file() for path in files_of(workdir, stays))
    assert (workdir.raw / gone).is_file()


def test_one_that_comes_back_into_use_is_aligned_again(aligned):
    workdir, visit = aligned
    name = str(read_alignment(workdir.visit_alignment(visit))["file"][0])
    refuse(workdir, visit, name[:9])
    assert refuse(workdir, visit).ran
    assert all(path.is_file() for path in files_of(workdir, name))


def test_a_file_of_that_name_that_no_alignment_made_stays(aligned):
    workdir, visit = aligned
    name = str(read_alignment(workdir.visit_alignment(visit))["file"][0])
    WorkDir.record(workdir.aligned(name)).unlink()
    refuse(workdir, visit, name[:9])
    assert workdir.aligned(name).is_file()

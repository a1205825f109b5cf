import re
import shutil
import subprocess
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.timeseries import BinnedTimeSeries

import hst_assets
from hst_assets.failures import BadConfiguration, MissingProduct
from hst_assets.target_view import as_frame
from hst_assets.workdir import WorkDir
from hst_assets_tests.photometry.light_curve.measured_target import DEC, RA
from hst_assets_tests.shown_target import STACK, shown_target

GUIDE = Path(__file__).parents[1] / "docs" / "guide"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return shown_target(tmp_path_factory.mktemp("view"))


@pytest.fixture(scope="module")
def target(workdir):
    return hst_assets.open_target(workdir.target, workdir.root)


def test_the_position_is_a_coordinate(target):
    assert target.position.separation(SkyCoord(RA, DEC, unit="deg")) < 1e-9 * u.deg


def test_tables_have_units(target):
    assert target.exposures()["exptime"].unit == u.s
    assert list(target.alignment()["status"]) == ["PASS", "PASS", "PASS", "FAIL"]
    assert len(target.exposures(used=True)) == 4
    assert target.completeness()["bright_edge"].unit == u.mag
    assert len(target.counterpart()) == 1


def test_a_frame_has_the_numbers_in_the_units_that_it_names(target):
    frame = as_frame(target.exposures())
    assert frame["exptime"].tolist() == [500.0] * 4
    assert frame.attrs["units"]["exptime"] == "s"
    assert "filter" not in frame.attrs["units"]


def test_the_catalogue_has_positions_and_can_be_cut(target):
    stars = target.catalogue()
    assert len(stars) == len(target.catalogue(cuts=True)) == 40
    assert stars["ra"][0].to_value(u.deg) == pytest.approx(RA, abs=1e-6)


def test_a_light_curve_is_a_series_in_time(target):
    series = target.light_curve(method="catalog", band=("wfc3_uvis", "f606w"))
    assert isinstance(series, BinnedTimeSeries)
    assert np.all(np.diff(series.time_bin_start.mjd) > 0)
    assert series["flux_ujy"].unit == u.uJy
    assert len(series) == 2


def test_what_a_light_curve_has_not_is_said(target):
    with pytest.raises(BadConfiguration, match="method 'none', level 'epoch', place 0"):
        target.light_curve(method="none")


def test_an_image_has_wcs_errors_unit_and_mask(target):
    image = target.image(STACK)
    assert image.unit == u.electron / u.s
    middle = image.wcs.pixel_to_world(12, 12)
    assert middle.separation(target.position) < 0.1 * u.arcsec
    assert image.mask.sum() == 2 * image.shape[1]
    assert np.all(image.uncertainty.array == 0.5)


def test_an_image_that_there_is_not_is_said_with_those_there_are(target):
    with pytest.raises(BadConfiguration, match=f"There are: {STACK} epoch 0"):
        target.image("acs_wfc.f814w")


@pytest.mark.parametrize(
    ("method", "path", "command"),
    [
        ("exposures", "target_exposures", "materialize sn'"),
        ("alignment", "target_alignment", "materialize sn'"),
        ("stacks", "stack_products", "materialize sn'"),
        ("catalogue", "star_catalog", "materialize sn --select dolphot_catalog'"),
        ("light_curve", "light_curve", "materialize sn --select light_curve'"),
        ("counterpart", "counterpart", "materialize sn --select counterpart'"),
        ("completeness", "completeness", "materialize sn --select artificial_stars'"),
    ],
)
def test_what_was_not_made_is_named_with_the_command(workdir, tmp_path, method, path, command):
    shutil.copytree(workdir.root, tmp_path / "root")
    copy = WorkDir(tmp_path / "root", workdir.target)
    getattr(copy, path).unlink()
    with pytest.raises(MissingProduct, match=re.escape(command)):
        getattr(hst_assets.open_target(copy.target, copy.root), method)()


def test_a_target_that_there_is_not(tmp_path):
    with pytest.raises(BadConfiguration, match="no work directory for target 'sn9'"):
        hst_assets.open_target("sn9", tmp_path)


def test_opening_a_target_needs_no_dagster(workdir):
    program = (
        "import sys, hst_assets\n"
        f"hst_assets.open_target({workdir.target!r}, {str(workdir.root)!r}).exposures()\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'dagster'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def run_cells(page, workdir):
    """Run the cells of a page on another target than the page's; the names that they define."""
    cells = re.findall(r"```python\n(.*?)```", (GUIDE / page).read_text(), re.DOTALL)
    assert len(cells) >= 5
    names: dict[str, object] = {}
    for cell in cells:
        of_test = cell.replace('open_target("demo-sn")', f"open_target({workdir.target!r})")
        exec(compile(of_test, page, "exec"), names)
    return names


def test_the_cells_of_the_guide_run_and_give_what_they_say(workdir, monkeypatch):
    monkeypatch.setenv("HST_ASSETS_ROOT", str(workdir.root))
    names = run_cells("from-python.md", workdir)
    assert {"target", "series", "image", "frame", "lineage"} <= set(names)


def test_the_tutorial_makes_its_figure(workdir, tmp_path, monkeypatch):
    monkeypatch.setenv("HST_ASSETS_ROOT", str(workdir.root))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    names = run_cells("tutorial.md", workdir)
    left, right = names["figure"].axes
    assert len(right.containers) == len(set(names["series"]["filter_name"])) == 2
    assert (
        names["stamp"]
        .wcs.pixel_to_world(*left.lines[0].get_xydata()[0])
        .separation(SkyCoord(RA, DEC, unit="deg"))
        < 0.01 * u.arcsec
    )
    assert (tmp_path / "supernova.png").stat().st_size > 10_000
    names["plt"].close(names["figure"])

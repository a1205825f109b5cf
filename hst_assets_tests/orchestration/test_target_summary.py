"""When a kept comparison of a target still stands."""

import os

import pytest

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.target_summary import _record_of_visit, _stamp_of, compared, summary
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path / "root", "sn1").create()


def changed(path):
    """Its modification time is another."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 2_000_000_000))


def test_it_stands_while_nothing_changes(workdir):
    assert _stamp_of(workdir) == _stamp_of(workdir)


def test_it_falls_with_a_file_that_a_setting_names(workdir, tmp_path):
    image = tmp_path / "reference_drc.fits"
    image.write_bytes(b"pixels")
    write_settings(workdir, {"reference": {"image": str(image)}})
    before = _stamp_of(workdir).digest
    changed(image)
    assert _stamp_of(workdir).digest != before


@pytest.mark.parametrize(
    "settings",
    [
        {"reference_files": {"iref": "iref"}},
        {"reference_files": {"jref": "iref"}},
        {"embedded": {"psf_grids": {"wfc3_uvis.f606w": "iref/grid.fits"}}},
    ],
)
def test_it_falls_with_what_a_setting_that_is_relative_to_the_work_directory_names(
    workdir, settings
):
    folder = workdir.base / "iref"
    folder.mkdir()
    (folder / "grid.fits").write_bytes(b"pixels")
    write_settings(workdir, settings)
    before = _stamp_of(workdir).digest
    assert _stamp_of(workdir).digest == before
    # In place: the folder's time stays.
    (folder / "grid.fits").write_bytes(b"others")
    changed(folder / "grid.fits")
    assert _stamp_of(workdir).digest != before


def test_none_is_kept_of_what_is_younger_than_the_file_systems_clock_can_tell(workdir, monkeypatch):
    write_settings(workdir, {"target": {"ra_deg": 10.0, "dec_deg": 20.0}})
    now = workdir.settings_file.stat().st_mtime
    for name in [workdir.base, *workdir.base.rglob("*"), workdir.root]:
        os.utime(name, (now, now))
    # Our clock is ahead: by it everything is old enough.
    monkeypatch.setattr("hst_assets.orchestration.target_summary.time.time", lambda: now + 3600)
    compared(workdir, ASSETS)
    assert not workdir.last_comparison.exists()
    monkeypatch.setattr("hst_assets.orchestration.target_summary.time_in", lambda _: now + 3.0)
    compared(workdir, ASSETS)
    assert workdir.last_comparison.exists()


@pytest.mark.parametrize("name", ["dolphot/inputs", "hap/iaaa01/aligned"])
def test_it_falls_with_what_is_in_folders_below(workdir, name):
    folder = workdir.base / name
    folder.mkdir(parents=True)
    (folder / "chip.fits").write_bytes(b"pixels")
    before = _stamp_of(workdir).digest
    (folder / "chip.fits").unlink()
    changed(folder)
    assert _stamp_of(workdir).digest != before


@pytest.mark.parametrize(
    "row", [row for row in ASSETS if row.path and row.by_visit], ids=lambda row: row.name
)
def test_the_record_of_a_visit_has_the_same_place_in_each_work_directory(row, tmp_path):
    name = _record_of_visit(row.path, "iaaa01")
    for workdir in (WorkDir(tmp_path, "sn1"), WorkDir(tmp_path / "other", "ngc104")):
        assert workdir.base / name == WorkDir.record(row.product(workdir, "iaaa01"))


def test_products_are_counted_by_their_records(workdir):
    counted = summary(workdir, ASSETS)
    assert (counted.n_made, counted.last_made) == (0, "")
    record = WorkDir.record(workdir.target_exposures)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text("{}")
    os.utime(record, (1.7e9, 1.7e9))
    counted = summary(workdir, ASSETS)
    assert (counted.n_made, counted.last_made[:16]) == (1, "2023-11-14T22:13")

import os
from pathlib import Path

import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.workdir import WorkDir, default_root, targets_in


def test_the_folders_are_those_of_the_guide(workdir):
    workdir.create()
    assert sorted(path.name for path in workdir.base.iterdir()) == [
        ".hst123_runfiles", ".mast_download_staging", "drizzle", "logs", "raw", "workspace",
    ]  # fmt: skip


@pytest.mark.parametrize("target", ["..", "a/b", "", "/etc"])
def test_a_target_never_leaves_its_root(tmp_path, target):
    with pytest.raises(BadConfiguration):
        WorkDir(tmp_path, target)


@pytest.mark.parametrize("visit", ["../../x", "J8BT06", ""])
def test_a_visit_never_leaves_the_workspace(workdir, visit):
    for path in (workdir.raw_manifest, workdir.visit_exposures, workdir.visit_alignment):
        with pytest.raises(BadConfiguration):
            path(visit)


def test_every_path_lies_in_the_work_directory(workdir):
    products = [
        workdir.raw_manifest("j8bt06"),
        workdir.visit_exposures("j8bt06"),
        workdir.target_exposures,
        workdir.aligned("../../etc/passwd"),
        workdir.visit_drizzle("j8bt06", "acs_hrc.f606w"),
        workdir.reference_image("acs_hrc.f606w", 3),
        workdir.epoch_stack("acs_hrc.f606w", "020413", 3),
        workdir.filter_stack("acs_hrc.f606w", "47Tuc"),
        workdir.difference("acs_hrc.f606w", 3, 1),
        workdir.difference_products,
        workdir.visit_footprints("j8bt06"),
        workdir.target_footprints,
        workdir.log("drizzle", "field/j8bt06"),
    ]
    assert all(os.path.normpath(path).startswith(f"{workdir.base}/") for path in products)


def test_products_have_the_names_of_the_guide(workdir):
    name = workdir.epoch_stack("wfc3_uvis.f606w", "180601", 7, "SN").name
    assert name == "SN.wfc3_uvis.f606w.ut180601_0007.drc.fits"
    assert workdir.reference_image("wfc3_uvis.f606w", 7).parent == workdir.base
    assert workdir.reference_image("wfc3_uvis.f606w", 7).name == "wfc3_uvis.f606w.ref_0007.drc.fits"


def test_differences_name_both_epochs(workdir):
    name = workdir.difference("wfc3_uvis.f606w", 12, 3, "SN").name
    assert name == "SN.wfc3_uvis.f606w.diff_0012-0003.fits"


def test_relative_and_absolute_are_inverse(workdir, tmp_path):
    for path in (workdir.raw / "x.fits", tmp_path / "elsewhere.fits"):
        assert workdir.absolute(workdir.relative(path)) == path


def test_the_root_is_absolute_wherever_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert WorkDir(Path("data"), "x").base == tmp_path / "data" / "x"


def test_the_root_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HST_ASSETS_ROOT", str(tmp_path / "there"))
    assert default_root() == tmp_path / "there"
    monkeypatch.setenv("HST_ASSETS_ROOT", "")
    monkeypatch.chdir(tmp_path)
    assert default_root() == tmp_path / "data"


def test_targets_are_folders_with_settings(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "target.toml").touch()
    (tmp_path / "deployment").mkdir()
    assert targets_in(tmp_path) == ["a", "b"]
    assert targets_in(tmp_path / "nowhere") == []


def test_a_target_that_was_never_ingested_is_an_error(workdir):
    with pytest.raises(BadConfiguration, match="no work directory for target 'field'") as caught:
        workdir.existing()
    assert "'hst-assets ingest FOLDER --target field'" in str(caught.value)
    assert "'hst-assets target add field RA DEC'" in str(caught.value)

from pathlib import Path

import dagster as dg
import pytest
from astropy import units as u
from astropy.table import QTable

from hst_assets.orchestration.io_managers import PRODUCTS, WorkDirIOManager, product_path
from hst_assets.orchestration.jobs import LEVELS
from hst_assets.orchestration.partitions import hst_target, hst_visit, register
from hst_assets.provenance import Recipe, Result, make
from hst_assets.workdir import WorkDir

VISIT = "sn1/iaaa01"


@pytest.fixture(autouse=True)
def registered(instance):
    register(instance, "sn1", ["iaaa01"])
    with dg.partition_loading_context(dynamic_partitions_store=instance):
        yield


@pytest.fixture
def workdir(tmp_path):
    return WorkDir(tmp_path, "sn1").create()


def manager(workdir, file_format):
    factory = WorkDirIOManager(root=str(workdir.root), format=file_format)
    return factory.create_io_manager(dg.build_init_resource_context())


def saving(asset, partition):
    return dg.build_output_context(
        asset_key=dg.AssetKey(asset),
        partition_key=partition,
        asset_partitions_def=hst_visit if "/" in partition else hst_target,
    )


def loading(asset, partition, as_type):
    return dg.build_input_context(
        asset_key=dg.AssetKey(asset),
        partition_key=partition,
        asset_partitions_def=hst_visit if "/" in partition else hst_target,
        dagster_type=dg.PythonObjectDagsterType(as_type),
    )


def table():
    return QTable({"rootname": ["a", "b"], "exptime": [1.0, 2.5] * u.s})


def test_a_table_is_written_where_the_layout_says_and_comes_back(workdir):
    ecsv = manager(workdir, "ecsv")
    ecsv.handle_output(saving("exposure_table", VISIT), table())
    assert workdir.visit_exposures("iaaa01").is_file()
    back = ecsv.load_input(loading("exposure_table", VISIT, QTable))
    assert back["exptime"].unit == u.s
    assert list(back["exptime"].value) == [1.0, 2.5]


def test_nothing_but_the_table_is_left_in_the_folder(workdir):
    manager(workdir, "ecsv").handle_output(saving("exposure_table", VISIT), table())
    assert [path.name for path in workdir.workspace.iterdir()] == ["iaaa01_exposures.ecsv"]


def test_a_table_that_cannot_be_written_leaves_the_old_one(workdir):
    ecsv = manager(workdir, "ecsv")
    ecsv.handle_output(saving("exposure_table", VISIT), table())
    before = workdir.visit_exposures("iaaa01").read_bytes()

    class Broken:
        def write(self, path, **_):
            Path(path).write_text("half of it")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        ecsv.handle_output(saving("exposure_table", VISIT), Broken())
    assert workdir.visit_exposures("iaaa01").read_bytes() == before
    assert len(list(workdir.workspace.iterdir())) == 1


def test_several_tables_go_into_one_hdf5_file_and_come_back_with_units(workdir):
    hdf5 = manager(workdir, "hdf5")
    hdf5.handle_output(
        saving("target_alignment", "sn1"), {"summary": table(), "matches/a": table()[:1]}
    )
    back = hdf5.load_input(loading("target_alignment", "sn1", dict))
    assert set(back) == {"summary", "matches/a"}
    assert back["matches/a"]["exptime"].unit == u.s


def test_a_standing_product_is_accepted_and_handed_on_by_path(workdir):
    product = workdir.visit_alignment("iaaa01")
    product.write_text("stands")
    ecsv = manager(workdir, "ecsv")
    ecsv.handle_output(saving("aligned_exposures", VISIT), product)
    assert product.read_text() == "stands"
    assert ecsv.load_input(loading("aligned_exposures", VISIT, Path)) == product


def test_a_product_in_the_wrong_place_is_refused(workdir, tmp_path):
    stray = tmp_path / "stray.ecsv"
    stray.write_text("x")
    with pytest.raises(dg.Failure, match=r"belongs at .*iaaa01_alignment\.ecsv"):
        manager(workdir, "ecsv").handle_output(saving("aligned_exposures", VISIT), stray)


def test_claiming_a_product_that_is_not_there_is_refused(workdir):
    path = workdir.visit_alignment("iaaa01")
    with pytest.raises(dg.Failure, match="file is gone"):
        manager(workdir, "ecsv").handle_output(saving("aligned_exposures", VISIT), path)


def test_loading_a_materialization_whose_file_is_gone_names_the_file(workdir):
    with pytest.raises(dg.Failure, match=r"iaaa01_exposures\.ecsv: .*file is gone"):
        manager(workdir, "ecsv").load_input(loading("exposure_table", VISIT, Path))


def test_an_empty_file_counts_as_gone(workdir):
    workdir.visit_exposures("iaaa01").touch()
    with pytest.raises(dg.Failure, match="file is gone"):
        manager(workdir, "ecsv").load_input(loading("exposure_table", VISIT, Path))


def test_a_table_whose_recorded_files_are_gone_names_the_file(workdir):
    index, image = workdir.visit_products("iaaa01"), workdir.workspace / "image.fits"

    def run():
        index.write_text("index")
        image.write_text("image")
        return Result((index, image))

    make(Recipe("epoch_drizzles", "1", {}), index, workdir, run)
    image.unlink()
    with pytest.raises(dg.Failure, match=r"image\.fits: .*file is gone"):
        manager(workdir, "ecsv").load_input(loading("epoch_drizzles", VISIT, Path))


def test_every_asset_of_the_levels_but_the_pointer_is_a_file():
    assets = {asset for level in LEVELS for asset in level.assets}
    assert assets - PRODUCTS == {"visit_reference"}


def test_products_of_different_assets_never_share_a_path(tmp_path):
    partitions = {a: VISIT if level.by_visit else "sn1" for level in LEVELS for a in level.assets}
    paths = [product_path(tmp_path, asset, partitions[asset]) for asset in PRODUCTS]
    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to(tmp_path / "sn1") for path in paths)


def test_an_image_of_the_users_own_is_stood_for_by_the_choice(tmp_path):
    """Records lie beside products, but nothing is written beside a user's file."""
    workdir = WorkDir(tmp_path, "sn1").create()
    workdir.reference_choice.write_text('{"image": "/elsewhere/mine.fits", "user": true}')
    assert product_path(tmp_path, "reference_image", "sn1") == workdir.reference_choice
    workdir.reference_choice.write_text('{"image": "a.ref_0001.drc.fits", "user": false}')
    assert product_path(tmp_path, "reference_image", "sn1") == workdir.base / "a.ref_0001.drc.fits"

from pathlib import Path

import dagster as dg
import pytest
from astropy import units as u
from astropy.table import QTable

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.io_managers import WorkDirIOManager
from hst_assets.orchestration.partition_keys import register
from hst_assets.orchestration.partitions import hst_target, hst_visit
from hst_assets.orchestration.resources import HstRoot
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


@pytest.fixture
def manager(workdir):
    return WorkDirIOManager(HstRoot(root=str(workdir.root)), ASSETS)


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


def test_a_table_comes_back_with_units_where_its_content_is_asked_for(workdir, manager):
    table().write(workdir.visit_exposures("iaaa01"), format="ascii.ecsv")
    back = manager.load_input(loading("exposure_table", VISIT, QTable))
    assert back["exptime"].unit == u.s
    assert list(back["exptime"].value) == [1.0, 2.5]


def test_several_tables_of_one_hdf5_file_come_back_with_units(workdir, manager):
    path = workdir.target_alignment
    for number, (name, rows) in enumerate({"summary": table(), "matches/a": table()[:1]}.items()):
        rows.write(path, format="hdf5", path=name, serialize_meta=True, append=number > 0)
    back = manager.load_input(loading("target_alignment", "sn1", dict))
    assert set(back) == {"summary", "matches/a"}
    assert back["matches/a"]["exptime"].unit == u.s


def test_a_notebook_gets_a_table_by_its_asset(campaign, defs, instance):
    workdir = campaign.workdir("sn1").create()
    table().write(workdir.visit_exposures("iaaa01"), format="ascii.ecsv")
    back = defs.load_asset_value("exposure_table", partition_key=VISIT, instance=instance)
    assert back["exptime"].unit == u.s


def test_a_users_asset_over_all_visits_gets_them_by_partition(campaign, defs, instance):
    register(instance, "sn1", ["iaaa01", "iaaa02"])
    workdir = campaign.workdir("sn1").create()
    tables = {f"sn1/{visit}": workdir.visit_exposures(visit) for visit in ("iaaa01", "iaaa02")}
    for path in tables.values():
        table().write(path, format="ascii.ecsv")

    over_all = {"exposure_table": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())}

    @dg.asset(ins=over_all, io_manager_key="elsewhere")
    def paths(exposure_table: dict[str, Path]) -> dict[str, Path]:
        return exposure_table

    @dg.asset(ins=over_all, io_manager_key="elsewhere")
    def n_rows(exposure_table) -> int:
        return sum(map(len, exposure_table.values()))

    manager = WorkDirIOManager(HstRoot(root=str(workdir.root)), ASSETS)
    result = dg.materialize(
        [paths, n_rows, dg.AssetSpec("exposure_table", partitions_def=hst_visit)],
        instance=instance,
        resources={"io_manager": manager, "elsewhere": dg.InMemoryIOManager()},
    )
    assert result.output_for_node("paths") == tables
    assert result.output_for_node("n_rows") == 4


def test_a_standing_product_is_accepted_and_handed_on_by_path(workdir, manager):
    product = workdir.visit_alignment("iaaa01")
    product.write_text("stands")
    manager.handle_output(saving("aligned_exposures", VISIT), product)
    assert product.read_text() == "stands"
    assert manager.load_input(loading("aligned_exposures", VISIT, Path)) == product


def test_a_product_in_the_wrong_place_is_refused(workdir, manager, tmp_path):
    stray = tmp_path / "stray.ecsv"
    stray.write_text("x")
    with pytest.raises(dg.Failure, match=r"belongs at .*iaaa01_alignment\.ecsv"):
        manager.handle_output(saving("aligned_exposures", VISIT), stray)


def test_claiming_a_product_that_is_not_there_is_refused(workdir, manager):
    path = workdir.visit_alignment("iaaa01")
    with pytest.raises(dg.Failure, match="did not leave this product"):
        manager.handle_output(saving("aligned_exposures", VISIT), path)


@pytest.mark.parametrize(
    ("asset", "partition", "command"),
    [
        ("raw_exposures", VISIT, "--select raw_exposures --visit iaaa01'"),
        ("target_exposures", VISIT.partition("/")[0], "--select target_exposures'"),
    ],
)
def test_what_was_never_made_is_not_said_to_be_gone(workdir, manager, asset, partition, command):
    with pytest.raises(dg.Failure, match=f"never made: make {asset} first") as raised:
        manager.load_input(loading(asset, partition, Path))
    assert command in raised.value.description
    assert "gone" not in raised.value.description


def test_loading_a_materialization_whose_file_is_gone_names_the_file(workdir, manager):
    path = workdir.visit_exposures("iaaa01")

    def run():
        path.write_text("table")
        return Result((path,))

    make(Recipe("exposure_table", "1", {}), path, workdir, run)
    path.unlink()
    with pytest.raises(dg.Failure, match=r"iaaa01_exposures\.ecsv: .*file is gone"):
        manager.load_input(loading("exposure_table", VISIT, Path))


def test_an_empty_file_counts_as_gone(workdir, manager):
    workdir.visit_exposures("iaaa01").touch()
    with pytest.raises(dg.Failure, match="file is gone"):
        manager.load_input(loading("exposure_table", VISIT, Path))


def test_a_table_whose_recorded_files_are_gone_names_the_file(workdir, manager):
    index, image = workdir.visit_products("iaaa01"), workdir.workspace / "image.fits"

    def run():
        index.write_text("index")
        image.write_text("image")
        return Result((index, image))

    make(Recipe("epoch_drizzles", "1", {}), index, workdir, run)
    image.unlink()
    with pytest.raises(dg.Failure, match=r"image\.fits: .*file is gone"):
        manager.load_input(loading("epoch_drizzles", VISIT, Path))


def test_every_asset_of_the_levels_but_the_pointer_is_a_file():
    assert {row.name for row in ASSETS} - ASSETS.with_file == {"visit_reference"}


def test_products_of_different_assets_never_share_a_path(workdir):
    rows = [row for row in ASSETS if row.path]
    paths = [row.product(workdir, "iaaa01" if row.by_visit else None) for row in rows]
    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to(workdir.base) for path in paths)


def test_an_image_of_the_users_own_is_stood_for_by_the_choice(tmp_path):
    """Records lie beside products, but nothing is written beside a user's file."""
    workdir = WorkDir(tmp_path, "sn1").create()
    workdir.reference_choice.write_text('{"image": "/elsewhere/mine.fits", "user": true}')
    row = ASSETS["reference_image"]
    assert row.product(workdir) == workdir.reference_choice
    workdir.reference_choice.write_text('{"image": "a.ref_0001.drc.fits", "user": false}')
    assert (
        ASSETS.product_path(tmp_path, "reference_image", "sn1")
        == workdir.base / "a.ref_0001.drc.fits"
    )

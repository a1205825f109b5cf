from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.publishing.selection import PUBLISHED_OF_TARGET, PUBLISHED_OF_VISIT, local_products
from hst_assets_tests.publishing.finished_target import VISIT, FinishedTarget


def test_published_products_are_assets_of_the_table_with_their_paths():
    for names, by_visit in ((PUBLISHED_OF_TARGET, False), (PUBLISHED_OF_VISIT, True)):
        for asset, path in names.items():
            assert (ASSETS[asset].path, ASSETS[asset].by_visit) == (path, by_visit)


def test_the_asset_follows_all_that_it_publishes():
    row = ASSETS["published_products"]
    assert {*row.after, *row.follows} == set(PUBLISHED_OF_TARGET)
    assert set(row.follows_visits) == set(PUBLISHED_OF_VISIT)


def test_every_visit_has_its_products(tmp_path):
    found = {each.key: each for each in local_products(FinishedTarget(tmp_path).workdir)}
    assert {f"{asset}/{VISIT}" for asset in PUBLISHED_OF_VISIT} <= found.keys()
    assert found[f"hap_page/{VISIT}"].is_fit
    assert not found[f"hap_quality/{VISIT}"].is_fit
    assert found[f"hap_quality/{VISIT}"].problem == ""  # it was not made


def test_a_changed_part_makes_its_index_unfit(tmp_path):
    target = FinishedTarget(tmp_path)
    (target.workdir.drizzle / "wfc3_uvis.f606w.all.drc.fits").write_text("edited by hand")
    found = {each.key: each for each in local_products(target.workdir)}
    assert found["drizzled_stacks"].problem == (
        "file changed: drizzle/wfc3_uvis.f606w.all.drc.fits"
    )

"""Versions of a level's inputs, for rows that the table does not have yet."""

import pytest

from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.input_versions import input_versions, lacks_product
from hst_assets.orchestration.run_target import run_target
from hst_assets.provenance import Recipe, Result, make
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir


def new(name, per, job, **more):
    return AssetRow(
        name=name, per=per, job=job, group="g", description="New.", path=name, make="new", **more
    )


ROWS = (
    # Behind two pointers, one of them made in another level.
    AssetRow(
        name="visit_catalog",
        per="visit",
        job="visit_photometry",
        group="g",
        description="New.",
        scatters="drizzled_stacks",
    ),
    new(
        "star_fluxes",
        "visit",
        "visit_photometry",
        after=("visit_catalog", "visit_reference", "aligned_exposures"),
    ),
    # Two gathers in one level, and a product behind the gather of other visits' assets.
    new("all_fluxes", "target", "target_measurements", gathers="star_fluxes"),
    new("flux_frames", "target", "target_measurements", gathers="exposure_table"),
    new("sky_levels", "visit", "visit_sky", after=("raw_exposures",)),
    new("sky_model", "target", "target_sky", gathers="sky_levels", after=("target_alignment",)),
)


@pytest.fixture
def campaign(campaign, monkeypatch):
    for row in ROWS:
        found = (
            (lambda workdir, visit, name=row.name: workdir.workspace / f"{visit}_{name}.txt")
            if row.by_visit
            else property(lambda workdir, name=row.name: workdir.workspace / f"{name}.txt")
        )
        if row.path:
            monkeypatch.setattr(WorkDir, row.name, found, raising=False)
    campaign.table = ASSETS.plus(ROWS)
    for visit in ("iaaa01", "iaaa02"):
        campaign.add_exposure("sn1", visit)
    return campaign


@pytest.fixture
def workdir(campaign, defs, instance):
    """Where everything was made once."""
    found = campaign.workdir("sn1")
    results = list(run_target(defs, instance, found, table=campaign.table))
    assert not any(result.failures or result.skipped for result in results)
    return found


@pytest.fixture
def versions(campaign, workdir):
    def of(job):
        return input_versions(workdir, campaign.table.level_named(job), campaign.table)

    return of


def replaced(campaign, workdir, asset, partition="sn1", **inputs):
    """A product that others wrote, of another recipe."""
    path = campaign.table.product_path(workdir.root, asset, partition)
    made = make(Recipe(asset, "2", inputs), path, workdir, lambda: Result((path,)))
    assert made.ran


def test_all_that_stands_has_versions(campaign, versions):
    for level in campaign.table.levels_from_raw:
        n_partitions = 2 if level.by_visit else 1
        assert len(versions(level.job)) == (0 if level.wanted else n_partitions), level.job


@pytest.mark.parametrize("scattered", ["drizzled_stacks", "reference_image"])
def test_what_a_pointer_hands_on_counts_wherever_the_pointer_is_made(
    campaign, workdir, versions, scattered
):
    before = versions("visit_photometry")
    replaced(campaign, workdir, scattered)
    after = versions("visit_photometry")
    assert all(before[key] != after[key] for key in before)


def test_a_gather_of_other_visits_assets_counts(campaign, workdir, versions):
    before = versions("target_sky")
    aligned = {
        visit: campaign.digest(workdir, "aligned_exposures", f"sn1/{visit}")
        for visit in ("iaaa01", "iaaa02")
    }
    replaced(campaign, workdir, "target_alignment", **aligned)
    assert versions("target_sky") != before


def test_a_gather_upstream_of_what_is_gathered_counts_by_being_up_to_date(
    campaign, workdir, versions
):
    before = versions("target_stacks")
    tables = {
        f"table of {visit}": campaign.digest(workdir, "exposure_table", f"sn1/{visit}")
        for visit in ("iaaa01", "iaaa02")
    }
    replaced(campaign, workdir, "target_exposures", **tables)
    assert versions("target_stacks") == before
    replaced(campaign, workdir, "exposure_table", "sn1/iaaa02")
    assert versions("target_stacks") == {}


def test_either_of_two_gathers_of_a_level_counts(campaign, workdir, versions):
    before = versions("target_measurements")
    replaced(campaign, workdir, "star_fluxes", "sn1/iaaa02")
    between = versions("target_measurements")
    replaced(campaign, workdir, "exposure_table", "sn1/iaaa01")
    assert (
        len({*before.values(), *between.values(), *versions("target_measurements").values()}) == 3
    )


@pytest.mark.parametrize(
    ("kind", "again"),
    [
        ("DiskFull", True),
        ("TransientFailure", True),
        ("MissingProduct", True),
        ("ToolFailed", False),
        ("NoOverlap", False),
    ],
)
def test_a_sweep_tries_again_what_a_run_would(campaign, kind, again):
    """The same rule as that of `hst_assets.products.batch`."""
    workdir = campaign.workdir("sn1").create()
    level = ASSETS.level_of("drizzled_stacks")
    for asset in level.assets:
        path = ASSETS.product_path(workdir.root, asset, "sn1")
        path.write_text(asset)
        facts = {"failures": {"f606w": kind} if asset == "drizzled_stacks" else {}}
        result = Result((path,), facts)
        make(Recipe(asset, "1"), path, workdir, lambda result=result: result)
    assert lacks_product(workdir, level, "sn1", ASSETS) is again


def test_a_sweep_tries_again_what_a_failed_rerun_left(campaign):
    """The file of before is there, and no record."""
    workdir = campaign.workdir("sn1").create()
    level = ASSETS.level_of("target_report")
    path = workdir.report
    path.write_text("of before")
    make(Recipe("target_report", "1"), path, workdir, lambda: Result((path,)))
    assert not lacks_product(workdir, level, "sn1", ASSETS)
    workdir.record(path).unlink()
    assert lacks_product(workdir, level, "sn1", ASSETS)


@pytest.mark.parametrize(
    ("asset", "partition"), [("target_report", "sn1"), ("hap_filter_products", "sn1/iaaa01")]
)
def test_what_is_published_is_asked_for_again_when_it_has_other_bytes_of_the_same_recipe(
    campaign, asset, partition
):
    workdir = campaign.workdir("sn1")
    write_settings(workdir, {"publish": {"destination": "memory://published"}})
    level = campaign.table.level_named("target_publication")

    def version_with(asset, partition, content):
        path = campaign.table.product_path(workdir.root, asset, partition)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        make(Recipe(asset, "1"), path, workdir, lambda: Result((path,)), redo=True)
        return input_versions(workdir, level, campaign.table).get("sn1")

    first = version_with("target_exposures", "sn1", "rows")
    before = version_with(asset, partition, "one")
    assert first not in (None, before)
    assert version_with(asset, partition, "two") not in (first, before)

"""What a run is said to make, and whether it then makes that and nothing else."""

import os

import pytest

from hst_assets.failures import MissingTool
from hst_assets.orchestration.asset_row import AssetRow
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.forecast import forecast
from hst_assets.orchestration.resources import Redo
from hst_assets.orchestration.run_target import run_target
from hst_assets.provenance import adoption
from hst_assets.settings import load_settings, write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.orchestration.test_new_rows import ROWS, new

VISITS = ("iaaa01", "iaaa02")
CERTAIN = ("stale", "missing", "invalid")


@pytest.fixture
def target(campaign):
    for visit in VISITS:
        campaign.add_exposure("sn1", visit)
    return campaign.workdir("sn1")


@pytest.fixture
def made(campaign, target):
    """The target, of which all is made."""
    make_all(campaign, target)
    return target


def rows_of_a_run(workdir):
    """The rows with a file that a run of all makes."""
    settings = load_settings(workdir)
    return [
        row
        for row in ASSETS
        if row.path
        and row.source != "archive"
        and ASSETS.is_wanted(ASSETS.level_of(row.name), settings)
    ]


def make_all(campaign, workdir, assets=()):
    """Make the products as a run does, without Dagster, which is fifty times as fast."""
    settings = load_settings(workdir)
    for row in rows_of_a_run(workdir):
        if assets and row.name not in assets:
            continue
        for subject in [(each,) for each in VISITS] if row.by_visit else [()]:
            gathered = (list(VISITS),) if row.gathers else ()
            row.maker()(workdir, *subject, *gathered, settings)
    campaign.ran.clear()


def told(workdir, **options):
    """State and reasons of what is not up to date, by asset and partition."""
    found = forecast(workdir, options.pop("table", ASSETS), **options)
    return {
        (each.asset, each.partition): (each.state, *each.reasons)
        for each in found
        if each.state != "up to date"
    }


def written(workdir):
    return {path: path.stat().st_mtime_ns for path in workdir.base.rglob("*")}


def test_of_what_was_never_made_all_is_missing(campaign, target):
    before = written(target)
    found = told(target)
    rows = rows_of_a_run(target)
    assert len(found) == sum(len(VISITS) if row.by_visit else 1 for row in rows)
    assert set(found.values()) == {("missing", "not made before")}
    assert campaign.ran == []
    assert written(target) == before


def test_of_what_was_made_nothing_is_to_be_made(campaign, made):
    before = written(made)
    assert told(made) == {}
    assert campaign.ran == []
    assert written(made) == before


def test_a_changed_setting_is_named_and_what_is_downstream_follows(made):
    write_settings(made, {"selection": {"min_exptime_s": 20.0}})
    found = told(made)
    named = "setting min_exptime_s 15.0 → 20.0"
    assert found["exposure_table", "sn1/iaaa01"] == ("stale", named)
    because = ("stale", "because exposure_table would be made")
    assert found["target_exposures", "sn1"] == because
    assert found["aligned_exposures", "sn1/iaaa02"] == because
    follows = ("stale", "because aligned_exposures would be made")
    assert found["epoch_drizzles", "sn1/iaaa01"] == follows
    # The frame stays while the exposures that it was made from are in use.
    upstream = "because target_exposures would be made"
    assert found["reference_image", "sn1"] == ("may be stale", upstream)
    assert ("raw_exposures", "sn1/iaaa01") not in found


def test_a_setting_of_the_drizzling_is_named_as_the_user_knows_it(made):
    write_settings(made, {"drizzle": {"pixfrac": 1.0}})
    found = told(made)
    assert found == {
        ("epoch_drizzles", f"sn1/{visit}"): ("stale", "setting drizzle.pixfrac 0.8 → 1.0")
        for visit in VISITS
    }


def redone_by(redo):
    return lambda row: redo.again(*row.redo)


def garble(path):
    WorkDir.record(path).write_text("{")


CHANGES = {
    "an exposure": lambda campaign, _target: campaign.add_exposure("sn1", "iaaa02", 1),
    "a visit": lambda campaign, _target: campaign.add_exposure("sn1", "iaaa03"),
    "a setting of the last": lambda _campaign, target: write_settings(
        target, {"difference": {"template": "first"}}
    ),
    "a setting of the first": lambda _campaign, target: write_settings(
        target, {"selection": {"min_exptime_s": 20.0}}
    ),
    "a lost file": lambda _campaign, target: target.visit_alignment("iaaa01").unlink(),
    "a garbled record": lambda _campaign, target: garble(target.visit_products("iaaa01")),
    "nothing": lambda _campaign, _target: None,
}


def test_what_is_told_is_what_a_run_makes(campaign, defs, instance, made):
    """One change after the other, each with the run that follows it; then one ordered again."""
    again = Redo(redo_astrodrizzle=True)
    for name, change in [*CHANGES.items(), ("redo", None)]:
        redo = Redo() if change else again
        if change:
            change(campaign, made)
        found = list(forecast(made, ASSETS, redone=redone_by(redo)))
        assert {each.state for each in found} <= {*CERTAIN, "up to date", "may be stale"}, name
        campaign.ran.clear()
        list(run_target(defs, instance, made, redo=redo))
        certain = [(each.asset, each.partition) for each in found if each.is_made]
        assert sorted(certain) == sorted(campaign.ran), name
        assert bool(certain) is (name != "nothing")


def test_what_does_not_name_what_would_be_made_may_be_made(campaign, defs, instance, target):
    """As the real exposures are aligned: by files and settings, not by the table of exposures."""
    campaign.unnamed.add("exposure_table")
    make_all(campaign, target)
    write_settings(target, {"selection": {"min_exptime_s": 20.0}})
    found = list(forecast(target, ASSETS))
    states = {each.asset: each.state for each in found}
    assert states["exposure_table"] == "stale"
    downstream = ASSETS.downstream("exposure_table") & states.keys()
    assert {states[asset] for asset in downstream} == {"may be stale"}
    list(run_target(defs, instance, target))
    assert sorted(campaign.ran) == [(e.asset, e.partition) for e in found if e.is_made]


def test_what_a_run_would_fail_on_is_not_counted_as_made(campaign, defs, instance, target):
    campaign.broken.add(("exposure_table", "sn1/iaaa02"))
    make_all(campaign, target, assets=["raw_exposures"])
    found = list(forecast(target, ASSETS))
    list(run_target(defs, instance, target))
    assert sorted((e.asset, e.partition) for e in found if e.is_made) == sorted(campaign.ran)
    unknown = {(e.asset, e.partition): e.reasons for e in found if e.state == "unknown"}
    assert unknown["exposure_table", "sn1/iaaa02"] == ("sn1/iaaa02: broken on purpose",)
    because = ("because exposure_table cannot be determined",)
    assert unknown["aligned_exposures", "sn1/iaaa02"] == because


def test_a_choice_that_lacks_something_upstream_says_so_as_the_run_does(
    campaign, defs, instance, target
):
    chosen = ["aligned_exposures", "drizzled_stacks"]
    found = list(forecast(target, ASSETS, assets=chosen))
    results = list(run_target(defs, instance, target, assets=chosen))
    assert campaign.ran == []
    assert {each.state for each in found} == {"unknown"}
    failures = [text for result in results for text in result.failures]
    aligned = [each for each in found if each.asset == "aligned_exposures"]
    assert [f"{each.asset}: {each.reasons[0]}" for each in aligned] == failures[: len(aligned)]


def test_a_record_that_cannot_be_read_is_named(made):
    garble(made.visit_products("iaaa01"))
    ((key, (state, reason)),) = told(made).items()
    assert key == ("epoch_drizzles", "sn1/iaaa01")
    assert state == "invalid"
    name = WorkDir.record(made.visit_products("iaaa01")).name
    assert reason == f"record unreadable: workspace/{name}; it is made again"


def test_a_file_that_is_gone_is_invalid_and_nothing_follows_from_it(made):
    made.visit_products("iaaa01").unlink()
    ((key, (state, reason)),) = told(made).items()
    assert key == ("epoch_drizzles", "sn1/iaaa01")
    assert state == "invalid"
    assert reason.startswith("file gone: workspace/iaaa01")


def test_only_what_a_run_would_make_is_told_and_followed(made):
    write_settings(made, {"selection": {"min_exptime_s": 20.0}})
    found = told(made, assets=["exposure_table", "drizzled_stacks"], visits=["iaaa02"])
    assert set(found) == {("exposure_table", "sn1/iaaa02")}


def test_rows_that_nobody_foresaw_are_told_too(campaign, defs, instance, target, monkeypatch):
    monkeypatch.setattr(
        WorkDir, "charts", property(lambda workdir: workdir.dolphot / "charts.ecsv"), raising=False
    )
    campaign.table = ASSETS.plus(
        [new("finding_charts", "target", "target_charts", "charts", after=("drizzled_stacks",))]
    )
    assert any(row.name == "finding_charts" for row in ROWS)
    assert told(target, table=campaign.table)["finding_charts", "sn1"][0] == "missing"


def test_what_was_made_and_is_not_wanted_is_told_and_not_compared(campaign, made):
    write_settings(made, {"photometry": {"make": True}})
    make_all(campaign, made)
    write_settings(made, {"photometry": {"make": False}})
    left_alone = ("not wanted", "photometry.make is off: runs leave it as it is; not checked")
    assert told(made)["dolphot_catalog", "sn1"] == left_alone
    assert campaign.ran == []
    made.star_catalog.unlink()
    made.record(made.star_catalog).unlink()
    assert ("dolphot_catalog", "sn1") not in told(made)


def test_a_tool_that_is_not_installed_is_told_before_its_inputs_are_made(target, monkeypatch):
    def not_installed(*_arguments, **_options):
        raise MissingTool("no dolphot")

    others = AssetRow.maker
    monkeypatch.setattr(
        AssetRow,
        "maker",
        lambda row: not_installed if row.name == "dolphot_catalog" else others(row),
    )
    write_settings(target, {"photometry": {"make": True}})
    found = told(target)
    assert found["dolphot_inputs", "sn1"] == ("missing", "not made before")
    assert found["dolphot_catalog", "sn1"] == ("unknown", "no dolphot")


def test_what_cannot_be_told_says_why(campaign, made):
    campaign.broken.add(("target_alignment", "sn1"))
    assert told(made)["target_alignment", "sn1"] == ("unknown", "sn1: broken on purpose")


def test_records_are_read_for_former_digests_once_and_not_for_each_product(made, monkeypatch):
    """A work directory of an earlier version, which nothing has run in: nothing may be written."""
    made.former_digests.unlink()
    looked = []
    former = adoption._former

    def count(workdir):
        looked.append(workdir)
        return former(workdir)

    monkeypatch.setattr(adoption, "_former", count)
    before = told(made)
    assert len(looked) == 1
    assert not made.former_digests.exists()
    record = WorkDir.record(made.target_exposures)
    os.utime(record, ns=(1, 1))  # another state of the records is looked at anew
    assert told(made) == before
    assert len(looked) == 2

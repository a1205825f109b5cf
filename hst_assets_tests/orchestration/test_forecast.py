"""What a run is said to make, and whether it then makes that and nothing else."""

import os

import pytest

from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.forecast import forecast
from hst_assets.orchestration.resources import Redo
from hst_assets.orchestration.run_target import run_target
from hst_assets.provenance import adoption
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir
from hst_assets_tests.orchestration.test_new_rows import ROWS, new

VISITS = ("iaaa01", "iaaa02")


@pytest.fixture
def target(campaign):
    for visit in VISITS:
        campaign.add_exposure("sn1", visit)
    return campaign.workdir("sn1")


@pytest.fixture
def made(campaign, defs, instance, target):
    """The target, of which all is made."""
    list(run_target(defs, instance, target, table=campaign.table))
    campaign.ran.clear()
    return target


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
    rows = [row for row in ASSETS if row.path and row.source != "archive"]
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


@pytest.mark.parametrize("change", ["exposure", "setting", "file", "redo"])
def test_what_is_told_is_what_a_run_makes(campaign, defs, instance, made, change):
    options = {}
    if change == "exposure":
        campaign.add_exposure("sn1", "iaaa02", 1)
    elif change == "setting":
        write_settings(made, {"difference": {"template": "first"}})
    elif change == "file":
        made.visit_alignment("iaaa01").unlink()
    else:
        options["redo"] = Redo(redo_astrodrizzle=True)
    redone = options.get("redo", Redo())
    found = told(made, redone=lambda row: redone.again(*row.redo))
    list(run_target(defs, instance, made, **options))
    certain = {key for key, (state, *_) in found.items() if state != "may be stale"}
    assert certain == set(campaign.ran)


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

import errno
import json
import os

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.asset_table import ASSETS
from hst_assets.orchestration.processes import this_host
from hst_assets.orchestration.resources import Redo
from hst_assets.orchestration.run_target import _failures, run_target
from hst_assets.settings import write_settings
from hst_assets.workdir import WorkDir

#: What is made of a target that is not looked for in the archive, and wants nothing more.
MADE = [row for row in ASSETS if row.path and row.source != "archive" and not row.wanted]


@pytest.fixture
def target(campaign):
    campaign.add_exposure("sn1", "iaaa01")
    campaign.add_exposure("sn1", "iaaa02")
    return campaign.workdir("sn1")


def stacks(results):
    """What became of the level of the stacks."""
    (found,) = (result for result in results if result.level == "target_stacks")
    return found


def test_all_levels_run_in_order(campaign, defs, instance, target):
    outcomes = list(run_target(defs, instance, target))
    assert [(o.level, o.partition) for o in outcomes] == [
        ("visit_exposures", "sn1/iaaa01"),
        ("visit_exposures", "sn1/iaaa02"),
        ("target_frame", "sn1"),
        ("visit_images", "sn1/iaaa01"),
        ("visit_images", "sn1/iaaa02"),
        ("target_stacks", "sn1"),
        ("target_pictures", "sn1"),
        ("target_page", "sn1"),
    ]
    assert not any(o.failures for o in outcomes)
    assert len(campaign.ran) == sum(2 if row.by_visit else 1 for row in MADE)


def test_a_second_walk_executes_nothing(campaign, defs, instance, target):
    list(run_target(defs, instance, target))
    campaign.ran.clear()
    outcomes = list(run_target(defs, instance, target))
    assert campaign.ran == []
    assert not any(o.failures or set(o.made) - {"visit_reference"} for o in outcomes)


def test_a_selection_runs_only_that(campaign, defs, instance, target):
    list(run_target(defs, instance, target, assets=["raw_exposures"], visits=["iaaa02"]))
    assert campaign.ran == [("raw_exposures", "sn1/iaaa02")]


def test_a_choice_names_what_is_in_its_way(campaign, defs, instance, target):
    (outcome,) = run_target(defs, instance, target, assets=["drizzled_stacks"])
    (failure,) = outcome.failures
    upstream = (
        "raw_exposures, exposure_table, target_exposures, reference_image, aligned_exposures, "
        "target_alignment"
    )
    assert failure.startswith(f"drizzled_stacks: never made: {upstream}: ")
    chosen = failure.partition("--select ")[2].partition(")")[0].split(",")
    assert (outcome.kinds, campaign.ran) == ({"MissingProduct"}, [])
    outcomes = list(run_target(defs, instance, target, assets=chosen))
    assert not any(outcome.failures for outcome in outcomes)
    assert ("drizzled_stacks", "sn1") in campaign.ran


def test_what_was_made_before_is_in_no_choices_way(campaign, defs, instance, target):
    list(run_target(defs, instance, target))
    (outcome,) = run_target(defs, instance, target, assets=["drizzled_stacks"])
    assert outcome.unchanged == ("drizzled_stacks",)


def test_an_unknown_asset_is_refused_with_the_known_ones(defs, instance, target):
    with pytest.raises(
        BadConfiguration, match=r"mean epoch_drizzles\? Known: archive_exposures, raw_"
    ):
        list(run_target(defs, instance, target, assets=["drizle"]))


def test_an_unknown_visit_is_refused(defs, instance, target):
    with pytest.raises(BadConfiguration, match="no visit iaaa09"):
        list(run_target(defs, instance, target, visits=["iaaa09"]))


def test_a_target_without_a_work_directory_is_refused(campaign, defs, instance):
    with pytest.raises(BadConfiguration, match="no work directory for target 'sn9'"):
        list(run_target(defs, instance, campaign.workdir("sn9")))


def test_a_broken_visit_costs_itself(campaign, defs, instance, target):
    campaign.broken.add(("aligned_exposures", "sn1/iaaa01"))
    outcomes = {(o.level, o.partition): o for o in run_target(defs, instance, target)}
    broken = outcomes["visit_images", "sn1/iaaa01"]
    assert any("broken on purpose" in text for text in broken.failures)
    assert any("epoch_drizzles: not made" in text for text in broken.failures)
    assert outcomes["visit_images", "sn1/iaaa02"].made[-1] == "epoch_drizzles"
    assert "drizzled_stacks" in outcomes["target_stacks", "sn1"].made


@pytest.mark.parametrize(
    ("asset", "gather"),
    [("exposure_table", "target_exposures"), ("aligned_exposures", "target_alignment")],
)
def test_a_visit_whose_rerun_failed_half_way_costs_itself(
    campaign, defs, instance, target, asset, gather
):
    """The old file is there then, but no record."""
    list(run_target(defs, instance, target))
    campaign.broken.add((asset, "sn1/iaaa01"))
    WorkDir.record(campaign.table.product_path(target.root, asset, "sn1/iaaa01")).unlink()
    outcomes = {(o.level, o.partition): o for o in run_target(defs, instance, target)}
    made = {name for outcome in outcomes.values() for name in outcome.made}
    assert gather in made
    assert not any(outcomes[key].failures for key in outcomes if key[1] == "sn1")


def test_a_gate_that_lets_nothing_through_blocks_the_drizzle(campaign, defs, instance, target):
    campaign.facts |= {"n_used": 0, "n_fail": 2}
    outcomes = {(o.level, o.partition): o for o in run_target(defs, instance, target)}
    blocked = outcomes["visit_images", "sn1/iaaa01"]
    assert "aligned_exposures" in blocked.made
    assert "epoch_drizzles" not in blocked.made
    assert any("no exposure may be drizzled" in text for text in blocked.warnings)


@pytest.mark.parametrize(
    ("redo", "remade"),
    [
        (Redo(redo_astrometry=True), {"reference_image", "aligned_exposures"}),
        (
            Redo(redo_astrodrizzle=True),
            {
                "reference_image",
                "epoch_drizzles",
                "drizzled_stacks",
                "epoch_differences",
                "colour_images",
            },
        ),
        (
            Redo(redo=True),
            {
                "reference_image",
                "aligned_exposures",
                "epoch_drizzles",
                "drizzled_stacks",
                "epoch_differences",
                "colour_images",
            },
        ),
        (Redo(clobber=True), {row.name for row in MADE}),
    ],
)
def test_redo_remakes_what_the_guide_says(campaign, defs, instance, target, redo, remade):
    list(run_target(defs, instance, target))
    campaign.ran.clear()
    list(run_target(defs, instance, target, redo=redo))
    assert {asset for asset, _ in campaign.ran} == remade


def test_photometry_that_is_wanted_is_made_and_made_again(campaign, defs, instance, target):
    write_settings(target, {"photometry": {"artificial_stars": True}})
    chain = [(name, "sn1") for name in ("dolphot_inputs", "dolphot_catalog", "artificial_stars")]
    outcomes = list(run_target(defs, instance, target))
    assert not any(outcome.failures for outcome in outcomes)
    assert [each for each in campaign.ran if each in chain] == chain
    campaign.ran.clear()
    list(run_target(defs, instance, target, redo=Redo(redo_dolphot=True)))
    assert campaign.ran == chain


def test_the_report_follows_what_there_is_and_needs_none_of_it(campaign, defs, instance, target):
    write_settings(target, {"photometry": {"make": True}})
    campaign.broken.add(("dolphot_catalog", "sn1"))
    outcomes = {o.level: o for o in run_target(defs, instance, target)}
    assert outcomes["target_photometry"].failures
    assert outcomes["target_page"].made == ("target_report",)
    campaign.broken.clear()
    campaign.ran.clear()
    list(run_target(defs, instance, target))
    assert campaign.ran == [
        ("dolphot_catalog", "sn1"),
        ("light_curve", "sn1"),
        ("target_report", "sn1"),
    ]


def test_what_is_published_follows_what_there_is_of_target_and_visits(
    campaign, defs, instance, target
):
    list(run_target(defs, instance, target))
    assert ("published_products", "sn1") not in campaign.ran
    write_settings(target, {"publish": {"destination": "memory://published"}})
    campaign.ran.clear()
    outcomes = {o.level: o for o in run_target(defs, instance, target)}
    assert outcomes["target_publication"].made == ("published_products",)
    assert campaign.ran == [("published_products", "sn1")]  # no advanced product for its sake
    write_settings(target, {"hap": {"make": True}})
    campaign.ran.clear()
    list(run_target(defs, instance, target))
    assert ("hap_page", "sn1/iaaa02") in campaign.ran
    assert campaign.ran[-1] == ("published_products", "sn1")
    campaign.ran.clear()
    list(run_target(defs, instance, target, redo=Redo(redo_publishing=True)))
    assert campaign.ran == [("published_products", "sn1")]


def test_a_new_exposure_remakes_only_its_own_chain(campaign, defs, instance, target):
    list(run_target(defs, instance, target))
    campaign.ran.clear()
    campaign.add_exposure("sn1", "iaaa02", 1)
    list(run_target(defs, instance, target))
    assert campaign.ran == [
        ("raw_exposures", "sn1/iaaa02"),
        ("exposure_table", "sn1/iaaa02"),
        ("target_exposures", "sn1"),
        ("aligned_exposures", "sn1/iaaa02"),
        ("epoch_drizzles", "sn1/iaaa02"),
        ("target_alignment", "sn1"),
        ("drizzled_stacks", "sn1"),
        ("epoch_differences", "sn1"),
        ("colour_images", "sn1"),
        ("target_report", "sn1"),
    ]


def test_another_template_makes_only_the_differences_again(campaign, defs, instance, target):
    list(run_target(defs, instance, target))
    campaign.ran.clear()
    write_settings(target, {"difference": {"template": "first"}})
    list(run_target(defs, instance, target))
    assert campaign.ran == [("epoch_differences", "sn1"), ("target_report", "sn1")]


@pytest.mark.parametrize(
    ("facts", "warning"),
    [
        ({"problems": ["a.fits: stars are 0.40 pixel apart"]}, "0.40 pixel apart"),
        ({"failed": ["a epoch 2 - 1: no record"]}, "no record"),
    ],
)
def test_a_difference_that_is_not_sane_is_a_remark(
    campaign, defs, instance, target, facts, warning
):
    campaign.facts |= facts
    last = stacks(run_target(defs, instance, target))
    assert "epoch_differences" in last.made
    assert any("no record" in text for text in last.errors) is ("failed" in facts)
    assert any(text.startswith("epoch_differences") and warning in text for text in last.warnings)


def test_a_band_that_the_machine_cost_is_a_failure_of_the_run(campaign, defs, instance, target):
    campaign.facts |= {"failed": ["f606w: no room"], "failures": {"f606w": "DiskFull"}}
    last = stacks(run_target(defs, instance, target))
    assert "drizzled_stacks" in last.made
    assert "drizzled_stacks: f606w: no room" in last.errors
    assert last.kinds == {"DiskFull"}


def test_what_had_nothing_to_compare_is_no_failure(campaign, defs, instance, target):
    campaign.facts |= {"not_checked": ["a.drc.fits: star fluxes"]}
    last = stacks(run_target(defs, instance, target))
    assert "drizzled_stacks: not checked: a.drc.fits: star fluxes" in last.unchecked
    assert last.errors == ()


def test_an_error_that_nobody_foresaw_is_no_failure_of_the_machine(
    campaign, defs, instance, target, monkeypatch
):
    """Were it passed over, a full disk in the run of another visit would speak for both."""

    def surprise(*_arguments):
        raise ValueError("negative dimensions are not allowed")

    monkeypatch.setattr(campaign, "step", surprise)
    (outcome,) = run_target(
        defs, instance, target, assets=["raw_exposures", "exposure_table"], visits=["iaaa01"]
    )
    assert outcome.kinds == {"ToolFailed"}


def test_epochs_that_share_no_pixel_are_no_remark(campaign, defs, instance, target):
    campaign.facts |= {"without_overlap": ["a epoch 2 - 1: no pixel in common"]}
    last = stacks(run_target(defs, instance, target))
    assert last.warnings == ()


def test_a_setting_of_the_machine_remakes_nothing(campaign, defs, instance, target):
    list(run_target(defs, instance, target))
    campaign.ran.clear()
    write_settings(target, {"machine": {"max_cores": 1}})
    list(run_target(defs, instance, target))
    assert campaign.ran == []


def test_a_setting_that_matters_remakes_what_depends_on_it(campaign, defs, instance, target):
    list(run_target(defs, instance, target))
    campaign.ran.clear()
    write_settings(target, {"selection": {"keep_short": True}})
    list(run_target(defs, instance, target))
    assert {asset for asset, _ in campaign.ran} >= {"exposure_table", "drizzled_stacks"}
    assert "raw_exposures" not in {asset for asset, _ in campaign.ran}


def test_a_product_that_is_gone_is_made_again(campaign, defs, instance, target):
    list(run_target(defs, instance, target))
    campaign.ran.clear()
    target.visit_products("iaaa01").unlink()
    list(run_target(defs, instance, target))
    assert campaign.ran == [("epoch_drizzles", "sn1/iaaa01")]


def test_a_materialized_input_that_is_gone_is_an_error_that_names_it(defs, instance, target):
    list(run_target(defs, instance, target))
    target.visit_alignment("iaaa01").unlink()
    (outcome,) = run_target(defs, instance, target, assets=["epoch_drizzles"], visits=["iaaa01"])
    assert any("iaaa01_alignment.ecsv" in text for text in outcome.failures)


def test_a_gather_misses_a_materialized_table_that_is_gone(defs, instance, target):
    list(run_target(defs, instance, target))
    target.visit_exposures("iaaa02").unlink()
    (outcome,) = run_target(defs, instance, target, assets=["target_exposures"])
    assert any("iaaa02_exposures.ecsv" in text for text in outcome.failures)


def test_changed_raw_bytes_block_the_visit(defs, instance, target):
    raw = target.raw / "iaaa01a0q_flc.fits"
    raw.write_text("something else")
    (outcome,) = run_target(
        defs, instance, target, assets=["raw_exposures", "exposure_table"], visits=["iaaa01"]
    )
    assert "exposure_table" not in outcome.made
    assert any("iaaa01a0q_flc.fits" in text for text in outcome.warnings)


def test_changed_raw_bytes_do_not_block_other_visits(defs, instance, target):
    (target.raw / "iaaa01a0q_flc.fits").unlink()
    assets = ["raw_exposures", "exposure_table"]
    (outcome,) = run_target(defs, instance, target, assets=assets, visits=["iaaa02"])
    assert outcome.failures == ()
    assert set(outcome.made) == set(assets)


def test_runs_of_a_killed_process_are_marked_as_failed(defs, instance, target):

    dead = instance.create_run_for_job(
        defs.resolve_job_def("target_frame"),
        status=DagsterRunStatus.STARTED,
        tags={"hst_assets/process": f"{this_host()}:{_unused_pid()}"},
    )
    alive = instance.create_run_for_job(
        defs.resolve_job_def("target_frame"),
        status=DagsterRunStatus.STARTED,
        tags={"hst_assets/process": f"{this_host()}:{os.getppid()}"},
    )
    list(run_target(defs, instance, target, assets=["raw_exposures"]))
    assert instance.get_run_by_id(dead.run_id).status == DagsterRunStatus.FAILURE
    assert instance.get_run_by_id(alive.run_id).status == DagsterRunStatus.STARTED


def _unused_pid():
    from pathlib import Path

    return next(pid for pid in range(2**22 - 1, 2, -1) if not Path(f"/proc/{pid}").exists())


def test_the_reference_hands_its_version_to_its_own_visits(campaign, defs, instance, target):
    import dagster as dg

    campaign.add_exposure("sn2", "ibbb01")
    list(run_target(defs, instance, campaign.workdir("sn2"), assets=["raw_exposures"]))
    list(run_target(defs, instance, target, assets=["raw_exposures", "exposure_table"]))
    list(run_target(defs, instance, target, assets=["target_exposures", "reference_image"]))
    pointed = instance.get_materialized_partitions(dg.AssetKey("visit_reference"))
    assert pointed == {"sn1/iaaa01", "sn1/iaaa02"}
    assert json.loads(target.reference_choice.read_text())


def test_an_unforeseen_failure_is_told_in_its_own_words():
    @dg.op
    def broken():
        raise OSError(errno.ENOSPC, "No space left on device")

    @dg.job
    def of_one_step():
        broken()

    result = of_one_step.execute_in_process(raise_on_error=False)
    assert dict(_failures(result)) == {"broken": "OSError: [Errno 28] No space left on device"}

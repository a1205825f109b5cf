"""A target belongs to one root of an instance, and another root is told so."""

import shutil

import pytest

from hst_assets.failures import BadConfiguration
from hst_assets.orchestration.build import build_defs
from hst_assets.orchestration.partition_keys import register
from hst_assets.orchestration.run_target import run_target
from hst_assets.orchestration.target_roots import claim, root_of
from hst_assets.workdir import WorkDir


@pytest.fixture
def target(campaign):
    campaign.add_exposure("sn1", "iaaa01")
    return campaign.workdir("sn1")


def test_a_run_remembers_the_root_of_its_target(defs, instance, target):
    assert root_of(instance, "sn1") is None
    list(run_target(defs, instance, target, assets=["raw_exposures"]))
    assert root_of(instance, "sn1") == target.root


def test_a_target_of_another_root_is_refused(defs, instance, target, tmp_path):
    list(run_target(defs, instance, target, assets=["raw_exposures"]))
    copy = WorkDir(tmp_path / "elsewhere", "sn1")
    shutil.copytree(target.base, copy.base)
    with pytest.raises(BadConfiguration, match=f"belongs to the root {target.root}, and the root"):
        list(run_target(build_defs(root=str(copy.root)), instance, copy))


def test_a_deployment_on_another_root_says_so_instead_of_a_file_that_is_gone(
    defs, instance, target, tmp_path
):
    """What is green in the UI, used there: by its inputs, and by the step itself."""
    list(run_target(defs, instance, target))
    others = build_defs(root=str(tmp_path / "elsewhere"))
    for job, key in (("visit_exposures", "sn1/iaaa01"), ("target_stacks", "sn1")):
        run = others.resolve_job_def(job).execute_in_process(
            partition_key=key, instance=instance, raise_on_error=False
        )
        failed = [event.step_failure_data for event in run.all_events if event.is_step_failure]
        text = failed[0].user_failure_data.description
        assert f"belongs to the root {target.root}, and the root here is {tmp_path}" in text


def test_an_input_of_another_root_is_told_before_the_step_begins(defs, instance, target, tmp_path):
    import dagster as dg

    list(run_target(defs, instance, target))
    job = build_defs(root=str(tmp_path / "elsewhere")).resolve_job_def("visit_exposures")
    run = job.execute_in_process(
        partition_key="sn1/iaaa01",
        instance=instance,
        raise_on_error=False,
        asset_selection=[dg.AssetKey("exposure_table")],
    )
    (failed,) = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    assert f"belongs to the root {target.root}" in str(failed)


def test_a_work_directory_that_moved_is_taken_along(defs, instance, target, tmp_path):
    list(run_target(defs, instance, target, assets=["raw_exposures"]))
    moved = WorkDir(tmp_path / "elsewhere", "sn1")
    shutil.move(target.root, moved.root)
    claim(instance, moved)
    assert root_of(instance, "sn1") == moved.root


def test_a_link_to_the_root_is_the_same_root(defs, instance, target, tmp_path):
    list(run_target(defs, instance, target, assets=["raw_exposures"]))
    (tmp_path / "link").symlink_to(target.root)
    claim(instance, WorkDir(tmp_path / "link", "sn1"))
    assert root_of(instance, "sn1") == target.root.resolve()


def test_a_link_that_is_turned_elsewhere_takes_no_target_along(instance, target, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(target.root)
    claim(instance, WorkDir(link, "sn1"))
    link.unlink()
    copy = WorkDir(tmp_path / "elsewhere", "sn1")
    shutil.copytree(target.base, copy.base)
    link.symlink_to(copy.root)
    with pytest.raises(BadConfiguration, match="belongs to the root"):
        claim(instance, WorkDir(link, "sn1"))


def test_a_target_that_was_only_registered_belongs_to_nobody_yet(instance, target):
    register(instance, "sn1", ["iaaa01"])
    assert root_of(instance, "sn1") is None
    claim(instance, target)
    assert root_of(instance, "sn1") == target.root
